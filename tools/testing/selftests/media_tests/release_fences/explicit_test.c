// SPDX-License-Identifier: GPL-2.0-only
/*
 * Explicit fences: a program hears that the job of a picture has started, and asks for its fence,
 * before it dequeues the picture; or queues its input with a fence. On the test driver vim2m, and
 * for the times on hantro, if its hardware is emulated.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "kselftest_harness.h"
#include "fence_trace.h"
#include "jobs.h"

#define PARAMETER	"/sys/module/vim2m/parameters/release_fences"

/* The driver's own control: how long a job takes, in milliseconds. */
#define CID_JOB_MS	(V4L2_CID_USER_BASE + 0x1000)
#define JOB_MS		400
/* The same of one of many. */
#define FRAME_MS	50
#define FRAME_NS	(FRAME_MS * 1000000LL)

#define ROUNDS		5000

#define PENDING		0

/*
 * @jobs: of an open file that is streaming
 * @fence: that a case took
 * @was_on: the parameter, to be put back; empty if it was not changed
 */
FIXTURE(explicit_fences) {
	struct jobs jobs;
	int fence;
	char was_on[8];
};

FIXTURE_VARIANT(explicit_fences) {
	bool on;
};

FIXTURE_VARIANT_ADD(explicit_fences, on) {
	.on = true,
};

FIXTURE_VARIANT_ADD(explicit_fences, off) {
	.on = false,
};

FIXTURE_SETUP(explicit_fences)
{
	struct v4l2_control job = { .id = CID_JOB_MS, .value = JOB_MS };
	const char *missing = device_start(&device_vim2m);

	jobs_init(&self->jobs);
	self->fence = -1;
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, read_text(PARAMETER, self->was_on, sizeof(self->was_on)));
	ASSERT_EQ(0, fences_set(&device_vim2m, variant->on));
	ASSERT_EQ(0, jobs_open(&self->jobs, &job_vim2m));
	ASSERT_EQ(0, ioctl(self->jobs.m2m.fd, VIDIOC_S_CTRL, &job));
}

FIXTURE_TEARDOWN(explicit_fences)
{
	close_fd(&self->fence);
	jobs_close(&self->jobs);
	if (self->was_on[0])
		EXPECT_EQ(0, write_text(PARAMETER, self->was_on));
}

/* VIDIOC_EXPFENCE; 0 or a negative error. */
static int expfence(struct jobs *jobs, enum m2m_side side, unsigned int index,
		    struct v4l2_exportfence *exp)
{
	*exp = (struct v4l2_exportfence) {
		.type = m2m_type(&jobs->m2m, side),
		.index = index,
		.flags = O_CLOEXEC,
		.fd = -1,
	};
	return ioctl(jobs->m2m.fd, VIDIOC_EXPFENCE, exp) ? -errno : 0;
}

static int subscribe(struct jobs *jobs, __u32 id)
{
	struct v4l2_event_subscription sub = { .type = V4L2_EVENT_RELEASE_FENCE, .id = id };

	return ioctl(jobs->m2m.fd, VIDIOC_SUBSCRIBE_EVENT, &sub) ? -errno : 0;
}

/* The next event, within so many milliseconds; or a negative error. */
static int next_event(struct jobs *jobs, int ms, struct v4l2_event *event)
{
	struct pollfd node = { .fd = jobs->m2m.fd, .events = POLLPRI };

	if (poll(&node, 1, ms) != 1)
		return -ETIMEDOUT;
	return ioctl(jobs->m2m.fd, VIDIOC_DQEVENT, event) ? -errno : 0;
}

/* No fence before the job; one that ends with it; the same until the picture is queued again. */
TEST_F(explicit_fences, fence)
{
	struct v4l2_exportfence exp, again;

	EXPECT_EQ(-EINVAL, expfence(&self->jobs, M2M_CAPTURE, 0, &exp));
	ASSERT_EQ(0, job_queue_picture(&self->jobs, 0));
	EXPECT_EQ(variant->on ? -EAGAIN : -EINVAL, expfence(&self->jobs, M2M_CAPTURE, 0, &exp));
	ASSERT_EQ(0, job_queue_input(&self->jobs, 0, 1, 1, 0));
	if (variant->on) {
		ASSERT_EQ(0, expfence(&self->jobs, M2M_CAPTURE, 0, &exp));
		self->fence = exp.fd;
		EXPECT_EQ(1, fence_wait(self->fence, SOON_MS));
	}
	ASSERT_EQ(0, job_end(&self->jobs, 0, 1, SOON_MS));
	if (variant->on) {
		ASSERT_EQ(0, expfence(&self->jobs, M2M_CAPTURE, 0, &again));
		EXPECT_EQ(exp.sequence, again.sequence);
		EXPECT_EQ(1, fence_status(again.fd));
		close_fd(&again.fd);
		/* Its input has one of its own. */
		ASSERT_EQ(0, expfence(&self->jobs, M2M_OUTPUT, 0, &again));
		close_fd(&again.fd);
	}
}

