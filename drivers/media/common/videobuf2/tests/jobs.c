// SPDX-License-Identifier: GPL-2.0-only
/*
 * Jobs that end two buffers: the fences of both are published at once.
 */

#include <linux/delay.h>
#include <linux/thread_info.h>
#include <linux/workqueue.h>

#include "../videobuf2-release-fence-internal.h"
#include "mock.h"

struct job {
	struct mock_queue *dst, *src;
	struct vb2_buffer *dst_vb, *src_vb;
};

static struct job start_job(struct mock_queue *dst, struct mock_queue *src)
{
	struct job job = { dst, src };

	mock_run(dst);
	mock_run(src);
	job.dst_vb = mock_vb(dst, 0);
	job.src_vb = mock_vb(src, 0);
	return job;
}

static struct job new_job(struct kunit *test)
{
	return start_job(MOCK_OPEN(test), MOCK_OPEN(test, .output = true));
}

static void both(struct kunit *test)
{
	struct job job = new_job(test);
	struct dma_buf *dst = mock_export(job.dst, 0, 0), *src = mock_export(job.src, 0, 0);
	struct dma_fence *written, *read;
	bool cookie;

	KUNIT_ASSERT_EQ(test, 0, vb2_job_attach_release_fences(job.dst_vb, job.src_vb, &cookie));
	/* Until the driver says that the hardware has started */
	KUNIT_EXPECT_TRUE(test, mock_in_section(true));
	vb2_release_fence_end_signalling(cookie);
	KUNIT_EXPECT_FALSE(test, mock_in_section(false));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(dst));
	KUNIT_EXPECT_FALSE(test, mock_reader_waits(src));
	KUNIT_EXPECT_TRUE(test, mock_writer_waits(src));
	written = mock_seen(test, dst);
	read = mock_seen(test, src);
	KUNIT_EXPECT_PTR_NE(test, written, read);
	KUNIT_EXPECT_STREQ(test, job.dst->q.name, written->ops->get_timeline_name(written));
	KUNIT_EXPECT_STREQ(test, job.src->q.name, read->ops->get_timeline_name(read));

	/* Each has an end of its own. */
	mock_done(job.src, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(read));
	KUNIT_EXPECT_EQ(test, 0, dma_fence_get_status(written));
	mock_done(job.dst, 0, VB2_BUF_STATE_ERROR);
	KUNIT_EXPECT_EQ(test, -EIO, dma_fence_get_status(written));
}

static void only_one(struct kunit *test)
{
	struct job job = new_job(test);
	struct dma_buf *dst = mock_export(job.dst, 0, 0), *src = mock_export(job.src, 0, 0);
	bool cookie;

	/* A section begins with a fence, which there is none of. */
	KUNIT_EXPECT_EQ(test, 0, vb2_job_attach_release_fences(NULL, NULL, &cookie));
	KUNIT_EXPECT_FALSE(test, mock_in_section(false));
	vb2_release_fence_end_signalling(cookie);
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, dst) + mock_count(test, src));

	KUNIT_ASSERT_EQ(test, 0, mock_attach_job(NULL, job.src_vb));
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, dst));
	KUNIT_EXPECT_TRUE(test, mock_writer_waits(src));

	/* The other one follows; what is armed stays as it is. */
	KUNIT_ASSERT_EQ(test, 0, mock_attach_job(job.dst_vb, job.src_vb));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(dst));
	KUNIT_EXPECT_EQ(test, 1, mock_count(test, src));
	KUNIT_ASSERT_EQ(test, 0, vb2_job_attach_release_fences(job.dst_vb, job.src_vb, &cookie));
	KUNIT_EXPECT_FALSE(test, mock_in_section(false));
	vb2_release_fence_end_signalling(cookie);
	KUNIT_EXPECT_EQ(test, 1, mock_count(test, dst));
	KUNIT_EXPECT_EQ(test, 1, mock_count(test, src));
}

