/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What lockdep says of itself.
 */
#ifndef MEDIA_TESTS_LOCKDEP_H
#define MEDIA_TESTS_LOCKDEP_H

#include <stdbool.h>

/* Whether lockdep is still on, and has room left in all of its tables, which it prints. */
bool lockdep_has_room(void);

#endif
