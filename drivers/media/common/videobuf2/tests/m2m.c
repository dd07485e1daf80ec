// SPDX-License-Identifier: GPL-2.0-only
/*
 * Drivers of the mem2mem framework: both ends of a job, and CAPTURE buffers that jobs hold.
 */

#include <linux/delay.h>
#include <linux/preempt.h>
#include <linux/workqueue.h>
#include <media/videobuf2-v4l2.h>

#include "m2m.h"

static void both_ends(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);
	struct dma_buf *output = m2m_output(m2m, 0), *capture = m2m_capture(m2m, 0);
	struct dma_fence *read, *written;

	m2m_qbuf_capture(m2m, 0);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(capture));
	m2m_run(m2m, 0, 0, 1);
	KUNIT_EXPECT_FALSE(test, mock_reader_waits(output));
	KUNIT_EXPECT_TRUE(test, mock_writer_waits(output));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(capture));
	read = mock_seen(test, output);
	written = mock_seen(test, capture);
	KUNIT_EXPECT_PTR_NE(test, read, written);
	KUNIT_EXPECT_STREQ(test, "mock-output", read->ops->get_timeline_name(read));
	KUNIT_EXPECT_STREQ(test, "mock-capture", written->ops->get_timeline_name(written));

	m2m_end(m2m, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(read));
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(written));
}

static void capture_only(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, false, true);
	struct dma_buf *output = m2m_output(m2m, 0), *capture = m2m_capture(m2m, 0);

	m2m_qbuf_capture(m2m, 0);
	m2m_run(m2m, 0, 0, 1);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(output));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(capture));
	m2m_end(m2m, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(capture));
}

static void not_opted_in(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, false, false);
	struct dma_buf *output = m2m_output(m2m, 0), *capture = m2m_capture(m2m, 0);

	m2m_qbuf_capture(m2m, 0);
	m2m_run(m2m, 0, 0, 1);
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, output));
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, capture));
	m2m_end(m2m, VB2_BUF_STATE_DONE);
}

static void failed_job(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);
	struct dma_fence *read, *written;

	m2m_qbuf_capture(m2m, 0);
	m2m_run(m2m, 0, 0, 1);
	read = mock_seen(test, m2m_output(m2m, 0));
	written = mock_seen(test, m2m_capture(m2m, 0));
	m2m_end(m2m, VB2_BUF_STATE_ERROR);
	KUNIT_EXPECT_EQ(test, -EIO, dma_fence_get_status(read));
	KUNIT_EXPECT_EQ(test, -EIO, dma_fence_get_status(written));
}

static void held_capture(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);
	struct dma_buf *capture = m2m_capture(m2m, 0);
	struct dma_fence *slice, *written;

	/* Whether this CAPTURE buffer is ever done depends on the next QBUF of user space. */
	m2m_qbuf_capture(m2m, 0);
	m2m_run(m2m, 0, V4L2_BUF_FLAG_M2M_HOLD_CAPTURE_BUF, 1);
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, capture));
	slice = mock_seen(test, m2m_output(m2m, 0));
	m2m_end(m2m, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(slice));
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, capture));

	m2m_run(m2m, 1, V4L2_BUF_FLAG_M2M_HOLD_CAPTURE_BUF, 1);
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, capture));
	m2m_end(m2m, VB2_BUF_STATE_DONE);

	/* The last slice lets it go. */
	m2m_run(m2m, 2, 0, 1);
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(capture));
	written = mock_seen(test, capture);
	m2m_end(m2m, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(written));
}

/* User space drops a slice: the next frame returns the held buffer, which has no fence. */
static void held_capture_given_up(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);
	struct dma_buf *first = m2m_capture(m2m, 0), *second = m2m_capture(m2m, 1);

	m2m_qbuf_capture(m2m, 0);
	m2m_qbuf_capture(m2m, 1);
	m2m_run(m2m, 0, V4L2_BUF_FLAG_M2M_HOLD_CAPTURE_BUF, 1);
	m2m_end(m2m, VB2_BUF_STATE_DONE);

	m2m_run(m2m, 1, 0, 2);
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, first));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(second));
	m2m_end(m2m, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(second));
}

