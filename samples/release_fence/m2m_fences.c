// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sample: the smallest mem2mem driver with release fences and acquire fences.
 *
 * What it does for them is marked "Fences:". The rest is what any mem2mem driver has. The
 * "hardware" is a work item, which copies the OUTPUT picture to the CAPTURE picture.
 *
 * Such a queue gives no out-fence with VIDIOC_QBUF: when its job starts depends on what user space
 * queues on the other side. A program hears by V4L2_EVENT_RELEASE_FENCE that a job has started, and
 * gets the fence by VIDIOC_EXPFENCE.
 */

#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/workqueue.h>
#include <media/v4l2-common.h>
#include <media/v4l2-ctrls.h>
#include <media/v4l2-device.h>
#include <media/v4l2-event.h>
#include <media/v4l2-ioctl.h>
#include <media/v4l2-mem2mem.h>
#include <media/videobuf2-v4l2.h>
#include <media/videobuf2-vmalloc.h>

#define NAME "m2m-fences"

struct copy_device {
	struct v4l2_device v4l2_dev;
	struct video_device vdev;
	struct v4l2_m2m_dev *m2m_dev;
	/* Of the node's calls and of all queues; not on the path of a job */
	struct mutex lock;
	struct workqueue_struct *engine;
};

/* An open file */
struct copy_context {
	struct v4l2_fh fh;
	struct copy_device *dev;
	/* Of both queues: what is copied stays what it is. */
	struct v4l2_pix_format format;
	/* Of OUTPUT, of CAPTURE */
	u32 sequence[2];
	struct work_struct job;
};

static struct copy_context *context_of(struct file *file)
{
	return container_of(file->private_data, struct copy_context, fh);
}

/* The job */

static void copy_device_run(void *priv)
{
	struct copy_context *ctx = priv;

	/*
	 * Fences: the last step before the hardware starts. What can fail, sleep or allocate memory
	 * comes before it, such as the controls of a request. If it fails, the job has no fence.
	 */
	v4l2_m2m_attach_release_fence(ctx->fh.m2m_ctx);
	queue_work(ctx->dev->engine, &ctx->job);
}

static void copy_job(struct work_struct *work)
{
	struct copy_context *ctx = container_of(work, struct copy_context, job);
	struct vb2_v4l2_buffer *src = v4l2_m2m_next_src_buf(ctx->fh.m2m_ctx);
	struct vb2_v4l2_buffer *dst = v4l2_m2m_next_dst_buf(ctx->fh.m2m_ctx);
	bool signalling;

	/*
	 * Fences: consumers wait for this. In the section lockdep sees if it allocates memory, or
	 * takes a lock that is held over that. (An interrupt handler needs no section.)
	 */
	signalling = vb2_release_fence_begin_signalling();
	memcpy(vb2_plane_vaddr(&dst->vb2_buf, 0), vb2_plane_vaddr(&src->vb2_buf, 0),
	       ctx->format.sizeimage);
	v4l2_m2m_buf_copy_metadata(src, dst, true);
	src->sequence = ctx->sequence[0]++;
	dst->sequence = ctx->sequence[1]++;
	/* Afterwards the file may be closed, and the context gone. */
	v4l2_m2m_buf_done_and_job_finish(ctx->dev->m2m_dev, ctx->fh.m2m_ctx, VB2_BUF_STATE_DONE);
	vb2_release_fence_end_signalling(signalling);
}

static const struct v4l2_m2m_ops copy_m2m_ops = {
	.device_run = copy_device_run,
};

/* The queues */

static int copy_queue_setup(struct vb2_queue *q, unsigned int *count, unsigned int *planes,
			    unsigned int sizes[], struct device *alloc_devs[])
{
	struct copy_context *ctx = vb2_get_drv_priv(q);

	if (*planes)
		return sizes[0] < ctx->format.sizeimage ? -EINVAL : 0;
	*planes = 1;
	sizes[0] = ctx->format.sizeimage;
	return 0;
}

static int copy_buf_out_validate(struct vb2_buffer *vb)
{
	to_vb2_v4l2_buffer(vb)->field = V4L2_FIELD_NONE;
	return 0;
}

