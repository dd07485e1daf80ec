// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of visl, a decoder that decodes nothing: its pictures describe the job that drew them.
 */

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/dma-buf.h>

#include "kselftest_harness.h"
#include "alloc_ops.h"
#include "counts.h"
#include "fail_nth.h"
#include "fence_trace.h"
#include "kmemleak.h"

/* How often buffers come and go beside S_FMT. */
#define ROUNDS	50
/* More than any of the operations allocates; visl has the controls of all codecs. */
#define MANY	5000
/* More than the default timeout of fences, and what the timer adds by rounding. */
#define LONG_MS	"3500"
/* How long a sweep over all allocations may take, in seconds. */
#define SWEEP_S	900

FIXTURE(visl) {
};

FIXTURE_SETUP(visl)
{
	const char *missing = device_start(&device_vpu);

	if (missing)
		SKIP(return, "%s", missing);
}

FIXTURE_TEARDOWN(visl)
{
	EXPECT_EQ(0, write_text(VISL_TIME, "0"));
	EXPECT_EQ(0, device_defaults(&device_vpu));
}

/* What a codec's controls are by themselves is enough for visl, which decodes nothing. */
static int no_controls(int fd, int request)
{
	return 0;
}

/*
 * The fence of a picture does not depend on what it was made from. The job is over when it was
 * started, so that its fence is not seen, but counted.
 */
TEST_F_TIMEOUT(visl, every_codec, CASE_S)
{
	static const __u32 codecs[] = {
		V4L2_PIX_FMT_FWHT_STATELESS, V4L2_PIX_FMT_MPEG2_SLICE, V4L2_PIX_FMT_VP8_FRAME,
		V4L2_PIX_FMT_VP9_FRAME, V4L2_PIX_FMT_H264_SLICE, V4L2_PIX_FMT_HEVC_SLICE,
		V4L2_PIX_FMT_AV1_FRAME,
	};
	struct job_kind kind = job_visl;
	struct fence_counts counts = {};
	struct jobs jobs;
	unsigned int i;

	ASSERT_EQ(0, fence_counts_start());
	kind.controls = no_controls;
	/* The smallest one of FWHT. */
	kind.width = 640;
	kind.height = 360;
	for (i = 0; i < ARRAY_COUNT(codecs); i++) {
		kind.input = codecs[i];
		ASSERT_EQ(0, jobs_open(&jobs, &kind));
		ASSERT_EQ(codecs[i], jobs.m2m.queues[M2M_OUTPUT].pix.pixelformat);
		ASSERT_EQ(0, job_start(&jobs, 0, 1));
		EXPECT_EQ(0, job_end(&jobs, 0, 1, SOON_MS));
		EXPECT_EQ(1, dmabuf_ready(job_picture(&jobs, 0)->dmabuf, POLLIN | POLLOUT, 0));
		jobs_close(&jobs);
	}
	ASSERT_EQ(0, fence_counts_end(&counts));
	EXPECT_EQ(ARRAY_COUNT(codecs), counts.armed);
	EXPECT_EQ(counts.armed, counts.signalled);
	EXPECT_EQ(counts.made, counts.gone);
}

static void *start_job(void *data)
{
	const int ret = job_start(data, 0, 1);

	return (void *)(long)ret;
}

/* For jobs that take longer than the default timeout, visl asks for a longer one. */
TEST_F_TIMEOUT(visl, long_job, CASE_S)
{
	const long long give_up = now_ms() + SOON_MS;
	pthread_t thread;
	struct jobs jobs;
	int fence, picture;
	void *ret;

	ASSERT_EQ(0, write_text(VISL_TIME, LONG_MS));
	ASSERT_EQ(0, jobs_open(&jobs, &job_visl));
	picture = job_picture(&jobs, 0)->dmabuf;
	/* The job is over when it was started. */
	ASSERT_EQ(0, pthread_create(&thread, NULL, start_job, &jobs));
	while (dmabuf_ready(picture, POLLIN, 0) && now_ms() < give_up)
		sleep_ms(1);
	fence = dmabuf_fence(picture, DMA_BUF_SYNC_READ);
	EXPECT_EQ(0, fence_status(fence));
	EXPECT_EQ(1, fence_wait(fence, SOON_MS));
	ASSERT_EQ(0, pthread_join(thread, &ret));
	EXPECT_EQ(NULL, ret);
	EXPECT_EQ(0, job_end(&jobs, 0, 1, SOON_MS));
	close_fd(&fence);
	jobs_close(&jobs);
}

