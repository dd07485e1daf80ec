// SPDX-License-Identifier: GPL-2.0-only
/*
 * Acquire fences: what a queued buffer waits for, and until when.
 */

#include <linux/delay.h>
#include <linux/dma-fence-array.h>
#include <linux/dma-fence-chain.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "../videobuf2-acquire-fence-internal.h"
#include "acquire.h"

static void restore_timeout(void *ms)
{
	WRITE_ONCE(vb2_acquire_fence_timeout_ms, (unsigned long)ms);
}

void acquire_set_timeout(struct kunit *test, unsigned int ms)
{
	unsigned long before = READ_ONCE(vb2_acquire_fence_timeout_ms);

	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, restore_timeout, (void *)before));
	WRITE_ONCE(vb2_acquire_fence_timeout_ms, ms);
}

int acquire_init(struct kunit *test)
{
	int ret = mock_init(test);

	if (!ret)
		acquire_set_timeout(test, 10000);
	return ret;
}

struct mock_queue *acquire_open(struct kunit *test, struct dma_buf *dbuf, bool output)
{
	struct mock_queue *mq = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF, .output = output,
					  .acquires = true);

	mock_buffer(mq, 0)->import[0] = dbuf;
	return mq;
}

unsigned int acquire_callbacks(struct dma_fence *fence)
{
	unsigned long flags;
	unsigned int count;

	spin_lock_irqsave(fence->lock, flags);
	count = list_count_nodes(&fence->cb_list);
	spin_unlock_irqrestore(fence->lock, flags);
	return count;
}

void acquire_requeue(struct mock_queue *mq)
{
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_ASSERT_EQ(mq->test, 0, mock_dqbuf(mq));
	mock_qbuf(mq, 0);
}

/* A signal may come from an interrupt of its own, and a timeout comes by a timer. */
static bool waits_for_long(struct mock_queue *mq)
{
	unsigned long limit = jiffies + LONG;

	while (acquire_waits(mq) && time_before(jiffies, limit))
		msleep(20);
	return acquire_waits(mq);
}

static void not_opted_in(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF);
	struct dma_fence *fence = mock_fence(test);

	mock_add_fence(test, dbuf->resv, fence, DMA_RESV_USAGE_WRITE);
	mock_buffer(mq, 0)->import[0] = dbuf;
	mock_run(mq);
	KUNIT_EXPECT_FALSE(test, acquire_waits(mq));
	KUNIT_EXPECT_EQ(test, 0, acquire_callbacks(fence));
}

static void waits_for(struct kunit *test, bool output, enum dma_resv_usage usage, bool expected)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = acquire_open(test, dbuf, output);
	struct dma_fence *fence = mock_fence(test);

	mock_add_fence(test, dbuf->resv, fence, usage);
	mock_run(mq);
	KUNIT_EXPECT_EQ_MSG(test, expected, acquire_waits(mq), "%s, usage %u",
			    output ? "OUTPUT" : "CAPTURE", usage);
	mock_fence_end(test, fence);
	KUNIT_EXPECT_FALSE(test, acquire_waits(mq));
	KUNIT_EXPECT_EQ(test, expected, acquire_notified(mq));
}

/* What the device writes must be read no more. */
static void capture_waits_for_all(struct kunit *test)
{
	waits_for(test, false, DMA_RESV_USAGE_KERNEL, true);
	waits_for(test, false, DMA_RESV_USAGE_WRITE, true);
	waits_for(test, false, DMA_RESV_USAGE_READ, true);
	waits_for(test, false, DMA_RESV_USAGE_BOOKKEEP, false);
}

static void output_waits_for_writers(struct kunit *test)
{
	waits_for(test, true, DMA_RESV_USAGE_KERNEL, true);
	waits_for(test, true, DMA_RESV_USAGE_WRITE, true);
	waits_for(test, true, DMA_RESV_USAGE_READ, false);
	waits_for(test, true, DMA_RESV_USAGE_BOOKKEEP, false);
}

