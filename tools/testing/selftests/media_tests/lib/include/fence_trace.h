/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Trace events of release fences: their number, whatever that is, and what they say. What returns
 * an int returns a negative error if it fails.
 */
#ifndef MEDIA_TESTS_FENCE_TRACE_H
#define MEDIA_TESTS_FENCE_TRACE_H

#include <stdbool.h>

/**
 * struct fence_counts - release fences, as trace events count them
 * @made: fences of videobuf2 that were initialised
 * @gone: of these, freed
 * @armed: published for a job
 * @signalled: at the end of one
 */
struct fence_counts {
	long made;
	long gone;
	long armed;
	long signalled;
};

/* From now on events are counted. */
int fence_counts_start(void);
/* How many fences were armed since then. */
long fences_armed(void);
/* Waits until as many fences are freed as were made: that is by RCU. Stops the counting. */
int fence_counts_end(struct fence_counts *counts);

/* From now on, the trace of dma_fence is kept apart. */
int fence_trace_start(void);
/**
 * struct fence_events - of videobuf2's fences since then
 * @made: how many fences
 * @left: how many of them
 * @waits: that ended
 */
struct fence_events {
	long made;
	long left;
	long waits;
};

/* -EPROTO: a fence was freed before it was signalled, or an event lacks its timeline's name. */
int fence_trace_end(struct fence_events *events);

#endif
