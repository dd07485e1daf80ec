/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Devices that the tests use: the emulated blocks of the RK3566 with their knobs, visl and vim2m.
 *
 * What returns an int returns a negative error if it fails, unless it says otherwise.
 */
#ifndef MEDIA_TESTS_DEVICE_H
#define MEDIA_TESTS_DEVICE_H

#include <stdbool.h>

#include "array_count.h"
#include "dmabuf.h"
#include "monotonic_clock.h"
#include "text_file.h"

/* How long a test may take, in seconds. */
#define CASE_S			300

/**
 * struct test_device - one of the blocks, with its driver
 * @block: its directory in debugfs; NULL for a device that is not emulated
 * @device: its name on the platform bus
 * @driver: the driver's name there, and in VIDIOC_QUERYCAP
 * @module: where the driver's parameters are
 */
struct test_device {
	const char *block;
	const char *device;
	const char *driver;
	const char *module;
};

extern const struct test_device device_rga;
extern const struct test_device device_vpu;
/* The kernel's own test driver: a video node and a media device, but no knobs. */
extern const struct test_device device_visl;
/* Has no knobs. */
extern const struct test_device device_vim2m;

/* Brings the block up, with all knobs at their defaults. NULL, or why that is not possible here. */
const char *device_start(const struct test_device *dev);
/* The defaults again: knobs, parameters, the driver bound. */
int device_defaults(const struct test_device *dev);
/* Both blocks. */
int rkemu_enable(bool on);
int device_bind(const struct test_device *dev, bool on);

/* Of the chip: no clock can be prepared or enabled, no reset line deasserted. */
#define CLOCKS_FAIL		"/sys/kernel/debug/rkemu/clocks_fail"
#define RESETS_FAIL		"/sys/kernel/debug/rkemu/resets_fail"
/* How often its clock is enabled. */
#define CLOCK_ENABLED		"/sys/kernel/debug/clk/rkemu/clk_enable_count"

/* Files of the block in debugfs. */
long knob_get(const struct test_device *dev, const char *knob);
int knob_set(const struct test_device *dev, const char *knob, unsigned int value);
/* Waits until a counter is at least @value. Whether it is. */
bool knob_reaches(const struct test_device *dev, const char *knob, long value, int ms);
/* @jobs: how many go wrong; 0 stands for all */
int fault_set(const struct test_device *dev, const char *fault, unsigned int jobs);

int fences_set(const struct test_device *dev, bool on);
/* Whether files that are opened from now on wait for acquire fences. */
int acquire_set(const struct test_device *dev, bool on);
int watchdog_set(const struct test_device *dev, unsigned int ms);
/* How long a job takes, for files opened from now on. */
int job_time_set(const struct test_device *dev, unsigned int ms);
/* The same of visl, for jobs from now on, which take up to twice as long. */
#define VISL_TIME	"/sys/module/visl/parameters/visl_transtime_ms"
#define FENCE_TIMEOUT	"/sys/module/videobuf2_common/parameters/release_fence_timeout_ms"
#define ACQUIRE_TIMEOUT	"/sys/module/videobuf2_common/parameters/acquire_fence_timeout_ms"
/* After which videobuf2 signals a fence by itself. */
int timeout_set(unsigned int ms);
/* After which it does not wait any longer for those of others. */
int acquire_timeout_set(unsigned int ms);

/* The driver's video node; with @media, which may be NULL, its media device too. */
int open_node(const struct test_device *dev, int *media);
/* One of several video nodes: that with this V4L2_CAP_. */
int open_node_with(const struct test_device *dev, __u32 capability);

#endif
