// SPDX-License-Identifier: GPL-2.0-only
/*
 * Acquire fences in C, for comparison: the design of acquire_fence.rs, with inline functions.
 *
 * What videobuf2-core.c would call is noinline, as in twin.c.
 */

#include <linux/atomic.h>
#include <linux/jiffies.h>
#include <linux/slab.h>
#include <linux/timer.h>

#include "acquire.h"

struct twin_acquire;

/*
 * A fence that was found.
 *
 * @fence:	NULL: not waited for
 * @context, @seqno: of the fence, which a callback must not ask
 * @given_up:	it did not end in time; set by the timer, with the callback removed
 */
struct wait {
	struct dma_fence_cb cb;
	struct dma_fence *fence;
	struct twin_acquire *twin;
	u64 context, seqno;
	bool given_up;
};

/* Those of a reservation object, which stay where they are */
struct waits {
	struct waits *next;
	unsigned int count;
	struct wait waits[] __counted_by(count);
};

/*
 * What a buffer waits for.
 *
 * @pending:	how many fences, and one more while they are being gathered
 * @found:	changed with the timer stopped
 */
struct twin_acquire {
	struct vb2_buffer *vb;
	enum dma_resv_usage usage;
	atomic_t pending;
	bool returned;
	struct waits *found;
	struct timer_list timer;
};

static void less(struct twin_acquire *twin, int fences)
{
	if (!atomic_sub_return(fences, &twin->pending) && !READ_ONCE(twin->returned))
		vb2_acquire_fence_notify(twin->vb);
}

static void ended(const struct wait *wait, enum vb2_acquire_outcome outcome)
{
	vb2_acquire_fence_report_ended(wait->twin->vb, wait->context, wait->seqno, outcome);
}

static void called(struct dma_fence *fence, struct dma_fence_cb *cb)
{
	struct wait *wait = container_of(cb, struct wait, cb);

	ended(wait, VB2_ACQUIRE_SIGNALLED);
	less(wait->twin, 1);
}

static void give_up(struct timer_list *timer)
{
	struct twin_acquire *twin = from_timer(twin, timer, timer);
	struct waits *found;
	int late = 0;
	unsigned int i;

	for (found = twin->found; found; found = found->next) {
		for (i = 0; i < found->count; ++i) {
			struct wait *wait = &found->waits[i];

			wait->given_up = wait->fence && !wait->given_up &&
					 dma_fence_remove_callback(wait->fence, &wait->cb);
			if (wait->given_up)
				ended(wait, VB2_ACQUIRE_GIVEN_UP);
			late += wait->given_up;
		}
	}
	if (late)
		less(twin, late);
}

static bool was_given_up(const struct waits *found, const struct dma_fence *fence)
{
	unsigned int i;

	for (; found; found = found->next) {
		for (i = 0; i < found->count; ++i) {
			if (found->waits[i].fence == fence && found->waits[i].given_up)
				return true;
		}
	}
	return false;
}

static void put_waits(struct waits *found)
{
	while (found) {
		struct waits *next = found->next;
		unsigned int i;

		for (i = 0; i < found->count; ++i) {
			struct wait *wait = &found->waits[i];

			if (wait->fence && !wait->given_up)
				dma_fence_remove_callback(wait->fence, &wait->cb);
			dma_fence_put(wait->fence);
		}
		kvfree(found);
		found = next;
	}
}

static noinline __used void twin_let_go(struct twin_acquire *twin)
{
	bool given_up = false;
	struct waits *found;
	unsigned int i;

	if (!twin->found)
		return;

	timer_delete_sync(&twin->timer);
	for (found = twin->found; found; found = found->next) {
		for (i = 0; i < found->count; ++i) {
			struct wait *wait = &found->waits[i];

			given_up |= wait->given_up;
			if (!wait->fence || wait->given_up)
				continue;
			if (dma_fence_remove_callback(wait->fence, &wait->cb))
				ended(wait, VB2_ACQUIRE_LET_GO);
			dma_fence_put(wait->fence);
			wait->fence = NULL;
		}
	}
	if (!given_up) {
		put_waits(twin->found);
		twin->found = NULL;
	}
}

