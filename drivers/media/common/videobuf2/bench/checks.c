// SPDX-License-Identifier: GPL-2.0-only
/*
 * The C twin does what it is compared with. A fence that a variant leaves behind fails the case
 * that did it, see mock-checks.c.
 */

#include "../tests/mock.h"
#include "bench.h"

/* The floor has no design that could be checked; those after it have. */
#define FIRST	BENCH_C_INLINE

static void every_row(struct kunit *test)
{
	struct bench *bench = bench_open(test, test->param_value);
	enum bench_variant variant;

	for (variant = 0; variant < BENCH_VARIANTS; ++variant) {
		bench_check(bench, variant);
		/* With the fence of the first time to be put */
		bench_check(bench, variant);
	}
}

/* Prepares and arms the first buffer, and returns its fence. */
static struct dma_fence *arm(struct bench *bench, enum bench_variant variant)
{
	const struct bench_ops *ops = bench_variants[variant];
	void *state = bench->state[variant][0];
	struct dma_fence *fence;

	KUNIT_ASSERT_EQ_MSG(bench->test, 0, ops->prepare(state), "%s", ops->name);
	KUNIT_ASSERT_EQ_MSG(bench->test, 0, ops->arm(state, NULL), "%s", ops->name);
	fence = bench_armed(bench, 0);
	KUNIT_ASSERT_NOT_NULL_MSG(bench->test, fence, "%s", ops->name);
	return fence;
}

/* Nothing happens for a buffer that is armed, nor for one whose fence is signalled. */
static void twice(struct kunit *test)
{
	struct bench *bench = bench_open(test, &(struct bench_row){ .planes = 2 });
	enum bench_variant variant;

	for (variant = FIRST; variant < BENCH_VARIANTS; ++variant) {
		const struct bench_ops *ops = bench_variants[variant];
		void *state = bench->state[variant][0];
		struct dma_fence *fence = arm(bench, variant), *again;

		KUNIT_EXPECT_EQ_MSG(test, 0, ops->arm(state, NULL), "%s", ops->name);
		again = bench_armed(bench, 0);
		KUNIT_EXPECT_PTR_EQ_MSG(test, fence, again, "%s", ops->name);
		dma_fence_put(again);

		ops->end(state, VB2_BUF_STATE_ERROR);
		ops->end(state, VB2_BUF_STATE_DONE);
		KUNIT_EXPECT_EQ_MSG(test, -EIO, dma_fence_get_status(fence), "%s", ops->name);
		bench_expect(bench, 0, 0);
		dma_fence_put(fence);
	}
}

/* A buffer that was not prepared since its last job */
static void unprepared(struct kunit *test)
{
	struct bench *bench = bench_open(test, &(struct bench_row){});
	enum bench_variant variant;

	for (variant = FIRST; variant < BENCH_VARIANTS; ++variant) {
		const struct bench_ops *ops = bench_variants[variant];
		void *state = bench->state[variant][0];
		struct dma_fence *first = arm(bench, variant), *second;

		ops->end(state, VB2_BUF_STATE_DONE);
		KUNIT_EXPECT_EQ_MSG(test, 0, ops->arm(state, NULL), "%s", ops->name);
		second = bench_armed(bench, 0);
		KUNIT_EXPECT_NOT_NULL_MSG(test, second, "%s", ops->name);
		KUNIT_EXPECT_PTR_NE_MSG(test, first, second, "%s", ops->name);
		dma_fence_put(second);
		ops->end(state, VB2_BUF_STATE_DONE);
		bench_expect(bench, 0, 0);
		dma_fence_put(first);
	}
}

static void two_buffers(struct kunit *test)
{
	struct bench *bench = bench_open(test, &(struct bench_row){ .planes = 2, .queues = 2 });
	enum bench_variant variant;
	unsigned int i;

	for (variant = FIRST; variant < BENCH_VARIANTS; ++variant) {
		const struct bench_ops *ops = bench_variants[variant];
		void **states = bench->state[variant];

		for (i = 0; i < 2; ++i)
			KUNIT_ASSERT_EQ_MSG(test, 0, ops->prepare(states[i]), "%s", ops->name);
		KUNIT_ASSERT_EQ_MSG(test, 0, ops->arm(states[0], states[1]), "%s", ops->name);
		bench_expect(bench, 0, 1);
		bench_expect(bench, 1, 1);
		ops->end(states[1], VB2_BUF_STATE_DONE);
		bench_expect(bench, 0, 1);
		bench_expect(bench, 1, 0);
		ops->end(states[0], VB2_BUF_STATE_DONE);
		bench_expect(bench, 0, 0);
	}
}

static void timeout(struct kunit *test)
{
	struct bench *bench = bench_open(test, &(struct bench_row){});
	enum bench_variant variant;

	mock_set_timeout(test, MOCK_TIMEOUT);
	for (variant = FIRST; variant < BENCH_VARIANTS; ++variant) {
		const struct bench_ops *ops = bench_variants[variant];
		struct dma_fence *fence = arm(bench, variant);

		KUNIT_EXPECT_GT_MSG(test, dma_fence_wait_timeout(fence, false, 20 * HZ), 0, "%s",
				    ops->name);
		ops->end(bench->state[variant][0], VB2_BUF_STATE_DONE);
		KUNIT_EXPECT_EQ_MSG(test, -ETIMEDOUT, dma_fence_get_status(fence), "%s",
				    ops->name);
		dma_fence_put(fence);
	}
}

static struct kunit_case checks_cases[] = {
	KUNIT_CASE_PARAM_ATTR(every_row, bench_next_row, { .speed = KUNIT_SPEED_SLOW }),
	KUNIT_CASE(twice),
	KUNIT_CASE(unprepared),
	KUNIT_CASE(two_buffers),
	KUNIT_CASE(timeout),
	{ }
};

static struct kunit_suite checks_suite = {
	.name = "vb2-release-fence-bench-checks",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = mock_init,
	.test_cases = checks_cases,
};

kunit_test_suite(checks_suite);