static void notified_by_the_last(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = acquire_open(test, dbuf, false);
	struct dma_fence *first = mock_fence(test), *second = mock_fence(test);

	mock_add_fence(test, dbuf->resv, first, DMA_RESV_USAGE_READ);
	mock_add_fence(test, dbuf->resv, second, DMA_RESV_USAGE_WRITE);
	mock_run(mq);
	mock_fence_end(test, second);
	KUNIT_EXPECT_TRUE(test, acquire_waits(mq));
	KUNIT_EXPECT_EQ(test, 0, acquire_notified(mq));
	mock_fence_end(test, first);
	KUNIT_EXPECT_FALSE(test, acquire_waits(mq));
	KUNIT_EXPECT_EQ(test, 1, acquire_notified(mq));

	/* Once only, whatever comes. */
	acquire_requeue(mq);
	mock_release(mq);
	KUNIT_EXPECT_EQ(test, 1, acquire_notified(mq));
}

/* A fence that comes later is not waited for. */
static void snapshot(struct kunit *test)
{
	struct mock_queue *mq = MOCK_OPEN(test, .acquires = true);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	struct dma_fence *late = mock_fence(test);

	KUNIT_ASSERT_EQ(test, 0, vb2_core_prepare_buf(&mq->q, mock_vb(mq, 0), NULL));
	mock_run(mq);
	mock_add_fence(test, dbuf->resv, late, DMA_RESV_USAGE_WRITE);
	KUNIT_EXPECT_FALSE(test, acquire_waits(mq));
	KUNIT_EXPECT_EQ(test, 0, acquire_callbacks(late));

	/* The next time, it is, whether the buffer is prepared or not. */
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_ASSERT_EQ(test, 0, mock_dqbuf(mq));
	KUNIT_ASSERT_EQ(test, 0, vb2_core_prepare_buf(&mq->q, mock_vb(mq, 0), NULL));
	KUNIT_EXPECT_EQ(test, 0, acquire_callbacks(late));
	mock_qbuf(mq, 0);
	KUNIT_EXPECT_TRUE(test, acquire_waits(mq));
}

static bool refuse(struct dma_fence *fence)
{
	return false;
}

static const char *fence_name(struct dma_fence *fence)
{
	return "ended when asked";
}

static const struct dma_fence_ops ended_when_asked = {
	.get_driver_name = fence_name,
	.get_timeline_name = fence_name,
	.enable_signaling = refuse,
};

static void already_signalled(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = acquire_open(test, dbuf, false);
	struct dma_fence *ended = mock_fence(test);
	struct dma_fence *pending = mock_fence(test);

	mock_add_fence(test, dbuf->resv, ended, DMA_RESV_USAGE_READ);
	/* This one is pending until a callback is added. */
	mock_add_fence(test, dbuf->resv, mock_fence_of(test, &ended_when_asked),
		       DMA_RESV_USAGE_READ);
	mock_fence_end(test, ended);
	mock_run(mq);
	KUNIT_EXPECT_FALSE(test, acquire_waits(mq));
	KUNIT_EXPECT_EQ(test, 0, acquire_notified(mq));

	/* It takes nothing from what another one is waited for. */
	mock_add_fence(test, dbuf->resv, mock_fence_of(test, &ended_when_asked),
		       DMA_RESV_USAGE_READ);
	mock_add_fence(test, dbuf->resv, pending, DMA_RESV_USAGE_READ);
	acquire_requeue(mq);
	KUNIT_EXPECT_TRUE(test, acquire_waits(mq));
	mock_fence_end(test, pending);
	KUNIT_EXPECT_FALSE(test, acquire_waits(mq));
	KUNIT_EXPECT_EQ(test, 1, acquire_notified(mq));
}

/* Implicit fences order, they do not judge. */
static void with_an_error(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = acquire_open(test, dbuf, false);
	struct dma_fence *fence = mock_fence(test);

	mock_add_fence(test, dbuf->resv, fence, DMA_RESV_USAGE_READ);
	mock_run(mq);
	dma_fence_set_error(fence, -EIO);
	mock_fence_end(test, fence);
	KUNIT_EXPECT_FALSE(test, acquire_waits(mq));
	KUNIT_EXPECT_EQ(test, 1, acquire_notified(mq));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, VB2_BUF_STATE_DONE, mock_vb(mq, 0)->state);
	KUNIT_EXPECT_EQ(test, 0, mock_dqbuf(mq));
}

