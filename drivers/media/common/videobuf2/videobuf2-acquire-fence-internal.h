/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Acquire fences inside of videobuf2: what videobuf2-core.c calls, and what C and Rust call of each
 * other. bindgen reads it (rust/bindings/bindings_helper.h); acquire_ffi.rs documents the Rust
 * functions.
 */
#ifndef _VIDEOBUF2_ACQUIRE_FENCE_INTERNAL_H
#define _VIDEOBUF2_ACQUIRE_FENCE_INTERNAL_H

#include <media/videobuf2-core.h>

struct dma_fence;
struct vb2_acquire_fences;
struct vb2_hand_over;
struct workqueue_struct;

/**
 * enum vb2_acquire_outcome - why a buffer does not wait for a fence any longer
 * @VB2_ACQUIRE_SIGNALLED: the fence was signalled
 * @VB2_ACQUIRE_GIVEN_UP: it was not, before the timeout
 * @VB2_ACQUIRE_LET_GO: the buffer is not queued any more
 */
enum vb2_acquire_outcome {
	VB2_ACQUIRE_SIGNALLED,
	VB2_ACQUIRE_GIVEN_UP,
	VB2_ACQUIRE_LET_GO,
};

#ifdef CONFIG_VIDEOBUF2_RELEASE_FENCES

/* acquire_ffi.rs */
struct vb2_acquire_fences *vb2_acquire_fences_new(struct vb2_buffer *vb, bool output);
void vb2_acquire_fences_free(struct vb2_acquire_fences *fences);
int vb2_acquire_fences_acquire(struct vb2_acquire_fences *fences, struct dma_fence *in_fence,
			       bool queued);
void vb2_acquire_fences_start_timeout(struct vb2_acquire_fences *fences);
void vb2_acquire_fences_let_go(struct vb2_acquire_fences *fences);
void vb2_acquire_fences_buffer_done(struct vb2_acquire_fences *fences, enum vb2_buffer_state state);
bool vb2_acquire_fences_are_over(const struct vb2_acquire_fences *fences);
bool vb2_acquire_fences_have_failed(const struct vb2_acquire_fences *fences);

struct vb2_hand_over *vb2_hand_over_new(void);
void vb2_hand_over_free(struct vb2_hand_over *hand_over);
void vb2_hand_over_queue(struct vb2_hand_over *hand_over, struct vb2_acquire_fences *fences);
void vb2_hand_over_start(struct vb2_hand_over *hand_over);
void vb2_hand_over_stop(struct vb2_hand_over *hand_over);
void vb2_hand_over_wait(struct vb2_hand_over *hand_over);
void vb2_hand_over_buffer_acquired(struct vb2_hand_over *hand_over);

#if IS_ENABLED(CONFIG_KUNIT)
extern unsigned int vb2_acquire_fence_timeout_ms;
#endif

/* videobuf2-acquire-fence.c, for acquire_fence.rs */
unsigned long vb2_acquire_fence_expires(void);
void vb2_acquire_fence_notify(struct vb2_buffer *vb);
void vb2_acquire_fence_report_waiting(struct vb2_buffer *vb, struct dma_fence *fence);
void vb2_acquire_fence_report_ended(struct vb2_buffer *vb, u64 context, u64 seqno,
				    enum vb2_acquire_outcome outcome);
void vb2_acquire_fence_report_given_up(struct vb2_buffer *vb, struct dma_fence *fence,
				       unsigned int count);
struct workqueue_struct *vb2_hand_over_workqueue(void);

/* videobuf2-qbuf-fences.c, for hand_over.rs */
void vb2_buffer_end_kept(struct vb2_buffer *vb);

/* videobuf2-core.c, for hand_over.rs */
void vb2_buffer_hand_over(struct vb2_buffer *vb);

/* videobuf2-acquire-fence.c, for videobuf2-core.c */
int vb2_queue_init_acquire_fences(struct vb2_queue *q);
int vb2_queue_init_hand_over(struct vb2_queue *q);
void vb2_queue_free_hand_over(struct vb2_queue *q);
int vb2_buffer_init_acquire_fences(struct vb2_buffer *vb);
void vb2_buffer_free_acquire_fences(struct vb2_buffer *vb);

/*
 * What each QBUF, done and DQBUF calls: for buffers without acquire fences a comparison and a
 * branch inline. READ_ONCE() keeps the load of what is passed on behind the branch.
 */

