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

VISIBLE_IF_KUNIT unsigned int vb2_release_fence_timeout_ms = 3000;
EXPORT_SYMBOL_IF_KUNIT(vb2_release_fence_timeout_ms);

/* A consumer, which may be the OOM killer or a shrinker, must not wait for longer. */
#define TIMEOUT_MS_MAX 10000

static int set_timeout(const char *value, const struct kernel_param *param)
{
	return param_set_uint_minmax(value, param, 1, TIMEOUT_MS_MAX);
}

const struct kernel_param_ops vb2_fence_timeout_ops = {
	.set = set_timeout,
	.get = param_get_uint,
};

module_param_cb(release_fence_timeout_ms, &vb2_fence_timeout_ops, &vb2_release_fence_timeout_ms,
		0644);
MODULE_PARM_DESC(release_fence_timeout_ms,
		 "signal a release fence with -ETIMEDOUT after so many ms (1 to 10000, default 3000)");

/* The timeout of a queue, in jiffies: longer than the default if its jobs are. */
unsigned long vb2_release_fence_timeout(const struct vb2_queue *q)
{
	return msecs_to_jiffies(clamp(READ_ONCE(q->release_fence_timeout_ms),
				      READ_ONCE(vb2_release_fence_timeout_ms), TIMEOUT_MS_MAX));
}

void vb2_queue_init_release_fences(struct vb2_queue *q)
{
	if (q->supports_release_fences && q->io_modes & VB2_MMAP && !q->mem_ops->plane_resv)
		pr_warn_once("videobuf2: queue %s: no release fences for MMAP buffers: the allocator does not support them\n",
			     q->name);
}

int vb2_buffer_init_release_fence(struct vb2_buffer *vb)
{
	struct vb2_queue *q = vb->vb2_queue;

	if (!q->supports_release_fences)
		return 0;

	vb->release_fence = vb2_release_fence_new(vb, q->is_output, q->name);
	return vb->release_fence ? 0 : -ENOMEM;
}

void vb2_buffer_free_release_fence(struct vb2_buffer *vb)
{
	if (!vb->release_fence)
		return;

	vb2_release_fence_free(vb->release_fence);
	vb->release_fence = NULL;
}

static struct vb2_release_fence *fence_of(const struct vb2_buffer *vb)
{
	return vb ? vb->release_fence : NULL;
}

/* Whether the buffer is the driver's. The planes of any other one may have no dma-buf. */
static bool is_active(const struct vb2_buffer *vb)
{
	return !vb || READ_ONCE(vb->state) == VB2_BUF_STATE_ACTIVE;
}

int vb2_job_attach_release_fences(struct vb2_buffer *dst, struct vb2_buffer *src, bool *cookie)
{
	struct vb2_release_fence *dst_fence = fence_of(dst), *src_fence = fence_of(src);
	int ret;

	/* There is no section to end. */
	*cookie = true;
	if (!dst_fence && !src_fence)
		return 0;

	if (WARN_ON_ONCE(!is_active(dst) || !is_active(src)))
		return -EINVAL;
	/* The fence of a buffer that still waits for others would end when these do. */
	if (WARN_ON_ONCE((dst && !vb2_buffer_acquired(dst)) ||
			 (src && !vb2_buffer_acquired(src))))
		return -EINVAL;

	might_sleep();
	if (dst && vb2_queue_publishes_at_qbuf(dst->vb2_queue)) {
		*cookie = dma_fence_begin_signalling();
		return 0;
	}
	ret = vb2_release_fence_arm(dst_fence, src_fence);
	if (ret <= 0)
		return ret;

	/* A job that has ended meanwhile was started before the attach. */
	if (WARN_ON_ONCE(!is_active(dst))) {
		vb2_buffer_end_release_fence(dst);
		ret = -ECANCELED;
	}
	if (WARN_ON_ONCE(!is_active(src))) {
		vb2_buffer_end_release_fence(src);
		ret = -ECANCELED;
	}
	if (ret < 0)
		return ret;

	*cookie = dma_fence_begin_signalling();
	return 0;
}
EXPORT_SYMBOL_GPL(vb2_job_attach_release_fences);

bool vb2_buffer_release_fence_pending(const struct vb2_buffer *vb)
{
	return vb->release_fence && vb2_release_fence_is_pending(vb->release_fence);
}
EXPORT_SYMBOL_GPL(vb2_buffer_release_fence_pending);

void __vb2_buffer_begin_release(struct vb2_buffer *vb, enum vb2_buffer_state state,
				struct vb2_release *release)
{
	bool cancelled = READ_ONCE(vb->vb2_queue->release_fences_cancelled);

	release->fence = vb2_release_fence_job_ends(vb->release_fence, state, cancelled);
	if (!release->fence)
		return;

	release->index = vb->index;
	release->cookie = dma_fence_begin_signalling();
	/* A driver that has started its hardware cannot return the buffer as not processed. */
	WARN_ON_ONCE(state == VB2_BUF_STATE_QUEUED);
}

void __vb2_queue_end_release(struct vb2_queue *q, const struct vb2_release *release)
{
	vb2_release_fence_end(release->fence, q, release->index);
	dma_fence_end_signalling(release->cookie);
}

void vb2_release_fence_report_armed(struct vb2_buffer *vb, u64 context, u64 seqno)
{
	trace_vb2_release_fence_armed(vb->vb2_queue, vb->index, context, seqno);
}

void vb2_release_fence_report_signalled(struct vb2_queue *q, unsigned int index, u64 context,
					u64 seqno, int result)
{
	trace_vb2_release_fence_signalled(q, index, context, seqno, result);
}

void vb2_release_fence_report_timeout(struct vb2_queue *q, unsigned int index)
{
	pr_err("videobuf2: %s: queue %s: buffer %u: the job did not end in time, its release fence is signalled with -ETIMEDOUT\n",
	       q->dev ? dev_name(q->dev) : "no device", q->name, index);
}
