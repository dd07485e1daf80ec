/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What twin.c calls, in two forms: the inline functions of C, or, with TWIN_CALLS_HELPERS, the
 * out-of-line functions that Rust code of Linux 6.12 has to call in their place.
 */
#ifndef _VB2_RELEASE_FENCE_BENCH_CALLS_H
#define _VB2_RELEASE_FENCE_BENCH_CALLS_H

#include <linux/dma-fence.h>
#include <linux/dma-resv.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "bench.h"

#ifdef TWIN_CALLS_HELPERS

/* rust/helpers/. They have no prototypes elsewhere: bindgen reads the definitions. */
void * __must_check __realloc_size(2)
rust_helper_krealloc(const void *objp, size_t new_size, gfp_t flags);
void rust_helper___spin_lock_init(spinlock_t *lock, const char *name, struct lock_class_key *key);
void rust_helper_smp_mb(void);
bool rust_helper_dma_fence_is_signaled(struct dma_fence *fence);
void rust_helper_dma_fence_put(struct dma_fence *fence);
bool rust_helper_dma_fence_end(struct dma_fence *fence, int error);
struct dma_fence *rust_helper_dma_fence_get_pending(struct dma_fence **slot);
int rust_helper_dma_resv_lock(struct dma_resv *obj, struct ww_acquire_ctx *ctx);
void rust_helper_dma_resv_lock_slow(struct dma_resv *obj, struct ww_acquire_ctx *ctx);
void rust_helper_dma_resv_unlock(struct dma_resv *obj);
void rust_helper_ww_acquire_init(struct ww_acquire_ctx *ctx);
void rust_helper_ww_acquire_fini(struct ww_acquire_ctx *ctx);

#define CALL(fn)	rust_helper_##fn

static inline void *call_kmalloc(size_t size, gfp_t flags)
{
	/* The only way to memory that the kernel crate has. */
	return rust_helper_krealloc(NULL, size, flags);
}

static inline void call_lock_init(spinlock_t *lock)
{
	static struct lock_class_key key;

	rust_helper___spin_lock_init(lock, "twin", &key);
}

static inline void call_acquire_init(struct ww_acquire_ctx *ctx)
{
	rust_helper_ww_acquire_init(ctx);
}

static inline struct dma_fence *call_get_pending(struct dma_fence __rcu **slot)
{
	return rust_helper_dma_fence_get_pending((__force struct dma_fence **)slot);
}

/* A look at the pending fence in a slot. Rust has no rcu_read_lock(), and takes a reference. */
static inline struct dma_fence *call_peek(struct dma_fence __rcu **slot)
{
	return call_get_pending(slot);
}

static inline void call_unpeek(struct dma_fence *fence)
{
	if (fence)
		rust_helper_dma_fence_put(fence);
}

/* An exchange of Rust is no full barrier. */
static inline void call_mb_after_xchg(void)
{
	rust_helper_smp_mb();
}

/* Rust cannot use tracepoints. */
static inline void call_report_armed(struct vb2_buffer *vb, struct dma_fence *fence)
{
	vb2_release_fence_report_armed(vb, fence->context, fence->seqno);
}

static inline void call_report_signalled(struct vb2_queue *q, unsigned int index,
					 struct dma_fence *fence, int result)
{
	vb2_release_fence_report_signalled(q, index, fence->context, fence->seqno, result);
}

#else

#include <trace/events/vb2_release_fence.h>

#define CALL(fn)	fn

static __always_inline void *call_kmalloc(size_t size, gfp_t flags)
{
	return kmalloc(size, flags);
}

static inline void call_lock_init(spinlock_t *lock)
{
	spin_lock_init(lock);
}

static inline void call_acquire_init(struct ww_acquire_ctx *ctx)
{
	ww_acquire_init(ctx, &reservation_ww_class);
}

static inline struct dma_fence *call_get_pending(struct dma_fence __rcu **slot)
{
	struct dma_fence *fence;

	rcu_read_lock();
	fence = rcu_dereference(*slot);
	if (fence && dma_fence_is_signaled(fence))
		fence = NULL;
	if (fence)
		fence = dma_fence_get_rcu_safe(slot);
	rcu_read_unlock();

	return fence;
}

/* A look at the pending fence in a slot, whose memory is freed after a grace period. */
static inline struct dma_fence *call_peek(struct dma_fence __rcu **slot)
	__acquires(RCU)
{
	struct dma_fence *fence;

	rcu_read_lock();
	fence = rcu_dereference(*slot);
	return fence && !dma_fence_is_signaled(fence) ? fence : NULL;
}

static inline void call_unpeek(struct dma_fence *fence)
	__releases(RCU)
{
	rcu_read_unlock();
}

/* xchg() is a full barrier. */
static inline void call_mb_after_xchg(void) { }

static inline void call_report_armed(struct vb2_buffer *vb, struct dma_fence *fence)
{
	trace_vb2_release_fence_armed(vb->vb2_queue, vb->index, fence->context, fence->seqno);
}

static inline void call_report_signalled(struct vb2_queue *q, unsigned int index,
					 struct dma_fence *fence, int result)
{
	trace_vb2_release_fence_signalled(q, index, fence->context, fence->seqno, result);
}

/* Signals a fence, with an error or 0. Returns false if it was signalled before. */
static inline bool dma_fence_end(struct dma_fence *fence, int error)
{
	unsigned long flags;
	bool first;

	spin_lock_irqsave(fence->lock, flags);
	if (error && !test_bit(DMA_FENCE_FLAG_SIGNALED_BIT, &fence->flags))
		dma_fence_set_error(fence, error);
	first = !dma_fence_signal_locked(fence);
	spin_unlock_irqrestore(fence->lock, flags);

	return first;
}

#endif /* TWIN_CALLS_HELPERS */

#endif /* _VB2_RELEASE_FENCE_BENCH_CALLS_H */
