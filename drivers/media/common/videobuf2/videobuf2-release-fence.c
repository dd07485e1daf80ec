// SPDX-License-Identifier: GPL-2.0-only
/*
 * Release fences of videobuf2: the thin layer between C and release_fence.rs.
 *
 * release_fence.rs decides; this file finds out what it has to know of buffers and queues, and
 * keeps the exports of a plane together.
 */

#include <kunit/visibility.h>
#include <linux/build_bug.h>
#include <linux/dma-buf.h>
#include <linux/dma-fence.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/moduleparam.h>

#include "videobuf2-release-fence.h"

#define CREATE_TRACE_POINTS
#include <trace/events/vb2_release_fence.h>

VISIBLE_IF_KUNIT unsigned int vb2_release_fence_timeout_ms = 10000;
EXPORT_SYMBOL_IF_KUNIT(vb2_release_fence_timeout_ms);
module_param_named(release_fence_timeout_ms, vb2_release_fence_timeout_ms, uint, 0644);
MODULE_PARM_DESC(release_fence_timeout_ms,
		 "signal a release fence with -ETIMEDOUT after so many ms (default 10000, 0: never)");

/* The timeline that the fences of a queue share, or NULL if each has its own. */
static struct vb2_release_timeline *ordered_timeline(struct vb2_queue *q)
{
	return q->release_fences_ordered ? &q->release_timeline : NULL;
}

void vb2_queue_init_release_fences(struct vb2_queue *q)
{
	/* The same in release_fence.rs. */
	BUILD_BUG_ON(sizeof(struct vb2_release_timeline) != 24);

	if (q->supports_release_fences)
		vb2_release_timeline_init(&q->release_timeline);
}

int vb2_buffer_init_release_fence(struct vb2_buffer *vb)
{
	if (!vb->vb2_queue->supports_release_fences)
		return 0;

	vb->release_fence = vb2_release_fence_new(vb);
	return vb->release_fence ? 0 : -ENOMEM;
}

void vb2_buffer_free_release_fence(struct vb2_buffer *vb)
{
	if (!vb->release_fence)
		return;

	vb2_release_fence_free(vb->release_fence);
	vb->release_fence = NULL;
}

int vb2_buffer_prepare_release_fence(struct vb2_buffer *vb)
{
	if (!vb->release_fence)
		return 0;

	return vb2_release_fence_prepare(vb->release_fence, vb->vb2_queue->name);
}

/* The reservation object of an MMAP plane, or NULL if its memory has none. */
static struct vb2_plane_resv *plane_resv(struct vb2_buffer *vb, unsigned int plane)
{
	const struct vb2_mem_ops *mem_ops = vb->vb2_queue->mem_ops;
	struct vb2_plane_resv *resv;

	if (!vb->release_fence || !mem_ops->plane_resv)
		return NULL;

	resv = mem_ops->plane_resv(vb->planes[plane].mem_priv);
	return resv->in_use ? resv : NULL;
}

/* Collects the reservation objects of a buffer. Returns how many there are. */
static unsigned int plane_objs(struct vb2_buffer *vb, struct dma_resv **objs)
{
	unsigned int plane, count = 0;

	for (plane = 0; plane < vb->num_planes; ++plane) {
		struct vb2_plane_resv *resv;

		switch (vb->memory) {
		case VB2_MEMORY_MMAP:
			resv = plane_resv(vb, plane);
			if (resv)
				objs[count++] = &resv->obj;
			break;
		case VB2_MEMORY_DMABUF:
			objs[count++] = vb->planes[plane].dbuf->resv;
			break;
		default:
			break;
		}
	}

	return count;
}

int vb2_job_attach_release_fences(struct vb2_buffer *dst, struct vb2_buffer *src)
{
	struct vb2_buffer *vbs[2] = { dst, src };
	struct vb2_release_fence_request requests[2] = {};
	struct dma_resv *objs[2 * VB2_MAX_PLANES];
	unsigned int i, count = 0, buffers = 0;
	int ret;

	for (i = 0; i < ARRAY_SIZE(vbs); ++i) {
		struct vb2_release_fence_request *request = &requests[buffers];
		struct vb2_queue *q;

		if (!vbs[i] || !vbs[i]->release_fence)
			continue;

		if (WARN_ON_ONCE(vbs[i]->state != VB2_BUF_STATE_ACTIVE))
			return -EINVAL;

		request->objs = plane_objs(vbs[i], objs + count);
		if (!request->objs)
			continue;

		q = vbs[i]->vb2_queue;
		request->fence = vbs[i]->release_fence;
		request->timeline = ordered_timeline(q);
		request->queue = q->name;
		request->write = !q->is_output;
		count += request->objs;
		buffers++;
	}
	if (!buffers)
		return 0;

	might_sleep();
	ret = vb2_release_fence_arm(requests, objs, READ_ONCE(vb2_release_fence_timeout_ms));
	/* A driver that attaches a fence to a job must not have started it. */
	WARN_ON_ONCE(ret == -ECANCELED);
	return ret;
}
EXPORT_SYMBOL_GPL(vb2_job_attach_release_fences);

