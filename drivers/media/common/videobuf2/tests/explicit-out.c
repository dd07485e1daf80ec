// SPDX-License-Identifier: GPL-2.0-only
/*
 * Out-fences: published by QBUF, on queues whose hardware runs freely.
 */

#include <linux/delay.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/ktime.h>

#include "../videobuf2-qbuf-fences.h"
#include "acquire.h"
#include "explicit.h"

static struct mock_queue *open_queue(struct kunit *test, unsigned int buffers)
{
	struct mock_queue *mq = MOCK_OPEN(test, .hands_over = true, .out_fences = true,
					  .buffers = buffers);

	KUNIT_ASSERT_EQ(test, 0, vb2_core_streamon(&mq->q, mq->q.type));
	return mq;
}

/* What vb2_ioctl_qbuf() does with the descriptor of the fence, which no program gets here. */
static int try_qbuf(struct mock_queue *mq, unsigned int index, struct dma_fence *in_fence)
{
	struct v4l2_buffer b = {
		.index = index, .type = mq->q.type, .flags = V4L2_BUF_FLAG_OUT_FENCE,
	};
	struct vb2_qbuf_fences fences;
	struct file *file = NULL;
	int ret = vb2_qbuf_get_fences(&mq->q, &b, true, &fences);

	if (ret)
		return ret;
	ret = vb2_core_qbuf_fences(&mq->q, mock_vb(mq, index), NULL, NULL, in_fence, fences.out);
	vb2_qbuf_put_fences(&b, &fences, ret, &file);
	KUNIT_EXPECT_EQ(mq->test, !ret, !!file);
	if (file) {
		put_unused_fd(b.fence_fd);
		fput(file);
	}
	return ret;
}

static struct dma_fence *qbuf(struct mock_queue *mq, unsigned int index,
			      struct dma_fence *in_fence)
{
	KUNIT_ASSERT_EQ(mq->test, 0, try_qbuf(mq, index, in_fence));
	return explicit_fence(mq->test, mock_vb(mq, index));
}

static void at_qbuf(struct kunit *test)
{
	struct mock_queue *mq = open_queue(test, 1);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	struct dma_fence *out, *last = NULL;
	unsigned int round;

	for (round = 0; round < 3; ++round) {
		out = qbuf(mq, 0, NULL);
		KUNIT_EXPECT_EQ(test, 0, dma_fence_get_status(out));
		KUNIT_EXPECT_PTR_EQ(test, out, mock_seen(test, dbuf));
		if (last)
			KUNIT_EXPECT_GT(test, out->seqno, last->seqno);
		/* The job has this fence, and no other. */
		KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
		KUNIT_EXPECT_PTR_EQ(test, out, mock_seen(test, dbuf));
		mock_done(mq, 0, round ? VB2_BUF_STATE_DONE : VB2_BUF_STATE_ERROR);
		KUNIT_EXPECT_EQ(test, round ? 1 : -EIO, dma_fence_get_status(out));
		KUNIT_EXPECT_PTR_EQ(test, out, explicit_fence(test, mock_vb(mq, 0)));
		mock_dqbuf(mq);
		last = out;
	}
}

/*
 * The driver, for which the out-fences of other buffers wait by then, has no lock of a reservation
 * object to wait for: whether the program asked for a fence or not, and when it queued the buffer.
 */
