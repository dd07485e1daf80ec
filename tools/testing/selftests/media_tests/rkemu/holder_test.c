// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests on the emulated media blocks of the RK3566: what a consumer can do to the producer that
 * holds no more than descriptors of its dma-bufs and fences. The producer goes on.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <drm/drm.h>
#include <drm/vgem_drm.h>
#include <linux/dma-buf.h>
#include <linux/sync_file.h>

#include "kselftest_harness.h"
#include "consumer.h"
#include "fence_trace.h"
#include "unprivileged.h"

/* Jobs that are there to be looked at, and others. */
#define LONG_JOB_US	1500000
#define SHORT_JOB_US	10000
/* After which the producer does not wait any longer for the fences of others. */
#define ACQUIRE_MS	200
/* vgem ends its fences after 10 s. */
#define VGEM_MS		9000
/* Jobs while others are busy with the same dma-bufs. */
#define ROUNDS		30

/*
 * @file: streaming, without jobs
 * @timeline: of sw_sync
 * @foreign: a fence of it, which is never signalled unless the timeline goes
 */
FIXTURE(holder) {
	const struct test_device *dev;
	struct jobs file;
	int timeline;
	int foreign;
};

FIXTURE_VARIANT(holder) {
	const struct job_kind *kind;
};

FIXTURE_VARIANT_ADD(holder, rga) {
	.kind = &job_rga,
};

FIXTURE_VARIANT_ADD(holder, h264) {
	.kind = &job_h264,
};

FIXTURE_SETUP(holder)
{
	const char *missing = device_start(variant->kind->dev);

	if (missing)
		SKIP(return, "%s", missing);
	self->dev = variant->kind->dev;
	jobs_init(&self->file);
	self->timeline = open(SW_SYNC, O_RDWR | O_CLOEXEC);
	if (self->timeline < 0)
		SKIP(return, "no " SW_SYNC ": CONFIG_SW_SYNC=y is needed");
	self->foreign = sw_sync_fence(self->timeline, 1);
	ASSERT_LE(0, self->foreign);
	ASSERT_EQ(0, device_defaults(self->dev));
	ASSERT_EQ(0, acquire_timeout_set(ACQUIRE_MS));
	ASSERT_EQ(0, fence_counts_start());
	ASSERT_EQ(0, jobs_open(&self->file, variant->kind));
}

FIXTURE_TEARDOWN(holder)
{
	struct fence_counts counts = {};

	close_fd(&self->foreign);
	close_fd(&self->timeline);
	jobs_close(&self->file);
	EXPECT_EQ(0, device_defaults(self->dev));
	/* Whatever others did, the producer's fences have ended, and are gone. */
	EXPECT_EQ(0, fence_counts_end(&counts));
	EXPECT_LT(0, counts.armed);
	EXPECT_EQ(counts.armed, counts.signalled);
	EXPECT_EQ(counts.made, counts.gone);
}

/* A job runs with its fences, and ends, and they with it, whatever else its dma-bufs have. */
static void goes_on(struct __test_metadata *_metadata, struct jobs *jobs, __u32 n)
{
	const long started = knob_get(jobs->kind->dev, "jobs");
	const long long end = now_ms() + SOON_MS;
	const long armed = fences_armed();

	ASSERT_LE(0, armed);
	ASSERT_EQ(0, job_start(jobs, 0, n));
	EXPECT_TRUE(knob_reaches(jobs->kind->dev, "jobs", started + 1, SOON_MS));
	EXPECT_EQ(0, job_end(jobs, 0, n, SOON_MS));
	/* Nor has QBUF waited. */
	EXPECT_GT(end, now_ms());
	/* Nor did it do without: of the picture and of the input. */
	EXPECT_EQ(armed + 2, fences_armed());
	/* Not job_shows(), which waits for the fences of all drivers. */
	EXPECT_TRUE(jobs->kind->shows(jobs->kind, job_picture(jobs, 0)->data, n));
}

