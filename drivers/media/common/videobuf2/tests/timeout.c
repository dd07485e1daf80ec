// SPDX-License-Identifier: GPL-2.0-only
/*
 * Timeouts: the fence of a job that does not end in time is signalled with -ETIMEDOUT.
 */

#include <linux/delay.h>
#include <linux/timer.h>

#include "timeout.h"

static void timed_out(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .planes = 2);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	struct dma_fence *fence;
	ktime_t begin;

	mock_set_timeout(test, MOCK_TIMEOUT);
	begin = ktime_get();
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, dbuf);

	KUNIT_ASSERT_GT(test, dma_fence_wait_timeout(fence, false, LONG), 0);
	KUNIT_EXPECT_GE(test, ktime_ms_delta(ktime_get(), begin), MOCK_TIMEOUT - 1);
	KUNIT_EXPECT_EQ(test, -ETIMEDOUT, dma_fence_get_status(fence));
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(mock_export(mq, 0, 1)));

	/* The hardware is done after all. The buffer is returned; the fence keeps its error. */
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, -ETIMEDOUT, dma_fence_get_status(fence));
	KUNIT_EXPECT_EQ(test, 0, mock_dqbuf(mq));
}

static void usable_afterwards(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_fence *late, *next;

	mock_set_timeout(test, MOCK_TIMEOUT);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	late = mock_seen(test, mock_export(mq, 0, 0));
	KUNIT_ASSERT_GT(test, dma_fence_wait_timeout(late, false, LONG), 0);
	mock_done(mq, 0, VB2_BUF_STATE_ERROR);
	KUNIT_ASSERT_EQ(test, 0, mock_dqbuf(mq));

	mock_set_timeout(test, 10000);
	mock_qbuf(mq, 0);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	next = mock_seen(test, mock_export(mq, 0, 0));
	KUNIT_EXPECT_PTR_NE(test, late, next);
	KUNIT_EXPECT_EQ(test, 0, dma_fence_wait_timeout(next, false,
							msecs_to_jiffies(2 * MOCK_TIMEOUT)));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(next));
}

static void only_the_one_that_is_late(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .buffers = 2);
	struct dma_fence *late, *other;

	mock_set_timeout(test, MOCK_TIMEOUT);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	mock_set_timeout(test, 10000);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 1));
	late = mock_seen(test, mock_export(mq, 0, 0));
	other = mock_seen(test, mock_export(mq, 1, 0));
	KUNIT_ASSERT_GT(test, dma_fence_wait_timeout(late, false, LONG), 0);
	KUNIT_EXPECT_EQ(test, 0, dma_fence_get_status(other));
	mock_done(mq, 1, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(other));
}

/* Every job has the full timeout: the timer of an earlier one that has ended finds it early. */
static void after_a_short_job(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	struct dma_fence *fence;
	ktime_t begin;

	mock_set_timeout(test, MOCK_TIMEOUT);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_ASSERT_EQ(test, 0, mock_dqbuf(mq));
	/* Its timer is set anew then, for this one. */
	mock_set_timeout(test, 3 * MOCK_TIMEOUT);
	mock_qbuf(mq, 0);
	begin = ktime_get();
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, dbuf);
	KUNIT_ASSERT_GT(test, dma_fence_wait_timeout(fence, false, LONG), 0);
	KUNIT_EXPECT_GE(test, ktime_ms_delta(ktime_get(), begin), 3 * MOCK_TIMEOUT - 1);
	KUNIT_EXPECT_EQ(test, -ETIMEDOUT, dma_fence_get_status(fence));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);

	/* And earlier, for a shorter one */
	KUNIT_ASSERT_EQ(test, 0, mock_dqbuf(mq));
	mock_set_timeout(test, 10000);
	mock_qbuf(mq, 0);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_ASSERT_EQ(test, 0, mock_dqbuf(mq));
	mock_set_timeout(test, MOCK_TIMEOUT);
	mock_qbuf(mq, 0);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, dbuf);
	KUNIT_ASSERT_GT(test, dma_fence_wait_timeout(fence, false, 5 * HZ), 0);
	KUNIT_EXPECT_EQ(test, -ETIMEDOUT, dma_fence_get_status(fence));
}

static void stopped_by_release(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .buffers = 4);
	struct dma_fence *fence;
	unsigned int i;

	mock_set_timeout(test, MOCK_TIMEOUT);
	for (i = 0; i < 4; ++i)
		KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, i));
	fence = mock_seen(test, mock_export(mq, 3, 0));
	mock_release(mq);
	KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(fence));
	/* No timer expires in memory that is freed. */
	msleep(2 * MOCK_TIMEOUT);
}

