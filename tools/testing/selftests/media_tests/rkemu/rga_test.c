// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests on the emulated media blocks of the RK3566: the blitter's pictures in memory of others, and
 * more than one export of a picture.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/dma-buf.h>

#include "kselftest_harness.h"
#include "jobs.h"

#define LONG_US	600000

FIXTURE(rga) {
	struct jobs jobs;
};

FIXTURE_SETUP(rga)
{
	const char *missing = device_start(&device_rga);

	if (missing)
		SKIP(return, "%s", missing);
	jobs_init(&self->jobs);
	ASSERT_EQ(0, device_defaults(&device_rga));
	ASSERT_EQ(0, knob_set(&device_rga, "delay_us", LONG_US));
}

FIXTURE_TEARDOWN(rga)
{
	jobs_close(&self->jobs);
	EXPECT_EQ(0, device_defaults(&device_rga));
}

static void open_with_heap(struct __test_metadata *_metadata, struct jobs *jobs,
			   enum m2m_side side)
{
	const enum m2m_side own = side == M2M_CAPTURE ? M2M_OUTPUT : M2M_CAPTURE;

	ASSERT_EQ(0, jobs_open_idle(jobs, &job_rga));
	ASSERT_EQ(0, m2m_import(&jobs->m2m, side, JOB_SLOTS)) {
		TH_LOG("is there a /dev/dma_heap/system? CONFIG_DMABUF_HEAPS_SYSTEM is needed");
	}
	ASSERT_EQ(0, m2m_alloc(&jobs->m2m, own, JOB_SLOTS));
	ASSERT_EQ(0, jobs_go(jobs));
}

/* Pictures into buffers of the system's dma-heap: every sharer sees the fence. */
TEST_F_TIMEOUT(rga, imported_picture, CASE_S)
{
	const long completed = knob_get(&device_rga, "completed");
	struct jobs *jobs = &self->jobs;
	int picture, fence;

	open_with_heap(_metadata, jobs, M2M_CAPTURE);
	picture = job_picture(jobs, 0)->dmabuf;
	ASSERT_EQ(0, job_blank(jobs, 0));
	ASSERT_EQ(0, job_start(jobs, 0, 1));
	EXPECT_EQ(0, dmabuf_ready(picture, POLLIN, 0));
	fence = dmabuf_fence(picture, DMA_BUF_SYNC_READ);
	EXPECT_EQ(0, fence_status(fence));
	ASSERT_EQ(completed, knob_get(&device_rga, "completed"));
	EXPECT_EQ(1, dmabuf_ready(picture, POLLIN, SOON_MS));
	EXPECT_TRUE(job_shows(jobs, 0, 1));
	EXPECT_EQ(1, fence_wait(fence, SOON_MS));
	EXPECT_EQ(0, job_end(jobs, 0, 1, SOON_MS));
	close(fence);
}

TEST_F_TIMEOUT(rga, imported_picture_off, CASE_S)
{
	const long completed = knob_get(&device_rga, "completed");
	struct jobs *jobs = &self->jobs;

	ASSERT_EQ(0, fences_set(&device_rga, false));
	open_with_heap(_metadata, jobs, M2M_CAPTURE);
	ASSERT_EQ(0, job_blank(jobs, 0));
	ASSERT_EQ(0, job_start(jobs, 0, 1));
	EXPECT_EQ(1, dmabuf_ready(job_picture(jobs, 0)->dmabuf, POLLIN, 0));
	EXPECT_TRUE(job_shows(jobs, 0, 0));
	ASSERT_EQ(completed, knob_get(&device_rga, "completed"));
	EXPECT_EQ(0, job_end(jobs, 0, 1, SOON_MS));
	EXPECT_TRUE(job_shows(jobs, 0, 1));
}

