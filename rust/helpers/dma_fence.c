// SPDX-License-Identifier: GPL-2.0

#include <linux/dma-fence.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>

#ifdef CONFIG_DMA_SHARED_BUFFER
void rust_helper_dma_fence_get(struct dma_fence *fence)
{
	dma_fence_get(fence);
}

void rust_helper_dma_fence_put(struct dma_fence *fence)
{
	dma_fence_put(fence);
}

bool rust_helper_dma_fence_is_signaled(struct dma_fence *fence)
{
	return dma_fence_is_signaled(fence);
}

/*
 * Signal a fence, with an error or 0, unless it is signalled. Error and signal belong into one
 * critical section, so that no consumer sees one without the other.
 */
bool rust_helper_dma_fence_end(struct dma_fence *fence, int error)
{
	unsigned long flags;
	bool first;

	spin_lock_irqsave(fence->lock, flags);
	first = !test_bit(DMA_FENCE_FLAG_SIGNALED_BIT, &fence->flags);
	if (first) {
		if (error)
			dma_fence_set_error(fence, error);
		dma_fence_signal_locked(fence);
	}
	spin_unlock_irqrestore(fence->lock, flags);

	return first;
}

/*
 * Get a reference to the fence in a slot that another processor may be changing,
 * unless there is none that is pending. No reference is needed to see that.
 */
struct dma_fence *rust_helper_dma_fence_get_pending(struct dma_fence **slot)
{
	struct dma_fence __rcu **from = (struct dma_fence __rcu **)slot;
	struct dma_fence *fence;

	rcu_read_lock();
	fence = rcu_dereference(*from);
	if (fence && dma_fence_is_signaled(fence))
		fence = NULL;
	if (fence)
		fence = dma_fence_get_rcu_safe(from);
	rcu_read_unlock();

	return fence;
}

/* The same, whether it is pending or not. */
struct dma_fence *rust_helper_dma_fence_get_last(struct dma_fence **slot)
{
	struct dma_fence __rcu **from = (struct dma_fence __rcu **)slot;
	struct dma_fence *fence;

	rcu_read_lock();
	fence = dma_fence_get_rcu_safe(from);
	rcu_read_unlock();

	return fence;
}
#endif /* CONFIG_DMA_SHARED_BUFFER */
