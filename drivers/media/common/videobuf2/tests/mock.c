// SPDX-License-Identifier: GPL-2.0-only
/*
 * A queue whose driver is the test, and an exporter whose dma-bufs it imports.
 */

#include <kunit/device.h>
#include <linux/dma-mapping.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/iosys-map.h>
#include <linux/slab.h>
#include <media/videobuf2-vmalloc.h>

#include "../videobuf2-release-fence-internal.h"
#include "mock.h"

/* Queue */

static int mock_queue_setup(struct vb2_queue *q, unsigned int *num_buffers,
			    unsigned int *num_planes, unsigned int sizes[],
			    struct device *alloc_devs[])
{
	struct mock_queue *mq = vb2_get_drv_priv(q);
	unsigned int plane;

	*num_planes = mq->planes;
	for (plane = 0; plane < mq->planes; ++plane)
		sizes[plane] = MOCK_PLANE_SIZE;
	return 0;
}

static void mock_buf_queue(struct vb2_buffer *vb)
{
	struct mock_queue *mq = vb2_get_drv_priv(vb->vb2_queue);

	atomic_inc(&mq->given);
	if (mq->on_queue)
		mq->on_queue(vb);
}

static void mock_return_all(struct mock_queue *mq, enum vb2_buffer_state state)
{
	unsigned int i;

	for (i = 0; i < mq->q.max_num_buffers; ++i) {
		struct vb2_buffer *vb = vb2_get_buffer(&mq->q, i);

		if (vb && vb->state == VB2_BUF_STATE_ACTIVE)
			vb2_buffer_done(vb, state);
	}
}

static int mock_start_streaming(struct vb2_queue *q, unsigned int count)
{
	struct mock_queue *mq = vb2_get_drv_priv(q);
	unsigned int i;

	for (i = 0; mq->attach_on_start && i < q->max_num_buffers; ++i) {
		struct vb2_buffer *vb = vb2_get_buffer(q, i);

		if (vb && vb->state == VB2_BUF_STATE_ACTIVE)
			KUNIT_EXPECT_EQ(mq->test, 0, mock_attach_job(vb, NULL));
	}
	if (mq->on_start)
		mq->on_start(mq);
	if (mq->start_error)
		mock_return_all(mq, VB2_BUF_STATE_QUEUED);
	return mq->start_error;
}

static void mock_stop_streaming(struct vb2_queue *q)
{
	struct mock_queue *mq = vb2_get_drv_priv(q);

	if (mq->before_stop)
		mq->before_stop(mq);
	if (mq->stop_state != VB2_BUF_STATE_ACTIVE)
		mock_return_all(mq, mq->stop_state);
}

static const struct vb2_ops mock_ops = {
	.queue_setup = mock_queue_setup,
	.buf_queue = mock_buf_queue,
	.start_streaming = mock_start_streaming,
	.stop_streaming = mock_stop_streaming,
};

static int mock_fill_vb2_buffer(struct vb2_buffer *vb, struct vb2_plane *planes)
{
	struct mock_buffer *buf = container_of(vb, struct mock_buffer, vb);
	unsigned int plane;

	for (plane = 0; plane < vb->num_planes; ++plane) {
		if (vb->memory == VB2_MEMORY_DMABUF) {
			planes[plane].m.fd = buf->fd[plane];
			planes[plane].length = MOCK_PLANE_SIZE;
		} else if (vb->memory == VB2_MEMORY_USERPTR) {
			planes[plane].m.userptr = buf->userptr;
			planes[plane].length = MOCK_PLANE_SIZE;
		}
	}
	return 0;
}

static const struct vb2_buf_ops mock_buf_ops = {
	.fill_vb2_buffer = mock_fill_vb2_buffer,
};

static void mock_buffer_acquired(struct vb2_buffer *vb)
{
	struct mock_queue *mq = vb2_get_drv_priv(vb->vb2_queue);

	atomic_inc(&mq->acquired);
}

KUNIT_DEFINE_ACTION_WRAPPER(mock_queue_release, vb2_core_queue_release, struct vb2_queue *);