/* Fences of fences, which are signalled by an interrupt of their own: irq_work. */
static void container(struct kunit *test, struct dma_fence *container, struct dma_fence *first,
		      struct dma_fence *second)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = acquire_open(test, dbuf, false);

	/* Drivers are told to add the members. */
	mock_expect_warning(test, "dma-resv.c");
	mock_add_fence(test, dbuf->resv, container, DMA_RESV_USAGE_READ);
	mock_expected_warning(test);
	dma_fence_put(container);
	mock_run(mq);
	mock_fence_end(test, first);
	msleep(20);
	KUNIT_EXPECT_TRUE(test, acquire_waits(mq));
	mock_fence_end(test, second);
	KUNIT_EXPECT_FALSE(test, waits_for_long(mq));
	KUNIT_EXPECT_EQ(test, 1, acquire_notified(mq));
}

static void fence_array(struct kunit *test)
{
	struct dma_fence *first = mock_fence(test), *second = mock_fence(test);
	struct dma_fence **fences = kmalloc_array(2, sizeof(*fences), GFP_KERNEL);
	struct dma_fence_array *array;

	KUNIT_ASSERT_NOT_NULL(test, fences);
	fences[0] = dma_fence_get(first);
	fences[1] = dma_fence_get(second);
	array = dma_fence_array_create(2, fences, dma_fence_context_alloc(1), 1, false);
	KUNIT_ASSERT_NOT_NULL(test, array);
	container(test, &array->base, first, second);
}

static void fence_chain(struct kunit *test)
{
	struct dma_fence *first = mock_fence(test), *second = mock_fence(test);
	struct dma_fence_chain *chain = dma_fence_chain_alloc();

	KUNIT_ASSERT_NOT_NULL(test, chain);
	dma_fence_chain_init(chain, dma_fence_get(first), dma_fence_get(second), 1);
	container(test, &chain->base, first, second);
}

static void many_fences(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = acquire_open(test, dbuf, false);
	struct dma_fence *fences[64];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(fences); ++i) {
		fences[i] = mock_fence(test);
		mock_add_fence(test, dbuf->resv, fences[i],
			       i % 3 ? DMA_RESV_USAGE_READ : DMA_RESV_USAGE_WRITE);
	}
	mock_run(mq);
	/* In another order: 29 has no factor in common with 64. */
	for (i = 0; i < ARRAY_SIZE(fences); ++i) {
		KUNIT_EXPECT_TRUE(test, acquire_waits(mq));
		KUNIT_EXPECT_EQ(test, 0, acquire_notified(mq));
		mock_fence_end(test, fences[i * 29 % ARRAY_SIZE(fences)]);
	}
	KUNIT_EXPECT_FALSE(test, acquire_waits(mq));
	KUNIT_EXPECT_EQ(test, 1, acquire_notified(mq));
}

static void planes(struct kunit *test)
{
	struct dma_resv *resv = mock_resv(test);
	struct dma_buf *dbuf[] = {
		mock_dmabuf(test, resv), mock_dmabuf(test, NULL), mock_dmabuf(test, resv),
	};
	struct mock_queue *mq = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF, .planes = 3,
					  .acquires = true);
	struct dma_fence *shared = mock_fence(test), *own = mock_fence(test);

	mock_add_fence(test, resv, shared, DMA_RESV_USAGE_READ);
	mock_add_fence(test, dbuf[1]->resv, own, DMA_RESV_USAGE_READ);
	memcpy(mock_buffer(mq, 0)->import, dbuf, sizeof(dbuf));
	mock_run(mq);
	KUNIT_EXPECT_EQ(test, 1, acquire_callbacks(shared));
	mock_fence_end(test, shared);
	KUNIT_EXPECT_TRUE(test, acquire_waits(mq));
	mock_fence_end(test, own);
	KUNIT_EXPECT_FALSE(test, acquire_waits(mq));
}

