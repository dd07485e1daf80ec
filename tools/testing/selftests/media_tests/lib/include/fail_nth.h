/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Allocations of the kernel that fail, one at a time. See Documentation/fault-injection/fault-
 * injection.rst, fail-nth.
 */
#ifndef MEDIA_TESTS_FAIL_NTH_H
#define MEDIA_TESTS_FAIL_NTH_H

#include <stdbool.h>

/* From now on allocations may fail. NULL, or why that is not possible here. */
const char *fail_start(void);
/* As it was before. At the end of the program that is done in any case. */
void fail_stop(void);

/*
 * Of how many allocations a sweep over all of them lets one fail: FAIL_STRIDE of the environment,
 * by default 1, and 0 if that is no number.
 */
unsigned int fail_stride(void);

/* Lets the @nth allocation of this task fail, counted from now on. */
int fail_begin(unsigned int nth);
/* No more. Whether one has failed; negative if that is not known. */
int fail_end(void);

/* The same for each of the kernel's workers that a work item of a driver may run on. */
int fail_workers_find(void);
int fail_workers_begin(unsigned int nth);
int fail_workers_end(void);

#endif
