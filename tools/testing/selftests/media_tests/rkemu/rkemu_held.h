/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tests on the emulated media blocks of the RK3566: what others hold of a job's buffers and fences,
 * and what the kernel says of it. What returns an int returns a negative error if it fails.
 */
#ifndef RKEMU_HELD_H
#define RKEMU_HELD_H

#include <sys/ioctl.h>

#include "rkemu_jobs.h"

enum held_part { HELD_FENCES, HELD_MERGED, HELD_DMABUFS, HELD_FRAMEBUFFER, HELD_PARTS };

/**
 * struct held - of one job
 * @fences: of picture and input
 * @merged: both of them, SYNC_IOC_MERGE
 * @picture: another descriptor of the picture's dma-buf, and a mapping
 * @input: of the input's
 * @card: the display that has the picture as framebuffer @framebuffer
 * @ended: what the fences said when they were seen to have ended; 0 before
 */
struct held {
	struct fences fences;
	int merged;
	struct m2m_buffer picture;
	struct m2m_buffer input;
	int card;
	__u32 framebuffer;
	int ended[2];
};

void held_init(struct held *held);
/* Takes all of it of the job in slot @slot, which runs. */
int held_take(struct held *held, struct jobs *jobs, unsigned int slot);
/* Lets a part go. */
void held_drop(struct held *held, enum held_part part);

/*
 * Uses all that is held in every way that user space has. NULL, or what was wrong. With @must_end,
 * the fences have to have ended; once ended, they have to stay as they are.
 */
const char *held_use(struct held *held, bool must_end);

/* The node of a DRM driver, by its name. */
int open_card(const char *driver);

/* Timelines that user space signals, or not. Their driver has no header for user space. */
#define SW_SYNC			"/sys/kernel/debug/sync/sw_sync"

struct sw_sync_create_fence_data {
	__u32 value;
	char name[32];
	__s32 fence;
};

#define SW_SYNC_IOC_CREATE_FENCE	_IOWR('W', 0, struct sw_sync_create_fence_data)
#define SW_SYNC_IOC_INC			_IOW('W', 1, __u32)

/* A sync_file with a fence that ends when the timeline is at @value. */
int sw_sync_fence(int timeline, unsigned int value);
/* DMA_BUF_IOCTL_IMPORT_SYNC_FILE, as of somebody who writes. */
int dmabuf_import(int dmabuf, int fence);

#define BUFINFO			"/sys/kernel/debug/dma_buf/bufinfo"
/* Number of dma-bufs there, which are all read for it. */
long dmabuf_count(void);

/* From now on, the trace of dma_fence is kept apart. */
int fence_trace_start(void);
/**
 * struct fence_events - of videobuf2's fences since then
 * @made: how many fences
 * @left: how many of them
 * @waits: that ended
 */
struct fence_events {
	long made;
	long left;
	long waits;
};

/* -EPROTO: a fence was freed before it was signalled, or an event lacks its timeline's name. */
int fence_trace_end(struct fence_events *events);

#endif