/* The same, but there is no other picture for the next frame: it waits for one. */
static void held_capture_was_the_last(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);
	struct dma_buf *capture = m2m_capture(m2m, 0);

	m2m_qbuf_capture(m2m, 0);
	m2m_run(m2m, 0, V4L2_BUF_FLAG_M2M_HOLD_CAPTURE_BUF, 1);
	m2m_end(m2m, VB2_BUF_STATE_DONE);
	m2m_qbuf(m2m, V4L2_BUF_TYPE_VIDEO_OUTPUT, 1, 0, 2);
	v4l2_m2m_try_schedule(m2m->ctx);
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&m2m->runs));
	m2m_dqbuf(m2m, V4L2_BUF_TYPE_VIDEO_CAPTURE, 0);
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, capture));
	m2m_qbuf_capture(m2m, 0);
	v4l2_m2m_try_schedule(m2m->ctx);
	KUNIT_EXPECT_EQ(test, 2, atomic_read(&m2m->runs));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(capture));
}

/* A job that cannot be started yet publishes nothing, however complete its buffers are. */
static void not_started(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);
	struct dma_buf *output = m2m_output(m2m, 0), *capture = m2m_capture(m2m, 0);

	m2m->busy = true;
	m2m_qbuf_capture(m2m, 0);
	m2m_qbuf(m2m, V4L2_BUF_TYPE_VIDEO_OUTPUT, 0, 0, 1);
	v4l2_m2m_try_schedule(m2m->ctx);
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, output) + mock_count(test, capture));
	/* The other reason: the stop command of an encoder or a decoder. */
	m2m->busy = false;
	m2m->ctx->has_stopped = true;
	v4l2_m2m_try_schedule(m2m->ctx);
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, output) + mock_count(test, capture));
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&m2m->runs));
	m2m->ctx->has_stopped = false;
	v4l2_m2m_try_schedule(m2m->ctx);
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&m2m->runs));
	KUNIT_EXPECT_TRUE(test, mock_writer_waits(output));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(capture));
}

static const enum v4l2_buf_type types[] = {
	V4L2_BUF_TYPE_VIDEO_CAPTURE, V4L2_BUF_TYPE_VIDEO_OUTPUT,
};

/* The job ends at both ends, whichever queue is stopped. Later ones are not cancelled. */
static void aborted(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(types); ++i) {
		struct dma_fence *read, *written;
		unsigned int job;

		for (job = 0; job < 2; ++job) {
			m2m_qbuf_capture(m2m, 0);
			m2m_run(m2m, 0, 0, 1);
			read = mock_seen(test, m2m_output(m2m, 0));
			written = mock_seen(test, m2m_capture(m2m, 0));
			if (job)
				break;
			KUNIT_ASSERT_EQ(test, 0, v4l2_m2m_streamoff(NULL, m2m->ctx, types[i]));
			KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(read));
			KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(written));
			m2m_dqbuf(m2m, types[!i], 0);
			KUNIT_ASSERT_EQ(test, 0, v4l2_m2m_streamon(NULL, m2m->ctx, types[i]));
		}
		m2m_end(m2m, VB2_BUF_STATE_ERROR);
		KUNIT_EXPECT_EQ(test, -EIO, dma_fence_get_status(read));
		KUNIT_EXPECT_EQ(test, -EIO, dma_fence_get_status(written));
		m2m_dqbuf(m2m, V4L2_BUF_TYPE_VIDEO_OUTPUT, 0);
		m2m_dqbuf(m2m, V4L2_BUF_TYPE_VIDEO_CAPTURE, 0);
	}
}

static void closed(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);
	struct dma_fence *written;

	m2m_qbuf_capture(m2m, 0);
	m2m_run(m2m, 0, 0, 1);
	written = mock_seen(test, m2m_capture(m2m, 0));
	m2m_close(m2m);
	KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(written));
}

