/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory that kmemleak suspects to be lost. What returns a number returns a negative error if it
 * fails.
 */
#ifndef MEDIA_TESTS_KMEMLEAK_H
#define MEDIA_TESTS_KMEMLEAK_H

/* From now on, kmemleak reports only what is allocated later. */
int kmemleak_start(void);
/* How many objects nothing points to any more; prints them, and counts them for @suite. */
long kmemleak_count(const char *suite);
/* The same; @inside is how many of them have @function in their backtraces. */
long kmemleak_count_in(const char *function, long *inside);

#endif
