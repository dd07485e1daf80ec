// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mem2mem device, its driver and its consumers, for the operations of pairs-ops.c.
 */

#include <linux/fcntl.h>
#include <linux/slab.h>

#include "pairs.h"

/* Driver */

int pairs_start_job(struct pairs_device *dev)
{
	int ret = 0;

	down_read(&dev->start);
	if (!dev->stopped) {
		ret = mock_attach_job(dev->vb[PAIRS_DST], dev->vb[PAIRS_SRC]);
		if (!ret) {
			/* From here on, the hardware runs. */
			atomic_set_release(&dev->taken[PAIRS_DST], 0);
			atomic_set_release(&dev->taken[PAIRS_SRC], 0);
			ret = 1;
		}
	}
	up_read(&dev->start);
	return ret;
}

unsigned int pairs_end_job(struct pairs_device *dev, unsigned int first,
			   enum vb2_buffer_state state)
{
	unsigned int i, ended = 0;
	unsigned long flags;

	local_irq_save(flags);
	atomic_inc(&dev->interrupts);
	for (i = 0; i < PAIRS_BUFFERS; ++i) {
		unsigned int index = (first + i) % PAIRS_BUFFERS;

		if (atomic_xchg(&dev->taken[index], 1))
			continue;
		vb2_buffer_done(dev->vb[index], state);
		ended++;
	}
	atomic_dec_return_release(&dev->interrupts);
	local_irq_restore(flags);
	return ended;
}

/* The first half of stop_streaming; the mock gives back what is left then. */
static void stop_job(struct mock_queue *mq)
{
	struct pairs_device *dev = mq->priv;
	unsigned int index = mq == dev->mq[PAIRS_DST] ? PAIRS_DST : PAIRS_SRC;

	down_write(&dev->start);
	dev->stopped = true;
	up_write(&dev->start);

	if (!atomic_xchg(&dev->taken[index], 1))
		dev->cancelled++;
	while (atomic_read_acquire(&dev->interrupts))
		cpu_relax();
}

int pairs_requeue(struct pairs_device *dev)
{
	unsigned int i, index;
	int done = 0;

	for (i = 0; i < PAIRS_BUFFERS; ++i) {
		int ret;

		while (!vb2_core_dqbuf(&dev->mq[i]->q, &index, NULL, true)) {
			dev->dequeued[i] = true;
			done++;
		}
		if (!dev->dequeued[i])
			continue;
		ret = mock_try_qbuf(dev->mq[i], 0);
		if (ret)
			return ret;
		dev->dequeued[i] = false;
	}
	return done;
}

void pairs_resume(struct pairs_device *dev)
{
	unsigned int i;

	for (i = 0; i < PAIRS_BUFFERS; ++i) {
		if (vb2_is_streaming(&dev->mq[i]->q))
			continue;
		mock_run(dev->mq[i]);
		dev->dequeued[i] = false;
	}
	KUNIT_ASSERT_GE(dev->test, pairs_requeue(dev), 0);
	for (i = 0; i < PAIRS_BUFFERS; ++i)
		KUNIT_ASSERT_EQ(dev->test, VB2_BUF_STATE_ACTIVE, dev->vb[i]->state);
	dev->stopped = false;
}

void pairs_reopen(struct pairs_device *dev)
{
	struct kunit *test = dev->test;
	unsigned int i;

	dev->mq[PAIRS_DST] = MOCK_OPEN(test);
	dev->mq[PAIRS_SRC] = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF, .output = true);
	for (i = 0; i < PAIRS_BUFFERS; ++i) {
		dev->mq[i]->q.lock = &dev->lock;
		dev->mq[i]->priv = dev;
		dev->mq[i]->before_stop = stop_job;
		dev->vb[i] = mock_vb(dev->mq[i], 0);
	}
	mock_buffer(dev->mq[PAIRS_SRC], 0)->import[0] = dev->import;
	dev->closed = false;
}

/* Consumers */

/* EXPBUF. Returns NULL if it fails. */
struct dma_buf *pairs_export(struct pairs_device *dev)
{
	struct vb2_buffer *vb = vb2_get_buffer(&dev->mq[PAIRS_DST]->q, 0);

	return vb ? mock_expbuf(vb, 0, O_RDONLY) : NULL;
}

void pairs_put(struct dma_buf **dbuf)
{
	if (*dbuf)
		mock_put_dmabuf(*dbuf);
	*dbuf = NULL;
}

