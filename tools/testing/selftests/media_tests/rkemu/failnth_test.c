// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests on the emulated media blocks of the RK3566, on vim2m and on visl: no memory. Each
 * allocation of an ioctl fails in turn, until it needs no more of them. The ioctl says so, or the
 * job runs, with the fences of both buffers or with none; the next frame is right and has its
 * fences in any case, and nothing is left behind. visl has fences on its CAPTURE queue only.
 * A buffer of two planes has half of what it needs when the second half fails.
 *
 * An allocation may also be one of a debugging tool, or one that the kernel can do without: then
 * nothing comes of it.
 */

#include "kselftest_harness.h"
#include "alloc_ops.h"
#include "counts.h"
#include "fail_nth.h"
#include "fence_trace.h"
#include "kmemleak.h"

/* More than any of the operations allocates. */
#define MANY		500
/* How often a sweep is done that has met nothing of what it is for, as two of five do with visl. */
#define ROUNDS		12
/* And how often an allocation is made to fail again of which nothing has come. */
#define AGAIN		3
/* How long a sweep may take, in seconds. */
#define SWEEP_S		1800

/*
 * Whether the operation fails if it has no memory. What arms the fences of a job can be done
 * without, but QBUF takes memory for them before. A worker returns no error. Of the drivers,
 * hantro alone allocates when streaming starts.
 */
static bool needs_memory(const struct stage *stage, const struct op *op)
{
	if (op == &op_streamon)
		return stage->kind == &job_h264;
	return !op->workers;
}

/* Whether nothing has come of what failed in the try that has made @now of @before. */
static bool met_nothing(const struct op_tally *before, const struct op_tally *now)
{
	return now->nothing != before->nothing || now->fenced != before->fenced;
}

static void sweep(struct __test_metadata *_metadata, struct stage *stage, const char *device,
		  const char *name, const struct op *op)
{
	const long before = dmabuf_count();
	struct fence_counts counts = {};
	struct op_tally tally = {};
	unsigned int nth, tries, again = 0, rounds = 1;
	const char *wrong = NULL;
	bool hit = true;

	ASSERT_EQ(0, fence_counts_start());
	for (nth = 1; nth < MANY && hit && !wrong; nth++) {
		const struct op_tally earlier = tally;

		for (tries = 0; tries < OP_TRIES; tries++) {
			struct op_tally tried = tally;

			stage->picture_queued = false;
			stage->input_queued = false;
			jobs_init(&stage->file);
			jobs_init(&stage->donor);
			wrong = try_op(stage, op, nth, &tried, &hit);
			jobs_close(&stage->file);
			jobs_close(&stage->donor);
			if (wrong == op_late)
				continue;
			tally = tried;
			break;
		}
		/* A cache that needs a page may take the turn of the operation's own allocation. */
		if (!wrong && met_nothing(&earlier, &tally) && again++ < AGAIN)
			nth--;
		else
			again = 0;
		if (!hit && !wrong && op->arms && !tally.unfenced && rounds++ < ROUNDS) {
			hit = true;
			nth = 0;
		}
	}
	print_tally(device, name, &tally);
	counts_operation(SUITE_FAULTS, name, tally.failed);
	EXPECT_EQ(NULL, wrong) {
		TH_LOG("allocation %u of %s, %s: %s", nth - 1, device, name, wrong);
	}
	EXPECT_GT(MANY, nth);
	/* A sweep that has missed the operation has shown nothing. */
	EXPECT_LT(0, tally.failed);
	EXPECT_TRUE(!op->arms || tally.unfenced);
	EXPECT_TRUE(!needs_memory(stage, op) || tally.nomem || tally.other);

	EXPECT_EQ(before, dmabuf_count());
	ASSERT_EQ(0, fence_counts_end(&counts));
	EXPECT_LT(0, counts.armed);
	EXPECT_EQ(counts.armed, counts.signalled);
	EXPECT_EQ(counts.made, counts.gone);
}

/* The first one: what is lost from now on counts. */
FIXTURE(begin) {
};

FIXTURE_SETUP(begin)
{
}

FIXTURE_TEARDOWN(begin)
{
}

TEST_F_TIMEOUT(begin, kmemleak, CASE_S)
{
	ASSERT_EQ(0, kmemleak_start());
}

/* visl itself has nothing to start. */
static const char *start(struct stage *stage, const struct job_kind *kind)
{
	const char *missing = device_start(kind == &job_visl ? &device_vpu : kind->dev);

	if (!missing)
		missing = fail_start();
	stage->kind = kind;
	stage->counted = kind == &job_visl;
	return missing;
}

