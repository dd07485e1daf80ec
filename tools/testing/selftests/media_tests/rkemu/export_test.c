// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests on the emulated media blocks of the RK3566, and on vim2m: EXPBUF that cannot be done says
 * why, and changes nothing. Each has another allocator of videobuf2.
 */

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <drm/drm.h>

#include "kselftest_harness.h"
#include "consumer.h"
#include "jobs.h"

/*
 * A job runs for so long that its fences are seen before its end, and a third of what the watchdogs
 * of the drivers allow.
 */
#define JOB_MS	600

FIXTURE(export) {
	struct jobs jobs;
};

FIXTURE_VARIANT(export) {
	const struct job_kind *kind;
};

FIXTURE_VARIANT_ADD(export, rga) {
	.kind = &job_rga,
};

FIXTURE_VARIANT_ADD(export, h264) {
	.kind = &job_h264,
};

FIXTURE_VARIANT_ADD(export, vim2m) {
	.kind = &job_vim2m,
};

FIXTURE_SETUP(export)
{
	const char *missing = device_start(variant->kind->dev);
	enum m2m_side side;

	if (missing)
		SKIP(return, "%s", missing);
	jobs_init(&self->jobs);
	ASSERT_EQ(0, device_defaults(variant->kind->dev));
	ASSERT_EQ(0, job_time_set(variant->kind->dev, JOB_MS));
	ASSERT_EQ(0, jobs_open_idle(&self->jobs, variant->kind));
	for (side = M2M_OUTPUT; side <= M2M_CAPTURE; side++) {
		self->jobs.m2m.queues[side].memory = V4L2_MEMORY_MMAP;
		ASSERT_EQ(JOB_SLOTS, m2m_reqbufs(&self->jobs.m2m, side, JOB_SLOTS));
	}
}

FIXTURE_TEARDOWN(export)
{
	jobs_close(&self->jobs);
	EXPECT_EQ(0, device_defaults(variant->kind->dev));
}

/* Exports of all buffers, and a job that publishes to them. */
static void still_works(struct __test_metadata *_metadata, struct jobs *jobs)
{
	struct fences fences;

	fences_init(&fences);
	ASSERT_EQ(0, m2m_adopt(&jobs->m2m, M2M_OUTPUT, JOB_SLOTS));
	ASSERT_EQ(0, m2m_adopt(&jobs->m2m, M2M_CAPTURE, JOB_SLOTS));
	ASSERT_EQ(0, jobs_go(jobs));
	ASSERT_EQ(0, job_start(jobs, 0, 1));
	ASSERT_EQ(0, fences_take(jobs, 0, &fences));
	EXPECT_EQ(0, fences_wait(&fences, 0));
	EXPECT_EQ(0, job_end(jobs, 0, 1, SOON_MS));
	EXPECT_EQ(1, fences_wait(&fences, SOON_MS));
	EXPECT_TRUE(job_shows(jobs, 0, 1));
	fences_close(&fences);
}

static int expbuf(int fd, struct v4l2_exportbuffer *export)
{
	return ioctl(fd, VIDIOC_EXPBUF, export) ? -errno : 0;
}

TEST_F_TIMEOUT(export, arguments, CASE_S)
{
	struct m2m *m2m = &self->jobs.m2m;
	const __u32 type = m2m_type(m2m, M2M_CAPTURE);
	struct v4l2_exportbuffer flags = { .type = type, .flags = O_APPEND };
	struct v4l2_exportbuffer index = { .type = type, .index = JOB_SLOTS };
	struct v4l2_exportbuffer plane = { .type = type, .plane = 1 };
	/* Of a device with planes, or of one without. */
	struct v4l2_exportbuffer other = {
		.type = m2m->single ? V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE :
				      V4L2_BUF_TYPE_VIDEO_CAPTURE,
	};

	EXPECT_EQ(-EINVAL, expbuf(m2m->fd, &flags));
	EXPECT_EQ(-EINVAL, expbuf(m2m->fd, &index));
	EXPECT_EQ(-EINVAL, expbuf(m2m->fd, &plane));
	EXPECT_EQ(-EINVAL, expbuf(m2m->fd, &other));
	still_works(_metadata, &self->jobs);
}

