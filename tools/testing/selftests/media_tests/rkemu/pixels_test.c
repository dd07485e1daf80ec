// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests on the emulated media blocks of the RK3566: what a consumer of a dma-buf is told, and what
 * it sees, while a job runs. The blocks write the picture at the end of a job, so that a
 * consumer that reads too early sees the one before.
 */

#include <linux/dma-buf.h>

#include "kselftest_harness.h"
#include "jobs.h"

/* For jobs that a test looks at more than once. */
#define LONG_US		600000
#define MAX_DELAY_US	40000

/*
 * @frames: jobs that were run
 * @mid: frames that were asked about before the job was done
 * @early: of those, frames that were said to be ready
 * @stale: frames that were said to be ready while the new picture was not there
 * @old: of those, frames that still had the whole picture of the job before
 * @wrong: frames whose new picture was not there when the video node returned the buffer
 */
struct counts {
	unsigned int frames, mid, early, stale, old, wrong;
};

FIXTURE(pixels) {
	const struct test_device *dev;
	struct jobs jobs;
	struct jobs other;
};

FIXTURE_VARIANT(pixels) {
	const struct job_kind *kind;
};

FIXTURE_VARIANT_ADD(pixels, rga) {
	.kind = &job_rga,
};

FIXTURE_VARIANT_ADD(pixels, h264) {
	.kind = &job_h264,
};

FIXTURE_VARIANT_ADD(pixels, mpeg2) {
	.kind = &job_mpeg2,
};

FIXTURE_VARIANT_ADD(pixels, vp8) {
	.kind = &job_vp8,
};

FIXTURE_SETUP(pixels)
{
	const char *missing = device_start(variant->kind->dev);

	if (missing)
		SKIP(return, "%s", missing);
	self->dev = variant->kind->dev;
	jobs_init(&self->jobs);
	jobs_init(&self->other);
	ASSERT_EQ(0, device_defaults(self->dev));
}

FIXTURE_TEARDOWN(pixels)
{
	jobs_close(&self->jobs);
	jobs_close(&self->other);
	EXPECT_EQ(0, device_defaults(self->dev));
}

/* The picture may come after the job's end, if that is what goes wrong. */
static bool shows_soon(struct jobs *jobs, __u32 n)
{
	long long end = now_ms() + SOON_MS;

	while (!job_shows(jobs, 0, n)) {
		if (now_ms() > end)
			return false;
		sleep_ms(1);
	}
	return true;
}

static void look(struct jobs *jobs, __u32 n, struct counts *counts)
{
	if (job_shows(jobs, 0, n))
		return;
	counts->stale++;
	counts->old += job_shows(jobs, 0, n - 1);
}

/*
 * Asks while job @n runs, as a compositor would. Whether it ran so long is known afterwards only:
 * the device counts a job when its picture is written, before the interrupt.
 */
static int ask_frame(struct jobs *jobs, __u32 n, struct counts *counts)
{
	const int picture = job_picture(jobs, 0)->dmabuf;
	const struct test_device *dev = jobs->kind->dev;
	const long completed = knob_get(dev, "completed");
	int ret, ready;
	bool mid;

	ret = job_begin(jobs, 0, n);
	if (ret)
		return ret;
	ready = dmabuf_ready(picture, POLLIN, 0);
	if (ready < 0)
		return ready;
	if (ready)
		look(jobs, n, counts);
	mid = knob_get(dev, "completed") == completed;
	counts->frames++;
	counts->mid += mid;
	counts->early += mid && ready;

	if (!ready) {
		if (dmabuf_ready(picture, POLLIN, SOON_MS) != 1)
			return -ETIMEDOUT;
		look(jobs, n, counts);
	}
	ret = job_end(jobs, 0, n, SOON_MS);
	if (ret)
		return ret;
	counts->wrong += !job_shows(jobs, 0, n);
	return shows_soon(jobs, n) ? 0 : -EILSEQ;
}

static void ask_frames(struct __test_metadata *_metadata, struct jobs *jobs, unsigned int frames,
		       struct counts *counts)
{
	__u32 n;

	*counts = (struct counts) {};
	ASSERT_EQ(0, job_blank(jobs, 0));
	for (n = 1; n <= frames; n++) {
		const unsigned int mid = counts->mid;
		long delay;

		ASSERT_EQ(0, ask_frame(jobs, n, counts)) {
			TH_LOG("in frame %u", n);
		}
		/* For a slow machine, a slow device. */
		delay = knob_get(jobs->kind->dev, "delay_us");
		if (counts->mid == mid && delay < MAX_DELAY_US)
			ASSERT_EQ(0, knob_set(jobs->kind->dev, "delay_us", 2 * delay));
	}
	ksft_print_msg("%u frames, asked mid-job about %u: %u ready\n", counts->frames,
		       counts->mid, counts->early);
	ksft_print_msg("stale pictures: %u (%u the old one), wrong at the end: %u\n",
		       counts->stale, counts->old, counts->wrong);
	/* Else it is not this that was tested, but how slow the machine is. */
	ASSERT_LE(frames, 2 * counts->mid);
}

