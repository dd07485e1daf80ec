// SPDX-License-Identifier: GPL-2.0-only
/*
 * Consumers: wait, poll, callbacks, names.
 */

#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/dma-fence-unwrap.h>
#include <linux/fs.h>
#include <linux/kallsyms.h>
#include <linux/kthread.h>
#include <linux/poll.h>
#include <media/videobuf2-vmalloc.h>

#include "consumers.h"

/* Longer than anything takes on an emulated processor. */
#define LONG	(20 * HZ)

struct dma_fence *consumers_orphan_fence(struct kunit *test, const char *name, bool done)
{
	struct mock_queue *mq = MOCK_START(test, .name = name);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	struct dma_fence *fence;

	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, dbuf);
	if (done)
		mock_done(mq, 0, VB2_BUF_STATE_DONE);
	mock_release(mq);
	mock_close(test, dbuf);
	/* So that a use of what is gone is noticed. */
	memset(mq, 0x5a, sizeof(*mq));
	return fence;
}

struct callback {
	struct dma_fence_cb cb;
	unsigned int calls;
	int status;
};

static void called_back(struct dma_fence *fence, struct dma_fence_cb *cb)
{
	struct callback *callback = container_of(cb, struct callback, cb);

	++callback->calls;
	callback->status = dma_fence_get_status_locked(fence);
}

static void fence_outlives_queue(struct kunit *test)
{
	struct dma_fence *fence = consumers_orphan_fence(test, "gone", true);
	struct callback callback = { };

	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(fence));
	KUNIT_EXPECT_TRUE(test, dma_fence_is_signaled(fence));
	KUNIT_EXPECT_STREQ(test, "videobuf2", fence->ops->get_driver_name(fence));
	KUNIT_EXPECT_STREQ(test, "gone", fence->ops->get_timeline_name(fence));
	KUNIT_EXPECT_EQ(test, -ENOENT, dma_fence_add_callback(fence, &callback.cb, called_back));
	KUNIT_EXPECT_FALSE(test, dma_fence_remove_callback(fence, &callback.cb));
	KUNIT_EXPECT_GT(test, dma_fence_wait_timeout(fence, false, LONG), 0);
	KUNIT_EXPECT_EQ(test, 0, callback.calls);
}

static void cancelled_fence_outlives_queue(struct kunit *test)
{
	struct dma_fence *fence = consumers_orphan_fence(test, "gone", false);

	KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(fence));
	KUNIT_EXPECT_STREQ(test, "gone", fence->ops->get_timeline_name(fence));
}

static void merged(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .buffers = 2);
	struct dma_fence *first, *second, *both;

	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 1));
	first = mock_seen(test, mock_export(mq, 0, 0));
	second = mock_seen(test, mock_export(mq, 1, 0));
	both = dma_fence_unwrap_merge(first, second);
	KUNIT_ASSERT_NOT_NULL(test, both);
	dma_fence_enable_sw_signaling(both);

	mock_done(mq, 0, VB2_BUF_STATE_ERROR);
	KUNIT_EXPECT_EQ(test, 0, dma_fence_get_status(both));
	mock_done(mq, 1, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_GT(test, dma_fence_wait_timeout(both, false, LONG), 0);
	KUNIT_EXPECT_EQ(test, -EIO, dma_fence_get_status(both));
	dma_fence_put(both);
}

static void callbacks(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct callback one = { }, two = { }, removed = { };
	struct dma_fence *fence;

	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, mock_export(mq, 0, 0));
	KUNIT_ASSERT_EQ(test, 0, dma_fence_add_callback(fence, &one.cb, called_back));
	KUNIT_ASSERT_EQ(test, 0, dma_fence_add_callback(fence, &removed.cb, called_back));
	KUNIT_ASSERT_EQ(test, 0, dma_fence_add_callback(fence, &two.cb, called_back));
	KUNIT_EXPECT_TRUE(test, dma_fence_remove_callback(fence, &removed.cb));

	/* The error is set before the callbacks run. */
	mock_done(mq, 0, VB2_BUF_STATE_ERROR);
	KUNIT_EXPECT_EQ(test, 1, one.calls);
	KUNIT_EXPECT_EQ(test, -EIO, one.status);
	KUNIT_EXPECT_EQ(test, 1, two.calls);
	KUNIT_EXPECT_EQ(test, 0, removed.calls);

	/* Once only, whatever comes. */
	mock_release(mq);
	KUNIT_EXPECT_EQ(test, 1, one.calls);
}

struct lock_probe {
	struct dma_fence_cb cb;
	struct vb2_queue *q;
	bool lock_is_free, done;
};

static void try_lock(struct dma_fence *fence, struct dma_fence_cb *cb)
{
	struct lock_probe *probe = container_of(cb, struct lock_probe, cb);

	if (!spin_trylock(&probe->q->done_lock))
		return;
	probe->lock_is_free = true;
	probe->done = !list_empty(&probe->q->done_list);
	spin_unlock(&probe->q->done_lock);
}