/* What was exported already, if there is no descriptor for it. */
TEST_F_TIMEOUT(export, no_descriptor_left, CASE_S)
{
	struct m2m *m2m = &self->jobs.m2m;
	const long before = dmabuf_count();
	struct rlimit all, none;
	int dmabuf, last, ret;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &all));
	none = all;
	last = dup(m2m->fd);
	ASSERT_LE(0, last);
	close(last);
	/* The lowest one that is free is more than may be. */
	none.rlim_cur = last;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	ret = m2m_export(m2m, M2M_CAPTURE, 0, O_RDWR);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &all));
	EXPECT_EQ(-EMFILE, ret);
	EXPECT_EQ(before, dmabuf_count());

	dmabuf = m2m_export(m2m, M2M_CAPTURE, 0, O_RDWR);
	ASSERT_LE(0, dmabuf);
	none.rlim_cur = dmabuf + 1;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	ret = m2m_export(m2m, M2M_CAPTURE, 0, O_RDWR);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &all));
	EXPECT_EQ(-EMFILE, ret);
	/* The one that there was is as it was. */
	EXPECT_EQ(before + 1, dmabuf_count());
	EXPECT_EQ(1, dmabuf_ready(dmabuf, POLLIN | POLLOUT, 0));
	close(dmabuf);
	EXPECT_EQ(before, dmabuf_count());
	still_works(_metadata, &self->jobs);
}

/*
 * Each export is a file and a GEM object of its own: an epoll set forgets one that is closed, and
 * takes the next, and a GEM handle for one is none for another.
 */
TEST_F_TIMEOUT(export, own_file, CASE_S)
{
	struct epoll_event event = { .events = EPOLLIN }, events[2];
	struct drm_prime_handle handles[2] = {};
	struct drm_gem_close first = {};
	int fds[2], epoll, vkms, i;

	epoll = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_LE(0, epoll);
	for (i = 0; i < 2; i++) {
		fds[i] = m2m_export(&self->jobs.m2m, M2M_CAPTURE, 0, O_RDWR);
		ASSERT_LE(0, fds[i]);
		ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event));
	}
	EXPECT_EQ(2, epoll_wait(epoll, events, 2, 0));
	close(fds[1]);
	EXPECT_EQ(1, epoll_wait(epoll, events, 2, 0));
	fds[1] = m2m_export(&self->jobs.m2m, M2M_CAPTURE, 0, O_RDWR);
	ASSERT_LE(0, fds[1]);
	EXPECT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, fds[1], &event));
	close(epoll);

	vkms = open_card("vkms");
	for (i = 0; vkms >= 0 && i < 2; i++) {
		handles[i].fd = fds[i];
		EXPECT_EQ(0, ioctl(vkms, DRM_IOCTL_PRIME_FD_TO_HANDLE, &handles[i]));
	}
	if (vkms >= 0) {
		EXPECT_NE(handles[0].handle, handles[1].handle);
		first.handle = handles[0].handle;
		EXPECT_EQ(0, ioctl(vkms, DRM_IOCTL_GEM_CLOSE, &first));
		EXPECT_EQ(0, ioctl(vkms, DRM_IOCTL_PRIME_HANDLE_TO_FD, &handles[1]));
		close(handles[1].fd);
		close(vkms);
	}
	close(fds[0]);
	close(fds[1]);
	still_works(_metadata, &self->jobs);
}

/* An imported buffer cannot be exported. */
TEST_F_TIMEOUT(export, imported, CASE_S)
{
	struct m2m *m2m = &self->jobs.m2m;
	struct v4l2_requestbuffers request = {
		.count = 1,
		.type = m2m_type(m2m, M2M_CAPTURE),
		.memory = V4L2_MEMORY_DMABUF,
	};

	ASSERT_EQ(0, m2m_free(m2m, M2M_CAPTURE));
	ASSERT_EQ(0, ioctl(m2m->fd, VIDIOC_REQBUFS, &request));
	EXPECT_EQ(-EINVAL, m2m_export(m2m, M2M_CAPTURE, 0, O_RDWR));
	request.count = 0;
	ASSERT_EQ(0, ioctl(m2m->fd, VIDIOC_REQBUFS, &request));
	ASSERT_EQ(JOB_SLOTS, m2m_reqbufs(m2m, M2M_CAPTURE, JOB_SLOTS));
	still_works(_metadata, &self->jobs);
}

TEST_HARNESS_MAIN
