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
	/* As v4l2_m2m_buf_done_and_job_finish() does. */
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

static void unordered(struct kunit *test)
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

static void ordered(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .buffers = 3, .ordered = true);
	u64 context = 0, seqno = 0;
	unsigned int frame;

	for (frame = 0; frame < 30; ++frame) {
		unsigned int i = frame % 3;
		struct dma_fence *fence = arm(mq, i);

		if (frame)
			KUNIT_ASSERT_EQ(test, context, fence->context);
		KUNIT_ASSERT_GT(test, fence->seqno, seqno);
		context = fence->context;
		seqno = fence->seqno;
		mock_done(mq, i, frame % 4 ? VB2_BUF_STATE_DONE : VB2_BUF_STATE_ERROR);
		KUNIT_ASSERT_EQ(test, frame % 4 ? 1 : -EIO, dma_fence_get_status(fence));
		KUNIT_ASSERT_EQ(test, i, mock_dqbuf(mq));
		mock_qbuf(mq, i);
	}
}

static void ordered_pipeline(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .buffers = 3, .ordered = true);
	struct dma_fence *fence[3];
	unsigned int i;

	for (i = 0; i < 3; ++i)
		fence[i] = arm(mq, i);
	KUNIT_EXPECT_TRUE(test, dma_fence_is_later(fence[1], fence[0]));
	KUNIT_EXPECT_TRUE(test, dma_fence_is_later(fence[2], fence[1]));
	for (i = 0; i < 3; ++i) {
		mock_done(mq, i, VB2_BUF_STATE_DONE);
		KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(fence[i]));
		if (i < 2)
			KUNIT_EXPECT_EQ(test, 0, dma_fence_get_status(fence[i + 1]));
	}
}

static void queues_are_apart(struct kunit *test)
{
	struct mock_queue *one = MOCK_START(test, .ordered = true);
	struct mock_queue *two = MOCK_START(test, .ordered = true);

	KUNIT_EXPECT_NE(test, arm(one, 0)->context, arm(two, 0)->context);
}

static void ordered_cancelled(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .buffers = 3, .ordered = true);
	struct dma_fence *fence[3];
	unsigned int i;

	/* A queue that is being cancelled need not keep the order: no warning. */
	for (i = 3; i--;)
		fence[i] = arm(mq, i);
	mock_streamoff(mq);
	for (i = 0; i < 3; ++i)
		KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(fence[i]));

	/* And afterwards there is one again. */
	mock_run(mq);
	for (i = 0; i < 3; ++i)
		fence[i] = arm(mq, i);
	for (i = 0; i < 3; ++i)
		mock_done(mq, i, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(fence[2]));
}

static void ordered_timed_out(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .buffers = 2, .ordered = true);
	struct dma_fence *late, *next;

	mock_set_timeout(test, MOCK_TIMEOUT);
	late = arm(mq, 0);
	mock_set_timeout(test, 0);
	next = arm(mq, 1);
	KUNIT_ASSERT_GT(test, dma_fence_wait_timeout(late, false, 20 * HZ), 0);
	KUNIT_EXPECT_EQ(test, -ETIMEDOUT, dma_fence_get_status(late));

	/* The next one is in its turn: no warning. */
	mock_done(mq, 0, VB2_BUF_STATE_ERROR);
	mock_done(mq, 1, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(next));
}

/* One dma-buf in two buffers: the object keeps the later fence only if there is an order. */
static void same_dmabuf_in_two_buffers(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	unsigned int is_ordered;

	for (is_ordered = 0; is_ordered < 2; ++is_ordered) {
		struct mock_queue *mq = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF, .buffers = 2,
						  .ordered = is_ordered);

		mock_buffer(mq, 0)->import[0] = dbuf;
		mock_buffer(mq, 1)->import[0] = dbuf;
		mock_run(mq);
		KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
		KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 1));
		KUNIT_EXPECT_EQ(test, is_ordered ? 1 : 2, mock_count(test, dbuf));

		mock_done(mq, 0, VB2_BUF_STATE_DONE);
		KUNIT_EXPECT_TRUE(test, mock_reader_waits(dbuf));
		mock_done(mq, 1, VB2_BUF_STATE_DONE);
		KUNIT_EXPECT_FALSE(test, mock_reader_waits(dbuf));
	}
}

static struct kunit_case contexts_cases[] = {
	KUNIT_CASE(from_irq_work),
	KUNIT_CASE(from_hrtimer),
	KUNIT_CASE(from_softirq),
	KUNIT_CASE(with_spinlock_held),
	KUNIT_CASE(unordered),
	KUNIT_CASE(ordered),
	KUNIT_CASE(ordered_pipeline),
	KUNIT_CASE(queues_are_apart),
	KUNIT_CASE(ordered_cancelled),
	KUNIT_CASE(ordered_timed_out),
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
