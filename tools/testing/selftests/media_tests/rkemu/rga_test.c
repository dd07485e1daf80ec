// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests on the emulated media blocks of the RK3566: the blitter's pictures in memory of others, and
 * more than one export of a picture.
 */

#include <errno.h>
#include <fcntl.h>

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