static int copy_buf_prepare(struct vb2_buffer *vb)
{
	struct copy_context *ctx = vb2_get_drv_priv(vb->vb2_queue);

	if (vb2_plane_size(vb, 0) < ctx->format.sizeimage)
		return -EINVAL;
	vb2_set_plane_payload(vb, 0, ctx->format.sizeimage);
	return 0;
}

static void copy_buf_queue(struct vb2_buffer *vb)
{
	struct copy_context *ctx = vb2_get_drv_priv(vb->vb2_queue);

	v4l2_m2m_buf_queue(ctx->fh.m2m_ctx, to_vb2_v4l2_buffer(vb));
}

static int copy_start_streaming(struct vb2_queue *q, unsigned int count)
{
	struct copy_context *ctx = vb2_get_drv_priv(q);

	ctx->sequence[V4L2_TYPE_IS_CAPTURE(q->type)] = 0;
	return 0;
}

/* The framework has waited for the job that was running. */
static void copy_stop_streaming(struct vb2_queue *q)
{
	struct copy_context *ctx = vb2_get_drv_priv(q);
	struct vb2_v4l2_buffer *buf;

	while ((buf = V4L2_TYPE_IS_OUTPUT(q->type) ? v4l2_m2m_src_buf_remove(ctx->fh.m2m_ctx) :
						     v4l2_m2m_dst_buf_remove(ctx->fh.m2m_ctx)))
		v4l2_m2m_buf_done(buf, VB2_BUF_STATE_ERROR);
}

static const struct vb2_ops copy_queue_ops = {
	.queue_setup = copy_queue_setup,
	.buf_out_validate = copy_buf_out_validate,
	.buf_prepare = copy_buf_prepare,
	.buf_queue = copy_buf_queue,
	.start_streaming = copy_start_streaming,
	.stop_streaming = copy_stop_streaming,
	.wait_prepare = vb2_ops_wait_prepare,
	.wait_finish = vb2_ops_wait_finish,
};

static int copy_queue_init(struct copy_context *ctx, struct vb2_queue *q, enum v4l2_buf_type type)
{
	q->type = type;
	q->io_modes = VB2_MMAP | VB2_DMABUF;
	q->dev = ctx->dev->v4l2_dev.dev;
	q->drv_priv = ctx;
	q->buf_struct_size = sizeof(struct v4l2_m2m_buffer);
	q->ops = &copy_queue_ops;
	q->mem_ops = &vb2_vmalloc_memops;
	q->timestamp_flags = V4L2_BUF_FLAG_TIMESTAMP_COPY;
	q->lock = &ctx->dev->lock;
	/*
	 * Fences: a job takes the first buffer of each queue and returns both. So all there is to
	 * say is that consumers wait for the job (release), and the job for others (acquire).
	 */
	vb2_queue_use_release_fences(q);
	vb2_queue_use_acquire_fences(q);
	return vb2_queue_init(q);
}

static int copy_queues_init(void *priv, struct vb2_queue *src, struct vb2_queue *dst)
{
	struct copy_context *ctx = priv;

	return copy_queue_init(ctx, src, V4L2_BUF_TYPE_VIDEO_OUTPUT) ?:
	       copy_queue_init(ctx, dst, V4L2_BUF_TYPE_VIDEO_CAPTURE);
}

/* The node */

static void copy_fill_format(struct v4l2_pix_format *pix)
{
	v4l_bound_align_image(&pix->width, 16, 1920, 0, &pix->height, 16, 1080, 0, 0);
	pix->pixelformat = V4L2_PIX_FMT_XBGR32;
	pix->field = V4L2_FIELD_NONE;
	pix->bytesperline = pix->width * sizeof(u32);
	pix->sizeimage = pix->bytesperline * pix->height;
	pix->flags = 0;
	if (pix->colorspace == V4L2_COLORSPACE_DEFAULT)
		pix->colorspace = V4L2_COLORSPACE_SRGB;
}

