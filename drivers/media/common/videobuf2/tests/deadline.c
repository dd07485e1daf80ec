// SPDX-License-Identifier: GPL-2.0-only
/*
 * A job that does not end: its fence does, after the deadline.
 */

#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/timer.h>
#include <linux/workqueue.h>

#include "mock.h"

#define LONG	(20 * HZ)

static void timed_out(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .planes = 2);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	struct dma_fence *fence;
	ktime_t begin;

	mock_set_deadline(test, MOCK_DEADLINE);
	begin = ktime_get();
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, dbuf);

	KUNIT_ASSERT_GT(test, dma_fence_wait_timeout(fence, false, LONG), 0);
	KUNIT_EXPECT_GE(test, ktime_ms_delta(ktime_get(), begin), MOCK_DEADLINE - 1);
	KUNIT_EXPECT_EQ(test, -ETIMEDOUT, dma_fence_get_status(fence));
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(mock_export(mq, 0, 1)));

	/* The hardware is done after all. The buffer goes its way, the fence has had its end. */
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, -ETIMEDOUT, dma_fence_get_status(fence));
	KUNIT_EXPECT_EQ(test, 0, mock_dqbuf(mq));
}

static void usable_afterwards(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_fence *late, *next;

	mock_set_deadline(test, MOCK_DEADLINE);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	late = mock_seen(test, mock_export(mq, 0, 0));
	KUNIT_ASSERT_GT(test, dma_fence_wait_timeout(late, false, LONG), 0);
	mock_done(mq, 0, VB2_BUF_STATE_ERROR);
	KUNIT_ASSERT_EQ(test, 0, mock_dqbuf(mq));

	mock_set_deadline(test, 10000);
	mock_qbuf(mq, 0);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	next = mock_seen(test, mock_export(mq, 0, 0));
	KUNIT_EXPECT_PTR_NE(test, late, next);
	KUNIT_EXPECT_EQ(test, 0, dma_fence_wait_timeout(next, false,
							msecs_to_jiffies(2 * MOCK_DEADLINE)));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(next));
}

static void only_the_one_that_is_late(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .buffers = 2);
	struct dma_fence *late, *other;

	mock_set_deadline(test, MOCK_DEADLINE);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	mock_set_deadline(test, 10000);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 1));
	late = mock_seen(test, mock_export(mq, 0, 0));
	other = mock_seen(test, mock_export(mq, 1, 0));
	KUNIT_ASSERT_GT(test, dma_fence_wait_timeout(late, false, LONG), 0);
	KUNIT_EXPECT_EQ(test, 0, dma_fence_get_status(other));
	mock_done(mq, 1, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(other));
}

static void off(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_fence *fence;

	mock_set_deadline(test, 0);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, mock_export(mq, 0, 0));
	KUNIT_EXPECT_EQ(test, 0, dma_fence_wait_timeout(fence, false, msecs_to_jiffies(300)));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(fence));
}

/* Every job has the full time, whatever is left of that of the job before. */
static void stopped_by_done(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_fence *fence;

	mock_set_deadline(test, MOCK_DEADLINE);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_ASSERT_EQ(test, 0, mock_dqbuf(mq));

	mock_set_deadline(test, 10000);
	mock_qbuf(mq, 0);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, mock_export(mq, 0, 0));
	KUNIT_EXPECT_EQ(test, 0, dma_fence_wait_timeout(fence, false,
							msecs_to_jiffies(3 * MOCK_DEADLINE)));
}

static void stopped_by_release(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .buffers = 4);
	struct dma_fence *fence;
	unsigned int i;

	mock_set_deadline(test, MOCK_DEADLINE);
	for (i = 0; i < 4; ++i)
		KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, i));
	fence = mock_seen(test, mock_export(mq, 3, 0));
	mock_release(mq);
	KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(fence));
	/* Nothing goes off in memory that is gone. */
	msleep(2 * MOCK_DEADLINE);
}

/* The timer of a buffer is a part of the memory of its fence. */
static bool is_watch(struct timer_list *timer, const void *release_fence)
{
	return (unsigned long)timer - (unsigned long)release_fence < 512;
}

struct watches {
	const void *release_fence;
	atomic_t seen;
};

static void count_watch(void *data, struct timer_list *timer, unsigned long baseclk)
{
	struct watches *watches = data;

	if (is_watch(timer, watches->release_fence))
		atomic_inc(&watches->seen);
}

