// SPDX-License-Identifier: GPL-2.0-only
/*
 * From QBUF to the end of a job, in every way that a job can end.
 */

#include <linux/mman.h>

#include "mock.h"

static void not_opted_in(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .opted_out = true);
	struct dma_buf *first = mock_export(mq, 0, 0);
	struct dma_buf *second = mock_export(mq, 0, 0);

	KUNIT_EXPECT_PTR_NE(test, first, second);
	KUNIT_EXPECT_PTR_NE(test, first->resv, second->resv);
	KUNIT_EXPECT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, first));
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, second));
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(first));

	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 0, mock_dqbuf(mq));
}

static void pending_until_done(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	struct dma_fence *fence;

	/* A buffer that the driver owns has no fence yet: the hardware has not started. */
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));

	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, dbuf);
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(dbuf));
	KUNIT_EXPECT_TRUE(test, mock_writer_waits(dbuf));
	/* It is a fence of a user, and not of the kernel's memory management. */
	KUNIT_EXPECT_TRUE(test, dma_resv_test_signaled(dbuf->resv, DMA_RESV_USAGE_KERNEL));
	KUNIT_EXPECT_EQ(test, 0, dma_fence_get_status(fence));

	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_FALSE(test, mock_reader_waits(dbuf));
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(fence));
	KUNIT_EXPECT_EQ(test, 0, mock_dqbuf(mq));
}

static void armed_twice(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	struct dma_fence *fence;

	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, dbuf);
	KUNIT_EXPECT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_EQ(test, 1, mock_count(test, dbuf));
	KUNIT_EXPECT_PTR_EQ(test, fence, mock_seen(test, dbuf));
	KUNIT_EXPECT_EQ(test, 0, dma_fence_get_status(fence));

	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(fence));
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, dbuf));
}

static void failed_job(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	struct dma_fence *fence;

	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, dbuf);
	mock_done(mq, 0, VB2_BUF_STATE_ERROR);
	KUNIT_EXPECT_EQ(test, -EIO, dma_fence_get_status(fence));
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));
	KUNIT_EXPECT_EQ(test, 0, mock_dqbuf(mq));
}

static void done_without_arm(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);

	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, dbuf));
	KUNIT_EXPECT_EQ(test, 0, mock_dqbuf(mq));

	/* What QBUF had prepared serves the next time. */
	mock_qbuf(mq, 0);
	KUNIT_EXPECT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(dbuf));
}

static void cancelled_by_streamoff(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .buffers = 3);
	struct dma_fence *first, *second;

	/* Buffers 0 and 1 have a job, 2 waits for its own. */
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 1));
	first = mock_seen(test, mock_export(mq, 0, 0));
	second = mock_seen(test, mock_export(mq, 1, 0));

	mock_streamoff(mq);
	KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(first));
	KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(second));
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, mock_export(mq, 2, 0)));
}

static void done_by_streamoff(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_fence *fence;

	/* stop_streaming waits for the hardware, and the picture turns out well. */
	mq->stop_state = VB2_BUF_STATE_DONE;
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, mock_export(mq, 0, 0));
	mock_streamoff(mq);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(fence));
}

static void error_after_streamoff(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_fence *fence;

	/* Cancelled is what happens during STREAMOFF, not whatever fails after one. */
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	mock_streamoff(mq);
	mock_run(mq);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, mock_export(mq, 0, 0));
	mock_done(mq, 0, VB2_BUF_STATE_ERROR);
	KUNIT_EXPECT_EQ(test, -EIO, dma_fence_get_status(fence));
}

static void cancelled_by_release(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	struct dma_fence *fence;

	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, dbuf);
	mock_release(mq);
	KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(fence));
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));
}

static void cancelled_by_reqbufs(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	unsigned int count = 1;
	struct dma_fence *fence;

	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, mock_export(mq, 0, 0));
	mock_streamoff(mq);
	/* Buffers do not change while a thread sleeps in DQBUF. */
	mq->q.waiting_in_dqbuf = 1;
	KUNIT_EXPECT_EQ(test, -EBUSY, vb2_core_reqbufs(&mq->q, VB2_MEMORY_MMAP, 0, &count));
	mq->q.waiting_in_dqbuf = 0;
	mock_reqbufs(mq, VB2_MEMORY_MMAP, 0);
	KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(fence));
}

static void two_planes(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .planes = 2);
	struct dma_buf *luma = mock_export(mq, 0, 0);
	struct dma_buf *chroma = mock_export(mq, 0, 1);

	KUNIT_EXPECT_PTR_NE(test, luma->resv, chroma->resv);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(luma));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(chroma));
	KUNIT_EXPECT_PTR_EQ(test, mock_seen(test, luma), mock_seen(test, chroma));

	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(luma));
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(chroma));
}

