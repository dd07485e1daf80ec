// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests on the emulated media blocks of the RK3566: counts of what went on in the kernel.
 *
 * A trace instance for each event, with a small buffer: what was overwritten is counted, too.
 */

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

long kmemleak_count(void)
{
	long inside;

	return kmemleak_count_in("", &inside);
}
