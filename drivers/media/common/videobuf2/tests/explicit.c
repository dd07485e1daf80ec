// SPDX-License-Identifier: GPL-2.0-only
/*
 * The fence that a program asks a buffer for: none until the job starts, then that of the job, or
 * one that says how a buffer came back that had no job.
 */

#include <linux/err.h>
#include <linux/mman.h>
#include <media/videobuf2-v4l2.h>
#include <media/videobuf2-vmalloc.h>

#include "explicit.h"

KUNIT_DEFINE_ACTION_WRAPPER(put_fence, dma_fence_put, struct dma_fence *);

struct dma_fence *explicit_fence(struct kunit *test, struct vb2_buffer *vb)
{
	struct dma_fence *fence = vb2_core_expfence(vb->vb2_queue, vb->type, vb);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, fence);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, put_fence, fence));
	return fence;
}

int explicit_error(struct vb2_buffer *vb)
{
	struct dma_fence *fence = vb2_core_expfence(vb->vb2_queue, vb->type, vb);

	if (IS_ERR(fence))
		return PTR_ERR(fence);
	dma_fence_put(fence);
	return 0;
}

static struct dma_fence *fence_of(struct mock_queue *mq, unsigned int index)
{
	return explicit_fence(mq->test, mock_vb(mq, index));
}

static int error_of(struct mock_queue *mq, unsigned int index)
{
	return explicit_error(mock_vb(mq, index));
}

static void no_fence(struct kunit *test)
{
	struct mock_queue *mq = MOCK_OPEN(test), *other = MOCK_OPEN(test, .opted_out = true);
	struct vb2_queue *q = &mq->q;

	/* It was never queued, and to prepare it is not to queue it. */
	KUNIT_EXPECT_EQ(test, -EINVAL, error_of(mq, 0));
	KUNIT_ASSERT_EQ(test, 0, vb2_core_prepare_buf(q, mock_vb(mq, 0), NULL));
	KUNIT_EXPECT_EQ(test, -EINVAL, error_of(mq, 0));

	mock_run(mq);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_PTR_EQ(test, ERR_PTR(-EINVAL),
			    vb2_core_expfence(q, q->type + 1, mock_vb(mq, 0)));
	/* As if a program had called read() */
	q->fileio = (struct vb2_fileio_data *)mq;
	KUNIT_EXPECT_EQ(test, -EBUSY, error_of(mq, 0));
	q->fileio = NULL;
	KUNIT_EXPECT_EQ(test, 0, error_of(mq, 0));

	mock_run(other);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(other, 0));
	KUNIT_EXPECT_EQ(test, -EINVAL, error_of(other, 0));
}

static void from_the_start_to_the_next_qbuf(struct kunit *test)
{
	struct mock_queue *mq = MOCK_OPEN(test);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	struct dma_fence *first, *second;

	mock_qbuf(mq, 0);
	KUNIT_EXPECT_EQ(test, -EAGAIN, error_of(mq, 0));
	mock_run(mq);
	KUNIT_EXPECT_EQ(test, -EAGAIN, error_of(mq, 0));
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	first = fence_of(mq, 0);
	KUNIT_EXPECT_PTR_EQ(test, mock_seen(test, dbuf), first);
	KUNIT_EXPECT_EQ(test, 0, dma_fence_get_status(first));

	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(first));
	KUNIT_EXPECT_PTR_EQ(test, first, fence_of(mq, 0));
	mock_dqbuf(mq);
	KUNIT_EXPECT_PTR_EQ(test, first, fence_of(mq, 0));

	mock_qbuf(mq, 0);
	KUNIT_EXPECT_EQ(test, -EAGAIN, error_of(mq, 0));
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	second = fence_of(mq, 0);
	KUNIT_EXPECT_EQ(test, first->context, second->context);
	KUNIT_EXPECT_GT(test, second->seqno, first->seqno);
	KUNIT_EXPECT_EQ(test, 0, dma_fence_get_status(second));
}

/* Those who ask the dma-buf too late do not hear of the error. */
static void keeps_the_error(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);

	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	mock_done(mq, 0, VB2_BUF_STATE_ERROR);
	mock_dqbuf(mq);
	mock_close(test, dbuf);
	KUNIT_EXPECT_EQ(test, -EIO, dma_fence_get_status(fence_of(mq, 0)));
	mock_streamoff(mq);
	KUNIT_EXPECT_EQ(test, -EIO, dma_fence_get_status(fence_of(mq, 0)));
}

static void expect_job_without_an_object(struct mock_queue *mq)
{
	struct kunit *test = mq->test;
	struct dma_fence *fence;

	mock_run(mq);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = fence_of(mq, 0);
	KUNIT_EXPECT_EQ(test, 0, dma_fence_get_status(fence));
	/* One fence, however often it is attached. */
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_PTR_EQ(test, fence, fence_of(mq, 0));
	mock_done(mq, 0, VB2_BUF_STATE_ERROR);
	KUNIT_EXPECT_EQ(test, -EIO, dma_fence_get_status(fence));
}

static void without_an_object(struct kunit *test)
{
	struct vb2_mem_ops *mem_ops = kunit_kzalloc(test, sizeof(*mem_ops), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, mem_ops);
	*mem_ops = vb2_vmalloc_memops;
	mem_ops->plane_resv = NULL;
	expect_job_without_an_object(MOCK_OPEN(test, .mem_ops = mem_ops));
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
	expect_job_without_an_object(mq);
}

