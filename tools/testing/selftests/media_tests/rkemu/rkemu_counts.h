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

#define MEMORY_CACHES	128

/**
 * struct memory_cache - a cache of the slab allocator
 * @name: of it
 * @objects: in use; all of a slab that a processor has for itself count as such
 * @per_slab: how many these are
 */
struct memory_cache {
	char name[32];
	long objects;
	long per_slab;
};

/**
 * struct memory - what the kernel has in use
 * @available_kib: MemAvailable of /proc/meminfo, and the free pages that processors have
 * @slab_kib: SUnreclaim
 * @count: of @caches
 * @caches: those that may hold objects of jobs, and how many are in use
 */
struct memory {
	long available_kib;
	long slab_kib;
	unsigned int count;
	struct memory_cache caches[MEMORY_CACHES];
};

/**
 * struct memory_growth - what more of it is in use than before
 * @used_kib: memory of any kind
 * @slab_kib: objects of all caches
 * @objects: of the cache that has grown most, less what processors may have of it for themselves
 * @cache: which one that is; belongs to the struct memory of afterwards
 */
struct memory_growth {
	long used_kib;
	long slab_kib;
	long objects;
	const char *cache;
};

/* What was freed counts no more, but for what waits for RCU: kfree_rcu() takes seconds. */
int memory_take(struct memory *memory);
void memory_compare(const struct memory *before, const struct memory *after,
		    struct memory_growth *growth);

/* Whether lockdep is still on, and has room left in all of its tables, which it prints. */
bool lockdep_has_room(void);

/* From now on, kmemleak reports only what is allocated later. */
int kmemleak_start(void);
/* How many objects nothing points to any more; prints them, and the number for @suite. */
long kmemleak_count(const char *suite);
/* The same; @inside is how many of them have @function in their backtraces. */
long kmemleak_count_in(const char *function, long *inside);

#endif
