// SPDX-License-Identifier: GPL-2.0-only
/*
 * Drivers of the mem2mem framework: both ends of a job, and CAPTURE buffers that jobs hold.
 */

#include <linux/delay.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <media/v4l2-mem2mem.h>
#include <media/videobuf2-v4l2.h>
#include <media/videobuf2-vmalloc.h>

#include "mock.h"

#define BUFFERS	3

struct m2m {
	struct kunit *test;
	struct v4l2_m2m_dev *dev;
	struct v4l2_m2m_ctx *ctx;
	/* Of both queues, as the framework wants it. */
	struct mutex lock;
	bool output_fences, capture_fences;
	/* The hardware takes no job now. */
	bool busy;
	/* The driver attaches later, or twice; or the job is over before device_run() returns. */
	bool later, twice, at_once;
	/* How device_run() went, whether it was in a signalling section then, how often it did. */
	int attached;
	bool section;
	atomic_t runs;
	wait_queue_head_t ran;
};

static void m2m_device_run(void *priv)
{
	struct m2m *m2m = priv;

	m2m->attached = m2m->later ? 0 : v4l2_m2m_attach_release_fence(m2m->ctx);
	if (m2m->twice)
		m2m->attached = v4l2_m2m_attach_release_fence(m2m->ctx) ?: m2m->attached;
	m2m->section = mock_in_section(!m2m->later);
	if (m2m->at_once)
		v4l2_m2m_buf_done_and_job_finish(m2m->dev, m2m->ctx, VB2_BUF_STATE_DONE);
	atomic_inc(&m2m->runs);
	wake_up(&m2m->ran);
}

/* The hardware can be stopped at once. */
static void m2m_job_abort(void *priv)
{
	struct m2m *m2m = priv;

	v4l2_m2m_buf_done_and_job_finish(m2m->dev, m2m->ctx, VB2_BUF_STATE_ERROR);
}

static int m2m_job_ready(void *priv)
{
	return !((struct m2m *)priv)->busy;
}

static const struct v4l2_m2m_ops m2m_ops = {
	.device_run = m2m_device_run,
	.job_ready = m2m_job_ready,
	.job_abort = m2m_job_abort,
};

static int m2m_queue_setup(struct vb2_queue *q, unsigned int *num_buffers,
			   unsigned int *num_planes, unsigned int sizes[],
			   struct device *alloc_devs[])
{
	*num_planes = 1;
	sizes[0] = MOCK_PLANE_SIZE;
	return 0;
}

static void m2m_buf_queue(struct vb2_buffer *vb)
{
	struct m2m *m2m = vb2_get_drv_priv(vb->vb2_queue);

	v4l2_m2m_buf_queue(m2m->ctx, to_vb2_v4l2_buffer(vb));
}

static int m2m_start_streaming(struct vb2_queue *q, unsigned int count)
{
	return 0;
}

static void m2m_stop_streaming(struct vb2_queue *q)
{
	struct m2m *m2m = vb2_get_drv_priv(q);
	struct vb2_v4l2_buffer *vbuf;

	while ((vbuf = q->is_output ? v4l2_m2m_src_buf_remove(m2m->ctx) :
				      v4l2_m2m_dst_buf_remove(m2m->ctx)))
		v4l2_m2m_buf_done(vbuf, VB2_BUF_STATE_ERROR);
}

static const struct vb2_ops m2m_vb2_ops = {
	.queue_setup = m2m_queue_setup,
	.buf_queue = m2m_buf_queue,
	.start_streaming = m2m_start_streaming,
	.stop_streaming = m2m_stop_streaming,
	.wait_prepare = vb2_ops_wait_prepare,
	.wait_finish = vb2_ops_wait_finish,
};

