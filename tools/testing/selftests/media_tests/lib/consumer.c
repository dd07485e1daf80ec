// SPDX-License-Identifier: GPL-2.0-only
/*
 * What consumers hold of a job's buffers and fences.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <drm/drm.h>
#include <drm/drm_fourcc.h>
#include <drm/drm_mode.h>
#include <linux/dma-buf.h>
#include <linux/sync_file.h>

#include "consumer.h"

/* A framebuffer that any picture has room for. */
#define FB_SIDE		16
#define FB_PITCH	(4 * FB_SIDE)

void held_init(struct held *held)
{
	memset(held, 0, sizeof(*held));
	fences_init(&held->fences);
	held->merged = -1;
	held->picture.dmabuf = -1;
	held->input.dmabuf = -1;
	held->card = -1;
}

int open_card(const char *driver)
{
	char path[32], name[16];
	int i, fd;

	for (i = 0; i < 64; i++) {
		struct drm_version version = { .name = name, .name_len = sizeof(name) - 1 };

		snprintf(path, sizeof(path), "/dev/dri/card%d", i);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		memset(name, 0, sizeof(name));
		if (!ioctl(fd, DRM_IOCTL_VERSION, &version) && !strcmp(name, driver))
			return fd;
		close(fd);
	}
	return -ENODEV;
}

static int take_framebuffer(struct held *held, int dmabuf)
{
	struct drm_prime_handle prime = { .fd = dmabuf };
	struct drm_mode_fb_cmd2 fb = {
		.width = FB_SIDE,
		.height = FB_SIDE,
		.pixel_format = DRM_FORMAT_XRGB8888,
		.pitches = { FB_PITCH },
	};
	struct drm_gem_close gem = {};
	int ret = 0;

	held->card = open_card("vkms");
	if (held->card < 0)
		return held->card;
	if (ioctl(held->card, DRM_IOCTL_PRIME_FD_TO_HANDLE, &prime))
		return -errno;
	fb.handles[0] = prime.handle;
	gem.handle = prime.handle;
	if (ioctl(held->card, DRM_IOCTL_MODE_ADDFB2, &fb))
		ret = -errno;
	held->framebuffer = fb.fb_id;
	/* The framebuffer has its own reference. */
	if (ioctl(held->card, DRM_IOCTL_GEM_CLOSE, &gem) && !ret)
		ret = -errno;
	return ret;
}

static int take_dmabuf(struct m2m_buffer *held, const struct m2m_buffer *buffer)
{
	held->dmabuf = fcntl(buffer->dmabuf, F_DUPFD_CLOEXEC, 0);
	return held->dmabuf < 0 ? -errno : m2m_buffer_map(held);
}

int held_take(struct held *held, struct jobs *jobs, unsigned int slot)
{
	struct sync_merge_data merge = { .name = "both" };
	int ret = fences_take(jobs, slot, &held->fences);

	if (ret)
		return ret;
	merge.fd2 = held->fences.input;
	if (ioctl(held->fences.picture, SYNC_IOC_MERGE, &merge))
		return -errno;
	held->merged = merge.fence;
	ret = take_dmabuf(&held->picture, job_picture(jobs, slot));
	ret = ret ? ret : take_dmabuf(&held->input, job_input(jobs, slot));
	return ret ? ret : take_framebuffer(held, held->picture.dmabuf);
}

void held_drop(struct held *held, enum held_part part)
{
	switch (part) {
	case HELD_FENCES:
		fences_close(&held->fences);
		break;
	case HELD_MERGED:
		close_fd(&held->merged);
		break;
	case HELD_DMABUFS:
		m2m_buffer_drop(&held->picture);
		m2m_buffer_drop(&held->input);
		break;
	case HELD_FRAMEBUFFER:
		if (held->framebuffer)
			ioctl(held->card, DRM_IOCTL_MODE_RMFB, &held->framebuffer);
		held->framebuffer = 0;
		close_fd(&held->card);
		break;
	case HELD_PARTS:
		break;
	}
}

/*
 * Checks the drivers and timelines of the fences of a sync_file. Of fences that have ended a merge
 * makes a stub, which has no driver of its own.
 */
static const char *use_names(int fence, unsigned int count, bool stub)
{
	struct sync_fence_info infos[4] = {};
	struct sync_file_info info = {
		.num_fences = ARRAY_COUNT(infos),
		.sync_fence_info = (unsigned long)infos,
	};
	unsigned int i;

	if (ioctl(fence, SYNC_IOC_FILE_INFO, &info))
		return "SYNC_IOC_FILE_INFO fails";
	if (!info.num_fences || info.num_fences > count)
		return "another number of fences";
	for (i = 0; i < info.num_fences; i++) {
		if (stub && !strcmp(infos[i].driver_name, "stub"))
			continue;
		if (strcmp(infos[i].driver_name, "videobuf2"))
			return "a fence of another driver";
		if (!infos[i].obj_name[0])
			return "a fence without a timeline's name";
	}
	return NULL;
}

