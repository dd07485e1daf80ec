// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of acquire fences: a reader that is slow sees its picture whole, though the application has
 * queued the buffer for the next one.
 *
 * The reader's fence is one of sw_sync, on the dma-buf by DMA_BUF_IOCTL_IMPORT_SYNC_FILE, as Mesa
 * does it for drivers with explicit synchronisation.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <linux/dma-buf.h>

#include "kselftest_harness.h"
#include "jobs.h"

#define JOB_MS		10
/* So many times a job could have been done, if it did not wait. */
#define WAIT_MS		(5 * JOB_MS)
#define ROUNDS		20
/* No call takes as long as this, unless it waits for the fence. */
#define AT_ONCE_MS	1000
#define TIMEOUT_MS	10000
/* How many buffers of each queue a job of vim2m is for. */
#define CID_JOB_BUFFERS	(V4L2_CID_USER_BASE + 0x1001)

/**
 * struct timeline - of sw_sync
 * @fd: descriptor
 * @fences: how many it has; each step ends one
 */
struct timeline {
	int fd;
	unsigned int fences;
};

FIXTURE(acquire) {
	struct jobs jobs;
	struct jobs other;
	struct timeline timeline;
};

FIXTURE_VARIANT(acquire) {
	const struct job_kind *kind;
	/* Has no parameters that a test could look for. */
	const struct test_device *dev;
};

FIXTURE_VARIANT_ADD(acquire, rga) {
	.kind = &job_rga,
	.dev = &device_rga,
};

FIXTURE_VARIANT_ADD(acquire, h264) {
	.kind = &job_h264,
	.dev = &device_vpu,
};

FIXTURE_VARIANT_ADD(acquire, vim2m) {
	.kind = &job_vim2m,
	.dev = &device_vim2m,
};

FIXTURE_VARIANT_ADD(acquire, visl) {
	.kind = &job_visl,
	.dev = &device_vpu,
};

static int set_job_time(const struct job_kind *kind, unsigned int ms)
{
	char text[16];

	if (kind != &job_visl)
		return job_time_set(kind->dev, ms);
	snprintf(text, sizeof(text), "%u", ms);
	return write_text(VISL_TIME, text);
}

FIXTURE_SETUP(acquire)
{
	const char *missing = device_start(variant->dev);

	jobs_init(&self->jobs);
	jobs_init(&self->other);
	if (missing)
		SKIP(return, "%s", missing);
	self->timeline.fd = open(SW_SYNC, O_RDWR | O_CLOEXEC);
	if (self->timeline.fd < 0)
		SKIP(return, "no " SW_SYNC ": CONFIG_SW_SYNC=y is needed");
	ASSERT_EQ(0, device_defaults(variant->dev));
	ASSERT_EQ(0, acquire_set(variant->kind->dev, true));
	ASSERT_EQ(0, acquire_timeout_set(TIMEOUT_MS));
	ASSERT_EQ(0, set_job_time(variant->kind, JOB_MS));
}

FIXTURE_TEARDOWN(acquire)
{
	close_fd(&self->timeline.fd);
	jobs_close(&self->jobs);
	jobs_close(&self->other);
	if (variant->kind == &job_visl)
		EXPECT_EQ(0, set_job_time(variant->kind, 0));
	EXPECT_EQ(0, acquire_set(variant->kind->dev, true));
	EXPECT_EQ(0, device_defaults(variant->dev));
}

/* A reader, or a writer, that has the buffer until the next step of the timeline. */
static int add_user(struct timeline *timeline, const struct m2m_buffer *buffer,
		    int (*import)(int dmabuf, int fence))
{
	int fence = sw_sync_fence(timeline->fd, ++timeline->fences);
	int ret;

	if (fence < 0)
		return fence;
	ret = import(buffer->dmabuf, fence);
	close(fence);
	return ret;
}

static int add_reader(struct timeline *timeline, const struct m2m_buffer *buffer)
{
	return add_user(timeline, buffer, dmabuf_import_read);
}

static int add_writer(struct timeline *timeline, const struct m2m_buffer *buffer)
{
	return add_user(timeline, buffer, dmabuf_import);
}

