// SPDX-License-Identifier: GPL-2.0-only
/*
 * VIDIOC_QBUF with fences, from the program's argument to its descriptor.
 */

#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mutex.h>
#include <linux/sync_file.h>
#include <linux/uaccess.h>
#include <media/v4l2-ioctl.h>
#include <media/videobuf2-v4l2.h>
#include <media/videobuf2-vmalloc.h>

#include "explicit.h"

#define FLAGS	(V4L2_BUF_FLAG_IN_FENCE | V4L2_BUF_FLAG_OUT_FENCE)

/* A program with a queue of one buffer, and the driver of that. */
struct program {
	struct vb2_queue q;
	struct mutex lock;	/* of the queue */
	struct node_file *file;
	struct v4l2_buffer arg;
	unsigned long user;
};

static struct program *program_of;

static int queue_setup(struct vb2_queue *q, unsigned int *buffers, unsigned int *planes,
		       unsigned int sizes[], struct device *alloc_devs[])
{
	*planes = 1;
	sizes[0] = MOCK_PLANE_SIZE;
	return 0;
}

static void buf_queue(struct vb2_buffer *vb)
{
}

static int start_streaming(struct vb2_queue *q, unsigned int count)
{
	return 0;
}

static void stop_streaming(struct vb2_queue *q)
{
	struct vb2_buffer *vb = vb2_get_buffer(q, 0);

	if (vb->state == VB2_BUF_STATE_ACTIVE)
		vb2_buffer_done(vb, VB2_BUF_STATE_ERROR);
}

static const struct vb2_ops ops = {
	.queue_setup = queue_setup,
	.buf_queue = buf_queue,
	.start_streaming = start_streaming,
	.stop_streaming = stop_streaming,
	.wait_prepare = vb2_ops_wait_prepare,
	.wait_finish = vb2_ops_wait_finish,
};

KUNIT_DEFINE_ACTION_WRAPPER(release_queue, vb2_queue_release, struct vb2_queue *);

static struct program *open_program(struct kunit *test, bool in_fences, bool out_fences)
{
	struct program *program = kunit_kzalloc(test, sizeof(*program), GFP_KERNEL);
	struct v4l2_requestbuffers request = {
		.count = 1, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP,
	};
	struct vb2_queue *q;

	KUNIT_ASSERT_NOT_NULL(test, program);
	program_of = program;
	node_on_qbuf = NULL;
	program->user = kunit_vm_mmap(test, NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
				      MAP_ANONYMOUS | MAP_PRIVATE, 0);
	if (!program->user || IS_ERR_VALUE(program->user))
		kunit_skip(test, "no user memory in this kernel");

	mutex_init(&program->lock);
	q = &program->q;
	q->type = request.type;
	q->io_modes = VB2_MMAP;
	q->ops = &ops;
	q->mem_ops = &vb2_vmalloc_memops;
	q->buf_struct_size = sizeof(struct vb2_v4l2_buffer);
	q->timestamp_flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
	q->lock = &program->lock;
	vb2_queue_use_release_fences(q);
	if (in_fences)
		vb2_queue_use_acquire_fences(q);
	q->out_fences_at_qbuf = out_fences;
	KUNIT_ASSERT_EQ(test, 0, vb2_queue_init(q));
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, release_queue, q));
	program->file = node_open(node_register(test, q));
	KUNIT_ASSERT_EQ(test, 0, vb2_reqbufs(q, &request));
	KUNIT_ASSERT_EQ(test, 1, request.count);
	q->owner = &program->file->fh;
	return program;
}

/* A program that knows nothing of fences does not clear what it does not know. */
static long call(struct kunit *test, struct program *program, unsigned int cmd, u32 flags, int fd)
{
	void __user *user = (void __user *)program->user;
	struct v4l2_buffer *arg = &program->arg;
	long ret;

	*arg = (struct v4l2_buffer){
		.type = program->q.type,
		.memory = V4L2_MEMORY_MMAP,
		.flags = flags,
		.fence_fd = fd,
	};
	KUNIT_ASSERT_EQ(test, 0, copy_to_user(user, arg, sizeof(*arg)));
	ret = video_ioctl2(&program->file->file, cmd, program->user);
	/* It may be gone: that is what one case is about. */
	if (!ret)
		KUNIT_ASSERT_EQ(test, 0, copy_from_user(arg, user, sizeof(*arg)));
	return ret;
}

