// SPDX-License-Identifier: GPL-2.0-only
/*
 * VIDIOC_EXPFENCE, from the program's argument to its descriptor.
 */

#include <linux/delay.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/kdev_t.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/resource.h>
#include <linux/sched/signal.h>
#include <linux/sync_file.h>
#include <linux/uaccess.h>
#include <media/v4l2-ioctl.h>
#include <media/videobuf2-v4l2.h>

#include "explicit.h"

/* What the driver does before it returns; or NULL */
static void (*on_expfence)(void);

static struct dma_fence *node_expfence(struct file *file, void *fh,
				       const struct v4l2_exportfence *e)
{
	struct dma_fence *fence = vb2_ioctl_expfence(file, fh, e);

	if (on_expfence)
		on_expfence();
	return fence;
}

/* Only that it is there says that the node has such buffers. */
static int node_g_fmt(struct file *file, void *fh, struct v4l2_format *f)
{
	return -EINVAL;
}

/* What the driver does before it returns; or NULL */
void (*node_on_qbuf)(void);

static int node_qbuf(struct file *file, void *fh, struct v4l2_buffer *b)
{
	int ret = vb2_ioctl_qbuf(file, fh, b);

	if (node_on_qbuf)
		node_on_qbuf();
	return ret;
}

static const struct v4l2_ioctl_ops node_ioctl_ops = {
	.vidioc_g_fmt_vid_cap = node_g_fmt,
	.vidioc_g_fmt_vid_cap_mplane = node_g_fmt,
	.vidioc_reqbufs = vb2_ioctl_reqbufs,
	.vidioc_querybuf = vb2_ioctl_querybuf,
	.vidioc_prepare_buf = vb2_ioctl_prepare_buf,
	.vidioc_qbuf = node_qbuf,
	.vidioc_dqbuf = vb2_ioctl_dqbuf,
	.vidioc_expfence = node_expfence,
};

static const struct v4l2_file_operations node_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = video_ioctl2,
};

KUNIT_DEFINE_ACTION_WRAPPER(unregister_v4l2, v4l2_device_unregister, struct v4l2_device *);
KUNIT_DEFINE_ACTION_WRAPPER(unregister_vdev, video_unregister_device, struct video_device *);

struct test_node *node_register(struct kunit *test, struct vb2_queue *q)
{
	struct test_node *node = kunit_kzalloc(test, sizeof(*node), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, node);
	node->test = test;
	KUNIT_ASSERT_EQ(test, 0, v4l2_device_register(mock_device(test), &node->v4l2_dev));
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, unregister_v4l2, &node->v4l2_dev));
	node->vdev.v4l2_dev = &node->v4l2_dev;
	node->vdev.fops = &node_fops;
	node->vdev.ioctl_ops = &node_ioctl_ops;
	node->vdev.release = video_device_release_empty;
	node->vdev.device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_VIDEO_CAPTURE_MPLANE |
				 V4L2_CAP_STREAMING;
	node->vdev.queue = q;
	strscpy(node->vdev.name, "vb2-mock");
	KUNIT_ASSERT_EQ(test, 0, video_register_device(&node->vdev, VFL_TYPE_VIDEO, -1));
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, unregister_vdev, &node->vdev));
	return node;
}

static void close_file(void *data)
{
	struct node_file *file = data;

	v4l2_fh_del(&file->fh);
	v4l2_fh_exit(&file->fh);
}