static void driver_publishes_nothing(struct kunit *test)
{
	struct mock_queue *mq = MOCK_OPEN(test, .hands_over = true, .out_fences = true,
					  .buffers = 3);
	struct dma_fence *reader = mock_fence(test);
	struct dma_buf *dbufs[3];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(dbufs); ++i)
		dbufs[i] = mock_export(mq, i, 0);
	mock_add_fence(test, dbufs[1]->resv, reader, DMA_RESV_USAGE_READ);
	mock_qbuf(mq, 0);
	mock_qbuf(mq, 1);
	/* Until the queue streams only the program can end a job. */
	KUNIT_EXPECT_FALSE(test, mock_reader_waits(dbufs[0]));
	KUNIT_EXPECT_EQ(test, -EAGAIN, explicit_error(mock_vb(mq, 0)));
	KUNIT_ASSERT_EQ(test, 0, vb2_core_streamon(&mq->q, mq->q.type));
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&mq->given));
	mock_qbuf(mq, 2);
	mock_fence_end(test, reader);
	while (atomic_read(&mq->given) < 3)
		msleep(20);
	for (i = 0; i < ARRAY_SIZE(dbufs); ++i) {
		KUNIT_EXPECT_TRUE(test, mock_reader_waits(dbufs[i]));
		KUNIT_EXPECT_EQ(test, 0, explicit_error(mock_vb(mq, i)));
		dma_resv_lock(dbufs[i]->resv, NULL);
		KUNIT_EXPECT_EQ(test, 0, mock_attach(mq, i));
		dma_resv_unlock(dbufs[i]->resv);
		mock_done(mq, i, VB2_BUF_STATE_DONE);
		KUNIT_EXPECT_FALSE(test, mock_reader_waits(dbufs[i]));
	}
}

/* A driver that cannot start has been given nothing, and nothing was published. */
static void start_fails(struct kunit *test)
{
	struct mock_queue *mq = MOCK_OPEN(test, .hands_over = true, .out_fences = true);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);

	mock_qbuf(mq, 0);
	mq->start_error = -EBUSY;
	KUNIT_EXPECT_EQ(test, -EBUSY, vb2_core_streamon(&mq->q, mq->q.type));
	KUNIT_EXPECT_FALSE(test, mock_reader_waits(dbuf));
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&mq->given));
	mq->start_error = 0;
	KUNIT_ASSERT_EQ(test, 0, vb2_core_streamon(&mq->q, mq->q.type));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(dbuf));
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&mq->given));
}

/* So there can be no circle. */
static void waits_for_older_fences(struct kunit *test)
{
	struct mock_queue *mq = open_queue(test, 1);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	struct dma_fence *reader = mock_fence(test), *later = mock_fence(test), *out;

	mock_add_fence(test, dbuf->resv, reader, DMA_RESV_USAGE_READ);
	out = qbuf(mq, 0, NULL);
	mock_add_fence(test, dbuf->resv, later, DMA_RESV_USAGE_READ);
	KUNIT_EXPECT_EQ(test, 0, dma_fence_get_status(out));
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&mq->given));
	KUNIT_EXPECT_EQ(test, 1, acquire_callbacks(reader));
	KUNIT_EXPECT_EQ(test, 0, acquire_callbacks(later));
	mock_fence_end(test, reader);
	while (!atomic_read(&mq->given))
		msleep(20);
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(out));
}

/* stop_streaming may sleep and allocate: of what the driver has not got it does not wait for. */
static void expect_cancelled(struct mock_queue *mq)
{
	KUNIT_EXPECT_EQ(mq->test, -ECANCELED, dma_fence_get_status(mq->priv));
}

/* One that the driver has, and one that it has not got. */
static void streamoff(struct kunit *test)
{
	struct mock_queue *mq = open_queue(test, 2);
	struct dma_fence *driver = qbuf(mq, 0, NULL), *waits = qbuf(mq, 1, mock_fence(test));

	KUNIT_EXPECT_EQ(test, 1, atomic_read(&mq->given));
	mq->priv = waits;
	mq->before_stop = expect_cancelled;
	mock_streamoff(mq);
	KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(driver));
	KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(waits));
}

static bool ends(struct dma_fence *fence)
{
	unsigned long limit = jiffies + LONG;

	while (!dma_fence_get_status(fence) && time_before(jiffies, limit))
		msleep(20);
	return dma_fence_get_status(fence);
}

