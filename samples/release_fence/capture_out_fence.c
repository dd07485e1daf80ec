// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sample: a capture driver that gives an out-fence with VIDIOC_QBUF.
 *
 * Others wait for an out-fence from the moment that the buffer is queued, memory reclaim among
 * them. So nothing that user space does, or leaves undone, may keep it from ending. Only a driver
 * can know that of its hardware. It says so by &vb2_queue.out_fences_at_qbuf, which promises:
 *
 * - The hardware runs freely. A buffer that is handed to it is written within a known time, whether
 *   another one is queued or not.
 * - Every buffer comes back, the last one too: without a buffer the hardware writes nowhere.
 * - A buffer's path from buf_queue to vb2_buffer_done() takes no lock that is held while memory is
 *   allocated, and allocates none. Here it takes one spinlock.
 *
 * The "hardware" is a thread. At each tick it takes the next buffer and writes a frame into it, in
 * parts, as a sensor sends it. A frame that finds no buffer is lost.
 *
 * Each pixel of a frame is 0xff000000 + its number, which is in v4l2_buffer.sequence, too. So those
 * who read a picture see if it is torn (two numbers), stale (an old one) or not written (0).
 */

#include <linux/hrtimer.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <media/v4l2-common.h>
#include <media/v4l2-ctrls.h>
#include <media/v4l2-device.h>
#include <media/v4l2-event.h>
#include <media/v4l2-ioctl.h>
#include <media/videobuf2-v4l2.h>
#include <media/videobuf2-vmalloc.h>

#define NAME "out-fence"

/* The time of a frame: it is written at the beginning of each of so many parts. */
#define PARTS 8

#define FPS_MIN 4
#define FPS_MAX 240

/* All buffers of a queue are written within the longest timeout that a release fence can have. */
static_assert(VB2_MAX_FRAME * MSEC_PER_SEC / FPS_MIN < 10 * MSEC_PER_SEC);

static unsigned int fps = 30;
module_param(fps, uint, 0444);
MODULE_PARM_DESC(fps, "frames a second (4 to 240, default 30)");

/* The height of each is a multiple of PARTS. */
static const struct v4l2_frmsize_discrete frame_sizes[] = {
	{ 320, 240 }, { 640, 480 }, { 800, 600 }, { 1024, 768 }, { 1280, 720 },
};

struct capture {
	struct v4l2_device v4l2_dev;
	struct video_device vdev;
	struct vb2_queue queue;
	/* Of the node's calls and of the queue; not on the path of a buffer */
	struct mutex lock;
	struct v4l2_pix_format format;

	/* Protects the list; in process context only */
	spinlock_t list_lock;
	/* Buffers of the hardware, and its thread */
	struct list_head ready;
	struct task_struct *hardware;
};

struct capture_buffer {
	struct vb2_v4l2_buffer vb;
	struct list_head list;
};

/* The path of a buffer */

/*
 * It comes in a signalling section: lockdep sees what it does. The buffer has its release fence
 * already. On a queue that gives out-fences videobuf2 publishes all of them when the buffers are
 * queued, so that the driver, for which out-fences wait by then, takes no lock for another one.
 */
static void capture_buf_queue(struct vb2_buffer *vb)
{
	struct capture_buffer *buf = container_of(vb, struct capture_buffer, vb.vb2_buf);
	struct capture *cap = vb2_get_drv_priv(vb->vb2_queue);

	spin_lock(&cap->list_lock);
	list_add_tail(&buf->list, &cap->ready);
	spin_unlock(&cap->list_lock);
}

static struct capture_buffer *capture_take(struct capture *cap)
{
	struct capture_buffer *buf;

	spin_lock(&cap->list_lock);
	buf = list_first_entry_or_null(&cap->ready, struct capture_buffer, list);
	if (buf)
		list_del(&buf->list);
	spin_unlock(&cap->list_lock);
	return buf;
}

static void capture_wait_until(ktime_t time)
{
	set_current_state(TASK_IDLE);
	schedule_hrtimeout(&time, HRTIMER_MODE_ABS);
}

