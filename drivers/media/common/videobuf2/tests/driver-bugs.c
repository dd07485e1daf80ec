// SPDX-License-Identifier: GPL-2.0-only
/*
 * Driver bugs are reported, and consumers do not wait for ever.
 *
 * These warnings are given once in a boot: each of them is provoked by one case only, and this
 * suite is the last one, so that in all others an unexpected one still comes.
 */

#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/string.h>
#include <linux/workqueue.h>
#include <media/videobuf2-dma-contig.h>
#include <media/videobuf2-dma-sg.h>

#include "mock.h"

static void attach_after_the_end(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .buffers = 2);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);

	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	mock_expect_warning(test, "videobuf2-release-fence.c");
	KUNIT_EXPECT_EQ(test, -EINVAL, mock_attach_job(mock_vb(mq, 0), NULL));
	mock_expected_warning(test);
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, dbuf));

	/* In user space's hands it is as wrong; it was reported already. */
	KUNIT_ASSERT_EQ(test, 0, mock_dqbuf(mq));
	KUNIT_EXPECT_EQ(test, -EINVAL, mock_attach_job(mock_vb(mq, 0), NULL));
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, dbuf));

	/* One that is right does not get a fence without the other. */
	KUNIT_EXPECT_EQ(test, -EINVAL, mock_attach_job(mock_vb(mq, 1), mock_vb(mq, 0)));
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, mock_export(mq, 1, 0)));
	KUNIT_EXPECT_EQ(test, 0, mock_attach_job(mock_vb(mq, 1), NULL));
	KUNIT_EXPECT_EQ(test, 1, mock_count(test, mock_export(mq, 1, 0)));
}

/* Just before consumers see the fence: the driver has started the hardware too early. */
static void end_at_once(void *data, struct vb2_queue *q, unsigned int index, u64 context, u64 seqno)
{
	if (!xchg((bool *)data, true))
		vb2_buffer_done(vb2_get_buffer(q, index), VB2_BUF_STATE_DONE);
}

static void note_result(void *data, struct vb2_queue *q, unsigned int index, u64 context,
			u64 seqno, int result)
{
	*(int *)data = result;
}

struct early_end {
	struct work_struct attach;
	struct vb2_buffer *vb;
	int ret;
};

static void attach_late(struct work_struct *work)
{
	struct early_end *early = container_of(work, struct early_end, attach);

	early->ret = mock_attach_job(early->vb, NULL);
}

/* A consumer that has seen the fence does not wait for ever. */
static void done_while_attaching(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	struct early_end early = { .vb = mock_vb(mq, 0), .ret = 1 };
	bool *ended = kunit_kzalloc(test, sizeof(*ended), GFP_KERNEL);
	int *result = kunit_kzalloc(test, sizeof(*result), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, ended);
	KUNIT_ASSERT_NOT_NULL(test, result);
	mock_trace(test, "vb2_release_fence_armed", end_at_once, ended);
	mock_trace(test, "vb2_release_fence_signalled", note_result, result);
	mock_expect_warning(test, "videobuf2-release-fence.c");
	KUNIT_EXPECT_EQ(test, -ECANCELED, mock_attach(mq, 0));
	mock_expected_warning(test);
	KUNIT_EXPECT_FALSE(test, mock_in_section(false));
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));
	KUNIT_EXPECT_EQ(test, 0, mock_dqbuf(mq));

	/* The same while the attach waits for a lock, so that there is no fence yet. */
	mock_qbuf(mq, 0);
	INIT_WORK_ONSTACK(&early.attach, attach_late);
	dma_resv_lock(dbuf->resv, NULL);
	schedule_work(&early.attach);
	msleep(100);
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 1, early.ret);
	dma_resv_unlock(dbuf->resv);
	flush_work(&early.attach);
	destroy_work_on_stack(&early.attach);
	KUNIT_EXPECT_EQ(test, -ECANCELED, early.ret);
	KUNIT_EXPECT_EQ(test, -ECANCELED, *result);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));
	KUNIT_EXPECT_EQ(test, 0, mock_dqbuf(mq));
}

