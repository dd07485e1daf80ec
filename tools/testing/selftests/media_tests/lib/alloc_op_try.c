// SPDX-License-Identifier: GPL-2.0-only
/*
 * One try of an operation, with an allocation that fails.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "alloc_ops.h"
#include "fail_nth.h"
#include "fence_trace.h"

/* What was wrong with the job in JOB_SLOT; @end is what job_end() has said of it. */
static int job_wrong(struct stage *stage, const struct fences *fences, int end)
{
	const bool shown = stage->kind->shows;

	stage->picture_queued = false;
	stage->input_queued = false;
	/* What visl draws is not known here, but it draws something. */
	if (!end && job_shows(&stage->file, JOB_SLOT, shown ? stage->frame : 0) != shown)
		end = -EBADMSG;
	if (!end && fences_wait(fences, SOON_MS) != 1)
		end = -ETIME;
	return end == -EAGAIN ? -ETIME : end;
}

static int pending_of(const struct fences *fences)
{
	return !fence_status(fences->picture) + !fence_status(fences->input);
}

/*
 * Whether the job in JOB_SLOT, which has just been started, has the fences of all buffers that get
 * one (1), or none (0). -EAGAIN if it ends too early to see them, -EILSEQ if it has others. The job
 * is over then, and was right.
 *
 * Fences that are not seen may have ended, or be late: how many there were is counted.
 */
static int end_job(struct stage *stage)
{
	const int all = stage->counted ? 1 : 2;
	const long before = stage->armed;
	struct fences fences;
	bool alone = false;
	int ret, pending;
	long armed;

	fences_init(&fences);
	ret = fences_take(&stage->file, JOB_SLOT, &fences);
	if (ret)
		return ret;
	pending = pending_of(&fences);
	/* Between one look and the other the job may have ended. */
	if (pending == 1) {
		sleep_ms(OP_JOB_MS / 4);
		alone = pending_of(&fences);
	}
	ret = job_end(&stage->file, JOB_SLOT, stage->frame, SOON_MS);
	ret = job_wrong(stage, &fences, ret);
	fences_close(&fences);
	stage->armed = fences_armed();
	armed = stage->armed - before;
	if (ret)
		return ret;
	if (before < 0 || armed < 0)
		return -EIO;
	if (!armed)
		return pending ? -EILSEQ : 0;
	if (armed != all || alone)
		return -EILSEQ;
	return stage->counted || pending == all ? 1 : -EAGAIN;
}

/* A frame in JOB_SLOT, of which some buffers may be queued already. As end_job(). */
static int next_frame(struct stage *stage)
{
	unsigned int tries;
	int ret = -EAGAIN;

	for (tries = 0; tries < OP_TRIES && ret == -EAGAIN; tries++) {
		ret = 0;
		if (!stage->picture_queued) {
			stage->frame++;
			ret = job_blank(&stage->file, JOB_SLOT);
		}
		ret = ret ? ret : job_fill(&stage->file, JOB_SLOT, stage->frame);
		ret = ret ? ret : queue_picture(stage);
		ret = ret ? ret : queue_input(stage);
		ret = ret ? ret : end_job(stage);
	}
	return ret;
}

const char *const op_late = "the job is over too early";

const char *try_op(struct stage *stage, const struct op *op, unsigned int nth,
		   struct op_tally *tally, bool *hit)
{
	int ret, begun, ended, fenced = -1;

	stage->frame++;
	stage->armed = fences_armed();
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
			return op_late;
		if (fenced == -EILSEQ)
			return "not the fences of both buffers, or with visl more than one";
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
	switch (next_frame(stage)) {
	case 1:
		return NULL;
	case 0:
		return "the next frame has no fences";
	case -EAGAIN:
		return op_late;
	default:
		return "the next frame is not right";
	}
}

void print_tally(const char *device, const char *op, const struct op_tally *tally)
{
	printf("# %-12s %-14s %3u failed: %3u ENOMEM, %2u EINVAL, %2u fewer buffers, ", device, op,
	       tally->failed, tally->nomem, tally->other, tally->fewer);
	printf("%2u jobs without fences, %2u with, %2u nothing\n", tally->unfenced, tally->fenced,
	       tally->nothing);
}
