/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Operations of a program that need memory, and what comes of them without.
 */
#ifndef MEDIA_TESTS_ALLOC_OPS_H
#define MEDIA_TESTS_ALLOC_OPS_H

#include "jobs.h"

/* The job of an operation, and those around it. */
#define JOB_SLOT	0
#define OTHER_SLOT	1

/**
 * struct stage - an open file, for one try
 * @kind: of its jobs
 * @memory: V4L2_MEMORY_ of both queues
 * @heap: what is imported is of the system dma-heap, else of @donor
 * @file: the file
 * @donor: another file of the device
 * @path: of the video node
 * @frame: number of the last job
 * @jobs: of the device, before those of this file
 * @picture_queued: in JOB_SLOT
 * @input_queued: in JOB_SLOT
 * @inputs: number of OUTPUT buffers that there are
 * @pictures: number of CAPTURE buffers
 * @fewer: there are fewer of them than were asked for
 * @counted: jobs are over when they are started: of their fences only the number is seen
 * @armed: fences of all jobs before the one in JOB_SLOT
 */
struct stage {
	const struct job_kind *kind;
	unsigned int memory;
	bool heap;
	struct jobs file;
	struct jobs donor;
	char path[64];
	__u32 frame;
	long jobs;
	bool picture_queued;
	bool input_queued;
	unsigned int inputs;
	unsigned int pictures;
	bool fewer;
	bool counted;
	long armed;
};

/**
 * struct op - an operation that needs memory
 * @before: what comes before it, with a new file
 * @act: the operation; if it has failed, it is done again, by the same function
 * @after: what comes after it, until the file streams
 * @other: what the base kernel says instead of -ENOMEM
 * @starts: it starts the job in JOB_SLOT, or finds it running
 * @arms: its job gets its fences meanwhile
 * @workers: it is done by a worker of the kernel
 */
struct op {
	int (*before)(struct stage *stage);
	int (*act)(struct stage *stage);
	int (*after)(struct stage *stage);
	int other;
	bool starts;
	bool arms;
	bool workers;
};

/* From QBUF of the picture, or of the input with its request, if that has not been done. */
int queue_picture(struct stage *stage);
int queue_input(struct stage *stage);

/* A job runs for so long that its fences are seen before its end. */
#define OP_JOB_MS	80
/* How often that is tried, if the machine is slower. */
#define OP_TRIES	20

/**
 * struct op_tally - what the tries of an operation came to, of which one allocation was to fail
 * @failed: one did
 * @nomem: of these, the operation said -ENOMEM
 * @other: what it says instead
 * @fewer: there were fewer buffers
 * @unfenced: a job had no fences
 * @fenced: a job had them
 * @nothing: nothing came of it
 */
struct op_tally {
	unsigned int failed;
	unsigned int nomem;
	unsigned int other;
	unsigned int fewer;
	unsigned int unfenced;
	unsigned int fenced;
	unsigned int nothing;
};

/*
 * The operation, its @nth allocation fails; then what makes the file stream, and a frame. NULL, or
 * what was wrong. @hit: whether there is such an allocation.
 */
const char *try_op(struct stage *stage, const struct op *op, unsigned int nth,
		   struct op_tally *tally, bool *hit);
/* The same job may be long enough another time. */
extern const char *const op_late;
void print_tally(const char *device, const char *op, const struct op_tally *tally);

/* Sets up buffers until the first one is queued. */
extern const struct op op_open;
extern const struct op op_reqbufs;
extern const struct op op_create_bufs;
extern const struct op op_expbuf;
/* Starts jobs. */
extern const struct op op_prepare_buf;
extern const struct op op_qbuf_picture;
extern const struct op op_qbuf_input;
extern const struct op op_streamon;
extern const struct op op_next_job;
extern const struct op op_export_sync_file;

#endif
