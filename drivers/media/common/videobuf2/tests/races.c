// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that use the same buffers and reservation objects at the same time.
 */

#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/rcupdate.h>

#include "races.h"

#define ROUNDS	1000

static void contention(struct kunit *test)
{
	struct dma_buf *dbuf[2] = { mock_dmabuf(test, NULL), mock_dmabuf(test, NULL) };
	struct mock_queue *mq = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF, .planes = 2);
	struct rival *rival;
	unsigned int round;

	memcpy(mock_buffer(mq, 0)->import, dbuf, sizeof(dbuf));
	mock_run(mq);
	rival = rival_start(test, rival_lock_in_other_order,
			    &(struct rival){ .resv = { dbuf[0]->resv, dbuf[1]->resv } });

	for (round = 0; round < ROUNDS || atomic_read(&rival->rounds) < ROUNDS; ++round) {
		KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
		KUNIT_ASSERT_TRUE(test, mock_reader_waits(dbuf[0]));
		KUNIT_ASSERT_TRUE(test, mock_reader_waits(dbuf[1]));
		mock_done(mq, 0, VB2_BUF_STATE_DONE);
		KUNIT_ASSERT_FALSE(test, mock_reader_waits(dbuf[0]));
		KUNIT_ASSERT_FALSE(test, mock_reader_waits(dbuf[1]));
		mock_dqbuf(mq);
		mock_qbuf(mq, 0);
		cond_resched();
	}
	kunit_info(test, "%u rounds, the rival backed off %d times in %d\n", round,
		   atomic_read(&rival->errors), atomic_read(&rival->rounds));
}

/* The two buffers of a job, whose objects the rival locks in the other order. */
static void job_contention(struct kunit *test)
{
	struct dma_buf *dbuf[2] = { mock_dmabuf(test, NULL), mock_dmabuf(test, NULL) };
	struct mock_queue *dst = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF);
	struct mock_queue *src = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF, .output = true);
	struct rival *rival;
	unsigned int round;

	mock_buffer(dst, 0)->import[0] = dbuf[0];
	mock_buffer(src, 0)->import[0] = dbuf[1];
	mock_run(dst);
	mock_run(src);
	rival = rival_start(test, rival_lock_in_other_order,
			    &(struct rival){ .resv = { dbuf[0]->resv, dbuf[1]->resv } });

	for (round = 0; round < ROUNDS || atomic_read(&rival->rounds) < ROUNDS; ++round) {
		KUNIT_ASSERT_EQ(test, 0, mock_attach_job(mock_vb(dst, 0), mock_vb(src, 0)));
		KUNIT_ASSERT_TRUE(test, mock_reader_waits(dbuf[0]));
		KUNIT_ASSERT_TRUE(test, mock_writer_waits(dbuf[1]));
		mock_done(dst, 0, VB2_BUF_STATE_DONE);
		mock_done(src, 0, VB2_BUF_STATE_DONE);
		KUNIT_ASSERT_FALSE(test, mock_writer_waits(dbuf[0]));
		KUNIT_ASSERT_FALSE(test, mock_writer_waits(dbuf[1]));
		mock_dqbuf(dst);
		mock_dqbuf(src);
		mock_qbuf(dst, 0);
		mock_qbuf(src, 0);
		cond_resched();
	}
}

/* Two queues with the same two dma-bufs as planes, in opposite order. */
static void two_queues(struct kunit *test)
{
	struct mock_queue *camera = MOCK_OPEN(test, .planes = 2);
	struct dma_buf *dbuf[2] = { mock_export(camera, 0, 0), mock_export(camera, 0, 1) };
	struct mock_queue *other = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF, .planes = 2);
	struct rival *rival;
	unsigned int round;

	mock_buffer(other, 0)->import[0] = dbuf[1];
	mock_buffer(other, 0)->import[1] = dbuf[0];
	mock_run(other);
	mock_run(camera);
	rival = rival_start(test, rival_attach_and_end, &(struct rival){ .mq = camera });

	for (round = 0; round < ROUNDS || atomic_read(&rival->rounds) < ROUNDS; ++round) {
		KUNIT_ASSERT_EQ(test, 0, mock_attach(other, 0));
		KUNIT_ASSERT_TRUE(test, mock_reader_waits(dbuf[0]));
		KUNIT_ASSERT_TRUE(test, mock_reader_waits(dbuf[1]));
		mock_done(other, 0, VB2_BUF_STATE_DONE);
		mock_dqbuf(other);
		mock_qbuf(other, 0);
		cond_resched();
	}
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&rival->errors));
}

