// SPDX-License-Identifier: GPL-2.0-only
/*
 * Release fences in C, for comparison: the design of release_fence.rs and slot.rs, with the same
 * objects, locks and order, and without a border between two languages. It is compiled twice, see
 * calls.h.
 *
 * What drivers or videobuf2-core.c would call is noinline, and __used so that the compiler does not
 * fit it to its only caller: it would be in another file.
 */

#include <linux/bitops.h>
#include <linux/build_bug.h>
#include <linux/jiffies.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/timer.h>

#include "calls.h"

#ifndef TWIN_OPS
#define TWIN_OPS	bench_c_inline
#define TWIN_NAME	"c_inline"
#endif

/* As in videobuf2-release-fence.c */
#define TIMEOUT_MS_MAX	10000
/* The most objects of a job, which has two buffers */
#define MAX_OBJS	(2 * BENCH_MAX_OBJS)

static const char driver_name[] = "videobuf2";

/*
 * The fence state of a buffer.
 *
 * @seqno:	of the last fence; changed with the buffer's objects locked
 * @memory:	for the next fence, or NULL
 * @slot:	the last job's fence, with a reference; one that is signalled counts as none. Only
 *		those who hold the locks of the buffer's objects store a fence.
 * @result:	of the last job
 * @own:	stands in for the objects of a buffer that has none
 * @timer:	of the timeout; a pending one is left to a later job, see expired()
 */
struct twin {
	struct vb2_buffer *vb;
	u64 context, seqno;
	struct bench_fence *memory;
	struct dma_fence __rcu *slot;
	int result;
	struct dma_resv own;
	struct timer_list timer;
};

static struct bench_fence *to_bench_fence(struct dma_fence *fence)
{
	return container_of(fence, struct bench_fence, base);
}

static const char *twin_driver_name(struct dma_fence *fence)
{
	return to_bench_fence(fence)->driver;
}

static const char *twin_timeline_name(struct dma_fence *fence)
{
	return to_bench_fence(fence)->timeline;
}

static const struct dma_fence_ops twin_fence_ops = {
	.use_64bit_seqno = true,
	.get_driver_name = twin_driver_name,
	.get_timeline_name = twin_timeline_name,
};

/* Makes the memory for a fence, with its names. Sleeps. */
static struct bench_fence *make_memory(const struct vb2_queue *q)
{
	struct bench_fence *memory = call_kmalloc(sizeof(*memory), GFP_KERNEL);

	if (!memory)
		return NULL;

	call_lock_init(&memory->lock);
	BUILD_BUG_ON(sizeof(q->name) != sizeof(memory->timeline));
	memcpy(memory->driver, driver_name, sizeof(driver_name));
	memcpy(memory->timeline, q->name, sizeof(memory->timeline));
	memory->noted = -ECANCELED;
	memory->published = false;
	return memory;
}

/* Signals a fence with the result that was noted. */
static void signal_noted(struct dma_fence *fence, struct vb2_queue *q, unsigned int index)
{
	/* Pairs with the release in twin_begin_release(). */
	int result = smp_load_acquire(&to_bench_fence(fence)->noted);

	if (CALL(dma_fence_end)(fence, result))
		call_report_signalled(q, index, fence, result);
}

/* The caller holds the locks of the buffer's objects, so that no other thread stores a fence. */
static bool is_pending(struct twin *twin)
{
	struct dma_fence *fence = rcu_dereference_protected(twin->slot, true);

	return fence && !CALL(dma_fence_is_signaled)(fence);
}

/* Whether consumers see a pending fence. */
static bool is_visible(struct twin *twin)
{
	struct dma_fence *fence = call_peek(&twin->slot);
	/* Pairs with the release in publish(). */
	bool visible = fence && smp_load_acquire(&to_bench_fence(fence)->published);

	call_unpeek(fence);
	return visible;
}

static void end_pending(struct twin *twin)
{
	struct dma_fence *fence = call_get_pending(&twin->slot);

	if (!fence)
		return;

	signal_noted(fence, twin->vb->vb2_queue, twin->vb->index);
	CALL(dma_fence_put)(fence);
}

