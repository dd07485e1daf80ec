// SPDX-License-Identifier: GPL-2.0-only
/*
 * Jobs of mem2mem devices whose buffers wait for acquire fences: when they begin.
 */

#include <linux/delay.h>
#include <linux/string.h>
#include <media/videobuf2-v4l2.h>

#include "acquire-m2m.h"

void acquire_add_user(struct m2m *m2m, enum v4l2_buf_type type, unsigned int index,
		      struct dma_fence *fence)
{
	if (type == OUTPUT)
		mock_add_fence(m2m->test, m2m_output(m2m, index)->resv, fence,
			       DMA_RESV_USAGE_WRITE);
	else
		mock_add_fence(m2m->test, m2m_capture(m2m, index)->resv, fence,
			       DMA_RESV_USAGE_READ);
}

struct dma_fence *acquire_user(struct m2m *m2m, enum v4l2_buf_type type, unsigned int index)
{
	struct dma_fence *fence = mock_fence(m2m->test);

	acquire_add_user(m2m, type, index, fence);
	return fence;
}

void acquire_queue_job(struct m2m *m2m, unsigned int index)
{
	m2m_qbuf_capture(m2m, index);
	m2m_qbuf(m2m, OUTPUT, index, 0, index + 1);
	v4l2_m2m_try_schedule(m2m->ctx);
}

void acquire_expect_runs(struct m2m *m2m, int runs)
{
	msleep(20);
	KUNIT_EXPECT_EQ(m2m->test, runs, m2m_runs(m2m));
}

void acquire_expect_job(struct m2m *m2m, int runs, unsigned int index)
{
	struct vb2_v4l2_buffer *src, *dst;

	KUNIT_ASSERT_TRUE(m2m->test, m2m_reaches(m2m, runs));
	KUNIT_EXPECT_EQ(m2m->test, runs, m2m_runs(m2m));
	src = v4l2_m2m_next_src_buf(m2m->ctx);
	dst = v4l2_m2m_next_dst_buf(m2m->ctx);
	KUNIT_ASSERT_NOT_NULL(m2m->test, src);
	KUNIT_ASSERT_NOT_NULL(m2m->test, dst);
	KUNIT_EXPECT_EQ(m2m->test, index, src->vb2_buf.index);
	KUNIT_EXPECT_EQ(m2m->test, index, dst->vb2_buf.index);
	m2m_end(m2m, VB2_BUF_STATE_DONE);
}

/* What becomes of the fence that the first buffer of a queue has. */
enum ending { ENDS, ENDED_BEFORE, FAILS, NEVER_ENDS };

struct first {
	const char *name;
	enum v4l2_buf_type type;
	enum ending ending;
};

static const struct first firsts[] = {
	{ "CAPTURE, pending", CAPTURE, ENDS },
	{ "CAPTURE, signalled", CAPTURE, ENDED_BEFORE },
	{ "CAPTURE, error", CAPTURE, FAILS },
	{ "CAPTURE, timeout", CAPTURE, NEVER_ENDS },
	{ "OUTPUT, pending", OUTPUT, ENDS },
	{ "OUTPUT, signalled", OUTPUT, ENDED_BEFORE },
	{ "OUTPUT, error", OUTPUT, FAILS },
	{ "OUTPUT, timeout", OUTPUT, NEVER_ENDS },
};

