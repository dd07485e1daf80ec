// SPDX-License-Identifier: GPL-2.0-only
/*
 * Jobs of a device, and what goes with those of the blitter and of vim2m.
 */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <linux/dma-buf.h>
#include <linux/media.h>

#include "jobs.h"

#define BLANK	0x55

#define DEFAULT_FRAMES	100

unsigned int frame_count(void)
{
	const char *text = getenv("RKEMU_FRAMES");
	int frames = text ? atoi(text) : 0;

	return frames > 0 ? frames : DEFAULT_FRAMES;
}

/* A pattern in which no two pixels of a picture are the same, nor those of two pictures. */
static __u32 rga_pixel(unsigned int i, __u32 n)
{
	return n ^ (i * 0x01010193);
}

static void pattern_fill(__u8 *data, unsigned int pixels, __u32 n)
{
	unsigned int i;

	for (i = 0; i < pixels; i++) {
		const __u32 pixel = rga_pixel(i, n);

		memcpy(data + i * sizeof(pixel), &pixel, sizeof(pixel));
	}
}

static bool pattern_shows(const __u8 *data, unsigned int pixels, __u32 n)
{
	unsigned int i;

	for (i = 0; i < pixels; i++) {
		const __u32 pixel = rga_pixel(i, n);

		if (memcmp(data + i * sizeof(pixel), &pixel, sizeof(pixel)))
			return false;
	}
	return true;
}

/* Of the first plane. A pixel of the pattern has 32 bits, be it one of the format or several. */
static unsigned int pattern_pixels(const struct job_kind *kind)
{
	return kind->width * kind->height * kind->depth / 32;
}

/* The second plane is half as large, and has another pattern. */
static unsigned int chroma_pixels(const struct job_kind *kind)
{
	return pattern_pixels(kind) / 2;
}

static void picture_fill(const struct job_kind *kind, __u8 *data, __u32 n)
{
	pattern_fill(data, pattern_pixels(kind), n);
}

static bool picture_shows(const struct job_kind *kind, const __u8 *data, __u32 n)
{
	return pattern_shows(data, pattern_pixels(kind), n);
}

const struct job_kind job_rga = {
	.dev = &device_rga,
	.input = V4L2_PIX_FMT_ABGR32,
	.picture = V4L2_PIX_FMT_ABGR32,
	.width = 64,
	.height = 64,
	.depth = 32,
	.fill = picture_fill,
	.shows = picture_shows,
};

const struct job_kind job_rga_planes = {
	.dev = &device_rga,
	.input = V4L2_PIX_FMT_NV12M,
	.picture = V4L2_PIX_FMT_NV12M,
	.width = 64,
	.height = 64,
	.depth = 8,
	.fill = picture_fill,
	.shows = picture_shows,
};

const struct job_kind job_vim2m = {
	.dev = &device_vim2m,
	.input = V4L2_PIX_FMT_RGB565,
	.picture = V4L2_PIX_FMT_RGB565,
	.width = 64,
	.height = 64,
	.depth = 16,
	.fill = picture_fill,
	.shows = picture_shows,
};

void jobs_init(struct jobs *jobs)
{
	unsigned int i;

	memset(jobs, 0, sizeof(*jobs));
	m2m_init(&jobs->m2m);
	for (i = 0; i < JOB_SLOTS; i++)
		jobs->requests[i] = -1;
}

int jobs_format(struct jobs *jobs)
{
	const struct job_kind *kind = jobs->kind;
	/* The decoder takes the size of the pictures from this one. */
	int ret = m2m_format(&jobs->m2m, M2M_OUTPUT, kind->input, kind->width, kind->height,
			     kind->bytes);

	return ret ? ret : m2m_format(&jobs->m2m, M2M_CAPTURE, kind->picture, kind->width,
				      kind->height, 0);
}

int jobs_open_idle(struct jobs *jobs, const struct job_kind *kind)
{
	int ret;

	jobs_init(jobs);
	jobs->kind = kind;
	ret = m2m_open(&jobs->m2m, kind->dev, kind->controls);
	return ret ? ret : jobs_format(jobs);
}

int jobs_go(struct jobs *jobs)
{
	unsigned int i;
	int ret;

	for (i = 0; i < JOB_SLOTS && jobs->kind->controls; i++) {
		close_fd(&jobs->requests[i]);
		if (ioctl(jobs->m2m.media, MEDIA_IOC_REQUEST_ALLOC, &jobs->requests[i]))
			return -errno;
	}
	ret = m2m_stream(&jobs->m2m, M2M_OUTPUT, true);
	return ret ? ret : m2m_stream(&jobs->m2m, M2M_CAPTURE, true);
}

int jobs_open(struct jobs *jobs, const struct job_kind *kind)
{
	int ret = jobs_open_idle(jobs, kind);

	ret = ret ? ret : m2m_alloc(&jobs->m2m, M2M_OUTPUT, JOB_SLOTS);
	ret = ret ? ret : m2m_alloc(&jobs->m2m, M2M_CAPTURE, JOB_SLOTS);
	return ret ? ret : jobs_go(jobs);
}

