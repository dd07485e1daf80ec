// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests on the emulated media blocks of the RK3566: in the middle of a job, everything goes away in
 * every order, while others hold what they took of the job; then they let it go in every order.
 *
 * The orders are generated. Each one is met once, with the next order of letting go; with
 * RKEMU_LIFETIMES=24 each one is met with each of these.
 */

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include <linux/dma-buf.h>

#include "kselftest_harness.h"
#include "rkemu_held.h"

/* A job ends by itself, but not before the first way out is taken. */
#define DELAY_MS	400
/* How often that is tried, if the machine is slower. */
#define TRIES		10
/* How long all orders may take, in seconds. */
#define ORDERS_S	7200

/* The ways out. After a close only the device can go. */
enum way { STOP, FREE, REMOVE, UNBIND, CLOSE, WAYS };

static const char *const way_names[] = {
	[STOP] = "STREAMOFF",
	[FREE] = "REQBUFS(0)",
	[REMOVE] = "REMOVE_BUFS",
	[UNBIND] = "unbind",
	[CLOSE] = "close",
};

struct order {
	unsigned int count;
	unsigned char steps[WAYS];
};

#define MAX_ORDERS	200
#define DROPS		24

struct orders {
	unsigned int count;
	struct order all[MAX_ORDERS];
};

/* Adds all orders that begin like @order, with ways of @left. */
static void generate(struct orders *orders, struct order *order, unsigned int left)
{
	unsigned int way;

	/* The device that is gone before the file, or after it, or stays. */
	if (left & (1 << CLOSE)) {
		order->steps[order->count++] = CLOSE;
		orders->all[orders->count++] = *order;
		if (left & (1 << UNBIND)) {
			order->steps[order->count++] = UNBIND;
			orders->all[orders->count++] = *order;
			order->count--;
		}
		order->count--;
	}
	for (way = 0; way < CLOSE; way++) {
		if (!(left & (1 << way)))
			continue;
		order->steps[order->count++] = way;
		generate(orders, order, left & ~(1 << way));
		order->count--;
	}
}

/* The order of letting go with number @n of DROPS, in @parts. */
static void drop_order(unsigned int n, enum held_part *parts)
{
	unsigned int i, j;

	for (i = 0; i < HELD_PARTS; i++)
		parts[i] = i;
	for (i = HELD_PARTS; i > 1; i--) {
		const enum held_part last = parts[i - 1];

		j = n % i;
		n /= i;
		parts[i - 1] = parts[j];
		parts[j] = last;
	}
}

/**
 * struct stage - what an order is played with
 * @dev: the device
 * @file: has one job running, number 1 in slot 0, and one waiting, number 2 in slot 1
 * @held: of the running job
 * @waiter: waits in the kernel for the picture of the running job
 * @waited: what that said
 * @dmabufs: number of dma-bufs before
 * @bound: the driver is
 * @streaming: the file is
 */
struct stage {
	const struct rkemu_dev *dev;
	struct jobs file;
	struct held held;
	pthread_t waiter;
	int waited;
	long dmabufs;
	bool bound;
	bool streaming;
};

FIXTURE(lifetime) {
	struct stage stage;
};

FIXTURE_VARIANT(lifetime) {
	const struct job_kind *kind;
	bool removes;
};

FIXTURE_VARIANT_ADD(lifetime, rga) {
	.kind = &job_rga,
};

FIXTURE_VARIANT_ADD(lifetime, h264) {
	.kind = &job_h264,
	.removes = true,
};

FIXTURE_SETUP(lifetime)
{
	const char *missing = rkemu_start(variant->kind->dev);

	if (missing)
		SKIP(return, "%s", missing);
	self->stage.dev = variant->kind->dev;
	self->stage.bound = true;
	jobs_init(&self->stage.file);
	held_init(&self->stage.held);
	ASSERT_EQ(0, rkemu_defaults(self->stage.dev));
	ASSERT_EQ(0, knob_set(self->stage.dev, "delay_us", DELAY_MS * 1000));
	self->stage.dmabufs = dmabuf_count();
	ASSERT_LE(0, self->stage.dmabufs);
	ASSERT_EQ(0, fence_trace_start());
}

