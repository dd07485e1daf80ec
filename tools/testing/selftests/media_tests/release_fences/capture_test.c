// SPDX-License-Identifier: GPL-2.0-only
/*
 * Acquire and release fences of capture and output devices, on the test driver vivid: a buffer that
 * others still read is written when they have finished, and those who import it know when it is
 * written.
 *
 * Each case runs with the fences and without. The driver is bound anew for that.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <linux/media.h>

#include "kselftest_harness.h"
#include "fence_trace.h"
#include "m2m.h"

#define RELEASE_FENCES	"/sys/module/vivid/parameters/release_fences"
#define ACQUIRE_FENCES	"/sys/module/vivid/parameters/acquire_fences"
#define ACQUIRE_TIMEOUT	"/sys/module/videobuf2_common/parameters/acquire_fence_timeout_ms"

/* No case waits for this one, in milliseconds; one that does waits for the other one. */
#define LONGEST_TIMEOUT	"10000"
#define SHORT_MS	300
#define SHORT_TIMEOUT	"300"

/* Several pictures, at 25 a second: what must not be written would have been. */
#define A_WHILE_MS	300
/* So often a picture that is being drawn is seen without a fence, if there are none. */
#define PICTURES	10

/* No picture has this everywhere. */
#define BLANK		0xa5

/* The driver's own control, a text */
#define CID_STRING	((V4L2_CID_USER_BASE | 0xf000) + 5)

/* Status of a sync_file; 1 and negative errors are the kernel's. */
#define PENDING		0

#define FENCE_CAPS	(V4L2_BUF_CAP_SUPPORTS_RELEASE_FENCES | \
			 V4L2_BUF_CAP_SUPPORTS_ACQUIRE_FENCES)

static const struct test_device device_vivid = {
	.device = "vivid.0",
	.driver = "vivid",
	.module = "vivid",
};

/**
 * struct video - an open node, and others who use its buffers
 * @m2m: the node, of which one side is used
 * @side: which one that is
 * @timeline: of sw_sync
 * @fence: of it, pending until the timeline is stepped
 */
struct video {
	struct m2m m2m;
	enum m2m_side side;
	int timeline;
	int fence;
};

/*
 * @video: the node
 * @sync_file: that a case took
 * @timeout: the parameter, to be put back; empty if it was not changed
 */
FIXTURE(capture) {
	struct video video;
	int sync_file;
	char timeout[16];
};

FIXTURE_VARIANT(capture) {
	bool on;
	int (*buffers)(struct m2m *m2m, enum m2m_side side, unsigned int count);
};

FIXTURE_VARIANT_ADD(capture, on_exported) {
	.on = true,
	.buffers = m2m_alloc,
};

FIXTURE_VARIANT_ADD(capture, on_imported) {
	.on = true,
	.buffers = m2m_import,
};

FIXTURE_VARIANT_ADD(capture, off_exported) {
	.on = false,
	.buffers = m2m_alloc,
};

static int keep_format(struct m2m *m2m, enum m2m_side side)
{
	struct v4l2_format format = { .type = m2m_type(m2m, side) };
	struct v4l2_pix_format_mplane *pix = &m2m->queues[side].pix;

	if (ioctl(m2m->fd, VIDIOC_G_FMT, &format))
		return -errno;
	pix->num_planes = 1;
	pix->plane_fmt[0].sizeimage = format.fmt.pix.sizeimage;
	return 0;
}

/* The driver looks at the parameters when it is bound, and has done so if they are right. */
static int set_parameter(const char *path, bool on)
{
	char text[8];
	int ret = read_text(path, text, sizeof(text));

	if (ret || (text[0] == 'Y') == on)
		return ret;
	ret = device_bind(&device_vivid, false);
	return ret ? ret : write_text(path, on ? "1" : "0");
}

static int bind_with_fences(bool on)
{
	int ret = set_parameter(RELEASE_FENCES, on);

	ret = ret ? ret : set_parameter(ACQUIRE_FENCES, on);
	return ret ? ret : device_bind(&device_vivid, true);
}

