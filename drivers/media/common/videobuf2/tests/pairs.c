// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each pair of operations on a buffer with a release fence, at the same time on two processors.
 */

#include <linux/delay.h>
#include <linux/file.h>
#include <linux/kthread.h>

#include "../videobuf2-release-fence-internal.h"
#include "pairs.h"

#define ROUNDS		100
/* A round with a timeout takes some ticks. */
#define TIMEOUT_ROUNDS	50
#define TIMEOUT_TICKS	2
/* The least number of rounds that overlap: few do if both processors share one of the host. */
#define MEETINGS	10
#define MOST_TIME	(240 * HZ)
/* How often both sides wait for each other before a round, so that neither is delayed. */
#define STEPS		6
#define MOST_US		2000

/* Rounds */

static void run_side(struct pairs_race *race, unsigned int index)
{
	struct pairs_side *me = &race->side[index];
	unsigned int step;

	for (step = index; step < STEPS; step += 2) {
		while (atomic_read(&race->steps) < step)
			cpu_relax();
		atomic_inc(&race->steps);
	}
	/* One begins at the tick of the timeout, the other one around it. */
	while (race->expires && time_before(jiffies, race->expires - !index))
		cpu_relax();
	udelay(me->delay_us);
	me->begin = ktime_get();
	me->won = me->op->run(race, me, &race->side[!index]);
	me->end = ktime_get();
	/* Pairs with the acquire in is_over(). */
	smp_store_release(&me->over, true);
}

static int partner(void *data)
{
	struct pairs_race *race = data;

	for (;;) {
		wait_for_completion(&race->go);
		if (race->stop)
			return 0;
		run_side(race, 1);
		complete(&race->ended);
	}
}

/* Delays from "one first" to "the other first", around the point of overlap so far. */
static void choose_delays(struct pairs_race *race, unsigned int round)
{
	int range = race->side[0].spent_us + race->side[1].spent_us + 10;
	int later = race->shift_us + (int)(round * 37 % ROUNDS) * range / ROUNDS - range / 2;

	race->side[0].delay_us = max(later, 0);
	race->side[1].delay_us = max(-later, 0);
	if (race->expires) {
		race->side[0].delay_us = max(later + (int)jiffies_to_usecs(1), 0);
		race->side[1].delay_us = 0;
	}
}

static void prepare(struct pairs_race *race, unsigned int round)
{
	struct pairs_device *dev = race->dev;
	struct kunit *test = dev->test;
	unsigned int i;

	race->expires = 0;
	if (pairs_has(race, PAIRS_OP_TIMEOUT)) {
		set_cpus_allowed_ptr(current, cpumask_of(cpumask_last(cpu_online_mask)));
		WRITE_ONCE(vb2_release_fence_timeout_ms, jiffies_to_msecs(TIMEOUT_TICKS));
		race->expires = jiffies + TIMEOUT_TICKS + 1;
	}
	if (race->running) {
		KUNIT_ASSERT_EQ(test, 1, pairs_start_job(dev));
		pairs_note(dev);
	} else {
		/* As after a job without a fence */
		vb2_buffer_done(dev->vb[PAIRS_DST], VB2_BUF_STATE_DONE);
		mock_dqbuf(dev->mq[PAIRS_DST]);
		dev->dequeued[PAIRS_DST] = true;
	}
	race->noted = dev->count;
	WRITE_ONCE(vb2_release_fence_timeout_ms, 10000);
	set_cpus_allowed_ptr(current, cpumask_of(cpumask_first(cpu_online_mask)));

	if (pairs_has(race, PAIRS_OP_OTHER_ORDER))
		race->own = mock_fence(test);
	for (i = 0; i < 2; ++i) {
		race->side[i].over = false;
		if (race->side[i].op->consumes) {
			get_dma_buf(dev->dbuf);
			race->side[i].dbuf = dev->dbuf;
		}
	}
	if (pairs_has(race, PAIRS_OP_LAST_CLOSE) ||
	    (pairs_is(&race->side[0], PAIRS_OP_EXPBUF) &&
	     pairs_is(&race->side[1], PAIRS_OP_EXPBUF))) {
		/* Those of descriptors that were closed are gone as well. */
		flush_delayed_fput();
		pairs_put(&dev->dbuf);
	}
	choose_delays(race, round);
}

