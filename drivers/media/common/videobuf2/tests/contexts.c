// SPDX-License-Identifier: GPL-2.0-only
/*
 * In what context a fence is signalled, and on what timeline it is: "context" means both.
 */

#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/irq_work.h>
#include <linux/timer.h>

#include "mock.h"

/* A driver whose job ends in some other context. */
struct job {
	struct vb2_buffer *vb;
	enum vb2_buffer_state state;
	struct irq_work irq_work;
	struct hrtimer hrtimer;
	struct timer_list timer;
	struct completion ended;
	bool in_hardirq, in_softirq;
};

static void end_job(struct job *job)
{
	job->in_hardirq = in_hardirq();
	job->in_softirq = in_serving_softirq();
	vb2_buffer_done(job->vb, job->state);
	complete(&job->ended);
}

static void end_by_irq_work(struct irq_work *work)
{
	end_job(container_of(work, struct job, irq_work));
}

static enum hrtimer_restart end_by_hrtimer(struct hrtimer *timer)
{
	end_job(container_of(timer, struct job, hrtimer));
	return HRTIMER_NORESTART;
}

static void end_by_timer(struct timer_list *timer)
{
	end_job(container_of(timer, struct job, timer));
}

static struct job *start_job(struct kunit *test, struct mock_queue *mq, enum vb2_buffer_state state)
{
	struct job *job = kunit_kzalloc(test, sizeof(*job), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, job);
	job->vb = mock_vb(mq, 0);
	job->state = state;
	init_completion(&job->ended);
	init_irq_work(&job->irq_work, end_by_irq_work);
	hrtimer_init(&job->hrtimer, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	job->hrtimer.function = end_by_hrtimer;
	timer_setup(&job->timer, end_by_timer, 0);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	return job;
}

static void from_irq_work(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	struct job *job = start_job(test, mq, VB2_BUF_STATE_DONE);
	struct dma_fence *fence = mock_seen(test, dbuf);

	irq_work_queue(&job->irq_work);
	irq_work_sync(&job->irq_work);
	if (!job->in_hardirq)
		kunit_skip(test, "irq_work does not run in hard interrupt context here");
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(fence));
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));
	KUNIT_EXPECT_EQ(test, 0, mock_dqbuf(mq));
}

static void from_hrtimer(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	struct job *job = start_job(test, mq, VB2_BUF_STATE_ERROR);
	struct dma_fence *fence = mock_seen(test, dbuf);

	/* A waiter sleeps until then, and is woken from the interrupt. */
	hrtimer_start(&job->hrtimer, ms_to_ktime(20), HRTIMER_MODE_REL);
	KUNIT_EXPECT_GT(test, dma_fence_wait_timeout(fence, false, 20 * HZ), 0);
	wait_for_completion(&job->ended);
	hrtimer_cancel(&job->hrtimer);
	KUNIT_EXPECT_TRUE(test, job->in_hardirq || job->in_softirq);
	KUNIT_EXPECT_EQ(test, -EIO, dma_fence_get_status(fence));
	KUNIT_EXPECT_EQ(test, 0, mock_dqbuf(mq));
}

static void from_softirq(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	struct job *job = start_job(test, mq, VB2_BUF_STATE_DONE);
	struct dma_fence *fence = mock_seen(test, dbuf);

	mod_timer(&job->timer, jiffies + 1);
	wait_for_completion(&job->ended);
	timer_delete_sync(&job->timer);
	KUNIT_EXPECT_TRUE(test, job->in_softirq);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(fence));
}

static void with_spinlock_held(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .planes = 2);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	static DEFINE_SPINLOCK(lock);
	struct dma_fence *fence;
	unsigned long flags;

	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, dbuf);
	/* As drivers may. */
	spin_lock_irqsave(&lock, flags);
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	spin_unlock_irqrestore(&lock, flags);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(fence));
}

/* Timelines */

/* Arms buffer @index and returns its fence. */
static struct dma_fence *arm(struct mock_queue *mq, unsigned int index)
{
	KUNIT_ASSERT_EQ(mq->test, 0, mock_attach(mq, index));
	return mock_seen(mq->test, mock_export(mq, index, 0));
}

static void any_order(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .buffers = 2);
	struct dma_fence *first = arm(mq, 0);
	struct dma_fence *second = arm(mq, 1);

	KUNIT_EXPECT_NE(test, first->context, second->context);
	/* Ends in any order. */
	mock_done(mq, 1, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 0, dma_fence_get_status(first));
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(second));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(first));
}

/* The fences of one buffer are one timeline. */
static void in_order(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_fence *last = NULL;
	unsigned int frame;

	for (frame = 0; frame < 5; ++frame) {
		struct dma_fence *fence = arm(mq, 0);

		if (last) {
			KUNIT_EXPECT_EQ(test, last->context, fence->context);
			KUNIT_EXPECT_TRUE(test, dma_fence_is_later(fence, last));
			KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(last));
		}
		last = fence;
		mock_done(mq, 0, VB2_BUF_STATE_DONE);
		KUNIT_ASSERT_EQ(test, 0, mock_dqbuf(mq));
		mock_qbuf(mq, 0);
	}
}

/* One dma-buf in two buffers: the object keeps both fences, as they may end in any order. */
static void same_dmabuf_in_two_buffers(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF, .buffers = 2);

	mock_buffer(mq, 0)->import[0] = dbuf;
	mock_buffer(mq, 1)->import[0] = dbuf;
	mock_run(mq);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 1));
	KUNIT_EXPECT_EQ(test, 2, mock_count(test, dbuf));

	mock_done(mq, 1, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(dbuf));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_FALSE(test, mock_reader_waits(dbuf));
}

static struct kunit_case contexts_cases[] = {
	KUNIT_CASE(from_irq_work),
	KUNIT_CASE(from_hrtimer),
	KUNIT_CASE(from_softirq),
	KUNIT_CASE(with_spinlock_held),
	KUNIT_CASE(any_order),
	KUNIT_CASE(in_order),
	KUNIT_CASE(same_dmabuf_in_two_buffers),
	{ }
};

static struct kunit_suite contexts_suite = {
	.name = "vb2-release-fence-contexts",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = mock_init,
	.test_cases = contexts_cases,
};

kunit_test_suite(contexts_suite);
