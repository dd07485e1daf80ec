// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests on the emulated media blocks of the RK3566, and on vim2m: no memory. Each allocation of an
 * ioctl fails in turn, until it needs no more of them. The ioctl says so, or the job runs, with the
 * fences of both buffers or with none; the next frame is right and has its fences in any case, and
 * nothing is left behind.
 *
 * An allocation may also be one of a debugging tool, or one that the kernel can do without: then
 * nothing comes of it.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kselftest_harness.h"
#include "rkemu_counts.h"
#include "rkemu_fail.h"
#include "rkemu_held.h"
#include "rkemu_ops.h"

/* A job runs for so long that its fences are seen before its end. */
#define JOB_MS		80
/* How often that is tried, if the machine is slower. */
#define TRIES		20
/* More than any of the operations allocates. */
#define MANY		500
/* How often a sweep is done that has met nothing of what it is for. */
#define ROUNDS		3
/* How long a sweep may take, in seconds. */
#define SWEEP_S		1800

/* What the tries came to. */
struct tally {
	unsigned int failed;
	unsigned int nomem;
	unsigned int other;
	unsigned int fewer;
	unsigned int unfenced;
	unsigned int fenced;
	unsigned int nothing;
};

/*
 * Whether the job in JOB_SLOT, which has just been started, has the fences of both buffers (1), or
 * none (0). -EAGAIN if it ends too early to tell, -EILSEQ if only one has a fence. The job is over
 * then, and was right.
 */
static int end_job(struct stage *stage)
{
	struct fences fences;
	int ret, end, picture, input;

	fences_init(&fences);
	ret = fences_take(&stage->file, JOB_SLOT, &fences);
	if (ret)
		return ret;
	picture = fence_status(fences.picture);
	input = fence_status(fences.input);
	/* Between one look and the other the job may have ended. */
	if (!picture != !input) {
		sleep_ms(JOB_MS / 4);
		if (!fence_status(fences.picture) || !fence_status(fences.input))
			ret = -EILSEQ;
		else
			ret = -EAGAIN;
		end = -EAGAIN;
	} else if (!picture) {
		ret = 1;
		end = -EAGAIN;
	} else {
		/* A buffer can be dequeued a moment after its fence has ended. */
		sleep_ms(JOB_MS / 8);
		end = job_end(&stage->file, JOB_SLOT, stage->frame, 0);
		ret = end == -EAGAIN ? 0 : -EAGAIN;
	}
	if (end == -EAGAIN)
		end = job_end(&stage->file, JOB_SLOT, stage->frame, SOON_MS);
	stage->picture_queued = false;
	stage->input_queued = false;
	if (!end && !job_shows(&stage->file, JOB_SLOT, stage->frame))
		end = -EBADMSG;
	if (!end && fences_wait(&fences, SOON_MS) != 1)
		end = -ETIME;
	fences_close(&fences);
	return end ? (end == -EAGAIN ? -ETIME : end) : ret;
}

/* A frame in JOB_SLOT, of which some buffers may be queued already. As end_job(). */
static int next_frame(struct stage *stage)
{
	unsigned int tries;
	int ret = -EAGAIN;

	for (tries = 0; tries < TRIES && ret == -EAGAIN; tries++) {
		if (!stage->picture_queued)
			stage->frame++;
		ret = job_fill(&stage->file, JOB_SLOT, stage->frame);
		ret = ret ? ret : queue_picture(stage);
		ret = ret ? ret : queue_input(stage);
		ret = ret ? ret : end_job(stage);
	}
	return ret;
}

static const char late[] = "the job is over too early";

/* The operation, its @nth allocation fails; then what makes the file stream, and a frame. */
static const char *try_op(struct stage *stage, const struct op *op, unsigned int nth,
			  struct tally *tally, bool *hit)
{
	int ret, begun, ended, fenced = -1;

