// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests on the emulated media blocks of the RK3566: what only the decoder has, its codecs, what
 * waits in requests, and references; some on visl, too.
 */

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/media.h>

#include "kselftest_harness.h"
#include "jobs.h"

#define LONG_US	600000
/* How many requests are closed while their video node is, and how often. */
#define REQUESTS 8
#define ROUNDS	20

FIXTURE(codec) {
	struct jobs jobs;
};

FIXTURE_VARIANT(codec) {
	const struct job_kind *kind;
};

FIXTURE_VARIANT_ADD(codec, h264) {
	.kind = &job_h264,
};

FIXTURE_VARIANT_ADD(codec, mpeg2) {
	.kind = &job_mpeg2,
};

FIXTURE_VARIANT_ADD(codec, vp8) {
	.kind = &job_vp8,
};

FIXTURE_SETUP(codec)
{
	const char *missing = device_start(&device_vpu);

	if (missing)
		SKIP(return, "%s", missing);
	jobs_init(&self->jobs);
	ASSERT_EQ(0, device_defaults(&device_vpu));
}

FIXTURE_TEARDOWN(codec)
{
	jobs_close(&self->jobs);
	EXPECT_EQ(0, device_defaults(&device_vpu));
}

/* Step by step, and the picture names the frame. */
TEST_F_TIMEOUT(codec, single_steps, CASE_S)
{
	struct jobs *jobs = &self->jobs;
	unsigned int slot;

	ASSERT_EQ(0, jobs_open_idle(jobs, variant->kind));
	ASSERT_EQ(0, m2m_alloc(&jobs->m2m, M2M_OUTPUT, JOB_SLOTS));
	ASSERT_EQ(0, m2m_alloc(&jobs->m2m, M2M_CAPTURE, JOB_SLOTS));
	ASSERT_EQ(0, jobs_go(jobs));
	for (slot = 0; slot < JOB_SLOTS; slot++) {
		const __u32 frame = knob_get(&device_vpu, "frame");
		const long completed = knob_get(&device_vpu, "completed");

		ASSERT_EQ(0, job_blank(jobs, slot));
		ASSERT_EQ(0, job_queue_picture(jobs, slot));
		EXPECT_EQ(completed, knob_get(&device_vpu, "completed"));
		ASSERT_EQ(0, job_queue_input(jobs, slot, 1 + slot, 1 + slot, 0));
		ASSERT_EQ(0, job_end(jobs, slot, 1 + slot, SOON_MS));
		EXPECT_EQ(completed + 1, knob_get(&device_vpu, "completed"));
		EXPECT_TRUE(job_shows(jobs, slot, 1 + slot));
		EXPECT_EQ(frame, vpu_frame(variant->kind, job_picture(jobs, slot)->data));
	}
	/* Each has its own. */
	for (slot = 0; slot < JOB_SLOTS; slot++)
		EXPECT_TRUE(job_shows(jobs, slot, 1 + slot));
}

/* Requests that are queued ahead run in order, each one with the fence of its own job. */
TEST_F_TIMEOUT(codec, queued_ahead, CASE_S)
{
	struct jobs *jobs = &self->jobs;
	const long started = knob_get(&device_vpu, "jobs");
	unsigned int slot;

	ASSERT_EQ(0, knob_set(&device_vpu, "delay_us", LONG_US));
	ASSERT_EQ(0, jobs_open(jobs, variant->kind));
	for (slot = 0; slot < JOB_SLOTS; slot++) {
		ASSERT_EQ(0, job_blank(jobs, slot));
		ASSERT_EQ(0, job_start(jobs, slot, 1 + slot));
	}
	for (slot = 0; slot < JOB_SLOTS; slot++) {
		const int picture = job_picture(jobs, slot)->dmabuf;

		ASSERT_TRUE(knob_reaches(&device_vpu, "jobs", started + slot + 1, SOON_MS));
		EXPECT_EQ(0, dmabuf_ready(picture, POLLIN, 0));
		ASSERT_EQ(started + slot + 1, knob_get(&device_vpu, "jobs"));
		EXPECT_EQ(1, dmabuf_ready(picture, POLLIN, SOON_MS));
		EXPECT_TRUE(job_shows(jobs, slot, 1 + slot));
		EXPECT_EQ(0, job_end(jobs, slot, 1 + slot, SOON_MS));
	}
}

