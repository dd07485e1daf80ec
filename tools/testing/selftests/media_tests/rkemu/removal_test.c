// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests on the emulated media blocks of the RK3566: the user, the driver or the device goes away in
 * the middle of a job. Fences and dma-bufs stay with their holders, and the fences end.
 */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "kselftest_harness.h"
#include "jobs.h"

#define WATCHDOG_MS	1000
/* A job ends by itself, but not before the way out is taken. */
#define DELAY_MS	600

/*
 * @file: that has one job running, number 1 in slot 0, and one waiting, number 2 in slot 1
 * @other: another one of the same device, without jobs
 * @fences: of the running job
 * @started: jobs that the device had started before
 */
FIXTURE(removal) {
	const struct test_device *dev;
	struct jobs file;
	struct jobs other;
	struct fences fences;
	long started;
};

FIXTURE_VARIANT(removal) {
	const struct job_kind *kind;
	bool hangs;
};

FIXTURE_VARIANT_ADD(removal, rga) {
	.kind = &job_rga,
};

FIXTURE_VARIANT_ADD(removal, rga_hangs) {
	.kind = &job_rga,
	.hangs = true,
};

FIXTURE_VARIANT_ADD(removal, h264) {
	.kind = &job_h264,
};

FIXTURE_VARIANT_ADD(removal, h264_hangs) {
	.kind = &job_h264,
	.hangs = true,
};

FIXTURE_VARIANT_ADD(removal, vp8_hangs) {
	.kind = &job_vp8,
	.hangs = true,
};

FIXTURE_SETUP(removal)
{
	const char *missing = device_start(variant->kind->dev);
	const struct test_device *dev = variant->kind->dev;

	if (missing)
		SKIP(return, "%s", missing);
	self->dev = dev;
	fences_init(&self->fences);
	jobs_init(&self->file);
	jobs_init(&self->other);
	ASSERT_EQ(0, device_defaults(dev));
	ASSERT_EQ(0, watchdog_set(dev, WATCHDOG_MS));
	ASSERT_EQ(0, knob_set(dev, "delay_us", DELAY_MS * 1000));
	if (variant->hangs)
		ASSERT_EQ(0, fault_set(dev, "never-completes", 1));
	ASSERT_EQ(0, jobs_open(&self->other, variant->kind));
	ASSERT_EQ(0, jobs_open(&self->file, variant->kind));
	ASSERT_EQ(0, job_blank(&self->file, 0));
	ASSERT_EQ(0, job_blank(&self->file, 1));

	self->started = knob_get(dev, "jobs");
	ASSERT_EQ(0, job_start(&self->file, 0, 1));
	ASSERT_EQ(0, job_start(&self->file, 1, 2));
	ASSERT_TRUE(knob_reaches(dev, "jobs", self->started + 1, SOON_MS));
	ASSERT_EQ(0, fences_take(&self->file, 0, &self->fences));
	ASSERT_EQ(0, fences_wait(&self->fences, 0));
}

FIXTURE_TEARDOWN(removal)
{
	jobs_close(&self->file);
	jobs_close(&self->other);
	fences_close(&self->fences);
	EXPECT_EQ(0, device_defaults(self->dev));
}

/*
 * Whatever the way out was, when it is behind: the fences have ended, and say whether the picture
 * is there. If they say that it is not, the device does not write any more.
 */
static void ended(struct __test_metadata *_metadata, struct jobs *jobs,
		  const struct fences *fences, bool hangs)
{
	const int status = fences_wait(fences, 0);
	unsigned int i;

	ASSERT_NE(0, status);
	ASSERT_NE(NO_STATUS, status);
	if (hangs)
		EXPECT_GT(0, status);
	for (i = 0; i < 2; i++) {
		EXPECT_TRUE(job_shows(jobs, 0, status == 1));
		EXPECT_TRUE(job_shows(jobs, 1, 0));
		if (!i)
			sleep_ms(3 * DELAY_MS);
	}
	/* The job that waited never began to run. */
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(1, dmabuf_ready(job_picture(jobs, i)->dmabuf, POLLIN | POLLOUT, 0));
		EXPECT_EQ(1, dmabuf_ready(job_input(jobs, i)->dmabuf, POLLIN | POLLOUT, 0));
	}
}

/* A file that is opened now works as if nothing had been. */
static void works(struct __test_metadata *_metadata, const struct job_kind *kind)
{
	ASSERT_EQ(0, fault_set(kind->dev, "none", 0));
	ASSERT_EQ(0, knob_set(kind->dev, "delay_us", 1000));
	EXPECT_EQ(0, device_does_jobs(kind, 10));
}

static void is_gone(struct __test_metadata *_metadata, struct jobs *jobs)
{
	struct pollfd pollfd = { .fd = jobs->m2m.fd, .events = POLLIN };
	struct v4l2_capability cap = {};
	struct v4l2_buffer buf;

	EXPECT_EQ(-1, ioctl(jobs->m2m.fd, VIDIOC_QUERYCAP, &cap));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-ENODEV, m2m_dqbuf(&jobs->m2m, M2M_CAPTURE, 0, &buf));
	EXPECT_EQ(-ENODEV, job_queue_picture(jobs, 2));
	EXPECT_EQ(-ENODEV, m2m_stream(&jobs->m2m, M2M_CAPTURE, false));
	EXPECT_EQ(-ENODEV, m2m_export(&jobs->m2m, M2M_CAPTURE, 0, 0));
	EXPECT_EQ(1, poll(&pollfd, 1, 0));
	EXPECT_TRUE(pollfd.revents & POLLERR);
}

