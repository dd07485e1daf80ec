// SPDX-License-Identifier: GPL-2.0-only
/*
 * In-fences: what a program passes with QBUF takes the place of implicit fences, and judges.
 */

#include <linux/delay.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/sync_file.h>
#include <media/videobuf2-v4l2.h>

#include "acquire-m2m.h"
#include "explicit.h"

/* Capture and output devices: videobuf2 itself hands over. */

static struct mock_queue *open_queue(struct kunit *test, unsigned int buffers)
{
	struct mock_queue *mq = MOCK_OPEN(test, .hands_over = true, .buffers = buffers);

	KUNIT_ASSERT_EQ(test, 0, vb2_core_streamon(&mq->q, mq->q.type));
	return mq;
}

static int try_qbuf(struct mock_queue *mq, unsigned int index, struct dma_fence *in_fence)
{
	return vb2_core_qbuf_fences(&mq->q, mock_vb(mq, index), NULL, NULL, in_fence, NULL);
}

static void qbuf(struct mock_queue *mq, unsigned int index, struct dma_fence *in_fence)
{
	KUNIT_ASSERT_EQ(mq->test, 0, try_qbuf(mq, index, in_fence));
}

static void fail(struct kunit *test, struct dma_fence *fence)
{
	dma_fence_set_error(fence, -EIO);
	mock_fence_end(test, fence);
}

/* Now or soon */
static bool reaches(struct mock_queue *mq, unsigned int index, enum vb2_buffer_state state)
{
	struct vb2_buffer *vb = mock_vb(mq, index);
	unsigned long limit = jiffies + LONG;

	while (READ_ONCE(vb->state) != state && time_before(jiffies, limit))
		msleep(20);
	return READ_ONCE(vb->state) == state;
}

static void expect_failed(struct mock_queue *mq, unsigned int index)
{
	struct kunit *test = mq->test;

	KUNIT_ASSERT_TRUE(test, reaches(mq, index, VB2_BUF_STATE_ERROR));
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&mq->given));
	KUNIT_EXPECT_EQ(test, -EIO,
			dma_fence_get_status(explicit_fence(test, mock_vb(mq, index))));
	KUNIT_EXPECT_EQ(test, index, mock_dqbuf(mq));
}

static void in_place_of_implicit_fences(struct kunit *test)
{
	struct mock_queue *mq = open_queue(test, 1);
	struct dma_resv *resv = mock_export(mq, 0, 0)->resv;
	struct dma_fence *reader = mock_fence(test), *memory = mock_fence(test);
	struct dma_fence *in_fence = mock_fence(test);

	mock_add_fence(test, resv, reader, DMA_RESV_USAGE_READ);
	mock_add_fence(test, resv, memory, DMA_RESV_USAGE_KERNEL);
	qbuf(mq, 0, in_fence);
	KUNIT_EXPECT_EQ(test, 0, acquire_callbacks(reader));
	KUNIT_EXPECT_EQ(test, 1, acquire_callbacks(memory));
	KUNIT_EXPECT_EQ(test, 1, acquire_callbacks(in_fence));
	mock_fence_end(test, in_fence);
	msleep(20);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&mq->given));
	mock_fence_end(test, memory);
	KUNIT_ASSERT_TRUE(test, reaches(mq, 0, VB2_BUF_STATE_ACTIVE));

	/* The next turn has none, and waits for the reader. */
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	mock_dqbuf(mq);
	mock_qbuf(mq, 0);
	KUNIT_EXPECT_EQ(test, 1, acquire_callbacks(reader));
	mock_fence_end(test, reader);
	KUNIT_EXPECT_TRUE(test, reaches(mq, 0, VB2_BUF_STATE_ACTIVE));
}

static void comes_back_with_the_error(struct kunit *test)
{
	struct mock_queue *mq = open_queue(test, 1);
	struct dma_fence *in_fence = mock_fence(test), *ended = mock_fence(test);

	qbuf(mq, 0, in_fence);
	KUNIT_EXPECT_EQ(test, VB2_BUF_STATE_QUEUED, mock_vb(mq, 0)->state);
	fail(test, in_fence);
	expect_failed(mq, 0);

	/* One that has failed before QBUF */
	dma_fence_get(ended);
	fail(test, ended);
	qbuf(mq, 0, ended);
	dma_fence_put(ended);
	expect_failed(mq, 0);

	/* The buffer itself has nothing of it. */
	mock_qbuf(mq, 0);
	KUNIT_EXPECT_EQ(test, VB2_BUF_STATE_ACTIVE, mock_vb(mq, 0)->state);
}

