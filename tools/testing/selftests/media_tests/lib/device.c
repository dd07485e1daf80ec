// SPDX-License-Identifier: GPL-2.0-only
/*
 * Devices that the tests use: the emulated blocks of the RK3566 with their knobs, visl and vim2m.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/videodev2.h>

#include "device.h"

#define ENABLE		"/sys/module/rkemu/parameters/enable"
#define DRIVERS		"/sys/bus/platform/drivers"
#define VISL_ACQUIRES	"/sys/module/visl/parameters/visl_acquire_fences"

/* As the block and the drivers have them. */
#define DEFAULT_DELAY_US	10000
#define DEFAULT_TRANSTIME_MS	40
#define DEFAULT_WATCHDOG_MS	2000
#define DEFAULT_TIMEOUT_MS	3000

const struct test_device device_rga = {
	.block = "rga",
	.device = "7f001000.rga",
	.driver = "rockchip-rga",
	.module = "rockchip_rga",
};

const struct test_device device_vpu = {
	.block = "vpu",
	.device = "7f000000.video-codec",
	.driver = "hantro-vpu",
	.module = "hantro_vpu",
};

const struct test_device device_visl = {
	.device = "visl.0",
	.driver = "visl",
};

const struct test_device device_vim2m = {
	.device = "vim2m.0",
	.driver = "vim2m",
	.module = "vim2m",
};

static void knob_path(const struct test_device *dev, const char *knob, char *path)
{
	snprintf(path, PATH_MAX, "/sys/kernel/debug/rkemu/%s/%s", dev->block, knob);
}

long knob_get(const struct test_device *dev, const char *knob)
{
	char path[PATH_MAX], text[32];
	int ret;

	knob_path(dev, knob, path);
	ret = read_text(path, text, sizeof(text));
	return ret ? ret : atol(text);
}

static int knob_write(const struct test_device *dev, const char *knob, const char *text)
{
	char path[PATH_MAX];

	knob_path(dev, knob, path);
	return write_text(path, text);
}

int knob_set(const struct test_device *dev, const char *knob, unsigned int value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", value);
	return knob_write(dev, knob, text);
}

bool knob_reaches(const struct test_device *dev, const char *knob, long value, int ms)
{
	long long end = now_ms() + ms;

	while (knob_get(dev, knob) < value) {
		if (now_ms() > end)
			return false;
		sleep_ms(1);
	}
	return true;
}

int fault_set(const struct test_device *dev, const char *fault, unsigned int jobs)
{
	int ret = knob_set(dev, "fault_jobs", jobs);

	return ret ? ret : knob_write(dev, "fault", fault);
}

static int param_set(const struct test_device *dev, const char *param, unsigned int value)
{
	char path[PATH_MAX], text[16];

	snprintf(path, sizeof(path), "/sys/module/%s/parameters/%s", dev->module, param);
	snprintf(text, sizeof(text), "%u", value);
	return write_text(path, text);
}

int fences_set(const struct test_device *dev, bool on)
{
	return param_set(dev, "release_fences", on);
}

int acquire_set(const struct test_device *dev, bool on)
{
	return dev->module ? param_set(dev, "acquire_fences", on) :
			     write_text(VISL_ACQUIRES, on ? "1" : "0");
}

int watchdog_set(const struct test_device *dev, unsigned int ms)
{
	return param_set(dev, "watchdog_ms", ms);
}

int job_time_set(const struct test_device *dev, unsigned int ms)
{
	return dev->block ? knob_set(dev, "delay_us", ms * 1000) :
			    param_set(dev, "default_transtime", ms);
}

static int set_ms(const char *path, unsigned int ms)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", ms);
	return write_text(path, text);
}

int timeout_set(unsigned int ms)
{
	return set_ms(FENCE_TIMEOUT, ms);
}

int acquire_timeout_set(unsigned int ms)
{
	return set_ms(ACQUIRE_TIMEOUT, ms);
}

int rkemu_enable(bool on)
{
	return write_text(ENABLE, on ? "1" : "0");
}

static bool is_bound(const struct test_device *dev)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), DRIVERS "/%s/%s", dev->driver, dev->device);
	return !access(path, F_OK);
}

int device_bind(const struct test_device *dev, bool on)
{
	char path[PATH_MAX];

	if (is_bound(dev) == on)
		return 0;
	snprintf(path, sizeof(path), DRIVERS "/%s/%s", dev->driver, on ? "bind" : "unbind");
	return write_text(path, dev->device);
}

static int fence_defaults(const struct test_device *dev)
{
	int ret = fences_set(dev, true);

	ret = ret ? ret : acquire_set(dev, true);
	ret = ret ? ret : timeout_set(DEFAULT_TIMEOUT_MS);
	return ret ? ret : acquire_timeout_set(DEFAULT_TIMEOUT_MS);
}