struct mock_queue *mock_open(struct kunit *test, const struct mock_config *config)
{
	struct mock_queue *mq = kunit_kzalloc(test, sizeof(*mq), GFP_KERNEL);
	struct vb2_queue *q;

	KUNIT_ASSERT_NOT_NULL(test, mq);
	mq->test = test;
	mq->planes = config->planes ?: 1;
	mq->stop_state = VB2_BUF_STATE_ERROR;

	q = &mq->q;
	q->type = config->output ? V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE :
				   V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
	q->is_output = config->output;
	q->io_modes = VB2_MMAP | VB2_USERPTR | VB2_DMABUF;
	q->ops = &mock_ops;
	q->mem_ops = config->mem_ops ?: &vb2_vmalloc_memops;
	q->buf_ops = &mock_buf_ops;
	q->buf_struct_size = sizeof(struct mock_buffer);
	q->drv_priv = mq;
	q->dev = config->dev;
	if (config->name)
		strscpy(q->name, config->name, sizeof(q->name));
	if (!config->opted_out)
		vb2_queue_use_release_fences(q);
	if (config->acquires || config->hands_over)
		vb2_queue_use_acquire_fences(q);
	q->out_fences_at_qbuf = config->out_fences;
	if (!config->hands_over)
		q->buffer_acquired = mock_buffer_acquired;

	KUNIT_ASSERT_EQ(test, 0, vb2_core_queue_init(q));
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, mock_queue_release, q));
	mock_reqbufs(mq, config->memory ?: VB2_MEMORY_MMAP, config->buffers ?: 1);
	return mq;
}

/* What closing the video node does. */
void mock_release(struct mock_queue *mq)
{
	kunit_release_action(mq->test, mock_queue_release, &mq->q);
}

void mock_reqbufs(struct mock_queue *mq, enum vb2_memory memory, unsigned int count)
{
	unsigned int got = count;

	KUNIT_ASSERT_EQ(mq->test, 0, vb2_core_reqbufs(&mq->q, memory, 0, &got));
	KUNIT_ASSERT_EQ(mq->test, count, got);
}

struct vb2_buffer *mock_vb(struct mock_queue *mq, unsigned int index)
{
	struct vb2_buffer *vb = vb2_get_buffer(&mq->q, index);

	KUNIT_ASSERT_NOT_NULL(mq->test, vb);
	return vb;
}

struct mock_buffer *mock_buffer(struct mock_queue *mq, unsigned int index)
{
	return container_of(mock_vb(mq, index), struct mock_buffer, vb);
}

/* Takes no reference that outlives it: the descriptors are closed again. */
int mock_try_qbuf(struct mock_queue *mq, unsigned int index)
{
	struct mock_buffer *buf = mock_buffer(mq, index);
	unsigned int plane;
	int ret;

	for (plane = 0; plane < VB2_MAX_PLANES; ++plane) {
		if (!buf->import[plane])
			continue;
		get_dma_buf(buf->import[plane]);
		buf->fd[plane] = dma_buf_fd(buf->import[plane], O_CLOEXEC);
		KUNIT_ASSERT_GE(mq->test, buf->fd[plane], 0);
	}

	ret = vb2_core_qbuf(&mq->q, &buf->vb, NULL, NULL);

	for (plane = 0; plane < VB2_MAX_PLANES; ++plane) {
		if (buf->import[plane])
			close_fd(buf->fd[plane]);
	}
	return ret;
}

void mock_qbuf(struct mock_queue *mq, unsigned int index)
{
	KUNIT_ASSERT_EQ(mq->test, 0, mock_try_qbuf(mq, index));
}

/* Queues all buffers that are not, and starts. */
void mock_run(struct mock_queue *mq)
{
	unsigned int i;

	for (i = 0; i < vb2_get_num_buffers(&mq->q); ++i) {
		if (mock_vb(mq, i)->state == VB2_BUF_STATE_DEQUEUED)
			mock_qbuf(mq, i);
	}
	KUNIT_ASSERT_EQ(mq->test, 0, vb2_core_streamon(&mq->q, mq->q.type));
}

