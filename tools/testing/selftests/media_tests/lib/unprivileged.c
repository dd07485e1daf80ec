// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a process without rights may do and learn.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <unistd.h>

#include "unprivileged.h"

/* The user and the group "nobody". */
#define NOBODY	65534

int drop_rights(void)
{
	if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
	    setresuid(NOBODY, NOBODY, NOBODY))
		return -errno;
	return 0;
}

bool has_address(const char *text)
{
	const char *decimal = "0123456789";
	const char *hex = "0123456789abcdef";

	for (; *text; text++)
		if ((!strncmp(text, "ffff", 4) && strspn(text, hex) >= 12) ||
		    (!strncmp(text, "1844", 4) && strspn(text, decimal) >= 20))
			return true;
	return false;
}
