// SPDX-License-Identifier: GPL-2.0-only
/*
 * A fence that a job of a mem2mem device waits for is signalled while the application, or the
 * device, does something.
 */

#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/string.h>

#include "acquire-m2m.h"
#include "races.h"

#define ROUNDS		100
#define MEETINGS	10
#define MOST_TIME	(60 * HZ)

struct meeting {
	const char *name;
	/* What comes before, and what meets the signal. */
	void (*before)(struct m2m *m2m);
	void (*operation)(struct m2m *m2m);
	/* So many jobs have begun after both, or as many or one less. */
	int runs;
	bool maybe;
};

static void nothing(struct m2m *m2m)
{
}

static void queue_job(struct m2m *m2m)
{
	acquire_queue_job(m2m, 0);
}

/* One runs, and the next one waits. */
static void run_and_queue(struct m2m *m2m)
{
	acquire_queue_job(m2m, 1);
	acquire_queue_job(m2m, 0);
}

static void end_job(struct m2m *m2m)
{
	m2m_end(m2m, VB2_BUF_STATE_DONE);
}

/* The OUTPUT buffer has a fence of its own. */
static void queue_two_fences(struct m2m *m2m)
{
	m2m->fence = acquire_user(m2m, OUTPUT, 0);
	acquire_queue_job(m2m, 0);
}

static void signal_other(struct m2m *m2m)
{
	dma_fence_signal(m2m->fence);
}

static void streamoff(struct m2m *m2m)
{
	KUNIT_EXPECT_EQ(m2m->test, 0, v4l2_m2m_streamoff(NULL, m2m->ctx, CAPTURE));
}

static const struct meeting meetings[] = {
	{ "QBUF", nothing, queue_job, 1 },
	{ "end of a job", run_and_queue, end_job, 2 },
	{ "another signal", queue_two_fences, signal_other, 1 },
	{ "STREAMOFF", queue_job, streamoff, 1, true },
	{ "close", queue_job, m2m_close, 1, true },
};

static void meeting_desc(const struct meeting *meeting, char *desc)
{
	strscpy(desc, meeting->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(meeting, meetings, meeting_desc);

/* A round has a context of its own, so that it can be closed; they share the device. */
static void meet(struct kunit *test)
{
	const struct meeting *meeting = test->param_value;
	const unsigned long give_up = jiffies + MOST_TIME;
	struct m2m *first = M2M_ACQUIRING(test);
	struct outcomes outcomes = { };
	struct rival *rival;
	unsigned int round;

	if (num_online_cpus() < 2)
		kunit_skip(test, "needs two processors");
	rival = rival_start(test, rival_signal, &(struct rival){ });
	for (round = 0; round < ROUNDS || !outcomes.early || !outcomes.late ||
	     outcomes.overlapped < MEETINGS; ++round) {
		struct m2m *m2m = M2M_ACQUIRING(test, .dev = first->dev);
		ktime_t begin;
		bool early;
		int runs;

		if (round >= ROUNDS && time_after(jiffies, give_up))
			break;
		rival->fence = acquire_user(m2m, CAPTURE, 0);
		meeting->before(m2m);
		begin = ktime_add_us(ktime_get(), 50);
		rival->when = ktime_add_us(begin, max(outcomes.shift_us, 0));
		rival_begin_round(rival);
		spin_until(ktime_add_us(begin, max(-outcomes.shift_us, 0)));
		early = dma_fence_is_signaled(rival->fence);
		meeting->operation(m2m);
		account(&outcomes, early, !dma_fence_is_signaled(rival->fence),
			1 + round * 7 % 32);
		runs = m2m_runs(m2m);
		rival_wait_for_round(rival);

		if (meeting->maybe) {
			/* What was cancelled does not begin. */
			usleep_range(500, 1000);
			KUNIT_ASSERT_EQ(test, runs, m2m_runs(m2m));
			KUNIT_ASSERT_LE(test, runs, meeting->runs);
		} else {
			/* The signal is not lost, and does not count twice. */
			KUNIT_ASSERT_TRUE(test, m2m_reaches(m2m, meeting->runs));
			m2m_end(m2m, VB2_BUF_STATE_DONE);
			KUNIT_ASSERT_EQ(test, meeting->runs, m2m_runs(m2m));
		}
		if (meeting->operation != m2m_close)
			m2m_close(m2m);
		mock_fence_end(test, rival->fence);
		cond_resched();
	}
	kunit_info(test, "of %u rounds %u overlapped, %u came first, %u came second\n", round,
		   outcomes.overlapped, outcomes.early, outcomes.late);
	KUNIT_EXPECT_GT(test, outcomes.early, 0);
	KUNIT_EXPECT_GT(test, outcomes.late, 0);
	KUNIT_EXPECT_GE(test, outcomes.overlapped, MEETINGS);
}

static struct kunit_case acquire_m2m_races_cases[] = {
	KUNIT_CASE_PARAM(meet, meeting_gen_params),
	{ }
};

static struct kunit_suite acquire_m2m_races_suite = {
	.name = "vb2-release-fence-acquire-m2m-races",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = acquire_init,
	.test_cases = acquire_m2m_races_cases,
};

kunit_test_suite(acquire_m2m_races_suite);
