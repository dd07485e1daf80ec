// SPDX-License-Identifier: GPL-2.0-only
/*
 * A mem2mem device with its two queues.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "m2m.h"

static int xioctl(int fd, unsigned long request, void *arg)
{
	int ret;

	do {
		ret = ioctl(fd, request, arg);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

__u32 m2m_type(const struct m2m *m2m, enum m2m_side side)
{
	if (side == M2M_OUTPUT)
		return m2m->single ? V4L2_BUF_TYPE_VIDEO_OUTPUT : V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE;
	return m2m->single ? V4L2_BUF_TYPE_VIDEO_CAPTURE : V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
}

struct m2m_buffer *m2m_plane(struct m2m *m2m, enum m2m_side side, unsigned int index,
			     unsigned int plane)
{
	struct m2m_queue *queue = &m2m->queues[side];

	if (plane >= queue->pix.num_planes)
		return NULL;
	return plane ? &queue->seconds[index] : &queue->buffers[index];
}

static void init_queue(struct m2m_queue *queue)
{
	unsigned int i;

	for (i = 0; i < M2M_BUFFERS; i++) {
		queue->buffers[i].dmabuf = -1;
		queue->seconds[i].dmabuf = -1;
	}
}

void m2m_init(struct m2m *m2m)
{
	memset(m2m, 0, sizeof(*m2m));
	m2m->fd = -1;
	m2m->media = -1;
	init_queue(&m2m->queues[M2M_OUTPUT]);
	init_queue(&m2m->queues[M2M_CAPTURE]);
}

int m2m_open(struct m2m *m2m, const struct test_device *dev, bool media)
{
	struct v4l2_capability cap = {};
	int ret;

	m2m_init(m2m);
	m2m->fd = open_node(dev, media ? &m2m->media : NULL);
	if (m2m->fd < 0)
		return m2m->fd;
	ret = xioctl(m2m->fd, VIDIOC_QUERYCAP, &cap);
	m2m->single = cap.device_caps & V4L2_CAP_VIDEO_M2M;
	return ret;
}

void m2m_close_node(struct m2m *m2m)
{
	close_fd(&m2m->media);
	close_fd(&m2m->fd);
}

void m2m_buffer_drop(struct m2m_buffer *buffer)
{
	if (buffer->data)
		munmap(buffer->data, buffer->size);
	buffer->data = NULL;
	close_fd(&buffer->dmabuf);
}

void m2m_drop_buffers(struct m2m *m2m, enum m2m_side side)
{
	struct m2m_queue *queue = &m2m->queues[side];
	unsigned int i;

	for (i = 0; i < M2M_BUFFERS; i++) {
		m2m_buffer_drop(&queue->buffers[i]);
		m2m_buffer_drop(&queue->seconds[i]);
	}
	queue->count = 0;
}

void m2m_close(struct m2m *m2m)
{
	m2m_close_node(m2m);
	m2m_drop_buffers(m2m, M2M_OUTPUT);
	m2m_drop_buffers(m2m, M2M_CAPTURE);
}

static unsigned int planes_of(__u32 fourcc)
{
	return fourcc == V4L2_PIX_FMT_NV12M ? 2 : 1;
}

int m2m_format(struct m2m *m2m, enum m2m_side side, __u32 fourcc, __u32 width, __u32 height,
	       __u32 size)
{
	struct v4l2_format format = { .type = m2m_type(m2m, side) };
	struct v4l2_pix_format_mplane *pix = &m2m->queues[side].pix;
	int ret;

	*pix = (struct v4l2_pix_format_mplane) {
		.width = width,
		.height = height,
		.pixelformat = fourcc,
		.field = V4L2_FIELD_NONE,
		.num_planes = planes_of(fourcc),
		.plane_fmt[0].sizeimage = size,
	};
	if (m2m->single) {
		format.fmt.pix.width = width;
		format.fmt.pix.height = height;
		format.fmt.pix.pixelformat = fourcc;
		format.fmt.pix.field = V4L2_FIELD_NONE;
		format.fmt.pix.sizeimage = size;
	} else {
		format.fmt.pix_mp = *pix;
	}
	ret = xioctl(m2m->fd, VIDIOC_S_FMT, &format);
	if (ret)
		return ret;
	if (m2m->single) {
		pix->width = format.fmt.pix.width;
		pix->height = format.fmt.pix.height;
		pix->pixelformat = format.fmt.pix.pixelformat;
		pix->plane_fmt[0].sizeimage = format.fmt.pix.sizeimage;
	} else {
		*pix = format.fmt.pix_mp;
	}
	if (pix->pixelformat != fourcc || pix->width != width || pix->height != height ||
	    pix->num_planes != planes_of(fourcc))
		return -EINVAL;
	return 0;
}

int m2m_reqbufs(struct m2m *m2m, enum m2m_side side, unsigned int count)
{
	struct v4l2_requestbuffers request = {
		.count = count,
		.type = m2m_type(m2m, side),
		.memory = m2m->queues[side].memory,
	};
	int ret;

	ret = xioctl(m2m->fd, VIDIOC_REQBUFS, &request);
	return ret ? ret : (int)request.count;
}

int m2m_create(struct m2m *m2m, enum m2m_side side, unsigned int count)
{
	struct v4l2_create_buffers create = {
		.count = count,
		.memory = m2m->queues[side].memory,
		.format.type = m2m_type(m2m, side),
	};
	int ret;

	ret = xioctl(m2m->fd, VIDIOC_G_FMT, &create.format);
	ret = ret ? ret : xioctl(m2m->fd, VIDIOC_CREATE_BUFS, &create);
	return ret ? ret : (int)create.count;
}

static int request_buffers(struct m2m *m2m, enum m2m_side side, unsigned int count)
{
	const int ret = m2m_reqbufs(m2m, side, count);

	return ret < 0 ? ret : ret < (int)count ? -ENOMEM : 0;
}

static int export_plane(struct m2m *m2m, enum m2m_side side, unsigned int index,
			unsigned int plane, int flags)
{
	struct v4l2_exportbuffer export = {
		.type = m2m_type(m2m, side),
		.index = index,
		.plane = plane,
		.flags = flags | O_CLOEXEC,
	};
	int ret;

	ret = xioctl(m2m->fd, VIDIOC_EXPBUF, &export);
	return ret ? ret : export.fd;
}

int m2m_export(struct m2m *m2m, enum m2m_side side, unsigned int index, int flags)
{
	return export_plane(m2m, side, index, 0, flags);
}

int m2m_buffer_map(struct m2m_buffer *buffer)
{
	off_t size = lseek(buffer->dmabuf, 0, SEEK_END);
	void *data;

	if (size <= 0)
		return -EINVAL;
	data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, buffer->dmabuf, 0);
	if (data == MAP_FAILED)
		return -errno;
	buffer->data = data;
	buffer->size = size;
	return 0;
}

static int add_plane(struct m2m *m2m, enum m2m_side side, unsigned int index, unsigned int plane)
{
	const struct m2m_queue *queue = &m2m->queues[side];
	struct m2m_buffer *buffer = m2m_plane(m2m, side, index, plane);
	const int fd = queue->memory == V4L2_MEMORY_MMAP ?
		       export_plane(m2m, side, index, plane, O_RDWR) :
		       heap_alloc(queue->pix.plane_fmt[plane].sizeimage);

	if (fd < 0)
		return fd;
	buffer->dmabuf = fd;
	return m2m_buffer_map(buffer);
}

static int add_buffer(struct m2m *m2m, enum m2m_side side, unsigned int index)
{
	unsigned int plane;
	int ret = 0;

	for (plane = 0; !ret && m2m_plane(m2m, side, index, plane); plane++)
		ret = add_plane(m2m, side, index, plane);
	return ret;
}

static int add_buffers(struct m2m *m2m, enum m2m_side side, unsigned int count)
{
	unsigned int i;
	int ret = 0;

	m2m->queues[side].count = count;
	for (i = 0; i < count && !ret; i++)
		ret = add_buffer(m2m, side, i);
	return ret;
}

static int new_buffers(struct m2m *m2m, enum m2m_side side, unsigned int count, __u32 memory)
{
	int ret;

	if (count > M2M_BUFFERS)
		return -EINVAL;
	m2m->queues[side].memory = memory;
	ret = request_buffers(m2m, side, count);
	return ret ? ret : add_buffers(m2m, side, count);
}

int m2m_adopt(struct m2m *m2m, enum m2m_side side, unsigned int count)
{
	return count > M2M_BUFFERS ? -EINVAL : add_buffers(m2m, side, count);
}

int m2m_alloc(struct m2m *m2m, enum m2m_side side, unsigned int count)
{
	return new_buffers(m2m, side, count, V4L2_MEMORY_MMAP);
}

int m2m_import(struct m2m *m2m, enum m2m_side side, unsigned int count)
{
	return new_buffers(m2m, side, count, V4L2_MEMORY_DMABUF);
}

int m2m_free(struct m2m *m2m, enum m2m_side side)
{
	m2m_drop_buffers(m2m, side);
	return request_buffers(m2m, side, 0);
}

int m2m_stream(struct m2m *m2m, enum m2m_side side, bool on)
{
	__u32 type = m2m_type(m2m, side);

	return xioctl(m2m->fd, on ? VIDIOC_STREAMON : VIDIOC_STREAMOFF, &type);
}

static int give_buffer(struct m2m *m2m, unsigned long request, enum m2m_side side,
		       unsigned int index, const struct m2m_qbuf *how)
{
	const struct m2m_queue *queue = &m2m->queues[side];
	const struct m2m_buffer *buffer = &queue->buffers[index];
	const struct m2m_buffer *second = &queue->seconds[index];
	/* The second one is never a bitstream: all that the format has is used. */
	struct v4l2_plane planes[M2M_PLANES] = {
		{ .bytesused = how->bytes, .length = buffer->size },
		{ .bytesused = queue->pix.plane_fmt[1].sizeimage, .length = second->size },
	};
	struct v4l2_buffer buf = {
		.type = m2m_type(m2m, side),
		.memory = queue->memory,
		.index = index,
		.flags = how->flags,
		.fence_fd = how->fence,
		.request_fd = how->request,
		.timestamp.tv_usec = how->stamp % 1000000,
		.timestamp.tv_sec = how->stamp / 1000000,
		.field = V4L2_FIELD_NONE,
	};

	if (queue->memory == V4L2_MEMORY_DMABUF) {
		planes[0].m.fd = buffer->dmabuf;
		planes[1].m.fd = second->dmabuf;
	}
	if (m2m->single) {
		buf.bytesused = planes[0].bytesused;
		buf.length = planes[0].length;
		buf.m.fd = planes[0].m.fd;
	} else {
		buf.m.planes = planes;
		buf.length = queue->pix.num_planes;
	}
	return xioctl(m2m->fd, request, &buf);
}