/* Of an MMAP buffer those that importers have added to any of its exports. */
static void all_exports(struct kunit *test)
{
	struct mock_queue *mq = MOCK_OPEN(test, .acquires = true);
	struct dma_buf *first = mock_export(mq, 0, 0), *second = mock_export(mq, 0, 0);
	struct dma_fence *reader = mock_fence(test), *other = mock_fence(test);

	mock_add_fence(test, first->resv, other, DMA_RESV_USAGE_READ);
	mock_add_fence(test, second->resv, reader, DMA_RESV_USAGE_READ);
	mock_run(mq);
	mock_fence_end(test, other);
	KUNIT_EXPECT_TRUE(test, acquire_waits(mq));
	mock_fence_end(test, reader);
	KUNIT_EXPECT_FALSE(test, acquire_waits(mq));
	KUNIT_EXPECT_EQ(test, 1, acquire_notified(mq));
}

/* A queue that waits, and has no fences of its own. */
static void without_release_fences(struct kunit *test)
{
	struct mock_queue *mq = MOCK_OPEN(test, .opted_out = true, .acquires = true);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	struct dma_fence *reader = mock_fence(test);

	mock_add_fence(test, dbuf->resv, reader, DMA_RESV_USAGE_READ);
	mock_run(mq);
	KUNIT_EXPECT_TRUE(test, acquire_waits(mq));
	KUNIT_EXPECT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_EQ(test, 1, mock_count(test, dbuf));
	mock_fence_end(test, reader);
	KUNIT_EXPECT_FALSE(test, acquire_waits(mq));
}

