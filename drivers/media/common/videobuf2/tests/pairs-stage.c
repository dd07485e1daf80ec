// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device, its driver and its consumers, for operations that meet.
 */

#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/slab.h>

#include "pairs.h"

/* Driver */

int pairs_start_job(struct pairs_stage *stage)
{
	int ret = 0;

	down_read(&stage->start);
	if (!stage->stopped) {
		ret = vb2_job_attach_release_fences(stage->vb[PAIRS_DST], stage->vb[PAIRS_SRC]);
		if (!ret) {
			/* From here on, the hardware runs. */
			atomic_set_release(&stage->taken[PAIRS_DST], 0);
			atomic_set_release(&stage->taken[PAIRS_SRC], 0);
			ret = 1;
		}
	}
	up_read(&stage->start);
	return ret;
}

unsigned int pairs_end_job(struct pairs_stage *stage, unsigned int first,
			   enum vb2_buffer_state state)
{
	unsigned int i, ended = 0;
	unsigned long flags;

	local_irq_save(flags);
	atomic_inc(&stage->interrupts);
	for (i = 0; i < PAIRS_BUFFERS; ++i) {
		unsigned int index = (first + i) % PAIRS_BUFFERS;

		if (atomic_xchg(&stage->taken[index], 1))
			continue;
		vb2_buffer_done(stage->vb[index], state);
		ended++;
	}
	atomic_dec_return_release(&stage->interrupts);
	local_irq_restore(flags);
	return ended;
}

/* The first half of stop_streaming; the mock gives back what is left then. */
static void stop_job(struct mock_queue *mq)
{
	struct pairs_stage *stage = mq->priv;
	unsigned int index = mq == stage->mq[PAIRS_DST] ? PAIRS_DST : PAIRS_SRC;

	down_write(&stage->start);
	stage->stopped = true;
	up_write(&stage->start);

	if (!atomic_xchg(&stage->taken[index], 1))
		stage->cancelled++;
	while (atomic_read_acquire(&stage->interrupts))
		cpu_relax();
}

int pairs_requeue(struct pairs_stage *stage)
{
	unsigned int i, index;
	int done = 0;

	for (i = 0; i < PAIRS_BUFFERS; ++i) {
		int ret;

		while (!vb2_core_dqbuf(&stage->mq[i]->q, &index, NULL, true)) {
			stage->dequeued[i] = true;
			done++;
		}
		if (!stage->dequeued[i])
			continue;
		ret = mock_try_qbuf(stage->mq[i], 0);
		if (ret)
			return ret;
		stage->dequeued[i] = false;
	}
	return done;
}

void pairs_resume(struct pairs_stage *stage)
{
	unsigned int i;

	for (i = 0; i < PAIRS_BUFFERS; ++i) {
		if (vb2_is_streaming(&stage->mq[i]->q))
			continue;
		mock_run(stage->mq[i]);
		stage->dequeued[i] = false;
	}
	KUNIT_ASSERT_GE(stage->test, pairs_requeue(stage), 0);
	for (i = 0; i < PAIRS_BUFFERS; ++i)
		KUNIT_ASSERT_EQ(stage->test, VB2_BUF_STATE_ACTIVE, stage->vb[i]->state);
	stage->stopped = false;
}

void pairs_reopen(struct pairs_stage *stage)
{
	struct kunit *test = stage->test;
	unsigned int i;

	stage->mq[PAIRS_DST] = MOCK_OPEN(test);
	stage->mq[PAIRS_SRC] = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF, .output = true);
	for (i = 0; i < PAIRS_BUFFERS; ++i) {
		stage->mq[i]->q.lock = &stage->lock;
		stage->mq[i]->priv = stage;
		stage->mq[i]->before_stop = stop_job;
		stage->vb[i] = mock_vb(stage->mq[i], 0);
	}
	mock_buffer(stage->mq[PAIRS_SRC], 0)->import[0] = stage->import;
	stage->closed = false;
}

/* Consumers */

/* EXPBUF. Returns NULL if it fails. */
struct dma_buf *pairs_export(struct pairs_stage *stage)
{
	struct vb2_queue *q = &stage->mq[PAIRS_DST]->q;
	struct vb2_buffer *vb = vb2_get_buffer(q, 0);
	struct dma_buf *dbuf;
	int fd;

	if (!vb || vb2_core_expbuf(q, &fd, q->type, vb, 0, O_RDONLY | O_CLOEXEC))
		return NULL;
	dbuf = dma_buf_get(fd);
	close_fd(fd);
	return IS_ERR(dbuf) ? NULL : dbuf;
}

