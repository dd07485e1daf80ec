// SPDX-License-Identifier: GPL-2.0-only
/*
 * V4L2_EVENT_RELEASE_FENCE: a program hears of the start of a job.
 */

#include <linux/dma-resv.h>
#include <media/v4l2-event.h>
#include <media/videobuf2-v4l2.h>

#include "explicit.h"
#include "m2m.h"

#define CAPTURE	V4L2_BUF_TYPE_VIDEO_CAPTURE
#define OUTPUT	V4L2_BUF_TYPE_VIDEO_OUTPUT

/* The next event, or type 0 */
static struct v4l2_event next_event(struct node_file *file)
{
	struct v4l2_event event = {};

	if (v4l2_event_dequeue(&file->fh, &event, true))
		event.type = 0;
	return event;
}

static void expect_event(struct kunit *test, struct node_file *file, struct vb2_buffer *vb)
{
	struct dma_fence *fence = explicit_fence(test, vb);
	struct v4l2_event event = next_event(file);

	KUNIT_ASSERT_EQ(test, V4L2_EVENT_RELEASE_FENCE, event.type);
	KUNIT_EXPECT_EQ(test, vb->type, event.id);
	KUNIT_EXPECT_EQ(test, vb->type, event.u.release_fence.type);
	KUNIT_EXPECT_EQ(test, vb->index, event.u.release_fence.index);
	KUNIT_EXPECT_EQ(test, lower_32_bits(fence->seqno), event.u.release_fence.sequence);
}

static void expect_no_event(struct kunit *test, struct node_file *file)
{
	KUNIT_EXPECT_EQ(test, 0, next_event(file).type);
}

static struct v4l2_event_subscription subscription(unsigned int id)
{
	return (struct v4l2_event_subscription){ .type = V4L2_EVENT_RELEASE_FENCE, .id = id };
}

static int subscribe_m2m(struct node_file *file, unsigned int id)
{
	const struct v4l2_event_subscription sub = subscription(id);

	return v4l2_m2m_ioctl_subscribe_event(&file->fh, &sub);
}

static int subscribe(struct node_file *file, unsigned int id)
{
	const struct v4l2_event_subscription sub = subscription(id);

	return vb2_ioctl_subscribe_event(&file->fh, &sub);
}

static struct vb2_buffer *m2m_vb(struct m2m *m2m, enum v4l2_buf_type type, unsigned int index)
{
	return vb2_get_buffer(v4l2_m2m_get_vq(m2m->ctx, type), index);
}

static void start_of_a_job(struct kunit *test)
{
	struct test_node *node = node_register(test, NULL);
	struct node_file *file = node_open(node), *other = node_open(node);
	struct m2m *m2m = m2m_start(test, true, true);

	file->fh.m2m_ctx = m2m->ctx;
	KUNIT_ASSERT_EQ(test, 0, subscribe_m2m(file, CAPTURE));
	KUNIT_ASSERT_EQ(test, 0, subscribe_m2m(file, OUTPUT));
	m2m_qbuf_capture(m2m, 1);
	expect_no_event(test, file);
	m2m_run(m2m, 2, 0, 1);
	expect_event(test, file, m2m_vb(m2m, CAPTURE, 1));
	expect_event(test, file, m2m_vb(m2m, OUTPUT, 2));
	m2m_end(m2m, VB2_BUF_STATE_DONE);
	expect_no_event(test, file);
	expect_no_event(test, other);
}

/* A buffer that a job holds has no fence yet. */
static void held_capture(struct kunit *test)
{
	struct node_file *file = node_open(node_register(test, NULL));
	struct m2m *m2m = m2m_start(test, true, true);

	file->fh.m2m_ctx = m2m->ctx;
	KUNIT_ASSERT_EQ(test, 0, subscribe_m2m(file, CAPTURE));
	m2m_qbuf_capture(m2m, 0);
	m2m_run(m2m, 0, V4L2_BUF_FLAG_M2M_HOLD_CAPTURE_BUF, 1);
	m2m_end(m2m, VB2_BUF_STATE_DONE);
	expect_no_event(test, file);
	KUNIT_EXPECT_EQ(test, -EAGAIN, explicit_error(m2m_vb(m2m, CAPTURE, 0)));
	m2m_run(m2m, 1, 0, 1);
	expect_event(test, file, m2m_vb(m2m, CAPTURE, 0));
	m2m_end(m2m, VB2_BUF_STATE_DONE);
}