static void returned_as_queued(struct kunit *test)
{
	struct mock_queue *mq = MOCK_OPEN(test);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	struct dma_fence *fence;

	/* start_streaming() fails after the first job has started. */
	mock_qbuf(mq, 0);
	mq->attach_on_start = true;
	mq->start_error = -EBUSY;
	mock_expect_warning(test, "videobuf2-release-fence.c");
	KUNIT_EXPECT_EQ(test, -EBUSY, vb2_core_streamon(&mq->q, mq->q.type));
	mock_expected_warning(test);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));

	/* The buffer is queued still, and has its fence the next time. */
	mq->attach_on_start = false;
	mq->start_error = 0;
	KUNIT_ASSERT_EQ(test, 0, vb2_core_streamon(&mq->q, mq->q.type));
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, dbuf);

	/* Once more, to see what becomes of the fence. */
	mock_done(mq, 0, VB2_BUF_STATE_QUEUED);
	KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(fence));
}

/* A driver that does not wait for the readers of its picture, though it has opted in to that. */
static void attach_while_waiting(struct kunit *test)
{
	struct mock_queue *output = MOCK_START(test, .output = true);
	struct mock_queue *mq = MOCK_OPEN(test, .acquires = true);
	struct dma_buf *dbuf = mock_export(mq, 0, 0), *input = mock_export(output, 0, 0);
	struct dma_fence *reader = mock_fence(test);

	mock_add_fence(test, dbuf->resv, reader, DMA_RESV_USAGE_READ);
	mock_run(mq);
	mock_expect_warning(test, "videobuf2-release-fence.c");
	KUNIT_EXPECT_EQ(test, -EINVAL, mock_attach_job(mock_vb(mq, 0), mock_vb(output, 0)));
	mock_expected_warning(test);
	KUNIT_EXPECT_EQ(test, 1, mock_count(test, dbuf));
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, input));
	mock_fence_end(test, reader);
	KUNIT_EXPECT_EQ(test, 0, mock_attach_job(mock_vb(mq, 0), mock_vb(output, 0)));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(dbuf));
	KUNIT_EXPECT_TRUE(test, mock_writer_waits(input));
}

static void left_active(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_fence *fence;

	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, mock_export(mq, 0, 0));
	/* videobuf2 takes back what stop_streaming() forgets. */
	mq->stop_state = VB2_BUF_STATE_ACTIVE;
	mock_expect_warning(test, "videobuf2-core.c");
	mock_streamoff(mq);
	mock_expected_warning(test);
	KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(fence));
}

/* The driver gives up. What runs is its to end, and what user space may do is to stop. */
static void queue_in_error(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .buffers = 2);
	struct dma_fence *fence;
	unsigned int index;

	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, mock_export(mq, 0, 0));
	mock_done(mq, 1, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 1, mock_dqbuf(mq));

	vb2_queue_error(&mq->q);
	KUNIT_EXPECT_EQ(test, -EIO, mock_try_qbuf(mq, 1));
	KUNIT_EXPECT_EQ(test, -EIO, vb2_core_prepare_buf(&mq->q, mock_vb(mq, 1), NULL));
	KUNIT_EXPECT_EQ(test, -EIO, vb2_core_dqbuf(&mq->q, &index, NULL, true));
	KUNIT_EXPECT_EQ(test, 0, dma_fence_get_status(fence));
	mock_streamoff(mq);
	KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(fence));
}

#ifdef CONFIG_VIDEO_ADV_DEBUG
/* How the lines of videobuf2 begin that name a counter and the one that it has to equal. */
static const char *const counter_lines[] = {
	"wait_prepare:", "buf_init:", "buf_prepare:", "buf_out_validate:", " alloc:",
	" prepare:", "get_userptr:", "attach_dmabuf:", "map_dmabuf:",
};

/* Called for every message, on any processor. */
static void find_counters(void *data, const char *text, size_t len)
{
	unsigned long *found = data;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(counter_lines); ++i) {
		if (strnstr(text, counter_lines[i], len))
			set_bit(i, found);
	}
}

