// SPDX-License-Identifier: GPL-2.0-only
/*
 * Release fences that programs hear of and ask for: the C side of explicit_fence.rs.
 */

#include <linux/dma-fence.h>
#include <linux/err.h>
#include <linux/spinlock.h>

#include "videobuf2-release-fence-internal.h"

struct dma_fence *vb2_core_expfence(struct vb2_queue *q, unsigned int type, struct vb2_buffer *vb)
{
	enum vb2_buffer_state state;
	unsigned long flags;

	if (type != q->type || !vb->release_fence)
		return ERR_PTR(-EINVAL);

	if (vb2_fileio_is_active(q))
		return ERR_PTR(-EBUSY);

	/* With the state comes what vb2_buffer_done() has done before it changed that. */
	spin_lock_irqsave(&q->done_lock, flags);
	state = READ_ONCE(vb->state);
	spin_unlock_irqrestore(&q->done_lock, flags);

	return vb2_release_fence_of_turn(vb->release_fence, state);
}
EXPORT_SYMBOL_GPL(vb2_core_expfence);

void vb2_release_fence_report_started(struct vb2_buffer *vb, u32 sequence)
{
	void (*job_started)(struct vb2_buffer *vb, u32 sequence);

	/* Pairs with vb2_event_subscribe_release_fence(), which a program may be calling now. */
	job_started = smp_load_acquire(&vb->vb2_queue->job_started);
	if (job_started)
		job_started(vb, sequence);
}
