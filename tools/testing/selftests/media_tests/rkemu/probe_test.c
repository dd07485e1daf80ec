// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests on the emulated media blocks of the RK3566: a driver is bound, and has no clock, no reset
 * line, or no memory. Each allocation fails in turn, until it needs no more of them. The driver is
 * bound or it is not, nothing is left of what failed, and once all is there the next job is right.
 *
 * FAIL_STRIDE of the environment lets only every so many-th allocation fail. By default all do, one
 * after the other, and kmemleak is asked.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "kselftest_harness.h"
#include "counts.h"
#include "fail_nth.h"
#include "fence_trace.h"
#include "jobs.h"
#include "kmemleak.h"

/* More than any of the drivers allocates. */
#define MANY		2000
/* How long a sweep may take, in seconds. */
#define SWEEP_S		3600
/* A bug of Linux 6.12: it loses the name of a device that it cannot register. */
#define LOSES_NAME	"__video_register_device"

FIXTURE(probe) {
	unsigned int stride;
};

FIXTURE_VARIANT(probe) {
	const struct job_kind *kind;
};

FIXTURE_VARIANT_ADD(probe, rga) {
	.kind = &job_rga,
};

FIXTURE_VARIANT_ADD(probe, h264) {
	.kind = &job_h264,
};

FIXTURE_SETUP(probe)
{
	const char *missing = device_start(variant->kind->dev);

	if (!missing)
		missing = fail_start();
	if (missing)
		SKIP(return, "%s", missing);
	self->stride = fail_stride();
	ASSERT_LT(0, self->stride);
	ASSERT_EQ(0, device_defaults(variant->kind->dev));
}

FIXTURE_TEARDOWN(probe)
{
	fail_stop();
	EXPECT_EQ(0, device_defaults(variant->kind->dev));
	EXPECT_EQ(0, write_text(CLOCKS_FAIL, "N"));
	EXPECT_EQ(0, write_text(RESETS_FAIL, "N"));
}

/* Binds, the @nth allocation fails. */
static const char *try_bind(const struct job_kind *kind, unsigned int nth, int *ret, bool *hit)
{
	const struct test_device *dev = kind->dev;
	int ended;

	if (device_bind(dev, false))
		return "the driver cannot be unbound";
	if (fail_begin(nth))
		return "fail-nth does not work";
	*ret = device_bind(dev, true);
	ended = fail_end();
	if (ended < 0)
		return "fail-nth does not work";
	*hit = ended;
	if (*ret && !*hit)
		return "it fails by itself";
	if (*ret && device_bind(dev, true))
		return "it fails once more, with memory";
	return device_works(kind, nth);
}

/* For scripts that check the kernel's log: the report that comes now is one that is known. */
static void tell_log(struct __test_metadata *_metadata, const char *text)
{
	ASSERT_EQ(0, write_text("/dev/kmsg", text));
}

static void only_names_are_lost(struct __test_metadata *_metadata)
{
	long lost, names;

	tell_log(_metadata, "# expected-report-begin: new suspected memory leaks");
	lost = kmemleak_count_in(LOSES_NAME, &names);
	tell_log(_metadata, "# expected-report-end");
	EXPECT_LT(0, names);
	EXPECT_EQ(names, lost);
}

TEST_F_TIMEOUT(probe, memory, SWEEP_S)
{
	const struct job_kind *kind = variant->kind;
	unsigned int nth, jobs = 0, nomem = 0, other = 0, nothing = 0;
	struct fence_counts counts = {};
	const char *wrong = NULL;
	bool hit = true;
	int ret = 0;

	ASSERT_EQ(0, kmemleak_start());
	ASSERT_EQ(0, fence_counts_start());
	for (nth = 1; nth < MANY && hit && !wrong; nth += self->stride) {
		wrong = try_bind(kind, nth, &ret, &hit);
		jobs++;
		nomem += ret == -ENOMEM;
		other += ret && ret != -ENOMEM;
		nothing += !ret && hit;
	}
	printf("# %s: %u ENOMEM, %u other errors, %u nothing\n", kind->dev->driver, nomem, other,
	       nothing);
	counts_operation(SUITE_FAULTS, "probe", nomem + other + nothing);
	EXPECT_EQ(NULL, wrong) {
		TH_LOG("allocation %u of %s: %s (%d)", nth - self->stride, kind->dev->driver,
		       wrong, ret);
	}
	EXPECT_GT(MANY, nth);
	EXPECT_LT(0, nomem);
	ASSERT_EQ(0, fence_counts_end(&counts));
	/* Those of both buffers. */
	EXPECT_EQ(2 * (long)jobs, counts.armed);
	EXPECT_EQ(counts.armed, counts.signalled);
	EXPECT_EQ(counts.made, counts.gone);
	fail_stop();
	ASSERT_EQ(0, rkemu_enable(false));
	if (self->stride == 1)
		only_names_are_lost(_metadata);
}

/* What the device depends on fails, and does not the next time. */
static void dependence(struct __test_metadata *_metadata, const struct job_kind *kind,
		       const char *knob, bool for_good)
{
	ASSERT_EQ(0, device_bind(kind->dev, false));
	ASSERT_EQ(0, write_text(knob, "Y"));
	EXPECT_EQ(-EIO, device_bind(kind->dev, true));
	ASSERT_EQ(0, write_text(knob, "N"));
	/* The PM core does not try again to resume a device that once could not be resumed. */
	if (for_good) {
		EXPECT_EQ(-EINVAL, device_bind(kind->dev, true));
		ASSERT_EQ(0, rkemu_enable(false));
		ASSERT_EQ(0, rkemu_enable(true));
	}
	ASSERT_EQ(0, device_bind(kind->dev, true));
	EXPECT_EQ(NULL, device_works(kind, 1));
}

TEST_F_TIMEOUT(probe, clocks, CASE_S)
{
	dependence(_metadata, variant->kind, CLOCKS_FAIL, variant->kind == &job_rga);
}

TEST_F_TIMEOUT(probe, resets, CASE_S)
{
	dependence(_metadata, variant->kind, RESETS_FAIL, false);
}

TEST_HARNESS_MAIN