/* Without fences: a consumer is told that the picture is ready, and sees the old one. */
TEST_F_TIMEOUT(pixels, off, 3 * CASE_S)
{
	struct counts counts;

	ASSERT_EQ(0, fences_set(self->dev, false));
	ASSERT_EQ(0, jobs_open(&self->jobs, variant->kind));
	ask_frames(_metadata, &self->jobs, frame_count(), &counts);
	EXPECT_EQ(counts.mid, counts.early);
	EXPECT_LE(counts.mid, counts.stale);
	EXPECT_LE(counts.mid, 2 * counts.old);
	EXPECT_EQ(0, counts.wrong);
}

/* With fences: a consumer is told to wait, and then sees the new one. */
TEST_F_TIMEOUT(pixels, on, 3 * CASE_S)
{
	struct counts counts;

	ASSERT_EQ(0, jobs_open(&self->jobs, variant->kind));
	ask_frames(_metadata, &self->jobs, frame_count(), &counts);
	EXPECT_EQ(0, counts.early);
	EXPECT_EQ(0, counts.stale);
	EXPECT_EQ(0, counts.wrong);
}

/* That the test above would notice: a device that says too early that it is done. */
TEST_F_TIMEOUT(pixels, on_with_early_interrupt, CASE_S)
{
	const unsigned int frames = 20;
	struct counts counts;

	ASSERT_EQ(0, jobs_open(&self->jobs, variant->kind));
	ASSERT_EQ(0, fault_set(self->dev, "interrupt-before-write", 0));
	ask_frames(_metadata, &self->jobs, frames, &counts);
	EXPECT_EQ(0, counts.early);
	EXPECT_LE(frames, 2 * counts.stale);
	EXPECT_LE(frames, 2 * counts.wrong);
}

/* Everything that a consumer of the picture can ask. */
TEST_F_TIMEOUT(pixels, picture_fence, CASE_S)
{
	const struct test_device *dev = self->dev;
	int picture, read, write, later;
	long completed;

	ASSERT_EQ(0, jobs_open(&self->jobs, variant->kind));
	ASSERT_EQ(0, knob_set(dev, "delay_us", LONG_US));
	picture = job_picture(&self->jobs, 0)->dmabuf;
	EXPECT_EQ(1, dmabuf_ready(picture, POLLIN | POLLOUT, 0));
	completed = knob_get(dev, "completed");

	ASSERT_EQ(0, job_start(&self->jobs, 0, 1));
	EXPECT_EQ(0, dmabuf_ready(picture, POLLIN, 0));
	EXPECT_EQ(0, dmabuf_ready(picture, POLLOUT, 0));
	read = dmabuf_fence(picture, DMA_BUF_SYNC_READ);
	write = dmabuf_fence(picture, DMA_BUF_SYNC_WRITE);
	EXPECT_EQ(0, fence_status(read));
	EXPECT_EQ(0, fence_status(write));
	ASSERT_EQ(completed, knob_get(dev, "completed"));

	EXPECT_EQ(1, fence_wait(read, SOON_MS));
	EXPECT_EQ(1, fence_wait(write, SOON_MS));
	EXPECT_EQ(1, dmabuf_ready(picture, POLLIN | POLLOUT, 0));
	EXPECT_EQ(0, job_end(&self->jobs, 0, 1, SOON_MS));
	EXPECT_TRUE(job_shows(&self->jobs, 0, 1));

	/* The next job has a fence of its own. */
	ASSERT_EQ(0, job_begin(&self->jobs, 0, 2));
	later = dmabuf_fence(picture, DMA_BUF_SYNC_READ);
	EXPECT_EQ(0, fence_status(later));
	EXPECT_EQ(1, fence_status(read));
	EXPECT_EQ(1, fence_wait(later, SOON_MS));
	EXPECT_EQ(0, job_end(&self->jobs, 0, 2, SOON_MS));
	close(read);
	close(write);
	close(later);
}

/* DMA_BUF_IOCTL_SYNC, that is what comes before a look at the pixels, waits for the fence. */
TEST_F_TIMEOUT(pixels, sync_waits, CASE_S)
{
	const struct test_device *dev = self->dev;
	long completed;
	int picture;

	ASSERT_EQ(0, jobs_open(&self->jobs, variant->kind));
	ASSERT_EQ(0, knob_set(dev, "delay_us", LONG_US));
	picture = job_picture(&self->jobs, 0)->dmabuf;
	completed = knob_get(dev, "completed");

	ASSERT_EQ(0, job_start(&self->jobs, 0, 1));
	ASSERT_EQ(completed, knob_get(dev, "completed"));
	ASSERT_EQ(0, dmabuf_begin(picture, DMA_BUF_SYNC_READ));
	EXPECT_EQ(completed + 1, knob_get(dev, "completed"));
	EXPECT_TRUE(variant->kind->shows(variant->kind, job_picture(&self->jobs, 0)->data, 1));
	EXPECT_EQ(0, dmabuf_end(picture, DMA_BUF_SYNC_READ));
	EXPECT_EQ(0, job_end(&self->jobs, 0, 1, SOON_MS));
}

