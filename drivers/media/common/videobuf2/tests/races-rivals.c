// SPDX-License-Identifier: GPL-2.0-only
/*
 * The other threads of races.c: how one is started, and those that do the same all the time.
 *
 * None of them has to sleep. The optimizer of kprobes holds text_mutex until each task has passed a
 * quiescent state of RCU tasks, which a plain cond_resched() is not: a case that registers a trace
 * event would wait for text_mutex until its rival ends.
 */

#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/rcupdate.h>
#include <linux/string.h>
#include <linux/ww_mutex.h>

#include "races.h"

static void rival_stop(void *task)
{
	kthread_stop(task);
}

struct rival *rival_start(struct kunit *test, int (*thread)(void *data), const struct rival *what)
{
	struct rival *rival = kunit_kzalloc(test, sizeof(*rival), GFP_KERNEL);
	struct task_struct *task;

	KUNIT_ASSERT_NOT_NULL(test, rival);
	*rival = *what;
	rival->test = test;
	task = kthread_run(thread, rival, "vb2-mock-rival");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, rival_stop, task));
	return rival;
}

bool rival_next_round(struct rival *rival)
{
	/* Pairs with the release in rival_begin_round(). */
	while (smp_load_acquire(&rival->go) == rival->done) {
		if (kthread_should_stop())
			return false;
		cond_resched_tasks_rcu_qs();
	}
	return true;
}

void rival_end_round(struct rival *rival)
{
	/* Pairs with the acquire in rival_wait_for_round(). */
	smp_store_release(&rival->done, rival->done + 1);
}

void rival_begin_round(struct rival *rival)
{
	/* Pairs with the acquire in rival_next_round(). */
	smp_store_release(&rival->go, rival->go + 1);
}

void rival_wait_for_round(struct rival *rival)
{
	unsigned long limit = jiffies + 60 * HZ;

	/* Pairs with the release in rival_end_round(). */
	while (smp_load_acquire(&rival->done) != rival->go && time_before(jiffies, limit))
		cond_resched_tasks_rcu_qs();
	KUNIT_ASSERT_EQ(rival->test, rival->go, rival->done);
}

int rival_signal(void *data)
{
	struct rival *rival = data;

	while (rival_next_round(rival)) {
		spin_until(rival->when);
		dma_fence_signal(rival->fence);
		rival_end_round(rival);
	}
	return 0;
}

int rival_lock_in_other_order(void *data)
{
	struct rival *rival = data;

	while (!kthread_should_stop()) {
		struct dma_resv *first = rival->resv[1], *second = rival->resv[0];
		struct ww_acquire_ctx ctx;
		int ret;

		ww_acquire_init(&ctx, &reservation_ww_class);
		ret = dma_resv_lock(first, &ctx);
		if (!ret) {
			/* Gives the other thread time to take the other one. */
			udelay(HOLD_US);
			while ((ret = dma_resv_lock(second, &ctx)) == -EDEADLK) {
				atomic_inc(&rival->errors);
				dma_resv_unlock(first);
				dma_resv_lock_slow(second, &ctx);
				swap(first, second);
			}
			dma_resv_unlock(first);
			if (!ret)
				dma_resv_unlock(second);
		}
		ww_acquire_fini(&ctx);
		atomic_inc(&rival->rounds);
		cond_resched_tasks_rcu_qs();
	}
	return 0;
}

int rival_attach_and_end(void *data)
{
	struct rival *rival = data;
	struct vb2_queue *q = &rival->mq->q;
	struct vb2_buffer *vb = vb2_get_buffer(q, 0);

	while (!kthread_should_stop()) {
		unsigned int index;

		if (mock_attach_job(vb, NULL))
			atomic_inc(&rival->errors);
		vb2_buffer_done(vb, VB2_BUF_STATE_DONE);
		if (vb2_core_dqbuf(q, &index, NULL, true) || vb2_core_qbuf(q, vb, NULL, NULL))
			atomic_inc(&rival->errors);
		atomic_inc(&rival->rounds);
		cond_resched_tasks_rcu_qs();
	}
	return 0;
}

int rival_consume(void *data)
{
	struct rival *rival = data;

	while (!kthread_should_stop()) {
		struct dma_fence *fence = NULL;

		/* All that a compositor does with a picture that it was just handed. */
		dma_resv_test_signaled(rival->dbuf->resv, DMA_RESV_USAGE_WRITE);
		if (dma_resv_get_singleton(rival->dbuf->resv, DMA_RESV_USAGE_WRITE, &fence))
			atomic_inc(&rival->errors);
		if (fence) {
			int status;

			if (strcmp(fence->ops->get_driver_name(fence), "videobuf2") ||
			    dma_fence_wait_timeout(fence, false, 20 * HZ) <= 0)
				atomic_inc(&rival->errors);
			/* Never signalled without the error that belongs to it. */
			status = dma_fence_get_status(fence);
			if (status != -EIO)
				atomic_inc(&rival->errors);
			dma_fence_put(fence);
			atomic_inc(&rival->rounds);
		}
		cond_resched_tasks_rcu_qs();
	}
	return 0;
}
