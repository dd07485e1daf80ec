/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What acquire fences cost: the hooks of QBUF and DQBUF, ours and the same design in C.
 */
#ifndef _VB2_RELEASE_FENCE_BENCH_ACQUIRE_H
#define _VB2_RELEASE_FENCE_BENCH_ACQUIRE_H

#include "../videobuf2-acquire-fence-internal.h"
#include "bench.h"

/*
 * A variant.
 *
 * @setup:	makes the state of a buffer, or returns NULL without memory
 * @acquire:	what VIDIOC_QBUF does: a snapshot, and the timeout if there is a fence
 * @waits:	0 if the buffer waits for nothing
 * @let_go:	what VIDIOC_DQBUF does
 * @teardown:	frees the state
 */
struct bench_acquire_ops {
	const char *name;
	void *(*setup)(struct vb2_buffer *vb);
	int (*acquire)(void *state);
	int (*waits)(void *state);
	void (*let_go)(void *state);
	void (*teardown)(void *state);
};

extern const struct bench_acquire_ops bench_acquire_c;

#endif /* _VB2_RELEASE_FENCE_BENCH_ACQUIRE_H */
