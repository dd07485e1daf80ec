/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tests on the emulated media blocks of the RK3566: counts of what went on in the kernel, of any
 * number of events. What returns an int returns a negative error if it fails.
 */
#ifndef RKEMU_COUNTS_H
#define RKEMU_COUNTS_H

#include <stdbool.h>

/**
 * struct fence_counts - what trace events tell of release fences
 * @made: fences of videobuf2 that were initialised
 * @gone: of these, freed
 * @armed: published for a job
 * @signalled: at the end of one
 */
struct fence_counts {
	long made;
	long gone;
	long armed;
	long signalled;
};

/* From now on events are counted. */
int fence_counts_start(void);
/* How many fences were armed since then. */
long fences_armed(void);
/* Waits until as many fences are freed as were made: that is by RCU. Stops the counting. */
int fence_counts_end(struct fence_counts *counts);

/* A line of /proc/meminfo, in KiB. */
long meminfo_kib(const char *name);

/* Whether lockdep is still on, and has room left in all of its tables, which it prints. */
bool lockdep_has_room(void);

/* From now on, kmemleak reports only what is allocated later. */
int kmemleak_start(void);
/* How many objects nobody points to any more; prints them. */
long kmemleak_count(void);
/* The same; @inside is how many of them have @function in their backtraces. */
long kmemleak_count_in(const char *function, long *inside);

#endif
