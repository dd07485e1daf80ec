// SPDX-License-Identifier: GPL-2.0-only
/*
 * Release fences of videobuf2: the C side of release_fence.rs.
 *
 * release_fence.rs decides; this file passes on what it has to know of buffers and queues.
 */

#include <kunit/visibility.h>
#include <linux/dma-buf.h>
#include <linux/dma-fence.h>
#include <linux/moduleparam.h>

#include "videobuf2-release-fence-internal.h"

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

/* Collects the reservation objects of a buffer. Returns how many there are. */
static unsigned int plane_objs(struct vb2_buffer *vb, struct dma_resv **objs)
{
	unsigned int plane, count = 0;

	for (plane = 0; plane < vb->num_planes; ++plane) {
		struct vb2_plane_resv *resv;

		switch (vb->memory) {
		case VB2_MEMORY_MMAP:
			resv = vb2_plane_get_resv(vb, plane);
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
	unsigned int i, count = 0;
	int ret;

	for (i = 0; i < ARRAY_SIZE(vbs); ++i) {
		struct vb2_queue *q;

		if (!vbs[i] || !vbs[i]->release_fence)
			continue;

		/* The planes of any other buffer may have no dma-buf to look at. */
		if (WARN_ON_ONCE(vbs[i]->state != VB2_BUF_STATE_ACTIVE))
			return -EINVAL;

		q = vbs[i]->vb2_queue;
		requests[i].fence = vbs[i]->release_fence;
		requests[i].timeline = ordered_timeline(q);
		requests[i].queue = q->name;
		requests[i].objs = plane_objs(vbs[i], objs + count);
		requests[i].write = !q->is_output;
		count += requests[i].objs;
	}
	if (!count)
		return 0;

	might_sleep();
	ret = vb2_release_fence_arm(requests, objs, READ_ONCE(vb2_release_fence_timeout_ms));
	/* The job has ended meanwhile: the driver attached the fence after it started the job. */
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
 * Begins the signalling section of vb2_buffer_done(): consumers wait for what comes before the
 * signal too, the cache maintenance above all. Returns its cookie; true means that there is none.
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
	enum vb2_release_fence_ended ended;

	if (!vb->release_fence)
		return;

	ended = vb2_release_fence_end(vb->release_fence, state,
				      READ_ONCE(q->release_fences_cancelled), ordered_timeline(q));
	dma_fence_end_signalling(cookie);

	/* A driver that has started its hardware cannot return the buffer as not processed. */
	WARN_ON_ONCE(ended == VB2_RELEASE_FENCE_RETURNED_QUEUED);
	/* A queue that is said to complete in order did not. */
	WARN_ON_ONCE(ended == VB2_RELEASE_FENCE_OUT_OF_ORDER);
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