static void first_desc(const struct first *first, char *desc)
{
	strscpy(desc, first->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(first, firsts, first_desc);

static void first_buffer(struct kunit *test)
{
	const struct first *first = test->param_value;
	struct m2m *m2m = M2M_ACQUIRING(test);
	struct dma_buf *output = m2m_output(m2m, 0), *capture = m2m_capture(m2m, 0);
	struct dma_fence *fence = acquire_user(m2m, first->type, 0);

	if (first->ending == NEVER_ENDS)
		acquire_set_timeout(test, MOCK_TIMEOUT);
	if (first->ending == ENDED_BEFORE)
		mock_fence_end(test, fence);
	acquire_queue_job(m2m, 0);
	if (first->ending == ENDED_BEFORE) {
		/* By the QBUF, and not by work. */
		KUNIT_EXPECT_EQ(test, 1, m2m_runs(m2m));
	} else {
		KUNIT_EXPECT_EQ(test, 0, m2m_runs(m2m));
		/* Consumers do not wait for a job that waits. */
		KUNIT_EXPECT_EQ(test, 0, mock_count(test, output) + mock_count(test, capture));
	}
	if (first->ending == FAILS)
		dma_fence_set_error(fence, -EIO);
	if (first->ending == ENDS || first->ending == FAILS)
		mock_fence_end(test, fence);
	KUNIT_ASSERT_TRUE(test, m2m_reaches(m2m, 1));
	KUNIT_EXPECT_EQ(test, 0, m2m->attached);
	KUNIT_EXPECT_TRUE(test, mock_writer_waits(output));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(capture));
	acquire_expect_job(m2m, 1, 0);
	m2m_dqbuf(m2m, CAPTURE, 0);
	m2m_dqbuf(m2m, OUTPUT, 0);
}

/* Both wait, and only the end of the second wait starts the job. */
static void both_buffers(struct kunit *test)
{
	struct m2m *m2m = M2M_ACQUIRING(test);
	struct dma_fence *reader = acquire_user(m2m, CAPTURE, 0);
	struct dma_fence *writer = acquire_user(m2m, OUTPUT, 0);

	acquire_queue_job(m2m, 0);
	mock_fence_end(test, writer);
	acquire_expect_runs(m2m, 0);
	mock_fence_end(test, reader);
	acquire_expect_job(m2m, 1, 0);
}

static void one_queue_opted_in(struct kunit *test)
{
	struct m2m *m2m = M2M_OPEN(test, .capture_acquires = true);
	struct dma_fence *writer = acquire_user(m2m, OUTPUT, 0);

	acquire_queue_job(m2m, 0);
	KUNIT_EXPECT_EQ(test, 0, acquire_callbacks(writer));
	acquire_expect_job(m2m, 1, 0);
	acquire_user(m2m, CAPTURE, 1);
	acquire_queue_job(m2m, 1);
	acquire_expect_runs(m2m, 1);
}

/* Whichever fence is signalled first. */
static void in_order(struct kunit *test)
{
	struct m2m *m2m = M2M_ACQUIRING(test);
	struct dma_fence *first = acquire_user(m2m, CAPTURE, 0);
	struct dma_fence *second = acquire_user(m2m, OUTPUT, 1);
	unsigned int i;

	for (i = 0; i < M2M_BUFFERS; ++i)
		acquire_queue_job(m2m, i);
	mock_fence_end(test, second);
	acquire_expect_runs(m2m, 0);
	mock_fence_end(test, first);
	for (i = 0; i < M2M_BUFFERS; ++i)
		acquire_expect_job(m2m, i + 1, i);
}

/* Fences that end while a job runs, and after it. */
static void behind_a_job(struct kunit *test)
{
	struct m2m *m2m = M2M_ACQUIRING(test);
	struct dma_fence *during = acquire_user(m2m, CAPTURE, 1);
	struct dma_fence *after = acquire_user(m2m, CAPTURE, 2);
	unsigned int i;

	for (i = 0; i < M2M_BUFFERS; ++i)
		acquire_queue_job(m2m, i);
	KUNIT_ASSERT_TRUE(test, m2m_reaches(m2m, 1));
	mock_fence_end(test, during);
	acquire_expect_runs(m2m, 1);
	acquire_expect_job(m2m, 1, 0);
	acquire_expect_job(m2m, 2, 1);
	acquire_expect_runs(m2m, 2);
	mock_fence_end(test, after);
	acquire_expect_job(m2m, 3, 2);
}

/* What waits occupies nothing. */
static void another_context_runs(struct kunit *test)
{
	struct m2m *waits = M2M_ACQUIRING(test), *runs = M2M_ACQUIRING(test, .dev = waits->dev);
	struct dma_fence *fence = acquire_user(waits, CAPTURE, 0);
	unsigned int job;

	acquire_queue_job(waits, 0);
	for (job = 0; job < 20; ++job) {
		acquire_queue_job(runs, 0);
		/* Without a detour */
		KUNIT_ASSERT_EQ(test, job + 1, m2m_runs(runs));
		if (job == 19)
			mock_fence_end(test, fence);
		acquire_expect_runs(waits, 0);
		acquire_expect_job(runs, job + 1, 0);
		m2m_dqbuf(runs, CAPTURE, 0);
		m2m_dqbuf(runs, OUTPUT, 0);
	}
	acquire_expect_job(waits, 1, 0);
}

/* Each by its own fence, and then both by one. */
static void two_contexts_wait(struct kunit *test)
{
	struct m2m *m2m[2] = { M2M_ACQUIRING(test) };
	struct dma_fence *fences[2], *shared = mock_fence(test);
	unsigned int i;

	m2m[1] = M2M_ACQUIRING(test, .dev = m2m[0]->dev);
	for (i = 0; i < ARRAY_SIZE(m2m); ++i) {
		fences[i] = acquire_user(m2m[i], CAPTURE, 0);
		acquire_queue_job(m2m[i], 0);
	}
	for (i = ARRAY_SIZE(m2m); i--; ) {
		mock_fence_end(test, fences[i]);
		acquire_expect_job(m2m[i], 1, 0);
		acquire_expect_runs(m2m[!i], i ? 0 : 1);
	}

	for (i = 0; i < ARRAY_SIZE(m2m); ++i) {
		acquire_add_user(m2m[i], OUTPUT, 1, shared);
		acquire_queue_job(m2m[i], 1);
	}
	mock_fence_end(test, shared);
	acquire_expect_job(m2m[0], 2, 1);
	acquire_expect_job(m2m[1], 2, 1);
}

/* A job of another device whose end both buffers wait for; its driver signals under a lock. */
static void both_by_one_signal(struct kunit *test)
{
	struct m2m *m2m = M2M_ACQUIRING(test);
	struct dma_fence *fence = mock_fence(test);
	unsigned long flags;
	int runs;

	acquire_add_user(m2m, OUTPUT, 0, fence);
	acquire_add_user(m2m, CAPTURE, 0, fence);
	acquire_queue_job(m2m, 0);
	KUNIT_EXPECT_EQ(test, 2, acquire_callbacks(fence));
	spin_lock_irqsave(fence->lock, flags);
	dma_fence_signal_locked(fence);
	runs = m2m_runs(m2m);
	spin_unlock_irqrestore(fence->lock, flags);
	/* device_run() sleeps. */
	KUNIT_EXPECT_EQ(test, 0, runs);
	acquire_expect_job(m2m, 1, 0);
	acquire_expect_runs(m2m, 1);
}

static void ask(struct m2m *m2m)
{
	dma_fence_get_status(m2m->fence);
}

static void signal(struct m2m *m2m)
{
	dma_fence_signal(m2m->fence);
}

/*
 * A driver asks a fence in job_ready(), under job_spinlock: that takes the lock of the fence, and
 * may signal it. So the callback must not take job_spinlock.
 */
static void asked_in_job_ready(struct kunit *test)
{
	struct m2m *waits = M2M_ACQUIRING(test), *asks = M2M_ACQUIRING(test, .dev = waits->dev);

	asks->fence = acquire_user(waits, OUTPUT, 0);
	asks->in_job_ready = ask;
	acquire_queue_job(waits, 0);
	acquire_queue_job(asks, 0);
	dma_fence_signal(asks->fence);
	acquire_expect_job(asks, 1, 0);
	acquire_expect_job(waits, 1, 0);

	asks->fence = acquire_user(waits, OUTPUT, 1);
	asks->in_job_ready = signal;
	acquire_queue_job(waits, 1);
	acquire_expect_runs(waits, 1);
	acquire_queue_job(asks, 1);
	acquire_expect_job(asks, 2, 1);
	acquire_expect_job(waits, 2, 1);
}

/* The driver's own reasons count as well, whichever is the last to go. */
static void not_ready(struct kunit *test)
{
	struct m2m *m2m = M2M_ACQUIRING(test);
	struct dma_fence *fence = acquire_user(m2m, CAPTURE, 0);

	m2m->busy = true;
	acquire_queue_job(m2m, 0);
	mock_fence_end(test, fence);
	acquire_expect_runs(m2m, 0);
	m2m->busy = false;
	v4l2_m2m_try_schedule(m2m->ctx);
	acquire_expect_job(m2m, 1, 0);
}

static void suspended(struct kunit *test)
{
	struct m2m *m2m = M2M_ACQUIRING(test);
	struct dma_fence *fence = acquire_user(m2m, CAPTURE, 0);

	acquire_queue_job(m2m, 0);
	/* Does not wait for what waits. */
	v4l2_m2m_suspend(m2m->dev);
	mock_fence_end(test, fence);
	acquire_expect_runs(m2m, 0);
	v4l2_m2m_resume(m2m->dev);
	acquire_expect_job(m2m, 1, 0);
}

/* Ends one pair of buffers of a job, and starts the next one, as vim2m does. */
static void next_pair(struct m2m *m2m)
{
	v4l2_m2m_buf_done(v4l2_m2m_dst_buf_remove(m2m->ctx), VB2_BUF_STATE_DONE);
	v4l2_m2m_buf_done(v4l2_m2m_src_buf_remove(m2m->ctx), VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(m2m->test, 0, v4l2_m2m_attach_release_fence(m2m->ctx));
}

/* A job of two pairs waits for all four buffers, and not for the next ones. */
static void several_pairs(struct kunit *test)
{
	static const enum v4l2_buf_type types[] = { CAPTURE, OUTPUT };
	struct m2m *m2m = M2M_ACQUIRING(test, .pairs = 2);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(types); ++i) {
		struct dma_fence *second = acquire_user(m2m, types[i], 1);
		struct dma_fence *third = acquire_user(m2m, types[i], 2);
		unsigned int index;

		for (index = 0; index < M2M_BUFFERS; ++index)
			acquire_queue_job(m2m, index);
		acquire_expect_runs(m2m, i);
		mock_fence_end(test, second);
		KUNIT_ASSERT_TRUE(test, m2m_reaches(m2m, i + 1));
		next_pair(m2m);
		KUNIT_EXPECT_TRUE(test, mock_reader_waits(m2m_capture(m2m, 1)));
		acquire_expect_job(m2m, i + 1, 1);

		KUNIT_ASSERT_EQ(test, 0, v4l2_m2m_streamoff(NULL, m2m->ctx, CAPTURE));
		KUNIT_ASSERT_EQ(test, 0, v4l2_m2m_streamoff(NULL, m2m->ctx, OUTPUT));
		mock_fence_end(test, third);
		KUNIT_ASSERT_EQ(test, 0, v4l2_m2m_streamon(NULL, m2m->ctx, CAPTURE));
		KUNIT_ASSERT_EQ(test, 0, v4l2_m2m_streamon(NULL, m2m->ctx, OUTPUT));
	}
}

static struct kunit_case acquire_m2m_cases[] = {
	KUNIT_CASE_PARAM(first_buffer, first_gen_params),
	KUNIT_CASE(both_buffers),
	KUNIT_CASE(one_queue_opted_in),
	KUNIT_CASE(in_order),
	KUNIT_CASE(behind_a_job),
	KUNIT_CASE(another_context_runs),
	KUNIT_CASE(two_contexts_wait),
	KUNIT_CASE(both_by_one_signal),
	KUNIT_CASE(asked_in_job_ready),
	KUNIT_CASE(not_ready),
	KUNIT_CASE(suspended),
	KUNIT_CASE(several_pairs),
	{ }
};

static struct kunit_suite acquire_m2m_suite = {
	.name = "vb2-release-fence-acquire-m2m",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = acquire_init,
	.test_cases = acquire_m2m_cases,
};

kunit_test_suite(acquire_m2m_suite);