/*
 * A program that is woken up by the fence can dequeue the buffer. A callback may want to know what
 * the queue has done, so the queue must not hold its lock.
 */
static void signalled_when_done(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct lock_probe probe = { .q = &mq->q };
	struct dma_fence *fence;

	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, mock_export(mq, 0, 0));
	KUNIT_ASSERT_EQ(test, 0, dma_fence_add_callback(fence, &probe.cb, try_lock));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_TRUE(test, probe.lock_is_free);
	KUNIT_EXPECT_TRUE(test, probe.done);
}

/* Cache maintenance, after which alone the processor may look at the picture. */
static struct dma_fence *finishing_fence;
static int status_at_finish;
static bool section_at_finish;

static void finish(void *buf_priv)
{
	if (!finishing_fence)
		return;
	status_at_finish = dma_fence_get_status(finishing_fence);
	section_at_finish = mock_in_section(true);
}

static void signalled_after_finish(struct kunit *test)
{
	struct vb2_mem_ops *mem_ops = kunit_kzalloc(test, sizeof(*mem_ops), GFP_KERNEL);
	struct mock_queue *mq;

	KUNIT_ASSERT_NOT_NULL(test, mem_ops);
	*mem_ops = vb2_vmalloc_memops;
	mem_ops->finish = finish;
	mq = MOCK_START(test, .mem_ops = mem_ops);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	finishing_fence = mock_seen(test, mock_export(mq, 0, 0));
	status_at_finish = -EINVAL;
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 0, status_at_finish);
	KUNIT_EXPECT_TRUE(test, section_at_finish);
	KUNIT_EXPECT_FALSE(test, mock_in_section(false));
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(finishing_fence));
	finishing_fence = NULL;
}

/* As poll() with a timeout of 0. */
static bool poll_says(struct dma_buf *dbuf, __poll_t event)
{
	poll_table table = { ._key = event };

	return vfs_poll(dbuf->file, &table) & event;
}

static void poll_capture(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);

	KUNIT_EXPECT_TRUE(test, poll_says(dbuf, EPOLLIN));
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_FALSE(test, poll_says(dbuf, EPOLLIN));
	KUNIT_EXPECT_FALSE(test, poll_says(dbuf, EPOLLOUT));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_TRUE(test, poll_says(dbuf, EPOLLIN));
	KUNIT_EXPECT_TRUE(test, poll_says(dbuf, EPOLLOUT));
}

static void poll_output(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .output = true);
	struct dma_buf *dbuf = mock_export_mode(mq, 0, 0, O_RDWR);

	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_TRUE(test, poll_says(dbuf, EPOLLIN));
	KUNIT_EXPECT_FALSE(test, poll_says(dbuf, EPOLLOUT));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_TRUE(test, poll_says(dbuf, EPOLLIN));
	KUNIT_EXPECT_TRUE(test, poll_says(dbuf, EPOLLOUT));
}

struct waiter {
	struct dma_resv *resv;
	struct completion started, ended;
	long ret;
};

static int wait_for_reader(void *data)
{
	struct waiter *waiter = data;

	complete(&waiter->started);
	waiter->ret = dma_resv_wait_timeout(waiter->resv, dma_resv_usage_rw(false), false, LONG);
	complete(&waiter->ended);
	return 0;
}

static void wait_is_woken(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	struct waiter waiter = { .resv = dbuf->resv };
	struct task_struct *task;

	init_completion(&waiter.started);
	init_completion(&waiter.ended);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_EQ(test, 0, dma_resv_wait_timeout(dbuf->resv, dma_resv_usage_rw(false), false,
						       msecs_to_jiffies(50)));

	task = kthread_run(wait_for_reader, &waiter, "vb2-mock-reader");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	wait_for_completion(&waiter.started);
	msleep(50);
	KUNIT_EXPECT_FALSE(test, completion_done(&waiter.ended));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	/* Always comes: the wait has a limit. */
	wait_for_completion(&waiter.ended);
	KUNIT_EXPECT_GT(test, waiter.ret, 0);
}

static void names(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .name = "rga-output");
	struct dma_fence *fence;

	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, mock_export(mq, 0, 0));
	KUNIT_EXPECT_STREQ(test, "videobuf2", fence->ops->get_driver_name(fence));
	KUNIT_EXPECT_STREQ(test, "rga-output", fence->ops->get_timeline_name(fence));

	/* They are the fence's own. */
	memset(mq->q.name, 'x', sizeof(mq->q.name) - 1);
	KUNIT_EXPECT_STREQ(test, "rga-output", fence->ops->get_timeline_name(fence));
}