static int m2m_queue_init(void *priv, struct vb2_queue *output, struct vb2_queue *capture)
{
	struct m2m *m2m = priv;
	struct vb2_queue *queues[] = { output, capture };
	int i, ret;

	output->type = V4L2_BUF_TYPE_VIDEO_OUTPUT;
	output->subsystem_flags = VB2_V4L2_FL_SUPPORTS_M2M_HOLD_CAPTURE_BUF;
	capture->type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
	if (m2m->output_fences)
		vb2_queue_use_release_fences(output);
	if (m2m->capture_fences)
		vb2_queue_use_release_fences(capture);
	for (i = 0; i < ARRAY_SIZE(queues); ++i) {
		queues[i]->io_modes = VB2_MMAP | VB2_DMABUF;
		queues[i]->drv_priv = m2m;
		queues[i]->buf_struct_size = sizeof(struct v4l2_m2m_buffer);
		queues[i]->ops = &m2m_vb2_ops;
		queues[i]->mem_ops = &vb2_vmalloc_memops;
		queues[i]->timestamp_flags = V4L2_BUF_FLAG_TIMESTAMP_COPY;
		queues[i]->lock = &m2m->lock;
		ret = vb2_queue_init_name(queues[i], i ? "mock-capture" : "mock-output");
		if (ret)
			return ret;
	}
	return 0;
}

KUNIT_DEFINE_ACTION_WRAPPER(m2m_release_dev, v4l2_m2m_release, struct v4l2_m2m_dev *);
KUNIT_DEFINE_ACTION_WRAPPER(m2m_release_ctx, v4l2_m2m_ctx_release, struct v4l2_m2m_ctx *);

static void m2m_no_work(struct work_struct *work)
{
}

/*
 * The end of a job schedules work of the m2m device, which finds nothing to run but must be over
 * before the device goes. It does not sleep, so it is when work that comes after it runs.
 */
static void m2m_flush(void *unused)
{
	struct work_struct work;
	int cpu;

	INIT_WORK_ONSTACK(&work, m2m_no_work);
	for_each_online_cpu(cpu) {
		schedule_work_on(cpu, &work);
		flush_work(&work);
	}
	destroy_work_on_stack(&work);
}

/* A context that streams on both queues, without a buffer in either. @dev: NULL for a new one */
static struct m2m *m2m_open(struct kunit *test, struct v4l2_m2m_dev *dev, bool output, bool capture)
{
	struct m2m *m2m = kunit_kzalloc(test, sizeof(*m2m), GFP_KERNEL);
	enum v4l2_buf_type type;

	KUNIT_ASSERT_NOT_NULL(test, m2m);
	m2m->test = test;
	m2m->output_fences = output;
	m2m->capture_fences = capture;
	mutex_init(&m2m->lock);
	init_waitqueue_head(&m2m->ran);
	if (!dev) {
		dev = v4l2_m2m_init(&m2m_ops);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dev);
		KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, m2m_release_dev, dev));
		KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, m2m_flush, NULL));
	}
	m2m->dev = dev;
	m2m->ctx = v4l2_m2m_ctx_init(m2m->dev, m2m, m2m_queue_init);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, m2m->ctx);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, m2m_release_ctx, m2m->ctx));

	for (type = V4L2_BUF_TYPE_VIDEO_CAPTURE; type <= V4L2_BUF_TYPE_VIDEO_OUTPUT; ++type) {
		struct v4l2_requestbuffers request = {
			.count = BUFFERS,
			.type = type,
			.memory = V4L2_MEMORY_MMAP,
		};
		struct vb2_queue *q = v4l2_m2m_get_vq(m2m->ctx, type);

		KUNIT_ASSERT_EQ(test, 0, vb2_reqbufs(q, &request));
		KUNIT_ASSERT_EQ(test, 0, v4l2_m2m_streamon(NULL, m2m->ctx, type));
	}
	return m2m;
}

static struct m2m *m2m_start(struct kunit *test, bool output, bool capture)
{
	return m2m_open(test, NULL, output, capture);
}

static struct dma_buf *m2m_export(struct m2m *m2m, enum v4l2_buf_type type, unsigned int index)
{
	struct vb2_buffer *vb = vb2_get_buffer(v4l2_m2m_get_vq(m2m->ctx, type), index);

	return mock_export_vb(m2m->test, vb, 0, O_RDWR);
}

static struct dma_buf *m2m_output(struct m2m *m2m, unsigned int index)
{
	return m2m_export(m2m, V4L2_BUF_TYPE_VIDEO_OUTPUT, index);
}

