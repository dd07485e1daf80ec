/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Release fences inside of videobuf2: what videobuf2-core.c calls, and what C and Rust call of each
 * other. bindgen reads it (rust/bindings/bindings_helper.h); ffi.rs documents the Rust functions.
 */
#ifndef _VIDEOBUF2_RELEASE_FENCE_INTERNAL_H
#define _VIDEOBUF2_RELEASE_FENCE_INTERNAL_H

#include <media/videobuf2-core.h>

struct vb2_release_fence;

/* One buffer of a job. */
struct vb2_release_fence_request {
	struct vb2_release_fence *fence;	/* NULL: no buffer */
	struct vb2_release_timeline *timeline;	/* NULL: a timeline for each fence */
	const char *queue;
	unsigned int objs;
	bool write;
};

/* What the end of a job meant for the fence of its buffer. The last two are bugs of the driver. */
enum vb2_release_fence_ended {
	VB2_RELEASE_FENCE_NOT_ARMED,
	VB2_RELEASE_FENCE_SIGNALLED,
	VB2_RELEASE_FENCE_OUT_OF_ORDER,
	VB2_RELEASE_FENCE_RETURNED_QUEUED,
};

#ifdef CONFIG_VIDEOBUF2_RELEASE_FENCES

/* ffi.rs */
void vb2_release_timeline_init(struct vb2_release_timeline *timeline);
struct vb2_release_fence *vb2_release_fence_new(struct vb2_buffer *vb);
void vb2_release_fence_free(struct vb2_release_fence *fence);
int vb2_release_fence_prepare(struct vb2_release_fence *fence, const char *queue);
int vb2_release_fence_arm(const struct vb2_release_fence_request requests[2],
			  struct dma_resv *const *objs, unsigned int timeout_ms);
bool vb2_release_fence_is_armed(const struct vb2_release_fence *fence);
enum vb2_release_fence_ended vb2_release_fence_end(struct vb2_release_fence *fence,
						   enum vb2_buffer_state state, bool cancelled,
						   const struct vb2_release_timeline *timeline);

#if IS_ENABLED(CONFIG_KUNIT)
extern unsigned int vb2_release_fence_timeout_ms;
#endif

/* videobuf2-release-fence.c, for release_fence.rs */
void vb2_release_fence_report_armed(struct vb2_buffer *vb, u64 context, u64 seqno);
void vb2_release_fence_report_signalled(struct vb2_buffer *vb, u64 context, u64 seqno, int result);
void vb2_release_fence_report_timeout(struct vb2_buffer *vb);

/* videobuf2-release-fence.c, for videobuf2-core.c */
void vb2_queue_init_release_fences(struct vb2_queue *q);
int vb2_buffer_init_release_fence(struct vb2_buffer *vb);
void vb2_buffer_free_release_fence(struct vb2_buffer *vb);
int vb2_buffer_prepare_release_fence(struct vb2_buffer *vb);
bool vb2_buffer_begin_release(struct vb2_buffer *vb);
void vb2_buffer_end_release(struct vb2_buffer *vb, enum vb2_buffer_state state, bool cookie);

/* videobuf2-plane-resv.c */
struct vb2_plane_resv *vb2_plane_get_resv(struct vb2_buffer *vb, unsigned int plane);
struct dma_buf *vb2_plane_find_export(struct vb2_buffer *vb, unsigned int plane,
				      unsigned int flags);
void vb2_plane_add_export(struct vb2_buffer *vb, unsigned int plane, unsigned int flags,
			  struct dma_buf *dbuf);

#else

static inline void vb2_queue_init_release_fences(struct vb2_queue *q) { }
static inline int vb2_buffer_init_release_fence(struct vb2_buffer *vb) { return 0; }
static inline void vb2_buffer_free_release_fence(struct vb2_buffer *vb) { }
static inline int vb2_buffer_prepare_release_fence(struct vb2_buffer *vb) { return 0; }
static inline bool vb2_buffer_begin_release(struct vb2_buffer *vb) { return false; }
static inline void vb2_buffer_end_release(struct vb2_buffer *vb, enum vb2_buffer_state state,
					  bool cookie) { }
static inline struct dma_buf *vb2_plane_find_export(struct vb2_buffer *vb, unsigned int plane,
						    unsigned int flags) { return NULL; }
static inline void vb2_plane_add_export(struct vb2_buffer *vb, unsigned int plane,
					unsigned int flags, struct dma_buf *dbuf) { }

#endif /* CONFIG_VIDEOBUF2_RELEASE_FENCES */

#endif /* _VIDEOBUF2_RELEASE_FENCE_INTERNAL_H */
