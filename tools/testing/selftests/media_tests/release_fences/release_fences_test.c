// SPDX-License-Identifier: GPL-2.0-only
/*
 * Release fences of videobuf2: what someone who shares the buffers of a V4L2 device learns from
 * their dma-bufs, before, during and after a job of the test driver vim2m.
 *
 * Each case runs with release fences and without, and with CAPTURE memory of the driver and of the
 * system dma-heap. What is missing for a case makes it a skipped one, with the reason.
 */

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/sync_file.h>
#include <linux/videodev2.h>

#include "kselftest_harness.h"

#define PARAMETER	"/sys/module/vim2m/parameters/release_fences"
#define HEAP		"/dev/dma_heap/system"

/* The driver's own control: how long a job takes, in milliseconds. */
#define CID_JOB_MS	(V4L2_CID_USER_BASE + 0x1000)
#define JOB_MS		400
/* If that was over before the case had asked: the machine stood still for a while. */
#define LONGER		4
#define LONGEST_MS	(JOB_MS * LONGER * LONGER)
/* For what comes by itself. Long: the machine may be an emulated and busy one. */
#define SOON_MS		20000

#define BUFFERS		2

/* Of a sync_file; 1 and negative errors are the kernel's. */
#define PENDING		0
#define NO_FENCE	1000

static const __u32 capture = V4L2_BUF_TYPE_VIDEO_CAPTURE;
static const __u32 output = V4L2_BUF_TYPE_VIDEO_OUTPUT;

static int open_vim2m(void)
{
	struct v4l2_capability cap;
	glob_t nodes;
	int fd = -1;
	size_t i;

	if (glob("/dev/video*", 0, NULL, &nodes))
		return -1;
	for (i = 0; i < nodes.gl_pathc && fd < 0; i++) {
		fd = open(nodes.gl_pathv[i], O_RDWR | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			continue;
		memset(&cap, 0, sizeof(cap));
		if (!ioctl(fd, VIDIOC_QUERYCAP, &cap) && !strcmp((char *)cap.driver, "vim2m"))
			break;
		close(fd);
		fd = -1;
	}
	globfree(&nodes);
	return fd;
}

static bool write_flag(const char *path, bool on)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, on ? "1" : "0", 1) == 1;

	if (fd >= 0)
		close(fd);
	return done;
}

static int heap_alloc(size_t size)
{
	struct dma_heap_allocation_data data = { .len = size, .fd_flags = O_RDWR | O_CLOEXEC };
	int heap = open(HEAP, O_RDWR | O_CLOEXEC);
	int ret;

	if (heap < 0)
		return -1;
	ret = ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &data);
	close(heap);
	return ret ? -1 : (int)data.fd;
}

/* Whether a dma-buf, or a node, is ready for @event within @ms. */
static bool ready_for(int dmabuf, short event, int ms)
{
	struct pollfd pollfd = { .fd = dmabuf, .events = event };

	return poll(&pollfd, 1, ms) == 1 && (pollfd.revents & event);
}

/* The same for both of @events: at once, poll() would wait until there is one. */
static bool ready(int dmabuf, short events, int ms)
{
	return (!(events & POLLIN) || ready_for(dmabuf, POLLIN, ms)) &&
	       (!(events & POLLOUT) || ready_for(dmabuf, POLLOUT, ms));
}

/* A sync_file of what a reader (DMA_BUF_SYNC_READ) or a writer of the dma-buf would wait for */
static int fence_of(int dmabuf, __u32 flags)
{
	struct dma_buf_export_sync_file export = { .flags = flags, .fd = -1 };

	return ioctl(dmabuf, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &export) ? -1 : export.fd;
}

static int status_of(int fence)
{
	struct sync_file_info info = {};

	return ioctl(fence, SYNC_IOC_FILE_INFO, &info) ? NO_FENCE : info.status;
}