/* The jobs are queued, and do not begin. */
static void expect_waits(struct __test_metadata *_metadata, struct jobs *jobs, unsigned int slot,
			 __u32 n)
{
	const struct test_device *dev = jobs->kind->dev;
	const long started = dev->block ? knob_get(dev, "jobs") : 0;

	EXPECT_EQ(-EAGAIN, job_end(jobs, slot, n, WAIT_MS));
	if (dev->block)
		EXPECT_EQ(started, knob_get(dev, "jobs"));
}

/* visl's pictures show other things: how it ends is all that is looked at. */
static int end_job(struct jobs *jobs, unsigned int slot, __u32 n)
{
	int ret = job_end(jobs, slot, n, SOON_MS);

	if (!ret && jobs->kind->shows && !job_shows(jobs, slot, n))
		ret = -EILSEQ;
	return ret;
}

static int run_job(struct jobs *jobs, unsigned int slot, __u32 n)
{
	int ret = job_start(jobs, slot, n);

	return ret ? ret : end_job(jobs, slot, n);
}

/* What a slow reader does in two steps. */
static int read_half(struct m2m_buffer *picture, __u8 *seen, bool second)
{
	const size_t half = picture->size / 2;
	int ret = dmabuf_begin(picture->dmabuf, DMA_BUF_SYNC_READ);

	if (ret)
		return ret;
	if (second)
		memcpy(seen + half, picture->data + half, picture->size - half);
	else
		memcpy(seen, picture->data, half);
	return dmabuf_end(picture->dmabuf, DMA_BUF_SYNC_READ);
}

/* Returns how many of so many pictures were not whole when they were read. */
static unsigned int count_torn(struct __test_metadata *_metadata, struct jobs *jobs,
			       struct timeline *timeline, unsigned int frames, bool waits)
{
	struct m2m_buffer *picture = job_picture(jobs, 0);
	unsigned int torn = 0;
	__u8 *seen;
	__u32 n;

	ASSERT_EQ(0, run_job(jobs, 0, 1));
	seen = malloc(picture->size);
	ASSERT_NE(NULL, seen);
	for (n = 2; n < 2 + frames; n++) {
		ASSERT_EQ(0, add_reader(timeline, picture));
		ASSERT_EQ(0, read_half(picture, seen, false));
		ASSERT_EQ(0, job_start(jobs, 0, n));
		if (waits)
			expect_waits(_metadata, jobs, 0, n);
		else
			ASSERT_EQ(0, end_job(jobs, 0, n));
		ASSERT_EQ(0, read_half(picture, seen, true));
		torn += jobs->kind->shows && !jobs->kind->shows(jobs->kind, seen, n - 1);
		ASSERT_EQ(0, sw_sync_step(timeline->fd));
		if (waits)
			ASSERT_EQ(0, end_job(jobs, 0, n)) {
				TH_LOG("in frame %u", n);
			}
	}
	ksft_print_msg("%u pictures, %u torn\n", frames, torn);
	free(seen);
	return torn;
}

TEST_F_TIMEOUT(acquire, slow_reader, 3 * CASE_S)
{
	ASSERT_EQ(0, jobs_open(&self->jobs, variant->kind));
	EXPECT_EQ(0, count_torn(_metadata, &self->jobs, &self->timeline, frame_count(), true));
}

/* The parameter turns it off: the pictures are torn. */
TEST_F_TIMEOUT(acquire, slow_reader_off, 3 * CASE_S)
{
	const unsigned int frames = frame_count();

	ASSERT_EQ(0, acquire_set(variant->kind->dev, false));
	ASSERT_EQ(0, jobs_open(&self->jobs, variant->kind));
	EXPECT_EQ(variant->kind->shows ? frames : 0,
		  count_torn(_metadata, &self->jobs, &self->timeline, frames, false));
}

/* What the job reads is what is there when its writer has finished. */
TEST_F_TIMEOUT(acquire, slow_writer, CASE_S)
{
	struct jobs *jobs = &self->jobs;
	const struct job_kind *kind = variant->kind;
	struct m2m_buffer *input;

	ASSERT_EQ(0, jobs_open(jobs, kind));
	input = job_input(jobs, 0);
	ASSERT_EQ(0, job_queue_picture(jobs, 0));
	ASSERT_EQ(0, job_fill(jobs, 0, 1));
	ASSERT_EQ(0, add_writer(&self->timeline, input));
	ASSERT_EQ(0, job_qbuf_input(jobs, 0, 2, 0));
	ASSERT_EQ(0, job_queue_request(jobs, 0));
	expect_waits(_metadata, jobs, 0, 2);
	kind->fill(kind, input->data, 2);
	ASSERT_EQ(0, sw_sync_step(self->timeline.fd));
	EXPECT_EQ(0, end_job(jobs, 0, 2));
}