static struct dma_buf *m2m_capture(struct m2m *m2m, unsigned int index)
{
	return m2m_export(m2m, V4L2_BUF_TYPE_VIDEO_CAPTURE, index);
}

static void m2m_qbuf(struct m2m *m2m, enum v4l2_buf_type type, unsigned int index, u32 flags,
		     unsigned int frame)
{
	struct v4l2_buffer buf = {
		.type = type,
		.memory = V4L2_MEMORY_MMAP,
		.index = index,
		.bytesused = MOCK_PLANE_SIZE,
		.flags = flags,
		.timestamp.tv_sec = frame,
	};

	KUNIT_ASSERT_EQ(m2m->test, 0, vb2_qbuf(v4l2_m2m_get_vq(m2m->ctx, type), NULL, &buf));
}

static void m2m_dqbuf(struct m2m *m2m, enum v4l2_buf_type type, unsigned int index)
{
	struct v4l2_buffer buf = { .type = type, .memory = V4L2_MEMORY_MMAP };

	KUNIT_ASSERT_EQ(m2m->test, 0, vb2_dqbuf(v4l2_m2m_get_vq(m2m->ctx, type), &buf, true));
	KUNIT_ASSERT_EQ(m2m->test, index, buf.index);
}

static void m2m_qbuf_capture(struct m2m *m2m, unsigned int index)
{
	m2m_qbuf(m2m, V4L2_BUF_TYPE_VIDEO_CAPTURE, index, 0, 0);
}

/* Queues an OUTPUT buffer, which completes the job, and waits until it runs. */
static void m2m_run(struct m2m *m2m, unsigned int index, u32 flags, unsigned int frame)
{
	int runs = atomic_read(&m2m->runs);

	m2m_qbuf(m2m, V4L2_BUF_TYPE_VIDEO_OUTPUT, index, flags, frame);
	v4l2_m2m_try_schedule(m2m->ctx);
	KUNIT_ASSERT_GT(m2m->test, wait_event_timeout(m2m->ran, atomic_read(&m2m->runs) > runs,
						      20 * HZ), 0);
	KUNIT_ASSERT_EQ(m2m->test, 0, m2m->attached);
	/* From the attach, if there was a fence to publish, to the end of device_run(). */
	if (m2m->output_fences || m2m->capture_fences)
		KUNIT_EXPECT_EQ(m2m->test, !m2m->later, m2m->section);
	KUNIT_EXPECT_FALSE(m2m->test, mock_in_section(false));
}

static void m2m_end(struct m2m *m2m, enum vb2_buffer_state state)
{
	struct vb2_v4l2_buffer *src = v4l2_m2m_next_src_buf(m2m->ctx);
	struct vb2_v4l2_buffer *dst = v4l2_m2m_next_dst_buf(m2m->ctx);

	KUNIT_ASSERT_NOT_NULL(m2m->test, src);
	KUNIT_ASSERT_NOT_NULL(m2m->test, dst);
	v4l2_m2m_buf_copy_metadata(src, dst, true);
	v4l2_m2m_buf_done_and_job_finish(m2m->dev, m2m->ctx, state);
}

/* Cases */

static void both_ends(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);
	struct dma_buf *output = m2m_output(m2m, 0), *capture = m2m_capture(m2m, 0);
	struct dma_fence *read, *written;

	m2m_qbuf_capture(m2m, 0);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(capture));
	m2m_run(m2m, 0, 0, 1);
	KUNIT_EXPECT_FALSE(test, mock_reader_waits(output));
	KUNIT_EXPECT_TRUE(test, mock_writer_waits(output));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(capture));
	read = mock_seen(test, output);
	written = mock_seen(test, capture);
	KUNIT_EXPECT_PTR_NE(test, read, written);
	KUNIT_EXPECT_STREQ(test, "mock-output", read->ops->get_timeline_name(read));
	KUNIT_EXPECT_STREQ(test, "mock-capture", written->ops->get_timeline_name(written));

	m2m_end(m2m, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(read));
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(written));
}