/* The same, after the fence has ended. */
static int end_of(int fence)
{
	struct pollfd pollfd = { .fd = fence, .events = POLLIN };

	poll(&pollfd, 1, SOON_MS);
	return status_of(fence);
}

/**
 * struct vim2m - an open file that is streaming, with BUFFERS buffers on both sides
 * @fd: the file
 * @memory: V4L2_MEMORY_ of the CAPTURE buffers
 * @job_ms: how long a job takes
 * @pictures: dma-bufs of the CAPTURE buffers
 * @inputs: dma-bufs of the OUTPUT buffers
 */
struct vim2m {
	int fd;
	__u32 memory;
	int job_ms;
	int pictures[BUFFERS];
	int inputs[BUFFERS];
};

/*
 * @vim2m: the device
 * @fence: that a case took
 * @changed: the parameter has to be put back
 * @was_on: to this
 */
FIXTURE(release_fences) {
	struct vim2m vim2m;
	int fence;
	bool changed;
	bool was_on;
};

FIXTURE_VARIANT(release_fences) {
	bool on;
	__u32 memory;
};

FIXTURE_VARIANT_ADD(release_fences, on_exported) {
	.on = true,
	.memory = V4L2_MEMORY_MMAP,
};

FIXTURE_VARIANT_ADD(release_fences, on_imported) {
	.on = true,
	.memory = V4L2_MEMORY_DMABUF,
};

FIXTURE_VARIANT_ADD(release_fences, off_exported) {
	.on = false,
	.memory = V4L2_MEMORY_MMAP,
};

FIXTURE_VARIANT_ADD(release_fences, off_imported) {
	.on = false,
	.memory = V4L2_MEMORY_DMABUF,
};

static void add_buffers(struct __test_metadata *_metadata, int fd, __u32 type, __u32 memory,
			int *dmabufs)
{
	struct v4l2_requestbuffers request = { .count = BUFFERS, .type = type, .memory = memory };
	struct v4l2_format format = { .type = type };
	unsigned int i;

	ASSERT_EQ(0, ioctl(fd, VIDIOC_G_FMT, &format));
	ASSERT_EQ(0, ioctl(fd, VIDIOC_REQBUFS, &request));
	ASSERT_EQ(BUFFERS, request.count);
	for (i = 0; i < BUFFERS; i++) {
		struct v4l2_exportbuffer export = {
			.type = type, .index = i, .flags = O_RDWR | O_CLOEXEC,
		};

		if (memory == V4L2_MEMORY_MMAP) {
			ASSERT_EQ(0, ioctl(fd, VIDIOC_EXPBUF, &export));
			dmabufs[i] = export.fd;
		} else {
			dmabufs[i] = heap_alloc(format.fmt.pix.sizeimage);
			ASSERT_LE(0, dmabufs[i]);
		}
	}
}

static void set_job_ms(struct __test_metadata *_metadata, struct vim2m *vim2m, int ms)
{
	struct v4l2_control job = { .id = CID_JOB_MS, .value = ms };

	ASSERT_EQ(0, ioctl(vim2m->fd, VIDIOC_S_CTRL, &job));
	vim2m->job_ms = ms;
}