static void consumer(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	struct rival *rival = rival_start(test, rival_consume, &(struct rival){ .dbuf = dbuf });
	unsigned int round;

	for (round = 0; round < ROUNDS; ++round) {
		KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
		udelay(round % HOLD_US);
		/* Now and then it has all the time to begin to wait. */
		if (round % 10 == 0)
			usleep_range(1000, 2000);
		mock_done(mq, 0, VB2_BUF_STATE_ERROR);
		mock_dqbuf(mq);
		mock_qbuf(mq, 0);
		cond_resched();
	}
	KUNIT_EXPECT_GT(test, atomic_read(&rival->rounds), 0);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&rival->errors));
	kunit_info(test, "a fence was met in %d of %u rounds\n", atomic_read(&rival->rounds),
		   round);
}

/*
 * A program that dequeues its buffer when the fence is signalled, or as soon as it can. In the one
 * case there is a buffer, in the other one the fence is signalled, and with the job's result.
 */
static int dequeue(void *data)
{
	struct rival *rival = data;
	struct vb2_queue *q = &rival->mq->q;

	while (rival_next_round(rival)) {
		bool after_fence = rival->done % 2;
		unsigned int index, tries = 0;

		while (after_fence && !dma_fence_is_signaled(rival->fence) &&
		       !kthread_should_stop())
			cond_resched_tasks_rcu_qs();
		while (vb2_core_dqbuf(q, &index, NULL, true) && !kthread_should_stop()) {
			++tries;
			cond_resched_tasks_rcu_qs();
		}
		if (after_fence && tries)
			atomic_inc(&rival->early);
		if (dma_fence_get_status(rival->fence) != -EIO)
			atomic_inc(&rival->errors);
		rival_end_round(rival);
	}
	return 0;
}

static void dequeued_with_the_fence(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	struct rival *rival = rival_start(test, dequeue, &(struct rival){ .mq = mq });
	unsigned int round;

	for (round = 0; round < ROUNDS; ++round) {
		KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
		KUNIT_ASSERT_EQ(test, 0, dma_resv_get_singleton(dbuf->resv, DMA_RESV_USAGE_READ,
								&rival->fence));
		KUNIT_ASSERT_NOT_NULL(test, rival->fence);
		rival_begin_round(rival);
		udelay(round % HOLD_US);
		mock_done(mq, 0, VB2_BUF_STATE_ERROR);
		rival_wait_for_round(rival);
		dma_fence_put(rival->fence);
		KUNIT_ASSERT_EQ(test, 0, atomic_read(&rival->early));
		KUNIT_ASSERT_EQ(test, 0, atomic_read(&rival->errors));
		mock_qbuf(mq, 0);
	}
}

#ifdef CONFIG_KPROBES
/* The thread that returns a buffer, held when that can be dequeued, until it is freed. */
static struct {
	struct task_struct *task;
	bool begun, over;
	unsigned int index;
} held;

static int hold_release(struct kprobe *kp, struct pt_regs *regs)
{
	unsigned int ms;

	if (current != READ_ONCE(held.task))
		return 0;
	WRITE_ONCE(held.begun, true);
	for (ms = 0; ms < 5000 && !READ_ONCE(held.over); ++ms)
		mdelay(1);
	return 0;
}

/* The trace event of a done buffer looks at it, and so must be before. */
static void see_done(void *data, struct vb2_queue *q, struct vb2_buffer *vb)
{
	if (current == READ_ONCE(held.task))
		held.index = vb->index;
}

static struct kprobe release_probe;

static void unregister_release_probe(void *unused)
{
	unregister_kprobe(&release_probe);
}

static int dequeue_and_free(void *data)
{
	struct rival *rival = data;
	struct vb2_queue *q = &rival->mq->q;
	unsigned int index, count = 0;

	set_cpus_allowed_ptr(current, cpumask_of(cpumask_last(cpu_online_mask)));
	while (rival_next_round(rival)) {
		rival_end_round(rival);
		while (!READ_ONCE(held.begun) && !kthread_should_stop())
			cond_resched_tasks_rcu_qs();
		if (vb2_core_dqbuf(q, &index, NULL, true) ||
		    dma_fence_get_status(rival->fence) != -EIO ||
		    vb2_core_streamoff(q, q->type) ||
		    vb2_core_reqbufs(q, VB2_MEMORY_MMAP, 0, &count))
			atomic_inc(&rival->errors);
		WRITE_ONCE(held.over, true);
	}
	return 0;
}

