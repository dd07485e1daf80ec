// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mem2mem device of m2m.c, and what an application does with it.
 */

#include <linux/delay.h>
#include <linux/fcntl.h>
#include <media/videobuf2-v4l2.h>
#include <media/videobuf2-vmalloc.h>

#include "m2m.h"

static void m2m_finish(struct m2m *m2m, enum vb2_buffer_state state)
{
	atomic_inc(&m2m->ends);
	v4l2_m2m_buf_done_and_job_finish(m2m->dev, m2m->ctx, state);
}

static void m2m_device_run(void *priv)
{
	struct m2m *m2m = priv;
	const bool lingers = m2m->lingers, stays = m2m->stays;

	m2m->attached = m2m->later ? 0 : v4l2_m2m_attach_release_fence(m2m->ctx);
	if (m2m->twice)
		m2m->attached = v4l2_m2m_attach_release_fence(m2m->ctx) ?: m2m->attached;
	m2m->section = mock_in_section(!m2m->later);
	if (m2m->at_once)
		m2m_finish(m2m, VB2_BUF_STATE_DONE);
	atomic_inc(&m2m->runs);
	wake_up(&m2m->ran);
	if (lingers)
		msleep(200);
	if (stays)
		wait_for_completion_timeout(&m2m->leave, 20 * HZ);
	if (lingers || stays)
		WRITE_ONCE(m2m->left, true);
}

/* The hardware can be stopped at once, when it was started: device_run() may not have begun. */
static void m2m_job_abort(void *priv)
{
	struct m2m *m2m = priv;

	wait_event_timeout(m2m->ran, m2m_runs(m2m) > atomic_read(&m2m->ends), 20 * HZ);
	m2m_finish(m2m, VB2_BUF_STATE_ERROR);
}

static int m2m_job_ready(void *priv)
{
	struct m2m *m2m = priv;

	if (m2m->in_job_ready)
		m2m->in_job_ready(m2m);
	if (m2m->busy)
		return false;
	/* The framework has looked at the first ones. */
	return m2m->pairs == 1 ||
	       (v4l2_m2m_num_src_bufs_ready(m2m->ctx) >= m2m->pairs &&
		v4l2_m2m_num_dst_bufs_ready(m2m->ctx) >= m2m->pairs &&
		v4l2_m2m_bufs_acquired(&m2m->ctx->out_q_ctx, m2m->pairs) &&
		v4l2_m2m_bufs_acquired(&m2m->ctx->cap_q_ctx, m2m->pairs));
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

static int m2m_buf_out_validate(struct vb2_buffer *vb)
{
	return 0;
}

static int m2m_buf_prepare(struct vb2_buffer *vb)
{
	struct m2m *m2m = vb2_get_drv_priv(vb->vb2_queue);

	return vb->vb2_queue->is_output && m2m->refused && vb->index >= m2m->refused ? -EINVAL : 0;
}

static void m2m_buf_request_complete(struct vb2_buffer *vb)
{
	struct m2m *m2m = vb2_get_drv_priv(vb->vb2_queue);

	m2m->completed++;
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
	.buf_out_validate = m2m_buf_out_validate,
	.buf_prepare = m2m_buf_prepare,
	.buf_queue = m2m_buf_queue,
	.buf_request_complete = m2m_buf_request_complete,
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
	output->supports_requests = !!m2m->media;
	capture->type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
	if (m2m->output_fences)
		vb2_queue_use_release_fences(output);
	if (m2m->capture_fences)
		vb2_queue_use_release_fences(capture);
	if (m2m->output_acquires)
		vb2_queue_use_acquire_fences(output);
	if (m2m->capture_acquires)
		vb2_queue_use_acquire_fences(capture);
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

struct m2m *m2m_open_config(struct kunit *test, const struct m2m_config *config)
{
	struct m2m *m2m = kunit_kzalloc(test, sizeof(*m2m), GFP_KERNEL);
	struct v4l2_m2m_dev *dev = config->dev;
	enum v4l2_buf_type type;

	KUNIT_ASSERT_NOT_NULL(test, m2m);
	m2m->test = test;
	m2m->output_fences = config->output_fences;
	m2m->capture_fences = config->capture_fences;
	m2m->output_acquires = config->output_acquires;
	m2m->capture_acquires = config->capture_acquires;
	m2m->media = config->media;
	m2m->pairs = config->pairs ?: 1;
	mutex_init(&m2m->lock);
	init_waitqueue_head(&m2m->ran);
	init_completion(&m2m->leave);
	if (!dev) {
		dev = v4l2_m2m_init(&m2m_ops);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dev);
		KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, m2m_release_dev, dev));
	}
	m2m->dev = dev;
	m2m->ctx = v4l2_m2m_ctx_init(m2m->dev, m2m, m2m_queue_init);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, m2m->ctx);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, m2m_release_ctx, m2m->ctx));

	for (type = V4L2_BUF_TYPE_VIDEO_CAPTURE; type <= V4L2_BUF_TYPE_VIDEO_OUTPUT; ++type) {
		struct v4l2_requestbuffers request = {
			.count = M2M_BUFFERS,
			.type = type,
			.memory = V4L2_MEMORY_MMAP,
		};
		struct vb2_queue *q = v4l2_m2m_get_vq(m2m->ctx, type);

		KUNIT_ASSERT_EQ(test, 0, vb2_reqbufs(q, &request));
		KUNIT_ASSERT_EQ(test, 0, v4l2_m2m_streamon(NULL, m2m->ctx, type));
	}
	return m2m;
}

