// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of media requests with more in them than a frame has, on hantro, visl and vim2m, and of
 * two threads that use one.
 */

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/media.h>

#include "kselftest_harness.h"
#include "jobs.h"

/* How long two threads race with one another: where that is not safe they need a part of it. */
#define RACE_MS	15000

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
	const char *reason = device_start(&device_vpu);

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

/**
 * struct rival - a thread that calls an ioctl of a request all the time
 * @thread: the thread
 * @request: the request
 * @ioctl: MEDIA_REQUEST_IOC_QUEUE or MEDIA_REQUEST_IOC_REINIT
 * @calls: how often it has ended
 * @invalid: how often it has said EINVAL, of a request with one buffer or none
 * @over: no more of it
 */
struct rival {
	pthread_t thread;
	int request;
	unsigned long ioctl;
	atomic_uint calls;
	atomic_uint invalid;
	atomic_bool over;
};

/* Nothing streams, so that STREAMOFF takes back what was queued. */
FIXTURE(race) {
	struct jobs jobs;
	struct rival rival;
};

FIXTURE_SETUP(race)
{
	const char *reason = device_start(&device_vpu);
	struct m2m *m2m = &self->jobs.m2m;

	jobs_init(&self->jobs);
	if (reason)
		SKIP(return, "%s", reason);
	ASSERT_EQ(0, jobs_open_idle(&self->jobs, &job_h264));
	ASSERT_EQ(0, m2m_alloc(m2m, M2M_OUTPUT, 1));
	ASSERT_EQ(0, ioctl(m2m->media, MEDIA_IOC_REQUEST_ALLOC, &self->jobs.requests[0]));
	self->rival.request = self->jobs.requests[0];
}

FIXTURE_TEARDOWN(race)
{
	jobs_close(&self->jobs);
	EXPECT_EQ(0, rkemu_enable(false));
}

static void *call_again(void *data)
{
	struct rival *rival = data;

	while (!atomic_load(&rival->over)) {
		if (ioctl(rival->request, rival->ioctl) && errno == EINVAL)
			atomic_fetch_add(&rival->invalid, 1);
		atomic_fetch_add(&rival->calls, 1);
	}
	return NULL;
}

/* Until a call that began after this has ended. */
static void let_it_pass(struct rival *rival)
{
	const unsigned int before = atomic_load(&rival->calls);

	while (atomic_load(&rival->calls) - before < 2)
		;
}

/* The other one may just be using the request. */
static int queue_input(struct jobs *jobs)
{
	int ret;

	do {
		ret = job_qbuf_input(jobs, 0, 1, 0);
	} while (ret == -EBUSY);
	return ret;
}

/* A request that is queued knows its buffer, and the buffer the request. */
TEST_F_TIMEOUT(race, qbuf_beside_queue, CASE_S)
{
	struct jobs *jobs = &self->jobs;
	struct rival *rival = &self->rival;
	const long long end = now_ms() + RACE_MS;
	unsigned int rounds = 0;
	int ret = 0;

	rival->ioctl = MEDIA_REQUEST_IOC_QUEUE;
	ASSERT_EQ(0, pthread_create(&rival->thread, NULL, call_again, rival));
	while (!ret && !atomic_load(&rival->invalid) && now_ms() < end) {
		ret = queue_input(jobs);
		let_it_pass(rival);
		/* It is queued now. */
		ret = ret ? ret : m2m_stream(&jobs->m2m, M2M_OUTPUT, false);
		if (!ret && ioctl(rival->request, MEDIA_REQUEST_IOC_REINIT))
			ret = -errno;
		rounds++;
	}
	atomic_store(&rival->over, true);
	ASSERT_EQ(0, pthread_join(rival->thread, NULL));
	TH_LOG("%u rounds", rounds);
	EXPECT_EQ(0, ret);
	EXPECT_EQ(0, atomic_load(&rival->invalid));
}

/* A buffer that is in no request any more can be queued into one again. */
TEST_F_TIMEOUT(race, qbuf_beside_reinit, CASE_S)
{
	struct rival *rival = &self->rival;
	const long long end = now_ms() + RACE_MS;
	unsigned int rounds = 0;
	int ret = 0;

	rival->ioctl = MEDIA_REQUEST_IOC_REINIT;
	ASSERT_EQ(0, pthread_create(&rival->thread, NULL, call_again, rival));
	while (!ret && now_ms() < end) {
		ret = queue_input(&self->jobs);
		let_it_pass(rival);
		rounds++;
	}
	atomic_store(&rival->over, true);
	ASSERT_EQ(0, pthread_join(rival->thread, NULL));
	TH_LOG("%u rounds", rounds);
	EXPECT_EQ(0, ret);
}

TEST_HARNESS_MAIN