/* STREAMOFF takes a picture out of its job: the fence that is kept says so, and a later one. */
TEST_F(explicit_fences, cancelled)
{
	struct v4l2_exportfence exp, later;

	ASSERT_EQ(0, job_queue_picture(&self->jobs, 1));
	ASSERT_EQ(0, m2m_stream(&self->jobs.m2m, M2M_CAPTURE, false));
	if (!variant->on) {
		EXPECT_EQ(-EINVAL, expfence(&self->jobs, M2M_CAPTURE, 1, &exp));
		return;
	}
	ASSERT_EQ(0, expfence(&self->jobs, M2M_CAPTURE, 1, &exp));
	self->fence = exp.fd;
	EXPECT_EQ(-ECANCELED, fence_status(self->fence));
	ASSERT_EQ(0, expfence(&self->jobs, M2M_CAPTURE, 1, &later));
	EXPECT_EQ(exp.sequence, later.sequence);
	close_fd(&later.fd);
}

/* The event comes with the start of the job, and names the fence. */
TEST_F(explicit_fences, event)
{
	const __u32 type = m2m_type(&self->jobs.m2m, M2M_CAPTURE);
	struct v4l2_exportfence exp;
	struct v4l2_event event;

	EXPECT_EQ(-EINVAL, subscribe(&self->jobs, V4L2_BUF_TYPE_META_CAPTURE));
	EXPECT_EQ(variant->on ? 0 : -EINVAL, subscribe(&self->jobs, type));
	ASSERT_EQ(0, job_queue_picture(&self->jobs, 2));
	EXPECT_EQ(-ETIMEDOUT, next_event(&self->jobs, 0, &event));
	ASSERT_EQ(0, job_queue_input(&self->jobs, 2, 1, 1, 0));
	if (variant->on) {
		ASSERT_EQ(0, next_event(&self->jobs, SOON_MS, &event));
		EXPECT_EQ(V4L2_EVENT_RELEASE_FENCE, event.type);
		EXPECT_EQ(type, event.id);
		EXPECT_EQ(type, event.u.release_fence.type);
		EXPECT_EQ(2, event.u.release_fence.index);
		ASSERT_EQ(0, expfence(&self->jobs, M2M_CAPTURE, 2, &exp));
		self->fence = exp.fd;
		EXPECT_EQ(exp.sequence, event.u.release_fence.sequence);
	}
	ASSERT_EQ(0, job_end(&self->jobs, 2, 1, SOON_MS));
	/* One job, one event */
	EXPECT_EQ(-ETIMEDOUT, next_event(&self->jobs, 0, &event));
}

/* QBUF of the input of job 1, whose slot is 0. */
static int queue_input(struct jobs *jobs, __u32 flags, int fence)
{
	const struct m2m_qbuf how = {
		.bytes = job_input(jobs, 0)->size,
		.stamp = 1,
		.flags = flags,
		.fence = fence,
	};

	return m2m_qbuf(&jobs->m2m, M2M_OUTPUT, 0, &how);
}

/*
 * A fence that says that what was to be written is not there: no job is made of it. Buffers wait
 * for fences whether they have release fences of their own or not.
 */
