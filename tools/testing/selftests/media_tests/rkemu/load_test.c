// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests on the emulated media blocks of the RK3566, on visl and on vim2m: many jobs in many
 * contexts, with consumers that wait for all of their buffers. Every fence ends, and nothing is
 * left of any.
 *
 * LOAD_JOBS of the environment is the number of jobs of each case, LOAD_SLOW_JOBS that of one with
 * visl, which draws with the processor, and LOAD_MIXED_JOBS that of the case with all devices.
 * With LOAD_KEEPS_DMABUFS it keeps what it should not, and has to fail.
 */

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <linux/dma-buf.h>

#include "kselftest_harness.h"
#include "jobs.h"
#include "counts.h"
#include "fence_trace.h"
#include "kmemleak.h"
#include "lockdep.h"
#include "memory_use.h"

#define JOBS		200
#define MAX_CONTEXTS	32
#define RUN_S		(6 * 3600)
/* Among so many contexts a job can wait for long. */
#define PATIENCE_MS	120000
/* One picture of so many is looked at. */
#define LOOK		16
/* A visitor of all dma-bufs takes this long to give up; it comes back. */
#define VISIT_MS	100
/* How often a run of hours says how far it is. */
#define TELL_MS		60000
/* Between visits the producers have the processors. */
#define PAUSE_MS	10
/*
 * What may be in use after a case that was not before: tables of pages and the notes of KASAN and
 * kmemleak stay, and other programs run. The buffers of a case, all together, are more than that.
 */
#define KEPT_KIB	4096
/* Of this, in objects of caches. */
#define KEPT_SLAB_KIB	1024
/* An object that is lost by each job exceeds this, if processors have fewer for themselves. */
#define KEPT_OBJECTS(jobs)	((jobs) / 3)
/* kfree_rcu() may let memory lie for so long. */
#define RCU_MS		6000

/* Without a job that lasts, a consumer that comes by chance would hardly see its fences. */
#define JOB_US		2000
/* Among so many jobs it does. */
#define MEET_JOBS	1000
#define VISL_TIME_MS	"2"

struct load;

/* What contexts do, by turns. */
struct part {
	const struct job_kind *kind;
	/* Of a job: visl has them on its CAPTURE queue only. */
	unsigned int fences;
};

struct mixture {
	/* Of the environment: how many jobs there are. */
	const char *jobs;
	unsigned int count;
	struct part parts[8];
};

static const struct part *part_of(const struct mixture *mixture, unsigned int context)
{
	return &mixture->parts[context % mixture->count];
}

struct context {
	struct load *load;
	struct jobs jobs;
	pthread_t thread;
	/* Jobs, since the fences are counted. */
	unsigned int ended;
	int error;
};

struct load {
	unsigned int contexts;
	unsigned int jobs;
	struct context all[MAX_CONTEXTS];
	atomic_uint begun;
	atomic_uint ended;
	atomic_bool stop;
	unsigned int waited;
	/* How often they were opened; of all times, the jobs and the bytes of buffers. */
	unsigned int opened;
	long played;
	size_t bytes;
};

/* The next job's number, or 0 if there are enough. */
static unsigned int next_job(struct load *load)
{
	const unsigned int n = atomic_fetch_add(&load->begun, 1) + 1;

	return n <= load->jobs && !atomic_load(&load->stop) ? n : 0;
}

static int end_job(struct context *context, unsigned int slot, unsigned int n)
{
	struct pollfd pollfd = { .fd = context->jobs.m2m.fd, .events = POLLIN };
	int ret;

	/* Looking again and again, as job_end() does, is too much for 32 contexts. */
	if (poll(&pollfd, 1, PATIENCE_MS) != 1)
		return -ETIME;
	ret = job_end(&context->jobs, slot, n, PATIENCE_MS);
	if (!ret && n % LOOK == 0 && context->jobs.kind->shows &&
	    !job_shows(&context->jobs, slot, n))
		ret = -EILSEQ;
	if (!ret) {
		atomic_fetch_add(&context->load->ended, 1);
		context->ended++;
	}
	return ret;
}

/* Keeps all slots of a context busy. */
static void *work(void *data)
{
	struct context *context = data;
	unsigned int running[JOB_SLOTS] = {};
	unsigned int slot, busy = 0;

	for (slot = 0; slot < JOB_SLOTS && !context->error; slot++) {
		running[slot] = next_job(context->load);
		if (!running[slot])
			break;
		context->error = job_start(&context->jobs, slot, running[slot]);
		busy++;
	}
	for (slot = 0; busy && !context->error; slot = (slot + 1) % JOB_SLOTS) {
		if (!running[slot])
			continue;
		context->error = end_job(context, slot, running[slot]);
		running[slot] = next_job(context->load);
		if (!running[slot])
			busy--;
		else if (!context->error)
			context->error = job_start(&context->jobs, slot, running[slot]);
	}
	if (context->error)
		atomic_store(&context->load->stop, true);
	return NULL;
}

