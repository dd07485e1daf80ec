// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of imported pictures whose QBUF is refused.
 */

#include <errno.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "jobs.h"

FIXTURE(imported) {
	struct jobs lender;
	struct jobs jobs;
	long dmabufs;
};

FIXTURE_VARIANT(imported) {
	const struct test_device *block;
	const struct job_kind *kind;
};

FIXTURE_VARIANT_ADD(imported, rga) {
	.block = &device_rga,
	.kind = &job_rga,
};

/* Frames of VP8 refer to pictures. */
FIXTURE_VARIANT_ADD(imported, vp8) {
	.block = &device_vpu,
	.kind = &job_vp8,
};

FIXTURE_VARIANT_ADD(imported, visl) {
	.block = &device_vpu,
	.kind = &job_visl,
};

FIXTURE_VARIANT_ADD(imported, vim2m) {
	.block = &device_vpu,
	.kind = &job_vim2m,
};

/* From another file of the same device: memory of a heap has holes, and the decoder wants none. */
FIXTURE_SETUP(imported)
{
	const char *reason = device_start(variant->block);
	struct m2m_queue *pictures = &self->jobs.m2m.queues[M2M_CAPTURE];
	unsigned int i;

	jobs_init(&self->lender);
	jobs_init(&self->jobs);
	if (reason)
		SKIP(return, "%s", reason);
	self->dmabufs = dmabuf_count();
	ASSERT_LE(0, self->dmabufs);
	ASSERT_EQ(0, jobs_open_idle(&self->lender, variant->kind));
	ASSERT_EQ(0, m2m_alloc(&self->lender.m2m, M2M_CAPTURE, JOB_SLOTS));
	ASSERT_EQ(0, jobs_open_idle(&self->jobs, variant->kind));
	ASSERT_EQ(0, m2m_alloc(&self->jobs.m2m, M2M_OUTPUT, JOB_SLOTS));
	pictures->memory = V4L2_MEMORY_DMABUF;
	ASSERT_EQ(JOB_SLOTS, m2m_reqbufs(&self->jobs.m2m, M2M_CAPTURE, JOB_SLOTS));
	for (i = 0; i < JOB_SLOTS; i++) {
		pictures->buffers[i].dmabuf = dup(job_picture(&self->lender, i)->dmabuf);
		ASSERT_LE(0, pictures->buffers[i].dmabuf);
		pictures->buffers[i].size = job_picture(&self->lender, i)->size;
	}
	ASSERT_EQ(0, jobs_go(&self->jobs));
}

/*
 * Nothing is left of a QBUF that was refused. What a driver has not cleaned up, videobuf2 reports
 * in the log (VIDEO_ADV_DEBUG), which is searched for that after the tests.
 */
FIXTURE_TEARDOWN(imported)
{
	jobs_close(&self->jobs);
	jobs_close(&self->lender);
	EXPECT_EQ(self->dmabufs, dmabuf_count());
	EXPECT_EQ(0, rkemu_enable(false));
}

/* Not job_run(): the pictures are the lender's, and not mapped here. */
static int do_job(struct jobs *jobs, unsigned int slot, __u32 n)
{
	int ret = job_start(jobs, slot, n);

	return ret ? ret : job_end(jobs, slot, n, SOON_MS);
}

/* A QBUF that is refused leaves the picture what it is: the next job may refer to it. */
TEST_F_TIMEOUT(imported, refused_since, CASE_S)
{
	struct jobs *jobs = &self->jobs;
	const int dmabuf = job_picture(jobs, 0)->dmabuf;

	ASSERT_EQ(0, do_job(jobs, 0, JOB_REFERENCE));
	job_picture(jobs, 0)->dmabuf = -1;
	EXPECT_EQ(-EINVAL, job_queue_picture(jobs, 0));
	job_picture(jobs, 0)->dmabuf = dmabuf;

	EXPECT_EQ(0, do_job(jobs, 1, JOB_REFERENCE + 1));
}

/* One that says that a dma-buf is longer than it is has given up what the picture was in. */
TEST_F_TIMEOUT(imported, longer_than_it_is, CASE_S)
{
	struct jobs *jobs = &self->jobs;
	const size_t size = job_picture(jobs, 0)->size;

	ASSERT_EQ(0, do_job(jobs, 0, JOB_REFERENCE));
	job_picture(jobs, 0)->size = 2 * size;
	EXPECT_EQ(-EFAULT, job_queue_picture(jobs, 0));
	job_picture(jobs, 0)->size = size;

	EXPECT_EQ(0, do_job(jobs, 1, JOB_REFERENCE + 1));
	EXPECT_EQ(0, do_job(jobs, 0, JOB_REFERENCE + 2));
}

/* One that says that it is shorter than a picture leaves the picture where it is. */
TEST_F_TIMEOUT(imported, too_small, CASE_S)
{
	struct jobs *jobs = &self->jobs;
	const size_t size = job_picture(jobs, 0)->size;

	ASSERT_EQ(0, do_job(jobs, 0, JOB_REFERENCE));
	job_picture(jobs, 0)->size = size / 2;
	EXPECT_EQ(-EINVAL, job_queue_picture(jobs, 0));
	job_picture(jobs, 0)->size = size;

	EXPECT_EQ(0, do_job(jobs, 1, JOB_REFERENCE + 1));
}

/* And one that is refused since the pictures have become larger, which hantro detects late. */
TEST_F_TIMEOUT(imported, too_small_since, CASE_S)
{
	const struct job_kind *kind = variant->kind;
	struct jobs *jobs = &self->jobs;
	int ret;

	ASSERT_EQ(0, do_job(jobs, 0, JOB_REFERENCE));
	ret = m2m_format(&jobs->m2m, M2M_OUTPUT, kind->input, 2 * kind->width, 2 * kind->height,
			 kind->bytes);
	/* The others do not change what there are buffers for. */
	EXPECT_EQ(kind == &job_vp8 ? 0 : -EBUSY, ret);
	if (!ret) {
		EXPECT_EQ(-EINVAL, job_queue_picture(jobs, 0));
		ASSERT_EQ(0, m2m_format(&jobs->m2m, M2M_OUTPUT, kind->input, kind->width,
					kind->height, kind->bytes));
	}

	EXPECT_EQ(0, do_job(jobs, 1, JOB_REFERENCE + 1));
	EXPECT_EQ(0, do_job(jobs, 0, JOB_REFERENCE + 2));
}

TEST_HARNESS_MAIN