struct m2m *m2m_open(struct kunit *test, struct v4l2_m2m_dev *dev, bool output, bool capture)
{
	return M2M_OPEN(test, .dev = dev, .output_fences = output, .capture_fences = capture);
}

struct m2m *m2m_start(struct kunit *test, bool output, bool capture)
{
	return m2m_open(test, NULL, output, capture);
}

void m2m_close(struct m2m *m2m)
{
	kunit_release_action(m2m->test, m2m_release_ctx, m2m->ctx);
}

void m2m_unbind(struct m2m *m2m)
{
	kunit_release_action(m2m->test, m2m_release_dev, m2m->dev);
}

static struct dma_buf *m2m_export(struct m2m *m2m, enum v4l2_buf_type type, unsigned int index)
{
	struct vb2_buffer *vb = vb2_get_buffer(v4l2_m2m_get_vq(m2m->ctx, type), index);

	return mock_export_vb(m2m->test, vb, 0, O_RDWR);
}

struct dma_buf *m2m_output(struct m2m *m2m, unsigned int index)
{
	return m2m_export(m2m, V4L2_BUF_TYPE_VIDEO_OUTPUT, index);
}

struct dma_buf *m2m_capture(struct m2m *m2m, unsigned int index)
{
	return m2m_export(m2m, V4L2_BUF_TYPE_VIDEO_CAPTURE, index);
}

void m2m_qbuf(struct m2m *m2m, enum v4l2_buf_type type, unsigned int index, u32 flags,
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

void m2m_dqbuf(struct m2m *m2m, enum v4l2_buf_type type, unsigned int index)
{
	struct v4l2_buffer buf = { .type = type, .memory = V4L2_MEMORY_MMAP };

	KUNIT_ASSERT_EQ(m2m->test, 0, vb2_dqbuf(v4l2_m2m_get_vq(m2m->ctx, type), &buf, true));
	KUNIT_ASSERT_EQ(m2m->test, index, buf.index);
}

void m2m_qbuf_capture(struct m2m *m2m, unsigned int index)
{
	m2m_qbuf(m2m, V4L2_BUF_TYPE_VIDEO_CAPTURE, index, 0, 0);
}

void m2m_run(struct m2m *m2m, unsigned int index, u32 flags, unsigned int frame)
{
	int runs = m2m_runs(m2m);

	m2m_qbuf(m2m, V4L2_BUF_TYPE_VIDEO_OUTPUT, index, flags, frame);
	v4l2_m2m_try_schedule(m2m->ctx);
	KUNIT_ASSERT_TRUE(m2m->test, m2m_reaches(m2m, runs + 1));
	KUNIT_ASSERT_EQ(m2m->test, 0, m2m->attached);
	/* From the attach, if there was a fence to publish, to the end of device_run(). */
	if (m2m->output_fences || m2m->capture_fences)
		KUNIT_EXPECT_EQ(m2m->test, !m2m->later, m2m->section);
	KUNIT_EXPECT_FALSE(m2m->test, mock_in_section(false));
}

void m2m_end(struct m2m *m2m, enum vb2_buffer_state state)
{
	struct vb2_v4l2_buffer *src = v4l2_m2m_next_src_buf(m2m->ctx);
	struct vb2_v4l2_buffer *dst = v4l2_m2m_next_dst_buf(m2m->ctx);

	KUNIT_ASSERT_NOT_NULL(m2m->test, src);
	KUNIT_ASSERT_NOT_NULL(m2m->test, dst);
	v4l2_m2m_buf_copy_metadata(src, dst, true);
	m2m_finish(m2m, state);
}
