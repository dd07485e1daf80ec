// SPDX-License-Identifier: GPL-2.0-only
/*
 * Acquire fences that are signalled, or time out, before, after and while the buffer that waits for
 * them is queued, returned, cancelled or freed.
 */

#include <linux/delay.h>
#include <linux/dma-fence.h>
#include <linux/kref.h>

#include "../videobuf2-acquire-fence-internal.h"
#include "acquire.h"
#include "races.h"

#define ROUNDS		200
/* The least number of rounds in which a signal comes while the operation runs. */
#define MEETINGS	10
#define MOST_TIME	(60 * HZ)
#define TIMEOUT_TICKS	2

/* The references to a fence that a case and a reservation object have. */
#define OWN_REFS	2

/* A pending fence in the object of @dbuf. */
static struct dma_fence *add_reader(struct kunit *test, struct dma_buf *dbuf)
{
	struct dma_fence *fence = mock_fence(test);

	mock_add_fence(test, dbuf->resv, fence, DMA_RESV_USAGE_READ);
	KUNIT_ASSERT_EQ(test, OWN_REFS, kref_read(&fence->refcount));
	return fence;
}

static void expect_let_go(struct kunit *test, struct dma_fence *fence)
{
	KUNIT_EXPECT_EQ(test, 0, acquire_callbacks(fence));
	KUNIT_EXPECT_EQ(test, OWN_REFS, kref_read(&fence->refcount));
}

/* A driver returns what still waits, as at the end of a stream. */
static void returned_while_waiting(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = acquire_open(test, dbuf, false);
	struct dma_fence *before = add_reader(test, dbuf), *after = add_reader(test, dbuf), *next;

	mock_run(mq);
	mock_done(mq, 0, VB2_BUF_STATE_ERROR);
	/* One is signalled before the buffer is dequeued, and one after it. */
	mock_fence_end(test, before);
	KUNIT_ASSERT_EQ(test, 0, mock_dqbuf(mq));
	expect_let_go(test, after);
	mock_fence_end(test, after);
	KUNIT_EXPECT_EQ(test, 0, acquire_notified(mq));

	/* The next time the scheduler is notified. */
	next = add_reader(test, dbuf);
	mock_qbuf(mq, 0);
	KUNIT_EXPECT_TRUE(test, acquire_waits(mq));
	mock_fence_end(test, next);
	KUNIT_EXPECT_EQ(test, 1, acquire_notified(mq));
}

/* All signalled between the end of the job and the DQBUF. */
static void signalled_when_returned(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = acquire_open(test, dbuf, false);
	struct dma_fence *fence = add_reader(test, dbuf);

	mock_run(mq);
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	mock_fence_end(test, fence);
	KUNIT_EXPECT_EQ(test, 0, acquire_notified(mq));
	KUNIT_EXPECT_EQ(test, 0, mock_dqbuf(mq));
}

/* The timeout of what was returned says nothing, and gives up nothing. */
static void late_when_returned(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = acquire_open(test, dbuf, false);
	struct dma_fence *fence = add_reader(test, dbuf);

	acquire_set_timeout(test, MOCK_TIMEOUT);
	mock_run(mq);
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	msleep(2 * MOCK_TIMEOUT);
	KUNIT_EXPECT_EQ(test, 1, acquire_callbacks(fence));
	KUNIT_EXPECT_EQ(test, 0, acquire_notified(mq));
	KUNIT_EXPECT_EQ(test, 0, mock_dqbuf(mq));
	mock_qbuf(mq, 0);
	KUNIT_EXPECT_TRUE(test, acquire_waits(mq));
}

/* Buffers that had no job yet, since the driver could not start, go on waiting. */
static void returned_as_queued(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = acquire_open(test, dbuf, false);
	struct dma_fence *fence = add_reader(test, dbuf);

	mq->start_error = -EBUSY;
	mock_qbuf(mq, 0);
	KUNIT_EXPECT_EQ(test, -EBUSY, vb2_core_streamon(&mq->q, mq->q.type));
	KUNIT_EXPECT_TRUE(test, acquire_waits(mq));
	mq->start_error = 0;
	KUNIT_ASSERT_EQ(test, 0, vb2_core_streamon(&mq->q, mq->q.type));
	mock_fence_end(test, fence);
	KUNIT_EXPECT_FALSE(test, acquire_waits(mq));
	KUNIT_EXPECT_EQ(test, 1, acquire_notified(mq));
}