static void queue_without_fences(struct kunit *test)
{
	struct node_file *file = node_open(node_register(test, NULL));
	struct m2m *m2m = m2m_start(test, false, true);

	file->fh.m2m_ctx = m2m->ctx;
	KUNIT_EXPECT_EQ(test, -EINVAL, subscribe_m2m(file, OUTPUT));
	KUNIT_EXPECT_EQ(test, -EINVAL, subscribe_m2m(file, 0));
	KUNIT_EXPECT_EQ(test, -EINVAL, subscribe_m2m(file, V4L2_BUF_TYPE_META_OUTPUT));
	KUNIT_EXPECT_EQ(test, 0, subscribe_m2m(file, CAPTURE));
}

/* Of a capture or an output device: who has the buffers hears of their jobs. */
static void owner(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .buffers = 3);
	struct test_node *node = node_register(test, &mq->q);
	struct node_file *file = node_open(node), *other = node_open(node);

	KUNIT_EXPECT_EQ(test, -EINVAL, subscribe(file, CAPTURE));
	KUNIT_ASSERT_EQ(test, 0, subscribe(file, mq->q.type));
	KUNIT_ASSERT_EQ(test, 0, subscribe(other, mq->q.type));
	/* The kernel's own use of a queue has no file. */
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 2));
	mq->q.owner = &file->fh;
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	expect_event(test, file, mock_vb(mq, 0));
	/* It starts once. */
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	expect_no_event(test, file);
	expect_no_event(test, other);
}

/* A program that is late gets the last events, and sees that some were lost. */
static void late_program(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct node_file *file = node_open(node_register(test, &mq->q));
	struct v4l2_event event;
	unsigned int i;

	mq->q.owner = &file->fh;
	KUNIT_ASSERT_EQ(test, 0, subscribe(file, mq->q.type));
	for (i = 0; i < VIDEO_MAX_FRAME + 2; ++i) {
		KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
		mock_done(mq, 0, VB2_BUF_STATE_DONE);
		mock_dqbuf(mq);
		mock_qbuf(mq, 0);
	}
	for (i = 0; i < VIDEO_MAX_FRAME; ++i) {
		event = next_event(file);
		KUNIT_ASSERT_EQ(test, V4L2_EVENT_RELEASE_FENCE, event.type);
		/* Two are lost; the first event is number 0, and the first fence number 1. */
		KUNIT_EXPECT_EQ(test, i + 2, event.sequence);
		KUNIT_EXPECT_EQ(test, i + 3, event.u.release_fence.sequence);
	}
	expect_no_event(test, file);
}

struct told {
	struct dma_buf *dbuf;
	u32 sequence;
	bool locked, section, waits;
};

/* What a framework is told: the fence is visible, and its job has not ended. */
static void tell(struct vb2_buffer *vb, u32 sequence)
{
	struct mock_queue *mq = vb2_get_drv_priv(vb->vb2_queue);
	struct told *told = mq->priv;

	told->sequence = sequence;
	told->section = mock_in_section(true);
	told->waits = mock_reader_waits(told->dbuf);
	told->locked = dma_resv_is_locked(told->dbuf->resv);
}

static void told_in_the_section(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct told told = { .dbuf = mock_export(mq, 0, 0) };

	mq->priv = &told;
	mq->q.job_started = tell;
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_EQ(test, lower_32_bits(mock_seen(test, told.dbuf)->seqno), told.sequence);
	KUNIT_EXPECT_TRUE(test, told.section);
	KUNIT_EXPECT_TRUE(test, told.waits);
	KUNIT_EXPECT_FALSE(test, told.locked);
	mq->q.job_started = NULL;
}

static struct kunit_case events_cases[] = {
	KUNIT_CASE(start_of_a_job),
	KUNIT_CASE(held_capture),
	KUNIT_CASE(queue_without_fences),
	KUNIT_CASE(owner),
	KUNIT_CASE(late_program),
	KUNIT_CASE(told_in_the_section),
	{ }
};

static struct kunit_suite events_suite = {
	.name = "vb2-release-fence-events",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = mock_init,
	.test_cases = events_cases,
};

kunit_test_suite(events_suite);
