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
 * struct vb2_release_timeline - what the fences of a queue share
 * @opaque:	memory for the Timeline of release_fence.rs
 */
struct vb2_release_timeline {
	u64 opaque[3] __aligned(8);
};

/**
 * struct vb2_plane_resv - the reservation object of a plane's memory, and its exports
 * @obj:	the one reservation object of all exports of the plane
 * @lock:	protects @exports
 * @exports:	the living dma_buf for each access mode (O_RDONLY, O_WRONLY, O_RDWR), or NULL. No
 *		reference is held: an entry is cleared when its dma_buf is released.
 * @in_use:	whether the queue opted in
 *
 * Part of an allocator's buffer, so that it lives as long as any export of it.
 */
struct vb2_plane_resv {
#ifdef CONFIG_VIDEOBUF2_RELEASE_FENCES
	struct dma_resv obj;
	spinlock_t lock;	/* protects exports */
	struct dma_buf *exports[3];
	bool in_use;
#endif
};

#ifdef CONFIG_VIDEOBUF2_RELEASE_FENCES

/**
 * vb2_buffer_attach_release_fence() - publish a fence for the job of a single buffer
 * @vb:		an active buffer, of which the driver is about to start the job
 *
 * Call it as the last thing before the hardware, and the watchdog, are started: from then on
 * consumers wait for vb2_buffer_done(), which has to come within finite time whatever user space
 * does. The fence goes to the reservation object of every plane, as %DMA_RESV_USAGE_WRITE for a
 * CAPTURE buffer and as %DMA_RESV_USAGE_READ for an OUTPUT buffer.
 *
 * A job with two buffers has to attach both at once, by vb2_job_attach_release_fences().
 *
 * Must not run at the same time as vb2_buffer_done() for the same buffer. If the driver's queue did
 * not opt in, if the memory is of user space (USERPTR) or if the buffer has its fence already,
 * nothing happens.
 *
 * Context: Process context. Sleeps: takes the reservation objects' locks and allocates memory.
 *
 * Return: 0, or a negative error code: -ENOMEM, or -EINVAL for a buffer that is not active, which
 * is a bug of the driver. After an error nothing is visible on any plane, and the job can go on
 * unfenced; drivers may ignore it. -ECANCELED, another bug of the driver: vb2_buffer_done() was
 * called meanwhile, and the fence is signalled with this error.
 */
int vb2_buffer_attach_release_fence(struct vb2_buffer *vb);

/**
 * vb2_job_attach_release_fences() - publish the fences of a job that ends two buffers
 * @dst:	the CAPTURE buffer, or NULL
 * @src:	the OUTPUT buffer, or NULL
 *
 * As vb2_buffer_attach_release_fence(), for both. To attach one after the other would be wrong:
 * once the first fence is out, the job must not wait for the locks or the memory of the second.
 *
 * Context: Process context. Sleeps.
 *
 * Return: as vb2_buffer_attach_release_fence(); after an error neither buffer has a fence.
 */
int vb2_job_attach_release_fences(struct vb2_buffer *dst, struct vb2_buffer *src);

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

/* For memory allocators: the life of a plane's reservation object and of its exports. */

/**
 * vb2_plane_resv_init() - initialise the reservation object of new, zeroed memory for a plane
 * @resv:	to be initialised, if the queue of @vb opted in
 * @vb:		the buffer that the plane is allocated for
 */
void vb2_plane_resv_init(struct vb2_plane_resv *resv, struct vb2_buffer *vb);

/**
 * vb2_plane_resv_fini() - clean up before the memory is freed
 * @resv:	the plane's; nothing is exported any more
 */
void vb2_plane_resv_fini(struct vb2_plane_resv *resv);

/**
 * vb2_plane_resv_export() - have an export of a plane use the plane's object
 * @resv:	the plane's
 * @exp_info:	what dma_buf_export() is about to be called with
 *
 * Unless the queue opted in, nothing happens, and every export has an object of its own.
 */
static inline void vb2_plane_resv_export(struct vb2_plane_resv *resv,
					 struct dma_buf_export_info *exp_info)
{
	if (resv->in_use)
		exp_info->resv = &resv->obj;
}

/**
 * vb2_plane_resv_unexport() - forget an export that is being released
 * @resv:	the plane's
 * @dbuf:	the export, in its release operation, before the plane's reference is dropped
 */
void vb2_plane_resv_unexport(struct vb2_plane_resv *resv, struct dma_buf *dbuf);

#else

static inline int vb2_buffer_attach_release_fence(struct vb2_buffer *vb)
{
	return 0;
}

static inline int vb2_job_attach_release_fences(struct vb2_buffer *dst, struct vb2_buffer *src)
{
	return 0;
}

static inline bool vb2_release_fence_begin_signalling(void)
{
	return false;
}

static inline void vb2_release_fence_end_signalling(bool cookie) { }

static inline void vb2_plane_resv_init(struct vb2_plane_resv *resv, struct vb2_buffer *vb) { }
static inline void vb2_plane_resv_fini(struct vb2_plane_resv *resv) { }
static inline void vb2_plane_resv_export(struct vb2_plane_resv *resv,
					 struct dma_buf_export_info *exp_info) { }
static inline void vb2_plane_resv_unexport(struct vb2_plane_resv *resv, struct dma_buf *dbuf) { }

#endif /* CONFIG_VIDEOBUF2_RELEASE_FENCES */

#endif /* _MEDIA_VIDEOBUF2_RELEASE_FENCE_H */
