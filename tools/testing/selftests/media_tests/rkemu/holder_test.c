// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests on the emulated media blocks of the RK3566: what those can do to the producer who hold no
 * more than descriptors of its dma-bufs and fences. The producer goes on.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <linux/media.h>
#include <linux/sync_file.h>

#include "kselftest_harness.h"
#include "rkemu_held.h"

#define SW_SYNC		"/sys/kernel/debug/sync/sw_sync"
/* An unprivileged user. */
#define NOBODY		65534
/* Jobs while others are busy with the same dma-bufs. */
#define ROUNDS		30
/* Steps of a timeline while its fences are dropped. */
#define POINTS		100000

/* Of drivers/dma-buf/sw_sync.c, which has no header for user space. */
struct sw_sync_create_fence_data {
	__u32 value;
	char name[32];
	__s32 fence;
};

#define SW_SYNC_IOC_CREATE_FENCE	_IOWR('W', 0, struct sw_sync_create_fence_data)
#define SW_SYNC_IOC_INC			_IOW('W', 1, __u32)

/*
 * @file: streaming, without jobs
 * @timeline: of sw_sync
 * @foreign: a fence of it, which is never signalled unless the timeline goes
 */
FIXTURE(holder) {
	const struct rkemu_dev *dev;
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

static int create_fence(int timeline, unsigned int value)
{
	struct sw_sync_create_fence_data data = { .value = value, .name = "foreign" };

	return ioctl(timeline, SW_SYNC_IOC_CREATE_FENCE, &data) ? -errno : data.fence;
}

static int import_fence(int dmabuf, int fence)
{
	struct dma_buf_import_sync_file import = { .flags = DMA_BUF_SYNC_RW, .fd = fence };

	return ioctl(dmabuf, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &import) ? -errno : 0;
}

FIXTURE_SETUP(holder)
{
	const char *missing = rkemu_start(variant->kind->dev);

	if (missing)
		SKIP(return, "%s", missing);
	self->dev = variant->kind->dev;
	jobs_init(&self->file);
	self->timeline = open(SW_SYNC, O_RDWR | O_CLOEXEC);
	if (self->timeline < 0)
		SKIP(return, "no " SW_SYNC ": CONFIG_SW_SYNC=y is needed");
	self->foreign = create_fence(self->timeline, 1);
	ASSERT_LE(0, self->foreign);
	ASSERT_EQ(0, rkemu_defaults(self->dev));
	ASSERT_EQ(0, jobs_open(&self->file, variant->kind));
}

FIXTURE_TEARDOWN(holder)
{
	close_fd(&self->foreign);
	close_fd(&self->timeline);
	jobs_close(&self->file);
	EXPECT_EQ(0, rkemu_defaults(self->dev));
}

/* A job runs and ends, and its fences with it, whatever else its dma-bufs have. */
static void goes_on(struct __test_metadata *_metadata, struct jobs *jobs, __u32 n)
{
	const long started = knob_get(jobs->kind->dev, "jobs");

	ASSERT_EQ(0, job_start(jobs, 0, n));
	EXPECT_TRUE(knob_reaches(jobs->kind->dev, "jobs", started + 1, SOON_MS));
	EXPECT_EQ(0, job_end(jobs, 0, n, SOON_MS));
	/* Not job_shows(), which waits for everybody's fences. */
	EXPECT_TRUE(jobs->kind->shows(jobs->kind, job_picture(jobs, 0)->data, n));
}

/* Somebody adds a fence that nobody signals: readers wait for it, the producer does not. */
TEST_F_TIMEOUT(holder, never_signalled, CASE_S)
{
	const int picture = job_picture(&self->file, 0)->dmabuf;
	struct fences ours;

	fences_init(&ours);
	ASSERT_EQ(0, import_fence(picture, self->foreign));
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
		fence = create_fence(timelines[i], 1);
		ASSERT_LE(0, fence);
		EXPECT_EQ(0, import_fence(job_picture(&self->file, 0)->dmabuf, fence));
		close(fence);
		if (i % 10 == 0)
			goes_on(_metadata, &self->file, i + 1);
	}
	goes_on(_metadata, &self->file, 1000);
	for (i = 0; i < ARRAY_COUNT(timelines); i++)
		close(timelines[i]);
	EXPECT_EQ(1, dmabuf_ready(job_picture(&self->file, 0)->dmabuf, POLLIN, SOON_MS));
}