/* The next job is started by the framework's worker, as soon as the last one has ended. */
static void many_jobs(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);
	struct dma_buf *capture[M2M_BUFFERS];
	unsigned int i, frame;

	for (i = 0; i < M2M_BUFFERS; ++i) {
		capture[i] = m2m_capture(m2m, i);
		m2m_qbuf_capture(m2m, i);
		m2m_qbuf(m2m, V4L2_BUF_TYPE_VIDEO_OUTPUT, i, 0, i);
	}
	v4l2_m2m_try_schedule(m2m->ctx);

	for (frame = 0; frame < 60; ++frame) {
		struct dma_fence *fence;

		i = frame % M2M_BUFFERS;
		KUNIT_ASSERT_GT(test, wait_event_timeout(m2m->ran,
							 atomic_read(&m2m->runs) == frame + 1,
							 20 * HZ), 0);
		KUNIT_ASSERT_TRUE(test, mock_reader_waits(capture[i]));
		KUNIT_ASSERT_FALSE(test, mock_reader_waits(capture[(i + 1) % M2M_BUFFERS]));
		fence = mock_seen(test, capture[i]);
		m2m_end(m2m, VB2_BUF_STATE_DONE);
		KUNIT_ASSERT_EQ(test, 1, dma_fence_get_status(fence));

		m2m_dqbuf(m2m, V4L2_BUF_TYPE_VIDEO_OUTPUT, i);
		m2m_dqbuf(m2m, V4L2_BUF_TYPE_VIDEO_CAPTURE, i);
		m2m_qbuf_capture(m2m, i);
		m2m_qbuf(m2m, V4L2_BUF_TYPE_VIDEO_OUTPUT, i, 0, frame + M2M_BUFFERS);
		v4l2_m2m_try_schedule(m2m->ctx);
	}
}

static void without_buffers(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);

	KUNIT_EXPECT_EQ(test, 0, v4l2_m2m_attach_release_fence(m2m->ctx));
	KUNIT_EXPECT_FALSE(test, mock_in_section(false));
}

/* A driver that starts the rest of a job from somewhere else annotates that itself. */
static void attached_later(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);
	struct dma_buf *capture = m2m_capture(m2m, 0);

	m2m->later = true;
	m2m_qbuf_capture(m2m, 0);
	m2m_run(m2m, 0, 0, 1);
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, capture));
	KUNIT_EXPECT_EQ(test, 0, v4l2_m2m_attach_release_fence(m2m->ctx));
	KUNIT_EXPECT_FALSE(test, mock_in_section(false));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(capture));
	m2m_end(m2m, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(capture));
}

static void attached_twice(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);
	struct dma_buf *capture = m2m_capture(m2m, 0);

	m2m->twice = true;
	m2m_qbuf_capture(m2m, 0);
	m2m_run(m2m, 0, 0, 1);
	KUNIT_EXPECT_EQ(test, 1, mock_count(test, capture));
	m2m_end(m2m, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, capture));
}

/* As visl's: when device_run() returns, the next one may have begun in another thread. */
static void over_in_device_run(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);
	unsigned int i;

	m2m->at_once = true;
	for (i = 0; i < M2M_BUFFERS; ++i) {
		m2m_qbuf_capture(m2m, i);
		if (i)
			m2m_qbuf(m2m, V4L2_BUF_TYPE_VIDEO_OUTPUT, i, 0, i);
	}
	m2m_run(m2m, 0, 0, 0);
	KUNIT_EXPECT_GT(test, wait_event_timeout(m2m->ran, atomic_read(&m2m->runs) == M2M_BUFFERS,
						 20 * HZ), 0);
	for (i = 0; i < M2M_BUFFERS; ++i)
		KUNIT_EXPECT_EQ(test, 0, mock_count(test, m2m_capture(m2m, i)));
}

/* The device goes when its last job is over, but not before device_run() has returned. */
static void released_in_device_run(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);

	m2m_qbuf_capture(m2m, 0);
	m2m_run(m2m, 0, 0, 1);
	m2m_qbuf_capture(m2m, 1);
	m2m_qbuf(m2m, V4L2_BUF_TYPE_VIDEO_OUTPUT, 1, 0, 2);
	m2m->at_once = true;
	m2m->lingers = true;
	/* The next job runs in the framework's worker. */
	m2m_end(m2m, VB2_BUF_STATE_DONE);
	KUNIT_ASSERT_GT(test, wait_event_timeout(m2m->ran, atomic_read(&m2m->runs) == 2, 20 * HZ),
			0);
	m2m_close(m2m);
	m2m_unbind(m2m);
	KUNIT_EXPECT_TRUE(test, m2m->left);
}

struct starter {
	struct work_struct work;
	struct m2m *m2m;
};

static void start_job(struct work_struct *work)
{
	v4l2_m2m_try_schedule(container_of(work, struct starter, work)->m2m->ctx);
}

/*
 * While a consumer has the lock of a reservation object, the job of that buffer does not start, nor
 * does any other one of the device. Then both do.
 */
