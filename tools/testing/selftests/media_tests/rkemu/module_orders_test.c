// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests on the emulated media blocks of the RK3566, and on vim2m: in the middle of a job, the file,
 * its buffers, the device and all modules of videobuf2 go away in every order, while a consumer
 * holds one thing of the job, or everything. That keeps the modules that it needs, and no other; a
 * fence keeps none.
 *
 * The orders are generated, from what may go when. Before each step, modules that are in use are
 * tried, too. Loading modules takes its time: every RKEMU_ORDER_STRIDE-th order is met, others for
 * each device and each thing; 1 means all of them. With --drivers it lists the drivers and does no
 * more.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "consumer.h"
#include "counts.h"
#include "fence_trace.h"
#include "modules.h"
#include "removal_orders.h"

/* A job ends by itself, but not before the first step is taken. */
#define JOB_MS		600
/* How often that is tried, if the machine is slower. */
#define TRIES		10
/* How long all orders may take, in seconds. */
#define ORDERS_S	7200
#define STRIDE		11

/**
 * struct stage - what an order is run with
 * @kind: of the job
 * @modules: names, by enum step
 * @file: has one job running, in slot 0
 * @held: of the job
 * @mapping: of the video node, or of a dma-buf
 * @size: of @mapping
 * @what: is held
 * @first: with which order it begins
 * @dmabufs: number of dma-bufs before
 */
struct stage {
	const struct job_kind *kind;
	const char *modules[MODULES];
	struct jobs file;
	struct held held;
	void *mapping;
	size_t size;
	enum what what;
	unsigned int first;
	long dmabufs;
};

static void describe(const struct stage *stage, const struct order *order, char *text, size_t size)
{
	static const char *const names[STEPS] = {
		[STOP] = "STREAMOFF", [FREE] = "REQBUFS(0)", [UNBIND] = "unbind", [CLOSE] = "close",
	};
	unsigned int i;

	text[0] = 0;
	for (i = 0; i < order->count; i++) {
		const unsigned int step = order->steps[i];

		strncat(text, i ? ", " : "", size - strlen(text) - 1);
		strncat(text, step < MODULES ? stage->modules[step] : names[step],
			size - strlen(text) - 1);
	}
}

static int map_node(struct stage *stage)
{
	struct m2m *m2m = &stage->file.m2m;
	struct v4l2_plane plane = {};
	struct v4l2_buffer buf = {
		.type = m2m_type(m2m, M2M_CAPTURE),
		.memory = V4L2_MEMORY_MMAP,
	};

	if (!m2m->single) {
		buf.m.planes = &plane;
		buf.length = 1;
	}
	if (ioctl(m2m->fd, VIDIOC_QUERYBUF, &buf))
		return -errno;
	stage->size = m2m->single ? buf.length : plane.length;
	stage->mapping = mmap(NULL, stage->size, PROT_READ | PROT_WRITE, MAP_SHARED, m2m->fd,
			      m2m->single ? buf.m.offset : plane.m.mem_offset);
	if (stage->mapping != MAP_FAILED)
		return 0;
	stage->mapping = NULL;
	return -errno;
}

/* Another mapping of the dma-buf, which needs its memory operations. */
static int map_dmabuf(struct stage *stage)
{
	stage->size = stage->held.picture.size;
	stage->mapping = mmap(NULL, stage->size, PROT_READ | PROT_WRITE, MAP_SHARED,
			      stage->held.picture.dmabuf, 0);
	if (stage->mapping != MAP_FAILED)
		return 0;
	stage->mapping = NULL;
	return -errno;
}

static void unmap(struct stage *stage)
{
	if (stage->mapping)
		munmap(stage->mapping, stage->size);
	stage->mapping = NULL;
}

