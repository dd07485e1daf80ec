// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests on the emulated media blocks of the RK3566: the system is suspended in the middle of a job,
 * and resumed. It does not sleep: when these devices are suspended, the emulated chip that they are
 * a part of refuses, and the kernel resumes them. So nothing else has to survive it; what a virtual
 * machine has its root file system on often does not.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kselftest_harness.h"
#include "jobs.h"

#define STATE		"/sys/power/state"
#define FAILED_DEV	"/sys/power/suspend_stats/last_failed_dev"
#define STAY_AWAKE	"/sys/kernel/debug/rkemu/stay_awake"

#define WATCHDOG_MS	3000
#define DELAY_MS	1500

FIXTURE(suspend) {
	const struct test_device *dev;
	struct jobs jobs;
	struct fences fences;
};

FIXTURE_VARIANT(suspend) {
	const struct job_kind *kind;
};

FIXTURE_VARIANT_ADD(suspend, rga) {
	.kind = &job_rga,
};

FIXTURE_VARIANT_ADD(suspend, h264) {
	.kind = &job_h264,
};

static bool has_word(const char *path, const char *word)
{
	char text[256] = "";
	FILE *file = fopen(path, "r");
	bool has;

	if (!file)
		return false;
	has = fgets(text, sizeof(text), file) && strstr(text, word);
	fclose(file);
	return has;
}

static int suspend_and_resume(void)
{
	int ret, ret2;

	ret = write_text(STAY_AWAKE, "Y");
	if (ret)
		return ret;
	ret = write_text(STATE, "mem");
	ret2 = write_text(STAY_AWAKE, "N");
	/* It got as far as there, and no further. */
	if (ret != -EBUSY || !has_word(FAILED_DEV, "rkemu"))
		return ret ? ret : -ENOEXEC;
	return ret2;
}

FIXTURE_SETUP(suspend)
{
	const char *missing = device_start(variant->kind->dev);

	if (missing)
		SKIP(return, "%s", missing);
	if (!has_word(STATE, "mem"))
		SKIP(return, "no suspend: CONFIG_SUSPEND is needed");
	if (access(STAY_AWAKE, F_OK))
		SKIP(return, "the emulated block has no knob stay_awake");
	self->dev = variant->kind->dev;
	fences_init(&self->fences);
	jobs_init(&self->jobs);
	ASSERT_EQ(0, device_defaults(self->dev));
	ASSERT_EQ(0, watchdog_set(self->dev, WATCHDOG_MS));
	ASSERT_EQ(0, knob_set(self->dev, "delay_us", DELAY_MS * 1000));
	ASSERT_EQ(0, jobs_open(&self->jobs, variant->kind));
}

FIXTURE_TEARDOWN(suspend)
{
	jobs_close(&self->jobs);
	fences_close(&self->fences);
	EXPECT_EQ(0, device_defaults(self->dev));
}

/* Starts job 1, leaves jobs 2 and 3 waiting. */
static void start(struct __test_metadata *_metadata, struct jobs *jobs, struct fences *fences)
{
	unsigned int slot;

	for (slot = 0; slot < JOB_SLOTS; slot++)
		ASSERT_EQ(0, job_blank(jobs, slot));
	for (slot = 0; slot < JOB_SLOTS; slot++)
		ASSERT_EQ(0, job_start(jobs, slot, slot + 1));
	ASSERT_EQ(0, fences_take(jobs, 0, fences));
	ASSERT_EQ(0, fences_wait(fences, 0));
}

/* The job that runs ends before the devices are suspended, the others run after the resume. */
TEST_F_TIMEOUT(suspend, in_a_job, CASE_S)
{
	const long completed = knob_get(self->dev, "completed");
	unsigned int slot;

	start(_metadata, &self->jobs, &self->fences);
	ASSERT_EQ(0, suspend_and_resume());
	EXPECT_EQ(1, fences_wait(&self->fences, 0));
	EXPECT_GT(completed + JOB_SLOTS, knob_get(self->dev, "completed"));
	for (slot = 0; slot < JOB_SLOTS; slot++) {
		EXPECT_EQ(0, job_end(&self->jobs, slot, slot + 1, SOON_MS));
		EXPECT_TRUE(job_shows(&self->jobs, slot, slot + 1));
	}
	EXPECT_EQ(0, job_run(&self->jobs, 0, 10));
}

/* The watchdog works while the system goes to sleep, and that does not hang either. */
TEST_F_TIMEOUT(suspend, in_a_job_that_hangs, CASE_S)
{
	unsigned int slot;

	ASSERT_EQ(0, fault_set(self->dev, "never-completes", 1));
	start(_metadata, &self->jobs, &self->fences);
	ASSERT_EQ(0, suspend_and_resume());
	EXPECT_GT(0, fences_wait(&self->fences, 0));
	EXPECT_EQ(-EIO, job_end(&self->jobs, 0, 1, SOON_MS));
	EXPECT_TRUE(job_shows(&self->jobs, 0, 0));
	for (slot = 1; slot < JOB_SLOTS; slot++) {
		EXPECT_EQ(0, job_end(&self->jobs, slot, slot + 1, SOON_MS));
		EXPECT_TRUE(job_shows(&self->jobs, slot, slot + 1));
	}
	EXPECT_EQ(0, job_run(&self->jobs, 0, 10));
}

TEST_F_TIMEOUT(suspend, idle, CASE_S)
{
	ASSERT_EQ(0, job_run(&self->jobs, 0, 1));
	ASSERT_EQ(0, suspend_and_resume());
	EXPECT_EQ(0, job_run(&self->jobs, 0, 2));
	ASSERT_EQ(0, jobs_stop(&self->jobs));
	ASSERT_EQ(0, suspend_and_resume());
	ASSERT_EQ(0, jobs_go(&self->jobs));
	EXPECT_EQ(0, job_run(&self->jobs, 0, 3));
}

TEST_HARNESS_MAIN
