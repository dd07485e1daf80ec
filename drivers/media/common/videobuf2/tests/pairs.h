/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the operations of a pair share: the two queues of a mem2mem device with a buffer each, a
 * driver without bugs, and consumers of both buffers.
 */
#ifndef _VB2_RELEASE_FENCE_PAIRS_H
#define _VB2_RELEASE_FENCE_PAIRS_H

#include <linux/completion.h>
#include <linux/ktime.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>

#include "mock.h"

enum { PAIRS_DST, PAIRS_SRC, PAIRS_BUFFERS };

/* How a fence may end. */
enum {
	PAIRS_DONE	= BIT(0),
	PAIRS_ERROR	= BIT(1),
	PAIRS_CANCELLED	= BIT(2),
	PAIRS_LATE	= BIT(3),
};

#define PAIRS_RESULTS	4

/* A fence that a consumer has seen pending, and that must be signalled once. */
struct pairs_seen {
	struct dma_fence *fence;
	struct dma_fence_cb cb;
	atomic_t called;
};

/* Two buffers of the job in the race, of the one that it begins, and of the one after it. */
#define PAIRS_SEEN	(3 * PAIRS_BUFFERS)

struct pairs_device {
	struct kunit *test;
	/* Of both queues, held by every ioctl and by the release of the file. */
	struct mutex lock;
	struct mock_queue *mq[PAIRS_BUFFERS];
	struct vb2_buffer *vb[PAIRS_BUFFERS];
	/* Under the lock: the buffers that the application has, whether it has closed the file, */
	bool dequeued[PAIRS_BUFFERS];
	bool closed;
	/* and how many buffers stop_streaming has taken from the hardware. */
	unsigned int cancelled;

	/* The driver: it starts no job when it was told to stop, */
	struct rw_semaphore start;
	bool stopped;
	/* the context that sets this ends the buffer's part of the job, and no other does, */
	atomic_t taken[PAIRS_BUFFERS];
	/* and what it has stopped is not in an interrupt any more. */
	atomic_t interrupts;

	/* The dma-bufs: the export of one buffer, or NULL; those that were made in the race, */
	struct dma_buf *dbuf, *more[2];
	/* and what the other buffer imports. */
	struct dma_buf *import;
	struct pairs_seen seen[PAIRS_SEEN];
	unsigned int count;
	/* By the trace events. */
	atomic_t armed, signalled;
};

struct pairs_device *pairs_open(struct kunit *test);
void pairs_reopen(struct pairs_device *dev);
struct dma_buf *pairs_export(struct pairs_device *dev);
/* Puts a reference, and forgets it. */
void pairs_put(struct dma_buf **dbuf);

/* Begins a job of both buffers. Returns 1, or 0 if the driver was told to stop. */
int pairs_start_job(struct pairs_device *dev);
/* The interrupt: ends what is left of the job, and returns of how many buffers. */
unsigned int pairs_end_job(struct pairs_device *dev, unsigned int first,
			   enum vb2_buffer_state state);
/* Dequeues what is done and queues what is dequeued; returns how many were done. */
int pairs_requeue(struct pairs_device *dev);
/* Both queues stream, and the driver has both buffers. */
void pairs_resume(struct pairs_device *dev);

/* Remembers the fences that consumers find pending now. */
void pairs_note(struct pairs_device *dev);
/*
 * Waits for those that were remembered, which may have ended as @allowed says, and forgets them.
 * Returns how they have ended.
 */
unsigned int pairs_check(struct pairs_device *dev, unsigned int allowed);

/* Operations, pairs-ops.c */

enum {
	PAIRS_OP_ARM,
	PAIRS_OP_DONE,
	PAIRS_OP_ERROR,
	PAIRS_OP_STREAMOFF,
	PAIRS_OP_CLOSE,
	PAIRS_OP_EXPBUF,
	PAIRS_OP_LAST_CLOSE,
	PAIRS_OP_CALLBACKS,
	PAIRS_OP_OTHER_ORDER,
	PAIRS_OP_TIMEOUT,
	PAIRS_OPS,
};

struct pairs_race;
struct pairs_side;

struct pairs_op {
	const char *name;
	/* Returns whether it came in time to do something, or a negative error code. */
	int (*run)(struct pairs_race *race, struct pairs_side *me, struct pairs_side *other);
	/* How the fences of the job that runs may end by it. */
	unsigned int results;
	/* Whether it may end the job that is begun meanwhile as well. */
	bool stops;
	/* Uses the exported dma-buf, by a reference of its own. */
	bool consumes;
	/* May be paired with itself. */
	bool twice;
};

extern const struct pairs_op pairs_ops[PAIRS_OPS];

/* An operation that takes longer than this hangs. */
#define PAIRS_LIMIT	(20 * HZ)

/* One of the two operations of a pair. */
struct pairs_side {
	const struct pairs_op *op;
	/* The dma-buf that it was given, or that it got. */
	struct dma_buf *dbuf;
	unsigned int delay_us;
	int won;
	ktime_t begin, end;
	bool over;
	/* What it takes, about, */
	int spent_us;
	/* and of all rounds: when it came in time, and when it was over before the other began. */
	unsigned int wins, first;
};

struct pairs_race {
	struct pairs_device *dev;
	struct pairs_side side[2];
	/* Whether a job runs at the start of a round, and the tick of its timeout, or 0. */
	bool running;
	unsigned long expires;
	/* The fence of another driver */
	struct dma_fence *own;

	/* How many of the fences that were seen are of the job that runs. */
	unsigned int noted;
	/* By how much the first one begins later, on average. */
	int shift_us;

	struct completion go, ended;
	atomic_t steps;
	bool stop;
};

static inline bool pairs_is(const struct pairs_side *side, unsigned int op)
{
	return side->op == &pairs_ops[op];
}

static inline bool pairs_has(const struct pairs_race *race, unsigned int op)
{
	return pairs_is(&race->side[0], op) || pairs_is(&race->side[1], op);
}

#endif /* _VB2_RELEASE_FENCE_PAIRS_H */
