/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Time, in milliseconds if not said otherwise.
 */
#ifndef MEDIA_TESTS_MONOTONIC_CLOCK_H
#define MEDIA_TESTS_MONOTONIC_CLOCK_H

#include <time.h>
#include <unistd.h>

/* For what is to happen at once: the machine may be an emulated and busy one. */
#define SOON_MS			20000

static inline long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static inline long long now_ms(void)
{
	return now_ns() / 1000000;
}

static inline void sleep_ms(unsigned int ms)
{
	usleep(ms * 1000);
}

#endif