FIXTURE_TEARDOWN(lifetime)
{
	EXPECT_EQ(0, rkemu_defaults(self->stage.dev));
}

static int remove_buffer(struct jobs *jobs, unsigned int index)
{
	struct v4l2_remove_buffers remove = {
		.index = index,
		.count = 1,
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE,
	};

	return ioctl(jobs->m2m.fd, VIDIOC_REMOVE_BUFS, &remove) ? -errno : 0;
}

static int free_buffers(struct jobs *jobs, unsigned int type)
{
	struct v4l2_requestbuffers request = { .type = type, .memory = V4L2_MEMORY_MMAP };

	return ioctl(jobs->m2m.fd, VIDIOC_REQBUFS, &request) ? -errno : 0;
}

/* Takes one way out; says what should have come of it, and what came. */
static int take_way(struct stage *stage, enum way way, int *expected)
{
	int ret, ret2;

	*expected = stage->bound || way == CLOSE || way == UNBIND ? 0 : -ENODEV;
	switch (way) {
	case STOP:
		stage->streaming &= !stage->bound;
		return jobs_stop(&stage->file);
	case FREE:
		if (!*expected && stage->streaming)
			*expected = -EBUSY;
		ret = free_buffers(&stage->file, V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE);
		ret2 = free_buffers(&stage->file, V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE);
		return ret == ret2 ? ret : -EBADMSG;
	case REMOVE:
		/* That of the job is in use as long as the queue streams; another one is not. */
		ret = remove_buffer(&stage->file, 2);
		ret2 = remove_buffer(&stage->file, 0);
		if (!*expected && stage->streaming)
			ret2 = ret2 == -EBUSY ? 0 : -EBADMSG;
		return ret ? ret : ret2;
	case UNBIND:
		stage->bound = false;
		return rkemu_bind(stage->dev, false);
	case CLOSE:
		jobs_close_node(&stage->file);
		stage->streaming = false;
		return 0;
	case WAYS:
		break;
	}
	return -EINVAL;
}

/* Ways after which the job does not run any more. */
static bool ends_job(enum way way, int ret)
{
	return !ret && (way == STOP || way == UNBIND || way == CLOSE);
}

/* While things go away. The events of the wait read the fence's names, too. */
static void *wait_for_picture(void *data)
{
	struct stage *stage = data;

	stage->waited = dmabuf_begin(stage->held.picture.dmabuf, DMA_BUF_SYNC_READ);
	if (!stage->waited)
		stage->waited = dmabuf_end(stage->held.picture.dmabuf, DMA_BUF_SYNC_READ);
	return NULL;
}

static const char too_slow[] = "the job is over too early";

