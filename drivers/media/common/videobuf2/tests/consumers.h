/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What consumers.c, which has the suite, and consumers-sync-file.c share.
 */
#ifndef _VB2_RELEASE_FENCE_CONSUMERS_H
#define _VB2_RELEASE_FENCE_CONSUMERS_H

#include "mock.h"

/* A fence, and nothing else of the queue that it came from. */
struct dma_fence *consumers_orphan_fence(struct kunit *test, const char *name, bool done);

/* Cases, consumers-sync-file.c */
void sync_file_outlives_queue(struct kunit *test);
void export_sync_file(struct kunit *test);

#endif /* _VB2_RELEASE_FENCE_CONSUMERS_H */
