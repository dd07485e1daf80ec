// SPDX-License-Identifier: GPL-2.0-only
/*
 * Buffers of mem2mem devices that wait and get no job, or another one: held CAPTURE buffers, drain,
 * STREAMOFF, close and unbind.
 */

#include <linux/delay.h>
#include <linux/fs.h>
#include <media/v4l2-fh.h>
#include <media/videobuf2-v4l2.h>

#include "acquire-m2m.h"

/* The picture has waited before its first slice. */
static void held_capture(struct kunit *test)
{
	struct m2m *m2m = M2M_ACQUIRING(test);
	struct dma_buf *capture = m2m_capture(m2m, 0);
	struct dma_fence *reader = acquire_user(m2m, CAPTURE, 0), *writer;

	m2m_qbuf_capture(m2m, 0);
	m2m_qbuf(m2m, OUTPUT, 0, V4L2_BUF_FLAG_M2M_HOLD_CAPTURE_BUF, 1);
	v4l2_m2m_try_schedule(m2m->ctx);
	acquire_expect_runs(m2m, 0);
	mock_fence_end(test, reader);
	acquire_expect_job(m2m, 1, 0);

	/* The next slice waits, and the picture does not, whatever its dma-buf has by then. */
	acquire_user(m2m, CAPTURE, 0);
	writer = acquire_user(m2m, OUTPUT, 1);
	m2m_qbuf(m2m, OUTPUT, 1, 0, 1);
	v4l2_m2m_try_schedule(m2m->ctx);
	acquire_expect_runs(m2m, 1);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(capture));
	mock_fence_end(test, writer);
	KUNIT_ASSERT_TRUE(test, m2m_reaches(m2m, 2));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(capture));
	m2m_end(m2m, VB2_BUF_STATE_DONE);
	m2m_dqbuf(m2m, CAPTURE, 0);
}

/* The next frame has the held picture returned, even if it waits; and then its own one counts. */
static void held_capture_is_returned(struct kunit *test)
{
	struct m2m *m2m = M2M_ACQUIRING(test);
	struct dma_fence *reader = acquire_user(m2m, CAPTURE, 1);
	struct dma_fence *writer = acquire_user(m2m, OUTPUT, 1);

	m2m_qbuf_capture(m2m, 0);
	m2m_qbuf_capture(m2m, 1);
	m2m_run(m2m, 0, V4L2_BUF_FLAG_M2M_HOLD_CAPTURE_BUF, 1);
	m2m_end(m2m, VB2_BUF_STATE_DONE);
	m2m_qbuf(m2m, OUTPUT, 1, 0, 2);
	v4l2_m2m_try_schedule(m2m->ctx);
	m2m_dqbuf(m2m, CAPTURE, 0);
	mock_fence_end(test, writer);
	acquire_expect_runs(m2m, 1);
	mock_fence_end(test, reader);
	acquire_expect_job(m2m, 2, 1);
}

/* The same, but the job would be scheduled if it were for the held picture. */
static void next_capture_waits(struct kunit *test)
{
	struct m2m *m2m = M2M_ACQUIRING(test);
	struct dma_fence *reader = acquire_user(m2m, CAPTURE, 1);

	m2m_qbuf_capture(m2m, 0);
	m2m_qbuf_capture(m2m, 1);
	m2m_run(m2m, 0, V4L2_BUF_FLAG_M2M_HOLD_CAPTURE_BUF, 1);
	m2m_end(m2m, VB2_BUF_STATE_DONE);
	m2m_qbuf(m2m, OUTPUT, 1, 0, 2);
	v4l2_m2m_try_schedule(m2m->ctx);
	acquire_expect_runs(m2m, 1);
	mock_fence_end(test, reader);
	acquire_expect_job(m2m, 2, 1);
}

/* FLUSH finds the slice that waits: its job lets the picture go. */
static void flushed(struct kunit *test)
{
	struct m2m *m2m = M2M_ACQUIRING(test);
	struct dma_fence *writer = acquire_user(m2m, OUTPUT, 0);
	struct v4l2_decoder_cmd flush = { .cmd = V4L2_DEC_CMD_FLUSH };
	struct v4l2_fh *fh = kunit_kzalloc(test, sizeof(*fh), GFP_KERNEL);
	struct file *file = kunit_kzalloc(test, sizeof(*file), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, fh);
	KUNIT_ASSERT_NOT_NULL(test, file);
	fh->m2m_ctx = m2m->ctx;
	file->private_data = fh;
	m2m_qbuf_capture(m2m, 0);
	m2m_qbuf(m2m, OUTPUT, 0, V4L2_BUF_FLAG_M2M_HOLD_CAPTURE_BUF, 1);
	v4l2_m2m_try_schedule(m2m->ctx);
	KUNIT_ASSERT_EQ(test, 0, v4l2_m2m_ioctl_stateless_decoder_cmd(file, NULL, &flush));
	acquire_expect_runs(m2m, 0);
	mock_fence_end(test, writer);
	acquire_expect_job(m2m, 1, 0);
	m2m_dqbuf(m2m, CAPTURE, 0);
}