struct mock_queue *mock_start(struct kunit *test, const struct mock_config *config)
{
	struct mock_queue *mq = mock_open(test, config);

	mock_run(mq);
	return mq;
}

void mock_streamoff(struct mock_queue *mq)
{
	KUNIT_ASSERT_EQ(mq->test, 0, vb2_core_streamoff(&mq->q, mq->q.type));
}

int mock_attach_job(struct vb2_buffer *dst, struct vb2_buffer *src)
{
	bool cookie;
	int ret = vb2_job_attach_release_fences(dst, src, &cookie);

	vb2_release_fence_end_signalling(cookie);
	return ret;
}

int mock_attach(struct mock_queue *mq, unsigned int index)
{
	return mock_attach_job(mock_vb(mq, index), NULL);
}

void mock_done(struct mock_queue *mq, unsigned int index, enum vb2_buffer_state state)
{
	vb2_buffer_done(mock_vb(mq, index), state);
}

unsigned int mock_dqbuf(struct mock_queue *mq)
{
	unsigned int index;

	KUNIT_ASSERT_EQ(mq->test, 0, vb2_core_dqbuf(&mq->q, &index, NULL, true));
	return index;
}

/* Exports */

void mock_put_dmabuf(struct dma_buf *dbuf)
{
	__fput_sync(dbuf->file);
}

KUNIT_DEFINE_ACTION_WRAPPER(mock_close_dmabuf, mock_put_dmabuf, struct dma_buf *);

/* The descriptor's reference goes to the caller. */
struct dma_buf *mock_expbuf(struct vb2_buffer *vb, unsigned int plane, unsigned int mode)
{
	struct vb2_queue *q = vb->vb2_queue;
	struct dma_buf *dbuf;
	int fd;

	if (vb2_core_expbuf(q, &fd, q->type, vb, plane, mode | O_CLOEXEC))
		return NULL;
	dbuf = dma_buf_get(fd);
	close_fd(fd);
	return IS_ERR(dbuf) ? NULL : dbuf;
}

struct dma_buf *mock_export_vb(struct kunit *test, struct vb2_buffer *vb, unsigned int plane,
			       unsigned int mode)
{
	struct dma_buf *dbuf = mock_expbuf(vb, plane, mode);

	KUNIT_ASSERT_NOT_NULL(test, dbuf);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, mock_close_dmabuf, dbuf));
	return dbuf;
}

struct dma_buf *mock_export_mode(struct mock_queue *mq, unsigned int index, unsigned int plane,
				 unsigned int mode)
{
	return mock_export_vb(mq->test, mock_vb(mq, index), plane, mode);
}

struct dma_buf *mock_export(struct mock_queue *mq, unsigned int index, unsigned int plane)
{
	return mock_export_mode(mq, index, plane, O_RDONLY);
}

void mock_close(struct kunit *test, struct dma_buf *dbuf)
{
	kunit_release_action(test, mock_close_dmabuf, dbuf);
}

/* Exporter */

static struct sg_table *mock_map(struct dma_buf_attachment *attachment,
				 enum dma_data_direction dir)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static void mock_unmap(struct dma_buf_attachment *attachment, struct sg_table *sgt,
		       enum dma_data_direction dir)
{
}

static int mock_vmap(struct dma_buf *dbuf, struct iosys_map *map)
{
	iosys_map_set_vaddr(map, dbuf->priv);
	return 0;
}

static void mock_free(struct dma_buf *dbuf)
{
	kfree(dbuf->priv);
}

static const struct dma_buf_ops mock_dmabuf_ops = {
	.map_dma_buf = mock_map,
	.unmap_dma_buf = mock_unmap,
	.vmap = mock_vmap,
	.release = mock_free,
};

struct dma_buf *mock_dmabuf(struct kunit *test, struct dma_resv *resv)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct dma_buf *dbuf;

	info.ops = &mock_dmabuf_ops;
	info.size = MOCK_PLANE_SIZE;
	info.flags = O_RDWR;
	info.resv = resv;
	info.priv = kzalloc(MOCK_PLANE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, info.priv);

	dbuf = dma_buf_export(&info);
	if (IS_ERR(dbuf))
		kfree(info.priv);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dbuf);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, mock_close_dmabuf, dbuf));
	return dbuf;
}