static void streamon(struct kunit *test, struct program *program)
{
	KUNIT_ASSERT_EQ(test, 0, vb2_streamon(&program->q, program->q.type));
}

/* Ends the job, and dequeues the buffer. */
static void finish(struct kunit *test, struct program *program)
{
	vb2_buffer_done(vb2_get_buffer(&program->q, 0), VB2_BUF_STATE_DONE);
	KUNIT_ASSERT_EQ(test, 0, call(test, program, VIDIOC_QUERYBUF, FLAGS, 0x55555555));
	KUNIT_EXPECT_EQ(test, 0, program->arg.fence_fd);
	KUNIT_EXPECT_EQ(test, 0, program->arg.flags & FLAGS);
	KUNIT_ASSERT_EQ(test, 0, call(test, program, VIDIOC_DQBUF, FLAGS, 0x55555555));
	KUNIT_EXPECT_EQ(test, 0, program->arg.fence_fd);
	KUNIT_EXPECT_EQ(test, 0, program->arg.flags & FLAGS);
}

static void descriptors(struct kunit *test)
{
	struct program *program = open_program(test, true, true);
	struct dma_fence *ended = dma_fence_allocate_private_stub(ktime_get()), *out;
	const int in = explicit_descriptor(test, ended), fd = node_next_fd(test);

	streamon(test, program);
	/* Garbage that no flag makes a descriptor of */
	KUNIT_ASSERT_EQ(test, 0, call(test, program, VIDIOC_QBUF, 0, 0x55555555));
	KUNIT_EXPECT_EQ(test, 0, program->arg.fence_fd);
	finish(test, program);

	KUNIT_ASSERT_EQ(test, 0, call(test, program, VIDIOC_QBUF, V4L2_BUF_FLAG_IN_FENCE, in));
	KUNIT_EXPECT_EQ(test, -1, program->arg.fence_fd);
	KUNIT_EXPECT_EQ(test, 0, program->arg.flags & FLAGS);
	finish(test, program);

	KUNIT_ASSERT_EQ(test, 0, call(test, program, VIDIOC_QBUF, FLAGS, in));
	KUNIT_EXPECT_EQ(test, fd, program->arg.fence_fd);
	KUNIT_EXPECT_EQ(test, 0, program->arg.flags & FLAGS);
	out = sync_file_get_fence(program->arg.fence_fd);
	KUNIT_ASSERT_NOT_NULL(test, out);
	KUNIT_EXPECT_EQ(test, 0, dma_fence_get_status(out));
	KUNIT_EXPECT_PTR_EQ(test, out, explicit_fence(test, vb2_get_buffer(&program->q, 0)));
	close_fd(fd);
	finish(test, program);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(out));

	dma_fence_put(out);
	/* It is the program's. */
	KUNIT_EXPECT_EQ(test, 0, close_fd(in));
	dma_fence_put(ended);
}

static void expect_refused(struct kunit *test, struct program *program, long error,
			   unsigned int cmd, u32 flags, int fd)
{
	struct vb2_buffer *vb = vb2_get_buffer(&program->q, 0);
	const enum vb2_buffer_state state = vb->state;
	const int next = node_next_fd(test);

	KUNIT_EXPECT_EQ(test, error, call(test, program, cmd, flags, fd));
	KUNIT_EXPECT_EQ(test, state, vb->state);
	KUNIT_EXPECT_EQ(test, next, node_next_fd(test));
}

static void invalid_arguments(struct kunit *test)
{
	struct program *program = open_program(test, true, true);
	struct dma_fence *ended = dma_fence_allocate_private_stub(ktime_get());
	const int in = explicit_descriptor(test, ended);

	expect_refused(test, program, -EINVAL, VIDIOC_QBUF, V4L2_BUF_FLAG_IN_FENCE, -1);
	expect_refused(test, program, -EINVAL, VIDIOC_QBUF, V4L2_BUF_FLAG_IN_FENCE, 1000);
	expect_refused(test, program, -EINVAL, VIDIOC_PREPARE_BUF, V4L2_BUF_FLAG_IN_FENCE, in);
	expect_refused(test, program, -EINVAL, VIDIOC_PREPARE_BUF, V4L2_BUF_FLAG_OUT_FENCE, 0);
	expect_refused(test, program, -EAGAIN, VIDIOC_QBUF, FLAGS, in);
	expect_refused(test, program, -EINVAL, VIDIOC_QBUF,
		       V4L2_BUF_FLAG_OUT_FENCE | V4L2_BUF_FLAG_REQUEST_FD, 0);
	expect_refused(test, program, -EINVAL, VIDIOC_QBUF,
		       V4L2_BUF_FLAG_IN_FENCE | V4L2_BUF_FLAG_REQUEST_FD, in);
	streamon(test, program);
	expect_refused(test, program, -EINVAL, VIDIOC_QBUF, FLAGS, -1);
	KUNIT_ASSERT_EQ(test, 0, call(test, program, VIDIOC_QBUF, 0, 0));
	/* It is queued already. */
	expect_refused(test, program, -EINVAL, VIDIOC_QBUF, FLAGS, in);
	finish(test, program);
	close_fd(in);
	dma_fence_put(ended);
}