struct node_file *node_open(struct test_node *node)
{
	struct node_file *file = kunit_kzalloc(node->test, sizeof(*file), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(node->test, file);
	file->inode.i_rdev = MKDEV(VIDEO_MAJOR, node->vdev.minor);
	file->file.f_inode = &file->inode;
	file->file.private_data = &file->fh;
	v4l2_fh_init(&file->fh, &node->vdev);
	v4l2_fh_add(&file->fh);
	KUNIT_ASSERT_EQ(node->test, 0, kunit_add_action_or_reset(node->test, close_file, file));
	return file;
}

void node_close(struct kunit *test, struct node_file *file)
{
	kunit_release_action(test, close_file, file);
}

/* A program with a queue that streams, of one buffer. */
struct program {
	struct mock_queue *mq;
	struct node_file *file;
	struct v4l2_exportfence arg;
	unsigned long user;
};

static struct program *program_of;

static int node_init(struct kunit *test)
{
	struct program *program = kunit_kzalloc(test, sizeof(*program), GFP_KERNEL);
	struct test_node *node;
	int ret = mock_init(test);

	if (ret)
		return ret;
	KUNIT_ASSERT_NOT_NULL(test, program);
	on_expfence = NULL;
	program_of = program;
	program->user = kunit_vm_mmap(test, NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
				      MAP_ANONYMOUS | MAP_PRIVATE, 0);
	if (!program->user || IS_ERR_VALUE(program->user))
		kunit_skip(test, "no user memory in this kernel");
	program->mq = MOCK_START(test);
	node = node_register(test, &program->mq->q);
	program->file = node_open(node);
	program->mq->q.owner = &program->file->fh;
	program->arg.type = program->mq->q.type;
	program->arg.flags = O_CLOEXEC;
	test->priv = program;
	return 0;
}

static long expfence(struct kunit *test)
{
	struct program *program = test->priv;
	void __user *user = (void __user *)program->user;
	long ret;

	/* As a program has it that does not clear what is returned. */
	program->arg.fd = -1;
	program->arg.sequence = 0x55555555;
	memset(program->arg.reserved, 0x55, sizeof(program->arg.reserved));
	KUNIT_ASSERT_EQ(test, 0, copy_to_user(user, &program->arg, sizeof(program->arg)));
	ret = video_ioctl2(&program->file->file, VIDIOC_EXPFENCE, program->user);
	if (!ret)
		KUNIT_ASSERT_EQ(test, 0, copy_from_user(&program->arg, user, sizeof(program->arg)));
	return ret;
}

int node_next_fd(struct kunit *test)
{
	int fd = get_unused_fd_flags(0);

	KUNIT_ASSERT_GE(test, fd, 0);
	put_unused_fd(fd);
	return fd;
}

static void descriptor(struct kunit *test)
{
	struct program *program = test->priv;
	struct dma_fence *fence, *from_file;
	const int fd = node_next_fd(test);

	KUNIT_EXPECT_EQ(test, -EAGAIN, expfence(test));
	KUNIT_EXPECT_EQ(test, fd, node_next_fd(test));
	KUNIT_ASSERT_EQ(test, 0, mock_attach(program->mq, 0));
	KUNIT_ASSERT_EQ(test, 0, expfence(test));
	KUNIT_EXPECT_EQ(test, fd, program->arg.fd);
	fence = explicit_fence(test, mock_vb(program->mq, 0));
	KUNIT_EXPECT_EQ(test, lower_32_bits(fence->seqno), program->arg.sequence);
	KUNIT_EXPECT_EQ(test, 0, program->arg.reserved[0]);
	from_file = sync_file_get_fence(program->arg.fd);
	close_fd(program->arg.fd);
	KUNIT_ASSERT_PTR_EQ(test, fence, from_file);
	dma_fence_put(from_file);
}

static void invalid_arguments(struct kunit *test)
{
	struct program *program = test->priv;
	struct vb2_queue *q = &program->mq->q;
	const int fd = node_next_fd(test);

	KUNIT_ASSERT_EQ(test, 0, mock_attach(program->mq, 0));
	program->arg.flags = O_RDWR;
	KUNIT_EXPECT_EQ(test, -EINVAL, expfence(test));
	program->arg.flags = 0;
	program->arg.index = 1;
	KUNIT_EXPECT_EQ(test, -EINVAL, expfence(test));
	program->arg.index = 0;
	program->arg.type = V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE;
	KUNIT_EXPECT_EQ(test, -EINVAL, expfence(test));
	program->arg.type = q->type;
	/* Another file has the buffers. */
	q->owner = q;
	KUNIT_EXPECT_EQ(test, -EBUSY, expfence(test));
	q->owner = &program->file->fh;
	KUNIT_EXPECT_EQ(test, fd, node_next_fd(test));
	KUNIT_ASSERT_EQ(test, 0, expfence(test));
	close_fd(program->arg.fd);
}

static unsigned int references(struct dma_fence *fence)
{
	return kref_read(&fence->refcount);
}

bool node_fence_reaches(struct dma_fence *fence, unsigned int count)
{
	unsigned int ms;

	flush_delayed_fput();
	for (ms = 0; references(fence) != count && ms < 2000; ++ms)
		usleep_range(1000, 2000);
	return references(fence) == count;
}

static void unmap_argument(void)
{
	vm_munmap(program_of->user, PAGE_SIZE);
}

/* The program cannot be told which descriptor it has: it has none. */
static void argument_goes_away(struct kunit *test)
{
	struct program *program = test->priv;
	const int fd = node_next_fd(test);
	struct dma_fence *fence;
	unsigned int before;

	KUNIT_ASSERT_EQ(test, 0, mock_attach(program->mq, 0));
	fence = explicit_fence(test, mock_vb(program->mq, 0));
	before = references(fence);
	on_expfence = unmap_argument;
	KUNIT_EXPECT_EQ(test, -EFAULT, expfence(test));
	KUNIT_EXPECT_EQ(test, fd, node_next_fd(test));
	KUNIT_EXPECT_TRUE(test, node_fence_reaches(fence, before));
}

static void restore_limit(void *limit)
{
	current->signal->rlim[RLIMIT_NOFILE].rlim_cur = (unsigned long)limit;
}

void node_allow_no_descriptor(struct kunit *test)
{
	const unsigned long limit = rlimit(RLIMIT_NOFILE);

	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, restore_limit, (void *)limit));
	current->signal->rlim[RLIMIT_NOFILE].rlim_cur = node_next_fd(test);
}

static void no_descriptor_left(struct kunit *test)
{
	struct program *program = test->priv;
	struct dma_fence *fence;
	unsigned int before;

	KUNIT_ASSERT_EQ(test, 0, mock_attach(program->mq, 0));
	fence = explicit_fence(test, mock_vb(program->mq, 0));
	before = references(fence);
	node_allow_no_descriptor(test);
	KUNIT_EXPECT_EQ(test, -EMFILE, expfence(test));
	KUNIT_EXPECT_TRUE(test, node_fence_reaches(fence, before));
}

static struct kunit_case node_cases[] = {
	KUNIT_CASE(descriptor),
	KUNIT_CASE(invalid_arguments),
	KUNIT_CASE(argument_goes_away),
	KUNIT_CASE(no_descriptor_left),
	{ }
};

static struct kunit_suite node_suite = {
	.name = "vb2-release-fence-explicit-node",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = node_init,
	.test_cases = node_cases,
};

kunit_test_suite(node_suite);