/*
 * Takes the exports of both sides. Each dma-buf has an object of its own, and in all of them is the
 * fence of a job that runs.
 */
static void take_exports(struct pairs_race *race)
{
	struct pairs_device *dev = race->dev;
	struct kunit *test = dev->test;
	unsigned int i;

	for (i = 0; i < 2; ++i) {
		struct dma_buf *dbuf = race->side[i].dbuf;

		race->side[i].dbuf = NULL;
		if (!dev->dbuf)
			dev->dbuf = dbuf;
		else if (dbuf == dev->dbuf)
			pairs_put(&dbuf);
		else if (dbuf)
			dev->more[i] = dbuf;
	}
	if (!dev->dbuf && !dev->closed) {
		dev->dbuf = pairs_export(dev);
		KUNIT_ASSERT_NOT_NULL(test, dev->dbuf);
	}
	for (i = 0; i < 2; ++i) {
		struct dma_buf *more = dev->more[i];

		if (!more)
			continue;
		KUNIT_ASSERT_PTR_NE(test, dev->dbuf->resv, more->resv);
		KUNIT_ASSERT_EQ(test, mock_reader_waits(dev->dbuf), mock_reader_waits(more));
	}
	if (dev->more[0] && dev->more[1])
		KUNIT_ASSERT_PTR_NE(test, dev->more[0]->resv, dev->more[1]->resv);
}

/* Ends the job, checks the fences that consumers have seen, and runs another job as usual. */
static unsigned int settle(struct pairs_race *race)
{
	unsigned int allowed = race->side[0].op->results | race->side[1].op->results, results;
	bool stops = race->side[0].op->stops || race->side[1].op->stops;
	struct pairs_device *dev = race->dev;
	struct kunit *test = dev->test;

	take_exports(race);
	pairs_note(dev);
	if (pairs_has(race, PAIRS_OP_ARM) && !stops) {
		KUNIT_ASSERT_EQ(test, 1, race->side[0].won);
		KUNIT_ASSERT_EQ(test, race->noted + PAIRS_BUFFERS, dev->count);
	}
	pairs_end_job(dev, PAIRS_DST, VB2_BUF_STATE_DONE);
	if (race->own)
		mock_fence_end(test, race->own);
	race->own = NULL;
	if (!allowed || pairs_has(race, PAIRS_OP_ARM))
		allowed |= PAIRS_DONE;
	results = pairs_check(dev, allowed);

	if (dev->closed) {
		pairs_put(&dev->dbuf);
		pairs_put(&dev->more[0]);
		pairs_put(&dev->more[1]);
		pairs_reopen(dev);
	}
	pairs_resume(dev);
	KUNIT_ASSERT_EQ(test, 1, pairs_start_job(dev));
	take_exports(race);
	pairs_note(dev);
	KUNIT_ASSERT_EQ(test, PAIRS_BUFFERS, dev->count);
	KUNIT_ASSERT_EQ(test, PAIRS_BUFFERS,
			pairs_end_job(dev, PAIRS_DST, VB2_BUF_STATE_DONE));
	pairs_check(dev, PAIRS_DONE);
	pairs_put(&dev->more[0]);
	pairs_put(&dev->more[1]);
	KUNIT_ASSERT_EQ(test, PAIRS_BUFFERS, pairs_requeue(dev));
	return results;
}

/* Cases */

struct pair {
	const struct pairs_op *op[2];
};

static struct pair pairs[PAIRS_OPS * (PAIRS_OPS + 1) / 2 + 1];

/* Sums over all pairs: rounds that overlapped, and pairs with both outcomes. */
static unsigned int pairs_run, rounds_overlapped, pairs_decided;