/* Ends a job that did not end in time. */
static void expired(struct timer_list *timer)
{
	struct twin *twin = from_timer(twin, timer, timer);
	struct vb2_queue *q = twin->vb->vb2_queue;
	struct dma_fence *fence;

	/*
	 * The timer stopped being pending before. Pairs with xchg() in publish(): either the timer
	 * is set anew there, or the new fence is seen here.
	 */
	smp_mb();
	fence = call_get_pending(&twin->slot);
	if (!fence)
		return;
	if (time_before(jiffies, to_bench_fence(fence)->expires)) {
		/* A later job */
		timer_reduce(&twin->timer, to_bench_fence(fence)->expires);
	} else if (CALL(dma_fence_end)(fence, -ETIMEDOUT)) {
		call_report_signalled(q, twin->vb->index, fence, -ETIMEDOUT);
		vb2_release_fence_report_timeout(q, twin->vb->index);
	}
	CALL(dma_fence_put)(fence);
}

static unsigned int timeout_ms(const struct vb2_queue *q)
{
	return clamp(READ_ONCE(q->release_fence_timeout_ms),
		     READ_ONCE(vb2_release_fence_timeout_ms), TIMEOUT_MS_MAX);
}

/* Collects the objects of a buffer, unless @objs is NULL. Returns how many: one at least. */
static unsigned int collect_one(struct twin *twin, struct dma_resv **objs)
{
	unsigned int count = vb2_release_fence_collect(twin->vb, objs);

	if (count)
		return count;
	if (objs)
		*objs = &twin->own;
	return 1;
}

/* Collects the objects of a job's buffers, those of the first one first. */
static void collect(struct twin *const twins[2], struct dma_resv **objs, unsigned int counts[2])
{
	counts[0] = twins[0] ? collect_one(twins[0], objs) : 0;
	counts[1] = twins[1] ? collect_one(twins[1], objs + counts[0]) : 0;
}

/* Whether the buffers still have as many. */
static bool are_all(struct twin *const twins[2], const unsigned int counts[2])
{
	return (!twins[0] || collect_one(twins[0], NULL) == counts[0]) &&
	       (!twins[1] || collect_one(twins[1], NULL) == counts[1]);
}

static void unlock_held(struct dma_resv **objs, u64 held)
{
	for (; held; held &= held - 1)
		CALL(dma_resv_unlock)(objs[__ffs64(held)]);
}

/*
 * Locks all objects, each of which may be listed more than once. Returns a mask of the places whose
 * object was locked for them.
 */
static u64 lock_all(struct dma_resv **objs, unsigned int count, struct ww_acquire_ctx *ctx)
{
	unsigned int i = 0;
	u64 held = 0;

	if (count == 1) {
		CALL(dma_resv_lock)(objs[0], NULL);
		return 1;
	}

	call_acquire_init(ctx);
	while (i < count) {
		int ret = (held & BIT_ULL(i)) ? -EALREADY : CALL(dma_resv_lock)(objs[i], ctx);

		if (ret == -EDEADLK) {
			/* Wait for that one while nothing is held, and begin again. */
			unlock_held(objs, held);
			CALL(dma_resv_lock_slow)(objs[i], ctx);
			held = BIT_ULL(i);
			i = 0;
			continue;
		}
		if (!ret)
			held |= BIT_ULL(i);
		++i;
	}
	return held;
}

static void unlock_all(struct dma_resv **objs, unsigned int count, struct ww_acquire_ctx *ctx,
		       u64 held)
{
	unlock_held(objs, held);
	if (count > 1)
		CALL(ww_acquire_fini)(ctx);
}

/*
 * Makes the fence, adds it to the locked objects, and starts its timeout, unless the buffer is
 * armed. Takes the memory. Returns whether it was not armed.
 */