/* Requests and buffers that wait while the file, the queue or the format changes. */
FIXTURE(waiting) {
	struct jobs jobs;
};

FIXTURE_VARIANT(waiting) {
	const struct job_kind *kind;
};

FIXTURE_VARIANT_ADD(waiting, h264) {
	.kind = &job_h264,
};

FIXTURE_VARIANT_ADD(waiting, visl) {
	.kind = &job_visl,
};

FIXTURE_SETUP(waiting)
{
	const char *reason = device_start(&device_vpu);

	jobs_init(&self->jobs);
	if (reason)
		SKIP(return, "%s", reason);
	ASSERT_EQ(0, jobs_open_idle(&self->jobs, variant->kind));
	ASSERT_EQ(0, m2m_alloc(&self->jobs.m2m, M2M_OUTPUT, 1));
}

FIXTURE_TEARDOWN(waiting)
{
	jobs_close(&self->jobs);
	EXPECT_EQ(0, rkemu_enable(false));
}

/* A request of a file that was closed is closed itself. */
TEST_F_TIMEOUT(waiting, request_closed_last, CASE_S)
{
	struct m2m *m2m = &self->jobs.m2m;
	struct m2m_qbuf how = { .bytes = variant->kind->bytes, .flags = V4L2_BUF_FLAG_REQUEST_FD };

	ASSERT_EQ(0, ioctl(m2m->media, MEDIA_IOC_REQUEST_ALLOC, &how.request));
	ASSERT_EQ(0, m2m_qbuf(m2m, M2M_OUTPUT, 0, &how));
	ASSERT_EQ(0, variant->kind->controls(m2m->fd, how.request));
	ASSERT_EQ(0, ioctl(how.request, MEDIA_REQUEST_IOC_QUEUE));
	/* KASAN and lockdep see it if the controls are freed before the request is cancelled. */
	m2m_close_node(m2m);
	EXPECT_EQ(0, close(how.request));
}

struct closing {
	pthread_barrier_t barrier;
	int requests[REQUESTS];
};

static void *close_requests(void *data)
{
	struct closing *closing = data;
	unsigned int i;

	pthread_barrier_wait(&closing->barrier);
	for (i = 0; i < REQUESTS; i++)
		close(closing->requests[i]);
	return NULL;
}

/* Both know the controls in the requests, and let them go. KASAN sees it if they do so at once. */
TEST_F_TIMEOUT(waiting, closed_at_once, CASE_S)
{
	struct closing closing;
	pthread_t thread;
	struct jobs jobs;
	unsigned int round, i;

	ASSERT_EQ(0, pthread_barrier_init(&closing.barrier, NULL, 2));
	for (round = 0; round < ROUNDS; round++) {
		ASSERT_EQ(0, jobs_open_idle(&jobs, variant->kind));
		for (i = 0; i < REQUESTS; i++) {
			ASSERT_EQ(0, ioctl(jobs.m2m.media, MEDIA_IOC_REQUEST_ALLOC,
					   &closing.requests[i]));
			ASSERT_EQ(0, variant->kind->controls(jobs.m2m.fd, closing.requests[i]));
		}
		ASSERT_EQ(0, pthread_create(&thread, NULL, close_requests, &closing));
		pthread_barrier_wait(&closing.barrier);
		m2m_close_node(&jobs.m2m);
		ASSERT_EQ(0, pthread_join(thread, NULL));
		jobs_close(&jobs);
	}
	pthread_barrier_destroy(&closing.barrier);
}

/*
 * REQBUFS(0) ends the request of what was queued, and gives it the controls that it lacks. For that
 * it takes the lock under which controls are copied from user space, which may need the lock of the
 * address space, which mmap() holds when it takes the queue's: lockdep sees it if that is held.
 */
