// SPDX-License-Identifier: GPL-2.0-only
/*
 * Release fences of videobuf2: what a consumer learns from the dma-bufs of a V4L2 device, before,
 * during and after a job of the test driver vim2m.
 *
 * Each case runs with release fences and without, and with CAPTURE memory of the driver and of the
 * system dma-heap. What is missing for a case makes it a skipped one, with the reason.
 */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/dma-buf.h>

#include "kselftest_harness.h"
#include "jobs.h"

#define PARAMETER	"/sys/module/vim2m/parameters/release_fences"

/* The driver's own control: how long a job takes, in milliseconds. */
#define CID_JOB_MS	(V4L2_CID_USER_BASE + 0x1000)
/* And how many buffers of each queue it is for, one after the other. */
#define CID_JOB_BUFFERS	(V4L2_CID_USER_BASE + 0x1001)
#define JOB_MS		400
/* A job that was over before the case had asked takes so many times as long the next time. */
#define LONGER		4
#define LONGEST_MS	(JOB_MS * LONGER * LONGER)

/* The default timeout of fences */
#define TIMEOUT_MS	3000

/* Status of a sync_file; 1 and negative errors are the kernel's. */
#define PENDING		0

/**
 * struct vim2m - an open file that is streaming
 * @jobs: of the file
 * @job_ms: how long a job takes
 * @number: of the last job that was started
 */
struct vim2m {
	struct jobs jobs;
	int job_ms;
	__u32 number;
};

/*
 * @vim2m: the device
 * @fence: that a case took
 * @was_on: the parameter, to be put back; empty if it was not changed
 */
FIXTURE(release_fences) {
	struct vim2m vim2m;
	int fence;
	char was_on[8];
};

FIXTURE_VARIANT(release_fences) {
	bool on;
	int (*pictures)(struct m2m *m2m, enum m2m_side side, unsigned int count);
};

FIXTURE_VARIANT_ADD(release_fences, on_exported) {
	.on = true,
	.pictures = m2m_alloc,
};

FIXTURE_VARIANT_ADD(release_fences, on_imported) {
	.on = true,
	.pictures = m2m_import,
};

FIXTURE_VARIANT_ADD(release_fences, off_exported) {
	.on = false,
	.pictures = m2m_alloc,
};

FIXTURE_VARIANT_ADD(release_fences, off_imported) {
	.on = false,
	.pictures = m2m_import,
};

static void set_job_ms(struct __test_metadata *_metadata, struct vim2m *vim2m, int ms)
{
	struct v4l2_control job = { .id = CID_JOB_MS, .value = ms };

	ASSERT_EQ(0, ioctl(vim2m->jobs.m2m.fd, VIDIOC_S_CTRL, &job));
	vim2m->job_ms = ms;
}

FIXTURE_SETUP(release_fences)
{
	const char *missing = device_start(&device_vim2m);
	struct m2m *m2m = &self->vim2m.jobs.m2m;

	jobs_init(&self->vim2m.jobs);
	self->fence = -1;
	if (missing)
		SKIP(return, "%s", missing);
	if (variant->pictures == m2m_import && access(HEAP, R_OK))
		SKIP(return, "no " HEAP ": CONFIG_DMABUF_HEAPS_SYSTEM is needed");
	ASSERT_EQ(0, read_text(PARAMETER, self->was_on, sizeof(self->was_on)));
	ASSERT_EQ(0, fences_set(&device_vim2m, variant->on));
	ASSERT_EQ(0, jobs_open_idle(&self->vim2m.jobs, &job_vim2m));
	set_job_ms(_metadata, &self->vim2m, JOB_MS);
	ASSERT_EQ(0, m2m_alloc(m2m, M2M_OUTPUT, JOB_SLOTS));
	ASSERT_EQ(0, variant->pictures(m2m, M2M_CAPTURE, JOB_SLOTS));
	ASSERT_EQ(0, jobs_go(&self->vim2m.jobs));
}

FIXTURE_TEARDOWN(release_fences)
{
	close_fd(&self->fence);
	jobs_close(&self->vim2m.jobs);
	if (self->was_on[0])
		EXPECT_EQ(0, write_text(PARAMETER, self->was_on));
}

