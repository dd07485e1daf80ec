/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A mem2mem device with its two queues.
 *
 * What returns an int returns a negative error if it fails, unless it says otherwise.
 */
#ifndef MEDIA_TESTS_M2M_H
#define MEDIA_TESTS_M2M_H

#include <stddef.h>

#include <linux/types.h>
#include <linux/videodev2.h>

#include "device.h"

#define M2M_BUFFERS	3
/* Of a buffer, at most. */
#define M2M_PLANES	2

enum m2m_side { M2M_OUTPUT, M2M_CAPTURE };

/**
 * struct m2m_buffer - the memory of a buffer, or of one of its two planes
 * @dmabuf: exported, or imported
 * @data: its memory, by mmap() of the dma-buf
 * @size: of the memory
 */
struct m2m_buffer {
	int dmabuf;
	__u8 *data;
	size_t size;
};

/**
 * struct m2m_queue - one of the two
 * @memory: V4L2_MEMORY_MMAP or V4L2_MEMORY_DMABUF
 * @pix: the format; of a device without planes, what it says in the terms of one plane
 * @count: number of buffers
 * @buffers: the buffers; of a format with two planes, their first ones
 * @seconds: their second ones
 */
struct m2m_queue {
	unsigned int memory;
	struct v4l2_pix_format_mplane pix;
	unsigned int count;
	struct m2m_buffer buffers[M2M_BUFFERS];
	struct m2m_buffer seconds[M2M_BUFFERS];
};

/**
 * struct m2m - an open file
 * @fd: of the video node
 * @media: of the media device, or -1
 * @single: the device has no planes: V4L2_CAP_VIDEO_M2M
 * @queues: by enum m2m_side
 */
struct m2m {
	int fd;
	int media;
	bool single;
	struct m2m_queue queues[2];
};

/**
 * struct m2m_qbuf - what QBUF says of a buffer, besides its index
 * @bytes: of an OUTPUT buffer
 * @stamp: the timestamp, in microseconds
 * @flags: V4L2_BUF_FLAG_
 * @request: with V4L2_BUF_FLAG_REQUEST_FD
 * @fence: with V4L2_BUF_FLAG_IN_FENCE, or whatever a program leaves there
 */
struct m2m_qbuf {
	__u32 bytes;
	__u32 stamp;
	__u32 flags;
	int request;
	int fence;
};

/* Maps the dma-buf, all of it. */
int m2m_buffer_map(struct m2m_buffer *buffer);
/* Unmaps and closes it, if it is there. */
void m2m_buffer_drop(struct m2m_buffer *buffer);

/* Before anything else: m2m_close() of what was never opened does nothing. */
void m2m_init(struct m2m *m2m);
int m2m_open(struct m2m *m2m, const struct test_device *dev, bool media);
/* In this order: the descriptor of the video node; then dma-bufs and mappings, which outlive it. */
void m2m_close_node(struct m2m *m2m);
void m2m_close(struct m2m *m2m);

/* V4L2_BUF_TYPE_ of a queue */
__u32 m2m_type(const struct m2m *m2m, enum m2m_side side);
/* The memory of a buffer's plane, 0 or 1, or NULL if the format has no such. */
struct m2m_buffer *m2m_plane(struct m2m *m2m, enum m2m_side side, unsigned int index,
			     unsigned int plane);
/* @size: of an OUTPUT buffer with a bitstream, else 0. The result is in the queue's @pix. */
int m2m_format(struct m2m *m2m, enum m2m_side side, __u32 fourcc, __u32 width, __u32 height,
	       __u32 size);
/* REQBUFS, or CREATE_BUFS; how many buffers came, which may be fewer. */
int m2m_reqbufs(struct m2m *m2m, enum m2m_side side, unsigned int count);
int m2m_create(struct m2m *m2m, enum m2m_side side, unsigned int count);
/* Exports those that there are. */
int m2m_adopt(struct m2m *m2m, enum m2m_side side, unsigned int count);
/* Buffers of the device itself, exported. */
int m2m_alloc(struct m2m *m2m, enum m2m_side side, unsigned int count);
/* Buffers of the system dma-heap. */
int m2m_import(struct m2m *m2m, enum m2m_side side, unsigned int count);
/* Closes all dma-bufs of a queue. */
void m2m_drop_buffers(struct m2m *m2m, enum m2m_side side);
/* That, and REQBUFS(0). */
int m2m_free(struct m2m *m2m, enum m2m_side side);
/* The first plane. @flags: O_RDWR, O_RDONLY */
int m2m_export(struct m2m *m2m, enum m2m_side side, unsigned int index, int flags);

int m2m_stream(struct m2m *m2m, enum m2m_side side, bool on);
int m2m_qbuf(struct m2m *m2m, enum m2m_side side, unsigned int index, const struct m2m_qbuf *how);
/* PREPARE_BUF, which is not for OUTPUT: it says nothing of bytes and requests. */
int m2m_prepare(struct m2m *m2m, enum m2m_side side, unsigned int index);
/* -EAGAIN if none was done within @ms; else what is known of the buffer is in @buf. */
int m2m_dqbuf(struct m2m *m2m, enum m2m_side side, int ms, struct v4l2_buffer *buf);

#endif