static void eight_planes(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .planes = VB2_MAX_PLANES);
	struct dma_buf *dbuf[VB2_MAX_PLANES];
	unsigned int plane;

	for (plane = 0; plane < VB2_MAX_PLANES; ++plane)
		dbuf[plane] = mock_export(mq, 0, plane);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	for (plane = 0; plane < VB2_MAX_PLANES; ++plane)
		KUNIT_EXPECT_PTR_EQ(test, mock_seen(test, dbuf[0]), mock_seen(test, dbuf[plane]));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	for (plane = 0; plane < VB2_MAX_PLANES; ++plane)
		KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf[plane]));
}

static void output_is_read(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .output = true);
	struct dma_buf *dbuf = mock_export_mode(mq, 0, 0, O_RDWR);
	struct dma_fence *fence;

	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_FALSE(test, mock_reader_waits(dbuf));
	KUNIT_EXPECT_TRUE(test, mock_writer_waits(dbuf));
	fence = mock_seen(test, dbuf);
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(fence));
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));
}

static void many_frames(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .buffers = 4);
	struct dma_fence *last = NULL;
	struct dma_buf *dbuf[4];
	unsigned int i, frame;

	for (i = 0; i < ARRAY_SIZE(dbuf); ++i)
		dbuf[i] = mock_export(mq, i, 0);

	for (frame = 0; frame < 100; ++frame) {
		struct dma_fence *fence;

		i = frame % ARRAY_SIZE(dbuf);
		KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, i));
		KUNIT_ASSERT_TRUE(test, mock_reader_waits(dbuf[i]));
		KUNIT_ASSERT_EQ(test, 1, mock_count(test, dbuf[i]));
		fence = mock_seen(test, dbuf[i]);
		KUNIT_ASSERT_PTR_NE(test, last, fence);
		if (last)
			KUNIT_ASSERT_EQ(test, 1, dma_fence_get_status(last));
		last = fence;

		mock_done(mq, i, VB2_BUF_STATE_DONE);
		KUNIT_ASSERT_FALSE(test, mock_writer_waits(dbuf[i]));
		KUNIT_ASSERT_EQ(test, i, mock_dqbuf(mq));
		mock_qbuf(mq, i);
	}
}

static void restart(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .buffers = 2);
	struct dma_buf *dbuf = mock_export(mq, 1, 0);
	unsigned int round;

	for (round = 0; round < 10; ++round) {
		struct dma_fence *fence;

		KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 1));
		fence = mock_seen(test, dbuf);
		mock_streamoff(mq);
		KUNIT_ASSERT_EQ(test, -ECANCELED, dma_fence_get_status(fence));
		mock_run(mq);
		KUNIT_ASSERT_FALSE(test, mock_writer_waits(dbuf));
	}
}

static void failed_start(struct kunit *test)
{
	struct mock_queue *mq = MOCK_OPEN(test);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);

	/* Buffers that had no job yet go back as QUEUED, which is fine. */
	mq->start_error = -EBUSY;
	mock_qbuf(mq, 0);
	KUNIT_EXPECT_EQ(test, -EBUSY, vb2_core_streamon(&mq->q, mq->q.type));
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, dbuf));

	mq->start_error = 0;
	KUNIT_ASSERT_EQ(test, 0, vb2_core_streamon(&mq->q, mq->q.type));
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(dbuf));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));
}

/* A driver may want some buffers before it starts. QBUF starts it then, and may fail. */
static void started_by_qbuf(struct kunit *test)
{
	struct mock_queue *mq = MOCK_OPEN(test, .buffers = 2);
	struct dma_buf *dbuf = mock_export(mq, 1, 0);

	mq->q.min_queued_buffers = 2;
	mock_qbuf(mq, 0);
	KUNIT_ASSERT_EQ(test, 0, vb2_core_streamon(&mq->q, mq->q.type));
	KUNIT_EXPECT_FALSE(test, vb2_start_streaming_called(&mq->q));

	mq->start_error = -EBUSY;
	KUNIT_EXPECT_EQ(test, -EBUSY, mock_try_qbuf(mq, 1));
	KUNIT_EXPECT_EQ(test, VB2_BUF_STATE_DEQUEUED, mock_vb(mq, 1)->state);
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, dbuf));

	mq->start_error = 0;
	mock_qbuf(mq, 1);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 1));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(dbuf));
	mock_done(mq, 1, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));
}

static void attach_on_start(struct kunit *test)
{
	struct mock_queue *mq = MOCK_OPEN(test, .buffers = 2);
	struct dma_buf *dbuf = mock_export(mq, 1, 0);

	mq->attach_on_start = true;
	mock_run(mq);
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(dbuf));
}

static void prepare_buf(struct kunit *test)
{
	struct mock_queue *mq = MOCK_OPEN(test);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);

	KUNIT_ASSERT_EQ(test, 0, vb2_core_prepare_buf(&mq->q, mock_vb(mq, 0), NULL));
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));
	mock_run(mq);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(dbuf));
}

