// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests on the emulated media blocks of the RK3566, and on vim2m: in the middle of a job,
 * everything goes away in every order, while consumers hold what they took of the job and let it
 * go, too: after all of that, or in between.
 *
 * The orders are generated. Each one is met once, with the next order of letting go; with
 * RKEMU_LIFETIMES=24 each one is met with each of these. In between, the next of all ways to put
 * the one order into the other is taken.
 */

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include <linux/dma-buf.h>

#include "kselftest_harness.h"
#include "consumer.h"
#include "counts.h"
#include "fence_trace.h"

/* A job ends by itself, but not before the first way out is taken. */
#define DELAY_MS	400
/* How often that is tried, if the machine is slower. */
#define TRIES		10
/* How long all orders may take, in seconds. */
#define ORDERS_S	14400

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
/* Which ways to put one order into another are met first: has no factor of any of their numbers. */
#define STRIDE		11

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

/*
 * After how many of @ways each part is let go, in their order: number @n of all that are possible,
 * and from the first one again after the last.
 */
static void spread(unsigned int ways, unsigned int n, unsigned int *after)
{
	unsigned int i, least;

	memset(after, 0, HELD_PARTS * sizeof(*after));
	while (n--) {
		i = HELD_PARTS;
		while (i && after[i - 1] == ways)
			i--;
		least = i ? after[--i] + 1 : 0;
		for (; i < HELD_PARTS; i++)
			after[i] = least;
	}
}

/**
 * struct letting_go - when the parts that are held are let go
 * @parts: in this order
 * @after: this many ways out, by the index of @parts
 * @between: in between, and nothing else has hold of them; else after all ways
 */
struct letting_go {
	enum held_part parts[HELD_PARTS];
	unsigned int after[HELD_PARTS];
	bool between;
};

/**
 * struct stage - what an order is run with
 * @kind: of the jobs
 * @file: has one job running, number 1 in slot 0, and one waiting, number 2 in slot 1
 * @held: of the running job
 * @waiter: waits in the kernel for the picture of the running job
 * @waited: what that said
 * @dmabufs: number of dma-bufs before
 * @bound: the driver is
 * @streaming: the file is
 * @unbind_ends: an unbind ends the running job
 */
struct stage {
	const struct job_kind *kind;
	struct jobs file;
	struct held held;
	pthread_t waiter;
	int waited;
	long dmabufs;
	bool bound;
	bool streaming;
	bool unbind_ends;
};

FIXTURE(lifetime) {
	struct stage stage;
};

FIXTURE_VARIANT(lifetime) {
	const struct job_kind *kind;
	bool removes;
	bool unbind_ends;
};

FIXTURE_VARIANT_ADD(lifetime, rga) {
	.kind = &job_rga,
	.unbind_ends = true,
};

FIXTURE_VARIANT_ADD(lifetime, h264) {
	.kind = &job_h264,
	.removes = true,
	.unbind_ends = true,
};

/* A device that is gone does not stop its work. */
FIXTURE_VARIANT_ADD(lifetime, vim2m) {
	.kind = &job_vim2m,
};

FIXTURE_SETUP(lifetime)
{
	const char *missing = device_start(variant->kind->dev);

	if (missing)
		SKIP(return, "%s", missing);
	self->stage.kind = variant->kind;
	self->stage.unbind_ends = variant->unbind_ends;
	self->stage.bound = true;
	jobs_init(&self->stage.file);
	held_init(&self->stage.held);
	ASSERT_EQ(0, device_defaults(variant->kind->dev));
	ASSERT_EQ(0, job_time_set(variant->kind->dev, DELAY_MS));
	self->stage.dmabufs = dmabuf_count();
	ASSERT_LE(0, self->stage.dmabufs);
	ASSERT_EQ(0, fence_trace_start());
}

FIXTURE_TEARDOWN(lifetime)
{
	EXPECT_EQ(0, device_defaults(variant->kind->dev));
}

