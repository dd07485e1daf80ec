// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of media requests with more in them than a frame has, on hantro, visl and vim2m.
 */

#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/media.h>

#include "kselftest_harness.h"
#include "rkemu_jobs.h"

/* A control of vim2m. */
static int flip(int fd, int request)
{
	struct v4l2_ext_control control = { .id = V4L2_CID_HFLIP };

	return set_controls(fd, request, &control, 1);
}

FIXTURE(request) {
	struct job_kind kind;
	struct jobs jobs;
	struct jobs other;
};

FIXTURE_VARIANT(request) {
	const struct job_kind *kind;
};

FIXTURE_VARIANT_ADD(request, h264) {
	.kind = &job_h264,
};

FIXTURE_VARIANT_ADD(request, visl) {
	.kind = &job_visl,
};

FIXTURE_VARIANT_ADD(request, vim2m) {
	.kind = &job_vim2m,
};

FIXTURE_SETUP(request)
{
	const char *reason = rkemu_start(&rkemu_vpu);

	jobs_init(&self->jobs);
	jobs_init(&self->other);
	if (reason)
		SKIP(return, "%s", reason);
	self->kind = *variant->kind;
	if (!self->kind.controls)
		self->kind.controls = flip;
	ASSERT_EQ(0, jobs_open_idle(&self->jobs, &self->kind));
	ASSERT_EQ(0, m2m_alloc(&self->jobs.m2m, M2M_OUTPUT, JOB_SLOTS));
	ASSERT_EQ(0, m2m_alloc(&self->jobs.m2m, M2M_CAPTURE, JOB_SLOTS));
	ASSERT_EQ(0, jobs_go(&self->jobs));
}

FIXTURE_TEARDOWN(request)
{
	jobs_close(&self->jobs);
	jobs_close(&self->other);
	EXPECT_EQ(0, rkemu_enable(false));
}

/* The first job would end the request, and with it the controls of the second one. */
TEST_F_TIMEOUT(request, of_two_inputs, CASE_S)
{
	struct jobs *jobs = &self->jobs;
	struct m2m_qbuf how = {
		.bytes = self->kind.bytes ? self->kind.bytes : job_input(jobs, 0)->size,
		.flags = V4L2_BUF_FLAG_REQUEST_FD,
		.request = jobs->requests[0],
	};

	ASSERT_EQ(0, job_queue_picture(jobs, 0));
	ASSERT_EQ(0, job_queue_picture(jobs, 1));
	ASSERT_EQ(0, m2m_qbuf(&jobs->m2m, M2M_OUTPUT, 0, &how));
	ASSERT_EQ(0, m2m_qbuf(&jobs->m2m, M2M_OUTPUT, 1, &how));
	ASSERT_EQ(0, self->kind.controls(jobs->m2m.fd, how.request));
	EXPECT_EQ(-1, ioctl(how.request, MEDIA_REQUEST_IOC_QUEUE));
	EXPECT_EQ(EINVAL, errno);

	/* Nothing of it was queued. */
	ASSERT_EQ(0, ioctl(how.request, MEDIA_REQUEST_IOC_REINIT));
	ASSERT_EQ(0, job_queue_input(jobs, 0, 1, 1, 0));
	EXPECT_EQ(0, job_end(jobs, 0, 1, SOON_MS));
}

/*
 * The controls of the other file are never completed: the request ends with that file. A counter
 * of what is missing that is too small is a warning.
 */
TEST_F_TIMEOUT(request, of_two_files, CASE_S)
{
	struct jobs *jobs = &self->jobs;
	struct pollfd poll_request = { .fd = jobs->requests[0], .events = POLLPRI };
	struct v4l2_buffer buf;

	ASSERT_EQ(0, jobs_open_idle(&self->other, &self->kind));
	ASSERT_EQ(0, self->kind.controls(self->other.m2m.fd, jobs->requests[0]));
	ASSERT_EQ(0, job_start(jobs, 0, 1));
	ASSERT_EQ(0, job_end_picture(jobs, 0, 1, SOON_MS));
	ASSERT_EQ(0, m2m_dqbuf(&jobs->m2m, M2M_OUTPUT, SOON_MS, &buf));
	EXPECT_EQ(0, poll(&poll_request, 1, 0));

	/* Its controls were completed by its job. */
	jobs->requests[0] = -1;
	jobs_close_node(jobs);
	EXPECT_EQ(0, poll(&poll_request, 1, 0));
	jobs_close_node(&self->other);
	EXPECT_EQ(1, poll(&poll_request, 1, SOON_MS));
	EXPECT_EQ(0, close(poll_request.fd));
}

TEST_HARNESS_MAIN