int vb2_buffer_attach_release_fence(struct vb2_buffer *vb)
{
	return vb2_job_attach_release_fences(vb, NULL);
}
EXPORT_SYMBOL_GPL(vb2_buffer_attach_release_fence);

/*
 * What comes before the signal, the cache maintenance above all, is a part of the promise too.
 * Returns the cookie of the signalling section; true stands for "there is nothing to end".
 */
bool vb2_buffer_begin_release(struct vb2_buffer *vb)
{
	if (!vb->release_fence || !vb2_release_fence_is_armed(vb->release_fence))
		return true;

	return dma_fence_begin_signalling();
}

void vb2_buffer_end_release(struct vb2_buffer *vb, enum vb2_buffer_state state, bool cookie)
{
	struct vb2_queue *q = vb->vb2_queue;
	int result, ended;

	if (!vb->release_fence)
		return;

	if (state == VB2_BUF_STATE_DONE)
		result = 0;
	else if (state == VB2_BUF_STATE_QUEUED || READ_ONCE(q->release_fences_cancelled))
		result = -ECANCELED;
	else
		result = -EIO;

	ended = vb2_release_fence_end(vb->release_fence, result, ordered_timeline(q));
	dma_fence_end_signalling(cookie);

	/* A driver that has started its hardware cannot say that nothing has happened. */
	WARN_ON_ONCE(ended && state == VB2_BUF_STATE_QUEUED);
	/* A queue that is said to complete in order did not. */
	WARN_ON_ONCE(ended == 2);
}

void vb2_release_fence_report_armed(struct vb2_buffer *vb, u64 context, u64 seqno)
{
	trace_vb2_release_fence_armed(vb, context, seqno);
}

void vb2_release_fence_report_signalled(struct vb2_buffer *vb, u64 context, u64 seqno, int result)
{
	trace_vb2_release_fence_signalled(vb, context, seqno, result);
}

void vb2_release_fence_report_timeout(struct vb2_buffer *vb)
{
	struct vb2_queue *q = vb->vb2_queue;

	pr_err("videobuf2: %s: queue %s: buffer %u: the job did not end in time, its release fence is signalled with -ETIMEDOUT\n",
	       q->dev ? dev_name(q->dev) : "no device", q->name, vb->index);
}

void vb2_plane_resv_init(struct vb2_plane_resv *resv, struct vb2_buffer *vb)
{
	if (!vb->vb2_queue->supports_release_fences)
		return;

	dma_resv_init(&resv->obj);
	spin_lock_init(&resv->lock);
	resv->in_use = true;
}
EXPORT_SYMBOL_GPL(vb2_plane_resv_init);

void vb2_plane_resv_fini(struct vb2_plane_resv *resv)
{
	if (resv->in_use)
		dma_resv_fini(&resv->obj);
}
EXPORT_SYMBOL_GPL(vb2_plane_resv_fini);

/*
 * Find the export of a plane with this access mode, and take a reference to it.
 *
 * An export whose last descriptor is closed has lost its file, though it may live on for a while:
 * there is no reference to take, and its entry is cleared, under the lock, before it is freed.
 */
struct dma_buf *vb2_plane_find_export(struct vb2_buffer *vb, unsigned int plane, unsigned int flags)
{
	struct vb2_plane_resv *resv = plane_resv(vb, plane);
	unsigned int mode = flags & O_ACCMODE;
	struct dma_buf *dbuf;

	if (!resv || mode >= ARRAY_SIZE(resv->exports))
		return NULL;

	spin_lock(&resv->lock);
	dbuf = resv->exports[mode];
	if (dbuf && !get_file_active(&dbuf->file))
		dbuf = NULL;
	spin_unlock(&resv->lock);

	return dbuf;
}

void vb2_plane_add_export(struct vb2_buffer *vb, unsigned int plane, unsigned int flags,
			  struct dma_buf *dbuf)
{
	struct vb2_plane_resv *resv = plane_resv(vb, plane);
	unsigned int mode = flags & O_ACCMODE;

	if (!resv || mode >= ARRAY_SIZE(resv->exports))
		return;

	spin_lock(&resv->lock);
	resv->exports[mode] = dbuf;
	spin_unlock(&resv->lock);
}

void vb2_plane_resv_unexport(struct vb2_plane_resv *resv, struct dma_buf *dbuf)
{
	unsigned int mode;

	if (!resv->in_use)
		return;

	spin_lock(&resv->lock);
	for (mode = 0; mode < ARRAY_SIZE(resv->exports); ++mode) {
		if (resv->exports[mode] == dbuf)
			resv->exports[mode] = NULL;
	}
	spin_unlock(&resv->lock);
}
EXPORT_SYMBOL_GPL(vb2_plane_resv_unexport);