struct timer_use {
	const void *release_fence;
	atomic_t starts, cancels, expiries;
	unsigned long expires, flags;
};

static void see_start(void *data, struct timer_list *timer, unsigned long bucket_expiry)
{
	struct timer_use *use = data;

	if (!is_timer_of(timer, use->release_fence))
		return;
	use->expires = timer->expires;
	use->flags = timer->flags;
	atomic_inc(&use->starts);
}

static void see_cancel(void *data, struct timer_list *timer)
{
	struct timer_use *use = data;

	if (is_timer_of(timer, use->release_fence))
		atomic_inc(&use->cancels);
}

static void see_expiry(void *data, struct timer_list *timer, unsigned long baseclk)
{
	struct timer_use *use = data;

	if (is_timer_of(timer, use->release_fence))
		atomic_inc(&use->expiries);
}

static struct timer_use *watch_timer(struct kunit *test)
{
	struct timer_use *use = kunit_kzalloc(test, sizeof(*use), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, use);
	mock_trace(test, "timer_start", see_start, use);
	mock_trace(test, "timer_cancel", see_cancel, use);
	mock_trace(test, "timer_expire_entry", see_expiry, use);
	return use;
}

/* Drivers end many jobs per timeout: all of one buffer cost one timer together. */
static void one_timer_for_many_jobs(struct kunit *test)
{
	struct timer_use *use = watch_timer(test);
	struct mock_queue *mq = MOCK_START(test);
	unsigned int job;

	use->release_fence = mock_vb(mq, 0)->release_fence;
	for (job = 0; job < 12; ++job) {
		KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
		mock_done(mq, 0, VB2_BUF_STATE_DONE);
		KUNIT_ASSERT_EQ(test, 0, mock_dqbuf(mq));
		mock_qbuf(mq, 0);
		/* All together last longer than a slot of the timer wheel. */
		msleep(50);
	}
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&use->starts));
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&use->cancels));

	/* When all have ended, it expires once more, and finds nothing to do. */
	mock_set_timeout(test, MOCK_TIMEOUT);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	msleep(2 * MOCK_TIMEOUT);
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&use->expiries));
	use->release_fence = NULL;
}

/* The default timeout, what the queue asks for, and what it gets. */
static const struct {
	unsigned int timeout_ms, queue_ms, result_ms;
} timeouts[] = {
	{ 3000, 0, 3000 }, { 1, 0, 1 }, { 3000, 5000, 5000 }, { 3000, 2000, 3000 },
	{ 3000, 10000, 10000 }, { 3000, 60000, 10000 }, { 3000, UINT_MAX, 10000 },
};

static void of_the_queue(struct kunit *test)
{
	struct timer_use *use = watch_timer(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(timeouts); ++i) {
		unsigned long length = msecs_to_jiffies(timeouts[i].result_ms), before, after;
		struct mock_queue *mq = MOCK_START(test);

		use->release_fence = mock_vb(mq, 0)->release_fence;
		atomic_set(&use->starts, 0);
		mock_set_timeout(test, timeouts[i].timeout_ms);
		vb2_queue_set_release_fence_timeout(&mq->q, timeouts[i].queue_ms);
		before = jiffies;
		KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
		after = jiffies;
		KUNIT_ASSERT_LE(test, 1, atomic_read(&use->starts));
		/* Neither later, nor earlier */
		KUNIT_EXPECT_TRUE(test, time_after_eq(use->expires, before + length));
		KUNIT_EXPECT_TRUE(test, time_before_eq(use->expires, after + length));
		/* Nor only when the processor is woken up for something else */
		KUNIT_EXPECT_EQ(test, 0, use->flags & (TIMER_DEFERRABLE | TIMER_PINNED));
		use->release_fence = NULL;
	}
}

static struct kunit_case timeout_cases[] = {
	KUNIT_CASE(timed_out),
	KUNIT_CASE(usable_afterwards),
	KUNIT_CASE(only_the_one_that_is_late),
	KUNIT_CASE(after_a_short_job),
	KUNIT_CASE(stopped_by_release),
	KUNIT_CASE(one_timer_for_many_jobs),
	KUNIT_CASE(of_the_queue),
	KUNIT_CASE(release_waits_for_timer),
	KUNIT_CASE(expires_while_arming),
	KUNIT_CASE(late_timer_spares_next_job),
	KUNIT_CASE_SLOW(races_with_done),
	{ }
};

static struct kunit_suite timeout_suite = {
	.name = "vb2-release-fence-timeout",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = mock_init,
	.test_cases = timeout_cases,
};

kunit_test_suite(timeout_suite);
