/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Time, in milliseconds.
 */
#ifndef MEDIA_TESTS_MONOTONIC_CLOCK_H
#define MEDIA_TESTS_MONOTONIC_CLOCK_H

#include <time.h>
#include <unistd.h>

/* For what is to happen at once: the machine may be an emulated and busy one. */
#define SOON_MS			20000

static inline long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static inline void sleep_ms(unsigned int ms)
{
	usleep(ms * 1000);
}

#endif