static void list_pairs(void)
{
	struct pair *pair = pairs;
	unsigned int i, j;

	for (i = 0; i < PAIRS_OPS; ++i) {
		for (j = i; j < PAIRS_OPS; ++j) {
			if (i == j && !pairs_ops[i].twice)
				continue;
			pair->op[0] = &pairs_ops[i];
			pair->op[1] = &pairs_ops[j];
			++pair;
		}
	}
}

static const void *next_pair(const void *prev, char *desc)
{
	const struct pair *pair = prev ? (const struct pair *)prev + 1 : pairs;

	if (!prev)
		list_pairs();
	if (!pair->op[0])
		return NULL;
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%s, %s", pair->op[0]->name, pair->op[1]->name);
	return pair;
}

KUNIT_DEFINE_ACTION_WRAPPER(stop_task, kthread_stop_put, struct task_struct *);

/* A thread that does not run yet, and is stopped when the case ends. */
static struct task_struct *make_thread(struct kunit *test, int (*thread)(void *data), void *data,
				       unsigned int cpu)
{
	struct task_struct *task = kthread_create(thread, data, "vb2-mock-pair");

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	get_task_struct(task);
	kthread_bind(task, cpu);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, stop_task, task));
	return task;
}

static void stop_partner(void *data)
{
	struct pairs_race *race = data;

	race->stop = true;
	complete(&race->go);
}

static struct pairs_race *start_race(struct kunit *test, const struct pair *pair)
{
	struct pairs_race *race = kunit_kzalloc(test, sizeof(*race), GFP_KERNEL);
	struct task_struct *task;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, race);
	init_completion(&race->go);
	init_completion(&race->ended);
	for (i = 0; i < 2; ++i)
		race->side[i].op = pair->op[i];
	/* A job that is to begin needs one that ends, or none. */
	race->running = !pairs_has(race, PAIRS_OP_ARM) || pairs_has(race, PAIRS_OP_DONE) ||
			pairs_has(race, PAIRS_OP_ERROR) || pairs_has(race, PAIRS_OP_TIMEOUT);
	/* Rounds change it, and this brings it back. */
	mock_set_timeout(test, 10000);
	race->dev = pairs_open(test);

	task = make_thread(test, partner, race, cpumask_last(cpu_online_mask));
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, stop_partner, race));
	wake_up_process(task);
	return race;
}

/* Returns whether both operations ran at the same time. */
static bool account(struct pairs_race *race)
{
	struct pairs_side *one = &race->side[0], *two = &race->side[1];
	int i, step = 1;

	for (i = 0; i < 2; ++i) {
		struct pairs_side *side = &race->side[i];
		s64 spent = ktime_us_delta(side->end, side->begin);

		KUNIT_ASSERT_GE_MSG(race->dev->test, side->won, 0, "%s failed", side->op->name);
		side->wins += side->won;
		/* A delayed operation says little about the next one. */
		spent = min(spent, 2 * side->spent_us + 20);
		side->spent_us += ((int)min(spent, MOST_US) - side->spent_us) / 4;
		step += side->spent_us / 4;
	}
	/* The first one waits a little longer next time. */
	if (ktime_before(one->end, two->begin)) {
		one->first++;
		race->shift_us = min(race->shift_us + step, MOST_US);
		return false;
	}
	if (ktime_before(two->end, one->begin)) {
		two->first++;
		race->shift_us = max(race->shift_us - step, -MOST_US);
		return false;
	}
	return true;
}

