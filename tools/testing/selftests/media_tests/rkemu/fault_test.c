// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests on the emulated media blocks of the RK3566: how the fences of a job that goes wrong end,
 * and whether the device works after that, for the same open file.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "jobs.h"

/* The drivers' watchdogs: long where something else is to come first. */
#define WATCHDOG_MS		1000
#define LONG_WATCHDOG_MS	4000
#define TIMEOUT_MS		500
#define LONG_US			300000
/*
 * A watchdog that expires while the processor is taken away, a job that does not last so long. No
 * real-time task gets more than 950 ms of a second.
 */
#define SHORT_WATCHDOG_MS	500
#define TAKEN_MS		800
#define SHORT_US		10000

FIXTURE(fault) {
	const struct test_device *dev;
	struct jobs jobs;
	struct fences fences;
};

FIXTURE_VARIANT(fault) {
	const struct job_kind *kind;
};

FIXTURE_VARIANT_ADD(fault, rga) {
	.kind = &job_rga,
};

FIXTURE_VARIANT_ADD(fault, h264) {
	.kind = &job_h264,
};

FIXTURE_VARIANT_ADD(fault, vp8) {
	.kind = &job_vp8,
};

FIXTURE_SETUP(fault)
{
	const char *missing = device_start(variant->kind->dev);

	if (missing)
		SKIP(return, "%s", missing);
	self->dev = variant->kind->dev;
	fences_init(&self->fences);
	jobs_init(&self->jobs);
	ASSERT_EQ(0, device_defaults(self->dev));
	ASSERT_EQ(0, jobs_open(&self->jobs, variant->kind));
}

FIXTURE_TEARDOWN(fault)
{
	fences_close(&self->fences);
	jobs_close(&self->jobs);
	EXPECT_EQ(0, device_defaults(self->dev));
}

/* Starts job @n on blank buffers, and keeps both fences of it, which are pending. */
static void start(struct __test_metadata *_metadata, struct jobs *jobs, struct fences *fences,
		  __u32 n)
{
	ASSERT_EQ(0, job_blank(jobs, 0));
	ASSERT_EQ(0, job_begin(jobs, 0, n));
	ASSERT_EQ(0, fences_take(jobs, 0, fences));
	ASSERT_EQ(0, fences_wait(fences, 0));
}

/* The first of them with fences that are pending, and end well. */
static void good_jobs(struct __test_metadata *_metadata, struct jobs *jobs, struct fences *fences,
		      __u32 n)
{
	ASSERT_EQ(0, knob_set(jobs->kind->dev, "delay_us", LONG_US));
	start(_metadata, jobs, fences, n);
	EXPECT_EQ(1, fences_wait(fences, SOON_MS));
	EXPECT_EQ(0, job_end(jobs, 0, n, SOON_MS));
	EXPECT_TRUE(job_shows(jobs, 0, n));
	ASSERT_EQ(0, knob_set(jobs->kind->dev, "delay_us", 1000));
	EXPECT_EQ(0, job_run(jobs, 1, n + 1));
	EXPECT_EQ(0, job_run(jobs, 2, n + 2));
}

TEST_F_TIMEOUT(fault, never_completes, CASE_S)
{
	const unsigned int times = 3;
	__u32 n;

	ASSERT_EQ(0, watchdog_set(self->dev, WATCHDOG_MS));
	ASSERT_EQ(0, fault_set(self->dev, "never-completes", times));
	for (n = 1; n <= times; n++) {
		const long resets = knob_get(self->dev, "resets");

		start(_metadata, &self->jobs, &self->fences, n);
		EXPECT_GT(0, fences_wait(&self->fences, 3 * WATCHDOG_MS));
		EXPECT_EQ(-EIO, job_end(&self->jobs, 0, n, SOON_MS));
		EXPECT_EQ(1, dmabuf_ready(job_picture(&self->jobs, 0)->dmabuf, POLLIN, 0));
		EXPECT_TRUE(job_shows(&self->jobs, 0, 0));
		/* The device has a reset of its own. */
		EXPECT_EQ(resets, knob_get(self->dev, "resets"));
	}
	good_jobs(_metadata, &self->jobs, &self->fences, n);
}

/* A job that waits for one that hangs runs when that one is given up. */
TEST_F_TIMEOUT(fault, never_completes_with_another, CASE_S)
{
	ASSERT_EQ(0, watchdog_set(self->dev, WATCHDOG_MS));
	ASSERT_EQ(0, fault_set(self->dev, "never-completes", 1));
	start(_metadata, &self->jobs, &self->fences, 1);
	ASSERT_EQ(0, job_start(&self->jobs, 1, 2));
	EXPECT_GT(0, fences_wait(&self->fences, 3 * WATCHDOG_MS));
	EXPECT_EQ(-EIO, job_end(&self->jobs, 0, 1, SOON_MS));
	EXPECT_EQ(0, job_end(&self->jobs, 1, 2, SOON_MS));
	EXPECT_TRUE(job_shows(&self->jobs, 1, 2));
	good_jobs(_metadata, &self->jobs, &self->fences, 3);
}