FIXTURE_SETUP(capture)
{
	const char *missing = device_start(&device_vivid);

	m2m_init(&self->video.m2m);
	self->video.m2m.single = true;
	self->video.side = M2M_CAPTURE;
	self->video.timeline = -1;
	self->video.fence = -1;
	self->sync_file = -1;
	if (missing)
		SKIP(return, "%s", missing);
	if (variant->buffers == m2m_import && access(HEAP, R_OK))
		SKIP(return, "no " HEAP ": CONFIG_DMABUF_HEAPS_SYSTEM is needed");
	self->video.timeline = open(SW_SYNC, O_RDWR | O_CLOEXEC);
	if (self->video.timeline < 0)
		SKIP(return, "no " SW_SYNC ": CONFIG_SW_SYNC=y is needed");
	self->video.fence = sw_sync_fence(self->video.timeline, 1);
	ASSERT_LE(0, self->video.fence);
	ASSERT_EQ(0, read_text(ACQUIRE_TIMEOUT, self->timeout, sizeof(self->timeout)));
	ASSERT_EQ(0, write_text(ACQUIRE_TIMEOUT, LONGEST_TIMEOUT));
	ASSERT_EQ(0, bind_with_fences(variant->on));
	self->video.m2m.fd = open_node_with(&device_vivid, V4L2_CAP_VIDEO_CAPTURE);
	ASSERT_LE(0, self->video.m2m.fd);
	ASSERT_EQ(0, m2m_format(&self->video.m2m, M2M_CAPTURE, V4L2_PIX_FMT_YUYV, 1280, 720, 0));
	ASSERT_EQ(0, variant->buffers(&self->video.m2m, M2M_CAPTURE, M2M_BUFFERS));
}

FIXTURE_TEARDOWN(capture)
{
	close_fd(&self->sync_file);
	close_fd(&self->video.fence);
	close_fd(&self->video.timeline);
	m2m_close(&self->video.m2m);
	if (self->timeout[0]) {
		EXPECT_EQ(0, write_text(ACQUIRE_TIMEOUT, self->timeout));
		EXPECT_EQ(0, bind_with_fences(true));
	}
}

static struct m2m_buffer *buffer_of(struct video *video, unsigned int index)
{
	return &video->m2m.queues[video->side].buffers[index];
}

/* DMA_BUF_IOCTL_IMPORT_SYNC_FILE: others use the buffer until the timeline is stepped. */
static int use(struct video *video, unsigned int index, __u32 flags)
{
	struct dma_buf_import_sync_file import = { .flags = flags, .fd = video->fence };

	return ioctl(buffer_of(video, index)->dmabuf, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &import) ?
	       -errno : 0;
}

static int step(struct video *video)
{
	__u32 by = 1;

	return ioctl(video->timeline, SW_SYNC_IOC_INC, &by) ? -errno : 0;
}

static void blank(struct m2m_buffer *buffer)
{
	memset(buffer->data, BLANK, buffer->size);
}

static bool is_blank(const struct m2m_buffer *buffer)
{
	size_t i;

	for (i = 0; i < buffer->size; i++)
		if (buffer->data[i] != BLANK)
			return false;
	return true;
}

static int queue(struct video *video, unsigned int index)
{
	const struct m2m_queue *queue = &video->m2m.queues[video->side];
	const struct m2m_qbuf how = {
		.bytes = video->side == M2M_OUTPUT ? queue->pix.plane_fmt[0].sizeimage : 0,
	};

	return m2m_qbuf(&video->m2m, video->side, index, &how);
}

/* The index of the next buffer that is done, or a negative error. */
static int dequeue(struct video *video, int ms)
{
	struct v4l2_buffer buf;
	int ret = m2m_dqbuf(&video->m2m, video->side, ms, &buf);

	return ret ? ret : (int)buf.index;
}