static void overlap(struct kunit *test)
{
	const struct pair *pair = test->param_value;
	const unsigned long give_up = jiffies + MOST_TIME;
	unsigned int round, rounds, overlapped = 0, results = 0, i;
	struct pairs_race *race;
	bool decided = false;

	if (num_online_cpus() < 2)
		kunit_skip(test, "needs two processors");
	race = start_race(test, pair);
	rounds = pairs_has(race, PAIRS_OP_TIMEOUT) ? TIMEOUT_ROUNDS : ROUNDS;
	for (round = 0; round < rounds || overlapped < MEETINGS; ++round) {
		if (round >= rounds && time_after(jiffies, give_up))
			break;
		prepare(race, round);
		atomic_set(&race->steps, 0);
		complete(&race->go);
		run_side(race, 0);
		KUNIT_ASSERT_GT(test, wait_for_completion_timeout(&race->ended, PAIRS_LIMIT), 0);
		overlapped += account(race);
		results |= settle(race);
		cond_resched();
	}

	for (i = 0; i < 2; ++i)
		decided |= race->side[i].wins && race->side[i].wins < round;
	kunit_info(test, "%s, %s: %u of %u overlapped, %u and %u one after the other; in time %u, %u; ended%s%s%s%s%s\n",
		   pair->op[0]->name, pair->op[1]->name, overlapped, round,
		   race->side[0].first, race->side[1].first, race->side[0].wins, race->side[1].wins,
		   results & PAIRS_DONE ? " done" : "", results & PAIRS_ERROR ? " failed" : "",
		   results & PAIRS_CANCELLED ? " cancelled" : "",
		   results & PAIRS_LATE ? " late" : "",
		   decided ? "" : "; always the same outcome");
	for (i = 0; i < 2; ++i) {
		if (i == 0 || pair->op[1] != pair->op[0])
			mock_counts(test, "races", pair->op[i]->name, overlapped);
	}
	KUNIT_EXPECT_GE(test, overlapped, MEETINGS);
	pairs_run++;
	rounds_overlapped += overlapped;
	pairs_decided += decided;
}

/* Fails on a machine on which the same operation always comes first: it tests nothing. */
static void both_orders_occur(struct kunit *test)
{
	if (!pairs_run)
		kunit_skip(test, "no pair was run");
	kunit_info(test, "%u pairs, %u with either outcome; %u rounds overlapped\n", pairs_run,
		   pairs_decided, rounds_overlapped);
	KUNIT_EXPECT_GT(test, pairs_decided, 0);
}

#ifdef CONFIG_KCSAN
/* KCSAN reports a data race in a file of this suite. */

static unsigned int unmarked;

static int write_unmarked(void *data)
{
	while (!kthread_should_stop()) {
		unmarked++;
		barrier();
		cond_resched_tasks_rcu_qs();
	}
	return 0;
}

static void count_races(void *data, const char *text, size_t len)
{
	/* And not the line that says what is expected. */
	if (strnstr(text, "BUG: KCSAN: data-race in write_unmarked", len))
		atomic_inc(data);
}

static void data_races_are_reported(struct kunit *test)
{
	atomic_t *reports = kunit_kzalloc(test, sizeof(*reports), GFP_KERNEL);
	unsigned long limit = jiffies + PAIRS_LIMIT;
	unsigned int cpus[2] = { cpumask_first(cpu_online_mask), cpumask_last(cpu_online_mask) };
	struct task_struct *task[2];
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, reports);
	if (num_online_cpus() < 2)
		kunit_skip(test, "needs two processors");
	mock_trace(test, "console", count_races, reports);
	mock_expect_warning(test, "KCSAN: data-race in write_unmarked");
	for (i = 0; i < 2; ++i) {
		task[i] = make_thread(test, write_unmarked, NULL, cpus[i]);
		wake_up_process(task[i]);
	}
	while (!atomic_read(reports) && time_before(jiffies, limit))
		msleep(20);
	for (i = 0; i < 2; ++i)
		kunit_release_action(test, stop_task, task[i]);
	mock_expected_report(test);
	KUNIT_EXPECT_GT(test, atomic_read(reports), 0);
}
#endif

static struct kunit_case pairs_cases[] = {
	KUNIT_CASE_PARAM_ATTR(overlap, next_pair, { .speed = KUNIT_SPEED_SLOW }),
	KUNIT_CASE(both_orders_occur),
#ifdef CONFIG_KCSAN
	KUNIT_CASE(data_races_are_reported),
#endif
	{ }
};

static struct kunit_suite pairs_suite = {
	.name = "vb2-release-fence-pairs",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = mock_init,
	.test_cases = pairs_cases,
};

kunit_test_suite(pairs_suite);
