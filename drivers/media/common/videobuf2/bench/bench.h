/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What release fences cost: the same buffer cycle through several implementations, which are called
 * variants here.
 *
 *	floor		what dma_fence and dma_resv cost by themselves
 *	c_inline	the same design as release_fence.rs, in C
 *	c_helpers	the same source, with the out-of-line functions that Rust has to call
 *	ours		the API that drivers and videobuf2-core.c call
 *
 * What a queue pays that did not opt in has rows of its own: not-opted-in.c. Acquire fences have
 * rows of their own, too: acquire.c.
 */
#ifndef _VB2_RELEASE_FENCE_BENCH_H
#define _VB2_RELEASE_FENCE_BENCH_H

#include <kunit/test.h>
#include <linux/dma-fence.h>
#include <linux/dma-resv.h>
#include <linux/ktime.h>
#include <linux/timex.h>
#include <media/videobuf2-core.h>

#include "../videobuf2-release-fence-internal.h"

#define BENCH_NAME_LEN		32
#define BENCH_MAX_QUEUES	64
#define BENCH_MAX_WAITERS	8
#define BENCH_MAX_SAMPLES	64
/* The reservation objects of a buffer */
#define BENCH_MAX_OBJS		(VB2_MAX_PLANES * VB2_PLANE_RESVS)

/* As struct FenceData in rust/kernel/dma_buf/driver_fence.rs. The suite compares their sizes. */
struct bench_fence {
	struct dma_fence base;
	/* What @base points to */
	spinlock_t lock;
	char driver[BENCH_NAME_LEN];
	char timeline[BENCH_NAME_LEN];
	int noted;
	unsigned long expires;
	bool published;
};

/*
 * A variant. Each buffer has a state of it, which is what @setup returns, or NULL without memory.
 *
 * @prepare:	what QBUF does
 * @arm:	what the start of a job does, whose second buffer is @src, or NULL
 * @end:	what vb2_buffer_done() does for the fence
 * @teardown:	frees the state; a fence that is pending is signalled
 */
struct bench_ops {
	const char *name;
	void *(*setup)(struct vb2_buffer *vb);
	int (*prepare)(void *state);
	int (*arm)(void *state, void *src);
	void (*end)(void *state, enum vb2_buffer_state result);
	void (*teardown)(void *state);
};

enum bench_variant {
	BENCH_FLOOR,
	BENCH_C_INLINE,
	BENCH_C_HELPERS,
	BENCH_OURS,
	BENCH_VARIANTS
};

extern const struct bench_ops bench_floor, bench_c_inline, bench_c_helpers, bench_ours;
extern const struct bench_ops *const bench_variants[BENCH_VARIANTS];

/* The steps of a cycle, and their sum */
enum bench_case {
	BENCH_PREPARE,
	BENCH_ARM,
	BENCH_END,
	BENCH_CYCLE,
	BENCH_CASES
};

/*
 * What is measured. A number of planes, queues or exports that is not given is 1.
 *
 * @queues:	a buffer in each; jobs go round
 * @exports:	of each plane
 * @waiters:	callbacks on the fence
 * @foreign:	fences of others that stay pending in each reservation object
 * @cold:	with caches evicted before each cycle
 * @contended:	a consumer on another processor locks the objects in a loop
 */
struct bench_row {
	unsigned int planes, queues, exports, waiters, foreign;
	bool cold, contended;
};

/*
 * A row that is being measured.
 *
 * @objs:	the @count objects of the first queue's buffer
 * @evict:	@evict_size bytes that replace what is in the caches; NULL: warm
 * @took:	sums over @cycles cycles
 */
struct bench {
	struct kunit *test;
	struct bench_row row;
	unsigned int samples, cycles;
	struct vb2_buffer *vb[BENCH_MAX_QUEUES];
	void *state[BENCH_VARIANTS][BENCH_MAX_QUEUES];
	struct dma_resv *objs[BENCH_MAX_OBJS];
	unsigned int count;
	struct dma_fence_cb waiters[BENCH_MAX_WAITERS];
	u8 *evict;
	size_t evict_size;
	u64 took[BENCH_VARIANTS][BENCH_CASES][BENCH_MAX_SAMPLES];
};

/* The time-stamp counter, which User Mode Linux has not. */
static __always_inline u64 bench_clock(void)
{
	return IS_ENABLED(CONFIG_X86) ? get_cycles() : ktime_get_ns();
}

/* What two reads are apart that have nothing in between. */
u64 bench_clock_cost(void);

/* Until the case ends: without buffers. The thread stays on one processor. */
struct bench *bench_new(struct kunit *test, const struct bench_row *row);

/* The same with buffers. Skips the case if the machine cannot do it. */
struct bench *bench_open(struct kunit *test, const struct bench_row *row);

/* One cycle of each buffer, unmeasured: the fence is seen in all objects, and signalled. */
void bench_check(struct bench *bench, enum bench_variant variant);

/* Takes sample @n. */
void bench_measure(struct bench *bench, enum bench_variant variant, unsigned int n);

/* Expects @count pending fences in each object of a queue's buffer. */
void bench_expect(struct bench *bench, unsigned int queue, unsigned int count);

/* The pending fence of a queue's buffer, if there are no foreign ones, with a reference. */
struct dma_fence *bench_armed(struct bench *bench, unsigned int queue);

/* Prints the samples of a step and a variant. */
void bench_print(struct bench *bench, const char *step, const char *variant, const u64 *took);

/* KUnit cases */
void bench_not_opted_in(struct kunit *test);
void bench_acquire(struct kunit *test);

/* Generates the rows as parameters of a KUnit case. */
const void *bench_next_row(const void *prev, char *desc);

#endif /* _VB2_RELEASE_FENCE_BENCH_H */
