// SPDX-License-Identifier: GPL-2.0

#include <linux/dma-fence.h>
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

void rust_helper_dma_fence_set_error(struct dma_fence *fence, int error)
{
	dma_fence_set_error(fence, error);
}

/* Sparse cannot know that the two helpers below are always used as a pair. */
unsigned long rust_helper_dma_fence_lock(struct dma_fence *fence)
	__acquires(fence->lock)
{
	unsigned long flags;

	spin_lock_irqsave(fence->lock, flags);
	return flags;
}

void rust_helper_dma_fence_unlock(struct dma_fence *fence, unsigned long flags)
	__releases(fence->lock)
{
	spin_unlock_irqrestore(fence->lock, flags);
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