TEST_F(explicit_fences, in_fence)
{
	struct v4l2_exportfence exp;

	ASSERT_EQ(0, job_fill(&self->jobs, 0, 1));
	EXPECT_EQ(-EINVAL, queue_input(&self->jobs, V4L2_BUF_FLAG_IN_FENCE, -1));
	/* How it ends depends on what the program queues next. */
	EXPECT_EQ(-EINVAL, queue_input(&self->jobs, V4L2_BUF_FLAG_OUT_FENCE, 0));
	if (variant->on) {
		ASSERT_EQ(0, job_queue_picture(&self->jobs, 1));
		ASSERT_EQ(0, m2m_stream(&self->jobs.m2m, M2M_CAPTURE, false));
		ASSERT_EQ(0, m2m_stream(&self->jobs.m2m, M2M_CAPTURE, true));
		ASSERT_EQ(0, expfence(&self->jobs, M2M_CAPTURE, 1, &exp));
		self->fence = exp.fd;
		ASSERT_EQ(-ECANCELED, fence_status(self->fence));
		ASSERT_EQ(0, job_queue_picture(&self->jobs, 0));
		ASSERT_EQ(0, queue_input(&self->jobs, V4L2_BUF_FLAG_IN_FENCE, self->fence));
		EXPECT_EQ(-EIO, job_end(&self->jobs, 0, 1, SOON_MS));
		close_fd(&self->fence);
		ASSERT_EQ(0, expfence(&self->jobs, M2M_CAPTURE, 0, &exp));
		self->fence = exp.fd;
		EXPECT_EQ(-EIO, fence_status(self->fence));

		/* One that says that it is there */
		close_fd(&self->fence);
		ASSERT_EQ(0, job_run(&self->jobs, 0, 1));
		ASSERT_EQ(0, expfence(&self->jobs, M2M_CAPTURE, 0, &exp));
		self->fence = exp.fd;
		ASSERT_EQ(0, job_queue_picture(&self->jobs, 1));
		ASSERT_EQ(0, queue_input(&self->jobs, V4L2_BUF_FLAG_IN_FENCE, self->fence));
		EXPECT_EQ(0, job_end_picture(&self->jobs, 1, 1, SOON_MS));
		EXPECT_EQ(0, job_end_input(&self->jobs, 0, 1, SOON_MS));
	}
	/* Garbage without a flag, as programs have it */
	ASSERT_EQ(0, job_queue_picture(&self->jobs, 2));
	ASSERT_EQ(0, queue_input(&self->jobs, 0, 0x55555555));
	EXPECT_EQ(0, job_end_picture(&self->jobs, 2, 1, SOON_MS));
	EXPECT_EQ(0, job_end_input(&self->jobs, 0, 1, SOON_MS));
}

/* Of this process, but for the one that is counted with. */
static int open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	if (!dir)
		return -errno;
	while (readdir(dir))
		count++;
	closedir(dir);
	return count - 1;
}

/* Every third QBUF is refused. It leaves no descriptor, and no reference to its in-fence. */
TEST_F_TIMEOUT(explicit_fences, refused, CASE_S)
{
	struct m2m_qbuf in = { .flags = V4L2_BUF_FLAG_IN_FENCE }, both;
	struct m2m *m2m = &self->jobs.m2m;
	struct v4l2_exportfence exp;
	struct fence_counts counts;
	unsigned int round;
	int open;

	if (!variant->on)
		return;
	ASSERT_EQ(0, fence_counts_start());
	ASSERT_EQ(0, job_run(&self->jobs, 1, 1));
	ASSERT_EQ(0, expfence(&self->jobs, M2M_CAPTURE, 1, &exp));
	self->fence = exp.fd;
	in.fence = exp.fd;
	both = in;
	both.flags |= V4L2_BUF_FLAG_OUT_FENCE;
	open = open_descriptors();
	ASSERT_LT(0, open);
	for (round = 0; round < ROUNDS; round++) {
		ASSERT_EQ(0, m2m_qbuf(m2m, M2M_CAPTURE, 0, &in));
		if (round % 3 == 2) {
			/* It is queued already, and no queue of vim2m gives an out-fence. */
			ASSERT_EQ(-EINVAL, m2m_qbuf(m2m, M2M_CAPTURE, 0, &in));
			ASSERT_EQ(-EINVAL, m2m_qbuf(m2m, M2M_CAPTURE, 2, &both));
		}
		ASSERT_EQ(0, m2m_stream(m2m, M2M_CAPTURE, false));
		ASSERT_EQ(0, m2m_stream(m2m, M2M_CAPTURE, true));
	}
	EXPECT_EQ(open, open_descriptors());
	close_fd(&self->fence);
	jobs_close(&self->jobs);
	EXPECT_EQ(0, fence_counts_end(&counts));
	EXPECT_LT(0, counts.made);
	EXPECT_EQ(counts.made, counts.gone);
}

/*
 * @jobs: of an open file that is streaming, and hears when a picture is begun
 * @fence: of the job
 */
FIXTURE(frames) {
	struct jobs jobs;
	int fence;
};