/* A job that is over does not wake anybody up: drivers end thousands of them before a deadline. */
static void no_watch_after_done(struct kunit *test)
{
	struct watches *watches = kunit_kzalloc(test, sizeof(*watches), GFP_KERNEL);
	struct mock_queue *mq = MOCK_START(test);

	KUNIT_ASSERT_NOT_NULL(test, watches);
	watches->release_fence = mock_vb(mq, 0)->release_fence;
	mock_trace(test, "timer_expire_entry", count_watch, watches);
	mock_set_deadline(test, MOCK_DEADLINE);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	msleep(2 * MOCK_DEADLINE);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&watches->seen));

	/* It is the right timer that was counted. */
	KUNIT_ASSERT_EQ(test, 0, mock_dqbuf(mq));
	mock_qbuf(mq, 0);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	msleep(2 * MOCK_DEADLINE);
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&watches->seen));
}

/* A queue that is released when the watch of its buffer has begun to go off. */
struct slow_watch {
	struct mock_queue *mq;
	const void *release_fence;
	struct work_struct release;
	bool begun, releasing, released, over, waited;
};

/* On another processor than the one that the watch goes off on, which may be any. */
static void release_queue(struct work_struct *work)
{
	struct slow_watch *watch = container_of(work, struct slow_watch, release);

	WRITE_ONCE(watch->releasing, true);
	mock_release(watch->mq);
	watch->waited = READ_ONCE(watch->over);
	WRITE_ONCE(watch->released, true);
}

static void slow_down_watch(void *data, struct timer_list *timer, unsigned long baseclk)
{
	struct slow_watch *watch = data;
	unsigned int ms;

	if (!is_watch(timer, watch->release_fence) || xchg(&watch->begun, true))
		return;
	schedule_work_on(cpumask_any_but(cpu_online_mask, smp_processor_id()), &watch->release);
	/* A busy machine takes its time to wake the other processor up. */
	for (ms = 0; ms < 2000 && !READ_ONCE(watch->releasing); ++ms)
		mdelay(1);
	/* Who does not wait has the time to be found out, and all of the memory is free then. */
	for (ms = 0; ms < 1500 && !READ_ONCE(watch->released); ++ms)
		mdelay(1);
	WRITE_ONCE(watch->over, true);
}

/* A watch that has begun to go off has a buffer to look at, though the queue is released. */
static void release_waits_for_watch(struct kunit *test)
{
	struct slow_watch *watch = kunit_kzalloc(test, sizeof(*watch), GFP_KERNEL);
	unsigned long limit = jiffies + LONG;

	KUNIT_ASSERT_NOT_NULL(test, watch);
	if (num_online_cpus() < 2)
		kunit_skip(test, "needs two processors");
	watch->mq = MOCK_START(test);
	watch->release_fence = mock_vb(watch->mq, 0)->release_fence;
	INIT_WORK(&watch->release, release_queue);
	mock_trace(test, "timer_expire_entry", slow_down_watch, watch);
	mock_set_deadline(test, MOCK_DEADLINE);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(watch->mq, 0));
	while (!READ_ONCE(watch->begun) && time_before(jiffies, limit))
		msleep(20);
	KUNIT_ASSERT_TRUE(test, READ_ONCE(watch->begun));
	flush_work(&watch->release);
	KUNIT_EXPECT_TRUE(test, watch->releasing);
	KUNIT_EXPECT_TRUE(test, watch->waited);
}

/* A job whose watch goes off before the fence is where its end would find it. */
struct slow_start {
	const void *release_fence;
	unsigned int starts, ends;
	int result;
};

/* Runs where the timer is started, with interrupts off: the tick that ends it comes right after. */
static void slow_down_start(void *data, struct timer_list *timer, unsigned long bucket_expiry)
{
	struct slow_start *start = data;

	if (!is_watch(timer, start->release_fence))
		return;
	start->starts++;
	mdelay(5 * jiffies_to_msecs(1) + 20);
}

static void note_end(void *data, struct vb2_buffer *vb, u64 context, u64 seqno, int result)
{
	struct slow_start *start = data;

	if (vb->release_fence != start->release_fence)
		return;
	start->ends++;
	start->result = result;
}

/* How often that is tried: the tick comes late if the processor that counts time is held up. */
#define SLOW_STARTS	20

