/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tests on the emulated media blocks of the RK3566: modules that come and go. They are loaded by
 * modprobe, whose options are MODPROBE_OPTIONS of the environment.
 */
#ifndef RKEMU_MODULES_H
#define RKEMU_MODULES_H

#include <stdbool.h>

#define BIT(n)		(1U << (n))

/* The error is that of delete_module(2): -EAGAIN if the module is in use. */
int module_remove(const char *name);
/* With all that it needs. 0 if it is there. */
int module_load(const char *name);
/* Whether it is loaded, and not built in. */
bool is_module(const char *name);

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