/* The calls of a driver's and an allocator's do not match. They are told, and the fence ends. */
static void counters_that_differ(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct vb2_buffer *vb = mock_vb(mq, 0);
	unsigned long found = 0;
	struct dma_fence *fence;

	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, mock_export(mq, 0, 0));
	++mq->q.cnt_wait_prepare;
	++vb->cnt_buf_init;
	++vb->cnt_buf_prepare;
	++vb->cnt_buf_queue;
	++vb->cnt_mem_alloc;
	++vb->cnt_mem_prepare;
	++vb->cnt_mem_get_userptr;
	++vb->cnt_mem_attach_dmabuf;
	++vb->cnt_mem_map_dmabuf;
	mock_trace(test, "console", find_counters, &found);
	mock_expect_warning(test, "videobuf2_common: ");
	mock_release(mq);
	mock_expected_report(test);
	KUNIT_EXPECT_EQ(test, BIT(ARRAY_SIZE(counter_lines)) - 1, found);
	KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(fence));
}
#endif

#if IS_REACHABLE(CONFIG_VIDEOBUF2_DMA_CONTIG)
/* An allocator that needs a device, and a driver that names none: neither memory nor an import. */
static void no_device(struct kunit *test)
{
	struct mock_queue *mq = MOCK_OPEN(test, .mem_ops = &vb2_dma_contig_memops,
					  .memory = VB2_MEMORY_DMABUF);
	unsigned int count = 1;

	mock_buffer(mq, 0)->import[0] = mock_dmabuf(test, NULL);
	mock_expect_warning(test, "videobuf2-dma-contig.c");
	KUNIT_EXPECT_EQ(test, -EINVAL, mock_try_qbuf(mq, 0));
	mock_expected_warning(test);

	mock_reqbufs(mq, VB2_MEMORY_DMABUF, 0);
	mock_expect_warning(test, "videobuf2-dma-contig.c");
	KUNIT_EXPECT_EQ(test, -ENOMEM, vb2_core_reqbufs(&mq->q, VB2_MEMORY_MMAP, 0, &count));
	mock_expected_warning(test);
}
#endif

#if IS_REACHABLE(CONFIG_VIDEOBUF2_DMA_SG)
/*
 * One that says that it reaches a single page: dma-direct warns of memory beyond it or, where
 * there are bounce buffers, the swiotlb.
 */
static void device_that_reaches_nothing(struct kunit *test)
{
	struct device *dev = mock_device(test);
	struct mock_queue *mq = MOCK_OPEN(test, .mem_ops = &vb2_dma_sg_memops, .dev = dev);
	unsigned int count = 1;

	mock_reqbufs(mq, VB2_MEMORY_MMAP, 0);
	*dev->dma_mask = DMA_BIT_MASK(PAGE_SHIFT);
	mock_expect_warning(test, "kernel/dma/");
	KUNIT_EXPECT_EQ(test, -ENOMEM, vb2_core_reqbufs(&mq->q, VB2_MEMORY_MMAP, 0, &count));
	mock_expected_warning(test);

	*dev->dma_mask = DMA_BIT_MASK(32);
	mock_reqbufs(mq, VB2_MEMORY_MMAP, 1);
	mock_run(mq);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(mock_export(mq, 0, 0)));
}
#endif

static struct kunit_case driver_bugs_cases[] = {
	KUNIT_CASE(attach_after_the_end),
	KUNIT_CASE(done_while_attaching),
	KUNIT_CASE(returned_as_queued),
	KUNIT_CASE(attach_while_waiting),
	KUNIT_CASE(left_active),
	KUNIT_CASE(queue_in_error),
#ifdef CONFIG_VIDEO_ADV_DEBUG
	KUNIT_CASE(counters_that_differ),
#endif
#if IS_REACHABLE(CONFIG_VIDEOBUF2_DMA_CONTIG)
	KUNIT_CASE(no_device),
#endif
#if IS_REACHABLE(CONFIG_VIDEOBUF2_DMA_SG)
	KUNIT_CASE(device_that_reaches_nothing),
#endif
	{ }
};

static struct kunit_suite driver_bugs_suite = {
	.name = "vb2-release-fence-driver-bugs",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = mock_init,
	.test_cases = driver_bugs_cases,
};

kunit_test_suite(driver_bugs_suite);