static bool is_empty(struct m2m *m2m, enum v4l2_buf_type type)
{
	struct v4l2_buffer buf = { .type = type, .memory = V4L2_MEMORY_MMAP };

	return vb2_dqbuf(v4l2_m2m_get_vq(m2m->ctx, type), &buf, true) == -EAGAIN;
}

/* A drain is over when the buffer that waits has had its job. */
static void drained(struct kunit *test)
{
	struct m2m *m2m = M2M_ACQUIRING(test);
	struct dma_fence *writer = acquire_user(m2m, OUTPUT, 0);
	struct v4l2_decoder_cmd stop = { .cmd = V4L2_DEC_CMD_STOP };

	acquire_queue_job(m2m, 0);
	KUNIT_ASSERT_EQ(test, 0, v4l2_m2m_decoder_cmd(NULL, m2m->ctx, &stop));
	acquire_expect_runs(m2m, 0);
	KUNIT_EXPECT_TRUE(test, m2m->ctx->is_draining);
	KUNIT_EXPECT_TRUE(test, is_empty(m2m, CAPTURE));
	mock_fence_end(test, writer);
	KUNIT_ASSERT_TRUE(test, m2m_reaches(m2m, 1));
	KUNIT_EXPECT_TRUE(test,
			  v4l2_m2m_is_last_draining_src_buf(m2m->ctx,
							    v4l2_m2m_next_src_buf(m2m->ctx)));
	v4l2_m2m_mark_stopped(m2m->ctx);
	m2m_end(m2m, VB2_BUF_STATE_DONE);
	m2m_dqbuf(m2m, CAPTURE, 0);
}

/* If there is no job left, the device does not write the last buffer: it need not wait. */
static void last_buffer_is_empty(struct kunit *test)
{
	struct m2m *m2m = M2M_ACQUIRING(test);
	struct dma_fence *reader = acquire_user(m2m, CAPTURE, 0);
	struct v4l2_decoder_cmd stop = { .cmd = V4L2_DEC_CMD_STOP };
	struct v4l2_decoder_cmd start = { .cmd = V4L2_DEC_CMD_START };

	m2m_qbuf_capture(m2m, 0);
	KUNIT_ASSERT_EQ(test, 0, v4l2_m2m_decoder_cmd(NULL, m2m->ctx, &stop));
	m2m_dqbuf(m2m, CAPTURE, 0);
	KUNIT_EXPECT_EQ(test, 0, acquire_callbacks(reader));

	/* The next time it is written, and waits. */
	KUNIT_ASSERT_EQ(test, 0, v4l2_m2m_decoder_cmd(NULL, m2m->ctx, &start));
	acquire_queue_job(m2m, 0);
	acquire_expect_runs(m2m, 0);
	mock_fence_end(test, reader);
	acquire_expect_job(m2m, 1, 0);
}

static const enum v4l2_buf_type types[] = { CAPTURE, OUTPUT };

/* One queue is stopped. The buffer of the other one goes on waiting. */
static void streamoff(struct kunit *test)
{
	struct m2m *m2m = M2M_ACQUIRING(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(types); ++i) {
		struct dma_fence *mine = acquire_user(m2m, types[i], 0);
		struct dma_fence *other = acquire_user(m2m, types[!i], 0);

		acquire_queue_job(m2m, 0);
		KUNIT_ASSERT_EQ(test, 0, v4l2_m2m_streamoff(NULL, m2m->ctx, types[i]));
		KUNIT_EXPECT_EQ(test, 0, acquire_callbacks(mine));
		KUNIT_EXPECT_EQ(test, 1, acquire_callbacks(other));
		KUNIT_ASSERT_EQ(test, 0, v4l2_m2m_streamon(NULL, m2m->ctx, types[i]));
		m2m_qbuf(m2m, types[i], 0, 0, 1);
		v4l2_m2m_try_schedule(m2m->ctx);
		mock_fence_end(test, other);
		acquire_expect_runs(m2m, i);
		mock_fence_end(test, mine);
		acquire_expect_job(m2m, i + 1, 0);
		m2m_dqbuf(m2m, CAPTURE, 0);
		m2m_dqbuf(m2m, OUTPUT, 0);
	}
}

/* A buffer that is queued before STREAMON waits from then on. */
static void before_streamon(struct kunit *test)
{
	struct m2m *m2m = M2M_ACQUIRING(test);
	struct dma_fence *reader = acquire_user(m2m, CAPTURE, 0);

	KUNIT_ASSERT_EQ(test, 0, v4l2_m2m_streamoff(NULL, m2m->ctx, CAPTURE));
	acquire_queue_job(m2m, 0);
	mock_fence_end(test, reader);
	acquire_expect_runs(m2m, 0);
	KUNIT_ASSERT_EQ(test, 0, v4l2_m2m_streamon(NULL, m2m->ctx, CAPTURE));
	acquire_expect_job(m2m, 1, 0);
}