static void goes_off_while_arming(struct kunit *test)
{
	struct slow_start *start = kunit_kzalloc(test, sizeof(*start), GFP_KERNEL);
	struct mock_queue *mq = MOCK_START(test);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	unsigned int tries = 0, ms;
	bool while_arming;

	KUNIT_ASSERT_NOT_NULL(test, start);
	start->release_fence = mock_vb(mq, 0)->release_fence;
	mock_trace(test, "timer_start", slow_down_start, start);
	mock_trace(test, "vb2_release_fence_signalled", note_end, start);
	mock_set_deadline(test, 1);
	do {
		start->starts = 0;
		start->ends = 0;
		/* The driver has done nothing wrong, and runs the job. */
		KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
		while_arming = READ_ONCE(start->ends);
		KUNIT_EXPECT_EQ(test, 1, start->starts);
		for (ms = 0; ms < jiffies_to_msecs(LONG) && mock_writer_waits(dbuf); ms += 20)
			msleep(20);
		KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));
		mock_done(mq, 0, VB2_BUF_STATE_DONE);
		KUNIT_EXPECT_EQ(test, 1, start->ends);
		KUNIT_EXPECT_EQ(test, -ETIMEDOUT, start->result);
		KUNIT_ASSERT_EQ(test, 0, mock_dqbuf(mq));
		mock_qbuf(mq, 0);
	} while (!while_arming && ++tries < SLOW_STARTS);
	KUNIT_EXPECT_TRUE(test, while_arming);

	start->release_fence = NULL;
	mock_set_deadline(test, 10000);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_TRUE(test, mock_writer_waits(dbuf));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));
}

/* A watch that goes off just when its job ends, and is held up until the next job is there. */
struct late_watch {
	struct vb2_buffer *vb;
	struct dma_fence *first;
	struct work_struct next_job;
	bool begun, job_ended;
	int status, error;
};

/* On another processor than the one that the watch goes off on. */
static void begin_next_job(struct work_struct *work)
{
	struct late_watch *watch = container_of(work, struct late_watch, next_job);
	struct vb2_queue *q = watch->vb->vb2_queue;
	unsigned int index;

	vb2_buffer_done(watch->vb, VB2_BUF_STATE_DONE);
	watch->status = dma_fence_get_status(watch->first);
	watch->error = vb2_core_dqbuf(q, &index, NULL, true) ?:
		       vb2_core_qbuf(q, watch->vb, NULL, NULL);
	WRITE_ONCE(watch->job_ended, true);
	if (!watch->error)
		watch->error = vb2_buffer_attach_release_fence(watch->vb);
}

/* Runs when a timer has begun to go off, just before its function does. */
static void hold_watch(void *data, struct timer_list *timer, unsigned long baseclk)
{
	struct late_watch *watch = data;
	unsigned int ms;

	if (!is_watch(timer, watch->vb->release_fence) || xchg(&watch->begun, true))
		return;
	schedule_work_on(cpumask_any_but(cpu_online_mask, smp_processor_id()), &watch->next_job);
	for (ms = 0; ms < 2000 && !READ_ONCE(watch->job_ended); ++ms)
		mdelay(1);
	/* Time for the next job to begin, if nothing keeps it from that. */
	mdelay(50);
}

static void late_watch_spares_next_job(struct kunit *test)
{
	struct late_watch *watch = kunit_kzalloc(test, sizeof(*watch), GFP_KERNEL);
	struct mock_queue *mq = MOCK_START(test);
	unsigned long limit = jiffies + 20 * HZ;
	struct dma_buf *dbuf;

	KUNIT_ASSERT_NOT_NULL(test, watch);
	if (num_online_cpus() < 2)
		kunit_skip(test, "needs two processors");
	watch->vb = mock_vb(mq, 0);
	INIT_WORK(&watch->next_job, begin_next_job);
	dbuf = mock_export(mq, 0, 0);
	mock_set_deadline(test, MOCK_DEADLINE);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	watch->first = mock_seen(test, dbuf);
	/* For the next job. */
	mock_set_deadline(test, 10000);
	mock_trace(test, "timer_expire_entry", hold_watch, watch);

	while (!READ_ONCE(watch->job_ended) && time_before(jiffies, limit))
		msleep(20);
	flush_work(&watch->next_job);
	KUNIT_ASSERT_TRUE(test, watch->job_ended);
	KUNIT_ASSERT_EQ(test, 1, watch->status);
	KUNIT_ASSERT_EQ(test, 0, watch->error);

	/* By now the watch is over, in whatever way. */
	msleep(200);
	KUNIT_EXPECT_EQ(test, 0, dma_fence_get_status(mock_seen(test, dbuf)));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));
}