static int copy_querycap(struct file *file, void *priv, struct v4l2_capability *capability)
{
	strscpy(capability->driver, NAME);
	strscpy(capability->card, "Sample with fences");
	return 0;
}

static int copy_enum_fmt(struct file *file, void *priv, struct v4l2_fmtdesc *desc)
{
	if (desc->index)
		return -EINVAL;
	desc->pixelformat = V4L2_PIX_FMT_XBGR32;
	return 0;
}

/* Of both queues. CAPTURE has the format of OUTPUT, whatever is asked for. */
static int copy_g_fmt(struct file *file, void *priv, struct v4l2_format *format)
{
	format->fmt.pix = context_of(file)->format;
	return 0;
}

static int copy_try_fmt_out(struct file *file, void *priv, struct v4l2_format *format)
{
	copy_fill_format(&format->fmt.pix);
	return 0;
}

static int copy_s_fmt_out(struct file *file, void *priv, struct v4l2_format *format)
{
	struct copy_context *ctx = context_of(file);

	if (vb2_is_busy(v4l2_m2m_get_src_vq(ctx->fh.m2m_ctx)) ||
	    vb2_is_busy(v4l2_m2m_get_dst_vq(ctx->fh.m2m_ctx)))
		return -EBUSY;
	copy_fill_format(&format->fmt.pix);
	ctx->format = format->fmt.pix;
	return 0;
}

static const struct v4l2_ioctl_ops copy_ioctl_ops = {
	.vidioc_querycap = copy_querycap,
	.vidioc_enum_fmt_vid_cap = copy_enum_fmt,
	.vidioc_enum_fmt_vid_out = copy_enum_fmt,
	.vidioc_g_fmt_vid_cap = copy_g_fmt,
	.vidioc_try_fmt_vid_cap = copy_g_fmt,
	.vidioc_s_fmt_vid_cap = copy_g_fmt,
	.vidioc_g_fmt_vid_out = copy_g_fmt,
	.vidioc_try_fmt_vid_out = copy_try_fmt_out,
	.vidioc_s_fmt_vid_out = copy_s_fmt_out,
	.vidioc_reqbufs = v4l2_m2m_ioctl_reqbufs,
	.vidioc_create_bufs = v4l2_m2m_ioctl_create_bufs,
	.vidioc_remove_bufs = v4l2_m2m_ioctl_remove_bufs,
	.vidioc_prepare_buf = v4l2_m2m_ioctl_prepare_buf,
	.vidioc_querybuf = v4l2_m2m_ioctl_querybuf,
	.vidioc_qbuf = v4l2_m2m_ioctl_qbuf,
	.vidioc_dqbuf = v4l2_m2m_ioctl_dqbuf,
	.vidioc_expbuf = v4l2_m2m_ioctl_expbuf,
	.vidioc_streamon = v4l2_m2m_ioctl_streamon,
	.vidioc_streamoff = v4l2_m2m_ioctl_streamoff,
	/* Fences: for programs that synchronise explicitly */
	.vidioc_expfence = v4l2_m2m_ioctl_expfence,
	.vidioc_subscribe_event = v4l2_m2m_ioctl_subscribe_event,
	.vidioc_unsubscribe_event = v4l2_event_unsubscribe,
};

static int copy_open(struct file *file)
{
	struct copy_device *dev = video_drvdata(file);
	struct copy_context *ctx;
	int ret;

	ctx = kzalloc(sizeof(*ctx), GFP_KERNEL);
	if (!ctx)
		return -ENOMEM;

	ctx->dev = dev;
	INIT_WORK(&ctx->job, copy_job);
	ctx->format.width = 640;
	ctx->format.height = 480;
	copy_fill_format(&ctx->format);
	v4l2_fh_init(&ctx->fh, &dev->vdev);
	ctx->fh.m2m_ctx = v4l2_m2m_ctx_init(dev->m2m_dev, ctx, copy_queues_init);
	if (IS_ERR(ctx->fh.m2m_ctx)) {
		ret = PTR_ERR(ctx->fh.m2m_ctx);
		v4l2_fh_exit(&ctx->fh);
		kfree(ctx);
		return ret;
	}
	file->private_data = &ctx->fh;
	v4l2_fh_add(&ctx->fh);
	return 0;
}

