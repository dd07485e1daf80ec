// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests on the emulated media blocks of the RK3566: what a process can do, and learn, that has
 * descriptors of dma-bufs and fences, but no rights to the node.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <linux/media.h>
#include <linux/sync_file.h>

#include "kselftest_harness.h"
#include "jobs.h"
#include "unprivileged.h"

#define TRACE		"/sys/kernel/tracing/instances/rkemu_names"
/* Jobs that are there to be looked at. */
#define LONG_JOB_US	1500000

/* @file: streaming, without jobs */
FIXTURE(rights) {
	const struct test_device *dev;
	struct jobs file;
};

FIXTURE_VARIANT(rights) {
	const struct job_kind *kind;
};

FIXTURE_VARIANT_ADD(rights, rga) {
	.kind = &job_rga,
};

FIXTURE_VARIANT_ADD(rights, h264) {
	.kind = &job_h264,
};

FIXTURE_SETUP(rights)
{
	const char *missing = device_start(variant->kind->dev);

	if (missing)
		SKIP(return, "%s", missing);
	self->dev = variant->kind->dev;
	jobs_init(&self->file);
	if (access(SW_SYNC, F_OK))
		SKIP(return, "no " SW_SYNC ": CONFIG_SW_SYNC=y is needed");
	ASSERT_EQ(0, device_defaults(self->dev));
	ASSERT_EQ(0, jobs_open(&self->file, variant->kind));
}

FIXTURE_TEARDOWN(rights)
{
	jobs_close(&self->file);
	EXPECT_EQ(0, device_defaults(self->dev));
}

/* Files that decide about fences: a process that may write one can arm, delay or end them. */
enum { NODE, NODE_FD, MEDIA, MEDIA_FD, TIMEOUT_MS, FENCES, UNBIND, PATHS };

static const char *const path_names[PATHS] = {
	"the node", "the node by its descriptor", "the media device",
	"the media device by its descriptor", "release_fence_timeout_ms", "release_fences",
	"unbind",
};

/* @path: by the numbers above; empty if the device has no such file */
struct paths {
	char path[PATHS][128];
};

static int link_paths(char fd_path[128], char path[128], int fd)
{
	snprintf(fd_path, 128, "/proc/self/fd/%d", fd);
	return readlink(fd_path, path, 127) < 0 ? -errno : 0;
}

static int find_paths(struct paths *paths, struct jobs *file)
{
	const struct test_device *dev = file->kind->dev;
	int ret;

	memset(paths, 0, sizeof(*paths));
	ret = link_paths(paths->path[NODE_FD], paths->path[NODE], file->m2m.fd);
	if (!ret && file->m2m.media >= 0)
		ret = link_paths(paths->path[MEDIA_FD], paths->path[MEDIA], file->m2m.media);
	snprintf(paths->path[TIMEOUT_MS], 128, "%s", FENCE_TIMEOUT);
	snprintf(paths->path[FENCES], 128, "/sys/module/%s/parameters/release_fences", dev->module);
	snprintf(paths->path[UNBIND], 128, "/sys/bus/platform/drivers/%s/unbind", dev->driver);
	return ret;
}

/* NULL if all can be opened (@allowed), or if none can, since the user has no rights to it. */
static const char *open_all(const struct paths *paths, bool allowed)
{
	unsigned int i;

	for (i = 0; i < PATHS; i++) {
		int fd;

		if (!paths->path[i][0])
			continue;
		fd = open(paths->path[i], i < TIMEOUT_MS ? O_RDWR | O_NONBLOCK : O_WRONLY);
		if (fd < 0 ? allowed || errno != EACCES : !allowed)
			return path_names[i];
		close_fd(&fd);
	}
	return NULL;
}

/* Neither descriptor takes the calls that arm or signal. */
static const char *try_signals(int dmabuf, int fence)
{
	struct sw_sync_create_fence_data create = { .value = 1 };
	struct v4l2_buffer buf = { .type = V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE };
	__u32 one = 1;

	if (open(SW_SYNC, O_RDWR) >= 0 || errno != EACCES)
		return "sw_sync";
	if (!ioctl(fence, SW_SYNC_IOC_INC, &one) || errno != ENOTTY)
		return "SW_SYNC_IOC_INC";
	if (!ioctl(fence, SW_SYNC_IOC_CREATE_FENCE, &create) || errno != ENOTTY)
		return "SW_SYNC_IOC_CREATE_FENCE";
	if (!ioctl(dmabuf, VIDIOC_QBUF, &buf) || errno != ENOTTY)
		return "VIDIOC_QBUF of a dma-buf";
	if (!ioctl(fence, MEDIA_REQUEST_IOC_QUEUE) || errno != ENOTTY)
		return "MEDIA_REQUEST_IOC_QUEUE of a sync_file";
	return NULL;
}

