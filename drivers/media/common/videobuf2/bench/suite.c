// SPDX-License-Identifier: GPL-2.0-only
/*
 * What release fences cost: a table of what is measured, and the lines that it is printed in.
 *
 * Each row varies one thing of the base case, or a few that meet. In a row the samples of all
 * variants are interleaved, in an order that is shuffled for each repetition, with all memory of
 * the sample before freed. A sample is a sum over some cycles. Interrupts are on, so that medians
 * say more than means. Debugging options would be measured as well: leave them out.
 *
 *	kunit.filter_glob=vb2-release-fence-bench videobuf2_release_fence_bench.samples=30
 *
 * For counts of instructions that can be repeated, boot it with one processor of QEMU under
 * -icount shift=0, whose time-stamp counter counts them.
 */

#include <linux/array_size.h>
#include <linux/hash.h>
#include <linux/minmax.h>
#include <linux/prandom.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

#include "../tests/mock.h"
#include "bench.h"

/* printk() takes more; lines that can be read are shorter. */
#define LINE_LEN	840
/* A number, a comma, and the end of the line */
#define NUMBER_LEN	24

/* Rows */

static const struct bench_row rows[] = {
	{ },
	{ .planes = 2 },
	{ .planes = 4 },
	{ .planes = 8 },
	{ .foreign = 1 },
	{ .foreign = 4 },
	{ .queues = 4 },
	{ .queues = 16 },
	{ .queues = 64 },
	{ .waiters = 1 },
	{ .waiters = 8 },
	{ .exports = 2 },
	{ .exports = 4 },
	{ .cold = true },
	{ .contended = true },
	/* The corners */
	{ .planes = 8, .queues = 64 },
	{ .planes = 8, .exports = 4 },
	{ .planes = 8, .cold = true },
	{ .planes = 8, .contended = true },
};

static void describe_row(const struct bench_row *row, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE,
		 "planes=%u queues=%u exports=%u waiters=%u foreign=%u%s%s", row->planes ?: 1,
		 row->queues ?: 1, row->exports ?: 1, row->waiters, row->foreign,
		 row->cold ? " cold" : "", row->contended ? " contended" : "");
}

const void *bench_next_row(const void *prev, char *desc)
{
	const struct bench_row *row = prev ? (const struct bench_row *)prev + 1 : rows;

	if (row == rows + ARRAY_SIZE(rows))
		return NULL;
	describe_row(row, desc);
	return row;
}

/* Output */

void bench_print(struct bench *bench, const char *step, const char *variant, const u64 *took)
{
	const char *unit = IS_ENABLED(CONFIG_X86) ? "tsc" : "ns";
	const struct bench_row *row = &bench->row;
	/* Cases do not run at the same time. */
	static char line[LINE_LEN];
	unsigned int i = 0;

	while (i < bench->samples) {
		const char *separator = "";
		int len;

		len = scnprintf(line, LINE_LEN, "{\"case\":\"%s\",\"variant\":\"%s\"", step,
				variant);
		len += scnprintf(line + len, LINE_LEN - len, ",\"planes\":%u,\"queues\":%u",
				 row->planes, row->queues);
		len += scnprintf(line + len, LINE_LEN - len,
				 ",\"exports\":%u,\"waiters\":%u,\"foreign\":%u", row->exports,
				 row->waiters, row->foreign);
		len += scnprintf(line + len, LINE_LEN - len, ",\"warm\":%s,\"contended\":%s",
				 row->cold ? "false" : "true", row->contended ? "true" : "false");
		len += scnprintf(line + len, LINE_LEN - len,
				 ",\"unit\":\"%s\",\"cycles\":%u,\"samples\":[", unit,
				 bench->cycles);
		for (; i < bench->samples && len < LINE_LEN - NUMBER_LEN; ++i) {
			len += scnprintf(line + len, LINE_LEN - len, "%s%llu", separator, took[i]);
			separator = ",";
		}
		kunit_log(KERN_INFO, bench->test, KUNIT_SUBTEST_INDENT "# bench: %s]}\n", line);
	}
}

