// SPDX-License-Identifier: GPL-2.0-only
/*
 * Takes the samples: buffers of mock queues, cycles of prepare, arm and end, and a clock.
 *
 * All variants use the same buffers and so the same reservation objects.
 */

#include <linux/cache.h>
#include <linux/cpumask.h>
#include <linux/kthread.h>
#include <linux/minmax.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/vmalloc.h>

#include "../tests/mock.h"
#include "bench.h"

/* Evicting caches takes much longer than the cycle that follows. */
#define COLD_CYCLES	8
#define CLOCK_READS	256

static unsigned int samples = 15;
module_param(samples, uint, 0444);
MODULE_PARM_DESC(samples, "samples of each variant (10 to 64, default 15)");

static unsigned int cycles = 64;
module_param(cycles, uint, 0444);
MODULE_PARM_DESC(cycles, "cycles in a sample (at least one for each queue, default 64)");

static unsigned int evict_mb = 32;
module_param(evict_mb, uint, 0444);
MODULE_PARM_DESC(evict_mb, "MiB that are written to evict caches (default 32; 0: no cold caches)");

const struct bench_ops *const bench_variants[BENCH_VARIANTS] = {
	[BENCH_FLOOR] = &bench_floor,
	[BENCH_C_INLINE] = &bench_c_inline,
	[BENCH_C_HELPERS] = &bench_c_helpers,
	[BENCH_OURS] = &bench_ours,
};

u64 bench_clock_cost(void)
{
	u64 least = U64_MAX;
	unsigned int i;

	for (i = 0; i < CLOCK_READS; ++i) {
		u64 begin = bench_clock();
		u64 end = bench_clock();

		least = min(least, end - begin);
	}
	return least;
}

/* Row */

static void close_bench(void *data)
{
	struct bench *bench = data;
	unsigned int variant, queue;

	for (variant = 0; variant < BENCH_VARIANTS; ++variant) {
		for (queue = 0; queue < bench->row.queues; ++queue) {
			void *state = bench->state[variant][queue];

			if (state)
				bench_variants[variant]->teardown(state);
		}
	}
}

static void open_queues(struct bench *bench)
{
	struct bench_row *row = &bench->row;
	unsigned int queue, plane, export;

	for (queue = 0; queue < row->queues; ++queue) {
		struct mock_queue *mq = MOCK_START(bench->test, .planes = row->planes);

		for (plane = 0; plane < row->planes; ++plane) {
			for (export = 0; export < row->exports; ++export)
				mock_export(mq, 0, plane);
		}
		bench->vb[queue] = mock_vb(mq, 0);
	}
	bench->count = vb2_release_fence_collect(bench->vb[0], bench->objs);
	KUNIT_ASSERT_EQ(bench->test, row->planes * row->exports, bench->count);
}

static void add_foreign_fences(struct bench *bench)
{
	struct dma_resv *objs[BENCH_MAX_OBJS];
	unsigned int n, queue, count, i;

	for (n = 0; n < bench->row.foreign; ++n) {
		struct dma_fence *fence = mock_fence(bench->test);

		for (queue = 0; queue < bench->row.queues; ++queue) {
			count = vb2_release_fence_collect(bench->vb[queue], objs);
			for (i = 0; i < count; ++i)
				mock_add_fence(bench->test, objs[i], fence, DMA_RESV_USAGE_READ);
		}
	}
}

KUNIT_DEFINE_ACTION_WRAPPER(free_evict, vfree, const void *);

static void alloc_evict(struct bench *bench)
{
	struct kunit *test = bench->test;

	bench->evict_size = (size_t)evict_mb << 20;
	if (!bench->evict_size)
		kunit_skip(test, "evict_mb is 0");
	bench->evict = vmalloc(bench->evict_size);
	if (!bench->evict)
		kunit_skip(test, "no memory to evict caches with");
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, free_evict, bench->evict));
}

static void evict_caches(struct bench *bench)
{
	size_t at;

	for (at = 0; at < bench->evict_size; at += L1_CACHE_BYTES)
		++bench->evict[at];
}

/* A consumer that takes the objects for a moment, again and again. */
static int take_objects(void *data)
{
	struct bench *bench = data;
	unsigned int i;

	while (!kthread_should_stop()) {
		for (i = 0; i < bench->count; ++i) {
			dma_resv_lock(bench->objs[i], NULL);
			dma_resv_unlock(bench->objs[i]);
		}
		cond_resched();
	}
	return 0;
}

KUNIT_DEFINE_ACTION_WRAPPER(stop_consumer, kthread_stop, struct task_struct *);

static void start_consumer(struct bench *bench)
{
	struct kunit *test = bench->test;
	struct task_struct *task;

	if (num_online_cpus() == 1)
		kunit_skip(test, "one processor");
	task = kthread_create(take_objects, bench, "vb2-bench-consumer");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	kthread_bind(task, cpumask_last(cpu_online_mask));
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, stop_consumer, task));
	wake_up_process(task);
}

struct bench *bench_new(struct kunit *test, const struct bench_row *row)
{
	struct bench *bench = kunit_kzalloc(test, sizeof(*bench), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, bench);
	bench->test = test;
	bench->row = *row;
	bench->row.planes = row->planes ?: 1;
	bench->row.queues = row->queues ?: 1;
	bench->row.exports = row->exports ?: 1;
	bench->samples = clamp(samples, 10U, BENCH_MAX_SAMPLES);
	bench->cycles = max(row->cold ? COLD_CYCLES : cycles, bench->row.queues);
	/* The thread of a case ends with it. */
	set_cpus_allowed_ptr(current, cpumask_of(cpumask_first(cpu_online_mask)));
	return bench;
}