/* videobuf2's own timeout comes first, then the driver's watchdog: the fence ends once. */
TEST_F_TIMEOUT(fault, timeout_then_watchdog, CASE_S)
{
	long long begin;
	int ret;

	ASSERT_EQ(0, watchdog_set(self->dev, LONG_WATCHDOG_MS));
	ASSERT_EQ(0, timeout_set(TIMEOUT_MS));
	ASSERT_EQ(0, fault_set(self->dev, "never-completes", 1));
	begin = now_ms();
	start(_metadata, &self->jobs, &self->fences, 1);
	EXPECT_EQ(-ETIMEDOUT, fences_wait(&self->fences, SOON_MS));
	EXPECT_EQ(-ETIMEDOUT, fence_status(self->fences.input));
	EXPECT_EQ(1, dmabuf_ready(job_picture(&self->jobs, 0)->dmabuf, POLLIN, 0));

	/* The buffers are still the driver's. */
	ret = job_end(&self->jobs, 0, 1, 0);
	if (now_ms() - begin < LONG_WATCHDOG_MS)
		EXPECT_EQ(-EAGAIN, ret);
	if (ret == -EAGAIN)
		ret = job_end(&self->jobs, 0, 1, SOON_MS);
	EXPECT_EQ(-EIO, ret);
	EXPECT_EQ(-ETIMEDOUT, fences_wait(&self->fences, 0));

	ASSERT_EQ(0, timeout_set(10000));
	good_jobs(_metadata, &self->jobs, &self->fences, 2);
}

/* The timeout ends the fence only: a job that is late, but ends well, does so after it. */
TEST_F_TIMEOUT(fault, timeout_then_end, CASE_S)
{
	ASSERT_EQ(0, watchdog_set(self->dev, 30000));
	ASSERT_EQ(0, timeout_set(TIMEOUT_MS));
	ASSERT_EQ(0, knob_set(self->dev, "delay_us", 3 * TIMEOUT_MS * 1000));
	start(_metadata, &self->jobs, &self->fences, 1);
	EXPECT_EQ(-ETIMEDOUT, fences_wait(&self->fences, SOON_MS));
	EXPECT_EQ(0, job_end(&self->jobs, 0, 1, SOON_MS));
	EXPECT_TRUE(job_shows(&self->jobs, 0, 1));
	EXPECT_EQ(-ETIMEDOUT, fences_wait(&self->fences, 0));

	ASSERT_EQ(0, timeout_set(10000));
	good_jobs(_metadata, &self->jobs, &self->fences, 2);
}

/* A watchdog that is made longer than the timeout, before the file is opened, comes first too. */
TEST_F_TIMEOUT(fault, longer_watchdog, CASE_S)
{
	ASSERT_EQ(0, watchdog_set(self->dev, LONG_WATCHDOG_MS));
	jobs_close(&self->jobs);
	jobs_init(&self->jobs);
	ASSERT_EQ(0, jobs_open(&self->jobs, variant->kind));
	ASSERT_EQ(0, fault_set(self->dev, "never-completes", 1));
	start(_metadata, &self->jobs, &self->fences, 1);
	EXPECT_EQ(-EIO, fences_wait(&self->fences, SOON_MS));
	EXPECT_EQ(-EIO, job_end(&self->jobs, 0, 1, SOON_MS));
}

TEST_F_TIMEOUT(fault, timeout_then_streamoff, CASE_S)
{
	ASSERT_EQ(0, watchdog_set(self->dev, LONG_WATCHDOG_MS));
	ASSERT_EQ(0, timeout_set(TIMEOUT_MS));
	ASSERT_EQ(0, fault_set(self->dev, "never-completes", 1));
	start(_metadata, &self->jobs, &self->fences, 1);
	EXPECT_EQ(-ETIMEDOUT, fences_wait(&self->fences, SOON_MS));
	EXPECT_EQ(0, jobs_stop(&self->jobs));
	EXPECT_EQ(-ETIMEDOUT, fences_wait(&self->fences, 0));

	ASSERT_EQ(0, timeout_set(10000));
	ASSERT_EQ(0, jobs_go(&self->jobs));
	good_jobs(_metadata, &self->jobs, &self->fences, 2);
}

