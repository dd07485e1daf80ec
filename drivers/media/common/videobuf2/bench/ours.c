// SPDX-License-Identifier: GPL-2.0-only
/*
 * The release fences of videobuf2 through the functions that drivers and videobuf2-core.c call.
 */

#include "bench.h"

static void *ours_setup(struct vb2_buffer *vb)
{
	/* The queue opted in, so that the buffer has its state. */
	return vb->release_fence ? vb : NULL;
}

static int ours_prepare(void *state)
{
	return vb2_buffer_prepare_release_fence(state);
}

static int ours_arm(void *state, void *src)
{
	bool cookie;
	int ret = vb2_job_attach_release_fences(state, src, &cookie);

	vb2_release_fence_end_signalling(cookie);
	return ret;
}

static void ours_end(void *state, enum vb2_buffer_state result)
{
	struct vb2_buffer *vb = state;
	struct vb2_release release;

	vb2_buffer_begin_release(vb, result, &release);
	vb2_queue_end_release(vb->vb2_queue, &release);
}

static void ours_teardown(void *state)
{
	/* A fence that a failed check has left */
	vb2_buffer_end_release_fence(state);
}

const struct bench_ops bench_ours = {
	.name = "ours",
	.setup = ours_setup,
	.prepare = ours_prepare,
	.arm = ours_arm,
	.end = ours_end,
	.teardown = ours_teardown,
};