/* A QBUF that fails when it has taken its snapshot. */
static void failed_qbuf(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = acquire_open(test, dbuf, false);
	struct dma_fence *fence = add_reader(test, dbuf);

	/* So that QBUF starts the driver. With this a queue cannot opt in; here it comes later. */
	mq->q.min_queued_buffers = 1;
	KUNIT_ASSERT_EQ(test, 0, vb2_core_streamon(&mq->q, mq->q.type));
	mq->start_error = -EBUSY;
	KUNIT_EXPECT_EQ(test, -EBUSY, mock_try_qbuf(mq, 0));
	expect_let_go(test, fence);
	mock_fence_end(test, fence);
	KUNIT_EXPECT_EQ(test, 0, acquire_notified(mq));
}

static void min_queued_buffers_refused(struct kunit *test)
{
	struct mock_queue *mq = MOCK_OPEN(test, .acquires = true);
	struct vb2_queue *q = kunit_kzalloc(test, sizeof(*q), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, q);
	*q = mq->q;
	q->min_queued_buffers = 1;
	mock_expect_warning(test, "videobuf2-acquire-fence.c");
	KUNIT_EXPECT_EQ(test, -EINVAL, vb2_core_queue_init(q));
	mock_expected_warning(test);
}

static void cancelled(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = acquire_open(test, dbuf, false);
	struct dma_fence *fence = add_reader(test, dbuf);

	/* Before STREAMON, and after it */
	mock_qbuf(mq, 0);
	KUNIT_EXPECT_EQ(test, 1, acquire_callbacks(fence));
	mock_streamoff(mq);
	expect_let_go(test, fence);
	mock_run(mq);
	KUNIT_EXPECT_EQ(test, 1, acquire_callbacks(fence));
	mock_streamoff(mq);
	expect_let_go(test, fence);

	/* With the memory, and with the whole queue */
	mock_run(mq);
	mock_streamoff(mq);
	mock_reqbufs(mq, VB2_MEMORY_DMABUF, 0);
	expect_let_go(test, fence);
	mock_reqbufs(mq, VB2_MEMORY_DMABUF, 1);
	mock_buffer(mq, 0)->import[0] = dbuf;
	mock_run(mq);
	KUNIT_EXPECT_EQ(test, 1, acquire_callbacks(fence));
	mock_release(mq);
	expect_let_go(test, fence);
	mock_fence_end(test, fence);
	KUNIT_EXPECT_EQ(test, 0, acquire_notified(mq));
}

/* What was given up is kept until the buffer is queued again, or freed. */
static void given_up_is_freed(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = acquire_open(test, dbuf, false);
	struct dma_fence *fence = add_reader(test, dbuf);
	unsigned long limit = jiffies + LONG;

	acquire_set_timeout(test, 1);
	mock_run(mq);
	while (acquire_waits(mq) && time_before(jiffies, limit))
		msleep(20);
	KUNIT_EXPECT_EQ(test, 0, acquire_callbacks(fence));
	mock_streamoff(mq);
	KUNIT_EXPECT_EQ(test, OWN_REFS + 1, kref_read(&fence->refcount));
	mock_reqbufs(mq, VB2_MEMORY_DMABUF, 0);
	expect_let_go(test, fence);
}

/* What a scheduler does: it begins a job when it has a buffer that waits for nothing. */
static struct {
	/* Protects what follows. */
	spinlock_t lock;
	struct vb2_buffer *listed;
	unsigned int begun;
} scheduler = {
	.lock = __SPIN_LOCK_UNLOCKED(scheduler.lock),
};

static void try_begin(void)
{
	unsigned long flags;

	spin_lock_irqsave(&scheduler.lock, flags);
	if (scheduler.listed && vb2_buffer_acquired(scheduler.listed)) {
		scheduler.listed = NULL;
		scheduler.begun++;
	}
	spin_unlock_irqrestore(&scheduler.lock, flags);
}

static void list_buffer(struct vb2_buffer *vb)
{
	unsigned long flags;

	spin_lock_irqsave(&scheduler.lock, flags);
	scheduler.listed = vb;
	spin_unlock_irqrestore(&scheduler.lock, flags);
}