TEST_F_TIMEOUT(rga, imported_input, CASE_S)
{
	const long completed = knob_get(&device_rga, "completed");
	struct jobs *jobs = &self->jobs;
	int input;

	open_with_heap(_metadata, jobs, M2M_OUTPUT);
	input = job_input(jobs, 0)->dmabuf;
	ASSERT_EQ(0, job_start(jobs, 0, 1));
	EXPECT_EQ(1, dmabuf_ready(input, POLLIN, 0));
	EXPECT_EQ(0, dmabuf_ready(input, POLLOUT, 0));
	ASSERT_EQ(completed, knob_get(&device_rga, "completed"));
	EXPECT_EQ(1, dmabuf_ready(input, POLLOUT, SOON_MS));
	EXPECT_EQ(0, job_end(jobs, 0, 1, SOON_MS));
	EXPECT_TRUE(job_shows(jobs, 0, 1));
}

/* A job that fails ends its fence with an error, also in an imported buffer. */
TEST_F_TIMEOUT(rga, imported_picture_error, CASE_S)
{
	struct jobs *jobs = &self->jobs;
	int fence;

	open_with_heap(_metadata, jobs, M2M_CAPTURE);
	ASSERT_EQ(0, fault_set(&device_rga, "error", 1));
	ASSERT_EQ(0, job_start(jobs, 0, 1));
	fence = dmabuf_fence(job_picture(jobs, 0)->dmabuf, DMA_BUF_SYNC_READ);
	EXPECT_EQ(0, fence_status(fence));
	EXPECT_GT(0, fence_wait(fence, SOON_MS));
	EXPECT_EQ(-EIO, job_end(jobs, 0, 1, SOON_MS));
	close(fence);
}

/* Memory that is larger than a picture: more of its pages than the hardware has to know. */
static void enlarge(struct __test_metadata *_metadata, struct m2m_buffer *buffer)
{
	const size_t size = 3 * buffer->size;

	m2m_buffer_drop(buffer);
	buffer->dmabuf = heap_alloc(size);
	ASSERT_LE(0, buffer->dmabuf);
	ASSERT_EQ(0, m2m_buffer_map(buffer));
}

TEST_F_TIMEOUT(rga, larger_memory, CASE_S)
{
	struct jobs *jobs = &self->jobs;
	unsigned int slot;

	ASSERT_EQ(0, jobs_open_idle(jobs, &job_rga));
	ASSERT_EQ(0, m2m_import(&jobs->m2m, M2M_OUTPUT, JOB_SLOTS));
	ASSERT_EQ(0, m2m_import(&jobs->m2m, M2M_CAPTURE, JOB_SLOTS));
	ASSERT_EQ(0, jobs_go(jobs));
	for (slot = 0; slot < JOB_SLOTS; slot++) {
		enlarge(_metadata, job_input(jobs, slot));
		enlarge(_metadata, job_picture(jobs, slot));
		ASSERT_EQ(0, job_blank(jobs, slot));
		EXPECT_EQ(0, job_run(jobs, slot, slot + 1));
	}
}

static void fill_16_bits(const struct job_kind *kind, __u8 *data, __u32 n)
{
	memset(data, 0x11 * n, 2 * kind->width * kind->height);
}

static bool shows_16_bits(const struct job_kind *kind, const __u8 *data, __u32 n)
{
	unsigned int i;

	for (i = 0; i < 2 * kind->width * kind->height; i++)
		if (data[i] != (n ? 0x11 * n : data[0]))
			return false;
	return true;
}

