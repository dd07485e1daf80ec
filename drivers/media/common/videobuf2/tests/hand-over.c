// SPDX-License-Identifier: GPL-2.0-only
/*
 * Acquire fences of capture and output devices: when the driver gets a buffer, and in which order.
 */

#include <linux/delay.h>
#include <linux/dma-fence.h>
#include <linux/ktime.h>
#include <linux/string.h>
#include <media/videobuf2-v4l2.h>

#include "acquire.h"

/* What must not happen has time to happen, in milliseconds; buf_queue may take as long. */
#define A_WHILE		100
/* No case waits for this timeout, in milliseconds. */
#define LONGEST		10000

#define BUFFERS		4

/* What the driver sees and does. */
struct driver {
	struct dma_buf *exports[BUFFERS];
	/* The buffers that it was given. */
	unsigned int order[2 * BUFFERS];
	/* How many threads are in buf_queue, and were at the same time. */
	atomic_t inside;
	int most;
	/* buf_queue takes a while. */
	bool slow;
	/* It returns the buffer before that. */
	bool returns;
	/* The queue was streaming when the last buffer was given. */
	bool streaming;
	/* What is signalled by start_streaming or stop_streaming, and what was given by then. */
	struct dma_fence *fence;
	int given;
};

static void take_buffer(struct vb2_buffer *vb)
{
	struct mock_queue *mq = vb2_get_drv_priv(vb->vb2_queue);
	struct driver *driver = mq->priv;

	driver->most = max(driver->most, atomic_inc_return(&driver->inside));
	driver->streaming = vb2_is_streaming(vb->vb2_queue);
	driver->order[(atomic_read(&mq->given) - 1) % ARRAY_SIZE(driver->order)] = vb->index;
	if (driver->returns)
		vb2_buffer_done(vb, VB2_BUF_STATE_DONE);
	if (driver->slow)
		msleep(A_WHILE);
	atomic_dec(&driver->inside);
}

static struct mock_queue *open_driver(struct kunit *test, unsigned int buffers)
{
	struct driver *driver = kunit_kzalloc(test, sizeof(*driver), GFP_KERNEL);
	struct mock_queue *mq = MOCK_OPEN(test, .hands_over = true, .buffers = buffers);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, driver);
	for (i = 0; i < buffers; ++i)
		driver->exports[i] = mock_export(mq, i, 0);
	mq->priv = driver;
	mq->on_queue = take_buffer;
	return mq;
}

static struct dma_fence *add_reader(struct mock_queue *mq, unsigned int index)
{
	struct driver *driver = mq->priv;
	struct dma_fence *fence = mock_fence(mq->test);

	mock_add_fence(mq->test, driver->exports[index]->resv, fence, DMA_RESV_USAGE_READ);
	return fence;
}

static void streamon(struct mock_queue *mq)
{
	KUNIT_ASSERT_EQ(mq->test, 0, vb2_core_streamon(&mq->q, mq->q.type));
}

/* Waits until the driver has @count buffers; how many it has. */
static int given(struct mock_queue *mq, int count)
{
	unsigned long limit = jiffies + LONG;

	while (atomic_read(&mq->given) < count && time_before(jiffies, limit))
		msleep(20);
	return atomic_read(&mq->given);
}

static int given_after_a_while(struct mock_queue *mq)
{
	msleep(A_WHILE);
	return atomic_read(&mq->given);
}

static void at_once(struct kunit *test)
{
	struct mock_queue *mq = open_driver(test, 2);

	/* There was a reader. */
	mock_fence_end(test, add_reader(mq, 0));
	mock_run(mq);
	KUNIT_EXPECT_EQ(test, 2, atomic_read(&mq->given));
}

