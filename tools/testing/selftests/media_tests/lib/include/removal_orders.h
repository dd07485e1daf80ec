/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The orders in which a driver, its modules and its files can go away.
 */
#ifndef MEDIA_TESTS_REMOVAL_ORDERS_H
#define MEDIA_TESTS_REMOVAL_ORDERS_H

#include <stdbool.h>

#define BIT(n)		(1U << (n))

/* What goes away: first the modules, then what else a program or root can do. */
enum step {
	DRIVER, M2M, V4L2, ALLOCATOR, MEMOPS, COMMON, MODULES,
	STOP = MODULES, FREE, UNBIND, CLOSE, STEPS,
};

/* What is held of a job meanwhile. */
enum what { NOTHING, SYNC_FILE, MERGED, DMABUF, MAPPING, FRAMEBUFFER, NODE_MAPPING, EVERYTHING };

#define MAX_ORDERS	200

struct order {
	unsigned int count;
	unsigned char steps[STEPS];
};

struct orders {
	unsigned int count;
	struct order all[MAX_ORDERS];
};

/* Whether a step is possible after those of @done, which has bits. */
bool step_possible(unsigned int done, enum step step, enum what what);
/*
 * All orders of the steps that are possible. STREAMOFF, REQBUFS(0) after it, and the unbind may be
 * left out; the file is closed in the end, and no module can go any more.
 */
void orders_generate(struct orders *orders, enum what what);

#endif
