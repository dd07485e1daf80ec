// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests on the emulated media blocks of the RK3566: the size of a decoder's pictures changes.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "jobs.h"

/* How many jobs there are beside S_FMT. */
#define JOBS	100
/* How long a size lasts: long enough for jobs to begin with either. */
#define EACH_US	500

FIXTURE(resized) {
	struct jobs jobs;
};

FIXTURE_VARIANT(resized) {
	const struct job_kind *kind;
};

FIXTURE_VARIANT_ADD(resized, h264) {
	.kind = &job_h264,
};

FIXTURE_VARIANT_ADD(resized, mpeg2) {
	.kind = &job_mpeg2,
};

FIXTURE_VARIANT_ADD(resized, vp8) {
	.kind = &job_vp8,
};

FIXTURE_SETUP(resized)
{
	const char *missing = device_start(&device_vpu);

	jobs_init(&self->jobs);
	if (missing)
		SKIP(return, "%s", missing);
}

FIXTURE_TEARDOWN(resized)
{
	jobs_close(&self->jobs);
	EXPECT_EQ(0, device_defaults(&device_vpu));
}

/* The size changes in the middle of a bitstream, and is what it was when the lock is free. */
struct resizing {
	const struct m2m *m2m;
	pthread_mutex_t same;
	atomic_bool over;
	unsigned int failed;
};

static void resize(struct resizing *resizing, unsigned int times)
{
	struct v4l2_format format = { .type = m2m_type(resizing->m2m, M2M_OUTPUT) };

	format.fmt.pix_mp = resizing->m2m->queues[M2M_OUTPUT].pix;
	format.fmt.pix_mp.width *= times;
	format.fmt.pix_mp.height *= times;
	if (ioctl(resizing->m2m->fd, VIDIOC_S_FMT, &format))
		resizing->failed++;
}

static void *resize_often(void *data)
{
	struct resizing *resizing = data;

	while (!atomic_load(&resizing->over)) {
		pthread_mutex_lock(&resizing->same);
		resize(resizing, 2);
		usleep(EACH_US);
		resize(resizing, 1);
		pthread_mutex_unlock(&resizing->same);
		usleep(EACH_US);
	}
	return NULL;
}

/* A job has the size that its picture has room for, or fails; it is not of both sizes. */
TEST_F_TIMEOUT(resized, beside_jobs, CASE_S)
{
	struct jobs *jobs = &self->jobs;
	struct resizing resizing = { .m2m = &jobs->m2m };
	unsigned int n, done = 0, wrong = 0, failed = 0;
	pthread_t thread;
	int ret = 0;

	ASSERT_EQ(0, jobs_open(jobs, variant->kind));
	pthread_mutex_init(&resizing.same, NULL);
	ASSERT_EQ(0, pthread_create(&thread, NULL, resize_often, &resizing));
	for (n = 1; n <= JOBS && (!ret || ret == -EIO); n++) {
		/* QBUF refuses one that is too small. */
		pthread_mutex_lock(&resizing.same);
		ret = job_queue_picture(jobs, 0);
		pthread_mutex_unlock(&resizing.same);
		ret = ret ? ret : job_queue_input(jobs, 0, n, n, 0);
		ret = ret ? ret : job_end(jobs, 0, n, SOON_MS);
		done += !ret;
		wrong += !ret && !job_shows(jobs, 0, n);
		failed += ret == -EIO;
	}
	atomic_store(&resizing.over, true);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	TH_LOG("%u jobs done, %u of them of another size; %u failed", done, wrong, failed);
	EXPECT_EQ(JOBS, done + failed);
	EXPECT_LT(0, done);
	EXPECT_EQ(0, wrong);
	EXPECT_LT(0, failed);
	EXPECT_EQ(0, resizing.failed);
}

TEST_HARNESS_MAIN
