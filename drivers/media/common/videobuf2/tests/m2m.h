/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A mem2mem device whose driver is the test, m2m-device.c.
 */
#ifndef _VB2_RELEASE_FENCE_M2M_H
#define _VB2_RELEASE_FENCE_M2M_H

#include <linux/mutex.h>
#include <linux/wait.h>
#include <media/v4l2-mem2mem.h>

#include "mock.h"

/* Of each queue */
#define M2M_BUFFERS	3

struct m2m {
	struct kunit *test;
	struct v4l2_m2m_dev *dev;
	struct v4l2_m2m_ctx *ctx;
	/* Of both queues, as the framework wants it. */
	struct mutex lock;
	bool output_fences, capture_fences;
	/* The hardware takes no job now. */
	bool busy;
	/* The driver attaches later, or twice; or the job is over before device_run() returns. */
	bool later, twice, at_once;
	/* device_run() does not return at once when the job is over; whether it is about to. */
	bool lingers, left;
	/* How device_run() went, whether it was in a signalling section then, how often it did. */
	int attached;
	bool section;
	atomic_t runs;
	wait_queue_head_t ran;
};

/* A context that streams on both queues, without a buffer in either. @dev: NULL for a new one */
struct m2m *m2m_open(struct kunit *test, struct v4l2_m2m_dev *dev, bool output, bool capture);
/* The same, on a new device. */
struct m2m *m2m_start(struct kunit *test, bool output, bool capture);
/* What closing the video node does. */
void m2m_close(struct m2m *m2m);
/* What unbinding the driver does then. */
void m2m_unbind(struct m2m *m2m);

/* An export of a buffer. */
struct dma_buf *m2m_output(struct m2m *m2m, unsigned int index);
struct dma_buf *m2m_capture(struct m2m *m2m, unsigned int index);

void m2m_qbuf(struct m2m *m2m, enum v4l2_buf_type type, unsigned int index, u32 flags,
	      unsigned int frame);
void m2m_qbuf_capture(struct m2m *m2m, unsigned int index);
void m2m_dqbuf(struct m2m *m2m, enum v4l2_buf_type type, unsigned int index);
/* Queues an OUTPUT buffer, which completes the job, and waits until it runs. */
void m2m_run(struct m2m *m2m, unsigned int index, u32 flags, unsigned int frame);
/* The interrupt: ends the job, with this state. */
void m2m_end(struct m2m *m2m, enum vb2_buffer_state state);

#endif /* _VB2_RELEASE_FENCE_M2M_H */