/* What comes before the first buffer is queued. */
FIXTURE(prepare) {
	struct stage stage;
};

FIXTURE_VARIANT(prepare) {
	const struct job_kind *kind;
	const char *device;
};

FIXTURE_VARIANT_ADD(prepare, rga) {
	.kind = &job_rga,
	.device = "rga",
};

FIXTURE_VARIANT_ADD(prepare, rga_planes) {
	.kind = &job_rga_planes,
	.device = "rga, planes",
};

FIXTURE_VARIANT_ADD(prepare, h264) {
	.kind = &job_h264,
	.device = "h264",
};

FIXTURE_VARIANT_ADD(prepare, vim2m) {
	.kind = &job_vim2m,
	.device = "vim2m",
};

FIXTURE_SETUP(prepare)
{
	const char *missing = start(&self->stage, variant->kind);

	if (missing)
		SKIP(return, "%s", missing);
	self->stage.memory = V4L2_MEMORY_MMAP;
	ASSERT_EQ(0, device_defaults(variant->kind->dev));
	ASSERT_EQ(0, job_time_set(variant->kind->dev, OP_JOB_MS));
}

FIXTURE_TEARDOWN(prepare)
{
	fail_stop();
	EXPECT_EQ(0, device_defaults(variant->kind->dev));
}

/* And what comes after that. */
FIXTURE(stream) {
	struct stage stage;
};

FIXTURE_VARIANT(stream) {
	const struct job_kind *kind;
	const char *device;
	unsigned int memory;
	bool heap;
};

FIXTURE_VARIANT_ADD(stream, rga) {
	.kind = &job_rga,
	.device = "rga",
	.memory = V4L2_MEMORY_MMAP,
};

FIXTURE_VARIANT_ADD(stream, rga_import) {
	.kind = &job_rga,
	.device = "rga, import",
	.memory = V4L2_MEMORY_DMABUF,
	.heap = true,
};

FIXTURE_VARIANT_ADD(stream, rga_planes) {
	.kind = &job_rga_planes,
	.device = "rga, planes",
	.memory = V4L2_MEMORY_MMAP,
};

FIXTURE_VARIANT_ADD(stream, rga_planes_import) {
	.kind = &job_rga_planes,
	.device = "planes, import",
	.memory = V4L2_MEMORY_DMABUF,
	.heap = true,
};

FIXTURE_VARIANT_ADD(stream, h264) {
	.kind = &job_h264,
	.device = "h264",
	.memory = V4L2_MEMORY_MMAP,
};

/* The decoder needs memory in one piece. */
FIXTURE_VARIANT_ADD(stream, h264_import) {
	.kind = &job_h264,
	.device = "h264, import",
	.memory = V4L2_MEMORY_DMABUF,
};

FIXTURE_VARIANT_ADD(stream, vim2m) {
	.kind = &job_vim2m,
	.device = "vim2m",
	.memory = V4L2_MEMORY_MMAP,
};

/* It has what it imports mapped, and dma-buf warns if the heap has no memory for that. */
FIXTURE_VARIANT_ADD(stream, vim2m_import) {
	.kind = &job_vim2m,
	.device = "vim2m, import",
	.memory = V4L2_MEMORY_DMABUF,
};

FIXTURE_SETUP(stream)
{
	const char *missing = start(&self->stage, variant->kind);

	if (missing)
		SKIP(return, "%s", missing);
	self->stage.memory = variant->memory;
	self->stage.heap = variant->heap;
	ASSERT_EQ(0, device_defaults(variant->kind->dev));
	ASSERT_EQ(0, job_time_set(variant->kind->dev, OP_JOB_MS));
}

FIXTURE_TEARDOWN(stream)
{
	fail_stop();
	EXPECT_EQ(0, device_defaults(variant->kind->dev));
}

TEST_F_TIMEOUT(prepare, open, SWEEP_S)
{
	sweep(_metadata, &self->stage, variant->device, "open", &op_open);
}

TEST_F_TIMEOUT(prepare, reqbufs, SWEEP_S)
{
	sweep(_metadata, &self->stage, variant->device, "reqbufs", &op_reqbufs);
}

TEST_F_TIMEOUT(prepare, create_bufs, SWEEP_S)
{
	sweep(_metadata, &self->stage, variant->device, "create_bufs", &op_create_bufs);
}

TEST_F_TIMEOUT(prepare, expbuf, SWEEP_S)
{
	sweep(_metadata, &self->stage, variant->device, "expbuf", &op_expbuf);
}