static void capture_only(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, false, true);
	struct dma_buf *output = m2m_output(m2m, 0), *capture = m2m_capture(m2m, 0);

	m2m_qbuf_capture(m2m, 0);
	m2m_run(m2m, 0, 0, 1);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(output));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(capture));
	m2m_end(m2m, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(capture));
}

static void not_opted_in(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, false, false);
	struct dma_buf *output = m2m_output(m2m, 0), *capture = m2m_capture(m2m, 0);

	m2m_qbuf_capture(m2m, 0);
	m2m_run(m2m, 0, 0, 1);
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, output));
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, capture));
	m2m_end(m2m, VB2_BUF_STATE_DONE);
}

static void failed_job(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);
	struct dma_fence *read, *written;

	m2m_qbuf_capture(m2m, 0);
	m2m_run(m2m, 0, 0, 1);
	read = mock_seen(test, m2m_output(m2m, 0));
	written = mock_seen(test, m2m_capture(m2m, 0));
	m2m_end(m2m, VB2_BUF_STATE_ERROR);
	KUNIT_EXPECT_EQ(test, -EIO, dma_fence_get_status(read));
	KUNIT_EXPECT_EQ(test, -EIO, dma_fence_get_status(written));
}

static void held_capture(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);
	struct dma_buf *capture = m2m_capture(m2m, 0);
	struct dma_fence *slice, *written;

	/* Whether this CAPTURE buffer is ever done depends on the next QBUF of user space. */
	m2m_qbuf_capture(m2m, 0);
	m2m_run(m2m, 0, V4L2_BUF_FLAG_M2M_HOLD_CAPTURE_BUF, 1);
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, capture));
	slice = mock_seen(test, m2m_output(m2m, 0));
	m2m_end(m2m, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(slice));
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, capture));

	m2m_run(m2m, 1, V4L2_BUF_FLAG_M2M_HOLD_CAPTURE_BUF, 1);
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, capture));
	m2m_end(m2m, VB2_BUF_STATE_DONE);

	/* The last slice lets it go. */
	m2m_run(m2m, 2, 0, 1);
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(capture));
	written = mock_seen(test, capture);
	m2m_end(m2m, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(written));
}

/* User space drops a slice: the next frame returns the held buffer, which has no fence. */
static void held_capture_given_up(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);
	struct dma_buf *first = m2m_capture(m2m, 0), *second = m2m_capture(m2m, 1);

	m2m_qbuf_capture(m2m, 0);
	m2m_qbuf_capture(m2m, 1);
	m2m_run(m2m, 0, V4L2_BUF_FLAG_M2M_HOLD_CAPTURE_BUF, 1);
	m2m_end(m2m, VB2_BUF_STATE_DONE);

	m2m_run(m2m, 1, 0, 2);
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, first));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(second));
	m2m_end(m2m, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(second));
}

/* The same, but there is no other picture for the next frame: it waits for one. */
static void held_capture_was_the_last(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);
	struct dma_buf *capture = m2m_capture(m2m, 0);

	m2m_qbuf_capture(m2m, 0);
	m2m_run(m2m, 0, V4L2_BUF_FLAG_M2M_HOLD_CAPTURE_BUF, 1);
	m2m_end(m2m, VB2_BUF_STATE_DONE);
	m2m_qbuf(m2m, V4L2_BUF_TYPE_VIDEO_OUTPUT, 1, 0, 2);
	v4l2_m2m_try_schedule(m2m->ctx);
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&m2m->runs));
	m2m_dqbuf(m2m, V4L2_BUF_TYPE_VIDEO_CAPTURE, 0);
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, capture));
	m2m_qbuf_capture(m2m, 0);
	v4l2_m2m_try_schedule(m2m->ctx);
	KUNIT_EXPECT_EQ(test, 2, atomic_read(&m2m->runs));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(capture));
}

