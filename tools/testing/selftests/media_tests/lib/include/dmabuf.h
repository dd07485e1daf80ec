/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dma-bufs, their fences as sync_files, and fences of sw_sync.
 *
 * What returns an int returns a negative error if it fails, unless it says otherwise.
 */
#ifndef MEDIA_TESTS_DMABUF_H
#define MEDIA_TESTS_DMABUF_H

#include <poll.h>
#include <sys/ioctl.h>

#include <linux/types.h>

/* Whether a dma-buf is ready for all of @events, within @ms; 0 or 1. */
int dmabuf_ready(int dmabuf, short events, int ms);
/* DMA_BUF_IOCTL_EXPORT_SYNC_FILE; @flags of DMA_BUF_SYNC_. */
int dmabuf_fence(int dmabuf, unsigned int flags);
/* DMA_BUF_IOCTL_SYNC: waits for fences. */
int dmabuf_begin(int dmabuf, unsigned int flags);
int dmabuf_end(int dmabuf, unsigned int flags);

#define HEAP	"/dev/dma_heap/system"
/* A new dma-buf of the system dma-heap. */
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
/* When it ended, by CLOCK_MONOTONIC; 0 if it is pending. Of one that was not merged. */
long long fence_ended_ns(int fence);

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
/* The timeline goes on by one: the next fence ends. */
int sw_sync_step(int timeline);
/* DMA_BUF_IOCTL_IMPORT_SYNC_FILE, as of a writer, or of a reader. */
int dmabuf_import(int dmabuf, int fence);
int dmabuf_import_read(int dmabuf, int fence);

#define BUFINFO			"/sys/kernel/debug/dma_buf/bufinfo"
/* Number of dma-bufs there, which are all read for it. */
long dmabuf_count(void);

/* Closes a descriptor, if it is one, and sets it to -1. */
void close_fd(int *fd);

#endif
