/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A mem2mem device whose driver is the test, m2m-device.c.
 */
#ifndef _VB2_RELEASE_FENCE_M2M_H
#define _VB2_RELEASE_FENCE_M2M_H

#include <linux/completion.h>
#include <linux/mutex.h>
#include <linux/wait.h>
#include <media/media-device.h>
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
	bool output_acquires, capture_acquires;
	/* For requests; or NULL */
	struct media_device *media;
	/* How many buffers of each queue a job takes. */
	unsigned int pairs;
	/* The hardware takes no job now. */
	bool busy;
	/* What the driver does in job_ready(), under job_spinlock, with the fence; or NULL */
	void (*in_job_ready)(struct m2m *m2m);
	struct dma_fence *fence;
	/* The driver does not take OUTPUT buffers from this one on; 0: it takes all. */
	unsigned int refused;
	/* The driver attaches later, or twice; or the job is over before device_run() returns. */
	bool later, twice, at_once;
	/*
	 * device_run() does not return at once when the job is over, or until the test lets it;
	 * whether it is about to.
	 */
	bool lingers, stays, left;
	struct completion leave;
	/*
	 * How device_run() went, whether it was in a signalling section then, how often it did; and
	 * how many jobs have ended.
	 */
	int attached;
	bool section;
	atomic_t runs, ends;
	/* How often buf_request_complete() was called. */
	int completed;
	wait_queue_head_t ran;
};

/* What is not given is: a new device, whose jobs take one buffer of each queue; no fences. */
struct m2m_config {
	struct v4l2_m2m_dev *dev;
	struct media_device *media;
	bool output_fences, capture_fences;
	bool output_acquires, capture_acquires;
	unsigned int pairs;
};

/* A context that streams on both queues, without a buffer in either. */
struct m2m *m2m_open_config(struct kunit *test, const struct m2m_config *config);
struct m2m *m2m_open(struct kunit *test, struct v4l2_m2m_dev *dev, bool output, bool capture);
/* On a new device */
struct m2m *m2m_start(struct kunit *test, bool output, bool capture);

#define M2M_OPEN(test, ...)	m2m_open_config(test, &(struct m2m_config){ __VA_ARGS__ })

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

/* How many jobs were begun; whether there are @runs, now or soon. */
static inline int m2m_runs(struct m2m *m2m)
{
	return atomic_read(&m2m->runs);
}

static inline bool m2m_reaches(struct m2m *m2m, int runs)
{
	return wait_event_timeout(m2m->ran, m2m_runs(m2m) >= runs, 20 * HZ) > 0;
}

#endif /* _VB2_RELEASE_FENCE_M2M_H */