/* A fence outlives every module: what it is asked through is a part of the kernel itself. */
static void built_in_ops(struct kunit *test)
{
	char *symbol = kunit_kzalloc(test, KSYM_SYMBOL_LEN, GFP_KERNEL);
	struct mock_queue *mq = MOCK_START(test);
	struct dma_fence *fence;

	KUNIT_ASSERT_NOT_NULL(test, symbol);
	if (!IS_ENABLED(CONFIG_KALLSYMS_ALL))
		kunit_skip(test, "needs KALLSYMS_ALL");
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, mock_export(mq, 0, 0));
	/* Not just of this kernel, in which videobuf2 may be built in: of the kernel crate. */
	sprint_symbol(symbol, (unsigned long)fence->ops);
	KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(symbol, "6kernel7dma_buf"), "%s", symbol);
	sprint_symbol(symbol, (unsigned long)fence->ops->get_driver_name);
	KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(symbol, "6kernel7dma_buf"), "%s", symbol);
	sprint_symbol(symbol, (unsigned long)fence->ops->get_timeline_name);
	KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(symbol, "6kernel7dma_buf"), "%s", symbol);
}

static void long_name(struct kunit *test)
{
	static const char name[] = "a name that is longer than what a queue has room for";
	struct mock_queue *mq = MOCK_START(test, .name = name);
	struct dma_fence *fence;

	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, mock_export(mq, 0, 0));
	KUNIT_EXPECT_STREQ(test, "a name that is longer than what", mq->q.name);
	KUNIT_EXPECT_STREQ(test, mq->q.name, fence->ops->get_timeline_name(fence));
}

static void default_name(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test);
	struct dma_fence *fence;

	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, mock_export(mq, 0, 0));
	KUNIT_EXPECT_TRUE(test, strstarts(mq->q.name, "cap-"));
	KUNIT_EXPECT_STREQ(test, mq->q.name, fence->ops->get_timeline_name(fence));
}

struct event {
	unsigned int count;
	struct vb2_queue *q;
	unsigned int index;
	u64 context, seqno;
	int result;
};

static void probe_armed(void *data, struct vb2_queue *q, unsigned int index, u64 context, u64 seqno)
{
	struct event *event = data;

	*event = (struct event){ event->count + 1, q, index, context, seqno };
}

static void probe_signalled(void *data, struct vb2_queue *q, unsigned int index, u64 context,
			    u64 seqno, int result)
{
	struct event *event = data;

	*event = (struct event){ event->count + 1, q, index, context, seqno, result };
}

static void trace_events(struct kunit *test)
{
	struct event *armed = kunit_kzalloc(test, 2 * sizeof(*armed), GFP_KERNEL);
	struct mock_queue *mq = MOCK_START(test, .buffers = 2);
	struct event *signalled = armed + 1;
	struct dma_fence *fence;

	KUNIT_ASSERT_NOT_NULL(test, armed);
	mock_trace(test, "vb2_release_fence_armed", probe_armed, armed);
	mock_trace(test, "vb2_release_fence_signalled", probe_signalled, signalled);

	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 1));
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 1));
	fence = mock_seen(test, mock_export(mq, 1, 0));
	KUNIT_EXPECT_EQ(test, 1, armed->count);
	KUNIT_EXPECT_PTR_EQ(test, &mq->q, armed->q);
	KUNIT_EXPECT_EQ(test, 1, armed->index);
	KUNIT_EXPECT_EQ(test, fence->context, armed->context);
	KUNIT_EXPECT_EQ(test, fence->seqno, armed->seqno);
	KUNIT_EXPECT_EQ(test, 0, signalled->count);

	mock_done(mq, 1, VB2_BUF_STATE_ERROR);
	KUNIT_EXPECT_EQ(test, 1, signalled->count);
	KUNIT_EXPECT_PTR_EQ(test, &mq->q, signalled->q);
	KUNIT_EXPECT_EQ(test, 1, signalled->index);
	KUNIT_EXPECT_EQ(test, fence->context, signalled->context);
	KUNIT_EXPECT_EQ(test, fence->seqno, signalled->seqno);
	KUNIT_EXPECT_EQ(test, -EIO, signalled->result);
	/* DQBUF and the release of the queue find it signalled. */
	KUNIT_EXPECT_EQ(test, 1, mock_dqbuf(mq));
	mock_release(mq);
	KUNIT_EXPECT_EQ(test, 1, signalled->count);
}

static struct kunit_case consumers_cases[] = {
	KUNIT_CASE(fence_outlives_queue),
	KUNIT_CASE(cancelled_fence_outlives_queue),
	KUNIT_CASE(sync_file_outlives_queue),
	KUNIT_CASE(export_sync_file),
	KUNIT_CASE(merged),
	KUNIT_CASE(callbacks),
	KUNIT_CASE(signalled_when_done),
	KUNIT_CASE(signalled_after_finish),
	KUNIT_CASE(poll_capture),
	KUNIT_CASE(poll_output),
	KUNIT_CASE(wait_is_woken),
	KUNIT_CASE(names),
	KUNIT_CASE(built_in_ops),
	KUNIT_CASE(long_name),
	KUNIT_CASE(default_name),
	KUNIT_CASE(trace_events),
	{ }
};

static struct kunit_suite consumers_suite = {
	.name = "vb2-release-fence-consumers",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = mock_init,
	.test_cases = consumers_cases,
};

kunit_test_suite(consumers_suite);