static void one_opted_in(struct kunit *test)
{
	struct job job = start_job(MOCK_OPEN(test),
				   MOCK_OPEN(test, .output = true, .opted_out = true));
	struct dma_buf *dst = mock_export(job.dst, 0, 0), *src = mock_export(job.src, 0, 0);

	KUNIT_ASSERT_EQ(test, 0, mock_attach_job(job.dst_vb, job.src_vb));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(dst));
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, src));
	mock_done(job.src, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(dst));
	mock_done(job.dst, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_FALSE(test, mock_reader_waits(dst));
}

/* A filter that works in place has one dma-buf at both ends. */
static void in_place(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *dst = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF);
	struct mock_queue *src = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF, .output = true);
	struct job job;

	mock_buffer(dst, 0)->import[0] = dbuf;
	mock_buffer(src, 0)->import[0] = dbuf;
	job = start_job(dst, src);
	KUNIT_ASSERT_EQ(test, 0, mock_attach_job(job.dst_vb, job.src_vb));
	KUNIT_EXPECT_EQ(test, 2, mock_count(test, dbuf));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(dbuf));

	mock_done(dst, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_FALSE(test, mock_reader_waits(dbuf));
	KUNIT_EXPECT_TRUE(test, mock_writer_waits(dbuf));
	mock_done(src, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));
}

/* As many planes as a job can have, in fewer objects, none of which stands in one buffer only. */
static void sixteen_planes(struct kunit *test)
{
	struct dma_resv *resv[5];
	struct dma_buf *dbuf[2 * VB2_MAX_PLANES];
	struct mock_queue *dst, *src;
	struct job job;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(resv); ++i)
		resv[i] = mock_resv(test);
	for (i = 0; i < ARRAY_SIZE(dbuf); ++i)
		dbuf[i] = mock_dmabuf(test, resv[i * 7 % ARRAY_SIZE(resv)]);
	dst = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF, .planes = VB2_MAX_PLANES);
	src = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF, .planes = VB2_MAX_PLANES,
			.output = true);
	for (i = 0; i < VB2_MAX_PLANES; ++i) {
		mock_buffer(dst, 0)->import[i] = dbuf[i];
		mock_buffer(src, 0)->import[i] = dbuf[VB2_MAX_PLANES + i];
	}

	job = start_job(dst, src);
	KUNIT_ASSERT_EQ(test, 0, mock_attach_job(job.dst_vb, job.src_vb));
	for (i = 0; i < ARRAY_SIZE(dbuf); ++i)
		KUNIT_EXPECT_EQ(test, 2, mock_count(test, dbuf[i]));
	mock_done(dst, 0, VB2_BUF_STATE_DONE);
	for (i = 0; i < ARRAY_SIZE(dbuf); ++i) {
		KUNIT_EXPECT_FALSE(test, mock_reader_waits(dbuf[i]));
		KUNIT_EXPECT_TRUE(test, mock_writer_waits(dbuf[i]));
	}
	mock_done(src, 0, VB2_BUF_STATE_DONE);
	for (i = 0; i < ARRAY_SIZE(dbuf); ++i)
		KUNIT_EXPECT_EQ(test, 0, mock_count(test, dbuf[i]));
}

/* As many objects as a job can have: all exports of all planes of both buffers. */
static void most_objects(struct kunit *test)
{
	struct job job = start_job(MOCK_OPEN(test, .planes = VB2_MAX_PLANES),
				   MOCK_OPEN(test, .planes = VB2_MAX_PLANES, .output = true));
	struct dma_buf *dst[VB2_PLANE_RESVS * VB2_MAX_PLANES], *src[ARRAY_SIZE(dst)];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(dst); ++i) {
		dst[i] = mock_export(job.dst, 0, i % VB2_MAX_PLANES);
		src[i] = mock_export(job.src, 0, i % VB2_MAX_PLANES);
	}
	KUNIT_ASSERT_EQ(test, 0, mock_attach_job(job.dst_vb, job.src_vb));
	for (i = 0; i < ARRAY_SIZE(dst); ++i) {
		KUNIT_EXPECT_TRUE(test, mock_reader_waits(dst[i]));
		KUNIT_EXPECT_FALSE(test, mock_reader_waits(src[i]));
		KUNIT_EXPECT_TRUE(test, mock_writer_waits(src[i]));
	}
	mock_done(job.dst, 0, VB2_BUF_STATE_DONE);
	mock_done(job.src, 0, VB2_BUF_STATE_DONE);
	for (i = 0; i < ARRAY_SIZE(dst); ++i)
		KUNIT_EXPECT_EQ(test, 0, mock_count(test, dst[i]) + mock_count(test, src[i]));
}