static bool publish(struct twin *twin, struct bench_fence *memory, struct dma_resv **objs,
		    unsigned int count)
{
	struct vb2_queue *q = twin->vb->vb2_queue;
	enum dma_resv_usage usage = q->is_output ? DMA_RESV_USAGE_READ : DMA_RESV_USAGE_WRITE;
	struct dma_fence *fence = &memory->base, *old;
	unsigned int i;

	/* Another attach has finished: it held the same locks. */
	if (is_pending(twin)) {
		kfree(memory);
		return false;
	}

	memory->expires = jiffies + msecs_to_jiffies(timeout_ms(q));
	dma_fence_init(fence, &twin_fence_ops, &memory->lock, twin->context, ++twin->seqno);
	/* Before another thread can end it, and report that */
	call_report_armed(twin->vb, fence);

	/*
	 * No other thread stores a fence while the objects are locked: the exchange needs no
	 * condition, and the slot's reference keeps the fence until they are unlocked.
	 */
	old = unrcu_pointer(xchg(&twin->slot, RCU_INITIALIZER(fence)));
	if (old)
		CALL(dma_fence_put)(old);
	call_mb_after_xchg();
	timer_reduce(&twin->timer, memory->expires);

	for (i = 0; i < count; ++i)
		dma_resv_add_fence(objs[i], fence, usage);
	/* Pairs with the acquire in is_visible(). */
	smp_store_release(&memory->published, true);
	return true;
}

/* Returns 1 if it published a fence, 0 if not, or a negative errno. */
static int arm_job(struct twin *dst, struct twin *src)
{
	/* A second attach of the job may be in its signalling section already, and not wait. */
	struct twin *const twins[2] = {
		dst && !is_visible(dst) ? dst : NULL,
		src && !is_visible(src) ? src : NULL,
	};
	struct dma_resv *objs[MAX_OBJS] __uninitialized;
	struct bench_fence *memory[2] = { NULL, NULL };
	struct ww_acquire_ctx ctx __uninitialized;
	unsigned int counts[2], count, i;
	bool published[2] = {}, cookie;
	int ret = 0;
	u64 held;

	for (;;) {
		collect(twins, objs, counts);
		count = counts[0] + counts[1];
		for (i = 0; i < 2; ++i) {
			if (!counts[i] || memory[i])
				continue;
			memory[i] = xchg(&twins[i]->memory, NULL);
			if (!memory[i])
				memory[i] = make_memory(twins[i]->vb->vb2_queue);
			if (!memory[i]) {
				ret = -ENOMEM;
				goto free;
			}
		}
		if (!count)
			goto free;

		held = lock_all(objs, count, &ctx);
		/* From here on no export can bring an object into use. */
		if (are_all(twins, counts))
			break;
		unlock_all(objs, count, &ctx, held);
	}

	for (i = 0; i < count && !ret; ++i)
		ret = dma_resv_reserve_fences(objs[i], !!counts[0] + !!counts[1]);
	if (ret) {
		unlock_all(objs, count, &ctx, held);
		goto free;
	}

	cookie = dma_fence_begin_signalling();
	if (counts[0])
		published[0] = publish(twins[0], memory[0], objs, counts[0]);
	if (counts[1])
		published[1] = publish(twins[1], memory[1], objs + counts[0], counts[1]);
	unlock_all(objs, count, &ctx, held);
	for (i = 0; i < 2; ++i) {
		if (published[i])
			vb2_release_fence_report_started(twins[i]->vb, twins[i]->seqno);
	}
	dma_fence_end_signalling(cookie);
	return published[0] || published[1];
free:
	kfree(memory[0]);
	kfree(memory[1]);
	return ret;
}

/* What videobuf2 would have */

static noinline __used int twin_prepare_release_fence(struct twin *twin)
{
	struct bench_fence *memory;

	if (READ_ONCE(twin->memory))
		return 0;

	memory = make_memory(twin->vb->vb2_queue);
	if (!memory)
		return -ENOMEM;

	/* Another thread may have prepared meanwhile. */
	if (cmpxchg(&twin->memory, NULL, memory))
		kfree(memory);
	return 0;
}