static void waits_for(struct kunit *test, int error, bool ends)
{
	struct mock_queue *mq = open_driver(test, 1);
	struct dma_fence *fence = add_reader(mq, 0);

	if (!ends)
		acquire_set_timeout(test, MOCK_TIMEOUT);
	mock_run(mq);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&mq->given));
	KUNIT_EXPECT_EQ(test, VB2_BUF_STATE_QUEUED, mock_vb(mq, 0)->state);
	if (ends) {
		KUNIT_EXPECT_EQ(test, 0, given_after_a_while(mq));
		if (error)
			dma_fence_set_error(fence, error);
		mock_fence_end(test, fence);
	}
	KUNIT_ASSERT_EQ(test, 1, given(mq, 1));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, VB2_BUF_STATE_DONE, mock_vb(mq, 0)->state);
	KUNIT_EXPECT_EQ(test, 0, mock_dqbuf(mq));
	KUNIT_EXPECT_EQ(test, 1, given_after_a_while(mq));
}

static void when_signalled(struct kunit *test)
{
	waits_for(test, 0, true);
}

static void when_signalled_with_an_error(struct kunit *test)
{
	waits_for(test, -EIO, true);
}

static void when_given_up(struct kunit *test)
{
	waits_for(test, 0, false);
}

/* That of QBUF, whichever fence is signalled first, and for buffers without fences, too. */
static void in_order(struct kunit *test, bool streaming)
{
	struct mock_queue *mq = open_driver(test, BUFFERS);
	struct dma_fence *first = add_reader(mq, 3), *second = add_reader(mq, 2);
	static const unsigned int order[BUFFERS] = { 3, 0, 2, 1 };
	struct driver *driver = mq->priv;
	unsigned int i;

	if (streaming)
		streamon(mq);
	for (i = 0; i < BUFFERS; ++i)
		mock_qbuf(mq, order[i]);
	if (!streaming)
		streamon(mq);
	mock_fence_end(test, second);
	KUNIT_EXPECT_EQ(test, 0, given_after_a_while(mq));
	mock_fence_end(test, first);
	KUNIT_EXPECT_EQ(test, BUFFERS, given(mq, BUFFERS));
	KUNIT_EXPECT_MEMEQ(test, driver->order, order, sizeof(order));
}

static void in_order_of_qbuf(struct kunit *test)
{
	in_order(test, true);
}

static void in_order_before_streamon(struct kunit *test)
{
	in_order(test, false);
}

/* What comes before a buffer that waits is not kept, and what comes after it is. */
static void one_after_the_other(struct kunit *test)
{
	struct mock_queue *mq = open_driver(test, 3);
	struct dma_fence *fence = add_reader(mq, 1), *last = add_reader(mq, 2);

	mock_run(mq);
	KUNIT_EXPECT_EQ(test, 1, given_after_a_while(mq));
	mock_fence_end(test, fence);
	KUNIT_EXPECT_EQ(test, 2, given(mq, 2));
	KUNIT_EXPECT_EQ(test, 2, given_after_a_while(mq));
	mock_fence_end(test, last);
	KUNIT_EXPECT_EQ(test, 3, given(mq, 3));
}

static void reqbufs(struct mock_queue *mq)
{
	mock_streamoff(mq);
	mock_reqbufs(mq, VB2_MEMORY_MMAP, 0);
	mock_reqbufs(mq, VB2_MEMORY_MMAP, 2);
}

static void close(struct mock_queue *mq)
{
	vb2_core_queue_release(&mq->q);
	mock_reqbufs(mq, VB2_MEMORY_MMAP, 2);
}

/* Does not wait for the fence, and the driver does not get the buffer afterwards. */
static void stopped_by(struct kunit *test, void (*stop)(struct mock_queue *mq))
{
	struct mock_queue *mq = open_driver(test, 2);
	struct dma_fence *fence = add_reader(mq, 0);
	struct driver *driver = mq->priv;
	ktime_t begin;

	mock_run(mq);
	begin = ktime_get();
	stop(mq);
	KUNIT_EXPECT_LT(test, ktime_ms_delta(ktime_get(), begin), LONGEST / 3);
	KUNIT_EXPECT_EQ(test, 0, acquire_callbacks(fence));
	KUNIT_EXPECT_EQ(test, VB2_BUF_STATE_DEQUEUED, mock_vb(mq, 0)->state);
	mock_fence_end(test, fence);
	KUNIT_EXPECT_EQ(test, 0, given_after_a_while(mq));

	/* Each of them once. */
	mock_run(mq);
	KUNIT_EXPECT_EQ(test, 2, given_after_a_while(mq));
	KUNIT_EXPECT_EQ(test, 0, driver->order[0]);
	KUNIT_EXPECT_EQ(test, 1, driver->order[1]);
}

