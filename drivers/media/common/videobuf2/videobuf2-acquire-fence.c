// SPDX-License-Identifier: GPL-2.0-only
/*
 * Acquire fences of videobuf2: the C side of acquire_fence.rs.
 *
 * acquire_fence.rs decides; this file passes on what it has to know of buffers and queues.
 */

#include <kunit/visibility.h>
#include <linux/dma-fence.h>
#include <linux/dma-fence-unwrap.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include "videobuf2-acquire-fence-internal.h"
#include "videobuf2-release-fence-internal.h"

#define CREATE_TRACE_POINTS
#include <trace/events/vb2_acquire_fence.h>

VISIBLE_IF_KUNIT unsigned int vb2_acquire_fence_timeout_ms = 3000;
EXPORT_SYMBOL_IF_KUNIT(vb2_acquire_fence_timeout_ms);

module_param_cb(acquire_fence_timeout_ms, &vb2_fence_timeout_ops, &vb2_acquire_fence_timeout_ms,
		0644);
MODULE_PARM_DESC(acquire_fence_timeout_ms,
		 "do not wait for the readers and writers of a queued buffer after so many ms (1 to 10000, default 3000)");

/* When the timeout of a buffer that is queued now expires, in jiffies. */
unsigned long vb2_acquire_fence_expires(void)
{
	return jiffies + msecs_to_jiffies(READ_ONCE(vb2_acquire_fence_timeout_ms));
}

int vb2_queue_init_acquire_fences(struct vb2_queue *q)
{
	if (!q->supports_acquire_fences)
		return 0;

	/* QBUF would start the hardware with buffers that must wait. */
	if (WARN_ON(q->min_queued_buffers))
		return -EINVAL;

	if (q->io_modes & VB2_MMAP && !q->mem_ops->plane_resv)
		pr_warn_once("videobuf2: queue %s: no acquire fences for MMAP buffers: the allocator does not support them\n",
			     q->name);
	return 0;
}

int vb2_buffer_init_acquire_fences(struct vb2_buffer *vb)
{
	struct vb2_queue *q = vb->vb2_queue;

	if (!q->supports_acquire_fences)
		return 0;

	vb->acquire_fences = vb2_acquire_fences_new(vb, q->is_output);
	return vb->acquire_fences ? 0 : -ENOMEM;
}

void vb2_buffer_free_acquire_fences(struct vb2_buffer *vb)
{
	if (!vb->acquire_fences)
		return;

	vb2_acquire_fences_free(vb->acquire_fences);
	vb->acquire_fences = NULL;
}

bool __vb2_buffer_acquired(const struct vb2_buffer *vb)
{
	return vb2_acquire_fences_are_over(vb->acquire_fences);
}
EXPORT_SYMBOL_GPL(__vb2_buffer_acquired);

/* The buffer waits no more. Any context; the lock of a foreign fence may be held. */
void vb2_acquire_fence_notify(struct vb2_buffer *vb)
{
	struct vb2_queue *q = vb->vb2_queue;

	if (q->buffer_acquired)
		q->buffer_acquired(vb);
	else
		vb2_hand_over_buffer_acquired(q->hand_over);
}

/*
 * Of all queues whose buffers videobuf2 hands over. Memory reclaim may wait for the jobs of these
 * buffers.
 */
static struct workqueue_struct *hand_over_workqueue;

struct workqueue_struct *vb2_hand_over_workqueue(void)
{
	return hand_over_workqueue;
}

/* Before the first buffer: by then the queue's scheduler is known, if it has one. */
int vb2_queue_init_hand_over(struct vb2_queue *q)
{
	if (!q->supports_acquire_fences || q->buffer_acquired || q->hand_over)
		return 0;

	q->hand_over = vb2_hand_over_new();
	return q->hand_over ? 0 : -ENOMEM;
}

/* After the last buffer */
void vb2_queue_free_hand_over(struct vb2_queue *q)
{
	if (!q->hand_over)
		return;

	vb2_hand_over_free(q->hand_over);
	q->hand_over = NULL;
}

struct fence_names {
	char driver[32], timeline[32];
};

/*
 * Reads the names of a fence that is pending. The driver has to keep them until it signals, which
 * the lock delays, and no longer.
 */
static bool read_names(struct dma_fence *fence, struct fence_names *names)
{
	unsigned long flags;
	bool pending;

	spin_lock_irqsave(fence->lock, flags);
	pending = !test_bit(DMA_FENCE_FLAG_SIGNALED_BIT, &fence->flags);
	if (pending) {
		strscpy(names->driver, fence->ops->get_driver_name(fence));
		strscpy(names->timeline, fence->ops->get_timeline_name(fence));
	}
	spin_unlock_irqrestore(fence->lock, flags);

	return pending;
}

/* An array or a chain has no names of its own: take those of a member that is pending. */
static struct fence_names find_names(struct dma_fence *fence)
{
	struct fence_names names = { "unknown", "unknown" };
	struct dma_fence_unwrap cursor;
	struct dma_fence *member;

	dma_fence_unwrap_for_each(member, &cursor, fence) {
		if (read_names(member, &names)) {
			dma_fence_put(cursor.chain);
			break;
		}
	}
	return names;
}

/* The buffer is being queued, and is about to wait for @fence. */
void vb2_acquire_fence_report_waiting(struct vb2_buffer *vb, struct dma_fence *fence)
{
	struct fence_names names;

	if (!trace_vb2_acquire_fence_waiting_enabled())
		return;

	names = find_names(fence);
	trace_vb2_acquire_fence_waiting(vb->vb2_queue, vb->index, fence, names.driver,
					names.timeline);
}

/* The buffer does not wait for this fence any longer. Any context; its lock may be held. */
void vb2_acquire_fence_report_ended(struct vb2_buffer *vb, u64 context, u64 seqno,
				    enum vb2_acquire_outcome outcome)
{
	static const char * const names[] = {
		[VB2_ACQUIRE_SIGNALLED] = "signalled",
		[VB2_ACQUIRE_GIVEN_UP] = "given-up",
		[VB2_ACQUIRE_LET_GO] = "let-go",
	};

	trace_vb2_acquire_fence_ended(vb->vb2_queue, vb->index, context, seqno, names[outcome]);
}

/* @count fences did not end in time, of which @fence is one. */
void vb2_acquire_fence_report_given_up(struct vb2_buffer *vb, struct dma_fence *fence,
				       unsigned int count)
{
	struct fence_names names = find_names(fence);
	struct vb2_queue *q = vb->vb2_queue;

	pr_warn_ratelimited("videobuf2: %s: queue %s: buffer %u does not wait any longer for %u fences that are not signalled, one of driver %s, timeline %s\n",
			    q->dev ? dev_name(q->dev) : "no device", q->name, vb->index, count,
			    names.driver, names.timeline);
}

static int __init vb2_acquire_fence_init(void)
{
	hand_over_workqueue = alloc_workqueue("vb2_hand_over", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	return hand_over_workqueue ? 0 : -ENOMEM;
}

static void __exit vb2_acquire_fence_exit(void)
{
	destroy_workqueue(hand_over_workqueue);
}

/* Before the drivers that are built in */
subsys_initcall(vb2_acquire_fence_init);
module_exit(vb2_acquire_fence_exit);
