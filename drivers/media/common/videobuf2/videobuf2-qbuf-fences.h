/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The fences of VIDIOC_QBUF inside of videobuf2: one that the program passes, and one that it gets.
 */
#ifndef _VIDEOBUF2_QBUF_FENCES_H
#define _VIDEOBUF2_QBUF_FENCES_H

#include <linux/dma-fence.h>
#include <linux/videodev2.h>
#include <media/videobuf2-core.h>

#include "videobuf2-acquire-fence-internal.h"
#include "videobuf2-release-fence-internal.h"

struct sync_file;

/* What a QBUF has of its own until the buffer is queued, or it is refused. */
struct vb2_qbuf_fences {
	struct dma_fence *in;	/* or NULL */
	struct dma_fence *out;	/* or NULL; not published yet */
	struct sync_file *file;	/* of @out */
	int fd;			/* of @file, reserved */
};

#ifdef CONFIG_VIDEOBUF2_RELEASE_FENCES

/* videobuf2-qbuf-fences.c */
int vb2_qbuf_get_fences(struct vb2_queue *q, struct v4l2_buffer *b, bool gives_out,
			struct vb2_qbuf_fences *fences);
void vb2_qbuf_put_fences(struct v4l2_buffer *b, struct vb2_qbuf_fences *fences, int ret,
			 struct file **out_file);
int __vb2_buffer_begin_qbuf(struct vb2_buffer *vb, struct dma_fence *in_fence,
			    struct dma_fence *out_fence, bool *cookie);
void __vb2_buffer_take_back_qbuf(struct vb2_buffer *vb);
void __vb2_queue_hand_over_at_streamon(struct vb2_queue *q);

/* Whether VIDIOC_QBUF and VIDIOC_PREPARE_BUF look at the flags. */
static inline bool vb2_queue_has_fence_flags(const struct vb2_queue *q)
{
	return q->supports_acquire_fences;
}

static inline int vb2_queue_init_out_fences(const struct vb2_queue *q)
{
	return WARN_ON(q->out_fences_at_qbuf &&
		       !(q->supports_release_fences && q->supports_acquire_fences)) ? -EINVAL : 0;
}

/*
 * The buffer of a request needs the in-fence when the request is prepared: once, or again. There is
 * none before: it is kept while no other thread can take the request apart.
 */
static inline void vb2_buffer_keep_in_fence(struct vb2_buffer *vb, struct dma_fence *in_fence)
{
	if (vb->acquire_fences)
		vb->in_fence = dma_fence_get(in_fence);
}

static inline struct dma_fence *vb2_buffer_kept_in_fence(const struct vb2_buffer *vb)
{
	return vb->in_fence;
}

/*
 * The buffer is queued, or not in a request any more. A request lets its buffers go without the
 * lock of the queue.
 */
static inline void vb2_buffer_drop_in_fence(struct vb2_buffer *vb)
{
	if (vb->acquire_fences)
		dma_fence_put(xchg(&vb->in_fence, NULL));
}

/* Whether the buffer's queue has opted in: all that other queues pay for the two below */
static inline bool vb2_buffer_has_fences(const struct vb2_buffer *vb)
{
	return vb->acquire_fences || vb->release_fence;
}

/*
 * The buffer, which is prepared, is about to be queued: takes the snapshot, begins its turn, and
 * publishes its fence, @out_fence or another one, if the queue does so at QBUF. Then a signalling
 * section begins. After an error nothing of that is left.
 */
static __always_inline int vb2_buffer_begin_qbuf(struct vb2_buffer *vb, struct dma_fence *in_fence,
						 struct dma_fence *out_fence, bool *cookie)
{
	*cookie = true;	/* no section */
	if (!vb2_buffer_has_fences(vb))
		return 0;
	return __vb2_buffer_begin_qbuf(vb, in_fence, out_fence, cookie);
}

/* QBUF has failed after that. */
static inline void vb2_buffer_take_back_qbuf(struct vb2_buffer *vb)
{
	if (vb2_buffer_has_fences(vb))
		__vb2_buffer_take_back_qbuf(vb);
}

/* It was handed over, or is kept until that can be done. The section ends. */
static inline void vb2_buffer_end_qbuf(struct vb2_buffer *vb, bool cookie)
{
	if (vb->vb2_queue->out_fences_at_qbuf)
		dma_fence_end_signalling(cookie);
}

/* start_streaming was not given buffers that were queued before. */
static inline void vb2_queue_hand_over_at_streamon(struct vb2_queue *q)
{
	if (q->out_fences_at_qbuf)
		__vb2_queue_hand_over_at_streamon(q);
}

/* The driver is about to get the buffer. */
static inline void vb2_buffer_start_timeout(struct vb2_buffer *vb)
{
	if (vb->vb2_queue->out_fences_at_qbuf)
		vb2_release_fence_handed_over(vb->release_fence);
}

#else

static inline bool vb2_queue_has_fence_flags(const struct vb2_queue *q) { return false; }
static inline int vb2_queue_init_out_fences(const struct vb2_queue *q) { return 0; }
static inline void vb2_buffer_keep_in_fence(struct vb2_buffer *vb, struct dma_fence *in_fence) { }
static inline struct dma_fence *vb2_buffer_kept_in_fence(const struct vb2_buffer *vb)
{
	return NULL;
}

static inline void vb2_buffer_drop_in_fence(struct vb2_buffer *vb) { }
static inline int vb2_buffer_begin_qbuf(struct vb2_buffer *vb, struct dma_fence *in_fence,
					struct dma_fence *out_fence, bool *cookie)
{
	return 0;
}

static inline void vb2_buffer_take_back_qbuf(struct vb2_buffer *vb) { }
static inline void vb2_buffer_end_qbuf(struct vb2_buffer *vb, bool cookie) { }
static inline void vb2_queue_hand_over_at_streamon(struct vb2_queue *q) { }

#endif /* CONFIG_VIDEOBUF2_RELEASE_FENCES */

#endif /* _VIDEOBUF2_QBUF_FENCES_H */