static void capture_write(struct capture *cap, struct capture_buffer *buf, u32 frame,
			  ktime_t start, u32 part_ns)
{
	u32 pixel = 0xff000000 | (frame & 0x00ffffff);
	u32 *to = vb2_plane_vaddr(&buf->vb.vb2_buf, 0);
	size_t pixels = cap->format.sizeimage / sizeof(*to) / PARTS;
	unsigned int part;

	for (part = 0; part < PARTS; part++) {
		if (part)
			capture_wait_until(ktime_add_ns(start, part * part_ns));
		memset32(to + part * pixels, (__force u32)cpu_to_le32(pixel), pixels);
	}

	buf->vb.sequence = frame;
	buf->vb.field = V4L2_FIELD_NONE;
	buf->vb.vb2_buf.timestamp = ktime_get_ns();
	vb2_buffer_done(&buf->vb.vb2_buf, VB2_BUF_STATE_DONE);
}

static int capture_hardware(void *data)
{
	struct capture *cap = data;
	u32 part_ns = NSEC_PER_SEC / fps / PARTS;
	ktime_t tick = ktime_get();
	struct capture_buffer *buf;
	bool signalling;
	u32 frame = 0;

	while (!kthread_should_stop()) {
		/* Consumers wait for this thread. (An interrupt handler needs no section.) */
		signalling = vb2_release_fence_begin_signalling();
		buf = capture_take(cap);
		if (buf)
			capture_write(cap, buf, frame, tick, part_ns);
		vb2_release_fence_end_signalling(signalling);

		/* Frames whose time has passed are lost. */
		do {
			tick = ktime_add_ns(tick, PARTS * part_ns);
			frame++;
		} while (ktime_before(tick, ktime_get()));
		capture_wait_until(tick);
	}
	return 0;
}

/* The queue */

static int capture_queue_setup(struct vb2_queue *q, unsigned int *count, unsigned int *planes,
			       unsigned int sizes[], struct device *alloc_devs[])
{
	struct capture *cap = vb2_get_drv_priv(q);

	if (*planes)
		return sizes[0] < cap->format.sizeimage ? -EINVAL : 0;
	*planes = 1;
	sizes[0] = cap->format.sizeimage;
	return 0;
}

static int capture_buf_prepare(struct vb2_buffer *vb)
{
	struct capture *cap = vb2_get_drv_priv(vb->vb2_queue);

	if (vb2_plane_size(vb, 0) < cap->format.sizeimage)
		return -EINVAL;
	vb2_set_plane_payload(vb, 0, cap->format.sizeimage);
	return 0;
}

/* Buffers that were queued before come afterwards: there are none to return if it fails. */
static int capture_start_streaming(struct vb2_queue *q, unsigned int count)
{
	struct capture *cap = vb2_get_drv_priv(q);

	cap->hardware = kthread_run(capture_hardware, cap, NAME);
	return PTR_ERR_OR_ZERO(cap->hardware);
}

static void capture_stop_streaming(struct vb2_queue *q)
{
	struct capture *cap = vb2_get_drv_priv(q);
	struct capture_buffer *buf;

	kthread_stop(cap->hardware);
	while ((buf = capture_take(cap)))
		vb2_buffer_done(&buf->vb.vb2_buf, VB2_BUF_STATE_ERROR);
}

static const struct vb2_ops capture_queue_ops = {
	.queue_setup = capture_queue_setup,
	.buf_prepare = capture_buf_prepare,
	.buf_queue = capture_buf_queue,
	.start_streaming = capture_start_streaming,
	.stop_streaming = capture_stop_streaming,
	.wait_prepare = vb2_ops_wait_prepare,
	.wait_finish = vb2_ops_wait_finish,
};