/* At once, which a kernel thread's fput() is not. */
void pairs_put(struct dma_buf *dbuf)
{
	if (dbuf)
		__fput_sync(dbuf->file);
}

static void count_call(struct dma_fence *fence, struct dma_fence_cb *cb)
{
	atomic_inc(&container_of(cb, struct pairs_seen, cb)->called);
}

static bool is_known(struct pairs_stage *stage, struct dma_fence *fence)
{
	unsigned int i;

	for (i = 0; i < stage->count; ++i) {
		if (stage->seen[i].fence == fence)
			return true;
	}
	return false;
}

static void note(struct pairs_stage *stage, struct dma_buf *dbuf)
{
	struct dma_fence **fences;
	unsigned int i, count;

	KUNIT_ASSERT_EQ(stage->test, 0, dma_resv_get_fences(dbuf->resv, DMA_RESV_USAGE_READ,
							    &count, &fences));
	for (i = 0; i < count; ++i) {
		struct pairs_seen *seen = &stage->seen[stage->count];

		if (stage->count < PAIRS_SEEN && !is_known(stage, fences[i]) &&
		    !strcmp(fences[i]->ops->get_driver_name(fences[i]), "videobuf2")) {
			atomic_set(&seen->called, 0);
			if (!dma_fence_add_callback(fences[i], &seen->cb, count_call)) {
				seen->fence = fences[i];
				stage->count++;
				continue;
			}
		}
		dma_fence_put(fences[i]);
	}
	kfree(fences);
}

void pairs_note(struct pairs_stage *stage)
{
	if (stage->dbuf)
		note(stage, stage->dbuf);
	note(stage, stage->import);
}

static void forget(struct pairs_stage *stage)
{
	while (stage->count) {
		struct pairs_seen *seen = &stage->seen[--stage->count];

		dma_fence_remove_callback(seen->fence, &seen->cb);
		dma_fence_put(seen->fence);
	}
}

static unsigned int result_of(struct dma_fence *fence)
{
	switch (dma_fence_get_status(fence)) {
	case 1:
		return PAIRS_DONE;
	case -EIO:
		return PAIRS_ERROR;
	case -ECANCELED:
		return PAIRS_CANCELLED;
	case -ETIMEDOUT:
		return PAIRS_LATE;
	default:
		return 0;
	}
}

unsigned int pairs_check(struct pairs_stage *stage, unsigned int allowed)
{
	struct kunit *test = stage->test;
	unsigned int i, results = 0;

	for (i = 0; i < stage->count; ++i) {
		struct pairs_seen *seen = &stage->seen[i];

		KUNIT_ASSERT_GT(test, dma_fence_wait_timeout(seen->fence, false, 10 * HZ), 0);
		KUNIT_ASSERT_NE_MSG(test, 0, result_of(seen->fence) & allowed,
				    "a fence has ended with %d",
				    dma_fence_get_status(seen->fence));
		KUNIT_ASSERT_EQ(test, 1, atomic_read(&seen->called));
		results |= result_of(seen->fence);
	}
	forget(stage);
	if (stage->dbuf)
		KUNIT_ASSERT_FALSE(test, mock_writer_waits(stage->dbuf));
	KUNIT_ASSERT_FALSE(test, mock_writer_waits(stage->import));
	KUNIT_ASSERT_EQ(test, atomic_read(&stage->armed), atomic_read(&stage->signalled));
	return results;
}

/* Stage */

static void count_armed(void *data, struct vb2_buffer *vb, u64 context, u64 seqno)
{
	atomic_inc(&((struct pairs_stage *)data)->armed);
}

static void count_signalled(void *data, struct vb2_buffer *vb, u64 context, u64 seqno, int result)
{
	atomic_inc(&((struct pairs_stage *)data)->signalled);
}

static void clean_up(void *data)
{
	struct pairs_stage *stage = data;

	forget(stage);
	pairs_put(stage->dbuf);
}

struct pairs_stage *pairs_open(struct kunit *test)
{
	struct pairs_stage *stage = kunit_kzalloc(test, sizeof(*stage), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, stage);
	stage->test = test;
	mutex_init(&stage->lock);
	init_rwsem(&stage->start);
	for (i = 0; i < PAIRS_BUFFERS; ++i)
		atomic_set(&stage->taken[i], 1);
	mock_trace(test, "vb2_release_fence_armed", count_armed, stage);
	mock_trace(test, "vb2_release_fence_signalled", count_signalled, stage);
	stage->import = mock_dmabuf(test, NULL);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, clean_up, stage));
	pairs_reopen(stage);
	pairs_resume(stage);
	stage->dbuf = pairs_export(stage);
	KUNIT_ASSERT_NOT_NULL(test, stage->dbuf);
	return stage;
}