int m2m_qbuf(struct m2m *m2m, enum m2m_side side, unsigned int index, const struct m2m_qbuf *how)
{
	return give_buffer(m2m, VIDIOC_QBUF, side, index, how);
}

int m2m_prepare(struct m2m *m2m, enum m2m_side side, unsigned int index)
{
	const struct m2m_qbuf how = {};

	return give_buffer(m2m, VIDIOC_PREPARE_BUF, side, index, &how);
}

int m2m_dqbuf(struct m2m *m2m, enum m2m_side side, int ms, struct v4l2_buffer *buf)
{
	long long end = now_ms() + ms;
	struct v4l2_plane planes[M2M_PLANES];
	int ret;

	/* No poll(): that is an error already if the buffer is with the driver, but not queued. */
	for (;;) {
		memset(buf, 0, sizeof(*buf));
		memset(planes, 0, sizeof(planes));
		buf->type = m2m_type(m2m, side);
		buf->memory = m2m->queues[side].memory;
		if (!m2m->single) {
			buf->m.planes = planes;
			buf->length = m2m->queues[side].pix.num_planes;
		}
		ret = xioctl(m2m->fd, VIDIOC_DQBUF, buf);
		if (ret != -EAGAIN || now_ms() >= end)
			break;
		sleep_ms(1);
	}
	buf->m.planes = NULL;
	return ret;
}