static int capture_queue_init(struct capture *cap, struct device *dev)
{
	struct vb2_queue *q = &cap->queue;

	q->type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
	q->io_modes = VB2_MMAP | VB2_DMABUF;
	q->dev = dev;
	q->drv_priv = cap;
	q->buf_struct_size = sizeof(struct capture_buffer);
	q->ops = &capture_queue_ops;
	q->mem_ops = &vb2_vmalloc_memops;
	q->timestamp_flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
	q->lock = &cap->lock;
	/* It needs both: an out-fence is a release fence, and its job waits for older ones only. */
	vb2_queue_use_release_fences(q);
	vb2_queue_use_acquire_fences(q);
	q->out_fences_at_qbuf = 1;
	/* The last one of a full queue is written after all others. */
	vb2_queue_set_release_fence_timeout(q, VB2_MAX_FRAME * MSEC_PER_SEC / fps + MSEC_PER_SEC);
	return vb2_queue_init(q);
}

/* The node */

static void capture_fill_format(struct v4l2_pix_format *pix)
{
	const struct v4l2_frmsize_discrete *size =
		v4l2_find_nearest_size(frame_sizes, ARRAY_SIZE(frame_sizes), width, height,
				       pix->width, pix->height);

	*pix = (struct v4l2_pix_format) {
		.width = size->width,
		.height = size->height,
		.pixelformat = V4L2_PIX_FMT_XBGR32,	/* DRM_FORMAT_XRGB8888 */
		.field = V4L2_FIELD_NONE,
		.bytesperline = size->width * sizeof(u32),
		.sizeimage = size->width * size->height * sizeof(u32),
		.colorspace = V4L2_COLORSPACE_SRGB,
	};
}

static int capture_querycap(struct file *file, void *priv, struct v4l2_capability *capability)
{
	strscpy(capability->driver, NAME);
	strscpy(capability->card, "Sample with out-fences");
	return 0;
}

static int capture_enum_fmt(struct file *file, void *priv, struct v4l2_fmtdesc *desc)
{
	if (desc->index)
		return -EINVAL;
	desc->pixelformat = V4L2_PIX_FMT_XBGR32;
	return 0;
}

static int capture_enum_framesizes(struct file *file, void *priv, struct v4l2_frmsizeenum *size)
{
	if (size->index >= ARRAY_SIZE(frame_sizes) || size->pixel_format != V4L2_PIX_FMT_XBGR32)
		return -EINVAL;
	size->type = V4L2_FRMSIZE_TYPE_DISCRETE;
	size->discrete = frame_sizes[size->index];
	return 0;
}

static int capture_g_fmt(struct file *file, void *priv, struct v4l2_format *format)
{
	struct capture *cap = video_drvdata(file);

	format->fmt.pix = cap->format;
	return 0;
}

static int capture_try_fmt(struct file *file, void *priv, struct v4l2_format *format)
{
	capture_fill_format(&format->fmt.pix);
	return 0;
}

static int capture_s_fmt(struct file *file, void *priv, struct v4l2_format *format)
{
	struct capture *cap = video_drvdata(file);

	if (vb2_is_busy(&cap->queue))
		return -EBUSY;
	capture_fill_format(&format->fmt.pix);
	cap->format = format->fmt.pix;
	return 0;
}

static int capture_enum_input(struct file *file, void *priv, struct v4l2_input *input)
{
	if (input->index)
		return -EINVAL;
	input->type = V4L2_INPUT_TYPE_CAMERA;
	strscpy(input->name, "Frame numbers");
	return 0;
}

static int capture_g_input(struct file *file, void *priv, unsigned int *input)
{
	*input = 0;
	return 0;
}

static int capture_s_input(struct file *file, void *priv, unsigned int input)
{
	return input ? -EINVAL : 0;
}