TEST_F_TIMEOUT(rga, formats_of_16_bits, CASE_S)
{
	static const __u32 formats[] = {
		V4L2_PIX_FMT_ARGB444, V4L2_PIX_FMT_ARGB555, V4L2_PIX_FMT_RGB565,
	};
	unsigned int i;

	ASSERT_EQ(0, knob_set(&device_rga, "delay_us", 1000));
	for (i = 0; i < ARRAY_COUNT(formats); i++) {
		const struct job_kind kind = {
			.dev = &device_rga,
			.input = formats[i],
			.picture = formats[i],
			.width = 64,
			.height = 64,
			.fill = fill_16_bits,
			.shows = shows_16_bits,
		};

		ASSERT_EQ(0, jobs_open(&self->jobs, &kind));
		EXPECT_EQ(formats[i], self->jobs.m2m.queues[M2M_CAPTURE].pix.pixelformat);
		EXPECT_EQ(2 * 64 * 64,
			  self->jobs.m2m.queues[M2M_CAPTURE].pix.plane_fmt[0].sizeimage);
		EXPECT_EQ(0, job_run(&self->jobs, 0, 9));
		EXPECT_EQ(0, job_run(&self->jobs, 1, 10));
		jobs_close(&self->jobs);
		jobs_init(&self->jobs);
	}
}

/* Whether @height lines of @width bytes, @stride bytes apart, are equal. */
static bool same_lines(const __u8 *a, const __u8 *b, unsigned int stride, unsigned int width,
		       unsigned int height)
{
	unsigned int y;

	for (y = 0; y < height; y++)
		if (memcmp(a + y * stride, b + y * stride, width))
			return false;
	return true;
}

/* One job, from an input that is filled up to its end to a blank picture. */
static int copy_all(struct jobs *jobs, __u32 n)
{
	const __u32 bytes = jobs->m2m.queues[M2M_OUTPUT].pix.plane_fmt[0].sizeimage;
	__u8 *input = job_input(jobs, 0)->data;
	unsigned int i;
	int ret;

	for (i = 0; i < bytes; i++)
		input[i] = i * 7 + i / 251;
	ret = job_blank(jobs, 0);
	ret = ret ? ret : job_queue_picture(jobs, 0);
	ret = ret ? ret : m2m_qbuf(&jobs->m2m, M2M_OUTPUT, 0, &(struct m2m_qbuf) {
		.bytes = bytes, .stamp = n,
	});
	return ret ? ret : job_end(jobs, 0, n, SOON_MS);
}

/* Sizes that are no multiple of anything: a copy is the same, up to the end of each line. */
TEST_F_TIMEOUT(rga, odd_sizes, CASE_S)
{
	static const struct {
		__u32 fourcc;
		/* Of a pixel in the first component; the others share pixels and lines. */
		unsigned int bytes, components, xdiv, ydiv;
	} formats[] = {
		{ V4L2_PIX_FMT_RGB24, 3, 1, 1, 1 }, { V4L2_PIX_FMT_RGB565, 2, 1, 1, 1 },
		{ V4L2_PIX_FMT_ABGR32, 4, 1, 1, 1 }, { V4L2_PIX_FMT_NV12, 1, 2, 1, 2 },
		{ V4L2_PIX_FMT_NV16, 1, 2, 1, 1 }, { V4L2_PIX_FMT_YUV420, 1, 3, 2, 2 },
		{ V4L2_PIX_FMT_YUV422P, 1, 3, 2, 1 },
	};
	static const unsigned int sizes[] = { 35, 37, 38 };
	unsigned int i, c;

	ASSERT_EQ(0, knob_set(&device_rga, "delay_us", 1000));
	for (i = 0; i < ARRAY_COUNT(formats) * ARRAY_COUNT(sizes); i++) {
		const unsigned int f = i / ARRAY_COUNT(sizes), size = sizes[i % ARRAY_COUNT(sizes)];
		struct v4l2_format format = { .type = V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE };
		struct v4l2_pix_format_mplane *pix = &format.fmt.pix_mp;
		struct job_kind kind = {
			.dev = &device_rga,
			.input = formats[f].fourcc,
			.picture = formats[f].fourcc,
		};
		const __u8 *from, *to;
		unsigned int stride, at = 0;
		int fd;

		fd = open_node(&device_rga, NULL);
		ASSERT_LE(0, fd);
		pix->width = size;
		pix->height = size;
		pix->pixelformat = formats[f].fourcc;
		ASSERT_EQ(0, ioctl(fd, VIDIOC_TRY_FMT, &format));
		close(fd);
		stride = pix->plane_fmt[0].bytesperline;
		EXPECT_EQ(size + (formats[f].components > 1 && size % 2), pix->width);
		EXPECT_EQ(size + (formats[f].ydiv > 1 && size % 2), pix->height);
		EXPECT_EQ(0, stride % 4);
		EXPECT_LE(formats[f].bytes * pix->width, stride);
		EXPECT_GT(formats[f].bytes * (pix->width + 4), stride);

		kind.width = pix->width;
		kind.height = pix->height;
		ASSERT_EQ(0, jobs_open(&self->jobs, &kind));
		ASSERT_EQ(0, copy_all(&self->jobs, 1));
		from = job_input(&self->jobs, 0)->data;
		to = job_picture(&self->jobs, 0)->data;
		for (c = 0; c < formats[f].components; c++) {
			const unsigned int xdiv = c ? formats[f].xdiv : 1;
			const unsigned int ydiv = c ? formats[f].ydiv : 1;

			EXPECT_TRUE(same_lines(from + at, to + at, stride / xdiv,
					       formats[f].bytes * kind.width / xdiv,
					       kind.height / ydiv)) {
				TH_LOG("component %u of format %u, size %u", c, f, size);
			}
			at += stride / xdiv * (kind.height / ydiv);
		}
		EXPECT_GE(pix->plane_fmt[0].sizeimage, at);
		jobs_close(&self->jobs);
		jobs_init(&self->jobs);
	}
}