static void try_when_acquired(struct vb2_buffer *vb)
{
	struct mock_queue *mq = vb2_get_drv_priv(vb->vb2_queue);

	atomic_inc(&mq->acquired);
	try_begin();
}

/* Or videobuf2 hands the buffer over: its driver begins then. */
static int events(struct mock_queue *mq)
{
	return atomic_read(mq->q.buffer_acquired ? &mq->acquired : &mq->given);
}

static unsigned int begun(struct mock_queue *mq)
{
	return mq->q.buffer_acquired ? READ_ONCE(scheduler.begun) : atomic_read(&mq->given);
}

/* Operations, each of which meets a signal, or a timeout. */

static void streamoff(struct mock_queue *mq)
{
	mock_streamoff(mq);
}

static void reqbufs(struct mock_queue *mq)
{
	struct dma_buf *dbuf = mock_buffer(mq, 0)->import[0];

	mock_streamoff(mq);
	mock_reqbufs(mq, VB2_MEMORY_DMABUF, 0);
	mock_reqbufs(mq, VB2_MEMORY_DMABUF, 1);
	mock_buffer(mq, 0)->import[0] = dbuf;
}

static void close(struct mock_queue *mq)
{
	struct dma_buf *dbuf = mock_buffer(mq, 0)->import[0];

	vb2_core_queue_release(&mq->q);
	mock_reqbufs(mq, VB2_MEMORY_DMABUF, 1);
	mock_buffer(mq, 0)->import[0] = dbuf;
}

static void dqbuf(struct mock_queue *mq)
{
	mock_done(mq, 0, VB2_BUF_STATE_ERROR);
	KUNIT_ASSERT_EQ(mq->test, 0, mock_dqbuf(mq));
}

static void signal(struct mock_queue *mq)
{
	struct rival *rival = mq->priv;

	dma_fence_signal(rival->fence);
}

struct meeting {
	const char *name;
	/* What follows QBUF, and meets it; NULL: QBUF meets it. */
	void (*follows)(struct mock_queue *mq);
	/* The timer and not a signal. */
	bool timeout;
	/* Whether the job of the buffer has to begin. */
	bool begins;
	/* There is no scheduler: videobuf2 hands the buffer over. */
	bool hands_over;
};

static const struct meeting meetings[] = {
	{ "signal, QBUF", NULL, false, true },
	{ "signal, STREAMOFF", streamoff },
	{ "signal, REQBUFS(0)", reqbufs },
	{ "signal, DQBUF", dqbuf },
	{ "timeout, signal", signal, true, true },
	{ "timeout, STREAMOFF", streamoff, true },
	{ "timeout, REQBUFS(0)", reqbufs, true },
	{ "timeout, DQBUF", dqbuf, true },
	{ "signal, QBUF hands over", NULL, false, true, true },
	{ "signal hands over, STREAMOFF", streamoff, false, false, true },
	{ "signal hands over, REQBUFS(0)", reqbufs, false, false, true },
	{ "signal hands over, close", close, false, false, true },
	{ "timeout hands over, signal", signal, true, true, true },
	{ "timeout hands over, STREAMOFF", streamoff, true, false, true },
	{ "timeout hands over, close", close, true, false, true },
};