/* All buffers are queued, in this order, and others use the first one. */
static void queue_all(struct __test_metadata *_metadata, struct video *video, __u32 flags)
{
	unsigned int i;

	ASSERT_EQ(0, use(video, 0, flags));
	for (i = 0; i < M2M_BUFFERS; i++) {
		if (video->side == M2M_CAPTURE)
			blank(buffer_of(video, i));
		ASSERT_EQ(0, queue(video, i));
	}
	ASSERT_EQ(0, m2m_stream(&video->m2m, video->side, true));
}

static void dequeue_in_order(struct __test_metadata *_metadata, struct video *video,
			     int count)
{
	int i;

	for (i = 0; i < count; i++)
		ASSERT_EQ(i, dequeue(video, SOON_MS));
}

/* A buffer that is still read is not written, nor is one that was queued after it. */
TEST_F(capture, reader)
{
	unsigned int i;

	queue_all(_metadata, &self->video, DMA_BUF_SYNC_READ);
	if (variant->on) {
		EXPECT_EQ(-EAGAIN, dequeue(&self->video, A_WHILE_MS));
		for (i = 0; i < M2M_BUFFERS; i++)
			EXPECT_TRUE(is_blank(buffer_of(&self->video, i)));
		ASSERT_EQ(0, step(&self->video));
	}
	dequeue_in_order(_metadata, &self->video, M2M_BUFFERS);
	for (i = 0; i < M2M_BUFFERS; i++)
		EXPECT_FALSE(is_blank(buffer_of(&self->video, i)));
}

/* What was queued before is. */
TEST_F(capture, reader_of_the_second)
{
	ASSERT_EQ(0, m2m_stream(&self->video.m2m, M2M_CAPTURE, true));
	blank(buffer_of(&self->video, 1));
	ASSERT_EQ(0, use(&self->video, 1, DMA_BUF_SYNC_READ));
	ASSERT_EQ(0, queue(&self->video, 0));
	ASSERT_EQ(0, queue(&self->video, 1));
	EXPECT_EQ(0, dequeue(&self->video, SOON_MS));
	if (variant->on) {
		EXPECT_EQ(-EAGAIN, dequeue(&self->video, A_WHILE_MS));
		EXPECT_TRUE(is_blank(buffer_of(&self->video, 1)));
		/* It can be queued again while the other one waits, and comes behind it. */
		ASSERT_EQ(0, queue(&self->video, 0));
		ASSERT_EQ(0, step(&self->video));
		EXPECT_EQ(1, dequeue(&self->video, SOON_MS));
		EXPECT_EQ(0, dequeue(&self->video, SOON_MS));
	} else {
		EXPECT_EQ(1, dequeue(&self->video, SOON_MS));
	}
}

/* The reader has died: after the timeout the device goes on. */
TEST_F(capture, given_up)
{
	long long begin;

	ASSERT_EQ(0, write_text(ACQUIRE_TIMEOUT, SHORT_TIMEOUT));
	begin = now_ms();
	queue_all(_metadata, &self->video, DMA_BUF_SYNC_READ);
	dequeue_in_order(_metadata, &self->video, M2M_BUFFERS);
	if (variant->on)
		EXPECT_LE(SHORT_MS - 1, now_ms() - begin);
}

/* STREAMOFF does not wait for the reader, and what was queued is not written afterwards. */
TEST_F(capture, streamoff)
{
	queue_all(_metadata, &self->video, DMA_BUF_SYNC_READ);
	ASSERT_EQ(0, m2m_stream(&self->video.m2m, M2M_CAPTURE, false));
	EXPECT_EQ(PENDING, fence_status(self->video.fence));
	if (!variant->on)
		return;
	ASSERT_EQ(0, step(&self->video));
	ASSERT_EQ(0, m2m_stream(&self->video.m2m, M2M_CAPTURE, true));
	sleep_ms(A_WHILE_MS);
	EXPECT_TRUE(is_blank(buffer_of(&self->video, 0)));
	ASSERT_EQ(0, queue(&self->video, 2));
	EXPECT_EQ(2, dequeue(&self->video, SOON_MS));
}