FIXTURE_SETUP(release_fences)
{
	char old = 0;
	int fd;

	self->vim2m.fd = -1;
	self->fence = -1;
	memset(self->vim2m.pictures, -1, sizeof(self->vim2m.pictures));
	memset(self->vim2m.inputs, -1, sizeof(self->vim2m.inputs));
	self->vim2m.memory = variant->memory;
	self->changed = false;
	fd = open(PARAMETER, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		SKIP(return, "no " PARAMETER ": is vim2m there, with release fences?");
	ASSERT_EQ(1, read(fd, &old, 1));
	close(fd);
	self->was_on = old == 'Y';
	if (variant->memory == V4L2_MEMORY_DMABUF && access(HEAP, R_OK))
		SKIP(return, "no " HEAP ": CONFIG_DMABUF_HEAPS_SYSTEM is needed");
	if (!write_flag(PARAMETER, variant->on))
		SKIP(return, PARAMETER " cannot be written: not root?");
	self->changed = true;
	self->vim2m.fd = open_vim2m();
	if (self->vim2m.fd < 0)
		SKIP(return, "no /dev/video* of vim2m that can be opened");

	set_job_ms(_metadata, &self->vim2m, JOB_MS);
	add_buffers(_metadata, self->vim2m.fd, output, V4L2_MEMORY_MMAP, self->vim2m.inputs);
	add_buffers(_metadata, self->vim2m.fd, capture, variant->memory, self->vim2m.pictures);
	ASSERT_EQ(0, ioctl(self->vim2m.fd, VIDIOC_STREAMON, &output));
	ASSERT_EQ(0, ioctl(self->vim2m.fd, VIDIOC_STREAMON, &capture));
}

FIXTURE_TEARDOWN(release_fences)
{
	unsigned int i;

	for (i = 0; i < BUFFERS; i++) {
		close(self->vim2m.pictures[i]);
		close(self->vim2m.inputs[i]);
	}
	close(self->fence);
	close(self->vim2m.fd);
	if (self->changed)
		EXPECT_TRUE(write_flag(PARAMETER, self->was_on));
}

static void queue(struct __test_metadata *_metadata, int fd, __u32 type, __u32 memory,
		  unsigned int index, int dmabuf)
{
	struct v4l2_format format = { .type = type };
	struct v4l2_buffer buf = { .type = type, .memory = memory, .index = index };

	ASSERT_EQ(0, ioctl(fd, VIDIOC_G_FMT, &format));
	buf.bytesused = format.fmt.pix.sizeimage;
	if (memory == V4L2_MEMORY_DMABUF) {
		buf.m.fd = dmabuf;
		buf.length = format.fmt.pix.sizeimage;
	}
	ASSERT_EQ(0, ioctl(fd, VIDIOC_QBUF, &buf));
}

/* If no other job runs, this one does, then. */
static void start(struct __test_metadata *_metadata, struct vim2m *vim2m,
		  unsigned int index)
{
	queue(_metadata, vim2m->fd, capture, vim2m->memory, index, vim2m->pictures[index]);
	queue(_metadata, vim2m->fd, output, V4L2_MEMORY_MMAP, index, -1);
}

/* Waits for the end of a job. */
static void dequeue(struct __test_metadata *_metadata, struct vim2m *vim2m)
{
	struct pollfd pollfd = { .fd = vim2m->fd, .events = POLLIN };
	struct v4l2_buffer picture = { .type = capture, .memory = vim2m->memory };
	struct v4l2_buffer input = { .type = output, .memory = V4L2_MEMORY_MMAP };

	ASSERT_EQ(1, poll(&pollfd, 1, SOON_MS));
	ASSERT_EQ(0, ioctl(vim2m->fd, VIDIOC_DQBUF, &picture));
	ASSERT_EQ(0, ioctl(vim2m->fd, VIDIOC_DQBUF, &input));
	EXPECT_EQ(0, picture.flags & V4L2_BUF_FLAG_ERROR);
}

/* Whether the node says that a job has ended. */
static bool has_ended(struct vim2m *vim2m)
{
	return ready(vim2m->fd, POLLIN, 0);
}

/* Behind another job, a job starts from a work item: a fence can take a moment to be there. */
static bool becomes_busy(struct vim2m *vim2m, int dmabuf)
{
	while (!has_ended(vim2m)) {
		if (!ready(dmabuf, POLLIN, 0))
			return true;
		usleep(1000);
	}
	return false;
}

/*
 * What was asked while a job runs says something only if it still ran then. If it did not, all
 * @jobs are dequeued and take longer from now on: the case starts them again, and asks again.
 */
static bool asked_too_late(struct __test_metadata *_metadata, struct vim2m *vim2m,
			   unsigned int jobs)
{
	if (!has_ended(vim2m) || vim2m->job_ms == LONGEST_MS)
		return false;
	while (jobs--)
		dequeue(_metadata, vim2m);
	TH_LOG("a job of %d ms had ended before it was asked about", vim2m->job_ms);
	set_job_ms(_metadata, vim2m, vim2m->job_ms * LONGER);
	return true;
}

/**
 * struct answer - what a dma-buf says while a job runs
 * @reader: a reader can go on
 * @writer: a writer can
 * @status: of the fence that was asked for: PENDING, 1, or an error
 */
struct answer {
	bool reader;
	bool writer;
	int status;
};

/* Starts a job with the first buffers; @fence is the one that a reader or a writer waits for. */
static struct answer ask_during_job(struct __test_metadata *_metadata, struct vim2m *vim2m,
				    int dmabuf, __u32 flags, int *fence)
{
	struct answer answer;

	do {
		close(*fence);
		start(_metadata, vim2m, 0);
		answer.reader = ready(dmabuf, POLLIN, 0);
		answer.writer = ready(dmabuf, POLLOUT, 0);
		*fence = fence_of(dmabuf, flags);
		answer.status = status_of(*fence);
	} while (asked_too_late(_metadata, vim2m, 1));
	return answer;
}

/* A reader of the picture waits for the job; without fences it is told that there is nothing. */
TEST_F(release_fences, picture)
{
	const int picture = self->vim2m.pictures[0];
	struct answer answer;

	EXPECT_TRUE(ready(picture, POLLIN | POLLOUT, 0));
	answer = ask_during_job(_metadata, &self->vim2m, picture, DMA_BUF_SYNC_READ,
				&self->fence);
	EXPECT_EQ(!variant->on, answer.reader);
	EXPECT_EQ(variant->on ? PENDING : 1, answer.status);

	EXPECT_TRUE(ready(picture, POLLIN | POLLOUT, SOON_MS));
	EXPECT_EQ(1, end_of(self->fence));
	dequeue(_metadata, &self->vim2m);
}

/* Its next writer waits too. */
TEST_F(release_fences, picture_for_a_writer)
{
	struct answer answer = ask_during_job(_metadata, &self->vim2m, self->vim2m.pictures[0],
					      DMA_BUF_SYNC_WRITE, &self->fence);

	EXPECT_EQ(!variant->on, answer.writer);
	EXPECT_EQ(variant->on ? PENDING : 1, answer.status);
	EXPECT_EQ(1, end_of(self->fence));
}

/* The device only reads its input: who reads it, too, need not wait, who writes it has to. */
TEST_F(release_fences, input)
{
	struct answer answer = ask_during_job(_metadata, &self->vim2m, self->vim2m.inputs[0],
					      DMA_BUF_SYNC_WRITE, &self->fence);

	EXPECT_TRUE(answer.reader);
	EXPECT_EQ(!variant->on, answer.writer);
	EXPECT_EQ(variant->on ? PENDING : 1, answer.status);
	EXPECT_EQ(1, end_of(self->fence));
	EXPECT_TRUE(ready(self->vim2m.inputs[0], POLLOUT, SOON_MS));
}

/* A fence comes with the start of a job, so that it ends in a finite time; not before. */
TEST_F(release_fences, waiting_job)
{
	bool picture, input;

	do {
		start(_metadata, &self->vim2m, 0);
		start(_metadata, &self->vim2m, 1);
		picture = ready(self->vim2m.pictures[1], POLLIN | POLLOUT, 0);
		input = ready(self->vim2m.inputs[1], POLLIN | POLLOUT, 0);
	} while (asked_too_late(_metadata, &self->vim2m, 2));
	EXPECT_TRUE(picture);
	EXPECT_TRUE(input);
	dequeue(_metadata, &self->vim2m);
	dequeue(_metadata, &self->vim2m);
	EXPECT_TRUE(ready(self->vim2m.pictures[1], POLLIN | POLLOUT, 0));
}

/* When the node says that the job is done, the dma-buf does, too. */
TEST_F(release_fences, not_after_the_node)
{
	struct pollfd node = { .fd = self->vim2m.fd, .events = POLLIN };
	unsigned int i;

	for (i = 0; i < 3; i++) {
		start(_metadata, &self->vim2m, 0);
		ASSERT_EQ(1, poll(&node, 1, SOON_MS));
		EXPECT_TRUE(ready(self->vim2m.pictures[0], POLLIN | POLLOUT, 0));
		EXPECT_TRUE(ready(self->vim2m.inputs[0], POLLIN | POLLOUT, 0));
		dequeue(_metadata, &self->vim2m);
	}
}

/* What was asked for in a job speaks of this job, not of the next one with the same buffer. */
TEST_F(release_fences, of_one_job)
{
	bool busy;

	start(_metadata, &self->vim2m, 0);
	self->fence = fence_of(self->vim2m.pictures[0], DMA_BUF_SYNC_READ);
	dequeue(_metadata, &self->vim2m);
	do {
		start(_metadata, &self->vim2m, 0);
		busy = becomes_busy(&self->vim2m, self->vim2m.pictures[0]);
	} while (!busy && variant->on && asked_too_late(_metadata, &self->vim2m, 1));
	EXPECT_EQ(variant->on, busy);
	EXPECT_EQ(1, status_of(self->fence));
	dequeue(_metadata, &self->vim2m);
}

/* DMA_BUF_IOCTL_SYNC, with which a processor begins to read, waits. */
TEST_F(release_fences, processor)
{
	struct dma_buf_sync sync = { .flags = DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ };

	start(_metadata, &self->vim2m, 0);
	self->fence = fence_of(self->vim2m.pictures[0], DMA_BUF_SYNC_READ);
	ASSERT_EQ(0, ioctl(self->vim2m.pictures[0], DMA_BUF_IOCTL_SYNC, &sync));
	EXPECT_EQ(1, status_of(self->fence));
	sync.flags = DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ;
	EXPECT_EQ(0, ioctl(self->vim2m.pictures[0], DMA_BUF_IOCTL_SYNC, &sync));
}

/* The job is ended by STREAMOFF: so is the fence, soon, and the buffers are free. */
TEST_F(release_fences, streamoff)
{
	start(_metadata, &self->vim2m, 0);
	self->fence = fence_of(self->vim2m.pictures[0], DMA_BUF_SYNC_READ);
	ASSERT_EQ(0, ioctl(self->vim2m.fd, VIDIOC_STREAMOFF, &capture));
	EXPECT_NE(PENDING, status_of(self->fence));
	EXPECT_NE(NO_FENCE, status_of(self->fence));
	EXPECT_TRUE(ready(self->vim2m.pictures[0], POLLIN | POLLOUT, 0));
	EXPECT_EQ(0, ioctl(self->vim2m.fd, VIDIOC_STREAMOFF, &output));
	EXPECT_TRUE(ready(self->vim2m.inputs[0], POLLIN | POLLOUT, 0));
}

/* Nobody is left who could take the picture: who waits for it is not left alone. */
TEST_F(release_fences, close)
{
	start(_metadata, &self->vim2m, 0);
	self->fence = fence_of(self->vim2m.pictures[0], DMA_BUF_SYNC_READ);
	ASSERT_EQ(0, close(self->vim2m.fd));
	self->vim2m.fd = -1;
	EXPECT_NE(PENDING, status_of(self->fence));
	EXPECT_NE(NO_FENCE, status_of(self->fence));
	EXPECT_TRUE(ready(self->vim2m.pictures[0], POLLIN | POLLOUT, 0));
	EXPECT_TRUE(ready(self->vim2m.inputs[0], POLLIN | POLLOUT, 0));
}

TEST_HARNESS_MAIN
