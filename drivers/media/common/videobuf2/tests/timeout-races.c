// SPDX-License-Identifier: GPL-2.0-only
/*
 * Timeouts that expire at the same time as something else: the release of the queue, the start of
 * a job, its end, and the start of the next one.
 */

#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/workqueue.h>

#include "timeout.h"

/* A queue that is released while the timer callback of its buffer runs. */
struct slow_timer {
	struct mock_queue *mq;
	const void *release_fence;
	struct work_struct release;
	bool begun, releasing, released, over, waited;
};

/* On another processor than the timer callback, which may run on any. */
static void release_queue(struct work_struct *work)
{
	struct slow_timer *slow = container_of(work, struct slow_timer, release);

	WRITE_ONCE(slow->releasing, true);
	mock_release(slow->mq);
	slow->waited = READ_ONCE(slow->over);
	WRITE_ONCE(slow->released, true);
}

static void slow_down_timer(void *data, struct timer_list *timer, unsigned long baseclk)
{
	struct slow_timer *slow = data;
	unsigned int ms;

	if (!is_timer_of(timer, slow->release_fence) || xchg(&slow->begun, true))
		return;
	schedule_work_on(cpumask_any_but(cpu_online_mask, smp_processor_id()), &slow->release);
	/* A busy machine takes its time to wake the other processor up. */
	for (ms = 0; ms < 2000 && !READ_ONCE(slow->releasing); ++ms)
		mdelay(1);
	/* A release that does not wait has freed all memory by then. */
	for (ms = 0; ms < 1500 && !READ_ONCE(slow->released); ++ms)
		mdelay(1);
	WRITE_ONCE(slow->over, true);
}

/* The release of a queue waits for a timer callback that uses the buffer. */
void release_waits_for_timer(struct kunit *test)
{
	struct slow_timer *slow = kunit_kzalloc(test, sizeof(*slow), GFP_KERNEL);
	unsigned long limit = jiffies + LONG;

	KUNIT_ASSERT_NOT_NULL(test, slow);
	if (num_online_cpus() < 2)
		kunit_skip(test, "needs two processors");
	slow->mq = MOCK_START(test);
	slow->release_fence = mock_vb(slow->mq, 0)->release_fence;
	INIT_WORK(&slow->release, release_queue);
	mock_trace(test, "timer_expire_entry", slow_down_timer, slow);
	mock_set_timeout(test, MOCK_TIMEOUT);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(slow->mq, 0));
	while (!READ_ONCE(slow->begun) && time_before(jiffies, limit))
		msleep(20);
	KUNIT_ASSERT_TRUE(test, READ_ONCE(slow->begun));
	flush_work(&slow->release);
	KUNIT_EXPECT_TRUE(test, slow->releasing);
	KUNIT_EXPECT_TRUE(test, slow->waited);
}

/* A timeout between the start of the timer and the publication of the fence. */
struct slow_start {
	const void *release_fence;
	unsigned int delay_ms;
	unsigned int starts, arms, ends;
	int result;
	/* The trace events were in the wrong order. */
	bool ended_first;
};

/*
 * Runs where the timer is started, with interrupts off: the tick that ends it comes right after, if
 * the time has passed. This processor may be the one that counts it, with that tick. Not mdelay():
 * it is too short if it was calibrated on a machine that was held up.
 */
static void slow_down_start(void *data, struct timer_list *timer, unsigned long bucket_expiry)
{
	struct slow_start *start = data;
	unsigned long passed = jiffies + 5;
	ktime_t begin = ktime_get();

	if (!is_timer_of(timer, start->release_fence))
		return;
	start->starts++;
	while (time_before(jiffies, passed) && ktime_ms_delta(ktime_get(), begin) < 500)
		cpu_relax();
	begin = ktime_get();
	while (ktime_ms_delta(ktime_get(), begin) < start->delay_ms)
		cpu_relax();
}

static void note_arm(void *data, struct vb2_queue *q, unsigned int index, u64 context, u64 seqno)
{
	struct slow_start *start = data;

	start->arms++;
}

static void note_end(void *data, struct vb2_queue *q, unsigned int index, u64 context, u64 seqno,
		     int result)
{
	struct slow_start *start = data;

	if (!start->arms)
		start->ended_first = true;
	start->ends++;
	start->result = result;
}

/*
 * How often that is tried: the tick comes late if the machine is held up, so that each try waits so
 * many milliseconds more.
 */
#define SLOW_STARTS	20
#define DELAY_MS	20

void expires_while_arming(struct kunit *test)
{
	struct slow_start *start = kunit_kzalloc(test, sizeof(*start), GFP_KERNEL);
	struct mock_queue *mq = MOCK_START(test);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	unsigned int tries = 0, ms;
	bool while_arming;

	KUNIT_ASSERT_NOT_NULL(test, start);
	start->release_fence = mock_vb(mq, 0)->release_fence;
	mock_trace(test, "timer_start", slow_down_start, start);
	mock_trace(test, "vb2_release_fence_armed", note_arm, start);
	mock_trace(test, "vb2_release_fence_signalled", note_end, start);
	mock_set_timeout(test, 1);
	do {
		start->delay_ms = (tries + 1) * DELAY_MS;
		start->starts = 0;
		start->arms = 0;
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
	KUNIT_EXPECT_FALSE(test, start->ended_first);

	/* What the next job publishes is not signalled. */
	start->release_fence = NULL;
	mock_set_timeout(test, 10000);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_TRUE(test, mock_writer_waits(dbuf));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));
}