/*
 * What may delay a consumer: it is allowed, or it is refused. @next is of the picture of the next
 * job.
 */
static const char *try_delays(int dmabuf, int next, int fence)
{
	/* A hint, to hurry or not. */
	struct sync_set_deadline deadline = { .deadline_ns = ~0ULL };

	if (!kill(getppid(), 0) || errno != EPERM)
		return "a signal to the producer";
	if (ioctl(fence, SYNC_IOC_SET_DEADLINE, &deadline))
		return "SYNC_IOC_SET_DEADLINE";
	/* The job's own fence once more, and for a job that did not start. */
	if (dmabuf_import(dmabuf, fence) || dmabuf_import(next, fence))
		return "IMPORT_SYNC_FILE";
	if (dmabuf_ready(dmabuf, POLLIN | POLLOUT, 0) || fence_status(fence))
		return "the fence has ended";
	/* This waits for the fence. The processor has the next picture from then on. */
	if (dmabuf_begin(next, DMA_BUF_SYNC_RW))
		return "DMA_BUF_IOCTL_SYNC";
	return NULL;
}

/* A process without rights does what it can, and is stopped then with all that it has. */
static void be_unprivileged(const struct paths *paths, const int dmabufs[2], int fence)
{
	const char *wrong = drop_rights() ? "no other user" : NULL;

	wrong = wrong ? wrong : open_all(paths, false);
	wrong = wrong ? wrong : try_signals(dmabufs[0], fence);
	wrong = wrong ? wrong : try_delays(dmabufs[0], dmabufs[1], fence);
	if (wrong) {
		printf("# unprivileged: %s: %s\n", wrong, strerror(errno));
		fflush(stdout);
		_exit(1);
	}
	raise(SIGSTOP);
	_exit(0);
}

TEST_F_TIMEOUT(rights, without_rights, CASE_S)
{
	const int dmabufs[2] = { job_picture(&self->file, 0)->dmabuf,
				 job_picture(&self->file, 1)->dmabuf };
	struct fences fences;
	struct paths paths;
	int status;
	pid_t child;

	fences_init(&fences);
	ASSERT_EQ(0, find_paths(&paths, &self->file));
	ASSERT_EQ(!!variant->kind->controls, !!paths.path[MEDIA][0]);
	/* With the rights it is possible: these are the right files. */
	EXPECT_EQ(NULL, open_all(&paths, true));
	ASSERT_EQ(0, knob_set(self->dev, "delay_us", LONG_JOB_US));
	ASSERT_EQ(0, job_start(&self->file, 0, 1));
	ASSERT_EQ(0, fences_take(&self->file, 0, &fences));
	ASSERT_EQ(0, fence_status(fences.picture));
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		be_unprivileged(&paths, dmabufs, fences.picture);
	EXPECT_EQ(1, fences_wait(&fences, SOON_MS));
	EXPECT_EQ(0, job_end(&self->file, 0, 1, SOON_MS));
	ASSERT_EQ(child, waitpid(child, &status, WUNTRACED));
	ASSERT_TRUE(WIFSTOPPED(status));
	EXPECT_EQ(0, job_run(&self->file, 1, 2));
	EXPECT_EQ(0, job_run(&self->file, 0, 3));
	EXPECT_EQ(0, jobs_stop(&self->file));
	EXPECT_EQ(0, jobs_go(&self->file));
	EXPECT_EQ(0, job_run(&self->file, 0, 4));
	EXPECT_EQ(0, kill(child, SIGKILL));
	EXPECT_EQ(child, waitpid(child, &status, 0));
	fences_close(&fences);
}

/*
 * The timeline of the only fence of a sync_file, which is one of videobuf2. False if what all of
 * its holders may read is anything else.
 */