/* Takes the fence of a plane, and waits for it. Returns how it ended. */
static int wait_for_plane(struct load *load, const struct m2m_buffer *buffer)
{
	int fence = dmabuf_fence(buffer->dmabuf, DMA_BUF_SYNC_READ);
	int status;

	if (fence < 0)
		return fence;
	load->waited += !fence_status(fence);
	status = fence_wait(fence, PATIENCE_MS);
	close(fence);
	return status;
}

/* Waits for all planes of a picture, to be polled as @pollfds. Returns how many there are. */
static int wait_for_picture(struct load *load, struct jobs *jobs, unsigned int slot,
			    struct pollfd *pollfds)
{
	const struct m2m_buffer *buffer;
	int plane;

	for (plane = 0; (buffer = job_plane(jobs, M2M_CAPTURE, slot, plane)); plane++) {
		const int status = wait_for_plane(load, buffer);

		if (status != 1)
			return status ? status : -ETIME;
		pollfds[plane].fd = buffer->dmabuf;
		pollfds[plane].events = slot % 2 ? POLLIN : POLLIN | POLLOUT;
	}
	return plane;
}

/* One after the other by sync_files, then all at once by poll(). */
static int visit(struct load *load)
{
	struct pollfd pollfds[M2M_PLANES * MAX_CONTEXTS * JOB_SLOTS];
	unsigned int i, slot, count = 0;

	for (i = 0; i < load->contexts; i++) {
		for (slot = 0; slot < JOB_SLOTS; slot++) {
			const int planes = wait_for_picture(load, &load->all[i].jobs, slot,
							    &pollfds[count]);

			if (planes < 0)
				return planes;
			count += planes;
		}
	}
	return poll(pollfds, count, VISIT_MS) < 0 ? -errno : 0;
}

static int run(struct load *load)
{
	long long told = now_ms();
	unsigned int i, started = 0;
	int ret = 0;

	while (started < load->contexts && !ret) {
		struct context *context = &load->all[started];

		ret = -pthread_create(&context->thread, NULL, work, context);
		if (!ret)
			started++;
	}
	while (!ret && atomic_load(&load->ended) < load->jobs && !atomic_load(&load->stop)) {
		ret = visit(load);
		if (now_ms() - told >= TELL_MS) {
			printf("# %u of %u jobs\n", atomic_load(&load->ended), load->jobs);
			fflush(stdout);
			told = now_ms();
		}
		sleep_ms(PAUSE_MS);
	}
	if (ret)
		atomic_store(&load->stop, true);
	for (i = 0; i < started; i++) {
		pthread_join(load->all[i].thread, NULL);
		if (load->all[i].error) {
			printf("# context %u: %s\n", i, strerror(-load->all[i].error));
			ret = load->all[i].error;
		}
	}
	return ret;
}

/* A leak on purpose, to see that it is found: the dma-bufs of a slot stay. */
static int keep_dmabufs(struct jobs *jobs, unsigned int slot)
{
	if (dup(job_input(jobs, slot)->dmabuf) < 0 || dup(job_picture(jobs, slot)->dmabuf) < 0)
		return -errno;
	return 0;
}

static size_t slot_bytes(struct jobs *jobs, enum m2m_side side, unsigned int slot)
{
	const struct m2m_buffer *buffer;
	unsigned int plane;
	size_t bytes = 0;

	for (plane = 0; (buffer = job_plane(jobs, side, slot, plane)); plane++)
		bytes += buffer->size;
	return bytes;
}

/* Opens all contexts, has them do so many jobs, and closes them. */
static int run_contexts(struct load *load, const struct mixture *mixture, unsigned int jobs)
{
	const bool keeps = getenv("LOAD_KEEPS_DMABUFS");
	unsigned int i, slot;
	int ret = 0;

	load->jobs = jobs;
	atomic_store(&load->begun, 0);
	atomic_store(&load->ended, 0);
	for (i = 0; i < load->contexts && !ret; i++) {
		struct jobs *open = &load->all[i].jobs;

		ret = jobs_open(open, part_of(mixture, i)->kind);
		for (slot = 0; slot < JOB_SLOTS && !ret; slot++) {
			load->bytes += slot_bytes(open, M2M_OUTPUT, slot);
			load->bytes += slot_bytes(open, M2M_CAPTURE, slot);
			ret = keeps ? keep_dmabufs(open, slot) : 0;
		}
	}
	ret = ret ? ret : run(load);
	if (!ret && atomic_load(&load->ended) != jobs)
		ret = -EBADMSG;
	for (i = 0; i < load->contexts; i++)
		jobs_close(&load->all[i].jobs);
	load->opened++;
	load->played += jobs;
	return ret;
}

