/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The other thread of a race, races-rivals.c.
 */
#ifndef _VB2_RELEASE_FENCE_RACES_H
#define _VB2_RELEASE_FENCE_RACES_H

#include <linux/ktime.h>

#include "mock.h"

/* How long a lock is held, so that another thread contends for it. */
#define HOLD_US	30

/* A thread that the case stops; it counts its rounds. */
struct rival {
	struct kunit *test;
	struct mock_queue *mq;
	struct dma_resv *resv[2];
	struct dma_buf *dbuf;
	struct dma_fence *fence;
	/* When it does something with it. */
	ktime_t when;
	/* The round that it may begin, and the last one that it has ended. */
	unsigned int go, done;
	atomic_t rounds, errors;
	/* How often a fence was signalled and the buffer could not be dequeued yet. */
	atomic_t early;
};

struct rival *rival_start(struct kunit *test, int (*thread)(void *data), const struct rival *what);

/* In the thread. Waits, without sleeping, for the next round. Returns whether there is one. */
bool rival_next_round(struct rival *rival);
void rival_end_round(struct rival *rival);

/* In the case. */
void rival_begin_round(struct rival *rival);
void rival_wait_for_round(struct rival *rival);

/* Signals the fence of each round when it is time. */
int rival_signal(void *data);

static inline void spin_until(ktime_t time)
{
	while (ktime_before(ktime_get(), time))
		cpu_relax();
}

/* Of the rounds of a race, what came first, and how often: both, in the end. */
struct outcomes {
	unsigned int early, late, overlapped;
	/* By how much the signal, or the timeout, comes later than the operation, on average. */
	int shift_us;
};

static inline void account(struct outcomes *outcomes, bool early, bool late, int step)
{
	if (early) {
		outcomes->early++;
		outcomes->shift_us += step;
	} else if (late) {
		outcomes->late++;
		outcomes->shift_us -= step;
	} else {
		outcomes->overlapped++;
	}
}

/* Threads that go on until they are stopped, without rounds that the case begins. */

/* Locks the second object first, as a GPU driver may. */
int rival_lock_in_other_order(void *data);
/* A driver that begins and ends the jobs of a queue. */
int rival_attach_and_end(void *data);
/* Looks for the fence of a dma-buf, and waits for it; each job has to end with -EIO. */
int rival_consume(void *data);

#endif /* _VB2_RELEASE_FENCE_RACES_H */