/* Of all that can be held, only one thing stays, or all of them. */
static int hold(struct stage *stage)
{
	static const enum held_part parts[] = {
		[NOTHING] = HELD_PARTS,
		[SYNC_FILE] = HELD_FENCES,
		[MERGED] = HELD_MERGED,
		[DMABUF] = HELD_DMABUFS,
		[MAPPING] = HELD_DMABUFS,
		[FRAMEBUFFER] = HELD_FRAMEBUFFER,
		[NODE_MAPPING] = HELD_PARTS,
		[EVERYTHING] = HELD_PARTS,
	};
	int ret = held_take(&stage->held, &stage->file, 0);
	enum held_part part;

	if (!ret && stage->what == NODE_MAPPING)
		ret = map_node(stage);
	if (!ret && stage->what == MAPPING)
		ret = map_dmabuf(stage);
	for (part = 0; part < HELD_PARTS; part++)
		if (stage->what != EVERYTHING &&
		    (part != parts[stage->what] || stage->what == MAPPING))
			held_drop(&stage->held, part);
	jobs_drop_buffers(&stage->file);
	return ret;
}

static void drop(struct stage *stage)
{
	enum held_part part;

	for (part = 0; part < HELD_PARTS; part++)
		held_drop(&stage->held, part);
	held_init(&stage->held);
	unmap(stage);
}

/* Accesses the memory: only then can KASAN report that it was freed. */
static const char *use(struct stage *stage, bool must_end)
{
	const char *wrong = held_use(&stage->held, must_end);
	__u8 *data = stage->mapping;

	if (!wrong && stage->what == DMABUF && map_dmabuf(stage))
		wrong = "the dma-buf cannot be mapped";
	if (data) {
		data[0] ^= 1;
		data[stage->size - 1] ^= 1;
	}
	if (stage->what == DMABUF)
		unmap(stage);
	return wrong;
}

static int free_buffers(struct jobs *file)
{
	int ret = m2m_reqbufs(&file->m2m, M2M_OUTPUT, 0);

	return ret ? ret : m2m_reqbufs(&file->m2m, M2M_CAPTURE, 0);
}

static int take_step(struct stage *stage, enum step step)
{
	if (step < MODULES)
		return module_remove(stage->modules[step]);
	if (step == STOP)
		return jobs_stop(&stage->file);
	if (step == FREE)
		return free_buffers(&stage->file);
	if (step == UNBIND)
		return device_bind(stage->kind->dev, false);
	jobs_close_node(&stage->file);
	return 0;
}

/* What may not go now stays, and says so. */
static const char *try_others(struct stage *stage, unsigned int done)
{
	unsigned int step;

	for (step = 0; step < MODULES; step++) {
		if (done & BIT(step) || step_possible(done, step, stage->what))
			continue;
		if (module_remove(stage->modules[step]) != -EAGAIN) {
			printf("# %s\n", stage->modules[step]);
			return "a module goes away that is needed";
		}
	}
	return NULL;
}

static const char *take_steps(struct stage *stage, const struct order *order, unsigned int *done)
{
	bool must_end = false;
	const char *wrong = NULL;
	unsigned int i;

	for (i = 0; i < order->count && !wrong; i++) {
		const unsigned int step = order->steps[i];
		int ret;

		wrong = try_others(stage, *done);
		if (wrong)
			break;
		ret = take_step(stage, step);
		if (ret) {
			printf("# step %u: %d\n", i + 1, ret);
			return step < MODULES ? "a module stays that is not in use" :
						"a step fails";
		}
		*done |= BIT(step);
		must_end |= step == STOP || step == CLOSE;
		wrong = use(stage, must_end);
	}
	return wrong ? wrong : try_others(stage, *done);
}

/* All modules that are left go, in the order of the table. */
static const char *remove_all(const struct stage *stage, unsigned int done)
{
	static const char *const rest[] = { "videodev", "mc" };
	unsigned int i;

	for (i = 0; i < MODULES; i++)
		if (!(done & BIT(i)) && module_remove(stage->modules[i]))
			return stage->modules[i];
	for (i = 0; i < ARRAY_COUNT(rest); i++)
		if (module_remove(rest[i]))
			return rest[i];
	return NULL;
}