struct busy {
	const struct m2m_buffer *buffers[2];
	int foreign;
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
		if (import_fence(dmabuf, fence) || import_fence(dmabuf, busy->foreign))
			busy->error = errno;
		if (dmabuf_count() < 0)
			busy->error = errno;
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

/* A dma-buf has its memory as long as somebody has a descriptor. */
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

/* What a process can do that has descriptors and no rights: 0, or the number of what it could. */
static int try_all(const char *node, int dmabuf, int fence)
{
	struct sw_sync_create_fence_data create = { .value = 1 };
	struct v4l2_buffer buf = { .type = V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE };
	__u32 one = 1;

	if (setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY))
		return 1;
	if (open(node, O_RDWR) >= 0 || (errno != EACCES && errno != EPERM))
		return 2;
	if (open(SW_SYNC, O_RDWR) >= 0)
		return 3;
	/* Neither descriptor takes the calls that arm or signal. */
	if (!ioctl(fence, SW_SYNC_IOC_INC, &one) || errno != ENOTTY)
		return 4;
	if (!ioctl(fence, SW_SYNC_IOC_CREATE_FENCE, &create) || errno != ENOTTY)
		return 5;
	if (!ioctl(dmabuf, VIDIOC_QBUF, &buf) || errno != ENOTTY)
		return 6;
	if (!ioctl(fence, MEDIA_REQUEST_IOC_QUEUE) || errno != ENOTTY)
		return 7;
	/* It may ask, which is what it has the descriptors for. */
	if (dmabuf_ready(dmabuf, POLLIN, 0) != 0 || fence_status(fence) != 0)
		return 8;
	return 0;
}

TEST_F_TIMEOUT(holder, without_rights, CASE_S)
{
	const struct m2m_buffer *picture = job_picture(&self->file, 0);
	char link[40], node[64] = "";
	struct fences fences;
	int status;
	pid_t child;

	fences_init(&fences);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", self->file.m2m.fd);
	ASSERT_LT(0, readlink(link, node, sizeof(node) - 1));
	ASSERT_EQ(0, knob_set(self->dev, "delay_us", 1500000));
	ASSERT_EQ(0, job_start(&self->file, 0, 1));
	ASSERT_EQ(0, fences_take(&self->file, 0, &fences));
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(try_all(node, picture->dmabuf, fences.picture));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
	EXPECT_EQ(1, fences_wait(&fences, SOON_MS));
	EXPECT_EQ(0, job_end(&self->file, 0, 1, SOON_MS));
	fences_close(&fences);
}

/* Whether a text has what looks like an address of the kernel: those begin with many ones. */
static bool has_address(const char *text)
{
	const char *hex = "0123456789abcdef";

	for (; *text; text++)
		if (!strncmp(text, "ffff", 4) && strspn(text, hex) >= 12)
			return true;
	return false;
}

/* Names are what all holders of a sync_file may read: whose it is, and no more. */
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

/* Bit 9 of /proc/sys/kernel/tainted: the kernel has warned of something. */
static bool kernel_warned(void)
{
	unsigned long taints = 0;
	FILE *file = fopen("/proc/sys/kernel/tainted", "r");

	if (!file || fscanf(file, "%lu", &taints) != 1)
		taints = ~0UL;
	if (file)
		fclose(file);
	return taints & (1 << 9);
}

/* How far the timeline is. */
static atomic_uint points_value;

/* Makes a fence that one of the next steps signals, and drops it at once, over and over. */
static void *drop_points(void *argument)
{
	const int *timeline = argument;
	unsigned int value, ahead = 0;

	while ((value = atomic_load(&points_value)) < POINTS) {
		int fence = create_fence(*timeline, value + 1 + ahead++ % 32);

		if (fence >= 0)
			close(fence);
	}
	return NULL;
}

/*
 * Fences of sw_sync are what the tests here import. A timeline that steps on while the last
 * reference of one is put must leave that one alone: in Linux 6.12 it takes a reference again.
 */
TEST(points_dropped_while_signalled)
{
	__u32 one = 1;
	pthread_t dropper;
	int timeline;

	timeline = open(SW_SYNC, O_RDWR | O_CLOEXEC);
	if (timeline < 0)
		SKIP(return, "no " SW_SYNC ": CONFIG_SW_SYNC=y is needed");
	ASSERT_FALSE(kernel_warned());
	atomic_store(&points_value, 0);
	ASSERT_EQ(0, pthread_create(&dropper, NULL, drop_points, &timeline));
	while (atomic_fetch_add(&points_value, 1) < POINTS)
		EXPECT_EQ(0, ioctl(timeline, SW_SYNC_IOC_INC, &one));
	ASSERT_EQ(0, pthread_join(dropper, NULL));
	close(timeline);
	EXPECT_FALSE(kernel_warned());
}

TEST_HARNESS_MAIN