/* It was drained, for example, or there was no memory for its fence. */
static void came_back_without_a_fence(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .buffers = 2);
	struct dma_fence *done, *failed;

	KUNIT_EXPECT_EQ(test, -EAGAIN, error_of(mq, 0));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	done = fence_of(mq, 0);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(done));
	mock_dqbuf(mq);
	/* It is made once. */
	KUNIT_EXPECT_PTR_EQ(test, done, fence_of(mq, 0));

	mock_done(mq, 1, VB2_BUF_STATE_ERROR);
	failed = fence_of(mq, 1);
	KUNIT_EXPECT_EQ(test, -EIO, dma_fence_get_status(failed));

	mock_qbuf(mq, 0);
	KUNIT_EXPECT_EQ(test, -EAGAIN, error_of(mq, 0));
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_GT(test, fence_of(mq, 0)->seqno, done->seqno);
}

static void cancelled(struct kunit *test)
{
	struct mock_queue *mq = MOCK_OPEN(test, .buffers = 2);

	/* Never in the hands of the driver */
	mock_qbuf(mq, 0);
	mock_streamoff(mq);
	KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(fence_of(mq, 0)));

	mock_run(mq);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 1));
	KUNIT_EXPECT_EQ(test, -EAGAIN, error_of(mq, 0));
	mock_streamoff(mq);
	KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(fence_of(mq, 0)));
	KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(fence_of(mq, 1)));

	/* A buffer that a driver returns because it cannot start is queued still. */
	mq->start_error = -EBUSY;
	mock_qbuf(mq, 0);
	KUNIT_EXPECT_EQ(test, -EBUSY, vb2_core_streamon(&mq->q, mq->q.type));
	KUNIT_EXPECT_EQ(test, -EAGAIN, error_of(mq, 0));
	mock_streamoff(mq);
}

static void refused_qbuf(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .buffers = 2);
	struct dma_fence *failed;

	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	mock_done(mq, 0, VB2_BUF_STATE_ERROR);
	mock_done(mq, 1, VB2_BUF_STATE_ERROR);
	failed = fence_of(mq, 0);
	/* One that is in no turn is refused early, and changes nothing. */
	KUNIT_EXPECT_EQ(test, -EINVAL, mock_try_qbuf(mq, 0));
	KUNIT_EXPECT_PTR_EQ(test, failed, fence_of(mq, 0));
	mock_streamoff(mq);

	/* One that starts the queue is refused late. */
	mq->q.min_queued_buffers = 1;
	KUNIT_ASSERT_EQ(test, 0, vb2_core_streamon(&mq->q, mq->q.type));
	mq->start_error = -EBUSY;
	KUNIT_EXPECT_EQ(test, -EBUSY, mock_try_qbuf(mq, 0));
	KUNIT_EXPECT_PTR_EQ(test, failed, fence_of(mq, 0));
	KUNIT_EXPECT_EQ(test, -EBUSY, mock_try_qbuf(mq, 1));
	KUNIT_EXPECT_EQ(test, -EIO, dma_fence_get_status(fence_of(mq, 1)));

	mq->start_error = 0;
	mock_qbuf(mq, 0);
	KUNIT_EXPECT_EQ(test, -EAGAIN, error_of(mq, 0));
}

/* What a program asks during vb2_buffer_done(), which calls the memory's finish operation. */
static struct vb2_buffer *finishing;
static int finish_error;

static void ask_in_finish(void *buf_priv)
{
	finish_error = explicit_error(finishing);
}

/* Who has a signalled fence can dequeue the buffer. */
static void not_before_it_can_be_dequeued(struct kunit *test)
{
	struct vb2_mem_ops *mem_ops = kunit_kzalloc(test, sizeof(*mem_ops), GFP_KERNEL);
	struct mock_queue *mq;

	KUNIT_ASSERT_NOT_NULL(test, mem_ops);
	*mem_ops = vb2_vmalloc_memops;
	mem_ops->finish = ask_in_finish;
	mq = MOCK_START(test, .mem_ops = mem_ops);
	finishing = mock_vb(mq, 0);
	finish_error = 0;
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, -EAGAIN, finish_error);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(fence_of(mq, 0)));
	mem_ops->finish = NULL;
}

/* A program keeps it for longer than there is a buffer. */
static void outlives_the_buffer(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_fence *running, *made;

	mock_done(mq, 0, VB2_BUF_STATE_ERROR);
	made = fence_of(mq, 0);
	mock_dqbuf(mq);
	mock_qbuf(mq, 0);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	running = fence_of(mq, 0);
	mock_release(mq);
	KUNIT_EXPECT_EQ(test, -EIO, dma_fence_get_status(made));
	KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(running));
}

static struct kunit_case explicit_cases[] = {
	KUNIT_CASE(no_fence),
	KUNIT_CASE(from_the_start_to_the_next_qbuf),
	KUNIT_CASE(keeps_the_error),
	KUNIT_CASE(without_an_object),
	KUNIT_CASE(userptr),
	KUNIT_CASE(came_back_without_a_fence),
	KUNIT_CASE(cancelled),
	KUNIT_CASE(refused_qbuf),
	KUNIT_CASE(not_before_it_can_be_dequeued),
	KUNIT_CASE(outlives_the_buffer),
	{ }
};

static struct kunit_suite explicit_suite = {
	.name = "vb2-release-fence-explicit",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = mock_init,
	.test_cases = explicit_cases,
};

kunit_test_suite(explicit_suite);