/* A consumer adds a fence that is never signalled. Readers wait; the producer gives it up. */
TEST_F_TIMEOUT(holder, never_signalled, CASE_S)
{
	const int picture = job_picture(&self->file, 0)->dmabuf;
	struct fences ours;

	fences_init(&ours);
	ASSERT_EQ(0, dmabuf_import(picture, self->foreign));
	EXPECT_EQ(0, dmabuf_ready(picture, POLLIN, 0));
	goes_on(_metadata, &self->file, 1);
	goes_on(_metadata, &self->file, 2);
	EXPECT_EQ(0, dmabuf_ready(picture, POLLIN, 0));
	/* It also does not keep the buffers, or the file. */
	EXPECT_EQ(0, jobs_stop(&self->file));
	EXPECT_EQ(0, jobs_go(&self->file));
	goes_on(_metadata, &self->file, 3);
	jobs_close_node(&self->file);
	EXPECT_EQ(0, dmabuf_ready(picture, POLLIN, 0));
	/* sw_sync ends its fences with the timeline. */
	close_fd(&self->timeline);
	EXPECT_EQ(1, dmabuf_ready(picture, POLLIN, SOON_MS));
}

/* Fences of many timelines, so that the list of the reservation object has to grow. */
TEST_F_TIMEOUT(holder, many_fences, CASE_S)
{
	int timelines[100];
	unsigned int i;

	for (i = 0; i < ARRAY_COUNT(timelines); i++) {
		int fence;

		timelines[i] = open(SW_SYNC, O_RDWR | O_CLOEXEC);
		ASSERT_LE(0, timelines[i]);
		fence = sw_sync_fence(timelines[i], 1);
		ASSERT_LE(0, fence);
		EXPECT_EQ(0, dmabuf_import(job_picture(&self->file, 0)->dmabuf, fence));
		close(fence);
		if (i % 10 == 0)
			goes_on(_metadata, &self->file, i + 1);
	}
	goes_on(_metadata, &self->file, 1000);
	for (i = 0; i < ARRAY_COUNT(timelines); i++)
		close(timelines[i]);
	EXPECT_EQ(1, dmabuf_ready(job_picture(&self->file, 0)->dmabuf, POLLIN, SOON_MS));
}

/*
 * @buffers: of the producer
 * @foreign: a fence that has ended
 * @unprivileged: without rights, also to debugfs
 */
struct busy {
	const struct m2m_buffer *buffers[2];
	int foreign;
	bool unprivileged;
	atomic_bool stop;
	unsigned long done;
	int error;
};

/* Takes the reservation object's lock as often as possible, in all ways that there are for it. */
static void *be_busy(void *data)
{
	struct busy *busy = data;
	int epoll;

	while (!busy->stop) {
		const int dmabuf = busy->buffers[busy->done % 2]->dmabuf;
		struct epoll_event event = { .events = EPOLLIN | EPOLLOUT };
		int fence = dmabuf_fence(dmabuf, DMA_BUF_SYNC_RW);

		epoll = epoll_create1(EPOLL_CLOEXEC);
		if (fence < 0 || epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, dmabuf, &event))
			busy->error = errno;
		if (dmabuf_import(dmabuf, fence) || dmabuf_import(dmabuf, busy->foreign))
			busy->error = errno;
		if ((dmabuf_count() < 0) != busy->unprivileged)
			busy->error = busy->unprivileged ? EPERM : errno;
		/* Gone while its callback may be waiting for the fence. */
		close(epoll);
		close(fence);
		busy->done++;
	}
	return NULL;
}

TEST_F_TIMEOUT(holder, busy_with_its_lock, CASE_S)
{
	struct busy busy = {
		.buffers = { job_picture(&self->file, 0), job_input(&self->file, 0) },
	};
	pthread_t threads[2];
	unsigned int i;
	__u32 one = 1;

	/* A foreign fence that has ended: the producer's input is not to wait for ever. */
	ASSERT_EQ(0, ioctl(self->timeline, SW_SYNC_IOC_INC, &one));
	busy.foreign = self->foreign;
	ASSERT_EQ(0, knob_set(self->dev, "delay_us", 20000));
	for (i = 0; i < ARRAY_COUNT(threads); i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, be_busy, &busy));
	for (i = 1; i <= ROUNDS; i++)
		goes_on(_metadata, &self->file, i);
	busy.stop = true;
	for (i = 0; i < ARRAY_COUNT(threads); i++)
		EXPECT_EQ(0, pthread_join(threads[i], NULL));
	EXPECT_EQ(0, busy.error);
	EXPECT_LT(10, busy.done);
}