/* @fault: of the emulated hardware, with which a job fails; NULL if there is none */
FIXTURE_VARIANT(frames) {
	const struct job_kind *kind;
	const char *fault;
};

FIXTURE_VARIANT_ADD(frames, vim2m) {
	.kind = &job_vim2m,
};

FIXTURE_VARIANT_ADD(frames, hantro) {
	.kind = &job_h264,
	.fault = "error",
};

FIXTURE_SETUP(frames)
{
	const struct test_device *dev = variant->kind->dev;
	const char *missing = device_start(dev);

	jobs_init(&self->jobs);
	self->fence = -1;
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, device_defaults(dev));
	ASSERT_EQ(0, job_time_set(dev, FRAME_MS));
	ASSERT_EQ(0, jobs_open(&self->jobs, variant->kind));
	ASSERT_EQ(0, subscribe(&self->jobs, m2m_type(&self->jobs.m2m, M2M_CAPTURE)));
}

FIXTURE_TEARDOWN(frames)
{
	close_fd(&self->fence);
	jobs_close(&self->jobs);
	EXPECT_EQ(0, device_defaults(variant->kind->dev));
}

/* Starts job @n, and takes the fence that its event names. @begun_ns: when that was sent */
static void begin_frame(struct __test_metadata *_metadata, struct jobs *jobs, __u32 n, int *fence,
			long long *begun_ns)
{
	struct v4l2_exportfence exp;
	struct v4l2_event event;

	ASSERT_EQ(0, job_start(jobs, 0, n));
	ASSERT_EQ(0, next_event(jobs, SOON_MS, &event));
	*begun_ns = event.timestamp.tv_sec * 1000000000LL + event.timestamp.tv_nsec;
	ASSERT_EQ(0, expfence(jobs, M2M_CAPTURE, 0, &exp));
	*fence = exp.fd;
	ASSERT_EQ(0, event.u.release_fence.index);
	ASSERT_EQ(exp.sequence, event.u.release_fence.sequence);
}

/*
 * The event comes with the start of the job, the fence ends with its end, and then the picture can
 * be dequeued. A program on a busy machine may hear of the start when the job is over, so the times
 * are the kernel's.
 */
TEST_F_TIMEOUT(frames, event_and_fence, 3 * CASE_S)
{
	const unsigned int frames = frame_count();
	long long begun_ns, ended_ns, shortest_ns = 0;
	unsigned int pending = 0;
	__u32 n;

	for (n = 1; n <= frames; n++) {
		begin_frame(_metadata, &self->jobs, n, &self->fence, &begun_ns);
		if (fence_status(self->fence) == PENDING)
			pending++;
		else
			ASSERT_LE(FRAME_NS / 2, now_ns() - begun_ns);
		ASSERT_EQ(0, job_end(&self->jobs, 0, n, SOON_MS)) {
			TH_LOG("in frame %u", n);
		}
		ASSERT_EQ(1, fence_status(self->fence));
		ended_ns = fence_ended_ns(self->fence);
		ASSERT_LE(begun_ns + FRAME_NS / 2, ended_ns);
		ASSERT_LE(ended_ns, now_ns());
		if (n == 1 || ended_ns - begun_ns < shortest_ns)
			shortest_ns = ended_ns - begun_ns;
		close_fd(&self->fence);
	}
	ksft_print_msg("%u frames told of at least %lld ms before the end, %u seen pending\n",
		       frames, shortest_ns / 1000000, pending);
	/* Else it is not this that was tested, but how slow the machine is. */
	EXPECT_LE(frames, 2 * pending);
}

/* The fence says that the job has failed, and so does one that is taken after DQBUF. */
TEST_F_TIMEOUT(frames, error, CASE_S)
{
	struct v4l2_exportfence exp;
	long long begun_ns;

	if (!variant->fault)
		return;
	ASSERT_EQ(0, fault_set(variant->kind->dev, variant->fault, 1));
	begin_frame(_metadata, &self->jobs, 1, &self->fence, &begun_ns);
	EXPECT_EQ(-EIO, fence_wait(self->fence, SOON_MS));
	EXPECT_EQ(-EIO, job_end(&self->jobs, 0, 1, SOON_MS));
	close_fd(&self->fence);
	ASSERT_EQ(0, expfence(&self->jobs, M2M_CAPTURE, 0, &exp));
	self->fence = exp.fd;
	EXPECT_EQ(-EIO, fence_status(self->fence));
}

TEST_HARNESS_MAIN