/* Each time: what a program passes is never taken for a fence that was given up before. */
static void given_up(struct kunit *test)
{
	struct mock_queue *mq = open_queue(test, 1);
	struct dma_fence *in_fence = mock_fence(test);
	unsigned int round;

	acquire_set_timeout(test, MOCK_TIMEOUT);
	for (round = 0; round < 2; ++round) {
		qbuf(mq, 0, in_fence);
		KUNIT_EXPECT_EQ(test, 1, acquire_callbacks(in_fence));
		expect_failed(mq, 0);
	}
}

/* It is judged when it is the buffer's turn, and not before the queue streams. */
static void in_order(struct kunit *test)
{
	struct mock_queue *mq = MOCK_OPEN(test, .hands_over = true, .buffers = 3);
	struct dma_fence *first = mock_fence(test), *second = mock_fence(test);

	qbuf(mq, 0, first);
	qbuf(mq, 1, second);
	mock_qbuf(mq, 2);
	fail(test, second);
	msleep(20);
	KUNIT_EXPECT_EQ(test, VB2_BUF_STATE_QUEUED, mock_vb(mq, 1)->state);
	KUNIT_ASSERT_EQ(test, 0, vb2_core_streamon(&mq->q, mq->q.type));
	msleep(20);
	KUNIT_EXPECT_EQ(test, VB2_BUF_STATE_QUEUED, mock_vb(mq, 1)->state);
	mock_fence_end(test, first);
	KUNIT_ASSERT_TRUE(test, reaches(mq, 2, VB2_BUF_STATE_ACTIVE));
	KUNIT_EXPECT_EQ(test, VB2_BUF_STATE_ACTIVE, mock_vb(mq, 0)->state);
	KUNIT_EXPECT_EQ(test, VB2_BUF_STATE_ERROR, mock_vb(mq, 1)->state);
	KUNIT_EXPECT_EQ(test, 2, atomic_read(&mq->given));
}

/* It stays queued, and is judged by a STREAMON that succeeds. */
static void start_fails(struct kunit *test)
{
	struct mock_queue *mq = MOCK_OPEN(test, .hands_over = true);
	struct dma_fence *in_fence = dma_fence_get(mock_fence(test));
	unsigned int round;

	fail(test, in_fence);
	qbuf(mq, 0, in_fence);
	dma_fence_put(in_fence);
	mq->start_error = -EBUSY;
	for (round = 0; round < 2; ++round) {
		KUNIT_EXPECT_EQ(test, -EBUSY, vb2_core_streamon(&mq->q, mq->q.type));
		KUNIT_EXPECT_EQ(test, VB2_BUF_STATE_QUEUED, mock_vb(mq, 0)->state);
	}
	mq->start_error = 0;
	KUNIT_ASSERT_EQ(test, 0, vb2_core_streamon(&mq->q, mq->q.type));
	expect_failed(mq, 0);
}

static void refused(struct kunit *test)
{
	struct mock_queue *mq = open_queue(test, 2);
	struct dma_fence *in_fence = mock_fence(test);
	const unsigned int references = kref_read(&in_fence->refcount);

	/* It is queued already. */
	mock_qbuf(mq, 0);
	KUNIT_EXPECT_EQ(test, -EINVAL, try_qbuf(mq, 0, in_fence));
	mq->q.error = 1;
	KUNIT_EXPECT_EQ(test, -EIO, try_qbuf(mq, 1, in_fence));
	mq->q.error = 0;
	KUNIT_EXPECT_EQ(test, 0, acquire_callbacks(in_fence));
	KUNIT_EXPECT_EQ(test, references, kref_read(&in_fence->refcount));

	/* STREAMOFF lets go. */
	qbuf(mq, 1, in_fence);
	KUNIT_EXPECT_EQ(test, 1, acquire_callbacks(in_fence));
	mock_streamoff(mq);
	KUNIT_EXPECT_EQ(test, 0, acquire_callbacks(in_fence));
	KUNIT_EXPECT_EQ(test, references, kref_read(&in_fence->refcount));
}

/* mem2mem devices: what a program does, with descriptors. */

int explicit_descriptor(struct kunit *test, struct dma_fence *fence)
{
	struct sync_file *file = sync_file_create(fence);
	int fd = get_unused_fd_flags(O_CLOEXEC);

	KUNIT_ASSERT_NOT_NULL(test, file);
	KUNIT_ASSERT_GE(test, fd, 0);
	fd_install(fd, file->file);
	return fd;
}

