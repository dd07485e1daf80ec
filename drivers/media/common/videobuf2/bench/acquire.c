// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the acquire fences of a queue cost that opted in: QBUF, which takes the snapshot, and DQBUF,
 * which lets go of it. Without fences of others above all, as in most programs.
 */

#include "../tests/mock.h"
#include "acquire.h"

static void *ours_setup(struct vb2_buffer *vb)
{
	/* The queue opted in, so that the buffer has its state. */
	return vb->acquire_fences ? vb : NULL;
}

static int ours_acquire(void *state)
{
	return vb2_buffer_queue_acquire_fences(state, NULL);
}

static int ours_waits(void *state)
{
	return !vb2_buffer_acquired(state);
}

static void ours_let_go(void *state)
{
	vb2_buffer_let_go_acquire_fences(state);
}

static void ours_teardown(void *state)
{
}

static const struct bench_acquire_ops bench_acquire_ours = {
	.name = "ours",
	.setup = ours_setup,
	.acquire = ours_acquire,
	.waits = ours_waits,
	.let_go = ours_let_go,
	.teardown = ours_teardown,
};

static const struct bench_acquire_ops *const variants[] = {
	&bench_acquire_c, &bench_acquire_ours
};

enum step { ACQUIRE, LET_GO, STEPS };

static const char *const step_names[STEPS] = { "acquire", "let_go" };

static const struct bench_row rows[] = {
	{ },
	{ .planes = 8 },
	{ .foreign = 1 },
	{ .foreign = 4 },
};

struct samples {
	u64 took[ARRAY_SIZE(variants)][STEPS][BENCH_MAX_SAMPLES];
};

static void run(struct bench *bench, unsigned int variant, void *state, u64 sums[STEPS])
{
	const struct bench_acquire_ops *ops = variants[variant];
	unsigned int i;
	int ret = 0;

	for (i = 0; i < bench->cycles; ++i) {
		u64 begin, acquired, dequeue, dequeued;

		begin = bench_clock();
		ret = ops->acquire(state);
		acquired = bench_clock();
		if (ret)
			break;
		KUNIT_EXPECT_EQ_MSG(bench->test, !!bench->row.foreign, !!ops->waits(state), "%s",
				    ops->name);

		dequeue = bench_clock();
		ops->let_go(state);
		dequeued = bench_clock();

		sums[ACQUIRE] += acquired - begin;
		sums[LET_GO] += dequeued - dequeue;
	}
	KUNIT_ASSERT_EQ_MSG(bench->test, 0, ret, "%s", ops->name);
}

static void measure_row(struct kunit *test, const struct bench_row *row)
{
	struct bench *bench = bench_new(test, row);
	struct samples *samples = kunit_kzalloc(test, sizeof(*samples), GFP_KERNEL);
	struct mock_queue *mq = MOCK_OPEN(test, .acquires = true, .planes = bench->row.planes);
	u64 cost = bench->cycles * bench_clock_cost();
	void *states[ARRAY_SIZE(variants)];
	unsigned int n, i, plane;
	enum step step;

	KUNIT_ASSERT_NOT_NULL(test, samples);
	for (plane = 0; plane < bench->row.planes; ++plane) {
		struct dma_resv *obj = mock_export(mq, 0, plane)->resv;

		for (i = 0; i < bench->row.foreign; ++i)
			mock_add_fence(test, obj, mock_fence(test), DMA_RESV_USAGE_READ);
	}
	for (i = 0; i < ARRAY_SIZE(variants); ++i) {
		states[i] = variants[i]->setup(mock_vb(mq, 0));
		KUNIT_EXPECT_NOT_NULL(test, states[i]);
	}

	for (n = 0; n < bench->samples; ++n) {
		/* Each is first in half of the samples. */
		for (i = 0; i < ARRAY_SIZE(variants); ++i) {
			unsigned int variant = (n + i) % ARRAY_SIZE(variants);
			u64 sums[STEPS] = {};

			if (!states[variant])
				continue;
			/* Fills the caches. */
			run(bench, variant, states[variant], sums);
			memset(sums, 0, sizeof(sums));
			run(bench, variant, states[variant], sums);
			for (step = 0; step < STEPS; ++step)
				samples->took[variant][step][n] =
					sums[step] - min(sums[step], cost);
		}
	}

	for (i = 0; i < ARRAY_SIZE(variants); ++i) {
		for (step = 0; step < STEPS; ++step)
			bench_print(bench, step_names[step], variants[i]->name,
				    samples->took[i][step]);
		if (states[i])
			variants[i]->teardown(states[i]);
	}
}

void bench_acquire(struct kunit *test)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); ++i)
		measure_row(test, &rows[i]);
}