/* Opens them again and again, until all buffers together do not fit in what may be left. */
static int run_until_seen(struct load *load, const struct mixture *mixture)
{
	int ret = 0;

	while (!ret && load->bytes / 1024 <= KEPT_KIB)
		ret = run_contexts(load, mixture, load->contexts);
	return ret;
}

/* What is counted from now on. */
static void count_anew(struct load *load)
{
	unsigned int i;

	for (i = 0; i < load->contexts; i++)
		load->all[i].ended = 0;
	load->waited = 0;
	load->opened = 0;
	load->played = 0;
	load->bytes = 0;
}

/* What more is in use than before @jobs, when what RCU has to free is free. */
static int wait_for_memory(const struct memory *before, long jobs, struct memory *after,
			   struct memory_growth *growth)
{
	const long long end = now_ms() + SOON_MS;
	int ret;

	do {
		sleep_ms(RCU_MS / 6);
		ret = memory_take(after);
		if (ret)
			return ret;
		memory_compare(before, after, growth);
	} while ((growth->used_kib >= KEPT_KIB || growth->slab_kib >= KEPT_SLAB_KIB ||
		  growth->objects > KEPT_OBJECTS(jobs)) && now_ms() < end);
	return 0;
}

/* The first one: what is lost from now on counts. */
FIXTURE(begin) {
};

FIXTURE_SETUP(begin)
{
}

FIXTURE_TEARDOWN(begin)
{
}

TEST_F_TIMEOUT(begin, kmemleak, CASE_S)
{
	ASSERT_EQ(0, kmemleak_start());
}

FIXTURE(load) {
	struct load load;
	unsigned int jobs;
	long dmabufs;
	struct memory before;
	struct memory after;
};

FIXTURE_VARIANT(load) {
	const struct mixture *mixture;
	unsigned int contexts;
};

static const struct mixture rga = { "LOAD_JOBS", 1, { { &job_rga, 2 } } };
static const struct mixture rga_planes = { "LOAD_JOBS", 1, { { &job_rga_planes, 2 } } };
static const struct mixture h264 = { "LOAD_JOBS", 1, { { &job_h264, 2 } } };
static const struct mixture visl = { "LOAD_SLOW_JOBS", 1, { { &job_visl, 1 } } };
/* Devices do not wait for each other, which keeps the processors busy; the slow ones are fewer. */
static const struct mixture mixed = {
	"LOAD_MIXED_JOBS", 8, {
		{ &job_rga, 2 }, { &job_h264, 2 }, { &job_visl, 1 }, { &job_rga, 2 },
		{ &job_h264, 2 }, { &job_vim2m, 2 }, { &job_rga_planes, 2 }, { &job_h264, 2 },
	},
};

FIXTURE_VARIANT_ADD(load, rga_1) { .mixture = &rga, .contexts = 1 };
FIXTURE_VARIANT_ADD(load, rga_8) { .mixture = &rga, .contexts = 8 };
FIXTURE_VARIANT_ADD(load, rga_32) { .mixture = &rga, .contexts = 32 };
/* None of the emulated devices has a format with more than two planes. */
FIXTURE_VARIANT_ADD(load, rga_planes_8) { .mixture = &rga_planes, .contexts = 8 };
FIXTURE_VARIANT_ADD(load, h264_1) { .mixture = &h264, .contexts = 1 };
FIXTURE_VARIANT_ADD(load, h264_8) { .mixture = &h264, .contexts = 8 };
FIXTURE_VARIANT_ADD(load, h264_32) { .mixture = &h264, .contexts = 32 };
FIXTURE_VARIANT_ADD(load, visl_1) { .mixture = &visl, .contexts = 1 };
FIXTURE_VARIANT_ADD(load, visl_8) { .mixture = &visl, .contexts = 8 };
FIXTURE_VARIANT_ADD(load, visl_32) { .mixture = &visl, .contexts = 32 };
FIXTURE_VARIANT_ADD(load, mixed_32) { .mixture = &mixed, .contexts = 32 };

