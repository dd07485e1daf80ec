// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that kmemleak suspects to be lost.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "counts.h"
#include "kmemleak.h"
#include "monotonic_clock.h"
#include "text_file.h"

#define KMEMLEAK	"/sys/kernel/debug/kmemleak"
/* kmemleak reports nothing that is younger. */
#define KMEMLEAK_AGE_MS	6000

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

	counts_kmemleak(suite, objects);
	return objects;
}
