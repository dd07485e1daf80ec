// SPDX-License-Identifier: GPL-2.0-only
/*
 * dma-bufs, their fences as sync_files, and fences of sw_sync.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/sync_file.h>

#include "array_count.h"
#include "dmabuf.h"

int dmabuf_ready(int dmabuf, short events, int ms)
{
	const short each[] = { POLLIN, POLLOUT };
	unsigned int i;

	/* For both at once, poll() would wait until there is one. */
	for (i = 0; i < ARRAY_COUNT(each); i++) {
		struct pollfd pollfd = { .fd = dmabuf, .events = events & each[i] };

		if (!pollfd.events)
			continue;
		if (poll(&pollfd, 1, ms) < 0)
			return -errno;
		if (pollfd.revents & (POLLERR | POLLNVAL))
			return -EBADF;
		if (!pollfd.revents)
			return 0;
	}
	return 1;
}

int dmabuf_fence(int dmabuf, unsigned int flags)
{
	struct dma_buf_export_sync_file export = { .flags = flags, .fd = -1 };

	return ioctl(dmabuf, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &export) ? -errno : export.fd;
}

static int dmabuf_sync(int dmabuf, unsigned int flags)
{
	struct dma_buf_sync sync = { .flags = flags };
	int ret;

	do {
		ret = ioctl(dmabuf, DMA_BUF_IOCTL_SYNC, &sync) ? -errno : 0;
	} while (ret == -EINTR || ret == -EAGAIN);
	return ret;
}

int dmabuf_begin(int dmabuf, unsigned int flags)
{
	return dmabuf_sync(dmabuf, DMA_BUF_SYNC_START | flags);
}

int dmabuf_end(int dmabuf, unsigned int flags)
{
	return dmabuf_sync(dmabuf, DMA_BUF_SYNC_END | flags);
}

int heap_alloc(unsigned int size)
{
	struct dma_heap_allocation_data data = { .len = size, .fd_flags = O_RDWR | O_CLOEXEC };
	int heap = open(HEAP, O_RDONLY | O_CLOEXEC);
	int ret;

	if (heap < 0)
		return -errno;
	ret = ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &data) ? -errno : (int)data.fd;
	close(heap);
	return ret;
}

int fence_status(int fence)
{
	struct sync_file_info info = {};

	return ioctl(fence, SYNC_IOC_FILE_INFO, &info) ? NO_STATUS : info.status;
}

int fence_wait(int fence, int ms)
{
	struct pollfd pollfd = { .fd = fence, .events = POLLIN };

	if (poll(&pollfd, 1, ms) < 0)
		return NO_STATUS;
	return fence_status(fence);
}

long long fence_ended_ns(int fence)
{
	struct sync_fence_info ended = {};
	struct sync_file_info info = { .num_fences = 1, .sync_fence_info = (uintptr_t)&ended };

	return ioctl(fence, SYNC_IOC_FILE_INFO, &info) ? -errno : (long long)ended.timestamp_ns;
}

int sw_sync_fence(int timeline, unsigned int value)
{
	struct sw_sync_create_fence_data data = { .value = value, .name = "foreign" };

	return ioctl(timeline, SW_SYNC_IOC_CREATE_FENCE, &data) ? -errno : data.fence;
}

int sw_sync_step(int timeline)
{
	__u32 one = 1;

	return ioctl(timeline, SW_SYNC_IOC_INC, &one) ? -errno : 0;
}

static int import_fence(int dmabuf, int fence, __u32 flags)
{
	struct dma_buf_import_sync_file import = { .flags = flags, .fd = fence };

	return ioctl(dmabuf, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &import) ? -errno : 0;
}

int dmabuf_import(int dmabuf, int fence)
{
	return import_fence(dmabuf, fence, DMA_BUF_SYNC_RW);
}

int dmabuf_import_read(int dmabuf, int fence)
{
	return import_fence(dmabuf, fence, DMA_BUF_SYNC_READ);
}

long dmabuf_count(void)
{
	FILE *file = fopen(BUFINFO, "re");
	long count = -EINVAL;
	char line[256];

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file))
		sscanf(line, "Total %ld objects", &count);
	fclose(file);
	return count;
}

void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}