static void meeting_desc(const struct meeting *meeting, char *desc)
{
	strscpy(desc, meeting->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(meeting, meetings, meeting_desc);

static void queue(struct mock_queue *mq, const struct meeting *meeting)
{
	mock_run(mq);
	if (!meeting->begins || meeting->hands_over)
		return;
	list_buffer(mock_vb(mq, 0));
	try_begin();
}

/* The signal of another thread meets the operation. */
static void meet_signal(struct mock_queue *mq, const struct meeting *meeting,
			struct outcomes *outcomes, unsigned int round)
{
	struct rival *rival = mq->priv;
	ktime_t begin;
	bool early;

	if (meeting->follows)
		queue(mq, meeting);
	begin = ktime_add_us(ktime_get(), 50);
	rival->when = ktime_add_us(begin, max(outcomes->shift_us, 0));
	rival_begin_round(rival);
	spin_until(ktime_add_us(begin, max(-outcomes->shift_us, 0)));
	early = dma_fence_is_signaled(rival->fence);
	if (meeting->follows)
		meeting->follows(mq);
	else
		queue(mq, meeting);
	account(outcomes, early, !dma_fence_is_signaled(rival->fence), 1 + round * 7 % 32);
}

/* The timer, on another processor, meets the operation. */
static void meet_timeout(struct mock_queue *mq, const struct meeting *meeting,
			 struct outcomes *outcomes)
{
	int before = events(mq);
	unsigned long expires;
	bool early;

	set_cpus_allowed_ptr(current, cpumask_of(cpumask_last(cpu_online_mask)));
	expires = jiffies + TIMEOUT_TICKS;
	queue(mq, meeting);
	set_cpus_allowed_ptr(current, cpumask_of(cpumask_first(cpu_online_mask)));
	while (time_before(jiffies, expires))
		cpu_relax();
	spin_until(ktime_add_us(ktime_get(), max(-outcomes->shift_us, 0)));
	early = events(mq) != before;
	meeting->follows(mq);
	account(outcomes, early, !early, jiffies_to_usecs(1) / 16);
}

static void meet(struct kunit *test)
{
	const struct meeting *meeting = test->param_value;
	const unsigned long give_up = jiffies + MOST_TIME;
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF, .acquires = true,
					  .hands_over = meeting->hands_over);
	struct outcomes outcomes = { };
	struct rival *rival;
	unsigned int round;

	if (num_online_cpus() < 2)
		kunit_skip(test, "needs two processors");
	mock_buffer(mq, 0)->import[0] = dbuf;
	if (!meeting->hands_over)
		mq->q.buffer_acquired = try_when_acquired;
	scheduler.listed = NULL;
	scheduler.begun = 0;
	if (meeting->timeout)
		acquire_set_timeout(test, jiffies_to_msecs(TIMEOUT_TICKS));
	rival = rival_start(test, rival_signal, &(struct rival){ .mq = mq });
	mq->priv = rival;
	for (round = 0; round < ROUNDS || !outcomes.early || !outcomes.late ||
	     (!meeting->timeout && outcomes.overlapped < MEETINGS); ++round) {
		unsigned long limit = jiffies + LONG;
		int before = events(mq), after;

		if (round >= ROUNDS && time_after(jiffies, give_up))
			break;
		rival->fence = add_reader(test, dbuf);
		if (meeting->timeout)
			meet_timeout(mq, meeting, &outcomes);
		else
			meet_signal(mq, meeting, &outcomes, round);
		after = events(mq);
		rival_wait_for_round(rival);
		if (meeting->timeout)
			usleep_range(jiffies_to_usecs(1), jiffies_to_usecs(2));

		if (meeting->begins) {
			while (begun(mq) <= round && time_before(jiffies, limit))
				msleep(20);
			/* No wakeup is lost, and none comes twice. */
			KUNIT_ASSERT_EQ(test, round + 1, begun(mq));
			mock_streamoff(mq);
		} else {
			/* No event is of a buffer that is not queued any more. */
			KUNIT_ASSERT_EQ(test, after, events(mq));
		}
		KUNIT_ASSERT_LE(test, events(mq) - before, 1);
		mock_fence_end(test, rival->fence);
		cond_resched();
	}
	kunit_info(test, "of %u rounds %u overlapped, %u came first, %u came second\n", round,
		   outcomes.overlapped, outcomes.early, outcomes.late);
	KUNIT_EXPECT_GT(test, outcomes.early, 0);
	KUNIT_EXPECT_GT(test, outcomes.late, 0);
	if (!meeting->timeout)
		KUNIT_EXPECT_GE(test, outcomes.overlapped, MEETINGS);
}

static struct kunit_case acquire_races_cases[] = {
	KUNIT_CASE(returned_while_waiting),
	KUNIT_CASE(signalled_when_returned),
	KUNIT_CASE(late_when_returned),
	KUNIT_CASE(returned_as_queued),
	KUNIT_CASE(failed_qbuf),
	KUNIT_CASE(min_queued_buffers_refused),
	KUNIT_CASE(cancelled),
	KUNIT_CASE(given_up_is_freed),
	KUNIT_CASE_PARAM(meet, meeting_gen_params),
	{ }
};

static struct kunit_suite acquire_races_suite = {
	.name = "vb2-release-fence-acquire-races",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = acquire_init,
	.test_cases = acquire_races_cases,
};

kunit_test_suite(acquire_races_suite);
