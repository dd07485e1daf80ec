/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tests on the emulated media blocks of the RK3566: the blocks, their knobs, dma-bufs and fences.
 *
 * What returns an int returns a negative error if it fails, unless it says otherwise.
 */
#ifndef RKEMU_UTIL_H
#define RKEMU_UTIL_H

#include <stdbool.h>
#include <stddef.h>

#define ARRAY_COUNT(array)	(sizeof(array) / sizeof((array)[0]))

/* For what is to happen at once, in milliseconds: the machine may be an emulated and busy one. */
#define SOON_MS			20000
/* How long a test may take, in seconds. */
#define CASE_S			300

/**
 * struct rkemu_dev - one of the blocks, with its driver
 * @block: its directory in debugfs; NULL for a device that is not emulated
 * @device: its name on the platform bus
 * @driver: the driver's name there, and in VIDIOC_QUERYCAP
 * @module: where the driver's parameters are
 * @reset_line: the driver stops a job by the reset controller, and not by a register
 * @aborts: the driver does not wait for the end of a job that is cancelled
 */
struct rkemu_dev {
	const char *block;
	const char *device;
	const char *driver;
	const char *module;
	bool reset_line;
	bool aborts;
};

extern const struct rkemu_dev rkemu_rga;
extern const struct rkemu_dev rkemu_vpu;
/* The kernel's own test driver: a video node and a media device, but no knobs. */
extern const struct rkemu_dev rkemu_visl;
/* Has no knobs. */
extern const struct rkemu_dev rkemu_vim2m;

/* Brings the block up, with all knobs at their defaults. NULL, or why that is not possible here. */
const char *rkemu_start(const struct rkemu_dev *dev);
/* The defaults again: knobs, parameters, the driver bound. */
int rkemu_defaults(const struct rkemu_dev *dev);
/* Both blocks. */
int rkemu_enable(bool on);
int rkemu_bind(const struct rkemu_dev *dev, bool on);

/* Of the chip: no clock can be prepared or enabled, no reset line deasserted. */
#define CLOCKS_FAIL		"/sys/kernel/debug/rkemu/clocks_fail"
#define RESETS_FAIL		"/sys/kernel/debug/rkemu/resets_fail"

/* Files of the block in debugfs. */
long knob_get(const struct rkemu_dev *dev, const char *knob);
int knob_set(const struct rkemu_dev *dev, const char *knob, unsigned int value);
/* Waits until a counter is at least @value. Whether it is. */
bool knob_reaches(const struct rkemu_dev *dev, const char *knob, long value, int ms);
/* @jobs: how many go wrong; 0 stands for all */
int fault_set(const struct rkemu_dev *dev, const char *fault, unsigned int jobs);

int fences_set(const struct rkemu_dev *dev, bool on);
int watchdog_set(const struct rkemu_dev *dev, unsigned int ms);
/* How long a job takes, for files opened from now on. */
int job_time_set(const struct rkemu_dev *dev, unsigned int ms);
#define DEADLINE	"/sys/module/videobuf2_common/parameters/release_fence_timeout_ms"
/* After which videobuf2 signals a fence by itself. */
int deadline_set(unsigned int ms);

/* How many frames a test of pixels takes: RKEMU_FRAMES of the environment. */
unsigned int frame_count(void);

/* From now on this process has the rights of nobody. */
int become_nobody(void);

int write_text(const char *path, const char *text);
int read_text(const char *path, char *text, size_t size);
long long now_ms(void);
void sleep_ms(unsigned int ms);

/* The driver's video node; with @media, which may be NULL, its media device too. */
int open_node(const struct rkemu_dev *dev, int *media);

/* Whether a dma-buf is ready for all of @events, within @ms; 0 or 1. */
int dmabuf_ready(int dmabuf, short events, int ms);
/* DMA_BUF_IOCTL_EXPORT_SYNC_FILE; @flags of DMA_BUF_SYNC_. */
int dmabuf_fence(int dmabuf, unsigned int flags);
/* DMA_BUF_IOCTL_SYNC: waits for fences. */
int dmabuf_begin(int dmabuf, unsigned int flags);
int dmabuf_end(int dmabuf, unsigned int flags);
int heap_alloc(unsigned int size);

/* What is no answer must not pass as one: nothing that a test expects. */
#define NO_STATUS	1000
/*
 * Of a sync_file, as SYNC_IOC_FILE_INFO says it: 0 is pending, 1 is success, negative an error.
 * NO_STATUS if it is not a sync_file.
 */
int fence_status(int fence);
/* The same, when the fence has ended or after @ms. */
int fence_wait(int fence, int ms);

/* What looks like an address of the kernel, in hex or decimal: those begin with many ones. */
bool has_address(const char *text);

void close_fd(int *fd);

#endif