int jobs_stop(struct jobs *jobs)
{
	int ret = m2m_stream(&jobs->m2m, M2M_OUTPUT, false);
	int ret2 = m2m_stream(&jobs->m2m, M2M_CAPTURE, false);

	return ret ? ret : ret2;
}

/*
 * Requests first: the media device that they belong to does not count them. A driver that was
 * unbound frees it with the last descriptor of its video node, and a request that is closed after
 * that would use freed memory.
 */
void jobs_close_node(struct jobs *jobs)
{
	unsigned int i;

	for (i = 0; i < JOB_SLOTS; i++)
		close_fd(&jobs->requests[i]);
	m2m_close_node(&jobs->m2m);
}

void jobs_drop_buffers(struct jobs *jobs)
{
	m2m_drop_buffers(&jobs->m2m, M2M_OUTPUT);
	m2m_drop_buffers(&jobs->m2m, M2M_CAPTURE);
}

void jobs_close(struct jobs *jobs)
{
	jobs_close_node(jobs);
	m2m_close(&jobs->m2m);
}

int job_blank(struct jobs *jobs, unsigned int slot)
{
	struct m2m_buffer *buffer;
	unsigned int plane;
	int ret = 0;

	for (plane = 0; !ret && (buffer = job_plane(jobs, M2M_CAPTURE, slot, plane)); plane++) {
		ret = dmabuf_begin(buffer->dmabuf, DMA_BUF_SYNC_WRITE);
		if (ret)
			break;
		memset(buffer->data, BLANK, buffer->size);
		ret = dmabuf_end(buffer->dmabuf, DMA_BUF_SYNC_WRITE);
	}
	return ret;
}

static bool is_blank(const struct m2m_buffer *picture)
{
	size_t i;

	for (i = 0; i < picture->size; i++)
		if (picture->data[i] != BLANK)
			return false;
	return true;
}

static bool plane_shows(const struct job_kind *kind, unsigned int plane,
			const struct m2m_buffer *buffer, __u32 n)
{
	if (!n)
		return is_blank(buffer);
	return plane ? pattern_shows(buffer->data, chroma_pixels(kind), ~n) :
		       kind->shows(kind, buffer->data, n);
}

bool job_shows(struct jobs *jobs, unsigned int slot, __u32 n)
{
	const struct m2m_buffer *buffer;
	unsigned int plane;
	bool shows = true;

	for (plane = 0; shows && (buffer = job_plane(jobs, M2M_CAPTURE, slot, plane)); plane++) {
		if (dmabuf_begin(buffer->dmabuf, DMA_BUF_SYNC_READ))
			return false;
		shows = plane_shows(jobs->kind, plane, buffer, n);
		if (dmabuf_end(buffer->dmabuf, DMA_BUF_SYNC_READ))
			return false;
	}
	return shows;
}

int job_queue_picture(struct jobs *jobs, unsigned int slot)
{
	const struct m2m_qbuf how = {};

	return m2m_qbuf(&jobs->m2m, M2M_CAPTURE, slot, &how);
}

int job_fill(struct jobs *jobs, unsigned int slot, __u32 n)
{
	struct m2m_buffer *buffer;
	unsigned int plane;
	int ret = 0;

	for (plane = 0; !ret && (buffer = job_plane(jobs, M2M_OUTPUT, slot, plane)); plane++) {
		ret = dmabuf_begin(buffer->dmabuf, DMA_BUF_SYNC_WRITE);
		if (ret)
			break;
		if (plane)
			pattern_fill(buffer->data, chroma_pixels(jobs->kind), ~n);
		else
			jobs->kind->fill(jobs->kind, buffer->data, n);
		ret = dmabuf_end(buffer->dmabuf, DMA_BUF_SYNC_WRITE);
	}
	return ret;
}

int job_qbuf_input(struct jobs *jobs, unsigned int slot, __u32 stamp, __u32 flags)
{
	const struct job_kind *kind = jobs->kind;
	const int request = jobs->requests[slot];
	const struct m2m_qbuf how = {
		.bytes = kind->bytes ? kind->bytes : job_input(jobs, slot)->size,
		.stamp = stamp,
		.flags = flags | (request < 0 ? 0 : V4L2_BUF_FLAG_REQUEST_FD),
		.request = request < 0 ? 0 : request,
	};

	return m2m_qbuf(&jobs->m2m, M2M_OUTPUT, slot, &how);
}

int job_queue_request(struct jobs *jobs, unsigned int slot)
{
	const int request = jobs->requests[slot];
	int ret;

	if (request < 0)
		return 0;
	ret = jobs->kind->controls(jobs->m2m.fd, request);
	if (!ret && ioctl(request, MEDIA_REQUEST_IOC_QUEUE))
		ret = -errno;
	return ret;
}