static void in_fence_fails(struct kunit *test)
{
	struct mock_queue *mq = open_queue(test, 1);
	struct dma_fence *in_fence = mock_fence(test), *out = qbuf(mq, 0, in_fence);

	dma_fence_set_error(in_fence, -EPROTO);
	mock_fence_end(test, in_fence);
	KUNIT_ASSERT_TRUE(test, ends(out));
	KUNIT_EXPECT_EQ(test, -EIO, dma_fence_get_status(out));
	KUNIT_EXPECT_EQ(test, VB2_BUF_STATE_ERROR, mock_vb(mq, 0)->state);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&mq->given));
}

/* A fence that a program never signals: the out-fence ends all the same. */
static void in_fence_never_ends(struct kunit *test)
{
	struct mock_queue *mq = open_queue(test, 1);
	struct dma_fence *out;

	acquire_set_timeout(test, MOCK_TIMEOUT);
	out = qbuf(mq, 0, mock_fence(test));
	KUNIT_EXPECT_EQ(test, 0, dma_fence_get_status(out));
	KUNIT_ASSERT_TRUE(test, ends(out));
	KUNIT_EXPECT_EQ(test, -EIO, dma_fence_get_status(out));
}

/* The driver has as much time for the buffer as for any other; it is waited for 10 s at most. */
static void timeout_from_the_hand_over(struct kunit *test)
{
	struct mock_queue *mq = open_queue(test, 1);
	struct dma_fence *in_fence = mock_fence(test), *out;
	ktime_t begin;

	mock_set_timeout(test, MOCK_TIMEOUT);
	out = qbuf(mq, 0, in_fence);
	msleep(2 * MOCK_TIMEOUT);
	KUNIT_EXPECT_EQ(test, 0, dma_fence_get_status(out));
	begin = ktime_get();
	mock_fence_end(test, in_fence);
	KUNIT_ASSERT_TRUE(test, ends(out));
	KUNIT_EXPECT_LT(test, ktime_ms_delta(ktime_get(), begin), 8000);
	KUNIT_EXPECT_EQ(test, -ETIMEDOUT, dma_fence_get_status(out));
	KUNIT_EXPECT_EQ(test, VB2_BUF_STATE_ACTIVE, mock_vb(mq, 0)->state);
}

/* The same without an out-fence: the program did not ask, and one was queued before STREAMON. */
static void timeout_of_others(struct kunit *test)
{
	struct mock_queue *mq = MOCK_OPEN(test, .hands_over = true, .out_fences = true,
					  .buffers = 2);
	struct dma_fence *reader = mock_fence(test), *fences[2];
	unsigned int i;

	mock_set_timeout(test, MOCK_TIMEOUT);
	mock_add_fence(test, mock_export(mq, 0, 0)->resv, reader, DMA_RESV_USAGE_READ);
	mock_qbuf(mq, 0);
	KUNIT_ASSERT_EQ(test, 0, vb2_core_streamon(&mq->q, mq->q.type));
	mock_qbuf(mq, 1);
	msleep(2 * MOCK_TIMEOUT);
	for (i = 0; i < ARRAY_SIZE(fences); ++i) {
		fences[i] = explicit_fence(test, mock_vb(mq, i));
		KUNIT_EXPECT_EQ(test, 0, dma_fence_get_status(fences[i]));
	}
	mock_fence_end(test, reader);
	for (i = 0; i < ARRAY_SIZE(fences); ++i) {
		KUNIT_ASSERT_TRUE(test, ends(fences[i]));
		KUNIT_EXPECT_EQ(test, -ETIMEDOUT, dma_fence_get_status(fences[i]));
	}
}

static bool section;

static void look(struct vb2_buffer *vb)
{
	section = mock_in_section(true);
}

