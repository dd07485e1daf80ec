// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests on the emulated media blocks of the RK3566: CAPTURE buffers of the decoder that are held
 * for the next slice.
 */

#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/dma-buf.h>

#include "kselftest_harness.h"
#include "jobs.h"

#define LONG_US	600000
/* The timestamp of the frame that slices are of. */
#define STAMP	77

FIXTURE(held) {
	struct jobs jobs;
};

FIXTURE_SETUP(held)
{
	const char *missing = device_start(&device_vpu);

	if (missing)
		SKIP(return, "%s", missing);
	jobs_init(&self->jobs);
	ASSERT_EQ(0, device_defaults(&device_vpu));
	ASSERT_EQ(0, knob_set(&device_vpu, "delay_us", LONG_US));
	ASSERT_EQ(0, jobs_open(&self->jobs, &job_h264));
	ASSERT_EQ(0, job_blank(&self->jobs, 0));
	ASSERT_EQ(0, job_queue_picture(&self->jobs, 0));
}

FIXTURE_TEARDOWN(held)
{
	jobs_close(&self->jobs);
	EXPECT_EQ(0, device_defaults(&device_vpu));
}

/*
 * A slice, number @n from slot @slot, that keeps the picture of slot 0: there is no fence on it,
 * neither while the slice is decoded nor after that, since the user may never queue the next one.
 */
static void slice(struct __test_metadata *_metadata, struct jobs *jobs, unsigned int slot, __u32 n)
{
	const int picture = job_picture(jobs, 0)->dmabuf;
	const int input = job_input(jobs, slot)->dmabuf;
	const long completed = knob_get(&device_vpu, "completed");
	const long started = knob_get(&device_vpu, "jobs");
	int fence;

	ASSERT_EQ(0, job_queue_input(jobs, slot, n, STAMP, V4L2_BUF_FLAG_M2M_HOLD_CAPTURE_BUF));
	ASSERT_EQ(0, job_begun(jobs, started));
	EXPECT_EQ(1, dmabuf_ready(picture, POLLIN, 0));
	fence = dmabuf_fence(picture, DMA_BUF_SYNC_READ);
	EXPECT_EQ(1, fence_status(fence));
	close(fence);
	/* The slice itself is what the job ends. */
	EXPECT_EQ(0, dmabuf_ready(input, POLLOUT, 0));
	ASSERT_EQ(completed, knob_get(&device_vpu, "completed"));

	EXPECT_EQ(1, dmabuf_ready(input, POLLOUT, SOON_MS));
	EXPECT_EQ(0, job_end_input(jobs, slot, STAMP, SOON_MS));
	EXPECT_EQ(1, dmabuf_ready(picture, POLLIN, 0));
	EXPECT_EQ(-EAGAIN, job_end_picture(jobs, 0, STAMP, 100));
}

/* The last slice, which lets the picture go: there is a fence. */
static void last_slice(struct __test_metadata *_metadata, struct jobs *jobs, unsigned int slot,
		       __u32 n)
{
	const int picture = job_picture(jobs, 0)->dmabuf;
	const long completed = knob_get(&device_vpu, "completed");
	const long started = knob_get(&device_vpu, "jobs");
	int fence;

	ASSERT_EQ(0, job_queue_input(jobs, slot, n, STAMP, 0));
	ASSERT_EQ(0, job_begun(jobs, started));
	EXPECT_EQ(0, dmabuf_ready(picture, POLLIN, 0));
	fence = dmabuf_fence(picture, DMA_BUF_SYNC_READ);
	EXPECT_EQ(0, fence_status(fence));
	ASSERT_EQ(completed, knob_get(&device_vpu, "completed"));

	EXPECT_EQ(1, fence_wait(fence, SOON_MS));
	EXPECT_TRUE(job_shows(jobs, 0, n));
	EXPECT_EQ(0, job_end_picture(jobs, 0, STAMP, SOON_MS));
	EXPECT_EQ(0, job_end_input(jobs, slot, STAMP, SOON_MS));
	close(fence);
}