static const struct v4l2_ioctl_ops capture_ioctl_ops = {
	.vidioc_querycap = capture_querycap,
	.vidioc_enum_fmt_vid_cap = capture_enum_fmt,
	.vidioc_enum_framesizes = capture_enum_framesizes,
	.vidioc_g_fmt_vid_cap = capture_g_fmt,
	.vidioc_try_fmt_vid_cap = capture_try_fmt,
	.vidioc_s_fmt_vid_cap = capture_s_fmt,
	.vidioc_enum_input = capture_enum_input,
	.vidioc_g_input = capture_g_input,
	.vidioc_s_input = capture_s_input,
	.vidioc_reqbufs = vb2_ioctl_reqbufs,
	.vidioc_create_bufs = vb2_ioctl_create_bufs,
	.vidioc_remove_bufs = vb2_ioctl_remove_bufs,
	.vidioc_prepare_buf = vb2_ioctl_prepare_buf,
	.vidioc_querybuf = vb2_ioctl_querybuf,
	.vidioc_qbuf = vb2_ioctl_qbuf,
	.vidioc_dqbuf = vb2_ioctl_dqbuf,
	.vidioc_expbuf = vb2_ioctl_expbuf,
	.vidioc_streamon = vb2_ioctl_streamon,
	.vidioc_streamoff = vb2_ioctl_streamoff,
	/* For programs that queue without an out-fence: the event, and the fence it tells of. */
	.vidioc_expfence = vb2_ioctl_expfence,
	.vidioc_subscribe_event = vb2_ioctl_subscribe_event,
	.vidioc_unsubscribe_event = v4l2_event_unsubscribe,
};

static const struct v4l2_file_operations capture_fops = {
	.owner = THIS_MODULE,
	.open = v4l2_fh_open,
	.release = vb2_fop_release,
	.poll = vb2_fop_poll,
	.mmap = vb2_fop_mmap,
	.unlocked_ioctl = video_ioctl2,
};

/* The device */

/* The node is unregistered and no file is open any more. */
static void capture_release(struct video_device *vdev)
{
	struct capture *cap = container_of(vdev, struct capture, vdev);

	v4l2_device_unregister(&cap->v4l2_dev);
	kfree(cap);
}

static int capture_probe(struct platform_device *pdev)
{
	struct video_device *vdev;
	struct capture *cap;
	int ret;

	cap = kzalloc(sizeof(*cap), GFP_KERNEL);
	if (!cap)
		return -ENOMEM;

	platform_set_drvdata(pdev, cap);
	mutex_init(&cap->lock);
	spin_lock_init(&cap->list_lock);
	INIT_LIST_HEAD(&cap->ready);
	capture_fill_format(&cap->format);

	ret = v4l2_device_register(&pdev->dev, &cap->v4l2_dev);
	if (ret)
		goto free;
	ret = capture_queue_init(cap, &pdev->dev);
	if (ret)
		goto unregister;

	vdev = &cap->vdev;
	strscpy(vdev->name, NAME);
	vdev->v4l2_dev = &cap->v4l2_dev;
	vdev->fops = &capture_fops;
	vdev->ioctl_ops = &capture_ioctl_ops;
	vdev->release = capture_release;
	vdev->lock = &cap->lock;
	vdev->queue = &cap->queue;
	vdev->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
	video_set_drvdata(vdev, cap);
	ret = video_register_device(vdev, VFL_TYPE_VIDEO, -1);
	if (ret)
		goto unregister;
	v4l2_info(&cap->v4l2_dev, "registered as %s\n", video_device_node_name(vdev));
	return 0;

unregister:
	v4l2_device_unregister(&cap->v4l2_dev);
free:
	kfree(cap);
	return ret;
}

static void capture_remove(struct platform_device *pdev)
{
	struct capture *cap = platform_get_drvdata(pdev);

	/* Stops the queue: the fences of all buffers end. */
	vb2_video_unregister_device(&cap->vdev);
}

static struct platform_driver capture_driver = {
	.remove = capture_remove,
	.driver.name = NAME,
};

static struct platform_device *capture_device;

static int __init capture_init(void)
{
	if (fps < FPS_MIN || fps > FPS_MAX) {
		pr_err(NAME ": fps=%u: must be %u to %u\n", fps, FPS_MIN, FPS_MAX);
		return -EINVAL;
	}
	capture_device = platform_create_bundle(&capture_driver, capture_probe, NULL, 0, NULL, 0);
	return PTR_ERR_OR_ZERO(capture_device);
}

static void __exit capture_exit(void)
{
	platform_device_unregister(capture_device);
	platform_driver_unregister(&capture_driver);
}

module_init(capture_init);
module_exit(capture_exit);
MODULE_AUTHOR("the authors of the release fence series");
MODULE_DESCRIPTION("Sample: a capture driver with out-fences");
MODULE_LICENSE("GPL");