static void reqbufs(struct kunit *test)
{
	struct m2m *m2m = M2M_ACQUIRING(test);
	struct dma_fence *fences[ARRAY_SIZE(types)];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(types); ++i)
		fences[i] = acquire_user(m2m, types[i], 0);
	acquire_queue_job(m2m, 0);
	for (i = 0; i < ARRAY_SIZE(types); ++i) {
		struct v4l2_requestbuffers request = {
			.type = types[i],
			.memory = V4L2_MEMORY_MMAP,
		};
		struct vb2_queue *q = v4l2_m2m_get_vq(m2m->ctx, types[i]);

		KUNIT_ASSERT_EQ(test, 0, v4l2_m2m_streamoff(NULL, m2m->ctx, types[i]));
		KUNIT_ASSERT_EQ(test, 0, vb2_reqbufs(q, &request));
		KUNIT_EXPECT_EQ(test, 0, acquire_callbacks(fences[i]));
		mock_fence_end(test, fences[i]);
	}
	acquire_expect_runs(m2m, 0);
}

/* Closed, and the driver unbound, while buffers wait: fences that end after that find nothing. */
static void closed(struct kunit *test)
{
	struct m2m *m2m = M2M_ACQUIRING(test);
	struct dma_fence *reader = acquire_user(m2m, CAPTURE, 0);
	struct dma_fence *writer = acquire_user(m2m, OUTPUT, 0);

	acquire_queue_job(m2m, 0);
	m2m_close(m2m);
	KUNIT_EXPECT_EQ(test, 0, acquire_callbacks(reader));
	KUNIT_EXPECT_EQ(test, 0, acquire_callbacks(writer));
	mock_fence_end(test, reader);
	m2m_unbind(m2m);
	mock_fence_end(test, writer);
	acquire_expect_runs(m2m, 0);
}

/* The job ends before device_run() returns: the work is still busy with it. */
static void keep_work_busy(struct m2m *m2m)
{
	struct dma_fence *fence = acquire_user(m2m, CAPTURE, 0);

	m2m->at_once = true;
	acquire_queue_job(m2m, 0);
	mock_fence_end(m2m->test, fence);
	KUNIT_ASSERT_TRUE(m2m->test, m2m_reaches(m2m, 1));
}

/* A context that is to be scheduled is closed before the work comes to it. It is not waited for. */
static void closed_before_the_work(struct kunit *test)
{
	struct m2m *stays = M2M_ACQUIRING(test), *next = M2M_ACQUIRING(test, .dev = stays->dev);
	struct m2m *closed = M2M_ACQUIRING(test, .dev = stays->dev);
	struct dma_fence *fence = mock_fence(test);

	acquire_add_user(closed, CAPTURE, 0, fence);
	acquire_add_user(next, CAPTURE, 0, fence);
	acquire_queue_job(closed, 0);
	acquire_queue_job(next, 0);
	stays->stays = true;
	keep_work_busy(stays);
	mock_fence_end(test, fence);
	m2m_close(closed);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(stays->left));
	complete(&stays->leave);
	acquire_expect_job(next, 1, 0);
	KUNIT_EXPECT_EQ(test, 0, m2m_runs(closed));
}

/* The device goes when its last job is over, but not before the work has left device_run(). */
static void released_in_the_work(struct kunit *test)
{
	struct m2m *m2m = M2M_ACQUIRING(test);

	m2m->lingers = true;
	keep_work_busy(m2m);
	m2m_close(m2m);
	m2m_unbind(m2m);
	KUNIT_EXPECT_TRUE(test, m2m->left);
}

static struct kunit_case acquire_m2m_ends_cases[] = {
	KUNIT_CASE(held_capture),
	KUNIT_CASE(held_capture_is_returned),
	KUNIT_CASE(next_capture_waits),
	KUNIT_CASE(flushed),
	KUNIT_CASE(drained),
	KUNIT_CASE(last_buffer_is_empty),
	KUNIT_CASE(streamoff),
	KUNIT_CASE(before_streamon),
	KUNIT_CASE(reqbufs),
	KUNIT_CASE(closed),
	KUNIT_CASE(closed_before_the_work),
	KUNIT_CASE(released_in_the_work),
	{ }
};

static struct kunit_suite acquire_m2m_ends_suite = {
	.name = "vb2-release-fence-acquire-m2m-ends",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = acquire_init,
	.test_cases = acquire_m2m_ends_cases,
};

kunit_test_suite(acquire_m2m_ends_suite);
