// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests on the emulated blitter of the RK3566: pictures in two planes, each in a dma-buf of its
 * own. The fences of all planes say the same.
 */

#include <errno.h>

#include <linux/dma-buf.h>

#include "kselftest_harness.h"
#include "jobs.h"

#define LONG_US	600000

/* As sync_files: what readers of each plane of the picture wait for, and writers of the input's. */
struct plane_fences {
	int picture[M2M_PLANES];
	int input[M2M_PLANES];
};

FIXTURE(planes) {
	struct jobs jobs;
	struct plane_fences fences;
};

FIXTURE_VARIANT(planes) {
	int (*buffers)(struct m2m *m2m, enum m2m_side side, unsigned int count);
};

FIXTURE_VARIANT_ADD(planes, exported) {
	.buffers = m2m_alloc,
};

FIXTURE_VARIANT_ADD(planes, imported) {
	.buffers = m2m_import,
};

FIXTURE_SETUP(planes)
{
	const char *missing = device_start(&device_rga);
	unsigned int i;

	if (missing)
		SKIP(return, "%s", missing);
	jobs_init(&self->jobs);
	for (i = 0; i < M2M_PLANES; i++) {
		self->fences.picture[i] = -1;
		self->fences.input[i] = -1;
	}
	ASSERT_EQ(0, device_defaults(&device_rga));
	ASSERT_EQ(0, knob_set(&device_rga, "delay_us", LONG_US));
}

FIXTURE_TEARDOWN(planes)
{
	unsigned int i;

	for (i = 0; i < M2M_PLANES; i++) {
		close_fd(&self->fences.picture[i]);
		close_fd(&self->fences.input[i]);
	}
	jobs_close(&self->jobs);
	EXPECT_EQ(0, device_defaults(&device_rga));
}

/* Has job 1 running, into a blank picture. */
static void start(struct __test_metadata *_metadata, struct jobs *jobs,
		  int (*buffers)(struct m2m *m2m, enum m2m_side side, unsigned int count))
{
	ASSERT_EQ(0, jobs_open_idle(jobs, &job_rga_planes));
	ASSERT_EQ(0, buffers(&jobs->m2m, M2M_OUTPUT, JOB_SLOTS));
	ASSERT_EQ(0, buffers(&jobs->m2m, M2M_CAPTURE, JOB_SLOTS));
	ASSERT_EQ(0, jobs_go(jobs));
	ASSERT_EQ(0, job_blank(jobs, 0));
	ASSERT_EQ(0, job_begin(jobs, 0, 1));
}

/* Takes the fences of all planes, none of which has ended. */
static void take(struct __test_metadata *_metadata, struct jobs *jobs, struct plane_fences *fences)
{
	unsigned int i;

	for (i = 0; i < M2M_PLANES; i++) {
		const int picture = job_plane(jobs, M2M_CAPTURE, 0, i)->dmabuf;
		const int input = job_plane(jobs, M2M_OUTPUT, 0, i)->dmabuf;

		fences->picture[i] = dmabuf_fence(picture, DMA_BUF_SYNC_READ);
		fences->input[i] = dmabuf_fence(input, DMA_BUF_SYNC_WRITE);
		EXPECT_EQ(0, fence_status(fences->picture[i])) {
			TH_LOG("plane %u of the picture", i);
		}
		EXPECT_EQ(0, fence_status(fences->input[i])) {
			TH_LOG("plane %u of the input", i);
		}
		/* Others may read the input. */
		EXPECT_EQ(1, dmabuf_ready(input, POLLIN, 0));
	}
}

/* All have ended in the same way. */
static void ended(struct __test_metadata *_metadata, const struct plane_fences *fences, int status)
{
	unsigned int i;

	for (i = 0; i < M2M_PLANES; i++) {
		EXPECT_EQ(status, fence_status(fences->picture[i]));
		EXPECT_EQ(status, fence_status(fences->input[i]));
	}
}

TEST_F_TIMEOUT(planes, all_wait, CASE_S)
{
	const long completed = knob_get(&device_rga, "completed");
	struct jobs *jobs = &self->jobs;

	start(_metadata, jobs, variant->buffers);
	take(_metadata, jobs, &self->fences);
	ASSERT_EQ(completed, knob_get(&device_rga, "completed"));
	/* The fence of the second plane is signalled when the whole job is done. */
	EXPECT_EQ(1, dmabuf_ready(job_plane(jobs, M2M_CAPTURE, 0, 1)->dmabuf, POLLIN, SOON_MS));
	EXPECT_TRUE(job_shows(jobs, 0, 1));
	EXPECT_EQ(1, dmabuf_ready(job_plane(jobs, M2M_OUTPUT, 0, 1)->dmabuf, POLLOUT, SOON_MS));
	EXPECT_EQ(0, job_end(jobs, 0, 1, SOON_MS));
	ended(_metadata, &self->fences, 1);
	EXPECT_EQ(0, job_run(jobs, 1, 2));
}

TEST_F_TIMEOUT(planes, off, CASE_S)
{
	const long completed = knob_get(&device_rga, "completed");
	struct jobs *jobs = &self->jobs;
	unsigned int i;

	ASSERT_EQ(0, fences_set(&device_rga, false));
	start(_metadata, jobs, variant->buffers);
	for (i = 0; i < M2M_PLANES; i++)
		EXPECT_EQ(1, dmabuf_ready(job_plane(jobs, M2M_CAPTURE, 0, i)->dmabuf, POLLIN, 0));
	EXPECT_TRUE(job_shows(jobs, 0, 0));
	ASSERT_EQ(completed, knob_get(&device_rga, "completed"));
	EXPECT_EQ(0, job_end(jobs, 0, 1, SOON_MS));
	EXPECT_TRUE(job_shows(jobs, 0, 1));
}

TEST_F_TIMEOUT(planes, error, CASE_S)
{
	struct jobs *jobs = &self->jobs;

	ASSERT_EQ(0, fault_set(&device_rga, "error", 1));
	start(_metadata, jobs, variant->buffers);
	take(_metadata, jobs, &self->fences);
	EXPECT_EQ(-EIO, fence_wait(self->fences.picture[1], SOON_MS));
	EXPECT_EQ(-EIO, job_end(jobs, 0, 1, SOON_MS));
	ended(_metadata, &self->fences, -EIO);
	EXPECT_EQ(0, job_run(jobs, 1, 2));
}

TEST_F_TIMEOUT(planes, stopped, CASE_S)
{
	struct jobs *jobs = &self->jobs;

	start(_metadata, jobs, variant->buffers);
	take(_metadata, jobs, &self->fences);
	/* Waits for the job. */
	EXPECT_EQ(0, jobs_stop(jobs));
	ended(_metadata, &self->fences, 1);
	EXPECT_TRUE(job_shows(jobs, 0, 1));
}

/* What outlives the job, the queue and the node still tells. */
TEST_F_TIMEOUT(planes, closed, CASE_S)
{
	struct jobs *jobs = &self->jobs;

	start(_metadata, jobs, variant->buffers);
	take(_metadata, jobs, &self->fences);
	jobs_close_node(jobs);
	ended(_metadata, &self->fences, 1);
	EXPECT_TRUE(job_shows(jobs, 0, 1));
}

TEST_HARNESS_MAIN