/* A request that waits for a picture has controls of its file, which is closed. */
TEST_F_TIMEOUT(visl, closed_while_waiting, CASE_S)
{
	struct jobs jobs;

	ASSERT_EQ(0, jobs_open(&jobs, &job_visl));
	EXPECT_EQ(0, job_queue_input(&jobs, 0, 1, 1, 0));
	EXPECT_EQ(0, poll(&(struct pollfd){ .fd = jobs.requests[0], .events = POLLPRI }, 1, 0));
	m2m_close_node(&jobs.m2m);
	EXPECT_EQ(1, poll(&(struct pollfd){ .fd = jobs.requests[0], .events = POLLPRI }, 1, 0));
	jobs_close(&jobs);
}

/* How often S_FMT was allowed, and how often it was not. */
struct changing {
	struct m2m *m2m;
	atomic_bool over;
	unsigned int set;
	unsigned int busy;
	unsigned int other;
};

/* It is the same format each time, but what the pictures are drawn with is made anew. */
static void *change_format(void *data)
{
	struct changing *changing = data;
	struct v4l2_format format = { .type = m2m_type(changing->m2m, M2M_CAPTURE) };

	format.fmt.pix_mp = changing->m2m->queues[M2M_CAPTURE].pix;
	while (!atomic_load(&changing->over)) {
		if (!ioctl(changing->m2m->fd, VIDIOC_S_FMT, &format))
			changing->set++;
		else if (errno == EBUSY)
			changing->busy++;
		else
			changing->other++;
	}
	return NULL;
}

/*
 * S_FMT asks whether there are pictures, and takes its time then. Those that come in the meantime,
 * and the job that waits for them, must not see a format that is half set.
 */
TEST_F_TIMEOUT(visl, format_beside_buffers, CASE_S)
{
	struct changing changing = {};
	struct job_kind kind = job_visl;
	struct jobs jobs;
	pthread_t thread;
	unsigned int i;

	/* What pictures are drawn with grows with their width alone. */
	kind.width = 4096;
	ASSERT_EQ(0, jobs_open_idle(&jobs, &kind));
	ASSERT_EQ(0, m2m_alloc(&jobs.m2m, M2M_OUTPUT, 1));
	ASSERT_EQ(0, m2m_alloc(&jobs.m2m, M2M_CAPTURE, 1));
	ASSERT_EQ(0, jobs_go(&jobs));
	changing.m2m = &jobs.m2m;
	ASSERT_EQ(0, pthread_create(&thread, NULL, change_format, &changing));
	for (i = 1; i <= ROUNDS; i++) {
		ASSERT_EQ(0, m2m_stream(&jobs.m2m, M2M_CAPTURE, false));
		ASSERT_EQ(0, m2m_reqbufs(&jobs.m2m, M2M_CAPTURE, 0));
		ASSERT_EQ(0, job_queue_input(&jobs, 0, i, i, 0));
		/* There is time for S_FMT. */
		usleep(1000 * (i % 8));
		ASSERT_EQ(1, m2m_reqbufs(&jobs.m2m, M2M_CAPTURE, 1));
		ASSERT_EQ(0, m2m_stream(&jobs.m2m, M2M_CAPTURE, true));
		ASSERT_EQ(0, job_queue_picture(&jobs, 0));
		ASSERT_EQ(0, job_end(&jobs, 0, i, SOON_MS));
	}
	atomic_store(&changing.over, true);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_LT(0, changing.set);
	EXPECT_LT(0, changing.busy);
	EXPECT_EQ(0, changing.other);
	jobs_close(&jobs);
}

FIXTURE(visl_nomem) {
	struct stage stage;
	unsigned int stride;
};

FIXTURE_SETUP(visl_nomem)
{
	const char *missing = device_start(&device_vpu);

	missing = missing ? missing : fail_start();
	if (missing)
		SKIP(return, "%s", missing);
	self->stride = fail_stride();
	ASSERT_LT(0, self->stride);
	self->stage.kind = &job_visl;
	self->stage.memory = V4L2_MEMORY_MMAP;
	jobs_init(&self->stage.file);
	jobs_init(&self->stage.donor);
	ASSERT_EQ(0, kmemleak_start());
	ASSERT_EQ(0, fence_counts_start());
}

