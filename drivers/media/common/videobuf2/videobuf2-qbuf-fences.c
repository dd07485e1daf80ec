// SPDX-License-Identifier: GPL-2.0-only
/*
 * The fences of VIDIOC_QBUF: from the program's descriptors to what acquire_fence.rs and
 * explicit_fence.rs are given, and back.
 */

#include <linux/err.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/sync_file.h>
#include <media/videobuf2-v4l2.h>

#include "videobuf2-acquire-fence-internal.h"
#include "videobuf2-qbuf-fences.h"

/* Everything that can fail comes first: the file, and its descriptor. */
static int get_out_fence(struct vb2_buffer *vb, struct vb2_qbuf_fences *fences)
{
	struct dma_fence *fence = vb2_release_fence_new_out(vb->release_fence);

	if (IS_ERR(fence))
		return PTR_ERR(fence);

	fences->file = sync_file_create(fence);
	fences->fd = fences->file ? get_unused_fd_flags(O_CLOEXEC) : -ENOMEM;
	if (fences->fd < 0) {
		if (fences->file)
			fput(fences->file->file);
		dma_fence_put(fence);
		return fences->fd;
	}

	fences->out = fence;
	return 0;
}

/*
 * Takes the two flags out of @b, and gets what they stand for. Nothing is known of the rest of @b:
 * what is wrong with that is said afterwards. Without @gives_out the caller cannot pass on the
 * descriptor of an out-fence.
 */
int vb2_qbuf_get_fences(struct vb2_queue *q, struct v4l2_buffer *b, bool gives_out,
			struct vb2_qbuf_fences *fences)
{
	struct vb2_buffer *vb = vb2_get_buffer(q, b->index);
	const u32 flags = b->flags;
	int ret = 0;

	*fences = (struct vb2_qbuf_fences){ };
	b->flags &= ~(V4L2_BUF_FLAG_IN_FENCE | V4L2_BUF_FLAG_OUT_FENCE);
	if (!vb || b->type != q->type)
		return 0;

	/* The end of a job is certain when the request is queued and the queue streams. */
	if (flags & V4L2_BUF_FLAG_OUT_FENCE) {
		if (!q->out_fences_at_qbuf || !gives_out || flags & V4L2_BUF_FLAG_REQUEST_FD)
			return -EINVAL;
		if (!q->start_streaming_called)
			return -EAGAIN;
	}
	if (flags & V4L2_BUF_FLAG_IN_FENCE) {
		/* videobuf2 would have to complete the request where it must not wait. */
		if (flags & V4L2_BUF_FLAG_REQUEST_FD && !q->buffer_acquired)
			return -EINVAL;
		fences->in = sync_file_get_fence(b->fence_fd);
		if (!fences->in)
			return -EINVAL;
		/* If it fails, no driver tells the fields of a picture that is not there. */
		if (!q->is_output && vb->state == VB2_BUF_STATE_DEQUEUED)
			to_vb2_v4l2_buffer(vb)->field = V4L2_FIELD_NONE;
	}
	if (flags & V4L2_BUF_FLAG_OUT_FENCE)
		ret = get_out_fence(vb, fences);
	if (ret)
		dma_fence_put(fences->in);
	return ret;
}
EXPORT_SYMBOL_GPL(vb2_qbuf_get_fences);

/* Ends a QBUF that has had @ret: tells the program in @b, or takes everything back. */
void vb2_qbuf_put_fences(struct v4l2_buffer *b, struct vb2_qbuf_fences *fences, int ret,
			 struct file **out_file)
{
	if (!ret)
		b->fence_fd = fences->in ? -1 : 0;
	if (fences->out && !ret) {
		b->fence_fd = fences->fd;
		*out_file = fences->file->file;
	} else if (fences->out) {
		put_unused_fd(fences->fd);
		fput(fences->file->file);
	}
	dma_fence_put(fences->out);
	dma_fence_put(fences->in);
}
EXPORT_SYMBOL_GPL(vb2_qbuf_put_fences);

static int publish_at_qbuf(struct vb2_buffer *vb, struct dma_fence *out_fence, bool *cookie)
{
	int ret = vb2_release_fence_publish_out(vb->release_fence, out_fence);

	if (!ret)
		*cookie = dma_fence_begin_signalling();
	/* To queue that of a request cannot fail: its job has no fence then. */
	return vb->state == VB2_BUF_STATE_IN_REQUEST ? 0 : ret;
}

void __vb2_buffer_take_back_qbuf(struct vb2_buffer *vb)
{
	vb2_buffer_let_go_acquire_fences(vb);
	vb2_buffer_take_back_turn(vb);
}

int __vb2_buffer_begin_qbuf(struct vb2_buffer *vb, struct dma_fence *in_fence,
			    struct dma_fence *out_fence, bool *cookie)
{
	struct vb2_queue *q = vb->vb2_queue;
	int ret;

	ret = vb2_buffer_queue_acquire_fences(vb, in_fence);
	if (ret)
		return ret;

	vb2_buffer_begin_turn(vb, out_fence);
	if (q->out_fences_at_qbuf && q->start_streaming_called) {
		/* After the snapshot: the buffer waits for older fences only. */
		ret = publish_at_qbuf(vb, out_fence, cookie);
		if (ret) {
			__vb2_buffer_take_back_qbuf(vb);
			return ret;
		}
	}
	vb2_buffer_drop_in_fence(vb);
	return 0;
}

/* The buffer is cancelled, and the driver never had it. */
void vb2_buffer_end_kept(struct vb2_buffer *vb)
{
	vb2_buffer_end_release_fence(vb);
}

/*
 * One after the other: when the memory for a fence is allocated, those before it wait for the
 * driver only. A buffer for whose fence there is no memory has none, as in any other job.
 */
void __vb2_queue_hand_over_at_streamon(struct vb2_queue *q)
{
	struct vb2_buffer *vb;
	bool cookie;

	list_for_each_entry(vb, &q->queued_list, queued_entry) {
		cookie = true;
		publish_at_qbuf(vb, NULL, &cookie);
		vb2_buffer_hand_over_in_turn(q, vb);
		dma_fence_end_signalling(cookie);
	}
}

bool __vb2_buffer_in_fence_failed(const struct vb2_buffer *vb)
{
	return vb2_acquire_fences_have_failed(vb->acquire_fences);
}
EXPORT_SYMBOL_GPL(__vb2_buffer_in_fence_failed);