static bool timeline_of(int fence, const char *prefix, char timeline[32])
{
	struct sync_fence_info infos[2] = {};
	struct sync_file_info info = {
		.num_fences = ARRAY_COUNT(infos),
		.sync_fence_info = (unsigned long)infos,
	};

	if (ioctl(fence, SYNC_IOC_FILE_INFO, &info) || info.num_fences != 1)
		return false;
	memcpy(timeline, infos[0].obj_name, 32);
	return !strcmp(infos[0].driver_name, "videobuf2") &&
	       !strncmp(timeline, prefix, strlen(prefix)) && !has_address(timeline) &&
	       !has_address(info.name);
}

/**
 * struct named - a fence, and what it may be called
 * @timeline: name of its queue
 * @index: of its buffer
 * @dmabuf: of its buffer, by its number in bufinfo
 * @usage: there
 * @context: as the event that armed it has it
 * @seqno: the same
 * @armed: how often the trace says so
 * @signalled: how often the trace says so
 * @dma_fence: events of dma_fence
 * @listed: how often bufinfo has it
 */
struct named {
	char timeline[32];
	unsigned int index;
	unsigned long dmabuf;
	const char *usage;
	unsigned long long context;
	unsigned long long seqno;
	unsigned int armed;
	unsigned int signalled;
	unsigned int dma_fence;
	unsigned int listed;
};

#define NAMED	4

/* A job's two fences, from its sync_files. */
static bool name_job(struct named *named, struct jobs *jobs, unsigned int slot)
{
	const int dmabufs[2] = { job_picture(jobs, slot)->dmabuf, job_input(jobs, slot)->dmabuf };
	struct fences fences;
	unsigned int i;
	bool good;

	memset(named, 0, 2 * sizeof(*named));
	fences_init(&fences);
	good = !fences_take(jobs, slot, &fences) &&
	       timeline_of(fences.picture, "cap-", named[0].timeline) &&
	       timeline_of(fences.input, "out-", named[1].timeline) &&
	       !fence_status(fences.picture);
	fences_close(&fences);
	for (i = 0; i < 2; i++) {
		struct stat stat = {};

		good = good && !fstat(dmabufs[i], &stat);
		named[i].dmabuf = stat.st_ino;
		named[i].index = slot;
		named[i].usage = i ? "read" : "write";
	}
	return good;
}

static struct named *by_timeline(struct named *named, const char *timeline)
{
	unsigned int i;

	for (i = 0; i < NAMED; i++)
		if (!strcmp(named[i].timeline, timeline))
			return &named[i];
	return NULL;
}

/* A line of the trace, or NULL if it is as it should be. */
static const char *check_event(struct named *named, char *line)
{
	unsigned long long context, seqno;
	char timeline[64], event[32];
	unsigned int index;
	struct named *fence;
	char *text;

	if (line[0] == '#')
		return NULL;
	if (has_address(line))
		return "an address";
	text = strstr(line, "vb2_release_fence_");
	if (text) {
		if (sscanf(text + strlen("vb2_release_fence_"),
			   "%31[a-z]: queue=%63s index=%u context=%llu seqno=%llu", event,
			   timeline, &index, &context, &seqno) != 5)
			return "another form";
		fence = by_timeline(named, timeline);
		if (!fence || fence->index != index)
			return "another queue's name";
		if (!fence->armed) {
			fence->context = context;
			fence->seqno = seqno;
		}
		if (fence->context != context || fence->seqno != seqno)
			return "another fence";
		fence->armed += !strcmp(event, "armed");
		fence->signalled += !strcmp(event, "signalled");
		return NULL;
	}
	text = strstr(line, "driver=videobuf2");
	if (!text)
		return NULL;
	if (sscanf(text, "driver=videobuf2 timeline=%63s context=%llu seqno=%llu", timeline,
		   &context, &seqno) != 3)
		return "another form";
	/* Those that are not in the list were made before, for other queues. */
	for (fence = named; fence < named + NAMED; fence++) {
		if (fence->context != context)
			continue;
		if (strcmp(fence->timeline, timeline) || fence->seqno != seqno)
			return "another timeline's name";
		fence->dma_fence++;
	}
	return NULL;
}