FIXTURE_SETUP(load)
{
	const char *const jobs = getenv(variant->mixture->jobs);
	const char *reason = device_start(&device_rga);
	struct load *load = &self->load;
	unsigned int i;

	if (reason)
		SKIP(return, "%s", reason);
	load->contexts = variant->contexts;
	self->jobs = jobs ? atoi(jobs) : JOBS;
	ASSERT_LT(0, self->jobs);
	for (i = 0; i < MAX_CONTEXTS; i++) {
		load->all[i].load = load;
		jobs_init(&load->all[i].jobs);
	}
	ASSERT_EQ(0, knob_set(&device_rga, "delay_us", JOB_US));
	ASSERT_EQ(0, knob_set(&device_vpu, "delay_us", JOB_US));
	ASSERT_EQ(0, write_text(VISL_TIME, VISL_TIME_MS));
	/* What is made once and kept: stacks of threads, what lockdep notes, KASAN's shadow. */
	ASSERT_EQ(0, run_until_seen(load, variant->mixture));
	count_anew(load);
	sleep_ms(RCU_MS);
	self->dmabufs = dmabuf_count();
	ASSERT_LE(0, self->dmabufs);
	ASSERT_EQ(0, memory_take(&self->before));
}

FIXTURE_TEARDOWN(load)
{
	EXPECT_EQ(0, write_text(VISL_TIME, "0"));
	EXPECT_EQ(0, rkemu_enable(false));
}

TEST_F_TIMEOUT(load, all_jobs, RUN_S)
{
	const long long began = now_ms();
	struct load *load = &self->load;
	struct memory_growth growth = {};
	struct fence_counts counts = {};
	long expected = 0;
	unsigned int i;

	ASSERT_EQ(0, fence_counts_start());
	EXPECT_EQ(0, run_contexts(load, variant->mixture, self->jobs));
	/* The slowest kind has its part, too. */
	for (i = 0; i < load->contexts && i < variant->mixture->count; i++)
		EXPECT_LT(0, load->all[i].ended);
	EXPECT_EQ(0, run_until_seen(load, variant->mixture));
	ASSERT_EQ(0, fence_counts_end(&counts));
	EXPECT_EQ(self->dmabufs, dmabuf_count());
	ASSERT_EQ(0, wait_for_memory(&self->before, load->played, &self->after, &growth));
	for (i = 0; i < load->contexts; i++)
		expected += load->all[i].ended * part_of(variant->mixture, i)->fences;
	printf("# %ld jobs in %u contexts, %lld s; %ld fences armed, %ld signalled, ",
	       load->played, load->contexts, (now_ms() - began) / 1000, counts.armed,
	       counts.signalled);
	printf("%ld made, %ld freed; %u seen pending\n", counts.made, counts.gone, load->waited);
	printf("# opened %u times, buffers of %zu KiB in all; %ld dma-bufs before, %ld after; ",
	       load->opened, load->bytes / 1024, self->dmabufs, dmabuf_count());
	printf("MemAvailable %+ld KiB, SUnreclaim %+ld KiB, objects of %s %+ld\n",
	       -growth.used_kib, growth.slab_kib, growth.cache, growth.objects);
	counts_operation(SUITE_LOAD, "QBUF, PREPARE_BUF", 2 * load->played);
	counts_operation(SUITE_LOAD, "start of a job", load->played);
	counts_operation(SUITE_LOAD, "end of a job", load->played);
	counts_operation(SUITE_LOAD, "callbacks of a consumer", load->waited);
	counts_fences(SUITE_LOAD, counts.armed, counts.armed - counts.signalled);
	EXPECT_EQ(expected, counts.armed);
	EXPECT_EQ(counts.armed, counts.signalled);
	EXPECT_EQ(counts.made, counts.gone);
	EXPECT_LE(counts.armed, counts.made);
	/* Of many contexts few have their jobs running, which a consumer finds by chance. */
	if (variant->contexts == 1 || self->jobs >= MEET_JOBS)
		EXPECT_LT(0, load->waited);
	EXPECT_GT(KEPT_KIB, growth.used_kib);
	EXPECT_GT(KEPT_SLAB_KIB, growth.slab_kib);
	EXPECT_GE(KEPT_OBJECTS(load->played), growth.objects);
	EXPECT_TRUE(lockdep_has_room());
}

/* The last one: of all that was before it, nothing is left. */
FIXTURE(leaks) {
};

FIXTURE_SETUP(leaks)
{
}

FIXTURE_TEARDOWN(leaks)
{
}

TEST_F_TIMEOUT(leaks, none, CASE_S)
{
	EXPECT_EQ(0, kmemleak_count(SUITE_LOAD));
}

TEST_HARNESS_MAIN
