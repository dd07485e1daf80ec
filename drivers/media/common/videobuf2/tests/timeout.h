/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What timeout.c, which has the suite, and timeout-races.c share.
 */
#ifndef _VB2_RELEASE_FENCE_TIMEOUT_H
#define _VB2_RELEASE_FENCE_TIMEOUT_H

#include <linux/timer.h>

#include "mock.h"

/* A timeout has passed by then. */
#define LONG	(20 * HZ)

/* The timer of a buffer lies in the memory of its release fence. */
static inline bool is_timer_of(struct timer_list *timer, const void *release_fence)
{
	return (unsigned long)timer - (unsigned long)release_fence < 512;
}

/* Cases, timeout-races.c */
void release_waits_for_timer(struct kunit *test);
void expires_while_arming(struct kunit *test);
void late_timer_spares_next_job(struct kunit *test);
void races_with_done(struct kunit *test);

#endif /* _VB2_RELEASE_FENCE_TIMEOUT_H */
