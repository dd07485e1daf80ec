// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a queue pays that did not opt in: the same buffer goes through videobuf2-core.c as it is
 * ("on"), and through a build of it without the hooks ("off").
 */

#include "../tests/mock.h"
#include "bench.h"
#include "core.h"

static const struct bench_core core_on = {
	.name = "on",
	.qbuf = vb2_core_qbuf,
	.done = vb2_buffer_done,
	.dqbuf = vb2_core_dqbuf,
};

static const struct bench_core *const cores[] = { &bench_core_off, &core_on };

enum step { QBUF, DONE, DQBUF, STEPS };

static const char *const step_names[STEPS] = { "qbuf", "done", "dqbuf" };

struct samples {
	u64 took[ARRAY_SIZE(cores)][STEPS][BENCH_MAX_SAMPLES];
};

/* Each buffer is with user space before and after. */
static void run(struct bench *bench, const struct bench_core *core, u64 sums[STEPS])
{
	struct vb2_buffer *vb = bench->vb[0];
	struct vb2_queue *q = vb->vb2_queue;
	unsigned int i;
	int ret = 0;

	for (i = 0; i < bench->cycles; ++i) {
		u64 begin, queued, job_ends, done, dequeue, dequeued;

		begin = bench_clock();
		ret = core->qbuf(q, vb, NULL, NULL);
		queued = bench_clock();
		if (ret)
			break;

		job_ends = bench_clock();
		core->done(vb, VB2_BUF_STATE_DONE);
		done = bench_clock();

		dequeue = bench_clock();
		ret = core->dqbuf(q, NULL, NULL, true);
		dequeued = bench_clock();
		if (ret)
			break;

		sums[QBUF] += queued - begin;
		sums[DONE] += done - job_ends;
		sums[DQBUF] += dequeued - dequeue;
	}
	KUNIT_ASSERT_EQ_MSG(bench->test, 0, ret, "%s", core->name);
	KUNIT_ASSERT_EQ_MSG(bench->test, VB2_BUF_STATE_DEQUEUED, vb->state, "%s", core->name);
}

static void sample(struct bench *bench, struct samples *samples, unsigned int core, unsigned int n)
{
	u64 cost = bench->cycles * bench_clock_cost();
	u64 sums[STEPS] = {};
	enum step step;

	/* Fills the caches. */
	run(bench, cores[core], sums);
	memset(sums, 0, sizeof(sums));
	run(bench, cores[core], sums);
	for (step = 0; step < STEPS; ++step)
		samples->took[core][step][n] = sums[step] - min(sums[step], cost);
}

void bench_not_opted_in(struct kunit *test)
{
	struct bench *bench = bench_new(test, &(struct bench_row){});
	struct samples *samples = kunit_kzalloc(test, sizeof(*samples), GFP_KERNEL);
	struct mock_queue *mq = MOCK_START(test, .opted_out = true);
	unsigned int n, i;
	enum step step;

	KUNIT_ASSERT_NOT_NULL(test, samples);
	mock_export(mq, 0, 0);
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	mock_dqbuf(mq);
	bench->vb[0] = mock_vb(mq, 0);
	KUNIT_ASSERT_NULL(test, bench->vb[0]->release_fence);

	for (n = 0; n < bench->samples; ++n) {
		/* Each is first in half of the samples. */
		for (i = 0; i < ARRAY_SIZE(cores); ++i)
			sample(bench, samples, (n + i) % ARRAY_SIZE(cores), n);
	}

	for (step = 0; step < STEPS; ++step) {
		for (i = 0; i < ARRAY_SIZE(cores); ++i)
			bench_print(bench, step_names[step], cores[i]->name,
				    samples->took[i][step]);
	}
}