static void streamoff_while_waiting(struct kunit *test)
{
	stopped_by(test, mock_streamoff);
}

static void reqbufs_while_waiting(struct kunit *test)
{
	stopped_by(test, reqbufs);
}

static void close_while_waiting(struct kunit *test)
{
	stopped_by(test, close);
}

/* The driver returns what it has, and gets all in order when it starts after all. */
static void start_fails(struct kunit *test)
{
	struct mock_queue *mq = open_driver(test, 3);
	struct dma_fence *fence = add_reader(mq, 1);
	static const unsigned int order[] = { 0, 0, 1, 2 };
	struct driver *driver = mq->priv;
	unsigned int i;

	for (i = 0; i < 3; ++i)
		mock_qbuf(mq, i);
	mq->start_error = -EBUSY;
	KUNIT_EXPECT_EQ(test, -EBUSY, vb2_core_streamon(&mq->q, mq->q.type));
	mock_fence_end(test, fence);
	KUNIT_EXPECT_EQ(test, 1, given_after_a_while(mq));
	mq->start_error = 0;
	streamon(mq);
	KUNIT_EXPECT_EQ(test, 4, given_after_a_while(mq));
	KUNIT_EXPECT_MEMEQ(test, driver->order, order, sizeof(order));
}

static void signal_and_look(struct mock_queue *mq)
{
	struct driver *driver = mq->priv;

	mock_fence_end(mq->test, driver->fence);
	driver->given = given_after_a_while(mq);
}

/* No driver expects buffers while it starts. Afterwards vb2_is_streaming() says so. */
static void not_while_starting(struct kunit *test)
{
	struct mock_queue *mq = open_driver(test, 1);
	struct driver *driver = mq->priv;

	driver->fence = add_reader(mq, 0);
	mq->on_start = signal_and_look;
	mock_run(mq);
	KUNIT_EXPECT_EQ(test, 0, driver->given);
	KUNIT_EXPECT_EQ(test, 1, given(mq, 1));
	KUNIT_EXPECT_TRUE(test, driver->streaming);
}

/* Nor while it stops, and afterwards. */
static void not_while_stopping(struct kunit *test)
{
	struct mock_queue *mq = open_driver(test, 1);
	struct driver *driver = mq->priv;

	driver->fence = add_reader(mq, 0);
	mq->before_stop = signal_and_look;
	mock_run(mq);
	mock_streamoff(mq);
	KUNIT_EXPECT_EQ(test, 0, driver->given);
	KUNIT_EXPECT_EQ(test, 0, given_after_a_while(mq));
}

/* The work item is in buf_queue when QBUF has another buffer. */
static void one_at_a_time(struct kunit *test)
{
	struct mock_queue *mq = open_driver(test, 2);
	struct dma_fence *fence = add_reader(mq, 0);
	struct driver *driver = mq->priv;

	driver->slow = true;
	streamon(mq);
	mock_qbuf(mq, 0);
	mock_fence_end(test, fence);
	KUNIT_ASSERT_EQ(test, 1, given(mq, 1));
	mock_qbuf(mq, 1);
	KUNIT_EXPECT_EQ(test, 2, given(mq, 2));
	KUNIT_EXPECT_EQ(test, 1, driver->most);
	KUNIT_EXPECT_EQ(test, 0, driver->order[0]);
	KUNIT_EXPECT_EQ(test, 1, driver->order[1]);
}

/* The work item is in buf_queue when the job has ended. */
static void dequeued_when_buf_queue_returns(struct kunit *test)
{
	struct mock_queue *mq = open_driver(test, 1);
	struct dma_fence *fence = add_reader(mq, 0);
	struct driver *driver = mq->priv;
	unsigned long limit = jiffies + LONG;
	unsigned int index;
	int ret;

	driver->slow = true;
	driver->returns = true;
	mock_run(mq);
	mock_fence_end(test, fence);
	while ((ret = vb2_core_dqbuf(&mq->q, &index, NULL, true)) == -EAGAIN &&
	       time_before(jiffies, limit))
		msleep(20);
	KUNIT_ASSERT_EQ(test, 0, ret);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&driver->inside));
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&mq->given));
}

