// SPDX-License-Identifier: GPL-2.0-only
/*
 * videobuf2-core.c a second time, without the hooks of release and acquire fences.
 *
 * The hooks are inline functions of the internal headers, which that file includes. All public
 * headers come before, with the option as it is configured, so that both builds have the same
 * structures. The Makefile renames the functions.
 */

#define __DISABLE_EXPORTS

#include "core.h"

#if defined(_VIDEOBUF2_RELEASE_FENCE_INTERNAL_H) || defined(_VIDEOBUF2_ACQUIRE_FENCE_INTERNAL_H)
#error "the hooks are in already"
#endif
#undef CONFIG_VIDEOBUF2_RELEASE_FENCES
#undef pr_fmt

#include "../videobuf2-core.c"

const struct bench_core bench_core_off = {
	.name = "off",
	.qbuf = vb2_core_qbuf,
	.done = vb2_buffer_done,
	.dqbuf = vb2_core_dqbuf,
};