/* From the hand-over on, and from the attach to the start of the hardware. */
static void driver_is_in_a_section(struct kunit *test)
{
	struct mock_queue *mq = open_queue(test, 1);
	bool cookie;

	section = false;
	mq->on_queue = look;
	qbuf(mq, 0, NULL);
	KUNIT_EXPECT_TRUE(test, section);
	KUNIT_EXPECT_FALSE(test, mock_in_section(false));
	KUNIT_ASSERT_EQ(test, 0, vb2_buffer_attach_release_fence(mock_vb(mq, 0), &cookie));
	KUNIT_EXPECT_TRUE(test, mock_in_section(true));
	vb2_release_fence_end_signalling(cookie);
	KUNIT_EXPECT_FALSE(test, mock_in_section(false));
}

/* The end of the job has to be certain. */
static void not_before_the_start(struct kunit *test)
{
	struct mock_queue *mq = MOCK_OPEN(test, .hands_over = true, .out_fences = true);
	struct mock_queue *other = MOCK_START(test, .hands_over = true, .buffers = 2);

	KUNIT_EXPECT_EQ(test, -EAGAIN, try_qbuf(mq, 0, NULL));
	KUNIT_EXPECT_EQ(test, VB2_BUF_STATE_DEQUEUED, mock_vb(mq, 0)->state);
	KUNIT_EXPECT_EQ(test, -EINVAL, explicit_error(mock_vb(mq, 0)));
	KUNIT_EXPECT_EQ(test, -EINVAL, try_qbuf(other, 1, NULL));
}

/* Every third QBUF is refused: it leaves nothing. */
static void refused(struct kunit *test)
{
	struct mock_queue *mq = open_queue(test, 1);
	const int fd = get_unused_fd_flags(0);
	struct dma_fence *out;
	unsigned int round;
	int again;

	for (round = 0; round < 5000; ++round) {
		KUNIT_ASSERT_EQ(test, 0, try_qbuf(mq, 0, NULL));
		out = vb2_core_expfence(&mq->q, mq->q.type, mock_vb(mq, 0));
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, out);
		if (round % 3 == 2)
			KUNIT_ASSERT_EQ(test, -EINVAL, try_qbuf(mq, 0, NULL));
		KUNIT_ASSERT_EQ(test, 0, dma_fence_get_status(out));
		mock_done(mq, 0, VB2_BUF_STATE_DONE);
		KUNIT_ASSERT_EQ(test, 1, dma_fence_get_status(out));
		dma_fence_put(out);
		mock_dqbuf(mq);
	}
	flush_delayed_fput();
	again = get_unused_fd_flags(0);
	KUNIT_EXPECT_EQ(test, fd + 1, again);
	put_unused_fd(again);
	put_unused_fd(fd);
}

static void needs_both_halves(struct kunit *test)
{
	struct vb2_queue q = MOCK_OPEN(test, .hands_over = true)->q;

	q.out_fences_at_qbuf = 1;
	q.supports_release_fences = 0;
	mock_expect_warning(test, "videobuf2-qbuf-fences.h");
	KUNIT_EXPECT_EQ(test, -EINVAL, vb2_core_queue_init(&q));
	mock_expected_warning(test);
}

static struct kunit_case out_cases[] = {
	KUNIT_CASE(at_qbuf),
	KUNIT_CASE(driver_publishes_nothing),
	KUNIT_CASE(start_fails),
	KUNIT_CASE(waits_for_older_fences),
	KUNIT_CASE(streamoff),
	KUNIT_CASE(in_fence_fails),
	KUNIT_CASE(in_fence_never_ends),
	KUNIT_CASE(timeout_from_the_hand_over),
	KUNIT_CASE(timeout_of_others),
	KUNIT_CASE(driver_is_in_a_section),
	KUNIT_CASE(not_before_the_start),
	KUNIT_CASE(refused),
	KUNIT_CASE(needs_both_halves),
	{ }
};

static struct kunit_suite out_suite = {
	.name = "vb2-release-fence-out",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = acquire_init,
	.test_cases = out_cases,
};

kunit_test_suite(out_suite);
