// SPDX-License-Identifier: GPL-2.0-only
/*
 * The operations that run in pairs. Those that the kernel runs under the queue lock take it here.
 */

#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/slab.h>
#include <linux/ww_mutex.h>

#include "pairs.h"

/* How long a lock is held, so that a thread with another order takes the other lock. */
#define HOLD_US	20

/* The application queues what it gets back, and the driver begins the next job. */
static int arm(struct pairs_race *race, struct pairs_side *me, struct pairs_side *other)
{
	struct pairs_device *dev = race->dev;
	unsigned long limit = jiffies + PAIRS_LIMIT;
	int ret, left = race->running ? PAIRS_BUFFERS : 0;

	/* The job ends just when its timeout passes. */
	if (pairs_is(other, PAIRS_OP_TIMEOUT))
		pairs_end_job(dev, PAIRS_DST, VB2_BUF_STATE_DONE);
	for (;;) {
		bool closed;
		int done = 0;

		mutex_lock(&dev->lock);
		closed = dev->closed;
		if (!closed)
			done = pairs_requeue(dev);
		mutex_unlock(&dev->lock);
		if (closed)
			return 0;
		if (done < 0)
			return done;
		left -= done;
		if (left <= 0)
			break;
		if (time_after(jiffies, limit))
			return -ETIME;
		cond_resched_tasks_rcu_qs();
	}
	ret = pairs_start_job(dev);
	/* Consumers may see the fence before it is cancelled. */
	if (ret > 0 && me == race->side)
		pairs_note(dev);
	return ret;
}

static int done(struct pairs_race *race, struct pairs_side *me, struct pairs_side *other)
{
	return pairs_end_job(race->dev, me - race->side, VB2_BUF_STATE_DONE) > 0;
}

static int error(struct pairs_race *race, struct pairs_side *me, struct pairs_side *other)
{
	return pairs_end_job(race->dev, me - race->side, VB2_BUF_STATE_ERROR) > 0;
}

static int streamoff(struct pairs_race *race, struct pairs_side *me, struct pairs_side *other)
{
	struct pairs_device *dev = race->dev;
	unsigned int i, before;
	int ret = 0;

	mutex_lock(&dev->lock);
	before = dev->cancelled;
	for (i = 0; i < PAIRS_BUFFERS && !dev->closed && !ret; ++i)
		ret = vb2_core_streamoff(&dev->mq[i]->q, dev->mq[i]->q.type);
	if (!ret)
		ret = dev->cancelled > before;
	mutex_unlock(&dev->lock);
	return ret;
}

static int close(struct pairs_race *race, struct pairs_side *me, struct pairs_side *other)
{
	struct pairs_device *dev = race->dev;
	unsigned int i, before;
	int ret;

	mutex_lock(&dev->lock);
	before = dev->cancelled;
	for (i = 0; i < PAIRS_BUFFERS; ++i)
		mock_release(dev->mq[i]);
	dev->closed = true;
	ret = dev->cancelled > before;
	mutex_unlock(&dev->lock);
	return ret;
}

static int expbuf(struct pairs_race *race, struct pairs_side *me, struct pairs_side *other)
{
	struct pairs_device *dev = race->dev;
	bool closed;

	mutex_lock(&dev->lock);
	closed = dev->closed;
	if (!closed)
		me->dbuf = pairs_export(dev);
	mutex_unlock(&dev->lock);
	if (closed)
		return 0;
	/* In time to see the fence of a job that runs */
	return me->dbuf ? mock_reader_waits(me->dbuf) : -EINVAL;
}

static int last_close(struct pairs_race *race, struct pairs_side *me, struct pairs_side *other)
{
	bool last = file_count(me->dbuf->file) == 1;

	pairs_put(&me->dbuf);
	return last;
}

static void count_call(struct dma_fence *fence, struct dma_fence_cb *cb)
{
	atomic_inc(&container_of(cb, struct pairs_seen, cb)->called);
}

/* Adds a callback and removes it. Returns whether it was called instead. */
static int add_and_remove(struct dma_fence *fence)
{
	struct pairs_seen *seen = kzalloc(sizeof(*seen), GFP_KERNEL);
	bool removed;
	int called;

	if (!seen)
		return -ENOMEM;
	if (dma_fence_add_callback(fence, &seen->cb, count_call)) {
		kfree(seen);
		return 0;
	}
	udelay(2);
	removed = dma_fence_remove_callback(fence, &seen->cb);
	/* It is not called any more from here on: KASAN reports a late call. */
	called = atomic_read(&seen->called);
	kfree(seen);
	return called == !removed ? called : -EPROTO;
}