/* Nor do close() and the removal of the device. */
TEST_F(capture, close)
{
	queue_all(_metadata, &self->video, DMA_BUF_SYNC_READ);
	m2m_close_node(&self->video.m2m);
	EXPECT_EQ(PENDING, fence_status(self->video.fence));
	ASSERT_EQ(0, step(&self->video));
	sleep_ms(A_WHILE_MS);
	if (variant->on)
		EXPECT_TRUE(is_blank(buffer_of(&self->video, 0)));
}

TEST_F(capture, unbind)
{
	queue_all(_metadata, &self->video, DMA_BUF_SYNC_READ);
	ASSERT_EQ(0, device_bind(&device_vivid, false));
	EXPECT_EQ(PENDING, fence_status(self->video.fence));
	ASSERT_EQ(0, step(&self->video));
	sleep_ms(A_WHILE_MS);
	if (variant->on)
		EXPECT_TRUE(is_blank(buffer_of(&self->video, 0)));
}

/* A request whose buffer waits is completed by STREAMOFF. */
TEST_F(capture, request)
{
	struct m2m_qbuf how = { .flags = V4L2_BUF_FLAG_REQUEST_FD };
	struct pollfd done = { .events = POLLPRI };
	int node, media, request;

	node = open_node(&device_vivid, &media);
	ASSERT_LE(0, node);
	ASSERT_EQ(0, ioctl(media, MEDIA_IOC_REQUEST_ALLOC, &request));
	how.request = request;
	ASSERT_EQ(0, use(&self->video, 0, DMA_BUF_SYNC_READ));
	ASSERT_EQ(0, m2m_qbuf(&self->video.m2m, M2M_CAPTURE, 0, &how));
	ASSERT_EQ(0, ioctl(request, MEDIA_REQUEST_IOC_QUEUE));
	ASSERT_EQ(0, m2m_stream(&self->video.m2m, M2M_CAPTURE, true));
	done.fd = request;
	EXPECT_EQ(!variant->on, poll(&done, 1, variant->on ? A_WHILE_MS : SOON_MS));
	ASSERT_EQ(0, m2m_stream(&self->video.m2m, M2M_CAPTURE, false));
	EXPECT_EQ(1, poll(&done, 1, SOON_MS));
	close_fd(&request);
	close_fd(&media);
	close_fd(&node);
}

/* The lock of a control is held while its value is copied from user space; lockdep sees it. */
static int set_string(int fd)
{
	char text[] = "abcd";
	struct v4l2_ext_control control = {
		.id = CID_STRING, .size = sizeof(text), .string = text,
	};
	struct v4l2_ext_controls controls = { .count = 1, .controls = &control };

	return ioctl(fd, VIDIOC_S_EXT_CTRLS, &controls) ? -errno : 0;
}

/* The first pixels of a picture are drawn first. */
static bool has_begun(const struct m2m_buffer *buffer)
{
	const __u32 *pixels = (const __u32 *)buffer->data;

	return __atomic_load_n(pixels, __ATOMIC_ACQUIRE) != BLANK * 0x01010101U;
}

/*
 * A picture that is being drawn has a fence. When that is signalled, the buffer can be dequeued.
 * Drawing takes some milliseconds of each 40.
 */