static void count_call(struct dma_fence *fence, struct dma_fence_cb *cb)
{
	atomic_inc(&container_of(cb, struct pairs_seen, cb)->called);
}

static bool is_known(struct pairs_device *dev, struct dma_fence *fence)
{
	unsigned int i;

	for (i = 0; i < dev->count; ++i) {
		if (dev->seen[i].fence == fence)
			return true;
	}
	return false;
}

static void note(struct pairs_device *dev, struct dma_buf *dbuf)
{
	struct dma_fence **fences;
	unsigned int i, count;

	KUNIT_ASSERT_EQ(dev->test, 0, dma_resv_get_fences(dbuf->resv, DMA_RESV_USAGE_READ,
							  &count, &fences));
	for (i = 0; i < count; ++i) {
		struct pairs_seen *seen = &dev->seen[dev->count];

		if (dev->count < PAIRS_SEEN && !is_known(dev, fences[i]) &&
		    !strcmp(fences[i]->ops->get_driver_name(fences[i]), "videobuf2")) {
			atomic_set(&seen->called, 0);
			if (!dma_fence_add_callback(fences[i], &seen->cb, count_call)) {
				seen->fence = fences[i];
				dev->count++;
				continue;
			}
		}
		dma_fence_put(fences[i]);
	}
	kfree(fences);
}

void pairs_note(struct pairs_device *dev)
{
	unsigned int i;

	if (dev->dbuf)
		note(dev, dev->dbuf);
	for (i = 0; i < ARRAY_SIZE(dev->more); ++i) {
		if (dev->more[i])
			note(dev, dev->more[i]);
	}
	note(dev, dev->import);
}

static void forget(struct pairs_device *dev)
{
	while (dev->count) {
		struct pairs_seen *seen = &dev->seen[--dev->count];

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

unsigned int pairs_check(struct pairs_device *dev, unsigned int allowed)
{
	struct kunit *test = dev->test;
	unsigned int i, results = 0;

	for (i = 0; i < dev->count; ++i) {
		struct pairs_seen *seen = &dev->seen[i];

		KUNIT_ASSERT_GT(test, dma_fence_wait_timeout(seen->fence, false, 10 * HZ), 0);
		KUNIT_ASSERT_NE_MSG(test, 0, result_of(seen->fence) & allowed,
				    "a fence has ended with %d",
				    dma_fence_get_status(seen->fence));
		KUNIT_ASSERT_EQ(test, 1, atomic_read(&seen->called));
		results |= result_of(seen->fence);
	}
	forget(dev);
	if (dev->dbuf)
		KUNIT_ASSERT_FALSE(test, mock_writer_waits(dev->dbuf));
	for (i = 0; i < ARRAY_SIZE(dev->more); ++i) {
		if (dev->more[i])
			KUNIT_ASSERT_FALSE(test, mock_writer_waits(dev->more[i]));
	}
	KUNIT_ASSERT_FALSE(test, mock_writer_waits(dev->import));
	KUNIT_ASSERT_EQ(test, atomic_read(&dev->armed), atomic_read(&dev->signalled));
	return results;
}

/* Set-up */

static void count_armed(void *data, struct vb2_queue *q, unsigned int index, u64 context, u64 seqno)
{
	atomic_inc(&((struct pairs_device *)data)->armed);
}

static void count_signalled(void *data, struct vb2_queue *q, unsigned int index, u64 context,
			    u64 seqno, int result)
{
	atomic_inc(&((struct pairs_device *)data)->signalled);
}

static void clean_up(void *data)
{
	struct pairs_device *dev = data;

	forget(dev);
	pairs_put(&dev->dbuf);
	pairs_put(&dev->more[0]);
	pairs_put(&dev->more[1]);
}

struct pairs_device *pairs_open(struct kunit *test)
{
	struct pairs_device *dev = kunit_kzalloc(test, sizeof(*dev), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, dev);
	dev->test = test;
	mutex_init(&dev->lock);
	init_rwsem(&dev->start);
	for (i = 0; i < PAIRS_BUFFERS; ++i)
		atomic_set(&dev->taken[i], 1);
	mock_trace(test, "vb2_release_fence_armed", count_armed, dev);
	mock_trace(test, "vb2_release_fence_signalled", count_signalled, dev);
	dev->import = mock_dmabuf(test, NULL);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, clean_up, dev));
	pairs_reopen(dev);
	pairs_resume(dev);
	dev->dbuf = pairs_export(dev);
	KUNIT_ASSERT_NOT_NULL(test, dev->dbuf);
	return dev;
}
