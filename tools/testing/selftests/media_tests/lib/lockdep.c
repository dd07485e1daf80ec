// SPDX-License-Identifier: GPL-2.0-only
/*
 * What lockdep says of itself.
 */

#include <stdio.h>

#include "lockdep.h"

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