static const char *run_order(struct stage *stage, const struct job_kind *kind,
			     const struct order *order, unsigned int drops)
{
	const long started = knob_get(stage->dev, "jobs");
	enum held_part parts[HELD_PARTS];
	bool must_end = false, waits;
	const char *wrong;
	unsigned int i;

	if (jobs_open(&stage->file, kind) || job_start(&stage->file, 0, 1) ||
	    job_start(&stage->file, 1, 2))
		return "the jobs do not start";
	if (!knob_reaches(stage->dev, "jobs", started + 1, SOON_MS))
		return "the job does not run";
	stage->streaming = true;
	if (held_take(&stage->held, &stage->file, 0))
		return "what is to be held cannot be had";
	wrong = fences_wait(&stage->held.fences, 0) ? too_slow : held_use(&stage->held, false);
	waits = !pthread_create(&stage->waiter, NULL, wait_for_picture, stage);
	if (!waits && !wrong)
		wrong = "nobody can wait for the job";
	for (i = 0; i < order->count && !wrong; i++) {
		const enum way way = order->steps[i];
		int expected;
		const int ret = take_way(stage, way, &expected);

		/* After a REQBUFS(0) there is nothing left to remove. */
		if (way == REMOVE && ret == -EINVAL && !stage->streaming)
			expected = -EINVAL;
		if (ret != expected) {
			printf("# %s: %d instead of %d\n", way_names[way], ret, expected);
			wrong = "a way out says something else";
			break;
		}
		must_end |= ends_job(way, ret);
		wrong = held_use(&stage->held, must_end);
	}
	if (!wrong && stage->held.ended[0] == 0)
		wrong = "the fence has not ended";
	/* A job that is not stopped, since something is wrong, ends by itself. */
	if (waits)
		pthread_join(stage->waiter, NULL);
	if (!wrong && stage->waited)
		wrong = "a wait for the picture fails";
	/* The test's own descriptors and mappings, so that the held ones are the last. */
	jobs_close(&stage->file);
	drop_order(drops, parts);
	for (i = 0; i < HELD_PARTS; i++) {
		if (!wrong)
			wrong = held_use(&stage->held, true);
		held_drop(&stage->held, parts[i]);
	}
	held_init(&stage->held);
	if (!stage->bound && rkemu_bind(stage->dev, true))
		return "the driver does not come back";
	stage->bound = true;
	if (!wrong && dmabuf_count() != stage->dmabufs)
		wrong = "dma-bufs are left";
	return wrong;
}

/* How often each way was taken, if nothing was wrong. */
static void print_ways(const struct orders *orders, unsigned int drops)
{
	unsigned int counts[WAYS] = {};
	unsigned int i, j;

	for (i = 0; i < orders->count; i++)
		for (j = 0; j < orders->all[i].count; j++)
			counts[orders->all[i].steps[j]] += drops;
	for (i = 0; i < WAYS; i++)
		if (counts[i])
			printf("# way %s: %u\n", way_names[i], counts[i]);
}

static void describe(const struct order *order, char *text, size_t size)
{
	unsigned int i;

	text[0] = 0;
	for (i = 0; i < order->count; i++) {
		strncat(text, i ? ", " : "", size - strlen(text) - 1);
		strncat(text, way_names[order->steps[i]], size - strlen(text) - 1);
	}
}

TEST_F_TIMEOUT(lifetime, all_orders, ORDERS_S)
{
	const char *const times = getenv("RKEMU_LIFETIMES");
	const unsigned int drops = times ? atoi(times) : 1;
	const unsigned int ways = (1 << WAYS) - 1 - (variant->removes ? 0 : 1 << REMOVE);
	struct orders orders = {};
	struct order order = {};
	unsigned int i, j, failed = 0;
	long made, left;

	ASSERT_TRUE(drops >= 1 && drops <= DROPS);
	generate(&orders, &order, ways);
	for (i = 0; i < orders.count; i++) {
		for (j = 0; j < drops; j++) {
			const unsigned int drop = (i + j) % DROPS;
			unsigned int tries = 0;
			const char *wrong;
			char text[80];

			do {
				wrong = run_order(&self->stage, variant->kind, &orders.all[i],
						  drop);
			} while (wrong == too_slow && ++tries < TRIES);
			if (!wrong)
				continue;
			describe(&orders.all[i], text, sizeof(text));
			TH_LOG("%s; then let go in order %u: %s", text, drop, wrong);
			ASSERT_GE(10, ++failed);
		}
	}
	EXPECT_EQ(0, failed);
	if (!failed)
		print_ways(&orders, drops);
	ASSERT_EQ(0, fence_trace_end(&made, &left));
	printf("# %u orders, %u ways to let go each; %ld fences, %ld left\n", orders.count, drops,
	       made, left);
	/* Picture and input of the job that ran in each. */
	EXPECT_LE(2 * orders.count * drops, made);
	EXPECT_EQ(0, left);
}

TEST_HARNESS_MAIN
