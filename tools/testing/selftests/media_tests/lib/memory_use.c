// SPDX-License-Identifier: GPL-2.0-only
/*
 * How much memory the kernel has in use.
 */

#include <errno.h>
#include <fnmatch.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <linux/filter.h>

#include "array_count.h"
#include "memory_use.h"
#include "text_file.h"

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
 * something needs it to be so. The write protection of a socket's filter does.
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
