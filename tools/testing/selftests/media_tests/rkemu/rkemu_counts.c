// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests on the emulated media blocks of the RK3566: counts of what went on in the kernel.
 *
 * A trace instance for each event, with a small buffer: what was overwritten is counted, too.
 */

#include <errno.h>
#include <fnmatch.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <linux/filter.h>

#include "counts.h"
#include "rkemu_counts.h"
#include "rkemu_util.h"

#define INSTANCES	"/sys/kernel/tracing/instances"
#define KMEMLEAK	"/sys/kernel/debug/kmemleak"
/* kmemleak reports nothing that is younger. */
#define KMEMLEAK_AGE_MS	6000

enum { MADE, GONE, ARMED, SIGNALLED };

static const struct counted {
	const char *instance;
	const char *event;
	const char *filter;
} counted[] = {
	[MADE] = { "rkemu-made", "dma_fence/dma_fence_init", "driver == \"videobuf2\"" },
	[GONE] = { "rkemu-gone", "dma_fence/dma_fence_destroy", "driver == \"videobuf2\"" },
	[ARMED] = { "rkemu-armed", "vb2/vb2_release_fence_armed", "0" },
	[SIGNALLED] = { "rkemu-signalled", "vb2/vb2_release_fence_signalled", "0" },
};

static int start(const struct counted *what)
{
	char path[PATH_MAX];
	int ret;

	snprintf(path, sizeof(path), INSTANCES "/%s", what->instance);
	rmdir(path);
	if (mkdir(path, 0700))
		return -errno;
	snprintf(path, sizeof(path), INSTANCES "/%s/buffer_size_kb", what->instance);
	ret = write_text(path, "16");
	snprintf(path, sizeof(path), INSTANCES "/%s/events/%s/filter", what->instance, what->event);
	ret = ret ? ret : write_text(path, what->filter);
	snprintf(path, sizeof(path), INSTANCES "/%s/events/%s/enable", what->instance, what->event);
	return ret ? ret : write_text(path, "1");
}

int fence_counts_start(void)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < ARRAY_COUNT(counted) && !ret; i++)
		ret = start(&counted[i]);
	return ret;
}

/* Events of one processor, in the buffer or overwritten. */
static long stats_of(const char *path)
{
	FILE *file = fopen(path, "re");
	long events = 0, number;
	char line[128];

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "entries: %ld", &number) == 1 ||
		    sscanf(line, "overrun: %ld", &number) == 1 ||
		    sscanf(line, "commit overrun: %ld", &number) == 1)
			events += number;
	fclose(file);
	return events;
}

static long events_of(const struct counted *what)
{
	char pattern[PATH_MAX];
	long events = 0;
	glob_t files;
	size_t i;

	snprintf(pattern, sizeof(pattern), INSTANCES "/%s/per_cpu/cpu*/stats", what->instance);
	if (glob(pattern, 0, NULL, &files))
		return -ENOENT;
	for (i = 0; i < files.gl_pathc && events >= 0; i++) {
		const long number = stats_of(files.gl_pathv[i]);

		events = number < 0 ? number : events + number;
	}
	globfree(&files);
	return events;
}

long fences_armed(void)
{
	return events_of(&counted[ARMED]);
}

int fence_counts_end(struct fence_counts *counts)
{
	long *const numbers[] = {
		&counts->made, &counts->gone, &counts->armed, &counts->signalled,
	};
	const long long end = now_ms() + SOON_MS;
	char path[PATH_MAX];
	unsigned int i;
	int ret = 0;

	while (events_of(&counted[MADE]) != events_of(&counted[GONE]) && now_ms() < end)
		sleep_ms(50);
	for (i = 0; i < ARRAY_COUNT(counted); i++) {
		*numbers[i] = events_of(&counted[i]);
		if (*numbers[i] < 0)
			ret = *numbers[i];
		snprintf(path, sizeof(path), INSTANCES "/%s", counted[i].instance);
		if (rmdir(path))
			ret = -errno;
	}
	return ret;
}

long meminfo_kib(const char *name)
{
	FILE *file = fopen("/proc/meminfo", "re");
	char line[128], found[64];
	long kib, value = -ENOENT;

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%63[^:]: %ld", found, &kib) == 2 && !strcmp(found, name))
			value = kib;
	fclose(file);
	return value;
}

/* Whose objects all count as in use: the one that it allocates from, and some that it has next. */
#define SLABS_OF_PROCESSOR	2

/* What may hold objects of jobs: of their files, requests, buffers, dma-bufs and fences. */
static const char *const cache_names[] = { "kmalloc-*", "filp", "inode_cache", "dentry" };

static bool counts_cache(const char *name)
{
	unsigned int i;

	for (i = 0; i < ARRAY_COUNT(cache_names); i++)
		if (!fnmatch(cache_names[i], name, 0))
			return true;
	return false;
}