TEST_F_TIMEOUT(held, two_slices, CASE_S)
{
	slice(_metadata, &self->jobs, 0, 1);
	last_slice(_metadata, &self->jobs, 1, 2);
}

TEST_F_TIMEOUT(held, four_slices, CASE_S)
{
	slice(_metadata, &self->jobs, 0, 1);
	slice(_metadata, &self->jobs, 1, 2);
	slice(_metadata, &self->jobs, 2, 3);
	last_slice(_metadata, &self->jobs, 0, 4);
}

/* A new frame lets the picture go too, and no job ends it: it never had a fence. */
TEST_F_TIMEOUT(held, new_frame, CASE_S)
{
	struct jobs *jobs = &self->jobs;

	slice(_metadata, jobs, 0, 1);
	ASSERT_EQ(0, job_begin(jobs, 1, 2));
	EXPECT_EQ(1, dmabuf_ready(job_picture(jobs, 0)->dmabuf, POLLIN | POLLOUT, 0));
	EXPECT_EQ(0, job_end_picture(jobs, 0, STAMP, SOON_MS));
	EXPECT_EQ(0, dmabuf_ready(job_picture(jobs, 1)->dmabuf, POLLIN, 0));
	EXPECT_EQ(0, job_end(jobs, 1, 2, SOON_MS));
	EXPECT_TRUE(job_shows(jobs, 0, 1));
	EXPECT_TRUE(job_shows(jobs, 1, 2));
}

TEST_F_TIMEOUT(held, flush, CASE_S)
{
	struct v4l2_decoder_cmd cmd = { .cmd = V4L2_DEC_CMD_FLUSH };
	struct jobs *jobs = &self->jobs;

	slice(_metadata, jobs, 0, 1);
	ASSERT_EQ(0, ioctl(jobs->m2m.fd, VIDIOC_DECODER_CMD, &cmd));
	EXPECT_EQ(0, job_end_picture(jobs, 0, STAMP, SOON_MS));
	EXPECT_TRUE(job_shows(jobs, 0, 1));
	EXPECT_EQ(1, dmabuf_ready(job_picture(jobs, 0)->dmabuf, POLLIN | POLLOUT, 0));
	EXPECT_EQ(0, job_run(jobs, 0, 2));
}

TEST_F_TIMEOUT(held, streamoff, CASE_S)
{
	struct jobs *jobs = &self->jobs;

	slice(_metadata, jobs, 0, 1);
	ASSERT_EQ(0, jobs_stop(jobs));
	EXPECT_EQ(1, dmabuf_ready(job_picture(jobs, 0)->dmabuf, POLLIN | POLLOUT, 0));
	ASSERT_EQ(0, jobs_go(jobs));
	EXPECT_EQ(0, job_run(jobs, 0, 2));
}

/* The slice that would let the picture go hangs, and then another one is good. */
TEST_F_TIMEOUT(held, last_slice_hangs, CASE_S)
{
	struct jobs *jobs = &self->jobs;
	long started;
	int fence;

	slice(_metadata, jobs, 0, 1);
	ASSERT_EQ(0, watchdog_set(&device_vpu, 1000));
	ASSERT_EQ(0, fault_set(&device_vpu, "never-completes", 1));
	started = knob_get(&device_vpu, "jobs");
	ASSERT_EQ(0, job_queue_input(jobs, 1, 2, STAMP, 0));
	ASSERT_EQ(0, job_begun(jobs, started));
	fence = dmabuf_fence(job_picture(jobs, 0)->dmabuf, DMA_BUF_SYNC_READ);
	EXPECT_EQ(0, fence_status(fence));
	EXPECT_GT(0, fence_wait(fence, 3000));
	EXPECT_EQ(-EIO, job_end_picture(jobs, 0, STAMP, SOON_MS));
	EXPECT_EQ(-EIO, job_end_input(jobs, 1, STAMP, SOON_MS));
	close(fence);
	EXPECT_EQ(0, job_run(jobs, 2, 3));
}

TEST_HARNESS_MAIN
