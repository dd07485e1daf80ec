// SPDX-License-Identifier: GPL-2.0-only
/*
 * Modules of the kernel that come and go.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "modules.h"

int module_remove(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? -errno : 0;
}

int module_load(const char *name)
{
	char command[64];

	snprintf(command, sizeof(command), "modprobe %s", name);
	return system(command);
}

bool is_module(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/module/%s/initstate", name);
	return !access(path, F_OK);
}