#define RACES	200

/* A thread on another processor waits for the tick of the deadline, and ends the job just then. */
struct race {
	struct vb2_buffer *vb;
	unsigned long deadline;
	unsigned int delay_us;
	bool over;
	struct completion go, ended;
};

static int end_at_deadline(void *data)
{
	struct race *race = data;

	for (;;) {
		unsigned long limit;

		wait_for_completion(&race->go);
		if (race->over)
			return 0;
		limit = jiffies + HZ;
		/* Sleeping would be too late. */
		while (time_before(READ_ONCE(jiffies), race->deadline) &&
		       time_before(READ_ONCE(jiffies), limit))
			cpu_relax();
		udelay(race->delay_us);
		vb2_buffer_done(race->vb, VB2_BUF_STATE_DONE);
		complete(&race->ended);
	}
}

/* Returns how the job ended, or 0 if something else is wrong. */
static int race_once(struct mock_queue *mq, struct race *race, struct dma_buf *dbuf)
{
	struct dma_fence *fence;
	int status;

	mock_set_deadline(mq->test, jiffies_to_msecs(2));
	/* A timer of 2 ticks goes off with the third one. */
	race->deadline = jiffies + 3;
	if (mock_attach(mq, 0) || dma_resv_get_singleton(dbuf->resv, DMA_RESV_USAGE_READ, &fence))
		return 0;
	complete(&race->go);
	wait_for_completion(&race->ended);
	/* NULL if the deadline was there before we could look. */
	status = fence ? dma_fence_get_status(fence) : -ETIMEDOUT;
	dma_fence_put(fence);
	if (mock_writer_waits(dbuf))
		return 0;

	/* The watch may be going off only now: it must not take the next job for its own. */
	mock_set_deadline(mq->test, 10000);
	mock_dqbuf(mq);
	mock_qbuf(mq, 0);
	if (mock_attach(mq, 0))
		return 0;
	udelay(race->delay_us);
	if (!mock_writer_waits(dbuf))
		return 0;
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	mock_dqbuf(mq);
	mock_qbuf(mq, 0);
	return status;
}

static void races_with_done(struct kunit *test)
{
	struct race *race = kunit_kzalloc(test, sizeof(*race), GFP_KERNEL);
	struct mock_queue *mq = MOCK_START(test);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	unsigned int round, done = 0, late = 0;
	struct task_struct *task;

	KUNIT_ASSERT_NOT_NULL(test, race);
	race->vb = mock_vb(mq, 0);
	init_completion(&race->go);
	init_completion(&race->ended);
	task = kthread_create(end_at_deadline, race, "vb2-mock-race");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	get_task_struct(task);
	kthread_bind(task, cpumask_last(cpu_online_mask));
	set_cpus_allowed_ptr(current, cpumask_of(cpumask_first(cpu_online_mask)));
	wake_up_process(task);

	for (round = 0; round < RACES; ++round) {
		int status;

		race->delay_us = round * 7 % 150;
		status = race_once(mq, race, dbuf);
		if (status != 1 && status != -ETIMEDOUT)
			break;
		done += status == 1;
		late += status == -ETIMEDOUT;
	}
	race->over = true;
	complete(&race->go);
	kthread_stop_put(task);
	KUNIT_EXPECT_EQ(test, RACES, round);
	kunit_info(test, "%u jobs were done, %u were late\n", done, late);
}

static struct kunit_case deadline_cases[] = {
	KUNIT_CASE(timed_out),
	KUNIT_CASE(usable_afterwards),
	KUNIT_CASE(only_the_one_that_is_late),
	KUNIT_CASE(off),
	KUNIT_CASE(stopped_by_done),
	KUNIT_CASE(stopped_by_release),
	KUNIT_CASE(no_watch_after_done),
	KUNIT_CASE(release_waits_for_watch),
	KUNIT_CASE(goes_off_while_arming),
	KUNIT_CASE(late_watch_spares_next_job),
	KUNIT_CASE_SLOW(races_with_done),
	{ }
};

static struct kunit_suite deadline_suite = {
	.name = "vb2-release-fence-deadline",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = mock_init,
	.test_cases = deadline_cases,
};

kunit_test_suite(deadline_suite);