static int picture_of(struct vim2m *vim2m, unsigned int slot)
{
	return job_picture(&vim2m->jobs, slot)->dmabuf;
}

static int input_of(struct vim2m *vim2m, unsigned int slot)
{
	return job_input(&vim2m->jobs, slot)->dmabuf;
}

static bool ready(int dmabuf, short events, int ms)
{
	return dmabuf_ready(dmabuf, events, ms) == 1;
}

/* Starts a job with the first buffers. If no other job runs, this one does, then. */
static void start(struct __test_metadata *_metadata, struct vim2m *vim2m)
{
	ASSERT_EQ(0, job_start(&vim2m->jobs, 0, ++vim2m->number));
}

/* Waits for the end of the job that was started last. */
static void dequeue(struct __test_metadata *_metadata, struct vim2m *vim2m)
{
	ASSERT_EQ(0, job_end(&vim2m->jobs, 0, vim2m->number, SOON_MS));
}

/* Whether the node says that a job has ended. */
static bool has_ended(struct vim2m *vim2m)
{
	return ready(vim2m->jobs.m2m.fd, POLLIN, 0);
}

/* Behind another job, a job starts from a work item: a fence can take a moment to be there. */
static bool becomes_busy(struct vim2m *vim2m, int dmabuf)
{
	while (!has_ended(vim2m)) {
		if (!ready(dmabuf, POLLIN, 0))
			return true;
		sleep_ms(1);
	}
	return false;
}

/*
 * What was asked while a job runs says something only if it still ran then. If it did not, jobs
 * take longer from now on, once those that were started are dequeued: the case starts them again,
 * and asks again.
 */
