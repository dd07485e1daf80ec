// SPDX-License-Identifier: GPL-2.0-only
/*
 * The least that a fence in reservation objects costs: memory, locks, slots, add, signal, put.
 *
 * There is no timeout, no slot that others can end the fence by, no name and no trace event. The
 * objects are known beforehand. Only one thread may use it.
 */

#include <linux/minmax.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/ww_mutex.h>

#include "bench.h"

/*
 * @memory:	for the next fence, between prepare and arm
 * @fence:	between arm and end
 */
struct floor {
	struct dma_resv *objs[BENCH_MAX_OBJS];
	unsigned int count;
	u64 context, seqno;
	struct bench_fence *memory;
	struct dma_fence *fence;
};

/* That of all release fences: mock-checks.c counts them by it. */
static const char *floor_name(struct dma_fence *fence)
{
	return "videobuf2";
}

static const struct dma_fence_ops floor_fence_ops = {
	.use_64bit_seqno = true,
	.get_driver_name = floor_name,
	.get_timeline_name = floor_name,
};

static void *floor_setup(struct vb2_buffer *vb)
{
	struct floor *floor = kzalloc(sizeof(*floor), GFP_KERNEL);

	if (!floor)
		return NULL;

	floor->count = vb2_release_fence_collect(vb, floor->objs);
	floor->context = dma_fence_context_alloc(1);
	return floor;
}

static int floor_prepare(void *state)
{
	struct floor *floor = state;

	floor->memory = kmalloc(sizeof(*floor->memory), GFP_KERNEL);
	return floor->memory ? 0 : -ENOMEM;
}

/* Locks all objects, each of which is there once. Their order may change. */
static void lock_all(struct floor *floor, struct ww_acquire_ctx *ctx)
{
	unsigned int contended, i = 0;

	while (i < floor->count) {
		if (!dma_resv_lock(floor->objs[i], ctx)) {
			++i;
			continue;
		}
		/* -EDEADLK: wait for that one while nothing is held, and begin with it. */
		contended = i;
		while (i)
			dma_resv_unlock(floor->objs[--i]);
		dma_resv_lock_slow(floor->objs[contended], ctx);
		swap(floor->objs[0], floor->objs[contended]);
		i = 1;
	}
}

static int floor_arm(void *state, void *src)
{
	struct floor *floor = state;
	struct bench_fence *memory = floor->memory;
	struct ww_acquire_ctx ctx __uninitialized;
	bool several = floor->count > 1;
	unsigned int i;
	int ret = 0;

	if (several)
		ww_acquire_init(&ctx, &reservation_ww_class);
	lock_all(floor, several ? &ctx : NULL);

	for (i = 0; i < floor->count && !ret; ++i)
		ret = dma_resv_reserve_fences(floor->objs[i], 1);
	if (!ret) {
		spin_lock_init(&memory->lock);
		dma_fence_init(&memory->base, &floor_fence_ops, &memory->lock, floor->context,
			       ++floor->seqno);
		for (i = 0; i < floor->count; ++i)
			dma_resv_add_fence(floor->objs[i], &memory->base, DMA_RESV_USAGE_WRITE);
		floor->fence = &memory->base;
		floor->memory = NULL;
	}

	for (i = 0; i < floor->count; ++i)
		dma_resv_unlock(floor->objs[i]);
	if (several)
		ww_acquire_fini(&ctx);
	return ret;
}

static void floor_end(void *state, enum vb2_buffer_state result)
{
	struct floor *floor = state;

	dma_fence_signal(floor->fence);
	dma_fence_put(floor->fence);
	floor->fence = NULL;
}

static void floor_teardown(void *state)
{
	struct floor *floor = state;

	if (floor->fence)
		floor_end(floor, VB2_BUF_STATE_DONE);
	kfree(floor->memory);
	kfree(floor);
}

const struct bench_ops bench_floor = {
	.name = "floor",
	.setup = floor_setup,
	.prepare = floor_prepare,
	.arm = floor_arm,
	.end = floor_end,
	.teardown = floor_teardown,
};