TEST_F_TIMEOUT(fault, error, CASE_S)
{
	const unsigned int times = 5;
	const long errors = knob_get(self->dev, "errors");
	__u32 n;

	/* Not the watchdog is to find it. */
	ASSERT_EQ(0, watchdog_set(self->dev, 2 * SOON_MS));
	ASSERT_EQ(0, knob_set(self->dev, "delay_us", LONG_US));
	ASSERT_EQ(0, fault_set(self->dev, "error", times));
	for (n = 1; n <= times; n++) {
		start(_metadata, &self->jobs, &self->fences, n);
		EXPECT_GT(0, fences_wait(&self->fences, SOON_MS));
		EXPECT_EQ(-EIO, job_end(&self->jobs, 0, n, SOON_MS));
		EXPECT_TRUE(job_shows(&self->jobs, 0, 0));
	}
	EXPECT_EQ(errors + times, knob_get(self->dev, "errors"));
	good_jobs(_metadata, &self->jobs, &self->fences, n);
}

TEST_F_TIMEOUT(fault, interrupt_twice, CASE_S)
{
	const unsigned int times = 20;
	__u32 n;

	ASSERT_EQ(0, fault_set(self->dev, "interrupt-twice", times));
	for (n = 1; n <= times; n++) {
		const long interrupts = knob_get(self->dev, "interrupts");

		ASSERT_EQ(0, job_blank(&self->jobs, 0));
		ASSERT_EQ(0, job_run(&self->jobs, 0, n));
		/* A driver cannot tell it from the end of the next job, if it comes that late. */
		ASSERT_TRUE(knob_reaches(self->dev, "interrupts", interrupts + 2, SOON_MS));
		sleep_ms(10);
	}
	good_jobs(_metadata, &self->jobs, &self->fences, n);
}

/* An interrupt without a job: before the first one, between two, and when nothing is streaming. */
TEST_F_TIMEOUT(fault, interrupt_without_job, CASE_S)
{
	const long interrupts = knob_get(self->dev, "interrupts");

	ASSERT_EQ(0, knob_set(self->dev, "raise", 1));
	ASSERT_EQ(0, job_run(&self->jobs, 0, 1));
	ASSERT_EQ(0, knob_set(self->dev, "raise", 1));
	ASSERT_EQ(0, knob_set(self->dev, "raise", 1));
	ASSERT_EQ(0, job_run(&self->jobs, 0, 2));
	ASSERT_EQ(0, jobs_stop(&self->jobs));
	ASSERT_EQ(0, knob_set(self->dev, "raise", 1));
	EXPECT_EQ(interrupts + 6, knob_get(self->dev, "interrupts"));
	ASSERT_EQ(0, jobs_go(&self->jobs));
	good_jobs(_metadata, &self->jobs, &self->fences, 3);
}

TEST_F_TIMEOUT(fault, slow, CASE_S)
{
	ASSERT_EQ(0, watchdog_set(self->dev, SOON_MS));
	ASSERT_EQ(0, knob_set(self->dev, "delay_us", LONG_US));
	ASSERT_EQ(0, fault_set(self->dev, "slow", 1));
	start(_metadata, &self->jobs, &self->fences, 1);
	EXPECT_EQ(0, fences_wait(&self->fences, 300));
	EXPECT_EQ(1, fences_wait(&self->fences, SOON_MS));
	EXPECT_EQ(0, job_end(&self->jobs, 0, 1, SOON_MS));
	EXPECT_TRUE(job_shows(&self->jobs, 0, 1));
	good_jobs(_metadata, &self->jobs, &self->fences, 2);
}

/* All of them in turn, and a good job after each. */
TEST_F_TIMEOUT(fault, in_turn, CASE_S)
{
	static const struct {
		const char *name;
		/* Of the job with the fault and a good one */
		unsigned int interrupts;
	} faults[] = {
		{ "error", 2 }, { "never-completes", 1 }, { "slow", 2 }, { "error", 2 },
		{ "interrupt-twice", 3 }, { "never-completes", 1 },
	};
	unsigned int i;
	__u32 n = 1;

	ASSERT_EQ(0, watchdog_set(self->dev, WATCHDOG_MS));
	for (i = 0; i < ARRAY_COUNT(faults); i++) {
		const long interrupts = knob_get(self->dev, "interrupts");
		int ret;

		ASSERT_EQ(0, fault_set(self->dev, faults[i].name, 1));
		ASSERT_EQ(0, job_start(&self->jobs, 0, n));
		ASSERT_EQ(0, job_start(&self->jobs, 1, n + 1));
		ret = job_end(&self->jobs, 0, n, SOON_MS);
		EXPECT_TRUE(ret == 0 || ret == -EIO) {
			TH_LOG("after %s: %d", faults[i].name, ret);
		}
		ret = job_end(&self->jobs, 1, n + 1, SOON_MS);
		EXPECT_TRUE(ret == 0 || ret == -EIO) {
			TH_LOG("after %s: %d", faults[i].name, ret);
		}
		/* The second one of two may have ended the good job, which still runs, then. */
		EXPECT_TRUE(knob_reaches(self->dev, "interrupts",
					 interrupts + faults[i].interrupts, SOON_MS));
		sleep_ms(10);
		n += 2;
		EXPECT_EQ(0, job_run(&self->jobs, 0, n++));
	}
	good_jobs(_metadata, &self->jobs, &self->fences, n);
}