/* Cases */

static void shuffle(enum bench_variant order[BENCH_VARIANTS], struct rnd_state *random)
{
	unsigned int left;

	for (left = BENCH_VARIANTS; left > 1; --left) {
		unsigned int chosen = prandom_u32_state(random) % left;

		swap(order[chosen], order[left - 1]);
	}
}

static void measure(struct kunit *test)
{
	static const char *const names[BENCH_CASES] = { "prepare", "arm", "end", "cycle" };
	struct bench *bench = bench_open(test, test->param_value);
	enum bench_variant order[BENCH_VARIANTS], variant;
	struct rnd_state random;
	unsigned int n, i, what;

	/* The same orders in every boot */
	prandom_seed_state(&random, GOLDEN_RATIO_64 * (test->param_index + 1));
	for (variant = 0; variant < BENCH_VARIANTS; ++variant)
		order[variant] = variant;

	for (n = 0; n < bench->samples; ++n) {
		shuffle(order, &random);
		for (i = 0; i < BENCH_VARIANTS; ++i) {
			rcu_barrier();
			/* That of kfree_rcu() */
			kvfree_rcu_barrier();
			/* Fills the caches with what this variant uses. */
			bench_check(bench, order[i]);
			bench_measure(bench, order[i], n);
		}
	}

	for (what = 0; what < BENCH_CASES; ++what) {
		for (variant = 0; variant < BENCH_VARIANTS; ++variant)
			bench_print(bench, names[what], bench_variants[variant]->name,
				    bench->took[variant][what]);
	}
}

/* What the fence of a variant takes of the slab allocator. */
static size_t fence_size(struct bench *bench, enum bench_variant variant)
{
	const struct bench_ops *ops = bench_variants[variant];
	void *state = bench->state[variant][0];
	struct dma_fence *fence;
	size_t size;

	KUNIT_ASSERT_EQ(bench->test, 0, ops->prepare(state));
	KUNIT_ASSERT_EQ(bench->test, 0, ops->arm(state, NULL));
	fence = bench_armed(bench, 0);
	size = fence ? ksize(fence) : 0;
	dma_fence_put(fence);
	ops->end(state, VB2_BUF_STATE_DONE);
	return size;
}

static void sizes(struct kunit *test)
{
	struct bench *bench = bench_open(test, &(struct bench_row){});
	struct vb2_buffer *vb = bench->vb[0];
	struct vb2_plane_resv *resv;
	size_t ours, c;

	ours = fence_size(bench, BENCH_OURS);
	c = fence_size(bench, BENCH_C_INLINE);
	resv = vb->vb2_queue->mem_ops->plane_resv(vb->planes[0].mem_priv);
	kunit_log(KERN_INFO, test,
		  KUNIT_SUBTEST_INDENT
		  "# bench-size: {\"fence_ours\":%zu,\"fence_c\":%zu,\"state_ours\":%zu,\"state_c\":%zu,\"plane_objects\":%zu,\"vb2_buffer\":%zu}\n",
		  ours, c, ksize(vb->release_fence), ksize(bench->state[BENCH_C_INLINE][0]),
		  ksize(resv->plane), sizeof(*vb));

	/* Otherwise struct bench_fence has to follow a change of ours. */
	KUNIT_EXPECT_EQ(test, ours, c);
	KUNIT_EXPECT_EQ(test, ours, fence_size(bench, BENCH_FLOOR));
}

static struct kunit_case bench_cases[] = {
	KUNIT_CASE_SLOW(sizes),
	KUNIT_CASE_SLOW(bench_not_opted_in),
	KUNIT_CASE_SLOW(bench_acquire),
	KUNIT_CASE_PARAM_ATTR(measure, bench_next_row, { .speed = KUNIT_SPEED_SLOW }),
	{ }
};

/* Not mock_suite_init(): the probes that it attaches would be measured. */
static struct kunit_suite bench_suite = {
	.name = "vb2-release-fence-bench",
	.init = mock_init,
	.test_cases = bench_cases,
};

kunit_test_suite(bench_suite);