FIXTURE_TEARDOWN(visl_nomem)
{
	struct fence_counts counts;

	fail_stop();
	jobs_close(&self->stage.file);
	EXPECT_EQ(0, fence_counts_end(&counts));
	EXPECT_LT(0, counts.armed);
	EXPECT_EQ(counts.armed, counts.signalled);
	EXPECT_EQ(counts.made, counts.gone);
	EXPECT_EQ(0, kmemleak_count(SUITE_FAULTS));
	EXPECT_EQ(0, device_defaults(&device_vpu));
}

/* A file that is opened can do jobs, or open() says that it cannot. */
TEST_F_TIMEOUT(visl_nomem, open, SWEEP_S)
{
	unsigned int nth, refused = 0, done_without = 0;
	struct jobs *jobs = &self->stage.file;
	int ret, ended = 1;

	for (nth = 1; nth < MANY && ended; nth += self->stride) {
		ASSERT_EQ(0, op_open.before(&self->stage));
		ASSERT_EQ(0, fail_begin(nth));
		ret = op_open.act(&self->stage);
		ended = fail_end();
		ASSERT_LE(0, ended);
		if (ret) {
			ASSERT_EQ(-ENOMEM, ret);
			ASSERT_EQ(1, ended);
			refused++;
		} else {
			done_without += ended;
			ASSERT_EQ(0, op_open.after(&self->stage));
			ASSERT_EQ(0, job_start(jobs, 0, nth));
			ASSERT_EQ(0, job_end(jobs, 0, nth, SOON_MS)) {
				TH_LOG("after allocation %u of open() had failed", nth);
			}
		}
		jobs_close(jobs);
	}
	TH_LOG("%u allocations: open() failed without %u of them", refused + done_without, refused);
	counts_operation(SUITE_FAULTS, "open", refused);
	EXPECT_GT(MANY, nth);
	EXPECT_LT(0, refused);
}

/*
 * An S_FMT that failed for want of memory has left what the pictures were drawn with before, or
 * nothing to draw with: no job may start then.
 */
TEST_F_TIMEOUT(visl_nomem, format, SWEEP_S)
{
	struct jobs *jobs = &self->stage.file;
	unsigned int nth, kept = 0, refused = 0;
	int ret, ended = 1;

	ASSERT_EQ(0, jobs_open_idle(jobs, &job_visl));
	ASSERT_EQ(0, m2m_alloc(&jobs->m2m, M2M_OUTPUT, 1));
	ASSERT_EQ(0, m2m_alloc(&jobs->m2m, M2M_CAPTURE, 1));
	ASSERT_EQ(0, jobs_go(jobs));
	ASSERT_EQ(0, m2m_stream(&jobs->m2m, M2M_CAPTURE, false));
	ASSERT_EQ(0, m2m_free(&jobs->m2m, M2M_CAPTURE));
	for (nth = 1; nth < MANY && ended; nth += self->stride) {
		ASSERT_EQ(0, fail_begin(nth));
		ret = m2m_format(&jobs->m2m, M2M_CAPTURE, job_visl.picture, job_visl.width,
				 job_visl.height, 0);
		ended = fail_end();
		ASSERT_LE(0, ended);
		ASSERT_TRUE(!ret || (ret == -ENOMEM && ended));
		/* If it has not failed, that is the last one or one that it can do without. */
		ASSERT_EQ(0, m2m_alloc(&jobs->m2m, M2M_CAPTURE, 1));
		ASSERT_EQ(0, job_queue_picture(jobs, 0));
		if (m2m_stream(&jobs->m2m, M2M_CAPTURE, true)) {
			ASSERT_EQ(-ENOMEM, ret);
			refused++;
		} else {
			kept += !!ret;
			ASSERT_EQ(0, job_queue_input(jobs, 0, nth, nth, 0));
			ASSERT_EQ(0, job_end(jobs, 0, nth, SOON_MS)) {
				TH_LOG("after allocation %u of S_FMT had failed", nth);
			}
			ASSERT_EQ(0, m2m_stream(&jobs->m2m, M2M_CAPTURE, false));
		}
		ASSERT_EQ(0, m2m_free(&jobs->m2m, M2M_CAPTURE));
	}
	TH_LOG("S_FMT failed %u times: STREAMON refused %u times", kept + refused, refused);
	counts_operation(SUITE_FAULTS, "S_FMT", kept + refused);
	EXPECT_GT(MANY, nth);
	EXPECT_LT(0, refused);
}

TEST_HARNESS_MAIN