TEST_F(capture, picture)
{
	struct m2m_buffer *buffer = buffer_of(&self->video, 0);
	const long long end = now_ms() + SOON_MS;
	int fenced = 0, unfenced = 0, pictures = 0, ret = 0;

	ASSERT_EQ(0, set_string(self->video.m2m.fd));
	ASSERT_EQ(0, m2m_stream(&self->video.m2m, M2M_CAPTURE, true));
	while (!fenced && (variant->on || pictures < PICTURES) && now_ms() < end) {
		bool begun;

		if (ret != -EAGAIN) {
			ASSERT_EQ(0, ret);
			blank(buffer);
			ASSERT_EQ(0, queue(&self->video, 0));
		}
		/* In this order: what has begun before, and is not done afterwards. */
		begun = has_begun(buffer);
		close_fd(&self->sync_file);
		self->sync_file = dmabuf_fence(buffer->dmabuf, DMA_BUF_SYNC_READ);
		fenced = fence_status(self->sync_file) == PENDING;
		ret = dequeue(&self->video, 0);
		pictures += !ret;
		unfenced += begun && !fenced && ret == -EAGAIN;
	}
	EXPECT_EQ(variant->on, fenced);
	if (!variant->on) {
		/* How often one is looked at while it is drawn depends on the machine. */
		EXPECT_EQ(PICTURES, pictures);
		return;
	}
	EXPECT_EQ(0, unfenced);
	EXPECT_EQ(1, fence_wait(self->sync_file, SOON_MS));
	if (ret == -EAGAIN)
		EXPECT_EQ(0, dequeue(&self->video, 0));
}

static void open_output(struct __test_metadata *_metadata, struct video *video,
			int (*buffers)(struct m2m *m2m, enum m2m_side side, unsigned int count))
{
	m2m_close(&video->m2m);
	m2m_init(&video->m2m);
	video->m2m.single = true;
	video->side = M2M_OUTPUT;
	video->m2m.fd = open_node_with(&device_vivid, V4L2_CAP_VIDEO_OUTPUT);
	ASSERT_LE(0, video->m2m.fd);
	ASSERT_EQ(0, keep_format(&video->m2m, M2M_OUTPUT));
	ASSERT_EQ(0, buffers(&video->m2m, M2M_OUTPUT, M2M_BUFFERS));
}

/* An output buffer that is still written is not shown. The last one of the queue always stays. */
TEST_F(capture, output_writer)
{
	open_output(_metadata, &self->video, variant->buffers);
	queue_all(_metadata, &self->video, DMA_BUF_SYNC_WRITE);
	if (variant->on) {
		EXPECT_EQ(-EAGAIN, dequeue(&self->video, A_WHILE_MS));
		ASSERT_EQ(0, step(&self->video));
	}
	dequeue_in_order(_metadata, &self->video, M2M_BUFFERS - 1);
}

/* One that others read is. Each has a fence, which is signalled at once. */
TEST_F(capture, output_reader)
{
	struct fence_counts counts;

	open_output(_metadata, &self->video, variant->buffers);
	ASSERT_EQ(0, fence_counts_start());
	queue_all(_metadata, &self->video, DMA_BUF_SYNC_READ);
	dequeue_in_order(_metadata, &self->video, M2M_BUFFERS - 1);
	EXPECT_EQ(PENDING, fence_status(self->video.fence));
	m2m_close(&self->video.m2m);
	EXPECT_EQ(0, fence_counts_end(&counts));
	EXPECT_EQ(variant->on ? M2M_BUFFERS - 1 : 0, counts.armed);
	EXPECT_EQ(counts.armed, counts.signalled);
}

/* What the device says of itself. */
TEST_F(capture, capabilities)
{
	const __u32 memory[] = { V4L2_MEMORY_MMAP, V4L2_MEMORY_USERPTR, V4L2_MEMORY_DMABUF };
	unsigned int i;

	ASSERT_EQ(0, m2m_free(&self->video.m2m, M2M_CAPTURE));
	for (i = 0; i < ARRAY_COUNT(memory); i++) {
		struct v4l2_requestbuffers request = {
			.type = m2m_type(&self->video.m2m, M2M_CAPTURE),
			.memory = memory[i],
		};

		ASSERT_EQ(0, ioctl(self->video.m2m.fd, VIDIOC_REQBUFS, &request));
		EXPECT_EQ(variant->on ? FENCE_CAPS : 0, request.capabilities & FENCE_CAPS);
	}
}

TEST_HARNESS_MAIN
