/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Jobs of a device, each with a number that its picture shows. What returns an int returns a
 * negative error if it fails.
 */
#ifndef MEDIA_TESTS_JOBS_H
#define MEDIA_TESTS_JOBS_H

#include "m2m.h"

/* How many frames a case that counts takes: RKEMU_FRAMES of the environment, or 100. */
unsigned int frame_count(void);

#define JOB_SLOTS	M2M_BUFFERS
/* Frames of VP8 refer to the picture of the job with this number and timestamp, if it is there. */
#define JOB_REFERENCE	1

struct jobs;

/**
 * struct job_kind - what a device is to do
 * @dev: the device
 * @input: the format of the OUTPUT queue
 * @picture: the format of the CAPTURE queue
 * @width: of the pictures
 * @height: of the pictures
 * @depth: bits of a pixel, in the first plane, where the input is a picture
 * @bytes: size of an OUTPUT buffer with a bitstream, else 0
 * @header: bytes of a bitstream that the device does not look at
 * @controls: sets what goes with a bitstream, for a request; NULL if there are no requests
 * @fill: writes the input of job @n; of two planes, the first one
 * @shows: whether a picture is that of job @n, and all of it; of two planes, the first one
 */
struct job_kind {
	const struct test_device *dev;
	__u32 input;
	__u32 picture;
	unsigned int width;
	unsigned int height;
	unsigned int depth;
	unsigned int bytes;
	unsigned int header;
	int (*controls)(int fd, int request);
	void (*fill)(const struct job_kind *kind, __u8 *data, __u32 n);
	bool (*shows)(const struct job_kind *kind, const __u8 *data, __u32 n);
};

extern const struct job_kind job_rga;
/* Its pictures have two planes, each in a dma-buf of its own. */
extern const struct job_kind job_rga_planes;
extern const struct job_kind job_h264;
extern const struct job_kind job_mpeg2;
extern const struct job_kind job_vp8;
/* visl takes what the decoder takes; its pictures show other things, so none is checked. */
extern const struct job_kind job_visl;
/* No emulated block: vim2m, which writes its picture before it waits. */
extern const struct job_kind job_vim2m;

/**
 * struct jobs - an open file of a device that is streaming
 * @kind: of the jobs
 * @m2m: the file
 * @requests: one for each OUTPUT buffer, or -1
 */
struct jobs {
	const struct job_kind *kind;
	struct m2m m2m;
	int requests[JOB_SLOTS];
};

/* For jobs that are not opened yet: jobs_close() does nothing then. */
void jobs_init(struct jobs *jobs);
/* Opens the node and starts streaming, with JOB_SLOTS buffers on both sides. */
int jobs_open(struct jobs *jobs, const struct job_kind *kind);
/* Opens the node and sets the formats, no more. */
int jobs_open_idle(struct jobs *jobs, const struct job_kind *kind);
/* The second half of it. */
int jobs_format(struct jobs *jobs);
/* From there on: requests, and streaming. Buffers come before it. */
int jobs_go(struct jobs *jobs);
/* STREAMOFF, of both queues. */
int jobs_stop(struct jobs *jobs);
/* Closes requests and node, but keeps the dma-bufs. */
void jobs_close_node(struct jobs *jobs);
/* Closes the dma-bufs, but keeps the node. */
void jobs_drop_buffers(struct jobs *jobs);
void jobs_close(struct jobs *jobs);

static inline struct m2m_buffer *job_input(struct jobs *jobs, unsigned int slot)
{
	return &jobs->m2m.queues[M2M_OUTPUT].buffers[slot];
}

static inline struct m2m_buffer *job_picture(struct jobs *jobs, unsigned int slot)
{
	return &jobs->m2m.queues[M2M_CAPTURE].buffers[slot];
}

/* A plane of the input or of the picture; NULL if there is no such. */
static inline struct m2m_buffer *job_plane(struct jobs *jobs, enum m2m_side side, unsigned int slot,
					   unsigned int plane)
{
	return m2m_plane(&jobs->m2m, side, slot, plane);
}

/* Paints the picture over: it shows no job, then. */
int job_blank(struct jobs *jobs, unsigned int slot);
/* Whether the picture is that of job @n; 0 is a blank one. Waits for the picture's fence. */
bool job_shows(struct jobs *jobs, unsigned int slot, __u32 n);

/* Queues the buffers of slot @slot for job @n. If the device is idle, the job is running then. */
int job_start(struct jobs *jobs, unsigned int slot, __u32 n);
/*
 * The same, and waits until the device has begun with the job. Behind the end of another one a job
 * starts from a work item. Not for vim2m and visl.
 */
int job_begin(struct jobs *jobs, unsigned int slot, __u32 n);
/* The wait by itself. @started: the knob "jobs" of before. */
int job_begun(struct jobs *jobs, long started);
/* The two halves of it. @flags: V4L2_BUF_FLAG_M2M_HOLD_CAPTURE_BUF; @stamp: 0 < @stamp. */
int job_queue_picture(struct jobs *jobs, unsigned int slot);
int job_queue_input(struct jobs *jobs, unsigned int slot, __u32 n, __u32 stamp, __u32 flags);
/* The three steps of the second half; the last one does nothing if there are no requests. */
int job_fill(struct jobs *jobs, unsigned int slot, __u32 n);
int job_qbuf_input(struct jobs *jobs, unsigned int slot, __u32 stamp, __u32 flags);
int job_queue_request(struct jobs *jobs, unsigned int slot);

/* Waits up to this long for both buffers. -EIO: both have the flag of an error. */
int job_end(struct jobs *jobs, unsigned int slot, __u32 n, int ms);
/* Its two halves. @stamp: what the buffer has to have. */
int job_end_picture(struct jobs *jobs, unsigned int slot, __u32 stamp, int ms);
int job_end_input(struct jobs *jobs, unsigned int slot, __u32 stamp, int ms);

/**
 * struct fences - of a job that runs, as sync_files; of two planes, those of the first one
 * @picture: what readers of the picture wait for
 * @input: what writers of the input wait for
 */
struct fences {
	int picture;
	int input;
};

/* Takes both from the dma-bufs, which may be before, in or after a job. */
int fences_take(struct jobs *jobs, unsigned int slot, struct fences *fences);
/*
 * Wait for both to end, up to this long. What the picture's says, as fence_status(); NO_STATUS if
 * the input's says something else. Their errors may differ: only one of two queues was cancelled.
 */
int fences_wait(const struct fences *fences, int ms);
void fences_init(struct fences *fences);
void fences_close(struct fences *fences);

/* Starts a job, and waits for its end. 0 only if the right picture came. */
int job_run(struct jobs *jobs, unsigned int slot, __u32 n);

/*
 * A file that is opened now does job @n, with the right picture and with fences that end. NULL, or
 * what was wrong.
 */
const char *device_works(const struct job_kind *kind, __u32 n);
/* The same for each slot, whether the jobs have fences or not. 0, or the first error. */
int device_does_jobs(const struct job_kind *kind, __u32 n);

/* S_EXT_CTRLS of a request. */
int set_controls(int fd, int request, struct v4l2_ext_control *list, unsigned int count);

/* Of a picture of the decoder: the number that the device gave to the job. */
__u32 vpu_frame(const struct job_kind *kind, const __u8 *data);

#endif