/* Another reader of the input is no reason to wait. */
TEST_F_TIMEOUT(acquire, two_readers, CASE_S)
{
	ASSERT_EQ(0, jobs_open(&self->jobs, variant->kind));
	ASSERT_EQ(0, add_reader(&self->timeline, job_input(&self->jobs, 0)));
	EXPECT_EQ(0, job_queue_picture(&self->jobs, 0));
	/* Not job_fill(), which waits for the other reader. */
	variant->kind->fill(variant->kind, job_input(&self->jobs, 0)->data, 1);
	EXPECT_EQ(0, job_qbuf_input(&self->jobs, 0, 1, 0));
	EXPECT_EQ(0, job_queue_request(&self->jobs, 0));
	EXPECT_EQ(0, end_job(&self->jobs, 0, 1));
}

/* The first picture is read, and the second one is not: both wait, and come in order. */
TEST_F_TIMEOUT(acquire, in_order, CASE_S)
{
	struct jobs *jobs = &self->jobs;

	ASSERT_EQ(0, jobs_open(jobs, variant->kind));
	ASSERT_EQ(0, add_reader(&self->timeline, job_picture(jobs, 0)));
	ASSERT_EQ(0, job_start(jobs, 0, 1));
	ASSERT_EQ(0, job_start(jobs, 1, 2));
	expect_waits(_metadata, jobs, 0, 1);
	ASSERT_EQ(0, sw_sync_step(self->timeline.fd));
	EXPECT_EQ(0, end_job(jobs, 0, 1));
	EXPECT_EQ(0, end_job(jobs, 1, 2));
}

/* How long some jobs take, in milliseconds. */
static int time_jobs(struct __test_metadata *_metadata, struct jobs *jobs)
{
	const long long begin = now_ms();
	__u32 n;

	for (n = 1; n <= ROUNDS; n++)
		ASSERT_EQ(0, run_job(jobs, n % JOB_SLOTS, n));
	return now_ms() - begin;
}

/* Another file has the device meanwhile. */
TEST_F_TIMEOUT(acquire, two_files, CASE_S)
{
	struct jobs *jobs = &self->jobs;
	int alone, beside;

	ASSERT_EQ(0, jobs_open(jobs, variant->kind));
	ASSERT_EQ(0, jobs_open(&self->other, variant->kind));
	alone = time_jobs(_metadata, &self->other);
	ASSERT_EQ(0, add_reader(&self->timeline, job_picture(jobs, 0)));
	ASSERT_EQ(0, job_start(jobs, 0, 1000));
	beside = time_jobs(_metadata, &self->other);
	ksft_print_msg("%u jobs took %d ms alone, and %d ms beside one that waits\n", ROUNDS, alone,
		       beside);
	expect_waits(_metadata, jobs, 0, 1000);
	ASSERT_EQ(0, sw_sync_step(self->timeline.fd));
	EXPECT_EQ(0, end_job(jobs, 0, 1000));
}

/* No call waits for the fence, which may end when the buffers are gone. */
TEST_F_TIMEOUT(acquire, no_call_waits, CASE_S)
{
	struct jobs *jobs = &self->jobs;
	long long begin;
	int dmabuf;

	ASSERT_EQ(0, jobs_open(jobs, variant->kind));
	dmabuf = job_picture(jobs, 0)->dmabuf;
	ASSERT_EQ(0, add_reader(&self->timeline, job_picture(jobs, 0)));
	begin = now_ms();
	EXPECT_EQ(0, job_start(jobs, 0, 1));
	EXPECT_EQ(0, jobs_stop(jobs));
	EXPECT_EQ(0, jobs_go(jobs));
	EXPECT_EQ(0, job_start(jobs, 0, 2));
	EXPECT_EQ(0, jobs_stop(jobs));
	EXPECT_EQ(0, m2m_free(&jobs->m2m, M2M_OUTPUT));
	EXPECT_EQ(0, m2m_alloc(&jobs->m2m, M2M_OUTPUT, JOB_SLOTS));
	EXPECT_EQ(0, jobs_go(jobs));
	EXPECT_EQ(0, job_start(jobs, 0, 3));
	EXPECT_GT(begin + AT_ONCE_MS, now_ms());
	expect_waits(_metadata, jobs, 0, 3);
	begin = now_ms();
	jobs_close_node(jobs);
	EXPECT_GT(begin + AT_ONCE_MS, now_ms());
	EXPECT_EQ(0, dmabuf_ready(dmabuf, POLLOUT, 0));
	EXPECT_EQ(0, sw_sync_step(self->timeline.fd));
	EXPECT_EQ(1, dmabuf_ready(dmabuf, POLLOUT, SOON_MS));
	jobs_close(jobs);
	ASSERT_EQ(0, jobs_open(jobs, variant->kind));
	EXPECT_EQ(0, run_job(jobs, 0, 4));
}