static int remove_buffer(struct jobs *jobs, unsigned int index)
{
	struct v4l2_remove_buffers remove = {
		.index = index,
		.count = 1,
		.type = m2m_type(&jobs->m2m, M2M_CAPTURE),
	};

	return ioctl(jobs->m2m.fd, VIDIOC_REMOVE_BUFS, &remove) ? -errno : 0;
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
		ret = m2m_reqbufs(&stage->file.m2m, M2M_OUTPUT, 0);
		ret2 = m2m_reqbufs(&stage->file.m2m, M2M_CAPTURE, 0);
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
		return device_bind(stage->kind->dev, false);
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
static bool ends_job(const struct stage *stage, enum way way, int ret)
{
	return !ret && (way == STOP || way == CLOSE || (way == UNBIND && stage->unbind_ends));
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

static int start_jobs(struct stage *stage)
{
	const struct test_device *dev = stage->kind->dev;
	const long started = dev->block ? knob_get(dev, "jobs") : 0;
	int ret;

	ret = jobs_open(&stage->file, stage->kind);
	ret = ret ? ret : job_start(&stage->file, 0, 1);
	ret = ret ? ret : job_start(&stage->file, 1, 2);
	if (!ret && dev->block && !knob_reaches(dev, "jobs", started + 1, SOON_MS))
		ret = -ETIME;
	stage->streaming = true;
	return ret;
}

/* Lets go of what is next, *@gone of all, if its time has come after @ways. */
static const char *let_go(struct stage *stage, const struct letting_go *letting_go,
			  unsigned int *gone, unsigned int ways, bool must_end)
{
	const char *wrong = NULL;

	while (*gone < HELD_PARTS && letting_go->after[*gone] <= ways && !wrong) {
		wrong = held_use(&stage->held, must_end);
		held_drop(&stage->held, letting_go->parts[(*gone)++]);
	}
	return wrong;
}

/* Takes one way out, and looks at all that is held. */
static const char *go_and_look(struct stage *stage, enum way way, bool *must_end)
{
	int expected;
	const int ret = take_way(stage, way, &expected);

	/* After a REQBUFS(0) there is nothing left to remove. */
	if (way == REMOVE && ret == -EINVAL && !stage->streaming)
		expected = -EINVAL;
	if (ret != expected) {
		printf("# %s: %d instead of %d\n", way_names[way], ret, expected);
		return "a way out says something else";
	}
	*must_end |= ends_job(stage, way, ret);
	return held_use(&stage->held, *must_end);
}

static const char *run_order(struct stage *stage, const struct order *order,
			     const struct letting_go *letting_go)
{
	bool must_end = false, waits = false;
	unsigned int i, gone = 0;
	const char *wrong;

	if (start_jobs(stage))
		return "the jobs do not start";
	if (held_take(&stage->held, &stage->file, 0))
		return "what is to be held cannot be had";
	wrong = fences_wait(&stage->held.fences, 0) ? too_slow : held_use(&stage->held, false);
	if (letting_go->between) {
		/* So that the held ones are the last from the start. */
		jobs_drop_buffers(&stage->file);
	} else {
		waits = !pthread_create(&stage->waiter, NULL, wait_for_picture, stage);
		if (!waits && !wrong)
			wrong = "the thread that waits for the job cannot be made";
	}
	for (i = 0; i < order->count && !wrong; i++) {
		wrong = let_go(stage, letting_go, &gone, i, must_end);
		wrong = wrong ? wrong : go_and_look(stage, order->steps[i], &must_end);
	}
	if (!wrong && stage->held.fences.picture >= 0 && stage->held.ended[0] == 0)
		wrong = "the fence has not ended";
	/* A job that is not stopped, since something is wrong, ends by itself. */
	if (waits)
		pthread_join(stage->waiter, NULL);
	if (!wrong && waits && stage->waited)
		wrong = "a wait for the picture fails";
	jobs_close(&stage->file);
	if (!wrong)
		wrong = let_go(stage, letting_go, &gone, WAYS, true);
	for (; gone < HELD_PARTS; gone++)
		held_drop(&stage->held, letting_go->parts[gone]);
	held_init(&stage->held);
	if (!stage->bound && device_bind(stage->kind->dev, true))
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
			counts[orders->all[i].steps[j]] += 2 * drops;
	for (i = 0; i < WAYS; i++)
		if (counts[i])
			counts_operation(SUITE_LIFETIMES, way_names[i], counts[i]);
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

/* One order of going away with one of letting go, after it or in between. Whether it was right. */
static bool meet(struct __test_metadata *_metadata, struct stage *stage, const struct order *order,
		 unsigned int drop, const struct letting_go *letting_go)
{
	unsigned int tries = 0;
	const char *wrong;
	char text[80];

	do {
		wrong = run_order(stage, order, letting_go);
	} while (wrong == too_slow && ++tries < TRIES);
	if (!wrong)
		return true;
	describe(order, text, sizeof(text));
	TH_LOG("%s; let go in order %u, after %u, %u, %u and %u ways: %s", text, drop,
	       letting_go->after[0], letting_go->after[1], letting_go->after[2],
	       letting_go->after[3], wrong);
	return false;
}

TEST_F_TIMEOUT(lifetime, all_orders, ORDERS_S)
{
	const char *const times = getenv("RKEMU_LIFETIMES");
	const unsigned int drops = times ? atoi(times) : 1;
	const unsigned int ways = (1 << WAYS) - 1 - (variant->removes ? 0 : 1 << REMOVE);
	struct letting_go letting_go = {};
	struct orders orders = {};
	struct order order = {};
	unsigned int i, j, k, failed = 0;
	struct fence_events events;

	ASSERT_TRUE(drops >= 1 && drops <= DROPS);
	generate(&orders, &order, ways);
	for (i = 0; i < orders.count; i++) {
		for (j = 0; j < drops; j++) {
			const unsigned int drop = (i + j) % DROPS;

			drop_order(drop, letting_go.parts);
			letting_go.between = false;
			for (k = 0; k < HELD_PARTS; k++)
				letting_go.after[k] = orders.all[i].count;
			failed += !meet(_metadata, &self->stage, &orders.all[i], drop, &letting_go);
			letting_go.between = true;
			spread(orders.all[i].count, (i * drops + j) * STRIDE, letting_go.after);
			failed += !meet(_metadata, &self->stage, &orders.all[i], drop, &letting_go);
			ASSERT_GE(10, failed);
		}
	}
	EXPECT_EQ(0, failed);
	if (!failed)
		print_ways(&orders, drops);
	ASSERT_EQ(0, fence_trace_end(&events));
	printf("# %u orders, %u ways to let go each, twice; %ld fences, %ld left\n", orders.count,
	       drops, events.made, events.left);
	counts_operation(SUITE_LIFETIMES, "jobs", 2 * orders.count * drops);
	counts_fences(SUITE_LIFETIMES, events.made, events.left);
	/* Picture and input of the job that ran in each. */
	EXPECT_LE(4 * orders.count * drops, events.made);
	EXPECT_EQ(0, events.left);
	/* Of the threads that waited meanwhile; some may have come too late for that. */
	EXPECT_LT(0, events.waits);
}

TEST_HARNESS_MAIN