/* A job that cannot be started yet publishes nothing, however complete its buffers are. */
static void not_started(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);
	struct dma_buf *output = m2m_output(m2m, 0), *capture = m2m_capture(m2m, 0);

	m2m->busy = true;
	m2m_qbuf_capture(m2m, 0);
	m2m_qbuf(m2m, V4L2_BUF_TYPE_VIDEO_OUTPUT, 0, 0, 1);
	v4l2_m2m_try_schedule(m2m->ctx);
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, output) + mock_count(test, capture));
	/* The other reason: the stop command of an encoder or a decoder. */
	m2m->busy = false;
	m2m->ctx->has_stopped = true;
	v4l2_m2m_try_schedule(m2m->ctx);
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, output) + mock_count(test, capture));
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&m2m->runs));
	m2m->ctx->has_stopped = false;
	v4l2_m2m_try_schedule(m2m->ctx);
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&m2m->runs));
	KUNIT_EXPECT_TRUE(test, mock_writer_waits(output));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(capture));
}

static const enum v4l2_buf_type types[] = {
	V4L2_BUF_TYPE_VIDEO_CAPTURE, V4L2_BUF_TYPE_VIDEO_OUTPUT,
};

/* The job ends at both ends, whichever queue is stopped. Later ones are not cancelled. */
static void aborted(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(types); ++i) {
		struct dma_fence *read, *written;
		unsigned int job;

		for (job = 0; job < 2; ++job) {
			m2m_qbuf_capture(m2m, 0);
			m2m_run(m2m, 0, 0, 1);
			read = mock_seen(test, m2m_output(m2m, 0));
			written = mock_seen(test, m2m_capture(m2m, 0));
			if (job)
				break;
			KUNIT_ASSERT_EQ(test, 0, v4l2_m2m_streamoff(NULL, m2m->ctx, types[i]));
			KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(read));
			KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(written));
			m2m_dqbuf(m2m, types[!i], 0);
			KUNIT_ASSERT_EQ(test, 0, v4l2_m2m_streamon(NULL, m2m->ctx, types[i]));
		}
		m2m_end(m2m, VB2_BUF_STATE_ERROR);
		KUNIT_EXPECT_EQ(test, -EIO, dma_fence_get_status(read));
		KUNIT_EXPECT_EQ(test, -EIO, dma_fence_get_status(written));
		m2m_dqbuf(m2m, V4L2_BUF_TYPE_VIDEO_OUTPUT, 0);
		m2m_dqbuf(m2m, V4L2_BUF_TYPE_VIDEO_CAPTURE, 0);
	}
}

static void closed(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);
	struct dma_fence *written;

	m2m_qbuf_capture(m2m, 0);
	m2m_run(m2m, 0, 0, 1);
	written = mock_seen(test, m2m_capture(m2m, 0));
	kunit_release_action(test, m2m_release_ctx, m2m->ctx);
	KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(written));
}

/* The next job is started by the framework's worker, as soon as the last one has ended. */
static void many_jobs(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);
	struct dma_buf *capture[BUFFERS];
	unsigned int i, frame;

	for (i = 0; i < BUFFERS; ++i) {
		capture[i] = m2m_capture(m2m, i);
		m2m_qbuf_capture(m2m, i);
		m2m_qbuf(m2m, V4L2_BUF_TYPE_VIDEO_OUTPUT, i, 0, i);
	}
	v4l2_m2m_try_schedule(m2m->ctx);

	for (frame = 0; frame < 60; ++frame) {
		struct dma_fence *fence;

		i = frame % BUFFERS;
		KUNIT_ASSERT_GT(test, wait_event_timeout(m2m->ran,
							 atomic_read(&m2m->runs) == frame + 1,
							 20 * HZ), 0);
		KUNIT_ASSERT_TRUE(test, mock_reader_waits(capture[i]));
		KUNIT_ASSERT_FALSE(test, mock_reader_waits(capture[(i + 1) % BUFFERS]));
		fence = mock_seen(test, capture[i]);
		m2m_end(m2m, VB2_BUF_STATE_DONE);
		KUNIT_ASSERT_EQ(test, 1, dma_fence_get_status(fence));

		m2m_dqbuf(m2m, V4L2_BUF_TYPE_VIDEO_OUTPUT, i);
		m2m_dqbuf(m2m, V4L2_BUF_TYPE_VIDEO_CAPTURE, i);
		m2m_qbuf_capture(m2m, i);
		m2m_qbuf(m2m, V4L2_BUF_TYPE_VIDEO_OUTPUT, i, 0, frame + BUFFERS);
		v4l2_m2m_try_schedule(m2m->ctx);
	}
}

