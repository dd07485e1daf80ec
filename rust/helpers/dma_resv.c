// SPDX-License-Identifier: GPL-2.0

#include <linux/dma-resv.h>

#ifdef CONFIG_DMA_SHARED_BUFFER
int rust_helper_dma_resv_lock(struct dma_resv *obj, struct ww_acquire_ctx *ctx)
{
	return dma_resv_lock(obj, ctx);
}

void rust_helper_dma_resv_lock_slow(struct dma_resv *obj,
				    struct ww_acquire_ctx *ctx)
{
	dma_resv_lock_slow(obj, ctx);
}

void rust_helper_dma_resv_unlock(struct dma_resv *obj)
{
	dma_resv_unlock(obj);
}

void rust_helper_dma_resv_iter_begin(struct dma_resv_iter *cursor,
				     struct dma_resv *obj,
				     enum dma_resv_usage usage)
{
	dma_resv_iter_begin(cursor, obj, usage);
}

void rust_helper_dma_resv_iter_end(struct dma_resv_iter *cursor)
{
	dma_resv_iter_end(cursor);
}

void rust_helper_ww_acquire_init(struct ww_acquire_ctx *ctx)
{
	ww_acquire_init(ctx, &reservation_ww_class);
}

void rust_helper_ww_acquire_fini(struct ww_acquire_ctx *ctx)
{
	ww_acquire_fini(ctx);
}
#endif /* CONFIG_DMA_SHARED_BUFFER */