static bool is_over(const struct pairs_side *side)
{
	/* Pairs with the release in run_side(). */
	return smp_load_acquire(&side->over);
}

static int callbacks(struct pairs_race *race, struct pairs_side *me, struct pairs_side *other)
{
	unsigned long limit = jiffies + HZ / 10;
	unsigned int tries;
	int ret = 0;

	for (tries = 0; ret >= 0; ++tries) {
		struct dma_fence **fences;
		unsigned int i, count;

		/* Until the other operation is over, unless that waits for this one. */
		if (tries >= 8 &&
		    (pairs_is(other, PAIRS_OP_CALLBACKS) || is_over(other) ||
		     time_after(jiffies, limit)))
			break;
		if (dma_resv_get_fences(me->dbuf->resv, DMA_RESV_USAGE_READ, &count, &fences)) {
			ret = -ENOMEM;
			break;
		}
		for (i = 0; i < count; ++i) {
			if (ret >= 0)
				ret = add_and_remove(fences[i]) ?: ret;
			dma_fence_put(fences[i]);
		}
		kfree(fences);
		cond_resched_tasks_rcu_qs();
	}
	pairs_put(&me->dbuf);
	return ret;
}

/* Another driver's job reads both buffers. Returns whether it has to wait for ours. */
static int other_order(struct pairs_race *race, struct pairs_side *me, struct pairs_side *other)
{
	struct dma_resv *first = race->dev->import->resv, *second = me->dbuf->resv;
	struct ww_acquire_ctx ctx;
	bool waits;
	int ret;

	ww_acquire_init(&ctx, &reservation_ww_class);
	/* Nothing is held yet, so that there is nothing to back off from. */
	dma_resv_lock(first, &ctx);
	udelay(HOLD_US);
	while (dma_resv_lock(second, &ctx) == -EDEADLK) {
		dma_resv_unlock(first);
		dma_resv_lock_slow(second, &ctx);
		swap(first, second);
	}
	waits = !dma_resv_test_signaled(me->dbuf->resv, DMA_RESV_USAGE_WRITE);
	ret = dma_resv_reserve_fences(first, 1) ?: dma_resv_reserve_fences(second, 1);
	if (!ret) {
		dma_resv_add_fence(first, race->own, DMA_RESV_USAGE_READ);
		dma_resv_add_fence(second, race->own, DMA_RESV_USAGE_READ);
	}
	dma_resv_unlock(first);
	dma_resv_unlock(second);
	ww_acquire_fini(&ctx);
	pairs_put(&me->dbuf);
	return ret ?: waits;
}

/* The timeout of the job: the timer callback runs on this processor. */
static int timeout(struct pairs_race *race, struct pairs_side *me, struct pairs_side *other)
{
	struct pairs_device *dev = race->dev;
	unsigned long limit = jiffies + PAIRS_LIMIT;
	unsigned int i;

	for (i = 0; i < race->noted; ++i) {
		while (!dma_fence_is_signaled(dev->seen[i].fence)) {
			if (time_after(jiffies, limit))
				return -ETIME;
			cpu_relax();
		}
	}
	/* Without a fence, the timeout has passed before the object was read. */
	return !race->noted || dma_fence_get_status(dev->seen[0].fence) == -ETIMEDOUT;
}

/* The timeout comes last: the second operation runs on the processor that has started the job. */
const struct pairs_op pairs_ops[PAIRS_OPS] = {
	[PAIRS_OP_ARM] = { "arm", arm, .twice = true },
	[PAIRS_OP_DONE] = { "done", done, .results = PAIRS_DONE, .twice = true },
	[PAIRS_OP_ERROR] = { "error", error, .results = PAIRS_ERROR, .twice = true },
	[PAIRS_OP_STREAMOFF] = {
		"streamoff", streamoff, .results = PAIRS_CANCELLED, .stops = true, .twice = true,
	},
	[PAIRS_OP_CLOSE] = { "close", close, .results = PAIRS_CANCELLED, .stops = true },
	[PAIRS_OP_EXPBUF] = { "expbuf", expbuf, .twice = true },
	[PAIRS_OP_LAST_CLOSE] = { "last close", last_close, .consumes = true, .twice = true },
	[PAIRS_OP_CALLBACKS] = { "callbacks", callbacks, .consumes = true, .twice = true },
	[PAIRS_OP_OTHER_ORDER] = { "other order", other_order, .consumes = true },
	[PAIRS_OP_TIMEOUT] = { "timeout", timeout, .results = PAIRS_LATE },
};