/* A timer callback that begins when its job ends, and is delayed until the next job has begun. */
struct late_timer {
	struct vb2_buffer *vb;
	struct dma_fence *first;
	struct work_struct next_job;
	bool begun, job_begun;
	int status, error;
	ktime_t begin;
};

/* On another processor than the timer callback. */
static void begin_next_job(struct work_struct *work)
{
	struct late_timer *late = container_of(work, struct late_timer, next_job);
	struct vb2_queue *q = late->vb->vb2_queue;
	unsigned int index;

	vb2_buffer_done(late->vb, VB2_BUF_STATE_DONE);
	late->status = dma_fence_get_status(late->first);
	late->error = vb2_core_dqbuf(q, &index, NULL, true) ?:
		      vb2_core_qbuf(q, late->vb, NULL, NULL);
	late->begin = ktime_get();
	if (!late->error)
		late->error = mock_attach_job(late->vb, NULL);
	WRITE_ONCE(late->job_begun, true);
}

/* Runs when a timer has expired, just before its callback. */
static void hold_timer(void *data, struct timer_list *timer, unsigned long baseclk)
{
	struct late_timer *late = data;
	unsigned int ms;

	if (!is_timer_of(timer, late->vb->release_fence) || xchg(&late->begun, true))
		return;
	schedule_work_on(cpumask_any_but(cpu_online_mask, smp_processor_id()), &late->next_job);
	/* The other processor may be an emulated one on a busy machine. */
	for (ms = 0; ms < 8000 && !READ_ONCE(late->job_begun); ++ms)
		mdelay(1);
}

void late_timer_spares_next_job(struct kunit *test)
{
	struct late_timer *late = kunit_kzalloc(test, sizeof(*late), GFP_KERNEL);
	struct mock_queue *mq = MOCK_START(test);
	unsigned long limit = jiffies + 20 * HZ;
	struct dma_buf *dbuf;
	unsigned int ms;
	bool waits;

	KUNIT_ASSERT_NOT_NULL(test, late);
	if (num_online_cpus() < 2)
		kunit_skip(test, "needs two processors");
	late->vb = mock_vb(mq, 0);
	INIT_WORK(&late->next_job, begin_next_job);
	dbuf = mock_export(mq, 0, 0);
	mock_set_timeout(test, MOCK_TIMEOUT);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	late->first = mock_seen(test, dbuf);
	/* For the next job */
	mock_set_timeout(test, 1000);
	mock_trace(test, "timer_expire_entry", hold_timer, late);

	while (!READ_ONCE(late->job_begun) && time_before(jiffies, limit))
		msleep(20);
	flush_work(&late->next_job);
	KUNIT_ASSERT_TRUE(test, late->job_begun);
	KUNIT_ASSERT_EQ(test, 1, late->status);
	KUNIT_ASSERT_EQ(test, 0, late->error);

	/* By now the timer callback has returned. */
	msleep(200);
	waits = mock_writer_waits(dbuf);
	if (ktime_ms_delta(ktime_get(), late->begin) < 1000)
		KUNIT_EXPECT_TRUE(test, waits);
	/* And the timer has not forgotten the job. */
	for (ms = 0; ms < jiffies_to_msecs(LONG) && mock_writer_waits(dbuf); ms += 20)
		msleep(20);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
}

#define RACES	200

/* A thread on another processor waits for the tick of the timeout, and ends the job just then. */
struct race {
	struct vb2_buffer *vb;
	unsigned long expires;
	unsigned int delay_us;
	bool over;
	struct completion go, ended;
};

static int end_at_timeout(void *data)
{
	struct race *race = data;

	for (;;) {
		unsigned long limit;

		wait_for_completion(&race->go);
		if (race->over)
			return 0;
		limit = jiffies + HZ;
		/* Sleeping would be too late. */
		while (time_before(READ_ONCE(jiffies), race->expires) &&
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

	mock_set_timeout(mq->test, jiffies_to_msecs(2));
	/* A timer of 2 ticks expires with the third one. */
	race->expires = jiffies + 3;
	if (mock_attach(mq, 0) || dma_resv_get_singleton(dbuf->resv, DMA_RESV_USAGE_READ, &fence))
		return 0;
	complete(&race->go);
	wait_for_completion(&race->ended);
	/* NULL if the timeout has passed before the object was read. */
	status = fence ? dma_fence_get_status(fence) : -ETIMEDOUT;
	dma_fence_put(fence);
	if (mock_writer_waits(dbuf))
		return 0;

	/* The timer callback may run only now: it must not signal the fence of the next job. */
	mock_set_timeout(mq->test, 10000);
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

void races_with_done(struct kunit *test)
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
	task = kthread_create(end_at_timeout, race, "vb2-mock-race");
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
