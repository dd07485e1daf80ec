// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shows bugs of Linux 6.12 that release fences neither make nor mend, on the emulated blocks. No
 * test: 0 is "the bug is there". Documentation/driver-api/media/v4l2-release-fences.rst tells of
 * each.
 */

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
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
/* How long two threads race with one another. */
#define RACE_MS		60000

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

/**
 * struct race - QBUF into a request, against an ioctl of that request
 * @request: the request
 * @against: MEDIA_REQUEST_IOC_QUEUE or MEDIA_REQUEST_IOC_REINIT
 * @ended: how often that has ended
 * @refused: it said that it does not like the buffer
 * @over: no more of it
 */
struct race {
	int request;
	unsigned long against;
	atomic_uint ended;
	atomic_bool refused;
	atomic_bool over;
};

static void *go_against(void *data)
{
	struct race *race = data;

	while (!atomic_load(&race->over)) {
		if (ioctl(race->request, race->against) && errno == EINVAL) {
			/* The kernel has warned, and does so each time. */
			atomic_store(&race->refused, true);
			break;
		}
		atomic_fetch_add(&race->ended, 1);
	}
	return NULL;
}

/* Waits until the other thread's ioctl has begun and ended after what this one has done. */
static void let_it_pass(struct race *race, long long end)
{
	const unsigned int before = atomic_load(&race->ended);

	while (atomic_load(&race->ended) - before < 2 && !atomic_load(&race->refused) &&
	       now_ms() < end)
		;
}

/* Whether the buffer is in a request, which it leaves by STREAMOFF. */
static bool is_stuck(struct jobs *jobs)
{
	struct v4l2_plane plane = {};
	struct v4l2_buffer buf = {
		.type = m2m_type(&jobs->m2m, M2M_OUTPUT),
		.memory = V4L2_MEMORY_MMAP,
		.m.planes = &plane,
		.length = 1,
	};

	return !ioctl(jobs->m2m.fd, VIDIOC_QUERYBUF, &buf) &&
	       (buf.flags & V4L2_BUF_FLAG_IN_REQUEST);
}

/* QBUF sets the buffer's state when the request may already be used by others. */
static int race_qbuf(struct jobs *jobs, const char *name, unsigned long against)
{
	const bool queues = against == MEDIA_REQUEST_IOC_QUEUE;
	struct race race = { .request = jobs->requests[0], .against = against };
	const long long start = now_ms(), end = start + RACE_MS;
	unsigned int done = 0;
	bool met = false;
	pthread_t thread;
	int ret = 0;

	ret = -pthread_create(&thread, NULL, go_against, &race);
	if (ret)
		return ret;
	while (!ret && !met && now_ms() < end) {
		ret = job_qbuf_input(jobs, 0, 1, 0);
		if (ret == -EINVAL && !queues)
			met = is_stuck(jobs);
		/* The other one is using the request. */
		if (ret == -EBUSY || met) {
			ret = 0;
			continue;
		}
		done += !ret;
		let_it_pass(&race, end);
		met = atomic_load(&race.refused);
		if (!ret && queues && !met) {
			ret = m2m_stream(&jobs->m2m, M2M_OUTPUT, false);
			if (!ret && ioctl(race.request, MEDIA_REQUEST_IOC_REINIT))
				ret = -errno;
		}
	}
	atomic_store(&race.over, true);
	pthread_join(thread, NULL);
	if (met)
		printf("%s: met after %u QBUF in %lld ms\n", name, done, now_ms() - start);
	fflush(stdout);
	return ret ? ret : met ? 0 : -ENOENT;
}

static int qbuf(void)
{
	struct jobs jobs;
	int ret, queued;

	ret = jobs_open_idle(&jobs, &job_h264);
	ret = ret ? ret : m2m_alloc(&jobs.m2m, M2M_OUTPUT, 1);
	if (!ret && ioctl(jobs.m2m.media, MEDIA_IOC_REQUEST_ALLOC, &jobs.requests[0]))
		ret = -errno;
	ret = ret ? ret : race_qbuf(&jobs, "REINIT", MEDIA_REQUEST_IOC_REINIT);
	queued = m2m_stream(&jobs.m2m, M2M_OUTPUT, false);
	queued = queued ? queued : race_qbuf(&jobs, "QUEUE", MEDIA_REQUEST_IOC_QUEUE);
	jobs_close(&jobs);
	return ret ? ret : queued;
}

static const struct bug {
	const char *name;
	const struct rkemu_dev *dev;
	int (*show)(void);
} bugs[] = {
	{ "memory", &rkemu_vpu, memory },
	{ "request", &rkemu_vpu, request },
	{ "qbuf", &rkemu_vpu, qbuf },
};

int main(int argc, char **argv)
{
	const struct bug *bug = NULL;
	const char *reason;
	unsigned int i;
	int ret;

	for (i = 0; i < ARRAY_COUNT(bugs) && argc == 2; i++)
		if (!strcmp(argv[1], bugs[i].name))
			bug = &bugs[i];
	if (!bug) {
		fprintf(stderr, "usage: base_bugs memory|request|qbuf\n");
		return 2;
	}
	reason = rkemu_start(bug->dev);
	if (reason) {
		fprintf(stderr, "base_bugs: %s\n", reason);
		return 2;
	}
	ret = bug->show();
	if (ret)
		fprintf(stderr, "base_bugs: %s: not seen: %s\n", bug->name, strerror(-ret));
	rkemu_bind(bug->dev, true);
	rkemu_enable(false);
	return ret ? 1 : 0;
}