static void stalled_by_lock(struct kunit *test)
{
	struct m2m *m2m[2] = { m2m_start(test, true, true) };
	struct dma_buf *capture[2], *output;
	struct starter starter;
	unsigned int i;

	m2m[1] = m2m_open(test, m2m[0]->dev, true, true);
	for (i = 0; i < ARRAY_SIZE(m2m); ++i) {
		capture[i] = m2m_capture(m2m[i], 0);
		m2m_qbuf_capture(m2m[i], 0);
		m2m_qbuf(m2m[i], V4L2_BUF_TYPE_VIDEO_OUTPUT, 0, 0, 1);
	}
	output = m2m_output(m2m[0], 0);
	starter.m2m = m2m[0];
	INIT_WORK_ONSTACK(&starter.work, start_job);
	dma_resv_lock(capture[0]->resv, NULL);
	queue_work(system_unbound_wq, &starter.work);
	msleep(100);
	v4l2_m2m_try_schedule(m2m[1]->ctx);
	msleep(100);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&m2m[0]->runs) + atomic_read(&m2m[1]->runs));
	/* No consumer waits for a job that waits. */
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, output));
	dma_resv_unlock(capture[0]->resv);
	flush_work(&starter.work);
	destroy_work_on_stack(&starter.work);

	KUNIT_EXPECT_EQ(test, 1, atomic_read(&m2m[0]->runs));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(capture[0]));
	m2m_end(m2m[0], VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_GT(test, wait_event_timeout(m2m[1]->ran, atomic_read(&m2m[1]->runs) == 1,
						 20 * HZ), 0);
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(capture[1]));
}

struct scheduler {
	struct dma_fence_cb cb;
	struct m2m *m2m;
	int preempt;
};

static void schedule_next(struct dma_fence *fence, struct dma_fence_cb *cb)
{
	struct scheduler *scheduler = container_of(cb, struct scheduler, cb);

	scheduler->preempt = preempt_count();
	/* With another lock held it would be that of the device, and this would wait for ever. */
	if (scheduler->preempt <= 1)
		v4l2_m2m_try_schedule(scheduler->m2m->ctx);
}

/* A consumer's callback that comes back to the device, since its job waits for this one. */
static void scheduled_by_callback(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);
	struct scheduler scheduler[2] = { };
	struct dma_buf *dbuf[2];
	unsigned int i;

	dbuf[0] = m2m_output(m2m, 0);
	dbuf[1] = m2m_capture(m2m, 0);
	m2m_qbuf_capture(m2m, 0);
	m2m_qbuf_capture(m2m, 1);
	m2m_run(m2m, 0, 0, 1);
	m2m_qbuf(m2m, V4L2_BUF_TYPE_VIDEO_OUTPUT, 1, 0, 2);
	for (i = 0; i < ARRAY_SIZE(dbuf); ++i) {
		scheduler[i].m2m = m2m;
		scheduler[i].preempt = -1;
		KUNIT_ASSERT_EQ(test, 0, dma_fence_add_callback(mock_seen(test, dbuf[i]),
								&scheduler[i].cb, schedule_next));
	}
	m2m_end(m2m, VB2_BUF_STATE_DONE);
	for (i = 0; i < ARRAY_SIZE(dbuf); ++i) {
		KUNIT_EXPECT_LE(test, 0, scheduler[i].preempt);
		/* The fence's own lock */
		KUNIT_EXPECT_LE(test, scheduler[i].preempt, 1);
	}
	/* The next job, which was waiting, has been scheduled all the same. */
	KUNIT_EXPECT_GT(test, wait_event_timeout(m2m->ran, atomic_read(&m2m->runs) == 2, 20 * HZ),
			0);
}

static struct kunit_case m2m_cases[] = {
	KUNIT_CASE(both_ends),
	KUNIT_CASE(capture_only),
	KUNIT_CASE(not_opted_in),
	KUNIT_CASE(failed_job),
	KUNIT_CASE(held_capture),
	KUNIT_CASE(held_capture_given_up),
	KUNIT_CASE(held_capture_was_the_last),
	KUNIT_CASE(not_started),
	KUNIT_CASE(aborted),
	KUNIT_CASE(closed),
	KUNIT_CASE(many_jobs),
	KUNIT_CASE(without_buffers),
	KUNIT_CASE(attached_later),
	KUNIT_CASE(attached_twice),
	KUNIT_CASE(over_in_device_run),
	KUNIT_CASE(released_in_device_run),
	KUNIT_CASE(stalled_by_lock),
	KUNIT_CASE(scheduled_by_callback),
	{ }
};

static struct kunit_suite m2m_suite = {
	.name = "vb2-release-fence-m2m",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = mock_init,
	.test_cases = m2m_cases,
};

kunit_test_suite(m2m_suite);