static noinline __used int twin_attach_release_fences(struct twin *dst, struct twin *src,
						      bool *cookie)
{
	struct twin *const twins[2] = { dst, src };
	unsigned int i;
	int ret;

	*cookie = true;
	for (i = 0; i < 2; ++i) {
		if (twins[i] && WARN_ON_ONCE(twins[i]->vb->state != VB2_BUF_STATE_ACTIVE ||
					     !vb2_buffer_acquired(twins[i]->vb)))
			return -EINVAL;
	}
	if (!dst && !src)
		return 0;

	might_sleep();
	if (dst && vb2_queue_publishes_at_qbuf(dst->vb->vb2_queue)) {
		*cookie = dma_fence_begin_signalling();
		return 0;
	}
	ret = arm_job(dst, src);
	if (ret <= 0)
		return ret;

	for (i = 0; i < 2; ++i) {
		if (!twins[i] || READ_ONCE(twins[i]->vb->state) == VB2_BUF_STATE_ACTIVE)
			continue;

		/* The job has ended meanwhile: it was started before the attach. */
		WARN_ON_ONCE(1);
		end_pending(twins[i]);
		ret = -ECANCELED;
	}
	if (ret < 0)
		return ret;

	*cookie = dma_fence_begin_signalling();
	return 0;
}

static int job_result(struct vb2_queue *q, enum vb2_buffer_state state)
{
	switch (state) {
	case VB2_BUF_STATE_DONE:
		return 0;
	case VB2_BUF_STATE_QUEUED:
		return -ECANCELED;
	default:
		return READ_ONCE(q->release_fences_cancelled) ? -ECANCELED : -EIO;
	}
}

static noinline __used void twin_begin_release(struct twin *twin, enum vb2_buffer_state state,
					       struct vb2_release *release)
{
	int result = job_result(twin->vb->vb2_queue, state);
	struct dma_fence *fence;

	WRITE_ONCE(twin->result, result);
	fence = call_get_pending(&twin->slot);
	release->fence = fence;
	if (!fence)
		return;

	/* Pairs with the acquire in signal_noted(). DQBUF ends a fence with it, too. */
	smp_store_release(&to_bench_fence(fence)->noted, result);
	release->index = twin->vb->index;
	release->cookie = dma_fence_begin_signalling();
	WARN_ON_ONCE(state == VB2_BUF_STATE_QUEUED);
}

static noinline __used void twin_end_release(struct vb2_queue *q, const struct vb2_release *release)
{
	if (!release->fence)
		return;

	signal_noted(release->fence, q, release->index);
	CALL(dma_fence_put)(release->fence);
	dma_fence_end_signalling(release->cookie);
}

/* The variant */

static void *twin_setup(struct vb2_buffer *vb)
{
	struct twin *twin = kzalloc(sizeof(*twin), GFP_KERNEL);

	if (!twin)
		return NULL;

	twin->vb = vb;
	twin->context = dma_fence_context_alloc(1);
	dma_resv_init(&twin->own);
	timer_setup(&twin->timer, expired, 0);
	return twin;
}

static int twin_prepare(void *state)
{
	return twin_prepare_release_fence(state);
}

static int twin_arm(void *state, void *src)
{
	bool cookie;
	int ret = twin_attach_release_fences(state, src, &cookie);

	vb2_release_fence_end_signalling(cookie);
	return ret;
}

static void twin_end(void *state, enum vb2_buffer_state result)
{
	struct twin *twin = state;
	struct vb2_release release;

	twin_begin_release(twin, result, &release);
	twin_end_release(twin->vb->vb2_queue, &release);
}

static void twin_teardown(void *state)
{
	struct twin *twin = state;

	timer_shutdown_sync(&twin->timer);
	end_pending(twin);
	dma_fence_put(rcu_dereference_protected(twin->slot, true));
	kfree(twin->memory);
	dma_resv_fini(&twin->own);
	kfree(twin);
}

const struct bench_ops TWIN_OPS = {
	.name = TWIN_NAME,
	.setup = twin_setup,
	.prepare = twin_prepare,
	.arm = twin_arm,
	.end = twin_end,
	.teardown = twin_teardown,
};
