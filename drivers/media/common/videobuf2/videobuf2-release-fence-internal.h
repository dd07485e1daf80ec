/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Release fences inside of videobuf2: what videobuf2-core.c calls, and what C and Rust call of each
 * other. bindgen reads it (rust/bindings/bindings_helper.h); ffi.rs documents the Rust functions.
 */
#ifndef _VIDEOBUF2_RELEASE_FENCE_INTERNAL_H
#define _VIDEOBUF2_RELEASE_FENCE_INTERNAL_H

#include <linux/moduleparam.h>
#include <media/videobuf2-core.h>

struct vb2_release_fence;

/* How many exports of a plane have a reservation object of their own. */
#define VB2_PLANE_RESVS 4

/* What vb2_buffer_done() keeps when the buffer can be dequeued, and so be freed. */
struct vb2_release {
	struct dma_fence *fence;	/* NULL: nothing to signal */
	unsigned int index;
	bool cookie;
};

#ifdef CONFIG_VIDEOBUF2_RELEASE_FENCES

/* ffi.rs */
struct vb2_release_fence *vb2_release_fence_new(struct vb2_buffer *vb, bool output,
						const char *queue);
void vb2_release_fence_free(struct vb2_release_fence *fence);
int vb2_release_fence_prepare(struct vb2_release_fence *fence);
int vb2_release_fence_arm(struct vb2_release_fence *dst, struct vb2_release_fence *src);
struct dma_fence *vb2_release_fence_job_ends(struct vb2_release_fence *fence,
					     enum vb2_buffer_state state, bool cancelled);
void vb2_release_fence_end(struct dma_fence *fence, struct vb2_queue *q, unsigned int index);
bool vb2_release_fence_is_pending(const struct vb2_release_fence *fence);
void vb2_release_fence_end_pending(struct vb2_release_fence *fence);
void vb2_release_fence_begin_turn(struct vb2_release_fence *fence, struct dma_fence *out);
void vb2_release_fence_take_back_turn(struct vb2_release_fence *fence);
struct dma_fence *vb2_release_fence_of_turn(struct vb2_release_fence *fence,
					    enum vb2_buffer_state state);
struct dma_fence *vb2_release_fence_new_out(struct vb2_release_fence *fence);
int vb2_release_fence_publish_out(struct vb2_release_fence *fence, struct dma_fence *out);
void vb2_release_fence_handed_over(struct vb2_release_fence *fence);

#if IS_ENABLED(CONFIG_KUNIT)
extern unsigned int vb2_release_fence_timeout_ms;
#endif

/* Of the timeouts of release fences and of acquire fences: 1 to 10000 ms */
extern const struct kernel_param_ops vb2_fence_timeout_ops;

/* videobuf2-explicit-fence.c, for release_fence.rs */
void vb2_release_fence_report_started(struct vb2_buffer *vb, u32 sequence);

/* videobuf2-release-fence.c, for release_fence.rs */
unsigned long vb2_release_fence_timeout(const struct vb2_queue *q);
void vb2_release_fence_report_armed(struct vb2_buffer *vb, u64 context, u64 seqno);
void vb2_release_fence_report_signalled(struct vb2_queue *q, unsigned int index, u64 context,
					u64 seqno, int result);
void vb2_release_fence_report_timeout(struct vb2_queue *q, unsigned int index);

/* videobuf2-plane-resv.c, for release_fence.rs and acquire_fence.rs */
unsigned int vb2_release_fence_collect(struct vb2_buffer *vb, struct dma_resv **objs);

/* videobuf2-release-fence.c, for videobuf2-core.c */
void vb2_queue_init_release_fences(struct vb2_queue *q);
int vb2_buffer_init_release_fence(struct vb2_buffer *vb);
void vb2_buffer_free_release_fence(struct vb2_buffer *vb);
void __vb2_buffer_begin_release(struct vb2_buffer *vb, enum vb2_buffer_state state,
				struct vb2_release *release);
void __vb2_queue_end_release(struct vb2_queue *q, const struct vb2_release *release);

/*
 * What each QBUF, done and DQBUF calls: for buffers without release fences a comparison and a
 * branch inline. READ_ONCE() keeps the load of what is passed on behind the branch.
 */

static inline int vb2_buffer_prepare_release_fence(struct vb2_buffer *vb)
{
	return vb->release_fence ? vb2_release_fence_prepare(READ_ONCE(vb->release_fence)) : 0;
}

/*
 * Out-fences wait for the driver, from QBUF on. So it must not lock a reservation object for the
 * job of another buffer: all fences of such a queue are published before it gets the buffers.
 */
static inline bool vb2_queue_publishes_at_qbuf(const struct vb2_queue *q)
{
	return q->out_fences_at_qbuf;
}

/* QBUF is about to hand the buffer over, or has put it into a request. */
static inline void vb2_buffer_begin_turn(struct vb2_buffer *vb, struct dma_fence *out_fence)
{
	if (vb->release_fence)
		vb2_release_fence_begin_turn(READ_ONCE(vb->release_fence), out_fence);
}

/* QBUF has failed after that. */
static inline void vb2_buffer_take_back_turn(struct vb2_buffer *vb)
{
	if (vb->release_fence)
		vb2_release_fence_take_back_turn(READ_ONCE(vb->release_fence));
}

/*
 * Begins the signalling section of vb2_buffer_done(): consumers wait for what comes before the
 * signal too, the cache maintenance above all. The buffer is active.
 */
static inline void vb2_buffer_begin_release(struct vb2_buffer *vb, enum vb2_buffer_state state,
					    struct vb2_release *release)
{
	release->fence = NULL;
	if (vb->release_fence)
		__vb2_buffer_begin_release(vb, state, release);
}

/* Signals, when the buffer can be dequeued. It may be dequeued, and freed, already. */
static inline void vb2_queue_end_release(struct vb2_queue *q, const struct vb2_release *release)
{
	if (release->fence)
		__vb2_queue_end_release(q, release);
}

/* The buffer is being dequeued: those who dequeue it find no pending fence. */
static inline void vb2_buffer_end_release_fence(struct vb2_buffer *vb)
{
	if (vb->release_fence)
		vb2_release_fence_end_pending(READ_ONCE(vb->release_fence));
}

#else

static inline void vb2_queue_init_release_fences(struct vb2_queue *q) { }
static inline int vb2_buffer_init_release_fence(struct vb2_buffer *vb) { return 0; }
static inline void vb2_buffer_free_release_fence(struct vb2_buffer *vb) { }
static inline int vb2_buffer_prepare_release_fence(struct vb2_buffer *vb) { return 0; }
static inline bool vb2_queue_publishes_at_qbuf(const struct vb2_queue *q) { return false; }
static inline void vb2_buffer_begin_turn(struct vb2_buffer *vb, struct dma_fence *out_fence) { }
static inline void vb2_buffer_take_back_turn(struct vb2_buffer *vb) { }
static inline void vb2_buffer_begin_release(struct vb2_buffer *vb, enum vb2_buffer_state state,
					    struct vb2_release *release) { }
static inline void vb2_queue_end_release(struct vb2_queue *q, const struct vb2_release *release) { }
static inline void vb2_buffer_end_release_fence(struct vb2_buffer *vb) { }

#endif /* CONFIG_VIDEOBUF2_RELEASE_FENCES */

#endif /* _VIDEOBUF2_RELEASE_FENCE_INTERNAL_H */
