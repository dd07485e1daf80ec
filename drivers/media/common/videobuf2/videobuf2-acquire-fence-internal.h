/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Acquire fences inside of videobuf2: what videobuf2-core.c calls, and what C and Rust call of each
 * other. bindgen reads it (rust/bindings/bindings_helper.h); acquire_ffi.rs documents the Rust
 * functions.
 */
#ifndef _VIDEOBUF2_ACQUIRE_FENCE_INTERNAL_H
#define _VIDEOBUF2_ACQUIRE_FENCE_INTERNAL_H

#include <media/videobuf2-core.h>

struct vb2_acquire_fences;

#ifdef CONFIG_VIDEOBUF2_RELEASE_FENCES

/* acquire_ffi.rs */
struct vb2_acquire_fences *vb2_acquire_fences_new(struct vb2_buffer *vb, bool output);
void vb2_acquire_fences_free(struct vb2_acquire_fences *fences);
int vb2_acquire_fences_acquire(struct vb2_acquire_fences *fences);
void vb2_acquire_fences_start_timeout(struct vb2_acquire_fences *fences);
void vb2_acquire_fences_let_go(struct vb2_acquire_fences *fences);
void vb2_acquire_fences_buffer_done(struct vb2_acquire_fences *fences, enum vb2_buffer_state state);
bool vb2_acquire_fences_are_over(const struct vb2_acquire_fences *fences);

#if IS_ENABLED(CONFIG_KUNIT)
extern unsigned int vb2_acquire_fence_timeout_ms;
#endif

/* videobuf2-acquire-fence.c, for acquire_fence.rs */
unsigned long vb2_acquire_fence_expires(void);
void vb2_acquire_fence_notify(struct vb2_buffer *vb);
void vb2_acquire_fence_report_given_up(struct vb2_buffer *vb, struct dma_fence *fence,
				       unsigned int count);

/* videobuf2-acquire-fence.c, for videobuf2-core.c */
int vb2_queue_init_acquire_fences(struct vb2_queue *q);
int vb2_buffer_init_acquire_fences(struct vb2_buffer *vb);
void vb2_buffer_free_acquire_fences(struct vb2_buffer *vb);
int __vb2_buffer_queue_acquire_fences(struct vb2_buffer *vb);

/* What each QBUF, done and DQBUF calls: for buffers without acquire fences a branch inline. */

/* The buffer of a request is prepared. */
static inline int vb2_buffer_acquire_fences(struct vb2_buffer *vb)
{
	return vb->acquire_fences ? vb2_acquire_fences_acquire(vb->acquire_fences) : 0;
}

/* The buffer, which is prepared, is about to be queued. */
static inline int vb2_buffer_queue_acquire_fences(struct vb2_buffer *vb)
{
	return vb->acquire_fences ? __vb2_buffer_queue_acquire_fences(vb) : 0;
}

/* The buffer is active, and will be returned with @state. */
static inline void vb2_buffer_return_acquire_fences(struct vb2_buffer *vb,
						    enum vb2_buffer_state state)
{
	if (vb->acquire_fences)
		vb2_acquire_fences_buffer_done(vb->acquire_fences, state);
}

/* The buffer is not queued any more. */
static inline void vb2_buffer_let_go_acquire_fences(struct vb2_buffer *vb)
{
	if (vb->acquire_fences)
		vb2_acquire_fences_let_go(vb->acquire_fences);
}

#else

static inline int vb2_queue_init_acquire_fences(struct vb2_queue *q) { return 0; }
static inline int vb2_buffer_init_acquire_fences(struct vb2_buffer *vb) { return 0; }
static inline void vb2_buffer_free_acquire_fences(struct vb2_buffer *vb) { }
static inline int vb2_buffer_acquire_fences(struct vb2_buffer *vb) { return 0; }
static inline int vb2_buffer_queue_acquire_fences(struct vb2_buffer *vb) { return 0; }
static inline void vb2_buffer_return_acquire_fences(struct vb2_buffer *vb,
						    enum vb2_buffer_state state) { }
static inline void vb2_buffer_let_go_acquire_fences(struct vb2_buffer *vb) { }

#endif /* CONFIG_VIDEOBUF2_RELEASE_FENCES */

#endif /* _VIDEOBUF2_ACQUIRE_FENCE_INTERNAL_H */