/* The same by processes that have the dma-bufs, and no rights to anything. */
TEST_F_TIMEOUT(holder, busy_without_rights, CASE_S)
{
	struct busy *busy = mmap(NULL, sizeof(*busy), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t children[2];
	unsigned int i;
	__u32 one = 1;
	int status;

	ASSERT_NE(MAP_FAILED, busy);
	busy->buffers[0] = job_picture(&self->file, 0);
	busy->buffers[1] = job_input(&self->file, 0);
	busy->unprivileged = true;
	ASSERT_EQ(0, ioctl(self->timeline, SW_SYNC_IOC_INC, &one));
	busy->foreign = self->foreign;
	ASSERT_EQ(0, knob_set(self->dev, "delay_us", 20000));
	for (i = 0; i < ARRAY_COUNT(children); i++) {
		children[i] = fork();
		ASSERT_LE(0, children[i]);
		if (!children[i]) {
			if (drop_rights() || prctl(PR_SET_PDEATHSIG, SIGKILL))
				_exit(1);
			be_busy(busy);
			_exit(0);
		}
	}
	for (i = 1; i <= ROUNDS; i++)
		goes_on(_metadata, &self->file, i);
	busy->stop = true;
	for (i = 0; i < ARRAY_COUNT(children); i++) {
		ASSERT_EQ(children[i], waitpid(children[i], &status, 0));
		EXPECT_EQ(0, status);
	}
	EXPECT_EQ(0, busy->error);
	EXPECT_LT(10, busy->done);
	munmap(busy, sizeof(*busy));
}

/* A dma-buf has its memory as long as there is a descriptor. */
TEST_F_TIMEOUT(holder, never_lets_go, CASE_S)
{
	const long before = dmabuf_count();
	int dups[50];
	unsigned int i;

	for (i = 0; i < ARRAY_COUNT(dups); i++) {
		dups[i] = fcntl(job_picture(&self->file, 0)->dmabuf, F_DUPFD_CLOEXEC, 0);
		ASSERT_LE(0, dups[i]);
	}
	goes_on(_metadata, &self->file, 1);
	/* The producer has new buffers, though the old ones are held. */
	ASSERT_EQ(0, jobs_stop(&self->file));
	ASSERT_EQ(0, m2m_free(&self->file.m2m, M2M_CAPTURE));
	ASSERT_EQ(0, m2m_alloc(&self->file.m2m, M2M_CAPTURE, JOB_SLOTS));
	ASSERT_EQ(0, jobs_go(&self->file));
	goes_on(_metadata, &self->file, 2);
	EXPECT_EQ(before + 1, dmabuf_count());
	for (i = 0; i < ARRAY_COUNT(dups); i++)
		close(dups[i]);
	EXPECT_EQ(before, dmabuf_count());
}

/*
 * A sync_file is never closed: the calls that end its job return, its fence ends, and the producer
 * goes on, with the same file or another.
 */
TEST_F_TIMEOUT(holder, keeps_sync_files, CASE_S)
{
	struct fences stopped, closed;
	int status[2];

	fences_init(&stopped);
	fences_init(&closed);
	ASSERT_EQ(0, knob_set(self->dev, "delay_us", LONG_JOB_US));
	ASSERT_EQ(0, job_start(&self->file, 0, 1));
	ASSERT_EQ(0, fences_take(&self->file, 0, &stopped));
	ASSERT_EQ(0, fence_status(stopped.picture));
	ASSERT_EQ(0, fence_status(stopped.input));
	EXPECT_EQ(0, jobs_stop(&self->file));
	/* STREAMOFF has returned both buffers: nothing is left to wait for. */
	status[0] = fence_status(stopped.picture);
	EXPECT_NE(0, status[0]);
	EXPECT_NE(NO_STATUS, status[0]);
	EXPECT_NE(0, fence_status(stopped.input));
	EXPECT_EQ(0, jobs_go(&self->file));
	ASSERT_EQ(0, knob_set(self->dev, "delay_us", SHORT_JOB_US));
	goes_on(_metadata, &self->file, 2);

	ASSERT_EQ(0, knob_set(self->dev, "delay_us", LONG_JOB_US));
	ASSERT_EQ(0, job_begin(&self->file, 1, 3));
	ASSERT_EQ(0, fences_take(&self->file, 1, &closed));
	ASSERT_EQ(0, fence_status(closed.picture));
	ASSERT_EQ(0, fence_status(closed.input));
	/* All but the sync_files. */
	jobs_close(&self->file);
	status[1] = fence_status(closed.picture);
	EXPECT_NE(0, status[1]);
	EXPECT_NE(NO_STATUS, status[1]);
	EXPECT_NE(0, fence_status(closed.input));
	ASSERT_EQ(0, knob_set(self->dev, "delay_us", SHORT_JOB_US));
	ASSERT_EQ(0, jobs_open(&self->file, variant->kind));
	goes_on(_metadata, &self->file, 4);
	EXPECT_EQ(status[0], fence_status(stopped.picture));
	EXPECT_EQ(status[1], fence_status(closed.picture));
	fences_close(&stopped);
	fences_close(&closed);
}

/* 0 if vgem holds the buffer from now on; -EBUSY if another driver does, or vgem itself. */
static int vgem_hold(int vgem, __u32 handle)
{
	struct drm_vgem_fence_attach attach = { .handle = handle, .flags = VGEM_FENCE_WRITE };

	return ioctl(vgem, DRM_IOCTL_VGEM_FENCE_ATTACH, &attach) ? -errno : 0;
}

/*
 * Another driver has the picture, says that it writes it, and never finishes: vgem, which gives up
 * by itself after a while.
 */
TEST_F_TIMEOUT(holder, held_by_another_driver, CASE_S)
{
	const int picture = job_picture(&self->file, 0)->dmabuf;
	struct drm_prime_handle prime = { .fd = picture };
	unsigned int ended_while_held = 0;
	long long held = 0;
	int vgem, ret;
	__u32 n;

	vgem = open_card("vgem");
	if (vgem < 0)
		SKIP(return, "no vgem: CONFIG_DRM_VGEM=y is needed");
	ASSERT_EQ(0, ioctl(vgem, DRM_IOCTL_PRIME_FD_TO_HANDLE, &prime));
	/* It sees the producer's fence. */
	ASSERT_EQ(0, knob_set(self->dev, "delay_us", LONG_JOB_US));
	ASSERT_EQ(0, job_start(&self->file, 0, 1));
	EXPECT_EQ(-EBUSY, vgem_hold(vgem, prime.handle));
	EXPECT_EQ(0, job_end(&self->file, 0, 1, SOON_MS));
	ASSERT_EQ(0, knob_set(self->dev, "delay_us", SHORT_JOB_US));
	for (n = 2; n < 8; n++) {
		/* A machine may be so slow that vgem has given up since the last job. */
		ret = vgem_hold(vgem, prime.handle);
		if (!ret)
			held = now_ms();
		EXPECT_TRUE(!ret || (ret == -EBUSY && n > 2));
		goes_on(_metadata, &self->file, n);
		if (!dmabuf_ready(picture, POLLIN, 0))
			ended_while_held++;
		else
			EXPECT_LT(VGEM_MS, now_ms() - held);
		if (n == 4) {
			EXPECT_EQ(0, jobs_stop(&self->file));
			EXPECT_EQ(0, jobs_go(&self->file));
		}
	}
	/* Not all of them have waited until vgem gave up. */
	EXPECT_LT(0, ended_while_held);
	jobs_close_node(&self->file);
	EXPECT_EQ(1, dmabuf_ready(picture, POLLIN, SOON_MS));
	/* Not sooner: so far it was vgem's fence that readers waited for, and not one of ours. */
	EXPECT_LT(VGEM_MS, now_ms() - held);
	close(vgem);
}

/* Names are what all holders of a sync_file may read: driver and queue, and no more. */
TEST_F_TIMEOUT(holder, names, CASE_S)
{
	struct sync_fence_info infos[2] = {};
	struct sync_file_info info = {
		.num_fences = ARRAY_COUNT(infos),
		.sync_fence_info = (unsigned long)infos,
	};
	struct fences fences;

	EXPECT_TRUE(has_address("cap-ffff888003a2c000"));
	EXPECT_FALSE(has_address("cap-00000000ad282b00"));
	fences_init(&fences);
	ASSERT_EQ(0, knob_set(self->dev, "delay_us", 500000));
	ASSERT_EQ(0, job_start(&self->file, 0, 1));
	ASSERT_EQ(0, fences_take(&self->file, 0, &fences));
	ASSERT_EQ(0, ioctl(fences.picture, SYNC_IOC_FILE_INFO, &info));
	ASSERT_EQ(1, info.num_fences);
	EXPECT_STREQ("videobuf2", infos[0].driver_name);
	EXPECT_EQ(0, strncmp(infos[0].obj_name, "cap-", 4));
	EXPECT_FALSE(has_address(infos[0].obj_name));
	EXPECT_FALSE(has_address(info.name));
	EXPECT_EQ(0, job_end(&self->file, 0, 1, SOON_MS));
	fences_close(&fences);
}

TEST_HARNESS_MAIN
