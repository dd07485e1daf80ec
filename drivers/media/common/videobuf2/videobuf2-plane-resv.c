// SPDX-License-Identifier: GPL-2.0-only
/*
 * The reservation object of an MMAP plane, and the exports that share it.
 */

#include <linux/dma-buf.h>
#include <linux/dma-resv.h>
#include <linux/file.h>
#include <linux/fs.h>

#include "videobuf2-release-fence-internal.h"

/* The reservation object of an MMAP plane, or NULL if its memory has none. */
struct vb2_plane_resv *vb2_plane_get_resv(struct vb2_buffer *vb, unsigned int plane)
{
	const struct vb2_mem_ops *mem_ops = vb->vb2_queue->mem_ops;
	struct vb2_plane_resv *resv;

	if (!vb->release_fence || !mem_ops->plane_resv)
		return NULL;

	resv = mem_ops->plane_resv(vb->planes[plane].mem_priv);
	return resv->in_use ? resv : NULL;
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
	struct vb2_plane_resv *resv = vb2_plane_get_resv(vb, plane);
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
	struct vb2_plane_resv *resv = vb2_plane_get_resv(vb, plane);
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