static int scale(struct jobs *jobs, unsigned int in, unsigned int out)
{
	struct m2m *m2m = &jobs->m2m;
	int ret;

	jobs_close(jobs);
	ret = jobs_open_idle(jobs, &job_rga);
	ret = ret ? ret : m2m_format(m2m, M2M_OUTPUT, job_rga.input, in, 64, 0);
	ret = ret ? ret : m2m_format(m2m, M2M_CAPTURE, job_rga.picture, out, 64, 0);
	ret = ret ? ret : m2m_alloc(m2m, M2M_OUTPUT, 1);
	ret = ret ? ret : m2m_alloc(m2m, M2M_CAPTURE, 1);
	return ret ? ret : jobs_go(jobs);
}

/* By 16 at most, up and down; what comes later than STREAMON fails with its job. */
TEST_F_TIMEOUT(rga, scaling, CASE_S)
{
	struct v4l2_selection selection = {
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.target = V4L2_SEL_TGT_COMPOSE,
		.r = { .width = 34, .height = 34 },
	};
	struct jobs *jobs = &self->jobs;

	ASSERT_EQ(0, knob_set(&device_rga, "delay_us", 1000));
	EXPECT_EQ(-EINVAL, scale(jobs, 34, 34 * 16 + 1));
	EXPECT_EQ(-EINVAL, scale(jobs, 34 * 16 + 1, 34));
	EXPECT_EQ(0, scale(jobs, 34, 34 * 16));
	ASSERT_EQ(0, scale(jobs, 34 * 17, 64));
	EXPECT_EQ(0, copy_all(jobs, 1));

	ASSERT_EQ(0, ioctl(jobs->m2m.fd, VIDIOC_S_SELECTION, &selection));
	EXPECT_EQ(-EIO, copy_all(jobs, 2));
}