TEST_F_TIMEOUT(waiting, ended_by_reqbufs, CASE_S)
{
	struct m2m *m2m = &self->jobs.m2m;
	struct m2m_qbuf how = { .bytes = variant->kind->bytes, .flags = V4L2_BUF_FLAG_REQUEST_FD };
	struct pollfd poll_request = { .events = POLLPRI };
	struct v4l2_ctrl_mpeg2_quantisation tables;
	struct v4l2_ext_control control = {
		.id = V4L2_CID_STATELESS_MPEG2_QUANTISATION,
		.size = sizeof(tables),
		.ptr = &tables,
	};
	struct v4l2_ext_controls controls = { .count = 1, .controls = &control };
	struct v4l2_plane plane = {};
	struct v4l2_buffer buf = {
		.type = m2m_type(m2m, M2M_OUTPUT),
		.memory = V4L2_MEMORY_MMAP,
		.m.planes = &plane,
		.length = 1,
	};
	void *data;

	memset(&tables, 16, sizeof(tables));
	ASSERT_EQ(0, ioctl(m2m->fd, VIDIOC_S_EXT_CTRLS, &controls));
	ASSERT_EQ(0, ioctl(m2m->fd, VIDIOC_QUERYBUF, &buf));
	data = mmap(NULL, plane.length, PROT_READ | PROT_WRITE, MAP_SHARED, m2m->fd,
		    plane.m.mem_offset);
	ASSERT_NE(MAP_FAILED, data);
	ASSERT_EQ(0, munmap(data, plane.length));

	ASSERT_EQ(0, ioctl(m2m->media, MEDIA_IOC_REQUEST_ALLOC, &how.request));
	ASSERT_EQ(0, m2m_qbuf(m2m, M2M_OUTPUT, 0, &how));
	ASSERT_EQ(0, ioctl(how.request, MEDIA_REQUEST_IOC_QUEUE));
	poll_request.fd = how.request;
	EXPECT_EQ(0, poll(&poll_request, 1, 0));
	EXPECT_EQ(0, m2m_free(m2m, M2M_OUTPUT));
	EXPECT_EQ(1, poll(&poll_request, 1, SOON_MS));
	EXPECT_EQ(0, close(how.request));
}

/* The size may change in the middle of a bitstream, and pictures of the old one be queued still. */
TEST_F_TIMEOUT(waiting, picture_of_an_old_size, CASE_S)
{
	const struct job_kind *kind = variant->kind;
	struct m2m *m2m = &self->jobs.m2m;
	struct m2m_qbuf how = { .bytes = kind->bytes, .flags = V4L2_BUF_FLAG_REQUEST_FD };
	const struct m2m_qbuf picture = {};
	struct pollfd poll_request = { .events = POLLPRI };
	struct v4l2_buffer buf;
	int ret;

	ASSERT_EQ(0, m2m_alloc(m2m, M2M_CAPTURE, 1));
	ASSERT_EQ(0, m2m_stream(m2m, M2M_OUTPUT, true));
	ASSERT_EQ(0, m2m_stream(m2m, M2M_CAPTURE, true));
	ASSERT_EQ(0, m2m_qbuf(m2m, M2M_CAPTURE, 0, &picture));
	ret = m2m_format(m2m, M2M_OUTPUT, kind->input, 2 * kind->width, 2 * kind->height,
			 kind->bytes);
	if (!ret) {
		ASSERT_EQ(0, ioctl(m2m->media, MEDIA_IOC_REQUEST_ALLOC, &how.request));
		ASSERT_EQ(0, m2m_qbuf(m2m, M2M_OUTPUT, 0, &how));
		ASSERT_EQ(0, kind->controls(m2m->fd, how.request));
		ASSERT_EQ(0, ioctl(how.request, MEDIA_REQUEST_IOC_QUEUE));
		EXPECT_EQ(0, m2m_dqbuf(m2m, M2M_CAPTURE, SOON_MS, &buf));
		/* Else it would have been written behind its end. */
		EXPECT_TRUE(buf.flags & V4L2_BUF_FLAG_ERROR);
		/* The request ends, too. */
		poll_request.fd = how.request;
		EXPECT_EQ(1, poll(&poll_request, 1, SOON_MS));
		EXPECT_EQ(0, close(how.request));
	}
	/* hantro has it so, visl does not; nor may visl have another format of pictures then. */
	EXPECT_EQ(kind == &job_h264 ? 0 : -EBUSY, ret);
	if (kind == &job_visl)
		EXPECT_EQ(-EBUSY, m2m_format(m2m, M2M_CAPTURE, V4L2_PIX_FMT_YUV420, kind->width,
					     kind->height, 0));
}