static const char *use_fence(int fence, int *ended, bool must_end)
{
	struct pollfd pollfd = { .fd = fence, .events = POLLIN };
	const char *wrong = use_names(fence, 1, false);
	int ready, status;

	if (wrong)
		return wrong;
	ready = poll(&pollfd, 1, 0);
	status = fence_status(fence);
	if (ready && !status)
		return "poll() says that a fence has ended, and its status does not";
	if (status == NO_STATUS || status > 1)
		return "a status that there is not";
	if (must_end && !status)
		return "a fence has not ended";
	if (*ended && status != *ended)
		return "a fence has changed after its end";
	*ended = status;
	return NULL;
}

static const char *use_dmabuf(const struct m2m_buffer *held, bool must_end)
{
	int fence;

	fence = dmabuf_fence(held->dmabuf, DMA_BUF_SYNC_RW);
	if (fence < 0)
		return "EXPORT_SYNC_FILE fails";
	if (must_end && !fence_status(fence)) {
		close(fence);
		return "the dma-buf has a fence that has not ended";
	}
	close(fence);
	if (!must_end)
		return NULL;
	if (dmabuf_ready(held->dmabuf, POLLIN | POLLOUT, 0) != 1)
		return "the dma-buf is not ready";
	if (dmabuf_begin(held->dmabuf, DMA_BUF_SYNC_RW))
		return "DMA_BUF_IOCTL_SYNC fails";
	/* Accesses the memory: only then can KASAN report that it was freed. */
	held->data[0] ^= 1;
	held->data[held->size - 1] ^= 1;
	held->data[0] ^= 1;
	held->data[held->size - 1] ^= 1;
	return dmabuf_end(held->dmabuf, DMA_BUF_SYNC_RW) ? "the end of it fails" : NULL;
}

static const char *use_framebuffer(struct held *held)
{
	struct drm_mode_fb_cmd2 fb = { .fb_id = held->framebuffer };

	if (ioctl(held->card, DRM_IOCTL_MODE_GETFB2, &fb))
		return "the framebuffer is gone";
	/* As root, there is a handle for each plane; all of them are the same. */
	if (fb.handles[0]) {
		struct drm_gem_close gem = { .handle = fb.handles[0] };
		struct drm_prime_handle prime = { .handle = gem.handle, .flags = DRM_CLOEXEC };
		const int ret = ioctl(held->card, DRM_IOCTL_PRIME_HANDLE_TO_FD, &prime);

		ioctl(held->card, DRM_IOCTL_GEM_CLOSE, &gem);
		if (ret)
			return "the framebuffer's dma-buf is gone";
		close(prime.fd);
	}
	return NULL;
}

static const char *use_merge(const struct held *held)
{
	const int merged = held->merged >= 0 ? held->merged : held->fences.input;
	const int picture = held->fences.picture >= 0 ? held->fences.picture : merged;
	struct sync_merge_data merge = { .name = "again", .fd2 = merged };
	const char *wrong;

	if (ioctl(picture, SYNC_IOC_MERGE, &merge))
		return "SYNC_IOC_MERGE fails";
	wrong = use_names(merge.fence, 2, true);
	close(merge.fence);
	return wrong;
}

const char *held_use(struct held *held, bool must_end)
{
	const char *wrong = NULL;

	if (held->fences.picture >= 0) {
		wrong = use_fence(held->fences.picture, &held->ended[0], must_end);
		if (!wrong)
			wrong = use_fence(held->fences.input, &held->ended[1], must_end);
	}
	if (!wrong && held->merged >= 0) {
		wrong = use_names(held->merged, 2, false);
		if (!wrong && must_end && !fence_status(held->merged))
			wrong = "the merged fence has not ended";
	}
	if (!wrong && (held->fences.picture >= 0 || held->merged >= 0))
		wrong = use_merge(held);
	if (!wrong && held->picture.dmabuf >= 0) {
		wrong = use_dmabuf(&held->picture, must_end);
		if (!wrong)
			wrong = use_dmabuf(&held->input, must_end);
	}
	if (!wrong && held->framebuffer)
		wrong = use_framebuffer(held);
	if (!wrong && dmabuf_count() < 0)
		wrong = "bufinfo cannot be read";
	return wrong;
}