/* If the device's own reset has no effect, its reset lines are the last resort. */
TEST_F_TIMEOUT(rga, stuck, CASE_S)
{
	const long resets = knob_get(&device_rga, "resets");
	struct jobs *jobs = &self->jobs;

	ASSERT_EQ(0, watchdog_set(&device_rga, 200));
	ASSERT_EQ(0, fault_set(&device_rga, "stuck", 1));
	ASSERT_EQ(0, jobs_open(jobs, &job_rga));
	ASSERT_EQ(0, job_blank(jobs, 0));
	ASSERT_EQ(0, job_start(jobs, 0, 1));
	EXPECT_EQ(-EIO, job_end(jobs, 0, 1, SOON_MS));
	EXPECT_LT(resets, knob_get(&device_rga, "resets"));
	EXPECT_TRUE(job_shows(jobs, 0, 0));
	ASSERT_EQ(0, watchdog_set(&device_rga, SOON_MS));
	EXPECT_EQ(0, job_run(jobs, 0, 2));
}

/* A job that has failed does not end well because the device says later that it is done. */
TEST_F_TIMEOUT(rga, done_after_an_error, CASE_S)
{
	const long interrupts = knob_get(&device_rga, "interrupts");
	struct jobs *jobs = &self->jobs;

	ASSERT_EQ(0, watchdog_set(&device_rga, 2 * SOON_MS));
	ASSERT_EQ(0, knob_set(&device_rga, "delay_us", 1000));
	ASSERT_EQ(0, fault_set(&device_rga, "error-then-done", 1));
	ASSERT_EQ(0, jobs_open(jobs, &job_rga));
	ASSERT_EQ(0, job_blank(jobs, 0));
	ASSERT_EQ(0, job_start(jobs, 0, 1));
	EXPECT_EQ(-EIO, job_end(jobs, 0, 1, SOON_MS));
	EXPECT_EQ(interrupts + 2, knob_get(&device_rga, "interrupts"));
	EXPECT_TRUE(job_shows(jobs, 0, 0));
	EXPECT_EQ(0, job_run(jobs, 0, 2));
}

/* The picture of one file is the input of another: from job to job without a look at it. */
TEST_F_TIMEOUT(rga, chain, CASE_S)
{
	struct jobs *jobs = &self->jobs;
	struct jobs next;
	long started;
	int fd;

	ASSERT_EQ(0, jobs_open(jobs, &job_rga));
	ASSERT_EQ(0, jobs_open_idle(&next, &job_rga));
	ASSERT_EQ(0, m2m_import(&next.m2m, M2M_OUTPUT, 1));
	ASSERT_EQ(0, m2m_alloc(&next.m2m, M2M_CAPTURE, 1));
	ASSERT_EQ(0, jobs_go(&next));

	ASSERT_EQ(0, job_run(jobs, 0, 1));
	started = knob_get(&device_rga, "jobs");
	fd = dup(job_picture(jobs, 0)->dmabuf);
	ASSERT_LE(0, fd);
	close_fd(&job_input(&next, 0)->dmabuf);
	job_input(&next, 0)->dmabuf = fd;
	ASSERT_EQ(0, job_queue_picture(&next, 0));
	ASSERT_EQ(0, m2m_qbuf(&next.m2m, M2M_OUTPUT, 0, &(struct m2m_qbuf) {
		.bytes = job_picture(jobs, 0)->size, .stamp = 2,
	}));
	ASSERT_EQ(0, job_begun(&next, started));
	/* Now the first device's picture is the second one's input. */
	EXPECT_EQ(1, dmabuf_ready(fd, POLLIN, 0));
	EXPECT_EQ(0, dmabuf_ready(fd, POLLOUT, 0));
	EXPECT_EQ(0, job_end(&next, 0, 2, SOON_MS));
	EXPECT_EQ(1, dmabuf_ready(fd, POLLIN | POLLOUT, SOON_MS));
	EXPECT_TRUE(job_shows(&next, 0, 1));
	jobs_close(&next);
}