/* Of what was freed, KASAN's quarantine keeps as much as 1/32 of the memory. This empties it. */
static int shrink_caches(void)
{
	glob_t files;
	int ret = 0;
	size_t i;

	if (glob("/sys/kernel/slab/*/shrink", 0, NULL, &files))
		return -ENOENT;
	for (i = 0; i < files.gl_pathc && !ret; i++)
		ret = write_text(files.gl_pathv[i], "1");
	globfree(&files);
	return ret;
}

static int count_objects(struct memory *memory)
{
	FILE *file = fopen("/proc/slabinfo", "re");
	char line[512];

	if (!file)
		return -errno;
	memory->count = 0;
	while (memory->count < MEMORY_CACHES && fgets(line, sizeof(line), file)) {
		struct memory_cache *cache = &memory->caches[memory->count];

		if (sscanf(line, "%31s %ld %*d %*d %ld", cache->name, &cache->objects,
			   &cache->per_slab) == 3 && counts_cache(cache->name))
			memory->count++;
	}
	fclose(file);
	return memory->count && memory->count < MEMORY_CACHES ? 0 : -ERANGE;
}

/*
 * vfree() gives back pages at once, but the addresses, and KASAN's notes on them, much later: when
 * somebody needs it to be so. The write protection of a socket's filter does.
 */
static int purge_addresses(void)
{
	struct sock_filter filter = BPF_STMT(BPF_RET | BPF_K, 0);
	const struct sock_fprog program = { .len = 1, .filter = &filter };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)))
		ret = -errno;
	close(fd);
	return ret;
}

/* Free pages that processors have for themselves, which are no part of MemAvailable. */
static long processors_kib(void)
{
	FILE *file = fopen("/proc/zoneinfo", "re");
	long pages = 0, count;
	char line[256];

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, " count: %ld", &count) == 1)
			pages += count;
	fclose(file);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

int memory_take(struct memory *memory)
{
	long processors;
	int ret;

	ret = purge_addresses();
	/* Pages of files come and go with what else is running. */
	ret = ret ? ret : write_text("/proc/sys/vm/drop_caches", "3");
	ret = ret ? ret : shrink_caches();
	ret = ret ? ret : count_objects(memory);
	processors = processors_kib();
	memory->available_kib = meminfo_kib("MemAvailable");
	memory->slab_kib = meminfo_kib("SUnreclaim");
	if (processors < 0 || memory->available_kib < 0 || memory->slab_kib < 0)
		return -ENOENT;
	memory->available_kib += processors;
	return ret;
}

void memory_compare(const struct memory *before, const struct memory *after,
		    struct memory_growth *growth)
{
	const long slabs = SLABS_OF_PROCESSOR * get_nprocs();
	unsigned int i, j;

	growth->used_kib = before->available_kib - after->available_kib;
	growth->slab_kib = after->slab_kib - before->slab_kib;
	growth->objects = 0;
	growth->cache = "none";
	for (i = 0; i < after->count; i++) {
		const struct memory_cache *cache = &after->caches[i];
		long objects = cache->objects - slabs * cache->per_slab;

		for (j = 0; j < before->count; j++)
			if (!strcmp(before->caches[j].name, cache->name))
				objects -= before->caches[j].objects;
		if (objects > growth->objects) {
			growth->objects = objects;
			growth->cache = cache->name;
		}
	}
}

bool lockdep_has_room(void)
{
	FILE *file = fopen("/proc/lockdep_stats", "re");
	char line[128], name[64];
	long used, max, value, on = 0;
	bool room = true;

	if (!file)
		return false;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, " debug_locks: %ld", &value) == 1)
			on = value;
		if (sscanf(line, " %63[^:]: %ld [max: %ld]", name, &used, &max) != 3)
			continue;
		printf("# lockdep: %s %ld of %ld\n", name, used, max);
		room &= used < max;
	}
	fclose(file);
	printf("# lockdep: debug_locks: %ld\n", on);
	return room && on == 1;
}

int kmemleak_start(void)
{
	int ret = write_text(KMEMLEAK, "scan");

	return ret ? ret : write_text(KMEMLEAK, "clear");
}

long kmemleak_count_in(const char *function, long *inside)
{
	bool counted = false;
	long objects = 0;
	char line[256];
	FILE *file;
	int ret, i;

	*inside = 0;
	sleep_ms(KMEMLEAK_AGE_MS);
	/* What was being moved about during the first scan is found by the second one. */
	for (i = 0; i < 2; i++) {
		ret = write_text(KMEMLEAK, "scan");
		if (ret)
			return ret;
	}
	file = fopen(KMEMLEAK, "re");
	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		if (!strncmp(line, "unreferenced object", strlen("unreferenced object"))) {
			objects++;
			counted = false;
		}
		if (!counted && strstr(line, function)) {
			(*inside)++;
			counted = true;
		}
		printf("# kmemleak: %s", line);
	}
	fclose(file);
	return objects;
}

long kmemleak_count(const char *suite)
{
	long inside;
	const long objects = kmemleak_count_in("", &inside);

	printf("# kmemleak suspects %ld objects\n", objects);
	counts_kmemleak(suite, objects);
	return objects;
}