static void timed_out(struct kunit *test)
{
	struct job job = new_job(test);
	struct dma_fence *written, *read;

	mock_set_timeout(test, MOCK_TIMEOUT);
	KUNIT_ASSERT_EQ(test, 0, mock_attach_job(job.dst_vb, job.src_vb));
	written = mock_seen(test, mock_export(job.dst, 0, 0));
	read = mock_seen(test, mock_export(job.src, 0, 0));
	KUNIT_ASSERT_GT(test, dma_fence_wait_timeout(written, false, 20 * HZ), 0);
	KUNIT_ASSERT_GT(test, dma_fence_wait_timeout(read, false, 20 * HZ), 0);
	KUNIT_EXPECT_EQ(test, -ETIMEDOUT, dma_fence_get_status(written));
	KUNIT_EXPECT_EQ(test, -ETIMEDOUT, dma_fence_get_status(read));
}

struct late_attach {
	struct work_struct work;
	struct job *job;
	int ret;
};

static void attach_late(struct work_struct *work)
{
	struct late_attach *late = container_of(work, struct late_attach, work);

	/* As in the ioctl of a program that is being killed: its job goes on, with its fences. */
	set_thread_flag(TIF_SIGPENDING);
	late->ret = mock_attach_job(late->job->dst_vb, late->job->src_vb);
	clear_thread_flag(TIF_SIGPENDING);
}

/*
 * A holder of one buffer's reservation object may wait for the fence of the other, which must not
 * be published while the job still has to get that lock.
 */
static void not_before_all_is_locked(struct kunit *test)
{
	struct job job = new_job(test);
	struct dma_buf *dst = mock_export(job.dst, 0, 0), *src = mock_export(job.src, 0, 0);
	struct late_attach late = { .job = &job, .ret = 1 };
	unsigned int half;

	for (half = 0; half < 2; ++half) {
		struct dma_buf *held = half ? dst : src;

		late.ret = 1;
		INIT_WORK_ONSTACK(&late.work, attach_late);
		dma_resv_lock(held->resv, NULL);
		schedule_work(&late.work);
		/* It gets as far as it can. */
		msleep(100);
		KUNIT_EXPECT_EQ(test, 1, late.ret);
		KUNIT_EXPECT_FALSE(test, mock_writer_waits(dst));
		KUNIT_EXPECT_FALSE(test, mock_writer_waits(src));
		dma_resv_unlock(held->resv);
		flush_work(&late.work);
		destroy_work_on_stack(&late.work);

		KUNIT_EXPECT_EQ(test, 0, late.ret);
		KUNIT_EXPECT_TRUE(test, mock_reader_waits(dst));
		KUNIT_EXPECT_TRUE(test, mock_writer_waits(src));
		mock_done(job.dst, 0, VB2_BUF_STATE_DONE);
		mock_done(job.src, 0, VB2_BUF_STATE_DONE);
		mock_dqbuf(job.dst);
		mock_dqbuf(job.src);
		mock_qbuf(job.dst, 0);
		mock_qbuf(job.src, 0);
	}
}

static struct kunit_case jobs_cases[] = {
	KUNIT_CASE(both),
	KUNIT_CASE(only_one),
	KUNIT_CASE(one_opted_in),
	KUNIT_CASE(in_place),
	KUNIT_CASE(sixteen_planes),
	KUNIT_CASE(most_objects),
	KUNIT_CASE(not_before_all_is_locked),
	KUNIT_CASE(timed_out),
	{ }
};

static struct kunit_suite jobs_suite = {
	.name = "vb2-release-fence-jobs",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = mock_init,
	.test_cases = jobs_cases,
};

kunit_test_suite(jobs_suite);