	stage->frame++;
	ret = op->before(stage);
	if (ret)
		return "what comes before it fails";
	stage->fewer = false;
	begun = op->workers ? fail_workers_begin(nth) : fail_begin(nth);
	ret = op->act(stage);
	ended = op->workers ? fail_workers_end() : fail_end();
	if (begun || ended < 0)
		return "fail-nth does not work";
	*hit = ended;
	if (ret && !*hit)
		return "it fails by itself";
	if (ret && ret != -ENOMEM && ret != op->other)
		return strerror(-ret);
	tally->failed += *hit;
	tally->nomem += ret == -ENOMEM;
	tally->other += ret && ret != -ENOMEM;
	tally->fewer += !ret && stage->fewer;
	if (ret && op->act(stage))
		return "it fails once more, with memory";
	if (op->after && op->after(stage))
		return "what comes after it fails";
	if (op->starts) {
		fenced = end_job(stage);
		if (fenced == -EAGAIN)
			return late;
		if (fenced == -EILSEQ)
			return "only one of the two buffers has a fence";
		if (fenced < 0)
			return "the job fails, or its picture is not right";
		if (!fenced && (!*hit || ret || !op->arms))
			return "the job has no fences";
	}
	if (*hit && !ret) {
		tally->unfenced += !fenced;
		tally->fenced += fenced == 1;
		tally->nothing += fenced < 0 && !stage->fewer;
	}
	return next_frame(stage) == 1 ? NULL : "the next frame is not right, or has no fences";
}

static void print_tally(const char *device, const char *op, const struct tally *tally)
{
	printf("# %-12s %-14s %3u failed: %3u ENOMEM, %2u EINVAL, %2u fewer buffers, ", device, op,
	       tally->failed, tally->nomem, tally->other, tally->fewer);
	printf("%2u jobs without fences, %2u with, %2u nothing\n", tally->unfenced, tally->fenced,
	       tally->nothing);
}

static void sweep(struct __test_metadata *_metadata, struct stage *stage, const char *device,
		  const char *name, const struct op *op)
{
	const long before = dmabuf_count();
	struct tally tally = {};
	unsigned int nth, tries, rounds = 1;
	const char *wrong = NULL;
	long made, left;
	bool hit = true;

	ASSERT_EQ(0, fence_trace_start());
	for (nth = 1; nth < MANY && hit && !wrong; nth++) {
		for (tries = 0; tries < TRIES; tries++) {
			struct tally tried = tally;

			stage->picture_queued = false;
			stage->input_queued = false;
			jobs_init(&stage->file);
			jobs_init(&stage->donor);
			wrong = try_op(stage, op, nth, &tried, &hit);
			jobs_close(&stage->file);
			jobs_close(&stage->donor);
			if (wrong == late)
				continue;
			tally = tried;
			break;
		}
		/* A cache that needs a page may take the turn of what arming allocates. */
		if (!hit && !wrong && op->arms && !tally.unfenced && rounds++ < ROUNDS) {
			hit = true;
			nth = 0;
		}
	}
	print_tally(device, name, &tally);
	EXPECT_EQ(NULL, wrong) {
		TH_LOG("allocation %u of %s, %s: %s", nth - 1, device, name, wrong);
	}
	EXPECT_GT(MANY, nth);
	/* A sweep that has missed the operation has shown nothing. */
	EXPECT_LT(0, tally.failed);
	EXPECT_TRUE(op->arms ? tally.unfenced : tally.nomem || tally.other);

	EXPECT_EQ(before, dmabuf_count());
	ASSERT_EQ(0, fence_trace_end(&made, &left));
	EXPECT_LT(0, made);
	EXPECT_EQ(0, left);
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

static const char *start(struct stage *stage, const struct job_kind *kind)
{
	const char *missing = rkemu_start(kind->dev);

	if (!missing)
		missing = fail_start();
	stage->kind = kind;
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
	ASSERT_EQ(0, rkemu_defaults(variant->kind->dev));
	ASSERT_EQ(0, job_time_set(variant->kind->dev, JOB_MS));
}

FIXTURE_TEARDOWN(prepare)
{
	fail_stop();
	EXPECT_EQ(0, rkemu_defaults(variant->kind->dev));
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
	ASSERT_EQ(0, rkemu_defaults(variant->kind->dev));
	ASSERT_EQ(0, job_time_set(variant->kind->dev, JOB_MS));
}

FIXTURE_TEARDOWN(stream)
{
	fail_stop();
	EXPECT_EQ(0, rkemu_defaults(variant->kind->dev));
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
	EXPECT_EQ(0, kmemleak_count());
}

TEST_HARNESS_MAIN