static void m2m_qbuf_in(struct m2m *m2m, enum v4l2_buf_type type, unsigned int index,
			struct dma_fence *in_fence)
{
	struct kunit *test = m2m->test;
	struct v4l2_buffer buf = {
		.type = type,
		.memory = V4L2_MEMORY_MMAP,
		.index = index,
		.bytesused = MOCK_PLANE_SIZE,
		.flags = V4L2_BUF_FLAG_IN_FENCE,
		.fence_fd = explicit_descriptor(test, in_fence),
		.timestamp.tv_sec = 1,
	};
	const int fd = buf.fence_fd;

	KUNIT_ASSERT_EQ(test, 0, vb2_qbuf(v4l2_m2m_get_vq(m2m->ctx, type), NULL, &buf));
	KUNIT_EXPECT_EQ(test, -1, buf.fence_fd);
	KUNIT_EXPECT_EQ(test, 0, buf.flags & V4L2_BUF_FLAG_IN_FENCE);
	/* The descriptor is the program's. */
	KUNIT_EXPECT_EQ(test, 0, close_fd(fd));
	v4l2_m2m_try_schedule(m2m->ctx);
}

/* Dequeues a buffer that comes back with an error; its flags */
static u32 m2m_failed(struct m2m *m2m, enum v4l2_buf_type type, unsigned int index)
{
	struct v4l2_buffer buf = { .type = type, .memory = V4L2_MEMORY_MMAP };
	struct vb2_queue *q = v4l2_m2m_get_vq(m2m->ctx, type);
	unsigned long limit = jiffies + LONG;
	int ret;

	while ((ret = vb2_dqbuf(q, &buf, true)) == -EAGAIN && time_before(jiffies, limit))
		msleep(20);
	KUNIT_ASSERT_EQ(m2m->test, 0, ret);
	KUNIT_EXPECT_EQ(m2m->test, index, buf.index);
	KUNIT_EXPECT_NE(m2m->test, 0, buf.flags & V4L2_BUF_FLAG_ERROR);
	KUNIT_EXPECT_EQ(m2m->test, 1, buf.timestamp.tv_sec);
	KUNIT_EXPECT_EQ(m2m->test, 0, buf.fence_fd);
	return buf.flags;
}

static void output_fails(struct kunit *test)
{
	struct m2m *m2m = M2M_ACQUIRING(test);
	struct dma_fence *in_fence = mock_fence(test);

	m2m_qbuf_capture(m2m, 0);
	m2m_qbuf_in(m2m, OUTPUT, 0, in_fence);
	acquire_expect_runs(m2m, 0);
	fail(test, in_fence);
	m2m_failed(m2m, CAPTURE, 0);
	m2m_failed(m2m, OUTPUT, 0);
	KUNIT_EXPECT_EQ(test, 0, m2m_runs(m2m));
	/* Nothing was decoded into it. */
	KUNIT_EXPECT_NULL(test, vb2_find_buffer(v4l2_m2m_get_vq(m2m->ctx, CAPTURE), NSEC_PER_SEC));
	acquire_queue_job(m2m, 1);
	acquire_expect_job(m2m, 1, 1);
}

/* What was to be written into it is written into the next one. */
static void capture_fails(struct kunit *test)
{
	struct m2m *m2m = M2M_ACQUIRING(test);
	struct dma_fence *in_fence = mock_fence(test);
	struct v4l2_buffer buf = { .type = CAPTURE, .memory = V4L2_MEMORY_MMAP };

	m2m_qbuf_in(m2m, CAPTURE, 0, in_fence);
	m2m_qbuf_capture(m2m, 1);
	m2m_qbuf(m2m, OUTPUT, 1, 0, 1);
	v4l2_m2m_try_schedule(m2m->ctx);
	acquire_expect_runs(m2m, 0);
	fail(test, in_fence);
	acquire_expect_job(m2m, 1, 1);
	KUNIT_ASSERT_EQ(test, 0, vb2_dqbuf(v4l2_m2m_get_vq(m2m->ctx, CAPTURE), &buf, true));
	KUNIT_EXPECT_EQ(test, 0, buf.index);
	KUNIT_EXPECT_NE(test, 0, buf.flags & V4L2_BUF_FLAG_ERROR);
	KUNIT_EXPECT_EQ(test, V4L2_FIELD_NONE, buf.field);
	m2m_dqbuf(m2m, CAPTURE, 1);
}