TEST_F_TIMEOUT(stream, prepare_buf, SWEEP_S)
{
	sweep(_metadata, &self->stage, variant->device, "prepare_buf", &op_prepare_buf);
}

TEST_F_TIMEOUT(stream, qbuf_picture, SWEEP_S)
{
	sweep(_metadata, &self->stage, variant->device, "qbuf_picture", &op_qbuf_picture);
}

TEST_F_TIMEOUT(stream, qbuf_input, SWEEP_S)
{
	sweep(_metadata, &self->stage, variant->device, "qbuf_input", &op_qbuf_input);
}

TEST_F_TIMEOUT(stream, streamon, SWEEP_S)
{
	sweep(_metadata, &self->stage, variant->device, "streamon", &op_streamon);
}

TEST_F_TIMEOUT(stream, next_job, SWEEP_S)
{
	sweep(_metadata, &self->stage, variant->device, "next_job", &op_next_job);
}

TEST_F_TIMEOUT(stream, export_sync_file, SWEEP_S)
{
	sweep(_metadata, &self->stage, variant->device, "export_sync_file", &op_export_sync_file);
}

/*
 * visl does its job in the ioctl that made it ready, so that the job is over when its fence could
 * be asked about: the fences that are armed are counted. No job is left to a worker, as op_next_job
 * is about. open() and S_FMT are in visl_test.
 */
FIXTURE(visl) {
	struct stage stage;
};

FIXTURE_VARIANT(visl) {
	const char *device;
	unsigned int memory;
};

FIXTURE_VARIANT_ADD(visl, mmap) {
	.device = "visl",
	.memory = V4L2_MEMORY_MMAP,
};

/* As vim2m. */
FIXTURE_VARIANT_ADD(visl, import) {
	.device = "visl, import",
	.memory = V4L2_MEMORY_DMABUF,
};

FIXTURE_SETUP(visl)
{
	const char *missing = start(&self->stage, &job_visl);

	if (missing)
		SKIP(return, "%s", missing);
	self->stage.memory = variant->memory;
}

FIXTURE_TEARDOWN(visl)
{
	fail_stop();
	EXPECT_EQ(0, device_defaults(&device_vpu));
}

TEST_F_TIMEOUT(visl, prepare_buf, SWEEP_S)
{
	sweep(_metadata, &self->stage, variant->device, "prepare_buf", &op_prepare_buf);
}

TEST_F_TIMEOUT(visl, qbuf_picture, SWEEP_S)
{
	sweep(_metadata, &self->stage, variant->device, "qbuf_picture", &op_qbuf_picture);
}

TEST_F_TIMEOUT(visl, qbuf_input, SWEEP_S)
{
	sweep(_metadata, &self->stage, variant->device, "qbuf_input", &op_qbuf_input);
}

TEST_F_TIMEOUT(visl, streamon, SWEEP_S)
{
	sweep(_metadata, &self->stage, variant->device, "streamon", &op_streamon);
}

TEST_F_TIMEOUT(visl, export_sync_file, SWEEP_S)
{
	sweep(_metadata, &self->stage, variant->device, "export_sync_file", &op_export_sync_file);
}

/* What comes before that is the same with all memory. */
FIXTURE(visl_prepare) {
	struct stage stage;
};

FIXTURE_SETUP(visl_prepare)
{
	const char *missing = start(&self->stage, &job_visl);

	if (missing)
		SKIP(return, "%s", missing);
	self->stage.memory = V4L2_MEMORY_MMAP;
}

FIXTURE_TEARDOWN(visl_prepare)
{
	fail_stop();
	EXPECT_EQ(0, device_defaults(&device_vpu));
}

TEST_F_TIMEOUT(visl_prepare, reqbufs, SWEEP_S)
{
	sweep(_metadata, &self->stage, "visl", "reqbufs", &op_reqbufs);
}

TEST_F_TIMEOUT(visl_prepare, create_bufs, SWEEP_S)
{
	sweep(_metadata, &self->stage, "visl", "create_bufs", &op_create_bufs);
}

TEST_F_TIMEOUT(visl_prepare, expbuf, SWEEP_S)
{
	sweep(_metadata, &self->stage, "visl", "expbuf", &op_expbuf);
}

/* The last one: of all that failed, nothing is left. */
FIXTURE(leaks) {
};

FIXTURE_SETUP(leaks)
{
}

FIXTURE_TEARDOWN(leaks)
{
}

TEST_F_TIMEOUT(leaks, none, CASE_S)
{
	EXPECT_EQ(0, kmemleak_count(SUITE_FAULTS));
}

TEST_HARNESS_MAIN