/* The buffer of a request is prepared. */
static inline int vb2_buffer_acquire_fences(struct vb2_buffer *vb, struct dma_fence *in_fence)
{
	if (!vb->acquire_fences)
		return 0;
	return vb2_acquire_fences_acquire(READ_ONCE(vb->acquire_fences), in_fence, false);
}

/* The buffer, which is prepared, is about to be queued. */
static inline int vb2_buffer_queue_acquire_fences(struct vb2_buffer *vb, struct dma_fence *in_fence)
{
	if (!vb->acquire_fences)
		return 0;
	if (vb->state != VB2_BUF_STATE_IN_REQUEST)
		return vb2_acquire_fences_acquire(READ_ONCE(vb->acquire_fences), in_fence, true);
	/* That of a request has acquired them when it was prepared, and queueing it cannot fail. */
	vb2_acquire_fences_start_timeout(READ_ONCE(vb->acquire_fences));
	return 0;
}

/* The buffer is active, and will be returned with @state. */
static inline void vb2_buffer_return_acquire_fences(struct vb2_buffer *vb,
						    enum vb2_buffer_state state)
{
	if (vb->acquire_fences)
		vb2_acquire_fences_buffer_done(READ_ONCE(vb->acquire_fences), state);
}

/* The buffer is not queued any more. */
static inline void vb2_buffer_let_go_acquire_fences(struct vb2_buffer *vb)
{
	if (vb->acquire_fences)
		vb2_acquire_fences_let_go(READ_ONCE(vb->acquire_fences));
}

/*
 * The driver streams, or is about to start, and gets the buffer. Returns false if the caller has to
 * hand it over: the queue does not keep buffers that wait.
 */
static inline bool vb2_buffer_hand_over_in_turn(struct vb2_queue *q, struct vb2_buffer *vb)
{
	if (!q->hand_over)
		return false;

	vb2_hand_over_queue(READ_ONCE(q->hand_over), vb->acquire_fences);
	return true;
}

/* start_streaming has succeeded, and vb2_is_streaming() says so. */
static inline void vb2_queue_start_hand_over(struct vb2_queue *q)
{
	if (q->hand_over)
		vb2_hand_over_start(q->hand_over);
}

/* start_streaming has failed, or stop_streaming comes next. */
static inline void vb2_queue_stop_hand_over(struct vb2_queue *q)
{
	if (q->hand_over)
		vb2_hand_over_stop(q->hand_over);
}

/* A buffer is about to be dequeued: buf_queue has to return first. */
static inline void vb2_queue_wait_for_hand_over(struct vb2_queue *q)
{
	if (q->hand_over)
		vb2_hand_over_wait(q->hand_over);
}

#else

static inline int vb2_queue_init_acquire_fences(struct vb2_queue *q) { return 0; }
static inline int vb2_buffer_init_acquire_fences(struct vb2_buffer *vb) { return 0; }
static inline void vb2_buffer_free_acquire_fences(struct vb2_buffer *vb) { }
static inline int vb2_buffer_acquire_fences(struct vb2_buffer *vb, struct dma_fence *in_fence)
{
	return 0;
}

static inline int vb2_buffer_queue_acquire_fences(struct vb2_buffer *vb, struct dma_fence *in_fence)
{
	return 0;
}

static inline void vb2_buffer_return_acquire_fences(struct vb2_buffer *vb,
						    enum vb2_buffer_state state) { }
static inline void vb2_buffer_let_go_acquire_fences(struct vb2_buffer *vb) { }

static inline int vb2_queue_init_hand_over(struct vb2_queue *q) { return 0; }
static inline void vb2_queue_free_hand_over(struct vb2_queue *q) { }
static inline bool vb2_buffer_hand_over_in_turn(struct vb2_queue *q, struct vb2_buffer *vb)
{
	return false;
}

static inline void vb2_queue_start_hand_over(struct vb2_queue *q) { }
static inline void vb2_queue_stop_hand_over(struct vb2_queue *q) { }
static inline void vb2_queue_wait_for_hand_over(struct vb2_queue *q) { }

#endif /* CONFIG_VIDEOBUF2_RELEASE_FENCES */

#endif /* _VIDEOBUF2_ACQUIRE_FENCE_INTERNAL_H */