static const char too_slow[] = "the job is over too early";

static const char *run_order(struct stage *stage, const struct order *order)
{
	const char *wrong = NULL, *module;
	unsigned int done = 0;

	if (job_time_set(stage->kind->dev, JOB_MS) || jobs_open(&stage->file, stage->kind) ||
	    job_start(&stage->file, 0, 1))
		return "the job does not start";
	held_init(&stage->held);
	if (hold(stage))
		wrong = "what is to be held cannot be had";
	else if (!job_end(&stage->file, 0, 1, 0))
		wrong = too_slow;
	wrong = wrong ? wrong : take_steps(stage, order, &done);
	if (!(done & BIT(CLOSE)))
		jobs_close_node(&stage->file);
	drop(stage);

	if (wrong == too_slow)
		return wrong;
	module = remove_all(stage, done);
	if (module && !wrong) {
		printf("# %s\n", module);
		wrong = "with nothing held, a module stays";
	}
	if (module_load(stage->modules[DRIVER]) || device_bind(stage->kind->dev, true))
		return "the driver cannot be loaded again";
	if (!wrong && job_time_set(stage->kind->dev, 1))
		wrong = "the device does not come back";
	if (!wrong)
		wrong = device_works(stage->kind, 1);
	if (!wrong && dmabuf_count() != stage->dmabufs)
		wrong = "dma-bufs are left";
	return wrong;
}

static unsigned int stride(void)
{
	const char *const text = getenv("RKEMU_ORDER_STRIDE");
	const int given = text ? atoi(text) : STRIDE;

	return given > 0 ? given : 1;
}

static void all_orders(struct __test_metadata *_metadata, struct stage *stage, enum what what,
		       const char *name)
{
	struct orders orders;
	unsigned int i, step, met = 0, failed = 0;
	struct fence_events events;
	char text[160];

	stage->what = what;
	orders_generate(&orders, what);
	ASSERT_GT(MAX_ORDERS, orders.count);
	step = stride();
	ASSERT_EQ(0, fence_trace_start());
	i = (stage->first + what) % (step < orders.count ? step : orders.count);
	for (; i < orders.count; i += step, met++) {
		unsigned int tries = 0;
		const char *wrong;

		do {
			wrong = run_order(stage, &orders.all[i]);
		} while (wrong == too_slow && ++tries < TRIES);
		if (!wrong)
			continue;
		describe(stage, &orders.all[i], text, sizeof(text));
		TH_LOG("%s; %s held: %s", text, name, wrong);
		ASSERT_GE(3, ++failed);
	}
	EXPECT_EQ(0, failed);
	EXPECT_LT(0, met);
	ASSERT_EQ(0, fence_trace_end(&events));
	printf("# %s held: %u of %u orders; %ld fences, %ld left\n", name, met, orders.count,
	       events.made, events.left);
	counts_operation(SUITE_LIFETIMES, "rmmod", met);
	counts_fences(SUITE_LIFETIMES, events.made, events.left);
	/* Two of the job that ran in each, and two of the frame after it. */
	EXPECT_LE(4 * met, events.made);
	EXPECT_EQ(0, events.left);
}

FIXTURE(orders) {
	struct stage stage;
};

FIXTURE_VARIANT(orders) {
	const struct job_kind *kind;
	const char *driver;
	const char *allocator;
	unsigned int first;
};

FIXTURE_VARIANT_ADD(orders, rga) {
	.kind = &job_rga,
	.driver = "rockchip_rga",
	.allocator = "videobuf2_dma_sg",
};

FIXTURE_VARIANT_ADD(orders, h264) {
	.kind = &job_h264,
	.driver = "hantro_vpu",
	.allocator = "videobuf2_dma_contig",
	.first = 3,
};

