/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The number of elements of an array.
 */
#ifndef MEDIA_TESTS_ARRAY_COUNT_H
#define MEDIA_TESTS_ARRAY_COUNT_H

#define ARRAY_COUNT(array)	(sizeof(array) / sizeof((array)[0]))

#endif
