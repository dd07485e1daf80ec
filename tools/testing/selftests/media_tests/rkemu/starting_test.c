// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests on the emulated media blocks of the RK3566, and on vim2m: what keeps a job from starting
 * keeps its buffers from having fences. They are ready, until what was missing is there.
 */

#include <errno.h>
#include <sys/ioctl.h>

#include "kselftest_harness.h"
#include "jobs.h"

/*
 * A job runs for so long that its fences are seen before its end, and a third of what the watchdogs
 * of the drivers allow.
 */
#define JOB_MS	600
/* Less is enough for a case that checks that the job still ran. */
#define NEXT_MS	300
#define ROUNDS	5

FIXTURE(starting) {
	struct jobs jobs;
	struct fences fences;
};

FIXTURE_VARIANT(starting) {
	const struct job_kind *kind;
};

FIXTURE_VARIANT_ADD(starting, rga) {
	.kind = &job_rga,
};

FIXTURE_VARIANT_ADD(starting, h264) {
	.kind = &job_h264,
};

FIXTURE_VARIANT_ADD(starting, vim2m) {
	.kind = &job_vim2m,
};

FIXTURE_SETUP(starting)
{
	const char *missing = device_start(variant->kind->dev);

	if (missing)
		SKIP(return, "%s", missing);
	fences_init(&self->fences);
	jobs_init(&self->jobs);
	ASSERT_EQ(0, device_defaults(variant->kind->dev));
	ASSERT_EQ(0, job_time_set(variant->kind->dev, JOB_MS));
	ASSERT_EQ(0, jobs_open(&self->jobs, variant->kind));
}

FIXTURE_TEARDOWN(starting)
{
	fences_close(&self->fences);
	jobs_close(&self->jobs);
	EXPECT_EQ(0, device_defaults(variant->kind->dev));
}

static bool is_ready(struct jobs *jobs, unsigned int slot)
{
	return dmabuf_ready(job_picture(jobs, slot)->dmabuf, POLLIN | POLLOUT, 0) == 1 &&
	       dmabuf_ready(job_input(jobs, slot)->dmabuf, POLLIN | POLLOUT, 0) == 1;
}

/* Both buffers are there, and one of the queues does not stream. */
static void wait_for_queue(struct __test_metadata *_metadata, struct jobs *jobs,
			   struct fences *fences, enum m2m_side side)
{
	ASSERT_EQ(0, m2m_stream(&jobs->m2m, side, false));
	ASSERT_EQ(0, job_start(jobs, 0, 1));
	EXPECT_TRUE(is_ready(jobs, 0));
	ASSERT_EQ(0, m2m_stream(&jobs->m2m, side, true));
	ASSERT_EQ(0, fences_take(jobs, 0, fences));
	EXPECT_EQ(0, fences_wait(fences, 0));
	EXPECT_EQ(0, job_end(jobs, 0, 1, SOON_MS));
	EXPECT_EQ(1, fences_wait(fences, SOON_MS));
	EXPECT_TRUE(job_shows(jobs, 0, 1));
}

TEST_F_TIMEOUT(starting, input_does_not_stream, CASE_S)
{
	wait_for_queue(_metadata, &self->jobs, &self->fences, M2M_OUTPUT);
}

TEST_F_TIMEOUT(starting, picture_does_not_stream, CASE_S)
{
	wait_for_queue(_metadata, &self->jobs, &self->fences, M2M_CAPTURE);
}

/* Jobs that wait for others start from a work item, and there is no call to wait for. */
FIXTURE(next) {
	struct jobs jobs;
};

FIXTURE_VARIANT(next) {
	const struct job_kind *kind;
};

FIXTURE_VARIANT_ADD(next, rga) {
	.kind = &job_rga,
};

FIXTURE_VARIANT_ADD(next, h264) {
	.kind = &job_h264,
};

FIXTURE_SETUP(next)
{
	const char *missing = device_start(variant->kind->dev);

	if (missing)
		SKIP(return, "%s", missing);
	jobs_init(&self->jobs);
	ASSERT_EQ(0, device_defaults(variant->kind->dev));
	ASSERT_EQ(0, job_time_set(variant->kind->dev, NEXT_MS));
	ASSERT_EQ(0, jobs_open(&self->jobs, variant->kind));
}

FIXTURE_TEARDOWN(next)
{
	jobs_close(&self->jobs);
	EXPECT_EQ(0, device_defaults(variant->kind->dev));
}