/* Waits for a fence, whose reference it takes, unless it is signalled or was given up. */
static void wait_for(struct twin_acquire *twin, struct wait *wait, struct dma_fence *fence)
{
	wait->twin = twin;
	wait->fence = fence;
	wait->given_up = was_given_up(twin->found, fence);
	if (wait->given_up)
		return;

	wait->context = fence->context;
	wait->seqno = fence->seqno;
	vb2_acquire_fence_report_waiting(twin->vb, fence);
	atomic_inc(&twin->pending);
	if (dma_fence_add_callback(fence, &wait->cb, called)) {
		ended(wait, VB2_ACQUIRE_SIGNALLED);
		atomic_dec(&twin->pending);
		wait->fence = NULL;
		dma_fence_put(fence);
	}
}

static int gather_object(struct twin_acquire *twin, struct dma_resv *obj, struct waits **found)
{
	struct dma_fence **fences;
	unsigned int count, i;
	struct waits *waits;
	int ret;

	ret = dma_resv_get_fences(obj, twin->usage, &count, &fences);
	if (ret || !count)
		return ret;

	waits = kvmalloc(struct_size(waits, waits, count), GFP_KERNEL);
	if (waits) {
		waits->count = count;
		waits->next = *found;
		*found = waits;
	}
	for (i = 0; i < count; ++i) {
		if (waits)
			wait_for(twin, &waits->waits[i], fences[i]);
		else
			dma_fence_put(fences[i]);
	}
	kfree(fences);
	return waits ? 0 : -ENOMEM;
}

static int gather(struct twin_acquire *twin, struct waits **found)
{
	struct dma_resv *objs[BENCH_MAX_OBJS] __uninitialized;
	unsigned int count = vb2_release_fence_collect(twin->vb, objs), i, j;
	int ret;

	for (i = 0; i < count; ++i) {
		/* Planes may share one. */
		for (j = 0; j < i && objs[j] != objs[i]; ++j)
			;
		ret = j == i ? gather_object(twin, objs[i], found) : 0;
		if (ret)
			return ret;
	}
	return 0;
}

static noinline __used int twin_acquire(struct twin_acquire *twin)
{
	struct waits *found = NULL;
	int ret;

	twin_let_go(twin);
	twin->returned = false;
	atomic_set(&twin->pending, 1);
	ret = gather(twin, &found);
	if (ret) {
		put_waits(found);
		atomic_set(&twin->pending, 0);
		return ret;
	}
	put_waits(twin->found);
	twin->found = found;
	if (!atomic_dec_and_test(&twin->pending))
		mod_timer(&twin->timer, vb2_acquire_fence_expires());
	return 0;
}

static void *setup(struct vb2_buffer *vb)
{
	struct twin_acquire *twin = kzalloc(sizeof(*twin), GFP_KERNEL);

	if (!twin)
		return NULL;

	twin->vb = vb;
	twin->usage = dma_resv_usage_rw(!vb->vb2_queue->is_output);
	timer_setup(&twin->timer, give_up, 0);
	return twin;
}

static int acquire(void *state)
{
	return twin_acquire(state);
}

static void let_go(void *state)
{
	twin_let_go(state);
}

static int pending(void *state)
{
	struct twin_acquire *twin = state;

	return atomic_read(&twin->pending);
}

static void teardown(void *state)
{
	struct twin_acquire *twin = state;

	timer_shutdown_sync(&twin->timer);
	put_waits(twin->found);
	kfree(twin);
}

const struct bench_acquire_ops bench_acquire_c = {
	.name = "c",
	.setup = setup,
	.acquire = acquire,
	.let_go = let_go,
	.waits = pending,
	.teardown = teardown,
};
