// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of drivers that draw their pictures with the processor, vim2m and visl: no part of a
 * new picture is seen before its fence.
 */

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "kselftest_harness.h"
#include "fence_trace.h"
#include "jobs.h"

/* Large enough that drawing takes longer than a look at it; vim2m has no larger ones. */
#define WIDTH		640
#define HEIGHT		480
#define JOB_MS		100
#define ROUNDS		10

FIXTURE(drawing) {
	struct job_kind kind;
	struct jobs jobs;
};

FIXTURE_VARIANT(drawing) {
	const struct job_kind *kind;
	const struct test_device *dev;
	bool flips;
};

FIXTURE_VARIANT_ADD(drawing, vim2m) {
	.kind = &job_vim2m,
	.dev = &device_vim2m,
	/* Pixel by pixel, which takes longer. */
	.flips = true,
};

FIXTURE_VARIANT_ADD(drawing, visl) {
	.kind = &job_visl,
	/* Has no parameters that a test could look for. */
	.dev = &device_vpu,
};

static int set_job_time(const struct job_kind *kind, unsigned int ms)
{
	char text[16];

	if (kind->dev->module)
		return job_time_set(kind->dev, ms);
	snprintf(text, sizeof(text), "%u", ms);
	return write_text(VISL_TIME, text);
}

static int flip(int fd)
{
	struct v4l2_control control = { .id = V4L2_CID_HFLIP, .value = 1 };

	return ioctl(fd, VIDIOC_S_CTRL, &control) ? -errno : 0;
}

FIXTURE_SETUP(drawing)
{
	const char *missing;

	jobs_init(&self->jobs);
	self->kind = *variant->kind;
	self->kind.width = WIDTH;
	self->kind.height = HEIGHT;
	missing = device_start(variant->dev);
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, set_job_time(&self->kind, JOB_MS));
	ASSERT_EQ(0, jobs_open(&self->jobs, &self->kind));
	if (variant->flips)
		ASSERT_EQ(0, flip(self->jobs.m2m.fd));
	ASSERT_EQ(0, fence_counts_start());
}

FIXTURE_TEARDOWN(drawing)
{
	struct fence_counts counts;

	jobs_close(&self->jobs);
	EXPECT_EQ(0, fence_counts_end(&counts));
	EXPECT_EQ(counts.armed, counts.signalled);
	EXPECT_EQ(0, set_job_time(&self->kind, 0));
	if (variant->flips)
		EXPECT_EQ(0, device_defaults(self->kind.dev));
}

/* Both drivers draw before this is over. */
static void *start_job(void *data)
{
	struct jobs *jobs = data;
	const int ret = job_start(jobs, 0, 1);

	return (void *)(long)ret;
}

static __u32 first_pixels(const struct m2m_buffer *picture)
{
	return __atomic_load_n((const __u32 *)picture->data, __ATOMIC_ACQUIRE);
}

/* When the first pixels change, their fence has been there. */
TEST_F_TIMEOUT(drawing, behind_the_fence, CASE_S)
{
	struct m2m_buffer *picture = job_picture(&self->jobs, 0);
	unsigned int round, pending = 0;

	for (round = 0; round < ROUNDS; round++) {
		const long armed = fences_armed();
		const long long give_up = now_ms() + SOON_MS;
		bool fenced, ready;
		pthread_t thread;
		__u32 blank;
		void *ret;

		ASSERT_EQ(0, job_blank(&self->jobs, 0));
		blank = first_pixels(picture);
		ASSERT_EQ(0, pthread_create(&thread, NULL, start_job, &self->jobs));
		while (first_pixels(picture) == blank && now_ms() < give_up)
			;
		/* In this order: a job that is over by now has had its fence. */
		ready = dmabuf_ready(picture->dmabuf, POLLIN, 0);
		fenced = fences_armed() > armed;
		EXPECT_NE(blank, first_pixels(picture));
		EXPECT_TRUE(!ready || fenced) {
			TH_LOG("drawn without a fence");
		}
		pending += !ready;
		ASSERT_EQ(0, pthread_join(thread, &ret));
		ASSERT_EQ(NULL, ret);
		ASSERT_EQ(0, job_end(&self->jobs, 0, 1, SOON_MS));
		EXPECT_TRUE(dmabuf_ready(picture->dmabuf, POLLIN, 0));
	}
	TH_LOG("%u of %u pictures were seen with a pending fence", pending, ROUNDS);
	EXPECT_LT(0, pending);
}

TEST_HARNESS_MAIN
