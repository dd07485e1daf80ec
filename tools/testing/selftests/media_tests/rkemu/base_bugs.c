// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shows bugs of Linux 6.12 that release fences neither make nor mend, on the emulated decoder. No
 * test: 0 is "the bug is there". Documentation/driver-api/media/v4l2-release-fences.rst tells of
 * each.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/media.h>

#include "rkemu_jobs.h"

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

/* The memory of a new buffer, before anybody has written to it. */
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

	node = open_node(&rkemu_vpu, &media);
	if (node < 0)
		return node;
	if (ioctl(media, MEDIA_IOC_REQUEST_ALLOC, &request))
		return -errno;
	if (rkemu_bind(&rkemu_vpu, false))
		return -EBUSY;
	close(media);
	close(node);
	sleep_ms(1000);
	/* Reads the operations of a media device that is freed: KASAN sees it. */
	close(request);
	return 0;
}

int main(int argc, char **argv)
{
	const char *which = argc == 2 ? argv[1] : "";
	int (*show)(void) = !strcmp(which, "memory") ? memory :
			    !strcmp(which, "request") ? request : NULL;
	const char *reason;
	int ret;

	if (!show) {
		fprintf(stderr, "usage: base_bugs memory|request\n");
		return 2;
	}
	reason = rkemu_start(&rkemu_vpu);
	if (reason) {
		fprintf(stderr, "base_bugs: %s\n", reason);
		return 2;
	}
	ret = show();
	if (ret)
		fprintf(stderr, "base_bugs: %s: not seen: %s\n", which, strerror(-ret));
	rkemu_bind(&rkemu_vpu, true);
	rkemu_enable(false);
	return ret ? 1 : 0;
}