/* A buffer that can be dequeued is dequeued and freed while vb2_buffer_done() has yet to signal. */
static void freed_before_the_signal(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	struct rival *rival;

	if (num_online_cpus() < 2)
		kunit_skip(test, "needs two processors");
	memset(&held, 0, sizeof(held));
	held.index = UINT_MAX;
	/* A kprobe that was registered before holds its address, which must not be given again. */
	release_probe = (struct kprobe){
		.symbol_name = "__vb2_queue_end_release",
		.pre_handler = hold_release,
	};
	if (register_kprobe(&release_probe))
		kunit_skip(test, "__vb2_queue_end_release() cannot be probed");
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, unregister_release_probe, NULL));
	mock_trace(test, "vb2_buf_done", see_done, NULL);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	rival = rival_start(test, dequeue_and_free,
			    &(struct rival){ .mq = mq, .fence = mock_seen(test, dbuf) });
	set_cpus_allowed_ptr(current, cpumask_of(cpumask_first(cpu_online_mask)));
	rival_begin_round(rival);
	rival_wait_for_round(rival);

	WRITE_ONCE(held.task, current);
	mock_done(mq, 0, VB2_BUF_STATE_ERROR);
	WRITE_ONCE(held.task, NULL);
	KUNIT_EXPECT_TRUE(test, held.begun);
	KUNIT_EXPECT_TRUE(test, held.over);
	KUNIT_EXPECT_EQ(test, 0, held.index);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&rival->errors));
	KUNIT_EXPECT_EQ(test, 0, vb2_get_num_buffers(&mq->q));
}
#endif

/* Attaches, and looks for the fence in @dbuf, if given. Returns whether something is wrong. */
static bool attach_and_look(struct vb2_buffer *vb, struct dma_buf *dbuf)
{
	return mock_attach_job(vb, NULL) || (dbuf && !mock_reader_waits(dbuf));
}

static int attach_too(void *data)
{
	struct rival *rival = data;

	while (rival_next_round(rival)) {
		if (attach_and_look(vb2_get_buffer(&rival->mq->q, 0), rival->dbuf))
			atomic_inc(&rival->errors);
		rival_end_round(rival);
	}
	return 0;
}

static void count_armed(void *data, struct vb2_queue *q, unsigned int index, u64 context, u64 seqno)
{
	atomic_inc(data);
}

/* Of two that attach a buffer, one publishes a fence, with a timeout. Both may rely on it. */
static void attached_twice(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	atomic_t *armed = kunit_kzalloc(test, sizeof(*armed), GFP_KERNEL);
	struct rival *rival;
	unsigned int round;

	KUNIT_ASSERT_NOT_NULL(test, armed);
	mock_trace(test, "vb2_release_fence_armed", count_armed, armed);
	rival = rival_start(test, attach_too, &(struct rival){ .mq = mq });
	for (round = 0; round < ROUNDS; ++round) {
		unsigned long limit = jiffies + 20 * HZ;
		/* Some jobs end by their timeout, which may be before one has looked. */
		bool late = round % 100 == 99;

		if (late)
			mock_set_timeout(test, 20);
		rival->dbuf = late ? NULL : dbuf;
		atomic_set(armed, 0);
		rival_begin_round(rival);
		udelay(round * 7 % HOLD_US);
		KUNIT_ASSERT_FALSE(test, attach_and_look(mock_vb(mq, 0), rival->dbuf));
		rival_wait_for_round(rival);
		KUNIT_ASSERT_EQ(test, 0, atomic_read(&rival->errors));
		if (!late) {
			KUNIT_ASSERT_EQ(test, 1, mock_count(test, dbuf));
			/* Of two, the later one would hide the other from those who look now. */
			KUNIT_ASSERT_EQ(test, 1, atomic_read(armed));
		}
		while (late && mock_writer_waits(dbuf) && time_before(jiffies, limit))
			msleep(20);
		KUNIT_ASSERT_EQ(test, !late, mock_writer_waits(dbuf));
		if (late)
			mock_set_timeout(test, 10000);
		mock_done(mq, 0, VB2_BUF_STATE_DONE);
		KUNIT_ASSERT_EQ(test, 0, mock_count(test, dbuf));
		mock_dqbuf(mq);
		mock_qbuf(mq, 0);
	}
}

static int export_too(void *data)
{
	struct rival *rival = data;

	while (rival_next_round(rival)) {
		rival->dbuf = mock_expbuf(vb2_get_buffer(&rival->mq->q, 0), 0, O_RDONLY);
		rival_end_round(rival);
	}
	return 0;
}