/* Memory reclaim may wait for the watchdog: it does not need memory for a worker. */
TEST_F_TIMEOUT(fault, watchdog_is_rescued, CASE_S)
{
	char expected[64], name[64];
	unsigned int rescuers = 0;
	glob_t found;
	size_t i;

	snprintf(expected, sizeof(expected), "kworker/R-%s\n", self->dev->device);
	ASSERT_EQ(0, glob("/proc/[0-9]*/comm", 0, NULL, &found));
	for (i = 0; i < found.gl_pathc; i++)
		rescuers += !read_text(found.gl_pathv[i], name, sizeof(name)) &&
			    !strcmp(name, expected);
	globfree(&found);
	EXPECT_EQ(1, rescuers);
}

#define TRACE	"/sys/kernel/tracing/instances/watchdog"

static int on_processor(unsigned int number)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(number, &set);
	return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}

struct taking {
	int trace;
	unsigned int times;
};

/* Takes the processor away from whatever schedules a delayed work, right there. */
static void *take_processor(void *data)
{
	struct taking *taking = data;
	char event[4096];

	while (read(taking->trace, event, sizeof(event)) > 0) {
		const long long end = now_ms() + TAKEN_MS;

		taking->times++;
		while (now_ms() < end)
			;
	}
	return NULL;
}

/*
 * A real-time task comes between the scheduling of the watchdog and the start of the hardware, and
 * stays until the watchdog has expired: the hardware does not start on buffers that were returned.
 */
TEST_F_TIMEOUT(fault, preempted_before_the_start, CASE_S)
{
	const struct sched_param first = { .sched_priority = 50 }, last = {};
	const int processor = sysconf(_SC_NPROCESSORS_ONLN) - 1;
	struct taking taking = {};
	pthread_attr_t attr;
	pthread_t thread;
	char filter[128];

	ASSERT_LT(0, processor);
	rmdir(TRACE);
	ASSERT_EQ(0, mkdir(TRACE, 0700));
	snprintf(filter, sizeof(filter),
		 "function.function == delayed_work_timer_fn && common_pid == %d", getpid());
	ASSERT_EQ(0, write_text(TRACE "/events/timer/timer_start/filter", filter));
	ASSERT_EQ(0, write_text(TRACE "/events/timer/timer_start/enable", "1"));
	taking.trace = open(TRACE "/trace_pipe", O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, taking.trace);

	ASSERT_EQ(0, watchdog_set(self->dev, SHORT_WATCHDOG_MS));
	ASSERT_EQ(0, knob_set(self->dev, "delay_us", SHORT_US));
	ASSERT_EQ(0, job_blank(&self->jobs, 0));
	ASSERT_EQ(0, on_processor(processor));
	ASSERT_EQ(0, pthread_attr_init(&attr));
	ASSERT_EQ(0, pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED));
	ASSERT_EQ(0, pthread_attr_setschedpolicy(&attr, SCHED_FIFO));
	ASSERT_EQ(0, pthread_attr_setschedparam(&attr, &first));
	ASSERT_EQ(0, pthread_create(&thread, &attr, take_processor, &taking));
	/* After it the watchdog comes first. */
	ASSERT_EQ(0, sched_setscheduler(0, SCHED_IDLE, &last));
	sleep_ms(100);

	EXPECT_EQ(0, job_start(&self->jobs, 0, 1));
	EXPECT_EQ(0, job_end(&self->jobs, 0, 1, SOON_MS));
	EXPECT_TRUE(job_shows(&self->jobs, 0, 1));
	EXPECT_EQ(0, pthread_cancel(thread));
	EXPECT_EQ(0, pthread_join(thread, NULL));
	EXPECT_LT(0, taking.times);
	close(taking.trace);
	EXPECT_EQ(0, write_text(TRACE "/events/timer/timer_start/enable", "0"));
	EXPECT_EQ(0, rmdir(TRACE));
}

TEST_HARNESS_MAIN