static void create_bufs(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	unsigned int count = 1, index;
	struct dma_buf *dbuf;

	KUNIT_ASSERT_EQ(test, 0, vb2_core_create_bufs(&mq->q, VB2_MEMORY_MMAP, 0, &count, 0, NULL,
						      &index));
	KUNIT_ASSERT_EQ(test, 1, index);
	dbuf = mock_export(mq, 1, 0);
	mock_qbuf(mq, 1);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 1));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(dbuf));
	mock_done(mq, 1, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));

	/* A buffer can be taken away while the queue streams. */
	KUNIT_ASSERT_EQ(test, 1, mock_dqbuf(mq));
	KUNIT_EXPECT_EQ(test, 0, vb2_core_remove_bufs(&mq->q, 1, 1));
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, dbuf));
}

static void userptr(struct kunit *test)
{
	struct mock_queue *mq = MOCK_OPEN(test, .memory = VB2_MEMORY_USERPTR);
	unsigned long addr;

	addr = kunit_vm_mmap(test, NULL, 0, MOCK_PLANE_SIZE, PROT_READ | PROT_WRITE,
			     MAP_ANONYMOUS | MAP_PRIVATE, 0);
	if (!addr || IS_ERR_VALUE(addr))
		kunit_skip(test, "no user memory in this kernel");

	mock_buffer(mq, 0)->userptr = addr;
	mock_run(mq);
	/* The memory is not shared as a dma-buf, so that there are no consumers. */
	KUNIT_EXPECT_EQ(test, 0, mock_attach(mq, 0));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 0, mock_dqbuf(mq));
}

/* Allocations of this task that are not freed yet. */
struct allocations {
	struct task_struct *task;
	unsigned int count;
	const void *ptr[256];
};

static void probe_kmalloc(void *data, unsigned long call_site, const void *ptr, size_t requested,
			  size_t allocated, gfp_t gfp, int node)
{
	struct allocations *live = data;

	if (current == live->task && in_task() && ptr && live->count < ARRAY_SIZE(live->ptr))
		live->ptr[live->count++] = ptr;
}

static void probe_kfree(void *data, unsigned long call_site, const void *ptr)
{
	struct allocations *live = data;
	unsigned int i;

	for (i = 0; current == live->task && in_task() && i < live->count; ++i) {
		if (live->ptr[i] == ptr)
			live->ptr[i] = live->ptr[--live->count];
	}
}

/* Fences that were prepared and never published: no other check counts them. */
static void prepared_memory_is_freed(struct kunit *test)
{
	struct allocations *live = kunit_kzalloc(test, sizeof(*live), GFP_KERNEL);
	struct mock_queue *mq = MOCK_OPEN(test, .buffers = 4);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, live);
	mock_reqbufs(mq, VB2_MEMORY_MMAP, 0);
	mock_trace(test, "kmalloc", probe_kmalloc, live);
	mock_trace(test, "kfree", probe_kfree, live);
	live->task = current;

	mock_reqbufs(mq, VB2_MEMORY_MMAP, 4);
	for (i = 0; i < 4; ++i)
		mock_qbuf(mq, i);
	KUNIT_EXPECT_GT(test, live->count, 4);
	KUNIT_ASSERT_LT(test, live->count, ARRAY_SIZE(live->ptr));
	mock_streamoff(mq);
	/* Prepared already. */
	mock_qbuf(mq, 0);
	mock_streamoff(mq);
	mock_reqbufs(mq, VB2_MEMORY_MMAP, 0);

	live->task = NULL;
	/* The reservation objects of each buffer go by kfree_rcu(), which has no such event. */
	for (i = 0; live->count > 4 && i < live->count; ++i)
		kunit_err(test, "%pS: %p is not freed\n", live->ptr[i], live->ptr[i]);
	KUNIT_EXPECT_EQ(test, 4, live->count);
}

static struct kunit_case lifecycle_cases[] = {
	KUNIT_CASE(not_opted_in),
	KUNIT_CASE(pending_until_done),
	KUNIT_CASE(armed_twice),
	KUNIT_CASE(failed_job),
	KUNIT_CASE(done_without_arm),
	KUNIT_CASE(cancelled_by_streamoff),
	KUNIT_CASE(done_by_streamoff),
	KUNIT_CASE(error_after_streamoff),
	KUNIT_CASE(cancelled_by_release),
	KUNIT_CASE(cancelled_by_reqbufs),
	KUNIT_CASE(two_planes),
	KUNIT_CASE(eight_planes),
	KUNIT_CASE(output_is_read),
	KUNIT_CASE(many_frames),
	KUNIT_CASE(restart),
	KUNIT_CASE(failed_start),
	KUNIT_CASE(started_by_qbuf),
	KUNIT_CASE(attach_on_start),
	KUNIT_CASE(prepare_buf),
	KUNIT_CASE(create_bufs),
	KUNIT_CASE(userptr),
	KUNIT_CASE(prepared_memory_is_freed),
	{ }
};

static struct kunit_suite lifecycle_suite = {
	.name = "vb2-release-fence-lifecycle",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = mock_init,
	.test_cases = lifecycle_cases,
};

kunit_test_suite(lifecycle_suite);
