// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a test program has counted, as lines that a script can read.
 */

#include <stdio.h>

#include "counts.h"

void counts_operation(const char *suite, const char *operation, unsigned long times)
{
	printf("# counts: {\"suite\": \"%s\", \"operations\": {\"%s\": %lu}}\n", suite, operation,
	       times);
}

void counts_fences(const char *suite, long made, long left)
{
	printf("# counts: {\"suite\": \"%s\", \"fences\": {\"made\": %ld, \"left\": %ld}}\n", suite,
	       made, left);
}

void counts_kmemleak(const char *suite, long objects)
{
	printf("# counts: {\"suite\": \"%s\", \"kmemleak\": [%ld]}\n", suite, objects);
}
