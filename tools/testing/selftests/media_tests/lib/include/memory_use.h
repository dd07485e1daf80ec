/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How much memory the kernel has in use. What returns an int returns a negative error if it fails.
 */
#ifndef MEDIA_TESTS_MEMORY_USE_H
#define MEDIA_TESTS_MEMORY_USE_H

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

#endif
