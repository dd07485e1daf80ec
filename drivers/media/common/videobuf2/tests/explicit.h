/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a program gets that asks a buffer for its fence; and the video node that it asks,
 * explicit-node.c.
 */
#ifndef _VB2_RELEASE_FENCE_EXPLICIT_H
#define _VB2_RELEASE_FENCE_EXPLICIT_H

#include <linux/fs.h>
#include <media/v4l2-dev.h>
#include <media/v4l2-device.h>
#include <media/v4l2-fh.h>

#include "mock.h"

/* The fence, until the case ends. */
struct dma_fence *explicit_fence(struct kunit *test, struct vb2_buffer *vb);
/* Why there is none, or 0 */
int explicit_error(struct vb2_buffer *vb);

/* A sync_file of the fence, which the caller closes. */
int explicit_descriptor(struct kunit *test, struct dma_fence *fence);

/* A video node, which is registered until the case ends. */
struct test_node {
	struct kunit *test;
	struct v4l2_device v4l2_dev;
	struct video_device vdev;
};

/* An open file of it; no more of a file than ioctls look at. */
struct node_file {
	struct v4l2_fh fh;
	struct inode inode;
	struct file file;
};

/* @q: its queue, or NULL */
struct test_node *node_register(struct kunit *test, struct vb2_queue *q);
struct node_file *node_open(struct test_node *node);
void node_close(struct kunit *test, struct node_file *file);
/* What the driver does before VIDIOC_QBUF returns; or NULL */
extern void (*node_on_qbuf)(void);

/* The number of the next descriptor, which tells whether one is in use. */
int node_next_fd(struct kunit *test);
/* From here on there is none, until the case ends. */
void node_allow_no_descriptor(struct kunit *test);
/* Now or soon: what a kernel thread puts is released by a worker. */
bool node_fence_reaches(struct dma_fence *fence, unsigned int references);

#endif /* _VB2_RELEASE_FENCE_EXPLICIT_H */
