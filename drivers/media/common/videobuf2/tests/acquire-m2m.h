/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the suites of mem2mem devices share that wait for acquire fences.
 */
#ifndef _VB2_ACQUIRE_FENCE_M2M_H
#define _VB2_ACQUIRE_FENCE_M2M_H

#include "acquire.h"
#include "m2m.h"

#define CAPTURE	V4L2_BUF_TYPE_VIDEO_CAPTURE
#define OUTPUT	V4L2_BUF_TYPE_VIDEO_OUTPUT

/* Both queues wait, and have release fences. */
#define M2M_ACQUIRING(test, ...) \
	M2M_OPEN(test, .output_fences = true, .capture_fences = true, .output_acquires = true, \
		 .capture_acquires = true, ##__VA_ARGS__)

/* Those who have the buffer are not done: they read a picture, or write the input of a job. */
void acquire_add_user(struct m2m *m2m, enum v4l2_buf_type type, unsigned int index,
		      struct dma_fence *fence);
struct dma_fence *acquire_user(struct m2m *m2m, enum v4l2_buf_type type, unsigned int index);

/* Queues the buffers of a job, whose frame is one more than @index, and asks for it to be run. */
void acquire_queue_job(struct m2m *m2m, unsigned int index);

/* That no more jobs begin: what is known by then, and what comes from work. */
void acquire_expect_runs(struct m2m *m2m, int runs);
/* That a job begins, the one of the buffers @index; ends it. */
void acquire_expect_job(struct m2m *m2m, int runs, unsigned int index);

#endif /* _VB2_ACQUIRE_FENCE_M2M_H */
