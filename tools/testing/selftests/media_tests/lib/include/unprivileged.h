/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a process without rights may do and learn.
 */
#ifndef MEDIA_TESTS_UNPRIVILEGED_H
#define MEDIA_TESTS_UNPRIVILEGED_H

#include <stdbool.h>

/* From now on this process has the rights of an unprivileged user. 0, or a negative error. */
int drop_rights(void);

/* What looks like an address of the kernel, in hex or decimal: those begin with many ones. */
bool has_address(const char *text);

#endif