TEST_F_TIMEOUT(removal, streamoff, CASE_S)
{
	const long completed = knob_get(self->dev, "completed");

	EXPECT_EQ(0, jobs_stop(&self->file));
	ended(_metadata, &self->file, &self->fences, variant->hangs);
	EXPECT_EQ(self->started + 1, knob_get(self->dev, "jobs"));
	/* The device is not stopped in a job that goes well. */
	EXPECT_EQ(completed + !variant->hangs, knob_get(self->dev, "completed"));

	/* The same file goes on, with new buffers, though the old ones are exported. */
	ASSERT_EQ(0, fault_set(self->dev, "none", 0));
	ASSERT_EQ(0, m2m_free(&self->file.m2m, M2M_OUTPUT));
	ASSERT_EQ(0, m2m_free(&self->file.m2m, M2M_CAPTURE));
	ASSERT_EQ(0, m2m_alloc(&self->file.m2m, M2M_OUTPUT, JOB_SLOTS));
	ASSERT_EQ(0, m2m_alloc(&self->file.m2m, M2M_CAPTURE, JOB_SLOTS));
	ASSERT_EQ(0, jobs_go(&self->file));
	EXPECT_EQ(0, job_run(&self->file, 0, 3));
	works(_metadata, variant->kind);
}

/* Only one of the two queues: the other one's buffers of the job come back too. */
TEST_F_TIMEOUT(removal, streamoff_picture, CASE_S)
{
	EXPECT_EQ(0, m2m_stream(&self->file.m2m, M2M_CAPTURE, false));
	ended(_metadata, &self->file, &self->fences, variant->hangs);
	EXPECT_EQ(0, m2m_stream(&self->file.m2m, M2M_OUTPUT, false));
	ASSERT_EQ(0, fault_set(self->dev, "none", 0));
	ASSERT_EQ(0, jobs_go(&self->file));
	EXPECT_EQ(0, job_run(&self->file, 0, 3));
}

TEST_F_TIMEOUT(removal, close, CASE_S)
{
	jobs_close_node(&self->file);
	ended(_metadata, &self->file, &self->fences, variant->hangs);
	EXPECT_EQ(self->started + 1, knob_get(self->dev, "jobs"));
	works(_metadata, variant->kind);
}

/* Closing a file whose jobs all wait does not disturb the file whose job runs. */
TEST_F_TIMEOUT(removal, close_waiting, CASE_S)
{
	struct jobs *other = &self->other;

	ASSERT_EQ(0, job_blank(other, 0));
	ASSERT_EQ(0, job_start(other, 0, 1));
	jobs_close_node(other);
	EXPECT_EQ(1, dmabuf_ready(job_picture(other, 0)->dmabuf, POLLIN | POLLOUT, 0));
	EXPECT_EQ(1, dmabuf_ready(job_input(other, 0)->dmabuf, POLLIN | POLLOUT, 0));
	EXPECT_EQ(variant->hangs ? -EIO : 0, job_end(&self->file, 0, 1, SOON_MS));
	EXPECT_EQ(0, job_end(&self->file, 1, 2, SOON_MS));
	EXPECT_TRUE(job_shows(&self->file, 1, 2));
	EXPECT_TRUE(job_shows(other, 0, 0));
	EXPECT_EQ(self->started + 2, knob_get(self->dev, "jobs"));
}

TEST_F_TIMEOUT(removal, unbind, CASE_S)
{
	char enabled[16];

	ASSERT_EQ(0, device_bind(self->dev, false));
	ASSERT_EQ(0, read_text(CLOCK_ENABLED, enabled, sizeof(enabled)));
	EXPECT_EQ(0, atoi(enabled));
	ended(_metadata, &self->file, &self->fences, variant->hangs);
	is_gone(_metadata, &self->file);
	is_gone(_metadata, &self->other);
	EXPECT_EQ(self->started + 1, knob_get(self->dev, "jobs"));

	jobs_close_node(&self->file);
	ended(_metadata, &self->file, &self->fences, variant->hangs);
	jobs_close(&self->other);
	jobs_close(&self->file);
	EXPECT_NE(0, fences_wait(&self->fences, 0));

	ASSERT_EQ(0, device_bind(self->dev, true));
	works(_metadata, variant->kind);
}

/* The driver is there again before the files of its former life are closed. */
TEST_F_TIMEOUT(removal, unbind_and_bind, CASE_S)
{
	ASSERT_EQ(0, device_bind(self->dev, false));
	ASSERT_EQ(0, device_bind(self->dev, true));
	works(_metadata, variant->kind);
	is_gone(_metadata, &self->file);
	ended(_metadata, &self->file, &self->fences, variant->hangs);
	jobs_close(&self->other);
	jobs_close(&self->file);
	works(_metadata, variant->kind);
}

/* All of it, with both devices and what they depend on. */
TEST_F_TIMEOUT(removal, take_down, CASE_S)
{
	ASSERT_EQ(0, rkemu_enable(false));
	ended(_metadata, &self->file, &self->fences, variant->hangs);
	is_gone(_metadata, &self->file);
	is_gone(_metadata, &self->other);
	jobs_close(&self->file);
	jobs_close(&self->other);
	EXPECT_NE(0, fences_wait(&self->fences, 0));

	ASSERT_EQ(0, rkemu_enable(true));
	works(_metadata, variant->kind);
}

/* The same, and what is held is closed when the devices are there again. */
TEST_F_TIMEOUT(removal, take_down_and_up, CASE_S)
{
	ASSERT_EQ(0, rkemu_enable(false));
	ASSERT_EQ(0, rkemu_enable(true));
	works(_metadata, variant->kind);
	ended(_metadata, &self->file, &self->fences, variant->hangs);
	jobs_close(&self->file);
	jobs_close(&self->other);
	works(_metadata, variant->kind);
}

TEST_HARNESS_MAIN