/*
 * Frames of VP8, which refer to the picture of job JOB_REFERENCE. The device does not read it, but
 * counts the jobs that refer to another picture than their own, as those do that find none.
 */
FIXTURE(reference) {
	struct jobs jobs;
};

FIXTURE_SETUP(reference)
{
	const char *missing = device_start(&device_vpu);

	jobs_init(&self->jobs);
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, device_defaults(&device_vpu));
	ASSERT_EQ(0, jobs_open_idle(&self->jobs, &job_vp8));
	ASSERT_EQ(0, m2m_alloc(&self->jobs.m2m, M2M_OUTPUT, JOB_SLOTS));
}

FIXTURE_TEARDOWN(reference)
{
	jobs_close(&self->jobs);
	EXPECT_EQ(0, device_defaults(&device_vpu));
}

static int resize(struct jobs *jobs, unsigned int times)
{
	const struct job_kind *kind = jobs->kind;

	return m2m_format(&jobs->m2m, M2M_OUTPUT, kind->input, times * kind->width,
			  times * kind->height, kind->bytes);
}

/* A picture that is too small for the size of the frames now would be read behind its end. */
TEST_F_TIMEOUT(reference, of_an_old_size, CASE_S)
{
	struct jobs *jobs = &self->jobs;
	long references;

	/* The second one is large enough for both sizes. */
	jobs->m2m.queues[M2M_CAPTURE].memory = V4L2_MEMORY_MMAP;
	ASSERT_EQ(1, m2m_reqbufs(&jobs->m2m, M2M_CAPTURE, 1));
	ASSERT_EQ(0, resize(jobs, 2));
	ASSERT_EQ(1, m2m_create(&jobs->m2m, M2M_CAPTURE, 1));
	ASSERT_EQ(0, resize(jobs, 1));
	ASSERT_EQ(0, m2m_adopt(&jobs->m2m, M2M_CAPTURE, 2));
	ASSERT_EQ(0, jobs_go(jobs));

	ASSERT_EQ(0, job_run(jobs, 0, JOB_REFERENCE));
	references = knob_get(&device_vpu, "references");
	ASSERT_EQ(0, job_run(jobs, 1, JOB_REFERENCE + 1));
	EXPECT_EQ(references + 1, knob_get(&device_vpu, "references"));
	ASSERT_EQ(0, resize(jobs, 2));
	ASSERT_EQ(0, job_start(jobs, 1, JOB_REFERENCE + 2));
	EXPECT_EQ(0, job_end(jobs, 1, JOB_REFERENCE + 2, SOON_MS));
	EXPECT_EQ(references + 1, knob_get(&device_vpu, "references"));
}

/* Nothing was written to a picture that was refused, even if it is large enough again. */
TEST_F_TIMEOUT(reference, that_was_refused, CASE_S)
{
	struct jobs *jobs = &self->jobs;
	long references;

	ASSERT_EQ(0, m2m_alloc(&jobs->m2m, M2M_CAPTURE, JOB_SLOTS));
	ASSERT_EQ(0, jobs_go(jobs));
	ASSERT_EQ(0, job_queue_picture(jobs, 0));
	ASSERT_EQ(0, resize(jobs, 2));
	ASSERT_EQ(0, job_queue_input(jobs, 0, 1, JOB_REFERENCE, 0));
	EXPECT_EQ(-EIO, job_end(jobs, 0, JOB_REFERENCE, SOON_MS));
	ASSERT_EQ(0, resize(jobs, 1));
	references = knob_get(&device_vpu, "references");
	ASSERT_EQ(0, job_run(jobs, 1, JOB_REFERENCE + 1));
	EXPECT_EQ(references, knob_get(&device_vpu, "references"));

	ASSERT_EQ(0, job_run(jobs, 0, JOB_REFERENCE));
	ASSERT_EQ(0, job_run(jobs, 1, JOB_REFERENCE + 1));
	EXPECT_EQ(references + 1, knob_get(&device_vpu, "references"));
}

TEST_HARNESS_MAIN
