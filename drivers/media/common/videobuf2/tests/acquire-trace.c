// SPDX-License-Identifier: GPL-2.0-only
/*
 * The trace events of acquire fences: for whom a buffer waits, and why it does not any longer.
 */

#include <linux/delay.h>
#include <linux/string.h>

#include "../videobuf2-acquire-fence-internal.h"
#include "acquire.h"

/**
 * struct waits - what the events said of one queue
 * @q: the queue; the suites of other queues may run at the same time
 * @begun: how many fences were to be waited for
 * @named: how many of these were said to be those of the mock
 * @ended: how many ended, by outcome
 * @last: the last one that began
 * @last_ended: the last one that ended
 */
struct waits {
	struct vb2_queue *q;
	unsigned int begun, named;
	unsigned int ended[3];
	struct dma_fence *last;
	u64 last_ended;
};

static void probe_waiting(void *data, struct vb2_queue *q, unsigned int index,
			  struct dma_fence *fence, const char *driver, const char *timeline)
{
	struct waits *waits = data;

	if (q != waits->q || index)
		return;
	waits->begun++;
	waits->named += !strcmp(driver, "mock") && !strcmp(timeline, "mock");
	waits->last = fence;
}

static void probe_ended(void *data, struct vb2_queue *q, unsigned int index, u64 context,
			u64 seqno, const char *outcome)
{
	static const char * const outcomes[] = { "signalled", "given-up", "let-go" };
	struct waits *waits = data;
	unsigned int i;

	if (q != waits->q || index)
		return;
	for (i = 0; i < ARRAY_SIZE(outcomes); i++)
		waits->ended[i] += !strcmp(outcome, outcomes[i]);
	if (waits->last && waits->last->context == context)
		waits->last_ended = seqno;
}

static struct waits *trace_waits(struct kunit *test, struct mock_queue *mq)
{
	struct waits *waits = kunit_kzalloc(test, sizeof(*waits), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, waits);
	waits->q = &mq->q;
	mock_trace(test, "vb2_acquire_fence_waiting", probe_waiting, waits);
	mock_trace(test, "vb2_acquire_fence_ended", probe_ended, waits);
	return waits;
}

static void expect_ended(struct kunit *test, const struct waits *waits, unsigned int signalled,
			 unsigned int given_up, unsigned int let_go)
{
	KUNIT_EXPECT_EQ(test, signalled, READ_ONCE(waits->ended[VB2_ACQUIRE_SIGNALLED]));
	KUNIT_EXPECT_EQ(test, given_up, READ_ONCE(waits->ended[VB2_ACQUIRE_GIVEN_UP]));
	KUNIT_EXPECT_EQ(test, let_go, READ_ONCE(waits->ended[VB2_ACQUIRE_LET_GO]));
}

static void traced(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = acquire_open(test, dbuf, false);
	struct waits *waits = trace_waits(test, mq);
	struct dma_fence *fence = mock_fence(test);

	mock_add_fence(test, dbuf->resv, fence, DMA_RESV_USAGE_READ);
	mock_run(mq);
	KUNIT_EXPECT_EQ(test, 1, waits->begun);
	KUNIT_EXPECT_EQ(test, 1, waits->named);
	KUNIT_EXPECT_PTR_EQ(test, fence, waits->last);
	expect_ended(test, waits, 0, 0, 0);

	mock_fence_end(test, fence);
	expect_ended(test, waits, 1, 0, 0);
	KUNIT_EXPECT_EQ(test, fence->seqno, waits->last_ended);

	/* Nothing more comes of it. */
	acquire_requeue(mq);
	mock_release(mq);
	KUNIT_EXPECT_EQ(test, 1, waits->begun);
	expect_ended(test, waits, 1, 0, 0);
}

/* The queue is stopped. */
static void traced_let_go(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = acquire_open(test, dbuf, false);
	struct waits *waits = trace_waits(test, mq);

	mock_add_fence(test, dbuf->resv, mock_fence(test), DMA_RESV_USAGE_READ);
	mock_add_fence(test, dbuf->resv, mock_fence(test), DMA_RESV_USAGE_WRITE);
	mock_run(mq);
	mock_streamoff(mq);
	KUNIT_EXPECT_EQ(test, 2, waits->begun);
	expect_ended(test, waits, 0, 0, 2);
}

/* It is not waited for again, and not reported again. */
static void traced_given_up(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = acquire_open(test, dbuf, false);
	struct waits *waits = trace_waits(test, mq);
	unsigned long limit = jiffies + LONG;

	mock_add_fence(test, dbuf->resv, mock_fence(test), DMA_RESV_USAGE_READ);
	acquire_set_timeout(test, MOCK_TIMEOUT);
	mock_run(mq);
	while (acquire_waits(mq) && time_before(jiffies, limit))
		msleep(20);
	expect_ended(test, waits, 0, 1, 0);
	acquire_requeue(mq);
	mock_streamoff(mq);
	KUNIT_EXPECT_EQ(test, 1, waits->begun);
	expect_ended(test, waits, 0, 1, 0);
}

static struct kunit_case acquire_trace_cases[] = {
	KUNIT_CASE(traced),
	KUNIT_CASE(traced_let_go),
	KUNIT_CASE(traced_given_up),
	{ }
};

static struct kunit_suite acquire_trace_suite = {
	.name = "vb2-release-fence-acquire-trace",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = acquire_init,
	.test_cases = acquire_trace_cases,
};

kunit_test_suite(acquire_trace_suite);