static bool asked_too_late(struct __test_metadata *_metadata, struct vim2m *vim2m)
{
	if (!has_ended(vim2m) || vim2m->job_ms == LONGEST_MS)
		return false;
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

/* Starts a job with the first buffers; keeps the fence that a reader or a writer waits for. */
static struct answer ask_during_job(struct __test_metadata *_metadata, struct vim2m *vim2m,
				    int dmabuf, unsigned int flags, int *fence)
{
	struct answer answer;
	bool again;

	do {
		close_fd(fence);
		start(_metadata, vim2m);
		answer.reader = ready(dmabuf, POLLIN, 0);
		answer.writer = ready(dmabuf, POLLOUT, 0);
		*fence = dmabuf_fence(dmabuf, flags);
		answer.status = fence_status(*fence);
		again = asked_too_late(_metadata, vim2m);
		if (again)
			dequeue(_metadata, vim2m);
	} while (again);
	return answer;
}

/* A reader of the picture waits for the job; without fences it is told that there is nothing. */
TEST_F(release_fences, picture)
{
	const int picture = picture_of(&self->vim2m, 0);
	struct answer answer;

	EXPECT_TRUE(ready(picture, POLLIN | POLLOUT, 0));
	answer = ask_during_job(_metadata, &self->vim2m, picture, DMA_BUF_SYNC_READ,
				&self->fence);
	EXPECT_EQ(!variant->on, answer.reader);
	EXPECT_EQ(variant->on ? PENDING : 1, answer.status);

	EXPECT_TRUE(ready(picture, POLLIN | POLLOUT, SOON_MS));
	EXPECT_EQ(1, fence_wait(self->fence, SOON_MS));
	dequeue(_metadata, &self->vim2m);
}

/* Its next writer waits too. */
TEST_F(release_fences, picture_for_a_writer)
{
	const int dmabuf = picture_of(&self->vim2m, 0);
	struct answer answer = ask_during_job(_metadata, &self->vim2m, dmabuf,
					      DMA_BUF_SYNC_WRITE, &self->fence);

	EXPECT_EQ(!variant->on, answer.writer);
	EXPECT_EQ(variant->on ? PENDING : 1, answer.status);
	EXPECT_EQ(1, fence_wait(self->fence, SOON_MS));
}

/* The device only reads its input: other readers need not wait, writers have to. */
TEST_F(release_fences, input)
{
	const int dmabuf = input_of(&self->vim2m, 0);
	struct answer answer = ask_during_job(_metadata, &self->vim2m, dmabuf,
					      DMA_BUF_SYNC_WRITE, &self->fence);

	EXPECT_TRUE(answer.reader);
	EXPECT_EQ(!variant->on, answer.writer);
	EXPECT_EQ(variant->on ? PENDING : 1, answer.status);
	EXPECT_EQ(1, fence_wait(self->fence, SOON_MS));
	EXPECT_TRUE(ready(input_of(&self->vim2m, 0), POLLOUT, SOON_MS));
}

/* A fence comes with the start of a job, so that it ends in a finite time; not before. */
TEST_F(release_fences, waiting_job)
{
	bool picture, input, again;

	do {
		ASSERT_EQ(0, job_start(&self->vim2m.jobs, 0, 1));
		ASSERT_EQ(0, job_start(&self->vim2m.jobs, 1, 2));
		picture = ready(picture_of(&self->vim2m, 1), POLLIN | POLLOUT, 0);
		input = ready(input_of(&self->vim2m, 1), POLLIN | POLLOUT, 0);
		again = asked_too_late(_metadata, &self->vim2m);
		ASSERT_EQ(0, job_end(&self->vim2m.jobs, 0, 1, SOON_MS));
		ASSERT_EQ(0, job_end(&self->vim2m.jobs, 1, 2, SOON_MS));
	} while (again);
	EXPECT_TRUE(picture);
	EXPECT_TRUE(input);
	EXPECT_TRUE(ready(picture_of(&self->vim2m, 1), POLLIN | POLLOUT, 0));
}

/* The second buffers of a job start in a work item, and have no fences before that. */
TEST_F(release_fences, second_buffers)
{
	struct v4l2_control buffers = { .id = CID_JOB_BUFFERS, .value = 2 };
	struct vim2m *vim2m = &self->vim2m;
	bool first, early, second, again;

	ASSERT_EQ(0, jobs_stop(&vim2m->jobs));
	ASSERT_EQ(0, ioctl(vim2m->jobs.m2m.fd, VIDIOC_S_CTRL, &buffers));
	ASSERT_EQ(0, jobs_go(&vim2m->jobs));
	do {
		ASSERT_EQ(0, job_start(&vim2m->jobs, 0, 1));
		ASSERT_EQ(0, job_start(&vim2m->jobs, 1, 2));
		first = !ready(picture_of(vim2m, 0), POLLIN, 0);
		early = !ready(picture_of(vim2m, 1), POLLIN, 0);
		again = asked_too_late(_metadata, vim2m);
		ASSERT_EQ(0, job_end(&vim2m->jobs, 0, 1, SOON_MS));
		second = becomes_busy(vim2m, picture_of(vim2m, 1));
		if (variant->on && !second && !again)
			again = asked_too_late(_metadata, vim2m);
		ASSERT_EQ(0, job_end(&vim2m->jobs, 1, 2, SOON_MS));
	} while (again);
	EXPECT_EQ(variant->on, first);
	EXPECT_FALSE(early);
	EXPECT_EQ(variant->on, second);
	EXPECT_TRUE(ready(picture_of(vim2m, 0), POLLIN | POLLOUT, 0));
	EXPECT_TRUE(ready(picture_of(vim2m, 1), POLLIN | POLLOUT, 0));
}

/* As soon as a program has dequeued a buffer, nothing is waited for. */
TEST_F(release_fences, not_after_the_buffer)
{
	unsigned int i;

	for (i = 0; i < 3; i++) {
		start(_metadata, &self->vim2m);
		dequeue(_metadata, &self->vim2m);
		EXPECT_TRUE(ready(picture_of(&self->vim2m, 0), POLLIN | POLLOUT, 0));
		EXPECT_TRUE(ready(input_of(&self->vim2m, 0), POLLIN | POLLOUT, 0));
	}
}

/* What was asked for in a job speaks of this job, not of the next one with the same buffer. */
TEST_F(release_fences, of_one_job)
{
	bool busy, again;

	start(_metadata, &self->vim2m);
	self->fence = dmabuf_fence(picture_of(&self->vim2m, 0), DMA_BUF_SYNC_READ);
	dequeue(_metadata, &self->vim2m);
	do {
		start(_metadata, &self->vim2m);
		busy = becomes_busy(&self->vim2m, picture_of(&self->vim2m, 0));
		again = !busy && variant->on && asked_too_late(_metadata, &self->vim2m);
		EXPECT_EQ(1, fence_status(self->fence));
		dequeue(_metadata, &self->vim2m);
	} while (again);
	EXPECT_EQ(variant->on, busy);
}

/* For jobs that take longer than the default timeout, vim2m asks for a longer one. */
TEST_F(release_fences, long_job)
{
	if (!variant->on)
		return;
	set_job_ms(_metadata, &self->vim2m, TIMEOUT_MS + 1000);
	start(_metadata, &self->vim2m);
	self->fence = dmabuf_fence(picture_of(&self->vim2m, 0), DMA_BUF_SYNC_READ);
	EXPECT_EQ(1, fence_wait(self->fence, SOON_MS));
	dequeue(_metadata, &self->vim2m);
}

/* A fence ends, and no later than after 10 s. */
TEST_F(release_fences, timeout_bounds)
{
	char was[16];

	ASSERT_EQ(0, read_text(FENCE_TIMEOUT, was, sizeof(was)));
	EXPECT_EQ(TIMEOUT_MS, atoi(was));
	EXPECT_EQ(-EINVAL, timeout_set(0));
	EXPECT_EQ(-EINVAL, timeout_set(10001));
	EXPECT_EQ(0, timeout_set(1));
	EXPECT_EQ(0, timeout_set(10000));
	EXPECT_EQ(0, write_text(FENCE_TIMEOUT, was));
}

/* DMA_BUF_IOCTL_SYNC, with which a processor begins to read, waits. */
TEST_F(release_fences, processor)
{
	const int picture = picture_of(&self->vim2m, 0);

	start(_metadata, &self->vim2m);
	self->fence = dmabuf_fence(picture, DMA_BUF_SYNC_READ);
	ASSERT_EQ(0, dmabuf_begin(picture, DMA_BUF_SYNC_READ));
	EXPECT_EQ(1, fence_status(self->fence));
	EXPECT_EQ(0, dmabuf_end(picture, DMA_BUF_SYNC_READ));
}

/* STREAMOFF ends the job and its fence before it returns: the buffers are free. */
TEST_F(release_fences, streamoff)
{
	start(_metadata, &self->vim2m);
	self->fence = dmabuf_fence(picture_of(&self->vim2m, 0), DMA_BUF_SYNC_READ);
	ASSERT_EQ(0, m2m_stream(&self->vim2m.jobs.m2m, M2M_CAPTURE, false));
	EXPECT_NE(PENDING, fence_status(self->fence));
	EXPECT_NE(NO_STATUS, fence_status(self->fence));
	EXPECT_TRUE(ready(picture_of(&self->vim2m, 0), POLLIN | POLLOUT, 0));
	EXPECT_EQ(0, m2m_stream(&self->vim2m.jobs.m2m, M2M_OUTPUT, false));
	EXPECT_TRUE(ready(input_of(&self->vim2m, 0), POLLIN | POLLOUT, 0));
}

/* The file is closed in the middle of a job: the fence ends, though no picture can be dequeued. */
TEST_F(release_fences, close)
{
	start(_metadata, &self->vim2m);
	self->fence = dmabuf_fence(picture_of(&self->vim2m, 0), DMA_BUF_SYNC_READ);
	jobs_close_node(&self->vim2m.jobs);
	EXPECT_NE(PENDING, fence_status(self->fence));
	EXPECT_NE(NO_STATUS, fence_status(self->fence));
	EXPECT_TRUE(ready(picture_of(&self->vim2m, 0), POLLIN | POLLOUT, 0));
	EXPECT_TRUE(ready(input_of(&self->vim2m, 0), POLLIN | POLLOUT, 0));
}

TEST_HARNESS_MAIN
