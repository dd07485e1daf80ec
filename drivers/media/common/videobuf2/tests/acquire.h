/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What acquire.c and acquire-races.c share: a queue of one buffer that imports, and waits.
 */
#ifndef _VB2_ACQUIRE_FENCE_TEST_H
#define _VB2_ACQUIRE_FENCE_TEST_H

#include "mock.h"

/* A timeout has passed by then. */
#define LONG	(20 * HZ)

/* Cases begin with the longest timeout. */
int acquire_init(struct kunit *test);
void acquire_set_timeout(struct kunit *test, unsigned int ms);

struct mock_queue *acquire_open(struct kunit *test, struct dma_buf *dbuf, bool output);

static inline bool acquire_waits(struct mock_queue *mq)
{
	return !vb2_buffer_acquired(mock_vb(mq, 0));
}

static inline int acquire_notified(struct mock_queue *mq)
{
	return atomic_read(&mq->acquired);
}

/* How many callbacks a fence has, which is pending. */
unsigned int acquire_callbacks(struct dma_fence *fence);

/* Returns a job to the application, which queues the buffer again. */
void acquire_requeue(struct mock_queue *mq);

#endif /* _VB2_ACQUIRE_FENCE_TEST_H */
