/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Cases of the suite in exports.c that are in exports-allocators.c.
 */
#ifndef _VB2_RELEASE_FENCE_EXPORTS_H
#define _VB2_RELEASE_FENCE_EXPORTS_H

#include "mock.h"

void not_coherent(struct kunit *test);
void other_allocator(struct kunit *test);

#endif /* _VB2_RELEASE_FENCE_EXPORTS_H */