/* Nor does the driver, when it is unbound. */
TEST_F_TIMEOUT(acquire, unbound, CASE_S)
{
	struct jobs *jobs = &self->jobs;
	long long begin;

	if (!variant->kind->dev->block)
		return;
	ASSERT_EQ(0, jobs_open(jobs, variant->kind));
	ASSERT_EQ(0, add_reader(&self->timeline, job_picture(jobs, 0)));
	ASSERT_EQ(0, job_start(jobs, 0, 1));
	begin = now_ms();
	EXPECT_EQ(0, device_bind(variant->dev, false));
	EXPECT_GT(begin + AT_ONCE_MS, now_ms());
	EXPECT_EQ(0, sw_sync_step(self->timeline.fd));
	jobs_close(jobs);
	EXPECT_EQ(0, device_bind(variant->dev, true));
	ASSERT_EQ(0, jobs_open(jobs, variant->kind));
	EXPECT_EQ(0, run_job(jobs, 0, 2));
}

/* A fence that does not end delays one job, by the timeout, and each further one another job. */
TEST_F_TIMEOUT(acquire, given_up, CASE_S)
{
	const unsigned int timeout_ms = 3 * AT_ONCE_MS;
	struct jobs *jobs = &self->jobs;
	long long begin;
	int picture;
	__u32 n;

	ASSERT_EQ(0, acquire_timeout_set(timeout_ms));
	ASSERT_EQ(0, jobs_open(jobs, variant->kind));
	picture = job_picture(jobs, 0)->dmabuf;
	for (n = 1; n < 6; n += 2) {
		/* The first one, and others. */
		ASSERT_EQ(0, add_reader(&self->timeline, job_picture(jobs, 0)));
		begin = now_ms();
		ASSERT_EQ(0, run_job(jobs, 0, n));
		/* A timer of the kernel's may round by a tick. */
		EXPECT_LE(begin + timeout_ms - 20, now_ms());
		begin = now_ms();
		EXPECT_EQ(0, run_job(jobs, 0, n + 1));
		EXPECT_GT(begin + AT_ONCE_MS, now_ms());
	}
	/* None has ended meanwhile. */
	EXPECT_EQ(0, dmabuf_ready(picture, POLLOUT, 0));
}

/* A job of vim2m for two pairs of buffers waits for the second one, too. */
TEST_F_TIMEOUT(acquire, second_buffers, CASE_S)
{
	struct v4l2_control buffers = { .id = CID_JOB_BUFFERS, .value = 2 };
	struct jobs *jobs = &self->jobs;

	if (variant->kind != &job_vim2m)
		return;
	ASSERT_EQ(0, jobs_open(jobs, variant->kind));
	ASSERT_EQ(0, jobs_stop(jobs));
	ASSERT_EQ(0, ioctl(jobs->m2m.fd, VIDIOC_S_CTRL, &buffers));
	ASSERT_EQ(0, jobs_go(jobs));
	ASSERT_EQ(0, add_reader(&self->timeline, job_picture(jobs, 1)));
	ASSERT_EQ(0, job_start(jobs, 0, 1));
	ASSERT_EQ(0, job_start(jobs, 1, 2));
	expect_waits(_metadata, jobs, 0, 1);
	ASSERT_EQ(0, sw_sync_step(self->timeline.fd));
	EXPECT_EQ(0, end_job(jobs, 0, 1));
	EXPECT_EQ(0, end_job(jobs, 1, 2));
}

TEST_HARNESS_MAIN