/* What is wrong in a file is printed; the number of lines in which something is. */
static unsigned int check_trace(struct named *named)
{
	unsigned int round, wrong = 0;
	char line[512];

	/* The first events of dma_fence are assigned to a fence in the second round only. */
	for (round = 0; round < 2; round++) {
		FILE *file = fopen(TRACE "/trace", "re");
		struct named *fence;

		for (fence = named; fence < named + NAMED; fence++) {
			fence->armed = 0;
			fence->signalled = 0;
			fence->dma_fence = 0;
		}
		if (!file)
			return 1;
		while (fgets(line, sizeof(line), file)) {
			const char *what = check_event(named, line);

			if (!what || !round)
				continue;
			printf("# %s: %s", what, line);
			wrong++;
		}
		fclose(file);
	}
	return wrong;
}

static unsigned int check_bufinfo(struct named *named)
{
	FILE *file = fopen(BUFINFO, "re");
	char line[256], usage[16], driver[64], timeline[64];
	unsigned int i, wrong = 0;
	unsigned long dmabuf = 0;

	if (!file)
		return 1;
	while (fgets(line, sizeof(line), file)) {
		bool bad = has_address(line);

		if (sscanf(line, "%*u %*x %*x %*d %*s %lu", &dmabuf) != 1 &&
		    sscanf(line, " %15s fence:%63s %63s", usage, driver, timeline) == 3)
			for (i = 0; i < NAMED; i++) {
				if (named[i].dmabuf != dmabuf)
					continue;
				bad = bad || strcmp(usage, named[i].usage) ||
				      strcmp(driver, "videobuf2") ||
				      strcmp(timeline, named[i].timeline);
				named[i].listed++;
			}
		if (bad)
			printf("# bufinfo: %s", line);
		wrong += bad;
	}
	fclose(file);
	return wrong;
}

/*
 * A holder of a sync_file may read names, and so may a reader of traces and debugfs: they tell
 * driver and queue of a fence, and no more. Two files have jobs at once, and their names are not
 * mixed up.
 */
TEST_F_TIMEOUT(rights, to_names, CASE_S)
{
	struct named named[NAMED];
	const long started = knob_get(variant->kind->dev, "jobs");
	struct jobs other;
	unsigned int i;

	EXPECT_TRUE(has_address("cap-ffff888003a2c000"));
	EXPECT_TRUE(has_address("context=18446612682070867968"));
	EXPECT_FALSE(has_address("cap-00000000ad282b00"));
	ASSERT_EQ(0, jobs_open(&other, variant->kind));
	rmdir(TRACE);
	ASSERT_EQ(0, mkdir(TRACE, 0700));
	ASSERT_EQ(0, write_text(TRACE "/buffer_size_kb", "4096"));
	ASSERT_EQ(0, write_text(TRACE "/events/vb2/enable", "1"));
	ASSERT_EQ(0, write_text(TRACE "/events/dma_fence/enable", "1"));
	ASSERT_EQ(0, knob_set(self->dev, "delay_us", LONG_JOB_US));

	/* The second job has no fences before it starts. */
	ASSERT_EQ(0, job_start(&self->file, 0, 1));
	ASSERT_EQ(0, job_start(&other, 1, 2));
	ASSERT_TRUE(name_job(named, &self->file, 0));
	EXPECT_EQ(0, job_end(&self->file, 0, 1, SOON_MS));
	ASSERT_TRUE(knob_reaches(self->dev, "jobs", started + 2, SOON_MS));
	ASSERT_TRUE(name_job(named + 2, &other, 1));
	EXPECT_STRNE(named[0].timeline, named[2].timeline);
	EXPECT_STRNE(named[1].timeline, named[3].timeline);
	EXPECT_EQ(0, check_bufinfo(named));
	EXPECT_EQ(0, job_end(&other, 1, 2, SOON_MS));

	EXPECT_EQ(0, check_trace(named));
	for (i = 0; i < NAMED; i++) {
		const struct named *fence = &named[i];

		EXPECT_EQ(1, fence->listed);
		EXPECT_EQ(1, fence->armed);
		EXPECT_EQ(1, fence->signalled);
		/* Made and signalled, at least. */
		EXPECT_LE(2, fence->dma_fence);
	}
	jobs_close(&other);
	EXPECT_EQ(0, rmdir(TRACE));
}

TEST_HARNESS_MAIN
