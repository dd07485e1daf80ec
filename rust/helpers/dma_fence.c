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

/* Get a reference to the fence in a slot that another processor may be changing. */
struct dma_fence *rust_helper_dma_fence_get_from(struct dma_fence **slot)
{
	struct dma_fence *fence;

	rcu_read_lock();
	fence = dma_fence_get_rcu_safe((struct dma_fence __rcu **)slot);
	rcu_read_unlock();

	return fence;
}

/* Functions with lockdep, inline stubs without it. */
bool rust_helper_dma_fence_begin_signalling(void)
{
	return dma_fence_begin_signalling();
}

void rust_helper_dma_fence_end_signalling(bool cookie)
{
	dma_fence_end_signalling(cookie);
}
#endif /* CONFIG_DMA_SHARED_BUFFER */