FIXTURE_VARIANT_ADD(orders, vim2m) {
	.kind = &job_vim2m,
	.driver = "vim2m",
	.allocator = "videobuf2_vmalloc",
	.first = 7,
};

static const char *const drivers[] = { "rockchip_rga", "hantro_vpu", "vim2m" };

FIXTURE_SETUP(orders)
{
	const char *const allocators[] = {
		"videobuf2_dma_sg", "videobuf2_dma_contig", "videobuf2_vmalloc",
	};
	const char *missing = device_start(variant->kind->dev);
	unsigned int i;

	if (missing)
		SKIP(return, "%s", missing);
	if (!is_module(variant->driver) || !is_module("videobuf2_common"))
		SKIP(return, "%s or videobuf2 is built in", variant->driver);
	self->stage = (struct stage){
		.kind = variant->kind,
		.first = variant->first,
		.modules = {
			[DRIVER] = variant->driver,
			[M2M] = "v4l2_mem2mem",
			[V4L2] = "videobuf2_v4l2",
			[ALLOCATOR] = variant->allocator,
			[MEMOPS] = "videobuf2_memops",
			[COMMON] = "videobuf2_common",
		},
	};
	ASSERT_EQ(0, device_defaults(variant->kind->dev));
	/* No other users of these modules. */
	for (i = 0; i < ARRAY_COUNT(drivers); i++)
		if (strcmp(drivers[i], variant->driver) && is_module(drivers[i]))
			ASSERT_EQ(0, module_remove(drivers[i]));
	for (i = 0; i < ARRAY_COUNT(allocators); i++)
		if (strcmp(allocators[i], variant->allocator) && is_module(allocators[i]))
			ASSERT_EQ(0, module_remove(allocators[i]));
	self->stage.dmabufs = dmabuf_count();
	ASSERT_LE(0, self->stage.dmabufs);
}

FIXTURE_TEARDOWN(orders)
{
	unsigned int i;

	for (i = 0; i < ARRAY_COUNT(drivers); i++)
		EXPECT_EQ(0, module_load(drivers[i]));
	EXPECT_EQ(0, device_defaults(variant->kind->dev));
}

TEST_F_TIMEOUT(orders, nothing, ORDERS_S)
{
	all_orders(_metadata, &self->stage, NOTHING, "nothing");
}

TEST_F_TIMEOUT(orders, sync_file, ORDERS_S)
{
	all_orders(_metadata, &self->stage, SYNC_FILE, "sync file");
}

TEST_F_TIMEOUT(orders, merged_sync_file, ORDERS_S)
{
	all_orders(_metadata, &self->stage, MERGED, "merged sync file");
}

TEST_F_TIMEOUT(orders, dmabuf, ORDERS_S)
{
	all_orders(_metadata, &self->stage, DMABUF, "dmabuf");
}

TEST_F_TIMEOUT(orders, mapping, ORDERS_S)
{
	all_orders(_metadata, &self->stage, MAPPING, "mapping");
}

TEST_F_TIMEOUT(orders, framebuffer, ORDERS_S)
{
	all_orders(_metadata, &self->stage, FRAMEBUFFER, "framebuffer");
}

TEST_F_TIMEOUT(orders, mapping_of_node, ORDERS_S)
{
	all_orders(_metadata, &self->stage, NODE_MAPPING, "mapping of node");
}

TEST_F_TIMEOUT(orders, everything, ORDERS_S)
{
	all_orders(_metadata, &self->stage, EVERYTHING, "everything");
}

/* The drivers, as -v takes them: one a line. */
static int list_drivers(void)
{
	const struct __fixture_variant_metadata *driver = _orders_fixture_object.variant;

	for (; driver; driver = driver->next)
		puts(driver->name);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--drivers"))
		return list_drivers();
	return test_harness_run(argc, argv);
}