/* Exports of a picture, made before the job and in it, with one access mode and with another. */
TEST_F_TIMEOUT(rga, several_exports, CASE_S)
{
	const long completed = knob_get(&device_rga, "completed");
	struct jobs *jobs = &self->jobs;
	int fds[5], fences[5];
	unsigned int i;

	ASSERT_EQ(0, jobs_open(jobs, &job_rga));
	fds[0] = dup(job_picture(jobs, 0)->dmabuf);
	fds[1] = m2m_export(&jobs->m2m, M2M_CAPTURE, 0, O_RDWR);
	fds[2] = m2m_export(&jobs->m2m, M2M_CAPTURE, 0, O_RDONLY);
	ASSERT_EQ(0, job_start(jobs, 0, 1));
	fds[3] = m2m_export(&jobs->m2m, M2M_CAPTURE, 0, O_RDWR);
	fds[4] = m2m_export(&jobs->m2m, M2M_CAPTURE, 0, O_RDONLY);
	for (i = 0; i < ARRAY_COUNT(fds); i++) {
		ASSERT_LE(0, fds[i]);
		EXPECT_EQ(0, dmabuf_ready(fds[i], POLLIN, 0));
		fences[i] = dmabuf_fence(fds[i], DMA_BUF_SYNC_READ);
		EXPECT_EQ(0, fence_status(fences[i]));
	}
	ASSERT_EQ(completed, knob_get(&device_rga, "completed"));

	for (i = 0; i < ARRAY_COUNT(fds); i++) {
		EXPECT_EQ(1, dmabuf_ready(fds[i], POLLIN | POLLOUT, SOON_MS));
		EXPECT_EQ(1, fence_wait(fences[i], SOON_MS));
	}
	EXPECT_EQ(0, job_end(jobs, 0, 1, SOON_MS));
	EXPECT_TRUE(job_shows(jobs, 0, 1));
	for (i = 0; i < ARRAY_COUNT(fds); i++) {
		close(fences[i]);
		close(fds[i]);
	}
}

/* Buffers that are not exported before the job, and those that are not any more. */
TEST_F_TIMEOUT(rga, late_export, CASE_S)
{
	const long completed = knob_get(&device_rga, "completed");
	struct jobs *jobs = &self->jobs;
	struct m2m_buffer *picture;

	ASSERT_EQ(0, jobs_open(jobs, &job_rga));
	picture = job_picture(jobs, 0);
	m2m_buffer_drop(picture);

	ASSERT_EQ(0, job_start(jobs, 0, 1));
	picture->dmabuf = m2m_export(&jobs->m2m, M2M_CAPTURE, 0, O_RDWR);
	EXPECT_EQ(0, dmabuf_ready(picture->dmabuf, POLLIN, 0));
	ASSERT_EQ(completed, knob_get(&device_rga, "completed"));
	EXPECT_EQ(1, dmabuf_ready(picture->dmabuf, POLLIN, SOON_MS));
	ASSERT_EQ(0, m2m_buffer_map(picture));
	EXPECT_TRUE(job_shows(jobs, 0, 1));
	EXPECT_EQ(0, job_end(jobs, 0, 1, SOON_MS));
}

/* An interrupt without a status does not end a job that runs. */
TEST_F_TIMEOUT(rga, interrupt_in_a_job, CASE_S)
{
	const long completed = knob_get(&device_rga, "completed");
	struct jobs *jobs = &self->jobs;
	int picture;

	ASSERT_EQ(0, jobs_open(jobs, &job_rga));
	picture = job_picture(jobs, 0)->dmabuf;
	ASSERT_EQ(0, job_start(jobs, 0, 1));
	ASSERT_EQ(0, knob_set(&device_rga, "raise", 1));
	EXPECT_EQ(0, dmabuf_ready(picture, POLLIN, 0));
	ASSERT_EQ(completed, knob_get(&device_rga, "completed"));
	EXPECT_EQ(1, dmabuf_ready(picture, POLLIN, SOON_MS));
	EXPECT_TRUE(job_shows(jobs, 0, 1));
	EXPECT_EQ(0, job_end(jobs, 0, 1, SOON_MS));
}

TEST_HARNESS_MAIN
