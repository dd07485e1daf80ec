// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checks at the end of every case, so that the case that broke something fails.
 */

#include <linux/debug_locks.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/panic.h>
#include <linux/tracepoint.h>

#include "mock.h"

struct mock_checks {
	struct kunit *test;
	bool lockdep_was_on, had_died;
	int warnings;
	int fences;
};

/* Warnings that were given, and fences of videobuf2 that exist. */
static atomic_t warnings, fences;
static bool warnings_counted, fences_counted;
/* A case has crashed, and its locks stay locked. */
static bool died;

/* Tracepoints */

struct mock_tracepoint {
	const char *name;
	struct tracepoint *found;
	void *probe;
	void *data;
};

static void match_tracepoint(struct tracepoint *tp, void *priv)
{
	struct mock_tracepoint *wanted = priv;

	if (!strcmp(tp->name, wanted->name))
		wanted->found = tp;
}

static int mock_tracepoint_register(struct mock_tracepoint *wanted)
{
	if (!IS_ENABLED(CONFIG_TRACEPOINTS))
		return -EOPNOTSUPP;

	for_each_kernel_tracepoint(match_tracepoint, wanted);
	if (!wanted->found)
		return -ENOENT;
	return tracepoint_probe_register(wanted->found, wanted->probe, wanted->data);
}

static void mock_tracepoint_unregister(void *data)
{
	struct mock_tracepoint *registered = data;

	if (!registered->found)
		return;
	tracepoint_probe_unregister(registered->found, registered->probe, registered->data);
	registered->found = NULL;
	tracepoint_synchronize_unregister();
}

void mock_trace(struct kunit *test, const char *name, void *probe, void *data)
{
	struct mock_tracepoint *tp = kunit_kzalloc(test, sizeof(*tp), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, tp);
	tp->name = name;
	tp->probe = probe;
	tp->data = data;
	if (mock_tracepoint_register(tp))
		kunit_skip(test, "no tracepoint %s that is built in", name);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, mock_tracepoint_unregister, tp));
}

/* Fences: the tracepoints of dma-buf, which is always built in, tell when one comes and goes. */

static bool is_release_fence(struct dma_fence *fence)
{
	return !strcmp(fence->ops->get_driver_name(fence), "videobuf2");
}

static void probe_fence_init(void *data, struct dma_fence *fence)
{
	if (is_release_fence(fence))
		atomic_inc(&fences);
}

static void probe_fence_destroy(void *data, struct dma_fence *fence)
{
	if (is_release_fence(fence))
		atomic_dec(&fences);
}

static struct mock_tracepoint fence_init = {
	.name = "dma_fence_init",
	.probe = probe_fence_init,
};

static struct mock_tracepoint fence_destroy = {
	.name = "dma_fence_destroy",
	.probe = probe_fence_destroy,
};

/* Warnings: what every WARN() ends up in. */

#ifdef CONFIG_KPROBES
static int probe_warning(struct kprobe *kp, struct pt_regs *regs)
{
	atomic_inc(&warnings);
	return 0;
}

static struct kprobe warning_probe;

static int watch_warnings(void)
{
	/* A kprobe that was registered before holds its address, which must not be given again. */
	warning_probe = (struct kprobe){
		.symbol_name = "__warn",
		.pre_handler = probe_warning,
	};
	return register_kprobe(&warning_probe);
}

static void unwatch_warnings(void)
{
	unregister_kprobe(&warning_probe);
}
#else
static int watch_warnings(void)
{
	return -EOPNOTSUPP;
}

static void unwatch_warnings(void) { }
#endif

int mock_suite_init(struct kunit_suite *suite)
{
	fences_counted = !mock_tracepoint_register(&fence_init) &&
			 !mock_tracepoint_register(&fence_destroy);
	warnings_counted = !watch_warnings();
	if (!fences_counted || !warnings_counted)
		pr_info("# %s: without the checks for%s%s\n", suite->name,
			fences_counted ? "" : " forgotten fences",
			warnings_counted ? "" : " warnings");
	return 0;
}

void mock_suite_exit(struct kunit_suite *suite)
{
	if (warnings_counted)
		unwatch_warnings();
	mock_tracepoint_unregister(&fence_init);
	mock_tracepoint_unregister(&fence_destroy);
}

/* The first action to be added, and so the last one to run: all else is cleaned up. */
static void mock_check(void *data)
{
	struct mock_checks *checks = data;
	struct kunit *test = checks->test;

	/* After a report of its own, or one of KASAN. */
	KUNIT_EXPECT_TRUE_MSG(test, debug_locks, "lockdep was turned off %s, see the log",
			      checks->lockdep_was_on ? "by this case" : "before this case");
	if (warnings_counted)
		KUNIT_EXPECT_EQ_MSG(test, checks->warnings, atomic_read(&warnings),
				    "unexpected warning, see the log");
	if (!checks->had_died && test_taint(TAINT_DIE)) {
		died = true;
		return;
	}
	if (fences_counted) {
		unsigned int tries;

		/* Descriptors that the case has closed may still hold some. */
		for (tries = 0; tries < 25 && atomic_read(&fences) != checks->fences; ++tries) {
			flush_delayed_fput();
			msleep(20);
		}
		KUNIT_EXPECT_EQ_MSG(test, checks->fences, atomic_read(&fences),
				    "fences are left behind");
	}
}

int mock_init(struct kunit *test)
{
	struct mock_checks *checks = kunit_kzalloc(test, sizeof(*checks), GFP_KERNEL);

	if (!checks)
		return -ENOMEM;
	if (died) {
		kunit_err(test, "a case before this one has crashed\n");
		return -EDEADLK;
	}
	checks->had_died = test_taint(TAINT_DIE);
	checks->test = test;
	checks->lockdep_was_on = debug_locks;
	checks->warnings = atomic_read(&warnings);
	checks->fences = atomic_read(&fences);
	test->priv = checks;
	if (kunit_add_action_or_reset(test, mock_check, checks))
		return -ENOMEM;
	/* The default is too short for a busy machine where a case is about something else. */
	mock_set_timeout(test, 10000);
	return 0;
}

void mock_expect_warning(struct kunit *test, const char *text)
{
	pr_info("# expected-report-begin: %s\n", text);
}

void mock_expected_report(struct kunit *test)
{
	pr_info("# expected-report-end\n");
}

void mock_expected_warning(struct kunit *test)
{
	struct mock_checks *checks = test->priv;

	mock_expected_report(test);
	if (!warnings_counted)
		return;
	KUNIT_EXPECT_EQ_MSG(test, checks->warnings + 1, atomic_read(&warnings),
			    "a driver bug was not reported, or more than that");
	checks->warnings = atomic_read(&warnings);
}

void mock_counts(struct kunit *test, const char *suite, const char *operation, unsigned int times)
{
	kunit_log(KERN_INFO, test,
		  KUNIT_SUBTEST_INDENT
		  "# counts: {\"suite\": \"%s\", \"operations\": {\"%s\": %u}}\n",
		  suite, operation, times);
}