KUNIT_DEFINE_ACTION_WRAPPER(mock_resv_fini, dma_resv_fini, struct dma_resv *);

struct dma_resv *mock_resv(struct kunit *test)
{
	struct dma_resv *resv = kunit_kzalloc(test, sizeof(*resv), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, resv);
	dma_resv_init(resv);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, mock_resv_fini, resv));
	return resv;
}

struct mock_fence {
	struct dma_fence base;
	/* What the dma-fence core asks its users for. */
	spinlock_t lock;
};

static const char *mock_fence_name(struct dma_fence *fence)
{
	return "mock";
}

const struct dma_fence_ops mock_fence_ops = {
	.get_driver_name = mock_fence_name,
	.get_timeline_name = mock_fence_name,
};

static void mock_end_fence(void *fence)
{
	dma_fence_signal(fence);
	dma_fence_put(fence);
}

struct dma_fence *mock_fence_of(struct kunit *test, const struct dma_fence_ops *ops)
{
	struct mock_fence *fence = kzalloc(sizeof(*fence), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, fence);
	spin_lock_init(&fence->lock);
	dma_fence_init(&fence->base, ops, &fence->lock, dma_fence_context_alloc(1), 1);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, mock_end_fence, &fence->base));
	return &fence->base;
}

struct dma_fence *mock_fence(struct kunit *test)
{
	return mock_fence_of(test, &mock_fence_ops);
}

void mock_fence_end(struct kunit *test, struct dma_fence *fence)
{
	kunit_release_action(test, mock_end_fence, fence);
}

void mock_add_fence(struct kunit *test, struct dma_resv *resv, struct dma_fence *fence,
		    enum dma_resv_usage usage)
{
	int ret;

	dma_resv_lock(resv, NULL);
	ret = dma_resv_reserve_fences(resv, 1);
	if (!ret)
		dma_resv_add_fence(resv, fence, usage);
	dma_resv_unlock(resv);
	KUNIT_ASSERT_EQ(test, 0, ret);
}

struct device *mock_device(struct kunit *test)
{
	struct device *dev = kunit_device_register(test, "vb2-mock");

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dev);
	KUNIT_ASSERT_EQ(test, 0, dma_coerce_mask_and_coherent(dev, DMA_BIT_MASK(32)));
	return dev;
}

/* Consumers */

KUNIT_DEFINE_ACTION_WRAPPER(mock_put_fence, dma_fence_put, struct dma_fence *);

struct dma_fence *mock_seen(struct kunit *test, struct dma_buf *dbuf)
{
	struct dma_fence *fence;

	KUNIT_ASSERT_EQ(test, 0,
			dma_resv_get_singleton(dbuf->resv, dma_resv_usage_rw(true), &fence));
	KUNIT_ASSERT_NOT_NULL(test, fence);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, mock_put_fence, fence));
	return fence;
}

unsigned int mock_count(struct kunit *test, struct dma_buf *dbuf)
{
	struct dma_fence **fences;
	unsigned int i, count;

	KUNIT_ASSERT_EQ(test, 0, dma_resv_get_fences(dbuf->resv, DMA_RESV_USAGE_BOOKKEEP, &count,
						     &fences));
	for (i = 0; i < count; ++i)
		dma_fence_put(fences[i]);
	kfree(fences);
	return count;
}

static void mock_restore_timeout(void *ms)
{
	WRITE_ONCE(vb2_release_fence_timeout_ms, (unsigned long)ms);
}

void mock_set_timeout(struct kunit *test, unsigned int ms)
{
	unsigned long before = READ_ONCE(vb2_release_fence_timeout_ms);

	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, mock_restore_timeout, (void *)before));
	WRITE_ONCE(vb2_release_fence_timeout_ms, ms);
}

MODULE_DESCRIPTION("KUnit tests for release fences of videobuf2");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS(DMA_BUF);
MODULE_IMPORT_NS(EXPORTED_FOR_KUNIT_TESTING);