/* A mem2mem driver gets a buffer at once: its framework looks whether it waits. */
static void scheduler_gets_all(struct kunit *test)
{
	struct mock_queue *mq = MOCK_OPEN(test, .acquires = true);

	mock_add_fence(test, mock_export(mq, 0, 0)->resv, mock_fence(test), DMA_RESV_USAGE_READ);
	mock_run(mq);
	KUNIT_EXPECT_TRUE(test, acquire_waits(mq));
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&mq->given));
}

/* What a program can find out: the same for all types of memory. */
static void expect_capabilities(struct mock_queue *mq, u32 expected)
{
	const u32 all = V4L2_BUF_CAP_SUPPORTS_RELEASE_FENCES |
			V4L2_BUF_CAP_SUPPORTS_ACQUIRE_FENCES |
			V4L2_BUF_CAP_SUPPORTS_IN_FENCES | V4L2_BUF_CAP_SUPPORTS_OUT_FENCES;
	const u32 memory[] = { V4L2_MEMORY_MMAP, V4L2_MEMORY_USERPTR, V4L2_MEMORY_DMABUF };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(memory); ++i) {
		struct v4l2_requestbuffers req = { .type = mq->q.type, .memory = memory[i] };
		struct v4l2_create_buffers create = {
			.format.type = mq->q.type, .memory = memory[i],
		};

		KUNIT_EXPECT_EQ(mq->test, 0, vb2_reqbufs(&mq->q, &req));
		KUNIT_EXPECT_EQ(mq->test, expected, req.capabilities & all);
		KUNIT_EXPECT_EQ(mq->test, 0, vb2_create_bufs(&mq->q, &create));
		KUNIT_EXPECT_EQ(mq->test, expected, create.capabilities & all);
	}
}

static void capabilities(struct kunit *test)
{
	const u32 release = V4L2_BUF_CAP_SUPPORTS_RELEASE_FENCES;
	const u32 acquire = V4L2_BUF_CAP_SUPPORTS_ACQUIRE_FENCES | V4L2_BUF_CAP_SUPPORTS_IN_FENCES;

	expect_capabilities(MOCK_OPEN(test, .opted_out = true), 0);
	expect_capabilities(MOCK_OPEN(test), release);
	expect_capabilities(MOCK_OPEN(test, .acquires = true, .opted_out = true), acquire);
	expect_capabilities(MOCK_OPEN(test, .hands_over = true), release | acquire);
	expect_capabilities(MOCK_OPEN(test, .hands_over = true, .out_fences = true),
			    release | acquire | V4L2_BUF_CAP_SUPPORTS_OUT_FENCES);
}

static struct kunit_case hand_over_cases[] = {
	KUNIT_CASE(at_once),
	KUNIT_CASE(when_signalled),
	KUNIT_CASE(when_signalled_with_an_error),
	KUNIT_CASE(when_given_up),
	KUNIT_CASE(in_order_of_qbuf),
	KUNIT_CASE(in_order_before_streamon),
	KUNIT_CASE(one_after_the_other),
	KUNIT_CASE(streamoff_while_waiting),
	KUNIT_CASE(reqbufs_while_waiting),
	KUNIT_CASE(close_while_waiting),
	KUNIT_CASE(start_fails),
	KUNIT_CASE(not_while_starting),
	KUNIT_CASE(not_while_stopping),
	KUNIT_CASE(one_at_a_time),
	KUNIT_CASE(dequeued_when_buf_queue_returns),
	KUNIT_CASE(scheduler_gets_all),
	KUNIT_CASE(capabilities),
	{ }
};

static struct kunit_suite hand_over_suite = {
	.name = "vb2-release-fence-hand-over",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = acquire_init,
	.test_cases = hand_over_cases,
};

kunit_test_suite(hand_over_suite);
