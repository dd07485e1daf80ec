// SPDX-License-Identifier: GPL-2.0-only
/*
 * A timeline of sw_sync, whose fences the other tests import, whose points are dropped while it
 * signals them.
 */

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "device.h"

/* A step of a timeline signals so many fences, of a point each. */
#define POINTS		32
/* So many steps come while these are dropped; how long that may take. */
#define STEPS		30
#define STEPS_MS	120000

FIXTURE(sw_sync) {
	int timeline;
};

FIXTURE_SETUP(sw_sync)
{
	self->timeline = open(SW_SYNC, O_RDWR | O_CLOEXEC);
	if (self->timeline < 0)
		SKIP(return, "no " SW_SYNC ": CONFIG_SW_SYNC=y is needed");
}

FIXTURE_TEARDOWN(sw_sync)
{
	close_fd(&self->timeline);
}

/* Bit 9 of /proc/sys/kernel/tainted: the kernel has warned of something. */
static bool kernel_warned(void)
{
	unsigned long taints = 0;
	FILE *file = fopen("/proc/sys/kernel/tainted", "r");

	if (!file || fscanf(file, "%lu", &taints) != 1)
		taints = ~0UL;
	if (file)
		fclose(file);
	return taints & (1 << 9);
}

/**
 * struct points - what the next step of a timeline signals
 * @fences: of its points
 * @step: whose fences are to be dropped now
 * @dropped: how many of them were
 * @over: no more steps
 */
struct points {
	int fences[POINTS];
	atomic_uint step;
	atomic_uint dropped;
	atomic_bool over;
};

static void *drop_points(void *data)
{
	struct points *points = data;
	unsigned int step, i;

	for (step = 1;; step++) {
		while (atomic_load(&points->step) != step)
			if (atomic_load(&points->over))
				return NULL;
		/* The last one first: the step comes from the other end. */
		for (i = POINTS; i > 0; i--) {
			close(points->fences[i - 1]);
			atomic_fetch_add(&points->dropped, 1);
		}
	}
}

/*
 * A timeline that steps on while the last reference of a fence is put must leave that one alone: in
 * Linux 6.12 it takes a reference again.
 */
TEST_F_TIMEOUT(sw_sync, points_dropped_while_signalled, CASE_S)
{
	const long long end = now_ms() + STEPS_MS;
	struct points points = {};
	unsigned int met = 0, step, i;
	pthread_t dropper;

	ASSERT_FALSE(kernel_warned());
	ASSERT_EQ(0, pthread_create(&dropper, NULL, drop_points, &points));
	for (step = 1; met < STEPS && now_ms() < end; step++) {
		__u32 count = POINTS;
		unsigned int before;

		for (i = 0; i < POINTS; i++) {
			points.fences[i] = sw_sync_fence(self->timeline,
							 (step - 1) * POINTS + i + 1);
			ASSERT_LE(0, points.fences[i]);
		}
		atomic_store(&points.dropped, 0);
		atomic_store(&points.step, step);
		/* It has begun. */
		do {
			before = atomic_load(&points.dropped);
		} while (!before);
		EXPECT_EQ(0, ioctl(self->timeline, SW_SYNC_IOC_INC, &count));
		if (atomic_load(&points.dropped) != before)
			met++;
		while (atomic_load(&points.dropped) != POINTS)
			;
	}
	atomic_store(&points.over, true);
	ASSERT_EQ(0, pthread_join(dropper, NULL));
	TH_LOG("%u of %u steps while fences were dropped", met, step - 1);
	EXPECT_LE(STEPS, met);
	EXPECT_FALSE(kernel_warned());
}

TEST_HARNESS_MAIN