/* Once the device has begun to write, its fences are there. */
TEST_F_TIMEOUT(next, has_fences, CASE_S)
{
	const struct test_device *dev = variant->kind->dev;
	struct jobs *jobs = &self->jobs;
	unsigned int mid = 0;
	__u32 n;

	for (n = 1; n <= 2 * ROUNDS; n += 2) {
		const long completed = knob_get(dev, "completed");
		const long started = knob_get(dev, "jobs");
		bool ready;

		ASSERT_EQ(0, job_start(jobs, 0, n));
		ASSERT_EQ(0, job_start(jobs, 1, n + 1));
		ASSERT_TRUE(knob_reaches(dev, "jobs", started + 2, SOON_MS));
		ready = dmabuf_ready(job_picture(jobs, 1)->dmabuf, POLLIN, 0);
		/* On a busy machine it may be over by now. */
		if (knob_get(dev, "completed") == completed + 1) {
			EXPECT_FALSE(ready);
			mid++;
		}
		EXPECT_EQ(0, job_end(jobs, 0, n, SOON_MS));
		EXPECT_EQ(0, job_end(jobs, 1, n + 1, SOON_MS));
		EXPECT_TRUE(job_shows(jobs, 1, n + 1));
	}
	EXPECT_LT(0, mid);
}

/* The decoder's clock runs during its jobs only. */
FIXTURE(clock) {
	struct jobs jobs;
};

FIXTURE_SETUP(clock)
{
	const char *missing = device_start(&device_vpu);

	if (missing)
		SKIP(return, "%s", missing);
	jobs_init(&self->jobs);
	ASSERT_EQ(0, device_defaults(&device_vpu));
	ASSERT_EQ(0, jobs_open(&self->jobs, &job_h264));
}

FIXTURE_TEARDOWN(clock)
{
	EXPECT_EQ(0, write_text(CLOCKS_FAIL, "N"));
	jobs_close(&self->jobs);
	EXPECT_EQ(0, device_defaults(&device_vpu));
}

TEST_F_TIMEOUT(clock, fails, CASE_S)
{
	struct jobs *jobs = &self->jobs;

	ASSERT_EQ(0, write_text(CLOCKS_FAIL, "Y"));
	ASSERT_EQ(0, job_start(jobs, 0, 1));
	EXPECT_EQ(-EIO, job_end(jobs, 0, 1, SOON_MS));
	EXPECT_TRUE(is_ready(jobs, 0));
	ASSERT_EQ(0, write_text(CLOCKS_FAIL, "N"));
	EXPECT_EQ(0, job_run(jobs, 0, 2));
}

FIXTURE(vim2m) {
	struct jobs jobs;
};

FIXTURE_SETUP(vim2m)
{
	const char *missing = device_start(&device_vim2m);

	if (missing)
		SKIP(return, "%s", missing);
	jobs_init(&self->jobs);
	ASSERT_EQ(0, device_defaults(&device_vim2m));
	ASSERT_EQ(0, job_time_set(&device_vim2m, JOB_MS));
	ASSERT_EQ(0, jobs_open(&self->jobs, &job_vim2m));
}

FIXTURE_TEARDOWN(vim2m)
{
	jobs_close(&self->jobs);
	EXPECT_EQ(0, device_defaults(&device_vim2m));
}

/* A buffer that the driver refuses is nothing that a job waits for. */
TEST_F_TIMEOUT(vim2m, buffer_refused, CASE_S)
{
	struct jobs *jobs = &self->jobs;
	struct v4l2_buffer buf = {
		.type = m2m_type(&jobs->m2m, M2M_OUTPUT),
		.memory = V4L2_MEMORY_MMAP,
		.bytesused = job_input(jobs, 0)->size,
		.field = V4L2_FIELD_INTERLACED,
	};

	ASSERT_EQ(0, job_queue_picture(jobs, 0));
	EXPECT_EQ(-1, ioctl(jobs->m2m.fd, VIDIOC_QBUF, &buf));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_TRUE(is_ready(jobs, 0));
	ASSERT_EQ(0, job_queue_input(jobs, 0, 1, 1, 0));
	EXPECT_FALSE(is_ready(jobs, 0));
	EXPECT_EQ(0, job_end(jobs, 0, 1, SOON_MS));
	EXPECT_TRUE(job_shows(jobs, 0, 1));
}

TEST_HARNESS_MAIN
