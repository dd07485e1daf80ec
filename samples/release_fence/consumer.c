// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sample: takes pictures from a capture device, and has the fence of each before the picture.
 *
 * The fence comes from VIDIOC_QBUF if the queue gives it there. Else an event says that the device
 * has begun to write, and the fence comes from VIDIOC_EXPFENCE. With it a program hands the picture
 * on at once, to a display as IN_FENCE_FD, say. This one waits for it, and dequeues afterwards.
 */
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/sync_file.h>
#include <linux/videodev2.h>

#define TYPE V4L2_BUF_TYPE_VIDEO_CAPTURE

static void call(int fd, unsigned long request, void *arg, const char *what)
{
	if (ioctl(fd, request, arg))
		err(1, "%s", what);
}

static void wait_for(int fd, short events, const char *what)
{
	struct pollfd poll_fd = { .fd = fd, .events = events };

	/* No release fence takes more than 10 s. */
	if (poll(&poll_fd, 1, 11000) != 1 || poll_fd.revents != events)
		errx(1, "no %s in 11 s: does the device get pictures?", what);
}

/* Sets the fence of the buffer, or -1 if that comes later. */
static void queue(int video, struct v4l2_buffer *buf, __u32 flags, int *fences)
{
	buf->flags = flags;
	call(video, VIDIOC_QBUF, buf, "QBUF");
	fences[buf->index] = flags ? buf->fence_fd : -1;
}

/* Waits until the device begins to write, sets the fence, and returns which buffer it writes. */
static __u32 next_job(int video, int *fences)
{
	struct v4l2_exportfence exp = { .type = TYPE, .flags = O_CLOEXEC };
	struct v4l2_event event;

	wait_for(video, POLLPRI, "event");
	call(video, VIDIOC_DQEVENT, &event, "DQEVENT");
	exp.index = event.u.release_fence.index;
	call(video, VIDIOC_EXPFENCE, &exp, "EXPFENCE");
	fences[exp.index] = exp.fd;
	return exp.index;
}

static const char *state(int fence)
{
	struct sync_file_info info = { };

	call(fence, SYNC_IOC_FILE_INFO, &info, "SYNC_IOC_FILE_INFO");
	return info.status < 0 ? strerror(-info.status) : info.status ? "signalled" : "pending";
}

int main(int argc, char **argv)
{
	struct v4l2_event_subscription sub = { .type = V4L2_EVENT_RELEASE_FENCE, .id = TYPE };
	struct v4l2_requestbuffers req = { .count = 4, .type = TYPE, .memory = V4L2_MEMORY_MMAP };
	struct v4l2_buffer buf = { .type = TYPE, .memory = V4L2_MEMORY_MMAP };
	int video, type = TYPE, fences[VIDEO_MAX_FRAME], left = argc > 2 ? atoi(argv[2]) : 10;
	__u32 i, flags = 0;

	if (argc < 2 || left < 1)
		errx(2, "usage: consumer /dev/videoN [PICTURES]");
	video = open(argv[1], O_RDWR | O_NONBLOCK);
	if (video < 0)
		err(1, "%s", argv[1]);
	call(video, VIDIOC_REQBUFS, &req, "REQBUFS: is it a capture device, and not busy?");
	if (req.capabilities & V4L2_BUF_CAP_SUPPORTS_OUT_FENCES)
		flags = V4L2_BUF_FLAG_OUT_FENCE;
	else
		call(video, VIDIOC_SUBSCRIBE_EVENT, &sub, "the driver has no release fences");
	/* Before the buffers: a queue that has not started gives no out-fences. */
	call(video, VIDIOC_STREAMON, &type, "STREAMON");
	for (buf.index = 0; buf.index < req.count; buf.index++)
		queue(video, &buf, flags, fences);
	for (i = 0; left--; i++) {
		i = flags ? i % req.count : next_job(video, fences);
		printf("buffer %u, %s: fence %s", i, flags ? "QBUF" : "EXPFENCE", state(fences[i]));
		wait_for(fences[i], POLLIN, "end of a fence");
		call(video, VIDIOC_DQBUF, &buf, "DQBUF");
		printf(", then %s; picture %u\n", state(fences[i]), buf.sequence);
		close(fences[buf.index]);
		queue(video, &buf, flags, fences);
	}
	return 0;
}