static void without_buffers(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);

	KUNIT_EXPECT_EQ(test, 0, v4l2_m2m_attach_release_fence(m2m->ctx));
	KUNIT_EXPECT_FALSE(test, mock_in_section(false));
}

/* A driver that starts the rest of a job from somewhere else annotates that itself. */
static void attached_later(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);
	struct dma_buf *capture = m2m_capture(m2m, 0);

	m2m->later = true;
	m2m_qbuf_capture(m2m, 0);
	m2m_run(m2m, 0, 0, 1);
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, capture));
	KUNIT_EXPECT_EQ(test, 0, v4l2_m2m_attach_release_fence(m2m->ctx));
	KUNIT_EXPECT_FALSE(test, mock_in_section(false));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(capture));
	m2m_end(m2m, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(capture));
}

static void attached_twice(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);
	struct dma_buf *capture = m2m_capture(m2m, 0);

	m2m->twice = true;
	m2m_qbuf_capture(m2m, 0);
	m2m_run(m2m, 0, 0, 1);
	KUNIT_EXPECT_EQ(test, 1, mock_count(test, capture));
	m2m_end(m2m, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, capture));
}

/* As visl's: when device_run() returns, the next one may have begun in another thread. */
static void over_in_device_run(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);
	unsigned int i;

	m2m->at_once = true;
	for (i = 0; i < BUFFERS; ++i) {
		m2m_qbuf_capture(m2m, i);
		if (i)
			m2m_qbuf(m2m, V4L2_BUF_TYPE_VIDEO_OUTPUT, i, 0, i);
	}
	m2m_run(m2m, 0, 0, 0);
	KUNIT_EXPECT_GT(test, wait_event_timeout(m2m->ran, atomic_read(&m2m->runs) == BUFFERS,
						 20 * HZ), 0);
	for (i = 0; i < BUFFERS; ++i)
		KUNIT_EXPECT_EQ(test, 0, mock_count(test, m2m_capture(m2m, i)));
}

struct starter {
	struct work_struct work;
	struct m2m *m2m;
};

static void start_job(struct work_struct *work)
{
	v4l2_m2m_try_schedule(container_of(work, struct starter, work)->m2m->ctx);
}

/*
 * While a consumer has the lock of a reservation object, the job of that buffer does not start, nor
 * does any other one of the device. Then both do.
 */
static void stalled_by_lock(struct kunit *test)
{
	struct m2m *m2m[2] = { m2m_start(test, true, true) };
	struct dma_buf *capture[2], *output;
	struct starter starter;
	unsigned int i;

	m2m[1] = m2m_open(test, m2m[0]->dev, true, true);
	for (i = 0; i < ARRAY_SIZE(m2m); ++i) {
		capture[i] = m2m_capture(m2m[i], 0);
		m2m_qbuf_capture(m2m[i], 0);
		m2m_qbuf(m2m[i], V4L2_BUF_TYPE_VIDEO_OUTPUT, 0, 0, 1);
	}
	output = m2m_output(m2m[0], 0);
	starter.m2m = m2m[0];
	INIT_WORK_ONSTACK(&starter.work, start_job);
	dma_resv_lock(capture[0]->resv, NULL);
	queue_work(system_unbound_wq, &starter.work);
	msleep(100);
	v4l2_m2m_try_schedule(m2m[1]->ctx);
	msleep(100);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&m2m[0]->runs) + atomic_read(&m2m[1]->runs));
	/* No consumer waits for a job that waits. */
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, output));
	dma_resv_unlock(capture[0]->resv);
	flush_work(&starter.work);
	destroy_work_on_stack(&starter.work);

	KUNIT_EXPECT_EQ(test, 1, atomic_read(&m2m[0]->runs));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(capture[0]));
	m2m_end(m2m[0], VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_GT(test, wait_event_timeout(m2m[1]->ran, atomic_read(&m2m[1]->runs) == 1,
						 20 * HZ), 0);
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(capture[1]));
}

