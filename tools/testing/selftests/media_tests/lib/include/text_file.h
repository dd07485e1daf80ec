/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Small files of sysfs, debugfs and procfs. What returns an int returns a negative error if it
 * fails.
 */
#ifndef MEDIA_TESTS_TEXT_FILE_H
#define MEDIA_TESTS_TEXT_FILE_H

#include <stddef.h>

int write_text(const char *path, const char *text);
int read_text(const char *path, char *text, size_t size);

#endif