struct bench *bench_open(struct kunit *test, const struct bench_row *row)
{
	struct bench *bench = bench_new(test, row);
	unsigned int variant, queue;

	if (row->cold)
		alloc_evict(bench);
	open_queues(bench);
	add_foreign_fences(bench);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, close_bench, bench));
	for (variant = 0; variant < BENCH_VARIANTS; ++variant) {
		for (queue = 0; queue < bench->row.queues; ++queue) {
			void *state = bench_variants[variant]->setup(bench->vb[queue]);

			KUNIT_ASSERT_NOT_NULL(test, state);
			bench->state[variant][queue] = state;
		}
	}
	if (row->contended)
		start_consumer(bench);
	return bench;
}

/* Fences */

static unsigned int count_pending(struct dma_resv *obj)
{
	struct dma_resv_iter cursor;
	struct dma_fence *fence;
	unsigned int count = 0;

	dma_resv_iter_begin(&cursor, obj, DMA_RESV_USAGE_BOOKKEEP);
	dma_resv_for_each_fence_unlocked(&cursor, fence) {
		if (dma_resv_iter_is_restarted(&cursor))
			count = 0;
		++count;
	}
	dma_resv_iter_end(&cursor);
	return count;
}

void bench_expect(struct bench *bench, unsigned int queue, unsigned int expected)
{
	struct dma_resv *objs[BENCH_MAX_OBJS];
	unsigned int i, count = vb2_release_fence_collect(bench->vb[queue], objs);

	for (i = 0; i < count; ++i)
		KUNIT_EXPECT_EQ(bench->test, expected, count_pending(objs[i]));
}

struct dma_fence *bench_armed(struct bench *bench, unsigned int queue)
{
	struct dma_resv *objs[BENCH_MAX_OBJS];
	struct dma_resv_iter cursor;
	struct dma_fence *fence;

	vb2_release_fence_collect(bench->vb[queue], objs);
	dma_resv_iter_begin(&cursor, objs[0], DMA_RESV_USAGE_READ);
	fence = dma_fence_get(dma_resv_iter_first_unlocked(&cursor));
	dma_resv_iter_end(&cursor);
	return fence;
}

/* Cycles */

/* By the thread that measures only */
static unsigned int woken;

static void wake(struct dma_fence *fence, struct dma_fence_cb *cb)
{
	++woken;
}

static void add_waiters(struct bench *bench, unsigned int queue)
{
	struct dma_fence *fence;
	unsigned int i;

	if (!bench->row.waiters)
		return;

	fence = bench_armed(bench, queue);
	for (i = 0; fence && i < bench->row.waiters; ++i)
		dma_fence_add_callback(fence, &bench->waiters[i], wake);
	/* The reservation object has a reference until the next job. */
	dma_fence_put(fence);
}

void bench_check(struct bench *bench, enum bench_variant variant)
{
	const struct bench_ops *ops = bench_variants[variant];
	struct kunit *test = bench->test;
	unsigned int queue;

	for (queue = 0; queue < bench->row.queues; ++queue) {
		void *state = bench->state[variant][queue];

		KUNIT_ASSERT_EQ_MSG(test, 0, ops->prepare(state), "%s", ops->name);
		KUNIT_ASSERT_EQ_MSG(test, 0, ops->arm(state, NULL), "%s", ops->name);
		bench_expect(bench, queue, bench->row.foreign + 1);
		ops->end(state, VB2_BUF_STATE_DONE);
		bench_expect(bench, queue, bench->row.foreign);
	}
}

void bench_measure(struct bench *bench, enum bench_variant variant, unsigned int n)
{
	const struct bench_ops *ops = bench_variants[variant];
	u64 (*took)[BENCH_MAX_SAMPLES] = bench->took[variant];
	u64 cost = bench->cycles * bench_clock_cost();
	u64 sums[BENCH_CYCLE] = {};
	unsigned int i, step;
	int ret = 0;

	woken = 0;
	for (i = 0; i < bench->cycles; ++i) {
		unsigned int queue = i % bench->row.queues;
		void *state = bench->state[variant][queue];
		u64 begin, prepared, armed, job_ends, ended;

		if (bench->evict)
			evict_caches(bench);

		begin = bench_clock();
		ret = ops->prepare(state);
		if (ret)
			break;
		prepared = bench_clock();
		ret = ops->arm(state, NULL);
		if (ret)
			break;
		armed = bench_clock();

		add_waiters(bench, queue);

		job_ends = bench_clock();
		ops->end(state, VB2_BUF_STATE_DONE);
		ended = bench_clock();

		sums[BENCH_PREPARE] += prepared - begin;
		sums[BENCH_ARM] += armed - prepared;
		sums[BENCH_END] += ended - job_ends;
	}
	KUNIT_ASSERT_EQ_MSG(bench->test, 0, ret, "%s", ops->name);
	KUNIT_EXPECT_EQ_MSG(bench->test, bench->cycles * bench->row.waiters, woken, "%s",
			    ops->name);

	took[BENCH_CYCLE][n] = 0;
	for (step = 0; step < BENCH_CYCLE; ++step) {
		took[step][n] = sums[step] - min(sums[step], cost);
		took[BENCH_CYCLE][n] += took[step][n];
	}
}