/* The device reads its input: others may read it too, but writers have to wait. */
TEST_F_TIMEOUT(pixels, input_fence, CASE_S)
{
	const struct test_device *dev = self->dev;
	int input, read, write;
	long completed;

	ASSERT_EQ(0, jobs_open(&self->jobs, variant->kind));
	ASSERT_EQ(0, knob_set(dev, "delay_us", LONG_US));
	input = job_input(&self->jobs, 0)->dmabuf;
	completed = knob_get(dev, "completed");

	ASSERT_EQ(0, job_start(&self->jobs, 0, 1));
	EXPECT_EQ(1, dmabuf_ready(input, POLLIN, 0));
	EXPECT_EQ(0, dmabuf_ready(input, POLLOUT, 0));
	read = dmabuf_fence(input, DMA_BUF_SYNC_READ);
	write = dmabuf_fence(input, DMA_BUF_SYNC_WRITE);
	EXPECT_EQ(1, fence_status(read));
	EXPECT_EQ(0, fence_status(write));
	ASSERT_EQ(completed, knob_get(dev, "completed"));

	EXPECT_EQ(1, dmabuf_ready(input, POLLOUT, SOON_MS));
	EXPECT_EQ(1, fence_wait(write, SOON_MS));
	EXPECT_EQ(0, job_end(&self->jobs, 0, 1, SOON_MS));
	close(read);
	close(write);
}

/* Buffers that wait for the device have no fence: it would not end before the user does more. */
TEST_F_TIMEOUT(pixels, queued_without_fence, CASE_S)
{
	const struct test_device *dev = self->dev;
	long jobs;

	ASSERT_EQ(0, jobs_open(&self->jobs, variant->kind));
	jobs = knob_get(dev, "jobs");
	ASSERT_EQ(0, job_queue_picture(&self->jobs, 0));
	EXPECT_EQ(1, dmabuf_ready(job_picture(&self->jobs, 0)->dmabuf, POLLIN | POLLOUT, 0));
	ASSERT_EQ(0, job_queue_input(&self->jobs, 0, 1, 1, 0));
	EXPECT_EQ(0, job_end(&self->jobs, 0, 1, SOON_MS));

	/* And now the other way round. */
	ASSERT_EQ(0, job_queue_input(&self->jobs, 1, 2, 2, 0));
	EXPECT_EQ(1, dmabuf_ready(job_input(&self->jobs, 1)->dmabuf, POLLIN | POLLOUT, 0));
	EXPECT_EQ(jobs + 1, knob_get(dev, "jobs"));
	ASSERT_EQ(0, job_queue_picture(&self->jobs, 1));
	EXPECT_EQ(0, job_end(&self->jobs, 1, 2, SOON_MS));
	EXPECT_TRUE(job_shows(&self->jobs, 1, 2));
}

/* The device takes turns: the fence of one file says nothing of the job of the other. */
TEST_F_TIMEOUT(pixels, two_files, CASE_S)
{
	const unsigned int rounds = 20;
	const struct test_device *dev = self->dev;
	struct jobs *one = &self->jobs, *two = &self->other;
	unsigned int mid = 0;
	__u32 n;

	ASSERT_EQ(0, knob_set(dev, "delay_us", LONG_US / 10));
	ASSERT_EQ(0, jobs_open(one, variant->kind));
	ASSERT_EQ(0, jobs_open(two, variant->kind));

	for (n = 1; n <= 2 * rounds; n += 2) {
		const long completed = knob_get(dev, "completed");
		const long started = knob_get(dev, "jobs");
		bool first, second;

		ASSERT_EQ(0, job_blank(one, 0));
		ASSERT_EQ(0, job_blank(two, 0));
		ASSERT_EQ(0, job_begin(one, 0, n));
		ASSERT_EQ(0, job_start(two, 0, n + 1));
		first = dmabuf_ready(job_picture(one, 0)->dmabuf, POLLIN, 0);
		if (knob_get(dev, "completed") == completed)
			EXPECT_FALSE(first);

		ASSERT_EQ(1, dmabuf_ready(job_picture(one, 0)->dmabuf, POLLIN, SOON_MS));
		EXPECT_TRUE(job_shows(one, 0, n));
		ASSERT_EQ(0, job_end(one, 0, n, SOON_MS));

		/* The other one's job comes next, and only then has it a fence. */
		ASSERT_TRUE(knob_reaches(dev, "jobs", started + 2, SOON_MS));
		second = dmabuf_ready(job_picture(two, 0)->dmabuf, POLLIN, 0);
		if (knob_get(dev, "completed") == completed + 1) {
			EXPECT_FALSE(second);
			mid++;
		}
		ASSERT_EQ(0, job_end(two, 0, n + 1, SOON_MS));
		EXPECT_TRUE(job_shows(two, 0, n + 1));
		EXPECT_TRUE(job_shows(one, 0, n));
	}
	EXPECT_LE(rounds, 2 * mid);
}

TEST_HARNESS_MAIN
