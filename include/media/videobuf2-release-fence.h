/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Release fences: the dma-buf of a buffer tells when its job has ended.
 *
 * A driver opts in with vb2_queue_use_release_fences() before vb2_queue_init(), and calls
 * vb2_buffer_attach_release_fence() or v4l2_m2m_attach_release_fence() as the last thing before it
 * starts its hardware. vb2_buffer_done() signals. Included by videobuf2-core.h.
 */
#ifndef _MEDIA_VIDEOBUF2_RELEASE_FENCE_H
#define _MEDIA_VIDEOBUF2_RELEASE_FENCE_H

#include <linux/dma-buf.h>
#include <linux/dma-resv.h>
#include <linux/spinlock_types.h>
#include <linux/types.h>

struct vb2_buffer;
struct vb2_queue;

/**
 * struct vb2_plane_resv - the reservation objects of a plane's exports
 * @plane:	NULL if the queue did not opt in
 *
 * Part of an allocator's buffer, so that they live as long as any export of it.
 */
struct vb2_plane_resv {
#ifdef CONFIG_VIDEOBUF2_RELEASE_FENCES
	struct vb2_plane_objs *plane;
#endif
};

#ifdef CONFIG_VIDEOBUF2_RELEASE_FENCES

/**
 * vb2_job_attach_release_fences() - publish the fences of a job
 * @dst:	the CAPTURE buffer, or NULL
 * @src:	the OUTPUT buffer, or NULL
 * @cookie:	for vb2_release_fence_end_signalling(), to be called when the hardware has started
 *
 * Call it, for active buffers, as the last thing before the hardware, and the watchdog, are
 * started: from then on consumers wait for vb2_buffer_done(), which has to come within finite time
 * whatever user space does. From this call to the start of the hardware nothing may wait for
 * memory, for a reservation object, or for a lock that is held while another thread waits for one
 * of them. Nor may vb2_buffer_done() be called under a lock that is taken in between.
 *
 * The fence of a buffer goes to the reservation objects of every plane, as %DMA_RESV_USAGE_WRITE
 * for a CAPTURE buffer and as %DMA_RESV_USAGE_READ for an OUTPUT buffer. A buffer that has none,
 * since its memory is of user space (USERPTR) or its memory allocator does not support release
 * fences, has a fence for VIDIOC_EXPFENCE only. A job with two buffers has to attach both at once:
 * when the first fence is published, the job must not wait for the locks or the memory of the
 * second.
 *
 * Must not run at the same time as vb2_buffer_done() for the same buffer. A buffer is left as it is
 * if it has a pending fence, or if its queue did not opt in.
 *
 * Context: Process context. Sleeps: takes the reservation objects' locks and allocates memory.
 *
 * Return: 0 if consumers see a fence of every buffer that can have one; or a negative error code:
 * -ENOMEM, or -EINVAL for a buffer that is not active or that waits for acquire fences, which are
 * bugs of the driver. After these errors no buffer has got a fence, and the job can go on unfenced;
 * drivers may ignore them.
 * -ECANCELED, another bug of the driver: vb2_buffer_done() was called meanwhile for a buffer. Its
 * fence, if it has got one, is signalled: with this error, or with the result of its job. The fence
 * of the other buffer is pending until vb2_buffer_done(), and no signalling section has begun.
 */
int vb2_job_attach_release_fences(struct vb2_buffer *dst, struct vb2_buffer *src, bool *cookie);

/**
 * vb2_buffer_release_fence_pending() - whether consumers may be waiting for the buffer
 * @vb:		the buffer
 *
 * Context: Any.
 *
 * Return: true if the buffer has a fence that is not signalled
 */
bool vb2_buffer_release_fence_pending(const struct vb2_buffer *vb);

/**
 * vb2_release_fence_begin_signalling() - begin the signalling section of a job
 *
 * For the code of a driver that ends jobs in process context, such as a watchdog: until the end of
 * the section lockdep reports everything that may wait for memory, for a reservation object, or for
 * another fence. In atomic context it does nothing.
 *
 * Return: for vb2_release_fence_end_signalling()
 */
static inline bool vb2_release_fence_begin_signalling(void)
{
	return dma_fence_begin_signalling();
}

/**
 * vb2_release_fence_end_signalling() - end the section
 * @cookie:	what vb2_release_fence_begin_signalling() returned
 */
static inline void vb2_release_fence_end_signalling(bool cookie)
{
	dma_fence_end_signalling(cookie);
}

/* For memory allocators: the reservation objects of a plane's exports. */

/**
 * vb2_plane_resv_init() - make the reservation objects of new, zeroed memory for a plane
 * @resv:	to be initialised, if the queue of @vb opted in
 * @vb:		the buffer that the plane is allocated for
 *
 * Context: Process context. Sleeps.
 *
 * Return: 0 or -ENOMEM
 */
int vb2_plane_resv_init(struct vb2_plane_resv *resv, struct vb2_buffer *vb);

/**
 * vb2_plane_resv_fini() - clean up before the memory is freed
 * @resv:	the plane's; nothing is exported any more
 */
void vb2_plane_resv_fini(struct vb2_plane_resv *resv);

/**
 * vb2_plane_resv_export() - choose the reservation object of a new export
 * @resv:	the plane's; unless the queue opted in, nothing is chosen
 * @exp_info:	what dma_buf_export() is about to be called with
 *
 * No other export has the object, unless the plane has four exports already.
 *
 * Context: Process context. Sleeps.
 *
 * Return: 0 or a negative error code, -ENOMEM above all; EXPBUF has to fail then
 */
int vb2_plane_resv_export(struct vb2_plane_resv *resv, struct dma_buf_export_info *exp_info);

/**
 * vb2_plane_resv_unexport() - give it back, before the plane's reference is dropped
 * @resv:	the plane's
 * @obj:	the object of an export that is released, or that could not be made
 */
void vb2_plane_resv_unexport(struct vb2_plane_resv *resv, struct dma_resv *obj);

#else

static inline int vb2_job_attach_release_fences(struct vb2_buffer *dst, struct vb2_buffer *src,
						bool *cookie)
{
	return 0;
}

static inline bool vb2_buffer_release_fence_pending(const struct vb2_buffer *vb)
{
	return false;
}

static inline bool vb2_release_fence_begin_signalling(void)
{
	return false;
}

static inline void vb2_release_fence_end_signalling(bool cookie) { }

static inline int vb2_plane_resv_init(struct vb2_plane_resv *resv, struct vb2_buffer *vb)
{
	return 0;
}

static inline void vb2_plane_resv_fini(struct vb2_plane_resv *resv) { }

static inline int vb2_plane_resv_export(struct vb2_plane_resv *resv,
					struct dma_buf_export_info *exp_info)
{
	return 0;
}

static inline void vb2_plane_resv_unexport(struct vb2_plane_resv *resv, struct dma_resv *obj) { }

#endif /* CONFIG_VIDEOBUF2_RELEASE_FENCES */

/**
 * vb2_buffer_attach_release_fence() - publish a fence for the job of a single buffer
 * @vb:		an active buffer, of which the driver is about to start the job
 * @cookie:	as for vb2_job_attach_release_fences(), which says the rest
 *
 * Return: as vb2_job_attach_release_fences()
 */
static inline int vb2_buffer_attach_release_fence(struct vb2_buffer *vb, bool *cookie)
{
	return vb2_job_attach_release_fences(vb, NULL, cookie);
}

#endif /* _MEDIA_VIDEOBUF2_RELEASE_FENCE_H */
