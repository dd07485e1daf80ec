// SPDX-License-Identifier: GPL-2.0-only
/*
 * The reservation objects of an MMAP plane's exports.
 *
 * Each export has an object of its own, as without release fences: drivers that lock the objects of
 * a job with drm_gem_lock_reservations() refuse one object in two dma-bufs. A job arms all that are
 * in use, so that its fence is seen through every export, earlier or later. A fence that an
 * importer adds is seen through the export that it used.
 */

#include <linux/dma-buf.h>
#include <linux/dma-resv.h>
#include <linux/slab.h>

#include "videobuf2-release-fence-internal.h"

/*
 * @objs:	the first @count are in use: jobs arm them, exported or not
 * @users:	how many exports use each one
 * @count:	from 1 up; changed with the first object locked
 * @rcu:	importers may still look at an object under RCU when its export is gone
 */
struct vb2_plane_objs {
	struct dma_resv objs[VB2_PLANE_RESVS];
	atomic_t users[VB2_PLANE_RESVS];
	unsigned int count;
	struct rcu_head rcu;
};

int vb2_plane_resv_init(struct vb2_plane_resv *resv, struct vb2_buffer *vb)
{
	unsigned int i;

	if (!vb->vb2_queue->supports_release_fences && !vb->vb2_queue->supports_acquire_fences)
		return 0;

	resv->plane = kzalloc(sizeof(*resv->plane), GFP_KERNEL);
	if (!resv->plane)
		return -ENOMEM;

	for (i = 0; i < VB2_PLANE_RESVS; ++i)
		dma_resv_init(&resv->plane->objs[i]);
	resv->plane->count = 1;

	return 0;
}
EXPORT_SYMBOL_GPL(vb2_plane_resv_init);

void vb2_plane_resv_fini(struct vb2_plane_resv *resv)
{
	unsigned int i;

	if (!resv->plane)
		return;

	for (i = 0; i < VB2_PLANE_RESVS; ++i)
		dma_resv_fini(&resv->plane->objs[i]);
	kfree_rcu(resv->plane, rcu);
}
EXPORT_SYMBOL_GPL(vb2_plane_resv_fini);

/* Brings object @n into use, as a copy of the first one: that has the fence of a job that runs. */
static int use_one_more(struct vb2_plane_objs *plane, unsigned int n)
{
	int ret = 0;

	dma_resv_lock(&plane->objs[0], NULL);
	/* Unless another export was faster */
	if (plane->count == n && WARN_ON_ONCE(!dma_resv_trylock(&plane->objs[n]))) {
		ret = -EBUSY;
	} else if (plane->count == n) {
		ret = dma_resv_copy_fences(&plane->objs[n], &plane->objs[0]);
		dma_resv_unlock(&plane->objs[n]);
		if (!ret)
			WRITE_ONCE(plane->count, n + 1);
	}
	dma_resv_unlock(&plane->objs[0]);

	return ret;
}

int vb2_plane_resv_export(struct vb2_plane_resv *resv, struct dma_buf_export_info *exp_info)
{
	struct vb2_plane_objs *plane = resv->plane;
	unsigned int i, n, least = 0;
	int ret;

	if (!plane)
		return 0;

	for (;;) {
		n = READ_ONCE(plane->count);
		for (i = 0; i < n; ++i) {
			/* What importers have left in it concerns the same memory. */
			if (!atomic_cmpxchg(&plane->users[i], 0, 1)) {
				exp_info->resv = &plane->objs[i];
				return 0;
			}
		}
		if (n == VB2_PLANE_RESVS)
			break;

		ret = use_one_more(plane, n);
		if (ret)
			return ret;
	}

	/* More exports than objects */
	for (i = 1; i < n; ++i) {
		if (atomic_read(&plane->users[i]) < atomic_read(&plane->users[least]))
			least = i;
	}
	atomic_inc(&plane->users[least]);
	exp_info->resv = &plane->objs[least];

	return 0;
}
EXPORT_SYMBOL_GPL(vb2_plane_resv_export);

void vb2_plane_resv_unexport(struct vb2_plane_resv *resv, struct dma_resv *obj)
{
	if (resv->plane)
		atomic_dec(&resv->plane->users[obj - resv->plane->objs]);
}
EXPORT_SYMBOL_GPL(vb2_plane_resv_unexport);

/* Collects the reservation objects of an active buffer, unless @objs is NULL. Returns how many. */
unsigned int vb2_release_fence_collect(struct vb2_buffer *vb, struct dma_resv **objs)
{
	const struct vb2_mem_ops *mem_ops = vb->vb2_queue->mem_ops;
	unsigned int plane_no, i, n, count = 0;
	struct vb2_plane_objs *plane;

	if (vb->memory == VB2_MEMORY_DMABUF) {
		for (plane_no = 0; objs && plane_no < vb->num_planes; ++plane_no)
			objs[plane_no] = vb->planes[plane_no].dbuf->resv;
		return vb->num_planes;
	}
	if (vb->memory != VB2_MEMORY_MMAP || !mem_ops->plane_resv)
		return 0;

	for (plane_no = 0; plane_no < vb->num_planes; ++plane_no) {
		plane = mem_ops->plane_resv(vb->planes[plane_no].mem_priv)->plane;
		n = plane ? READ_ONCE(plane->count) : 0;
		for (i = 0; objs && i < n; ++i)
			objs[count + i] = &plane->objs[i];
		count += n;
	}

	return count;
}