struct scheduler {
	struct dma_fence_cb cb;
	struct m2m *m2m;
	int preempt;
};

static void schedule_next(struct dma_fence *fence, struct dma_fence_cb *cb)
{
	struct scheduler *scheduler = container_of(cb, struct scheduler, cb);

	scheduler->preempt = preempt_count();
	/* With another lock held it would be that of the device, and this would wait for ever. */
	if (scheduler->preempt <= 1)
		v4l2_m2m_try_schedule(scheduler->m2m->ctx);
}

/* A consumer's callback that comes back to the device, since its job waits for this one. */
static void scheduled_by_callback(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);
	struct scheduler scheduler[2] = { };
	struct dma_buf *dbuf[2];
	unsigned int i;

	dbuf[0] = m2m_output(m2m, 0);
	dbuf[1] = m2m_capture(m2m, 0);
	m2m_qbuf_capture(m2m, 0);
	m2m_qbuf_capture(m2m, 1);
	m2m_run(m2m, 0, 0, 1);
	m2m_qbuf(m2m, V4L2_BUF_TYPE_VIDEO_OUTPUT, 1, 0, 2);
	for (i = 0; i < ARRAY_SIZE(dbuf); ++i) {
		scheduler[i].m2m = m2m;
		scheduler[i].preempt = -1;
		KUNIT_ASSERT_EQ(test, 0, dma_fence_add_callback(mock_seen(test, dbuf[i]),
								&scheduler[i].cb, schedule_next));
	}
	m2m_end(m2m, VB2_BUF_STATE_DONE);
	for (i = 0; i < ARRAY_SIZE(dbuf); ++i) {
		KUNIT_EXPECT_LE(test, 0, scheduler[i].preempt);
		/* The fence's own lock */
		KUNIT_EXPECT_LE(test, scheduler[i].preempt, 1);
	}
	/* The next job, which was waiting, has been scheduled all the same. */
	KUNIT_EXPECT_GT(test, wait_event_timeout(m2m->ran, atomic_read(&m2m->runs) == 2, 20 * HZ),
			0);
}

/* Devices that share a queue: no job runs before each that has paused it has resumed it. */
static void paused_by_two(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);

	v4l2_m2m_suspend(m2m->dev);
	v4l2_m2m_suspend(m2m->dev);
	m2m_qbuf_capture(m2m, 0);
	m2m_qbuf(m2m, V4L2_BUF_TYPE_VIDEO_OUTPUT, 0, 0, 1);
	v4l2_m2m_try_schedule(m2m->ctx);
	v4l2_m2m_resume(m2m->dev);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&m2m->runs));
	v4l2_m2m_resume(m2m->dev);
	KUNIT_ASSERT_EQ(test, 1, atomic_read(&m2m->runs));
	m2m_end(m2m, VB2_BUF_STATE_DONE);
}

static struct kunit_case m2m_cases[] = {
	KUNIT_CASE(both_ends),
	KUNIT_CASE(capture_only),
	KUNIT_CASE(not_opted_in),
	KUNIT_CASE(failed_job),
	KUNIT_CASE(held_capture),
	KUNIT_CASE(held_capture_given_up),
	KUNIT_CASE(held_capture_was_the_last),
	KUNIT_CASE(not_started),
	KUNIT_CASE(aborted),
	KUNIT_CASE(closed),
	KUNIT_CASE(many_jobs),
	KUNIT_CASE(without_buffers),
	KUNIT_CASE(attached_later),
	KUNIT_CASE(attached_twice),
	KUNIT_CASE(over_in_device_run),
	KUNIT_CASE(stalled_by_lock),
	KUNIT_CASE(scheduled_by_callback),
	KUNIT_CASE(paused_by_two),
	{ }
};

static struct kunit_suite m2m_suite = {
	.name = "vb2-release-fence-m2m",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = mock_init,
	.test_cases = m2m_cases,
};

kunit_test_suite(m2m_suite);
