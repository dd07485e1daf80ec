// SPDX-License-Identifier: GPL-2.0-only
/*
 * Buffers whose memory belongs to another exporter: the fence goes to the exporter's object.
 */

#include "mock.h"

static void imported(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF);
	struct dma_fence *fence;

	mock_buffer(mq, 0)->import[0] = dbuf;
	mock_run(mq);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, dbuf);
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(dbuf));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(fence));
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));
}

static void not_opted_in(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF, .opted_out = true);

	mock_buffer(mq, 0)->import[0] = dbuf;
	mock_run(mq);
	KUNIT_EXPECT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, dbuf));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
}

static void output_is_read(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF, .output = true);

	mock_buffer(mq, 0)->import[0] = dbuf;
	mock_run(mq);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_FALSE(test, mock_reader_waits(dbuf));
	KUNIT_EXPECT_TRUE(test, mock_writer_waits(dbuf));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));
}

static void two_planes_two_objects(struct kunit *test)
{
	struct dma_buf *luma = mock_dmabuf(test, NULL);
	struct dma_buf *chroma = mock_dmabuf(test, NULL);
	struct mock_queue *mq = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF, .planes = 2);

	mock_buffer(mq, 0)->import[0] = luma;
	mock_buffer(mq, 0)->import[1] = chroma;
	mock_run(mq);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_PTR_EQ(test, mock_seen(test, luma), mock_seen(test, chroma));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(luma));
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(chroma));
}

static void two_planes_one_dmabuf(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF, .planes = 2);

	mock_buffer(mq, 0)->import[0] = dbuf;
	mock_buffer(mq, 0)->import[1] = dbuf;
	mock_run(mq);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_EQ(test, 1, mock_count(test, dbuf));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(dbuf));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, dbuf));
}

static void two_planes_one_object(struct kunit *test)
{
	struct dma_resv *resv = mock_resv(test);
	struct dma_buf *luma = mock_dmabuf(test, resv);
	struct dma_buf *chroma = mock_dmabuf(test, resv);
	struct mock_queue *mq = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF, .planes = 2);

	mock_buffer(mq, 0)->import[0] = luma;
	mock_buffer(mq, 0)->import[1] = chroma;
	mock_run(mq);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_EQ(test, 1, mock_count(test, luma));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(chroma));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, chroma));
}

/* Planes 0, 3, 6 share one object, 1, 4, 7 another, 2 and 5 a dma_buf. */
static void eight_planes(struct kunit *test)
{
	struct dma_resv *resv[2] = { mock_resv(test), mock_resv(test) };
	struct dma_buf *same = mock_dmabuf(test, NULL);
	struct dma_buf *dbuf[VB2_MAX_PLANES];
	struct mock_queue *mq;
	unsigned int plane;

	for (plane = 0; plane < VB2_MAX_PLANES; ++plane)
		dbuf[plane] = plane % 3 == 2 ? same : mock_dmabuf(test, resv[plane % 3]);
	mq = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF, .planes = VB2_MAX_PLANES);
	memcpy(mock_buffer(mq, 0)->import, dbuf, sizeof(dbuf));
	mock_run(mq);

	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	for (plane = 0; plane < VB2_MAX_PLANES; ++plane) {
		KUNIT_EXPECT_EQ(test, 1, mock_count(test, dbuf[plane]));
		KUNIT_EXPECT_PTR_EQ(test, mock_seen(test, dbuf[0]), mock_seen(test, dbuf[plane]));
	}
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	for (plane = 0; plane < VB2_MAX_PLANES; ++plane)
		KUNIT_EXPECT_EQ(test, 0, mock_count(test, dbuf[plane]));
}

#define MANY_FENCES	40