int device_defaults(const struct test_device *dev)
{
	int ret;

	if (!dev->block) {
		ret = job_time_set(dev, DEFAULT_TRANSTIME_MS);
		return ret ? ret : fence_defaults(dev);
	}
	ret = rkemu_enable(true);
	ret = ret ? ret : fault_set(dev, "none", 0);
	ret = ret ? ret : knob_set(dev, "delay_us", DEFAULT_DELAY_US);
	ret = ret ? ret : watchdog_set(dev, DEFAULT_WATCHDOG_MS);
	ret = ret ? ret : fence_defaults(dev);
	return ret ? ret : device_bind(dev, true);
}

const char *device_start(const struct test_device *dev)
{
	static char reason[PATH_MAX];
	char path[PATH_MAX];
	int ret;

	if (dev->block && access(ENABLE, F_OK))
		return "no emulated block: CONFIG_VIDEO_RKEMU is needed, and the module loaded";
	if (access(FENCE_TIMEOUT, F_OK))
		return "no release fences: CONFIG_VIDEOBUF2_RELEASE_FENCES is needed";
	snprintf(path, sizeof(path), "/sys/module/%s/parameters/release_fences", dev->module);
	if (access(path, F_OK)) {
		snprintf(reason, sizeof(reason), "no driver %s, or it has no release fences",
			 dev->driver);
		return reason;
	}
	if (geteuid())
		return "only root can change the device";
	if (!dev->block)
		return NULL;
	ret = rkemu_enable(true);
	if (ret) {
		snprintf(reason, sizeof(reason), "the emulated block cannot be enabled: %s; %s",
			 strerror(-ret), "boot with memmap=1M$0x7f000000 and 2 GiB of memory");
		return reason;
	}
	knob_path(dev, "fault", path);
	if (access(path, F_OK))
		return "no knobs: debugfs is not mounted at /sys/kernel/debug";
	return NULL;
}

/* At the end of the program the blocks are as they were before: the cases end by _exit(). */
static pid_t first_process;

static void __attribute__((constructor)) remember_blocks(void)
{
	char text[8];

	if (!read_text(ENABLE, text, sizeof(text)) && text[0] == 'N')
		first_process = getpid();
}

static void __attribute__((destructor)) give_blocks_back(void)
{
	if (first_process == getpid() && rkemu_enable(false))
		fprintf(stderr, "# the emulated blocks cannot be taken away\n");
}

/* Both nodes belong to the device of the driver, as sysfs has it. */
static int open_class(const struct test_device *dev, const char *pattern, int flags)
{
	char path[PATH_MAX];
	int fd = -ENODEV;
	glob_t found;

	snprintf(path, sizeof(path), "/sys/bus/platform/devices/%s/%s", dev->device, pattern);
	if (!glob(path, 0, NULL, &found)) {
		snprintf(path, sizeof(path), "/dev/%s", strrchr(found.gl_pathv[0], '/') + 1);
		fd = open(path, flags);
		if (fd < 0)
			fd = -errno;
	}
	globfree(&found);
	return fd;
}

/* Nodes in /dev may come later than the device, and then once more with other rights. */
static int open_class_soon(const struct test_device *dev, const char *pattern, int flags)
{
	long long end = now_ms() + SOON_MS;
	int fd;

	do {
		fd = open_class(dev, pattern, flags);
		if (fd >= 0)
			break;
		sleep_ms(10);
	} while (now_ms() < end);
	return fd;
}

int open_node(const struct test_device *dev, int *media)
{
	struct v4l2_capability cap = {};
	int fd, ret = 0;

	fd = open_class_soon(dev, "video4linux/video*", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return fd;
	if (ioctl(fd, VIDIOC_QUERYCAP, &cap))
		ret = -errno;
	else if (strcmp((char *)cap.driver, dev->driver))
		ret = -ENXIO;
	if (!ret && media) {
		*media = open_class_soon(dev, "media[0-9]*", O_RDWR | O_CLOEXEC);
		if (*media < 0)
			ret = *media;
	}
	if (ret)
		close(fd);
	return ret ? ret : fd;
}

static int open_capable(const struct test_device *dev, __u32 capability)
{
	char path[PATH_MAX];
	int fd = -ENODEV;
	glob_t found;
	size_t i;

	snprintf(path, sizeof(path), "/sys/bus/platform/devices/%s/video4linux/video*",
		 dev->device);
	if (glob(path, 0, NULL, &found))
		found.gl_pathc = 0;
	for (i = 0; i < found.gl_pathc && fd < 0; i++) {
		struct v4l2_capability cap = {};

		snprintf(path, sizeof(path), "/dev/%s", strrchr(found.gl_pathv[i], '/') + 1);
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (ioctl(fd, VIDIOC_QUERYCAP, &cap) || !(cap.device_caps & capability)) {
			close(fd);
			fd = -ENODEV;
		}
	}
	globfree(&found);
	return fd;
}

int open_node_with(const struct test_device *dev, __u32 capability)
{
	const long long end = now_ms() + SOON_MS;
	int fd;

	for (;;) {
		fd = open_capable(dev, capability);
		if (fd >= 0 || now_ms() >= end)
			return fd;
		sleep_ms(10);
	}
}