/* The picture lacks a slice. */
static void held_capture_fails(struct kunit *test)
{
	struct m2m *m2m = M2M_ACQUIRING(test);
	struct dma_fence *in_fence = mock_fence(test);

	m2m_qbuf_capture(m2m, 0);
	m2m_run(m2m, 0, V4L2_BUF_FLAG_M2M_HOLD_CAPTURE_BUF, 1);
	m2m_end(m2m, VB2_BUF_STATE_DONE);
	m2m_qbuf_in(m2m, OUTPUT, 1, in_fence);
	acquire_expect_runs(m2m, 1);
	fail(test, in_fence);
	m2m_failed(m2m, CAPTURE, 0);
	m2m_dqbuf(m2m, OUTPUT, 0);
	m2m_failed(m2m, OUTPUT, 1);
	KUNIT_EXPECT_EQ(test, 1, m2m_runs(m2m));
	/* What there is of it can be referred to, as after any failed job. */
	KUNIT_EXPECT_NOT_NULL(test, vb2_find_buffer(v4l2_m2m_get_vq(m2m->ctx, CAPTURE),
						    NSEC_PER_SEC));
}

static void last_one_of_a_drain_fails(struct kunit *test)
{
	struct m2m *m2m = M2M_ACQUIRING(test);
	struct dma_fence *in_fence = mock_fence(test);
	struct v4l2_decoder_cmd stop = { .cmd = V4L2_DEC_CMD_STOP };

	m2m_qbuf_capture(m2m, 0);
	m2m_qbuf_in(m2m, OUTPUT, 0, in_fence);
	KUNIT_ASSERT_EQ(test, 0, v4l2_m2m_decoder_cmd(NULL, m2m->ctx, &stop));
	fail(test, in_fence);
	KUNIT_EXPECT_NE(test, 0, m2m_failed(m2m, CAPTURE, 0) & V4L2_BUF_FLAG_LAST);
	KUNIT_EXPECT_TRUE(test, v4l2_m2m_has_stopped(m2m->ctx));
	m2m_failed(m2m, OUTPUT, 0);
}

/* Of a driver that works on two pairs in one job, and is at the second one. */
static void second_pair_fails(struct kunit *test)
{
	struct m2m *m2m = M2M_ACQUIRING(test);
	struct dma_fence *in_fence = mock_fence(test);

	m2m_qbuf_capture(m2m, 0);
	m2m_run(m2m, 0, 0, 1);
	m2m_qbuf_capture(m2m, 1);
	m2m_qbuf_in(m2m, OUTPUT, 1, in_fence);
	fail(test, in_fence);
	v4l2_m2m_buf_done(v4l2_m2m_src_buf_remove(m2m->ctx), VB2_BUF_STATE_DONE);
	v4l2_m2m_buf_done(v4l2_m2m_dst_buf_remove(m2m->ctx), VB2_BUF_STATE_DONE);
	m2m_dqbuf(m2m, CAPTURE, 0);
	m2m_dqbuf(m2m, OUTPUT, 0);
	KUNIT_EXPECT_TRUE(test, v4l2_m2m_fail_job(m2m->ctx));
	m2m_failed(m2m, CAPTURE, 1);
	m2m_failed(m2m, OUTPUT, 1);
	KUNIT_EXPECT_FALSE(test, v4l2_m2m_fail_job(m2m->ctx));

	m2m_qbuf_capture(m2m, 2);
	m2m_qbuf(m2m, OUTPUT, 2, 0, 3);
	m2m_end(m2m, VB2_BUF_STATE_DONE);
}

static struct kunit_case in_cases[] = {
	KUNIT_CASE(in_place_of_implicit_fences),
	KUNIT_CASE(comes_back_with_the_error),
	KUNIT_CASE(given_up),
	KUNIT_CASE(in_order),
	KUNIT_CASE(start_fails),
	KUNIT_CASE(refused),
	KUNIT_CASE(output_fails),
	KUNIT_CASE(capture_fails),
	KUNIT_CASE(held_capture_fails),
	KUNIT_CASE(last_one_of_a_drain_fails),
	KUNIT_CASE(second_pair_fails),
	{ }
};

static struct kunit_suite in_suite = {
	.name = "vb2-release-fence-in",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = acquire_init,
	.test_cases = in_cases,
};

kunit_test_suite(in_suite);