/* However many fences there are, and so at whatever size the list has just been filled. */
static void full_list(struct kunit *test)
{
	struct dma_buf **dbuf = kunit_kcalloc(test, MANY_FENCES, sizeof(*dbuf), GFP_KERNEL);
	struct mock_queue *mq;
	unsigned int others;

	KUNIT_ASSERT_NOT_NULL(test, dbuf);
	for (others = 0; others < MANY_FENCES; ++others) {
		unsigned int i;

		dbuf[others] = mock_dmabuf(test, NULL);
		/* Under one lock, since debugging kernels forget spare slots with the lock. */
		dma_resv_lock(dbuf[others]->resv, NULL);
		for (i = 0; i < others; ++i) {
			int ret = dma_resv_reserve_fences(dbuf[others]->resv, 1);

			if (!ret)
				dma_resv_add_fence(dbuf[others]->resv, mock_fence(test),
						   DMA_RESV_USAGE_READ);
			KUNIT_EXPECT_EQ(test, 0, ret);
		}
		dma_resv_unlock(dbuf[others]->resv);
	}

	mq = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF);
	for (others = 0; others < MANY_FENCES; ++others) {
		mock_buffer(mq, 0)->import[0] = dbuf[others];
		mock_run(mq);
		KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
		KUNIT_ASSERT_EQ(test, others + 1, mock_count(test, dbuf[others]));
		KUNIT_ASSERT_TRUE(test, mock_reader_waits(dbuf[others]));
		mock_done(mq, 0, VB2_BUF_STATE_DONE);
		KUNIT_ASSERT_FALSE(test, mock_reader_waits(dbuf[others]));
		KUNIT_ASSERT_EQ(test, others, mock_count(test, dbuf[others]));
		mock_streamoff(mq);
	}
}

static void others_wait_for_both(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct dma_fence *theirs = mock_fence(test);
	struct mock_queue *mq = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF);

	mock_add_fence(test, dbuf->resv, theirs, DMA_RESV_USAGE_WRITE);
	mock_buffer(mq, 0)->import[0] = dbuf;
	mock_run(mq);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_EQ(test, 2, mock_count(test, dbuf));

	/* Neither stands for the other. */
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(dbuf));
	dma_fence_signal(theirs);
	KUNIT_EXPECT_FALSE(test, mock_reader_waits(dbuf));
}

static void another_dmabuf_next_time(struct kunit *test)
{
	struct dma_buf *first = mock_dmabuf(test, NULL);
	struct dma_buf *second = mock_dmabuf(test, NULL);
	struct mock_queue *mq = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF);

	mock_buffer(mq, 0)->import[0] = first;
	mock_run(mq);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_ASSERT_EQ(test, 0, mock_dqbuf(mq));

	mock_buffer(mq, 0)->import[0] = second;
	mock_qbuf(mq, 0);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(first));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(second));
}

static void cancelled(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF);
	struct dma_fence *fence;

	mock_buffer(mq, 0)->import[0] = dbuf;
	mock_run(mq);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, dbuf);
	mock_release(mq);
	KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(fence));
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));
}

static void closed_during_job(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct mock_queue *mq = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF);
	struct dma_fence *fence;

	mock_buffer(mq, 0)->import[0] = dbuf;
	mock_run(mq);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, dbuf);

	/* The queue's reference is the last one. */
	mock_close(test, dbuf);
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(fence));
}

/* What one queue writes, another one reads. */
static void from_another_queue(struct kunit *test)
{
	struct mock_queue *camera = MOCK_OPEN(test);
	struct dma_buf *dbuf = mock_export(camera, 0, 0);
	struct mock_queue *encoder = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF, .output = true);
	struct dma_fence *fence;

	mock_buffer(encoder, 0)->import[0] = dbuf;
	mock_run(camera);
	mock_run(encoder);

	KUNIT_ASSERT_EQ(test, 0, mock_attach(camera, 0));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(dbuf));
	mock_done(camera, 0, VB2_BUF_STATE_DONE);

	KUNIT_ASSERT_EQ(test, 0, mock_attach(encoder, 0));
	fence = mock_seen(test, dbuf);
	KUNIT_EXPECT_FALSE(test, mock_reader_waits(dbuf));
	KUNIT_EXPECT_TRUE(test, mock_writer_waits(dbuf));
	KUNIT_EXPECT_TRUE(test, mock_writer_waits(mock_export(camera, 0, 0)));
	mock_done(encoder, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(fence));
}

static struct kunit_case imports_cases[] = {
	KUNIT_CASE(imported),
	KUNIT_CASE(not_opted_in),
	KUNIT_CASE(output_is_read),
	KUNIT_CASE(two_planes_two_objects),
	KUNIT_CASE(two_planes_one_dmabuf),
	KUNIT_CASE(two_planes_one_object),
	KUNIT_CASE(eight_planes),
	KUNIT_CASE(full_list),
	KUNIT_CASE(others_wait_for_both),
	KUNIT_CASE(another_dmabuf_next_time),
	KUNIT_CASE(cancelled),
	KUNIT_CASE(closed_during_job),
	KUNIT_CASE(from_another_queue),
	{ }
};

static struct kunit_suite imports_suite = {
	.name = "vb2-release-fence-imports",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = mock_init,
	.test_cases = imports_cases,
};

kunit_test_suite(imports_suite);