/* An export brings an object into use just when a job is armed. */
static void export_while_arming(struct kunit *test)
{
	struct mock_queue *mq = MOCK_OPEN(test);
	struct rival *rival = rival_start(test, export_too, &(struct rival){ .mq = mq });
	unsigned int round;

	for (round = 0; round < ROUNDS / 2; ++round) {
		struct dma_buf *dbuf;

		/* New memory, of which one object is in use */
		mock_run(mq);
		dbuf = mock_export(mq, 0, 0);
		rival_begin_round(rival);
		udelay(round * 7 % HOLD_US);
		KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
		rival_wait_for_round(rival);
		KUNIT_ASSERT_NOT_NULL(test, rival->dbuf);
		KUNIT_ASSERT_PTR_NE(test, dbuf->resv, rival->dbuf->resv);
		KUNIT_EXPECT_EQ(test, 1, mock_count(test, dbuf));
		KUNIT_EXPECT_EQ(test, 1, mock_count(test, rival->dbuf));
		mock_streamoff(mq);
		KUNIT_EXPECT_EQ(test, 0, mock_count(test, rival->dbuf));
		mock_put_dmabuf(rival->dbuf);
		mock_close(test, dbuf);
		mock_reqbufs(mq, VB2_MEMORY_MMAP, 0);
		mock_reqbufs(mq, VB2_MEMORY_MMAP, 1);
	}
}

struct interrupt {
	struct hrtimer timer;
	struct vb2_buffer *vb;
	atomic_t *taken;
};

/* In the driver: the interrupt and stop_streaming() agree on which of them ends a job. */
static atomic_t job_taken;

static enum hrtimer_restart end_by_interrupt(struct hrtimer *timer)
{
	struct interrupt *interrupt = container_of(timer, struct interrupt, timer);

	if (!atomic_xchg(&job_taken, 1))
		vb2_buffer_done(interrupt->vb, VB2_BUF_STATE_DONE);
	return HRTIMER_NORESTART;
}

static struct interrupt interrupt;

static void stop_interrupt(struct mock_queue *mq)
{
	if (!atomic_xchg(&job_taken, 1))
		vb2_buffer_done(interrupt.vb, VB2_BUF_STATE_ERROR);
	/* Whichever was first: no part of the job runs after this. */
	hrtimer_cancel(&interrupt.timer);
}

static void interrupt_and_streamoff(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	unsigned int round, done = 0, cancelled = 0;

	mq->before_stop = stop_interrupt;
	interrupt.vb = mock_vb(mq, 0);
	hrtimer_init(&interrupt.timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	interrupt.timer.function = end_by_interrupt;

	for (round = 0; round < ROUNDS / 2; ++round) {
		struct dma_fence *fence;
		int status;

		KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
		KUNIT_ASSERT_EQ(test, 0, dma_resv_get_singleton(dbuf->resv, DMA_RESV_USAGE_READ,
								&fence));
		KUNIT_ASSERT_NOT_NULL(test, fence);
		atomic_set(&job_taken, 0);
		hrtimer_start(&interrupt.timer, ns_to_ktime(round * 997 % 200000),
			      HRTIMER_MODE_REL);
		udelay(round % 100);
		mock_streamoff(mq);
		status = dma_fence_get_status(fence);
		dma_fence_put(fence);
		KUNIT_ASSERT_TRUE(test, status == 1 || status == -ECANCELED);
		done += status == 1;
		cancelled += status == -ECANCELED;
		KUNIT_ASSERT_FALSE(test, mock_writer_waits(dbuf));
		mock_run(mq);
	}
	kunit_info(test, "%u jobs were done, %u were cancelled\n", done, cancelled);
}

static struct kunit_case races_cases[] = {
	KUNIT_CASE_SLOW(contention),
	KUNIT_CASE_SLOW(job_contention),
	KUNIT_CASE_SLOW(two_queues),
	KUNIT_CASE_SLOW(consumer),
	KUNIT_CASE_SLOW(dequeued_with_the_fence),
#ifdef CONFIG_KPROBES
	KUNIT_CASE(freed_before_the_signal),
#endif
	KUNIT_CASE_SLOW(attached_twice),
	KUNIT_CASE_SLOW(export_while_arming),
	KUNIT_CASE_SLOW(interrupt_and_streamoff),
	{ }
};

static struct kunit_suite races_suite = {
	.name = "vb2-release-fence-races",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = mock_init,
	.test_cases = races_cases,
};

kunit_test_suite(races_suite);
