/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A build of videobuf2-core.c: what a buffer's cycle calls of it.
 */
#ifndef _VB2_RELEASE_FENCE_BENCH_CORE_H
#define _VB2_RELEASE_FENCE_BENCH_CORE_H

#include <media/videobuf2-core.h>

struct bench_core {
	const char *name;
	int (*qbuf)(struct vb2_queue *q, struct vb2_buffer *vb, void *pb,
		    struct media_request *req);
	void (*done)(struct vb2_buffer *vb, enum vb2_buffer_state state);
	int (*dqbuf)(struct vb2_queue *q, unsigned int *pindex, void *pb, bool nonblocking);
};

/* Without the hooks of CONFIG_VIDEOBUF2_RELEASE_FENCES */
extern const struct bench_core bench_core_off;

#endif /* _VB2_RELEASE_FENCE_BENCH_CORE_H */
