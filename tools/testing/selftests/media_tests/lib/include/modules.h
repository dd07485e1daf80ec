/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Modules of the kernel that come and go. They are loaded by modprobe, whose options are
 * MODPROBE_OPTIONS of the environment.
 */
#ifndef MEDIA_TESTS_MODULES_H
#define MEDIA_TESTS_MODULES_H

#include <stdbool.h>

/* The error is that of delete_module(2): -EAGAIN if the module is in use. */
int module_remove(const char *name);
/* With all that it needs. 0 if it is there. */
int module_load(const char *name);
/* Whether it is loaded, and not built in. */
bool is_module(const char *name);

#endif
