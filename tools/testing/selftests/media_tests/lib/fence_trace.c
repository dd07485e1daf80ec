// SPDX-License-Identifier: GPL-2.0-only
/*
 * Trace events of release fences.
 *
 * For a number of events there is a trace instance for each kind, with a small buffer: what was
 * overwritten is counted, too.
 */

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "array_count.h"
#include "counts.h"
#include "fence_trace.h"
#include "monotonic_clock.h"
#include "text_file.h"

#define INSTANCES	"/sys/kernel/tracing/instances"
#define TRACE	INSTANCES "/release-fences"

enum { MADE, GONE, ARMED, SIGNALLED };

static const struct counted {
	const char *instance;
	const char *event;
	const char *filter;
} counted[] = {
	[MADE] = { "fences-made", "dma_fence/dma_fence_init", "driver == \"videobuf2\"" },
	[GONE] = { "fences-gone", "dma_fence/dma_fence_destroy", "driver == \"videobuf2\"" },
	[ARMED] = { "fences-armed", "vb2/vb2_release_fence_armed", "0" },
	[SIGNALLED] = { "fences-signalled", "vb2/vb2_release_fence_signalled", "0" },
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

/*
 * All events of dma_fence, since each of them reads the names of driver and timeline, whatever has
 * gone away by then. The filter is asked after that.
 */
int fence_trace_start(void)
{
	int ret;

	rmdir(TRACE);
	if (mkdir(TRACE, 0700))
		return -errno;
	ret = write_text(TRACE "/buffer_size_kb", "8192");
	ret = ret ? ret : write_text(TRACE "/events/dma_fence/filter", "driver == \"videobuf2\"");
	return ret ? ret : write_text(TRACE "/events/dma_fence/enable", "1");
}

int fence_trace_end(struct fence_events *events)
{
	FILE *file = fopen(TRACE "/trace", "re");
	long signalled = 0, gone = 0, nameless = 0;
	char line[512];

	if (!file)
		return -errno;
	*events = (struct fence_events){};
	while (fgets(line, sizeof(line), file)) {
		if (!strstr(line, "driver=videobuf2"))
			continue;
		events->made += !!strstr(line, "dma_fence_init:");
		signalled += !!strstr(line, "dma_fence_signaled:");
		gone += !!strstr(line, "dma_fence_destroy:");
		events->waits += !!strstr(line, "dma_fence_wait_end:");
		nameless += !!strstr(line, "timeline= ");
	}
	fclose(file);
	events->left = events->made - gone;
	printf("# events of fences: %ld made, %ld signalled, %ld freed, %ld waits; %ld nameless\n",
	       events->made, signalled, gone, events->waits, nameless);
	if (rmdir(TRACE))
		return -errno;
	return signalled < gone || nameless ? -EPROTO : 0;
}
