// SPDX-License-Identifier: GPL-2.0-only
/*
 * The C twin, compiled a second time: with the out-of-line functions that Rust has to call.
 */

#define TWIN_CALLS_HELPERS
#define TWIN_OPS	bench_c_helpers
#define TWIN_NAME	"c_helpers"

#include "twin.c"
