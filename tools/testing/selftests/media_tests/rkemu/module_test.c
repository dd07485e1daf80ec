// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests on the emulated media blocks of the RK3566: modules go away in the middle of a job. For
 * them, rkemu, hantro-vpu, rockchip-rga and videobuf2 have to be modules.
 */

#include <errno.h>

#include "kselftest_harness.h"
#include "jobs.h"
#include "modules.h"

/* A job ends by itself, but not before the way out is taken. */
#define DELAY_MS	600

/*
 * @file: that has one job running, number 1 in slot 0
 * @fences: of that job
 */
FIXTURE(module) {
	const struct test_device *dev;
	struct jobs file;
	struct fences fences;
};

FIXTURE_VARIANT(module) {
	const struct job_kind *kind;
	const char *allocator;
};

FIXTURE_VARIANT_ADD(module, rga) {
	.kind = &job_rga,
	.allocator = "videobuf2_dma_sg",
};

FIXTURE_VARIANT_ADD(module, h264) {
	.kind = &job_h264,
	.allocator = "videobuf2_dma_contig",
};

FIXTURE_SETUP(module)
{
	const struct test_device *dev = variant->kind->dev;
	const char *missing = device_start(dev);
	long started;

	if (missing)
		SKIP(return, "%s", missing);
	if (!is_module("rkemu") || !is_module(dev->module) || !is_module(variant->allocator))
		SKIP(return, "rkemu, %s or %s is built in", dev->module, variant->allocator);
	self->dev = dev;
	fences_init(&self->fences);
	jobs_init(&self->file);
	ASSERT_EQ(0, device_defaults(dev));
	ASSERT_EQ(0, knob_set(dev, "delay_us", DELAY_MS * 1000));
	ASSERT_EQ(0, jobs_open(&self->file, variant->kind));
	ASSERT_EQ(0, job_blank(&self->file, 0));

	started = knob_get(dev, "jobs");
	ASSERT_EQ(0, job_start(&self->file, 0, 1));
	ASSERT_TRUE(knob_reaches(dev, "jobs", started + 1, SOON_MS));
	ASSERT_EQ(0, fences_take(&self->file, 0, &self->fences));
	ASSERT_EQ(0, fences_wait(&self->fences, 0));
}

FIXTURE_TEARDOWN(module)
{
	jobs_close(&self->file);
	fences_close(&self->fences);
	EXPECT_EQ(0, device_defaults(self->dev));
}

static void works(struct __test_metadata *_metadata, const struct job_kind *kind)
{
	ASSERT_EQ(0, knob_set(kind->dev, "delay_us", 1000));
	EXPECT_EQ(0, device_does_jobs(kind, 10));
}

/* An open file keeps the driver, and the job goes on. */
TEST_F_TIMEOUT(module, driver_in_use, CASE_S)
{
	EXPECT_EQ(-EAGAIN, module_remove(self->dev->module));
	EXPECT_EQ(0, fences_wait(&self->fences, 0));
	EXPECT_EQ(0, job_end(&self->file, 0, 1, SOON_MS));
	EXPECT_EQ(1, fences_wait(&self->fences, SOON_MS));
	EXPECT_TRUE(job_shows(&self->file, 0, 1));
}

/*
 * The file is closed and the driver goes, but dma-bufs and fences of the job are held. They keep
 * the allocator, and the fences need no module at all.
 */
TEST_F_TIMEOUT(module, driver_gone, CASE_S)
{
	int status;

	jobs_close_node(&self->file);
	ASSERT_EQ(0, module_remove(self->dev->module));
	status = fences_wait(&self->fences, 0);
	EXPECT_NE(0, status);
	EXPECT_NE(NO_STATUS, status);
	EXPECT_TRUE(job_shows(&self->file, 0, status == 1));
	EXPECT_EQ(-EAGAIN, module_remove(variant->allocator));

	jobs_close(&self->file);
	EXPECT_EQ(0, module_remove(variant->allocator));
	EXPECT_EQ(status, fences_wait(&self->fences, 0));
	EXPECT_EQ(0, module_load(self->dev->module));
	works(_metadata, variant->kind);
}

/*
 * The devices go away under both drivers, and the module that emulates them. While they are there,
 * the drivers have clocks of the module.
 */
TEST_F_TIMEOUT(module, devices_gone, CASE_S)
{
	int status;

	EXPECT_EQ(-EAGAIN, module_remove("rkemu"));
	EXPECT_EQ(0, fences_wait(&self->fences, 0));
	ASSERT_EQ(0, rkemu_enable(false));
	ASSERT_EQ(0, module_remove("rkemu"));
	status = fences_wait(&self->fences, 0);
	EXPECT_NE(0, status);
	EXPECT_NE(NO_STATUS, status);
	EXPECT_TRUE(job_shows(&self->file, 0, status == 1));
	EXPECT_EQ(-ENODEV, job_queue_picture(&self->file, 1));

	ASSERT_EQ(0, module_load("rkemu"));
	ASSERT_EQ(0, rkemu_enable(true));
	works(_metadata, variant->kind);
	jobs_close(&self->file);
	EXPECT_EQ(status, fences_wait(&self->fences, 0));
	works(_metadata, variant->kind);
}

TEST_HARNESS_MAIN