int job_queue_input(struct jobs *jobs, unsigned int slot, __u32 n, __u32 stamp, __u32 flags)
{
	int ret = job_fill(jobs, slot, n);

	ret = ret ? ret : job_qbuf_input(jobs, slot, stamp, flags);
	return ret ? ret : job_queue_request(jobs, slot);
}

int job_start(struct jobs *jobs, unsigned int slot, __u32 n)
{
	int ret = job_queue_picture(jobs, slot);

	return ret ? ret : job_queue_input(jobs, slot, n, n, 0);
}

int job_begun(struct jobs *jobs, long started)
{
	return knob_reaches(jobs->kind->dev, "jobs", started + 1, SOON_MS) ? 0 : -ETIMEDOUT;
}

int job_begin(struct jobs *jobs, unsigned int slot, __u32 n)
{
	const long started = knob_get(jobs->kind->dev, "jobs");
	int ret = job_start(jobs, slot, n);

	return ret ? ret : job_begun(jobs, started);
}

static int end_side(struct jobs *jobs, enum m2m_side side, unsigned int slot, __u32 stamp, int ms)
{
	struct v4l2_buffer buf;
	int ret;

	ret = m2m_dqbuf(&jobs->m2m, side, ms, &buf);
	if (ret)
		return ret;
	if (buf.index != slot ||
	    buf.timestamp.tv_sec * 1000000LL + buf.timestamp.tv_usec != stamp)
		return -EBADMSG;
	return buf.flags & V4L2_BUF_FLAG_ERROR ? -EIO : 0;
}

int job_end_picture(struct jobs *jobs, unsigned int slot, __u32 stamp, int ms)
{
	return end_side(jobs, M2M_CAPTURE, slot, stamp, ms);
}

int job_end_input(struct jobs *jobs, unsigned int slot, __u32 stamp, int ms)
{
	struct pollfd pollfd = { .fd = jobs->requests[slot], .events = POLLPRI };
	int ret = end_side(jobs, M2M_OUTPUT, slot, stamp, ms);

	if (pollfd.fd < 0 || (ret && ret != -EIO))
		return ret;
	if (poll(&pollfd, 1, SOON_MS) != 1)
		return -ETIME;
	return ioctl(pollfd.fd, MEDIA_REQUEST_IOC_REINIT) ? -errno : ret;
}

int job_end(struct jobs *jobs, unsigned int slot, __u32 n, int ms)
{
	int picture = job_end_picture(jobs, slot, n, ms);
	int input;

	if (picture && picture != -EIO)
		return picture;
	input = job_end_input(jobs, slot, n, SOON_MS);
	/* A job fails as a whole. */
	if (input != picture && (!input || input == -EIO))
		return -EBADMSG;
	return input;
}

void fences_init(struct fences *fences)
{
	fences->picture = -1;
	fences->input = -1;
}

void fences_close(struct fences *fences)
{
	close_fd(&fences->picture);
	close_fd(&fences->input);
}

int fences_take(struct jobs *jobs, unsigned int slot, struct fences *fences)
{
	fences_close(fences);
	fences->picture = dmabuf_fence(job_picture(jobs, slot)->dmabuf, DMA_BUF_SYNC_READ);
	fences->input = dmabuf_fence(job_input(jobs, slot)->dmabuf, DMA_BUF_SYNC_WRITE);
	return fences->picture < 0 ? fences->picture : fences->input < 0 ? fences->input : 0;
}

int fences_wait(const struct fences *fences, int ms)
{
	const long long end = now_ms() + ms;
	const int picture = fence_wait(fences->picture, ms);
	const long long left = end - now_ms();
	const int input = fence_wait(fences->input, left > 0 ? left : 0);

	return picture == input || (picture < 0 && input < 0) ? picture : NO_STATUS;
}

int job_run(struct jobs *jobs, unsigned int slot, __u32 n)
{
	int ret = job_start(jobs, slot, n);

	ret = ret ? ret : job_end(jobs, slot, n, SOON_MS);
	if (!ret && !job_shows(jobs, slot, n))
		ret = -EILSEQ;
	return ret;
}

const char *device_works(const struct job_kind *kind, __u32 n)
{
	const char *wrong = NULL;
	struct fences fences;
	struct jobs jobs;

	fences_init(&fences);
	if (jobs_open(&jobs, kind) || job_start(&jobs, 0, n) || fences_take(&jobs, 0, &fences))
		wrong = "no job can be started";
	else if (job_end(&jobs, 0, n, SOON_MS) || !job_shows(&jobs, 0, n))
		wrong = "the job fails, or its picture is not right";
	else if (fences_wait(&fences, SOON_MS) != 1)
		wrong = "the fences do not end";
	fences_close(&fences);
	jobs_close(&jobs);
	return wrong;
}

int device_does_jobs(const struct job_kind *kind, __u32 n)
{
	struct jobs jobs;
	unsigned int slot;
	int ret = jobs_open(&jobs, kind);

	for (slot = 0; slot < JOB_SLOTS && !ret; slot++)
		ret = job_run(&jobs, slot, n + slot);
	jobs_close(&jobs);
	return ret;
}