static int copy_close(struct file *file)
{
	struct copy_context *ctx = context_of(file);

	/* Fences: until this returns, a job that starts sends an event to the file handle. */
	v4l2_m2m_ctx_release(ctx->fh.m2m_ctx);
	v4l2_fh_del(&ctx->fh);
	v4l2_fh_exit(&ctx->fh);
	kfree(ctx);
	return 0;
}

static const struct v4l2_file_operations copy_fops = {
	.owner = THIS_MODULE,
	.open = copy_open,
	.release = copy_close,
	.poll = v4l2_m2m_fop_poll,
	.mmap = v4l2_m2m_fop_mmap,
	.unlocked_ioctl = video_ioctl2,
};

/* The device */

/* The node is unregistered and no file is open any more. */
static void copy_release(struct video_device *vdev)
{
	struct copy_device *dev = container_of(vdev, struct copy_device, vdev);

	v4l2_m2m_release(dev->m2m_dev);
	destroy_workqueue(dev->engine);
	v4l2_device_unregister(&dev->v4l2_dev);
	kfree(dev);
}

static int copy_probe(struct platform_device *pdev)
{
	struct video_device *vdev;
	struct copy_device *dev;
	int ret;

	dev = kzalloc(sizeof(*dev), GFP_KERNEL);
	if (!dev)
		return -ENOMEM;

	platform_set_drvdata(pdev, dev);
	mutex_init(&dev->lock);
	ret = v4l2_device_register(&pdev->dev, &dev->v4l2_dev);
	if (ret)
		goto free;
	/* Fences: memory reclaim may wait for a job. So the job must not wait for a new thread. */
	dev->engine = alloc_ordered_workqueue(NAME, WQ_MEM_RECLAIM);
	if (!dev->engine) {
		ret = -ENOMEM;
		goto unregister;
	}
	dev->m2m_dev = v4l2_m2m_init(&copy_m2m_ops);
	if (IS_ERR(dev->m2m_dev)) {
		ret = PTR_ERR(dev->m2m_dev);
		goto destroy;
	}

	vdev = &dev->vdev;
	strscpy(vdev->name, NAME);
	vdev->v4l2_dev = &dev->v4l2_dev;
	vdev->vfl_dir = VFL_DIR_M2M;
	vdev->fops = &copy_fops;
	vdev->ioctl_ops = &copy_ioctl_ops;
	vdev->release = copy_release;
	vdev->lock = &dev->lock;
	vdev->device_caps = V4L2_CAP_VIDEO_M2M | V4L2_CAP_STREAMING;
	video_set_drvdata(vdev, dev);
	ret = video_register_device(vdev, VFL_TYPE_VIDEO, -1);
	if (ret)
		goto release;
	v4l2_info(&dev->v4l2_dev, "registered as %s\n", video_device_node_name(vdev));
	return 0;

release:
	v4l2_m2m_release(dev->m2m_dev);
destroy:
	destroy_workqueue(dev->engine);
unregister:
	v4l2_device_unregister(&dev->v4l2_dev);
free:
	kfree(dev);
	return ret;
}

static void copy_remove(struct platform_device *pdev)
{
	struct copy_device *dev = platform_get_drvdata(pdev);

	video_unregister_device(&dev->vdev);
}

static struct platform_driver copy_driver = {
	.remove = copy_remove,
	.driver.name = NAME,
};

static struct platform_device *copy_pdev;

static int __init copy_init(void)
{
	copy_pdev = platform_create_bundle(&copy_driver, copy_probe, NULL, 0, NULL, 0);
	return PTR_ERR_OR_ZERO(copy_pdev);
}

static void __exit copy_exit(void)
{
	platform_device_unregister(copy_pdev);
	platform_driver_unregister(&copy_driver);
}

module_init(copy_init);
module_exit(copy_exit);
MODULE_AUTHOR("the authors of the release fence series");
MODULE_DESCRIPTION("Sample: a mem2mem driver with release fences and acquire fences");
MODULE_LICENSE("GPL");
