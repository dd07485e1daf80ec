// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reproduces two bugs of Linux 6.12 that release fences neither cause nor need fixed, on the
 * emulated devices. Not a test: status 0 is "the bug is there".
 *
 * memory: hantro asks for buffers without a kernel mapping, which dma-direct does not clear: a new
 * buffer holds what other processes left in its memory.
 *
 * request: a request holds no reference to its media device. A request that is closed after an
 * unbind and the last close() of a node reads freed memory.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/media.h>

#include "jobs.h"

/* What other processes leave in memory, and how much of it. */
#define MARK		0xa7
#define DIRTY_BYTES	(256 << 20)

static int dirty_memory(void)
{
	__u8 *data = mmap(NULL, DIRTY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);

	if (data == MAP_FAILED)
		return -errno;
	memset(data, MARK, DIRTY_BYTES);
	return munmap(data, DIRTY_BYTES) ? -errno : 0;
}

/* The memory of a new buffer that was not written to yet. */
static int memory(void)
{
	const struct m2m_buffer *buffer;
	size_t i, marked = 0, other = 0;
	struct jobs jobs;
	int ret;

	jobs_init(&jobs);
	ret = dirty_memory();
	ret = ret ? ret : jobs_open_idle(&jobs, &job_h264);
	ret = ret ? ret : m2m_alloc(&jobs.m2m, M2M_OUTPUT, JOB_SLOTS);
	if (ret) {
		jobs_close(&jobs);
		return ret;
	}
	buffer = job_input(&jobs, 0);
	for (i = 0; i < buffer->size; i++) {
		marked += buffer->data[i] == MARK;
		other += buffer->data[i] && buffer->data[i] != MARK;
	}
	printf("a new OUTPUT buffer of %zu bytes: %zu of another process, %zu others are not 0\n",
	       buffer->size, marked, other);
	jobs_close(&jobs);
	return marked + other ? 0 : -ENOENT;
}

/* A request that is closed after all that it belonged to. */
static int request(void)
{
	int media, request, node;

	node = open_node(&device_vpu, &media);
	if (node < 0)
		return node;
	if (ioctl(media, MEDIA_IOC_REQUEST_ALLOC, &request))
		return -errno;
	if (device_bind(&device_vpu, false))
		return -EBUSY;
	close(media);
	close(node);
	sleep_ms(1000);
	/* Reads the operations of a media device that is freed: KASAN sees it. */
	close(request);
	return 0;
}

static const struct bug {
	const char *name;
	const struct test_device *dev;
	int (*show)(void);
} bugs[] = {
	{ "memory", &device_vpu, memory },
	{ "request", &device_vpu, request },
};

int main(int argc, char **argv)
{
	const struct bug *bug = NULL;
	const char *reason;
	unsigned int i;
	int ret;

	for (i = 0; i < ARRAY_COUNT(bugs) && argc == 2; i++)
		if (!strcmp(argv[1], bugs[i].name))
			bug = &bugs[i];
	if (!bug) {
		fprintf(stderr, "usage: base_bugs memory|request\n");
		return 2;
	}
	reason = device_start(bug->dev);
	if (reason) {
		fprintf(stderr, "base_bugs: %s\n", reason);
		return 2;
	}
	ret = bug->show();
	if (ret)
		fprintf(stderr, "base_bugs: %s: not seen: %s\n", bug->name, strerror(-ret));
	device_bind(bug->dev, true);
	rkemu_enable(false);
	return ret ? 1 : 0;
}