static void no_out_fences(struct kunit *test)
{
	struct program *program = open_program(test, true, false);

	streamon(test, program);
	expect_refused(test, program, -EINVAL, VIDIOC_QBUF, V4L2_BUF_FLAG_OUT_FENCE, 0);
	KUNIT_EXPECT_EQ(test, 0, call(test, program, VIDIOC_QBUF, 0, 0));
}

/* To a queue without either capability they are flags that it does not know. */
static void ignored(struct kunit *test)
{
	struct program *program = open_program(test, false, false);

	KUNIT_EXPECT_EQ(test, 0, call(test, program, VIDIOC_PREPARE_BUF, FLAGS, -1));
	streamon(test, program);
	KUNIT_EXPECT_EQ(test, 0, call(test, program, VIDIOC_QBUF, FLAGS, -1));
	KUNIT_EXPECT_EQ(test, 0, program->arg.fence_fd);
	KUNIT_EXPECT_EQ(test, FLAGS, program->arg.flags & FLAGS);
}

static void unmap_argument(void)
{
	vm_munmap(program_of->user, PAGE_SIZE);
}

/* The buffer stays queued, and its job ends. The program has no descriptor. */
static void argument_goes_away(struct kunit *test)
{
	struct program *program = open_program(test, true, true);
	const int fd = node_next_fd(test);
	struct dma_fence *out;

	streamon(test, program);
	node_on_qbuf = unmap_argument;
	KUNIT_EXPECT_EQ(test, -EFAULT,
			call(test, program, VIDIOC_QBUF, V4L2_BUF_FLAG_OUT_FENCE, 0));
	KUNIT_EXPECT_EQ(test, fd, node_next_fd(test));
	KUNIT_EXPECT_EQ(test, VB2_BUF_STATE_ACTIVE, vb2_get_buffer(&program->q, 0)->state);
	out = explicit_fence(test, vb2_get_buffer(&program->q, 0));
	KUNIT_EXPECT_EQ(test, 0, dma_fence_get_status(out));
	/* Of the slot, of the reservation object, and of the case */
	KUNIT_EXPECT_TRUE(test, node_fence_reaches(out, 3));
	vb2_buffer_done(vb2_get_buffer(&program->q, 0), VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(out));
}

static void no_descriptor_left(struct kunit *test)
{
	struct program *program = open_program(test, true, true);

	streamon(test, program);
	node_allow_no_descriptor(test);
	KUNIT_EXPECT_EQ(test, -EMFILE,
			call(test, program, VIDIOC_QBUF, V4L2_BUF_FLAG_OUT_FENCE, 0));
	KUNIT_EXPECT_EQ(test, VB2_BUF_STATE_DEQUEUED, vb2_get_buffer(&program->q, 0)->state);
	KUNIT_EXPECT_EQ(test, -EINVAL, explicit_error(vb2_get_buffer(&program->q, 0)));
	KUNIT_EXPECT_EQ(test, 0, call(test, program, VIDIOC_QBUF, 0, 0));
}

static struct kunit_case qbuf_cases[] = {
	KUNIT_CASE(descriptors),
	KUNIT_CASE(invalid_arguments),
	KUNIT_CASE(no_out_fences),
	KUNIT_CASE(ignored),
	KUNIT_CASE(argument_goes_away),
	KUNIT_CASE(no_descriptor_left),
	{ }
};

static struct kunit_suite qbuf_suite = {
	.name = "vb2-release-fence-qbuf",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = mock_init,
	.test_cases = qbuf_cases,
};

kunit_test_suite(qbuf_suite);