/* From one device to the next by the release fence of the first. */
static void behind_a_job(struct kunit *test)
{
	struct mock_queue *camera = MOCK_START(test, .acquires = true);
	struct dma_buf *dbuf = mock_export(camera, 0, 0);
	struct mock_queue *scaler = acquire_open(test, dbuf, true);

	KUNIT_ASSERT_EQ(test, 0, mock_attach(camera, 0));
	mock_run(scaler);
	KUNIT_EXPECT_TRUE(test, acquire_waits(scaler));
	mock_done(camera, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_FALSE(test, acquire_waits(scaler));

	/* The camera does not wait for itself, but for who reads. */
	KUNIT_ASSERT_EQ(test, 0, mock_attach(scaler, 0));
	KUNIT_ASSERT_EQ(test, 0, mock_dqbuf(camera));
	mock_qbuf(camera, 0);
	KUNIT_EXPECT_TRUE(test, acquire_waits(camera));
	mock_done(scaler, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_FALSE(test, acquire_waits(camera));
}

static void given_up(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = acquire_open(test, dbuf, false);
	struct dma_fence *never = mock_fence(test), *next = mock_fence(test);
	ktime_t begin;

	mock_add_fence(test, dbuf->resv, never, DMA_RESV_USAGE_READ);
	acquire_set_timeout(test, MOCK_TIMEOUT);
	begin = ktime_get();
	mock_run(mq);
	KUNIT_EXPECT_TRUE(test, acquire_waits(mq));
	KUNIT_EXPECT_FALSE(test, waits_for_long(mq));
	KUNIT_EXPECT_GE(test, ktime_ms_delta(ktime_get(), begin), MOCK_TIMEOUT - 1);
	KUNIT_EXPECT_EQ(test, 1, acquire_notified(mq));
	KUNIT_EXPECT_EQ(test, 0, acquire_callbacks(never));

	/* It is not waited for again, but a new one is. */
	acquire_set_timeout(test, 10000);
	acquire_requeue(mq);
	KUNIT_EXPECT_FALSE(test, acquire_waits(mq));
	mock_add_fence(test, dbuf->resv, next, DMA_RESV_USAGE_READ);
	acquire_requeue(mq);
	KUNIT_EXPECT_EQ(test, 0, acquire_callbacks(never));
	KUNIT_EXPECT_TRUE(test, acquire_waits(mq));
	mock_fence_end(test, next);
	KUNIT_EXPECT_FALSE(test, acquire_waits(mq));
	KUNIT_EXPECT_EQ(test, 2, acquire_notified(mq));
	mock_streamoff(mq);
	mock_run(mq);
	KUNIT_EXPECT_FALSE(test, acquire_waits(mq));

	/* When it ends after all, the scheduler is not notified. */
	mock_fence_end(test, never);
	acquire_requeue(mq);
	KUNIT_EXPECT_EQ(test, 2, acquire_notified(mq));
}

/* All that are late are given up together, and found again beside others. */
static void given_up_together(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = acquire_open(test, dbuf, false);
	struct dma_fence *fences[9];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(fences); ++i)
		fences[i] = mock_fence(test);
	for (i = 0; i < 8; ++i)
		mock_add_fence(test, dbuf->resv, fences[i], DMA_RESV_USAGE_READ);
	acquire_set_timeout(test, MOCK_TIMEOUT);
	mock_run(mq);
	mock_fence_end(test, fences[0]);
	KUNIT_EXPECT_FALSE(test, waits_for_long(mq));
	KUNIT_EXPECT_EQ(test, 1, acquire_notified(mq));

	mock_fence_end(test, fences[3]);
	acquire_set_timeout(test, 10000);
	mock_add_fence(test, dbuf->resv, fences[8], DMA_RESV_USAGE_READ);
	acquire_requeue(mq);
	KUNIT_EXPECT_TRUE(test, acquire_waits(mq));
	for (i = 1; i < 8; ++i) {
		if (i != 3)
			KUNIT_EXPECT_EQ(test, 0, acquire_callbacks(fences[i]));
	}
	mock_fence_end(test, fences[8]);
	KUNIT_EXPECT_FALSE(test, acquire_waits(mq));
}

struct seen_line {
	bool seen;
};

static void see_line(void *data, const char *text, size_t len)
{
	struct seen_line *line = data;

	if (strnstr(text, "one of driver mock, timeline mock", len) &&
	    strnstr(text, "queue slow-reader: buffer 0", len))
		line->seen = true;
}

static void says_whose_fence(struct kunit *test)
{
	struct seen_line *line = kunit_kzalloc(test, sizeof(*line), GFP_KERNEL);
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF, .acquires = true,
					  .name = "slow-reader");

	KUNIT_ASSERT_NOT_NULL(test, line);
	mock_trace(test, "console", see_line, line);
	mock_add_fence(test, dbuf->resv, mock_fence(test), DMA_RESV_USAGE_READ);
	mock_buffer(mq, 0)->import[0] = dbuf;
	acquire_set_timeout(test, MOCK_TIMEOUT);
	mock_run(mq);
	KUNIT_EXPECT_FALSE(test, waits_for_long(mq));
	KUNIT_EXPECT_TRUE(test, line->seen);
}

static struct kunit_case acquire_cases[] = {
	KUNIT_CASE(not_opted_in),
	KUNIT_CASE(capture_waits_for_all),
	KUNIT_CASE(output_waits_for_writers),
	KUNIT_CASE(notified_by_the_last),
	KUNIT_CASE(snapshot),
	KUNIT_CASE(already_signalled),
	KUNIT_CASE(with_an_error),
	KUNIT_CASE(fence_array),
	KUNIT_CASE(fence_chain),
	KUNIT_CASE(many_fences),
	KUNIT_CASE(planes),
	KUNIT_CASE(all_exports),
	KUNIT_CASE(without_release_fences),
	KUNIT_CASE(behind_a_job),
	KUNIT_CASE(given_up),
	KUNIT_CASE(given_up_together),
	KUNIT_CASE(says_whose_fence),
	{ }
};

static struct kunit_suite acquire_suite = {
	.name = "vb2-release-fence-acquire",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = acquire_init,
	.test_cases = acquire_cases,
};

kunit_test_suite(acquire_suite);
