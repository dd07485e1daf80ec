/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a test program has counted, for a script that adds up the counts of many programs: lines
 * of the form
 *
 *   # counts: {"suite": "lifetimes", "operations": {"close": 41}, "fences": {"made": 9, "left": 0}}
 *
 * Any number of them may be printed: the reader adds them up.
 */
#ifndef MEDIA_TESTS_COUNTS_H
#define MEDIA_TESTS_COUNTS_H

/* The suites that the programs belong to. */
#define SUITE_LIFETIMES		"lifetimes"
#define SUITE_FAULTS		"faults"
#define SUITE_LOAD		"load"

/* An operation was met so many times. */
void counts_operation(const char *suite, const char *operation, unsigned long times);
/* Fences that were made, and of these the ones that have not ended. */
void counts_fences(const char *suite, long made, long left);
/* kmemleak was asked, and suspects so many objects. */
void counts_kmemleak(const char *suite, long objects);

#endif
