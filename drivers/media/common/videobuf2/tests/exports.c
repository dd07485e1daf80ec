// SPDX-License-Identifier: GPL-2.0-only
/*
 * MMAP buffers that are exported: each export is a dma-buf of its own, with a reservation object of
 * its own, and the fence of a job is in all of them. With every allocator.
 */

#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/iosys-map.h>
#include <linux/path.h>
#include <linux/rcupdate.h>
#include <linux/workqueue.h>
#include <media/videobuf2-dma-contig.h>
#include <media/videobuf2-dma-sg.h>
#include <media/videobuf2-vmalloc.h>

#include "../videobuf2-release-fence-internal.h"
#include "exports.h"

struct allocator {
	const char *name;
	const struct vb2_mem_ops *mem_ops;
	bool needs_device;
};

static const struct allocator allocators[] = {
	{ "vmalloc", &vb2_vmalloc_memops },
#if IS_REACHABLE(CONFIG_VIDEOBUF2_DMA_CONTIG)
	{ "dma-contig", &vb2_dma_contig_memops, true },
#endif
#if IS_REACHABLE(CONFIG_VIDEOBUF2_DMA_SG)
	{ "dma-sg", &vb2_dma_sg_memops, true },
#endif
};

KUNIT_ARRAY_PARAM_DESC(allocator, allocators, name);

static struct mock_queue *open_allocator(struct kunit *test, bool opted_out)
{
	const struct allocator *allocator = test->param_value;

	return MOCK_OPEN(test, .mem_ops = allocator->mem_ops, .planes = 2, .buffers = 2,
			 .dev = allocator->needs_device ? mock_device(test) : NULL,
			 .opted_out = opted_out);
}

static bool has_mode(struct dma_buf *dbuf, fmode_t mode)
{
	return dbuf->file->f_mode & mode;
}

/* With each access mode of EXPBUF: the fourth one allows neither, as in open(). */
static const unsigned int modes[] = { O_RDONLY, O_WRONLY, O_RDWR, O_ACCMODE };

static void before_during_and_after(struct kunit *test)
{
	struct mock_queue *mq = open_allocator(test, false);
	struct dma_buf *dbuf[VB2_PLANE_RESVS + 2];
	struct dma_fence *fence;
	unsigned int i;

	dbuf[0] = mock_export(mq, 0, 0);
	dbuf[1] = mock_export(mq, 0, 0);
	mock_run(mq);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, dbuf[0]);
	/* The other plane, and more exports than there are objects */
	dbuf[2] = mock_export(mq, 0, 1);
	for (i = 3; i < ARRAY_SIZE(dbuf); ++i)
		dbuf[i] = mock_export(mq, 0, 0);
	for (i = 0; i < ARRAY_SIZE(dbuf); ++i) {
		KUNIT_EXPECT_TRUE(test, mock_reader_waits(dbuf[i]));
		KUNIT_EXPECT_PTR_EQ(test, fence, mock_seen(test, dbuf[i]));
		KUNIT_EXPECT_EQ(test, 1, mock_count(test, dbuf[i]));
	}

	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(fence));
	for (i = 0; i < ARRAY_SIZE(dbuf); ++i)
		KUNIT_EXPECT_EQ(test, 0, mock_count(test, dbuf[i]));
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, mock_export(mq, 0, 1)));

	/* The next job is seen through all of them, too. */
	KUNIT_ASSERT_EQ(test, 0, mock_dqbuf(mq));
	mock_qbuf(mq, 0);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	for (i = 0; i < ARRAY_SIZE(dbuf); ++i)
		KUNIT_EXPECT_TRUE(test, mock_reader_waits(dbuf[i]));
}

/* Programs, and GPU drivers, may take two exports of a plane for two buffers, as in 6.12. */
static void own_file_and_object(struct kunit *test)
{
	struct mock_queue *mq = open_allocator(test, false);
	struct dma_buf *dbuf[ARRAY_SIZE(modes) + 4], *again;
	unsigned int i, j;

	KUNIT_ASSERT_EQ(test, VB2_PLANE_RESVS, ARRAY_SIZE(modes));
	for (i = 0; i < ARRAY_SIZE(dbuf); ++i) {
		dbuf[i] = mock_export_mode(mq, 0, 0, modes[i % ARRAY_SIZE(modes)]);
		KUNIT_EXPECT_EQ(test, 1, file_count(dbuf[i]->file));
		for (j = 0; j < i; ++j) {
			KUNIT_EXPECT_PTR_NE(test, dbuf[j], dbuf[i]);
			/* The fifth, and those after it, share: each with another one. */
			KUNIT_EXPECT_EQ(test, i - j == VB2_PLANE_RESVS,
					dbuf[j]->resv == dbuf[i]->resv);
		}
	}
	/* What user space may do with one goes by its mode. */
	for (i = 0; i < ARRAY_SIZE(modes); ++i) {
		bool rdonly = modes[i] == O_RDONLY, wronly = modes[i] == O_WRONLY;
		bool rdwr = modes[i] == O_RDWR;

		KUNIT_EXPECT_EQ(test, rdonly || rdwr, has_mode(dbuf[i], FMODE_READ));
		KUNIT_EXPECT_EQ(test, wronly || rdwr, has_mode(dbuf[i], FMODE_WRITE));
	}

	/* An object is free when all that share it are closed. */
	mock_close(test, dbuf[1]);
	again = mock_export(mq, 0, 0);
	KUNIT_EXPECT_PTR_EQ(test, dbuf[1 + VB2_PLANE_RESVS]->resv, again->resv);
	mock_close(test, again);
	mock_close(test, dbuf[2]);
	mock_close(test, dbuf[2 + VB2_PLANE_RESVS]);
	again = mock_export(mq, 0, 0);
	for (i = 0; i < ARRAY_SIZE(dbuf); ++i) {
		if (i != 1 && i % VB2_PLANE_RESVS != 2)
			KUNIT_EXPECT_PTR_NE(test, dbuf[i]->resv, again->resv);
	}
}

static void planes_and_buffers_are_apart(struct kunit *test)
{
	struct mock_queue *mq = open_allocator(test, false);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	struct dma_buf *plane = mock_export(mq, 0, 1);
	struct dma_buf *buffer = mock_export(mq, 1, 0);

	KUNIT_EXPECT_PTR_NE(test, dbuf->resv, plane->resv);
	KUNIT_EXPECT_PTR_NE(test, dbuf->resv, buffer->resv);
	mock_run(mq);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(dbuf));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(plane));
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(buffer));
}

static void opted_out(struct kunit *test)
{
	struct mock_queue *mq = open_allocator(test, true);
	struct dma_buf *first = mock_export(mq, 0, 0);
	struct dma_buf *second = mock_export(mq, 0, 0);

	KUNIT_EXPECT_PTR_NE(test, first, second);
	KUNIT_EXPECT_PTR_NE(test, first->resv, second->resv);
	mock_run(mq);
	KUNIT_EXPECT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, first));
}

/* What importers add stays with the export that they used, and with the memory. */
static void foreign_fences(struct kunit *test)
{
	struct mock_queue *mq = open_allocator(test, false);
	struct dma_buf *theirs = mock_export(mq, 0, 0), *other = mock_export(mq, 0, 0);
	struct dma_fence *fence = mock_fence(test);

	mock_add_fence(test, theirs->resv, fence, DMA_RESV_USAGE_WRITE);
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(theirs));
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, other));
	mock_run(mq);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_EQ(test, 2, mock_count(test, theirs));
	KUNIT_EXPECT_EQ(test, 1, mock_count(test, other));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(theirs));
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(other));

	/* The next export of this memory has to wait for it as well. */
	mock_close(test, theirs);
	theirs = mock_export(mq, 0, 0);
	KUNIT_EXPECT_PTR_EQ(test, fence, mock_seen(test, theirs));
	dma_fence_signal(fence);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(theirs));
}

/* Programs that export each frame do not bring more objects into use. */
static void object_is_given_back(struct kunit *test)
{
	struct mock_queue *mq = open_allocator(test, false);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	struct dma_resv *resv = dbuf->resv;
	unsigned int round;

	for (round = 0; round < 20; ++round) {
		KUNIT_ASSERT_PTR_EQ(test, resv, dbuf->resv);
		KUNIT_ASSERT_EQ(test, 1, file_count(dbuf->file));
		mock_close(test, dbuf);
		dbuf = mock_export(mq, 0, 0);
	}
}

static void fence_stays_when_export_goes(struct kunit *test)
{
	struct mock_queue *mq = open_allocator(test, false);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	struct dma_fence *fence;

	mock_run(mq);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	fence = mock_seen(test, dbuf);
	mock_close(test, dbuf);

	/* The memory is still being written, also for a later export. */
	dbuf = mock_export(mq, 0, 0);
	KUNIT_EXPECT_PTR_EQ(test, fence, mock_seen(test, dbuf));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));
}

/* An export, and a job that is armed, in other threads. */
struct growth {
	struct work_struct export, attach;
	struct vb2_buffer *vb;
	struct dma_buf *dbuf;
	int attached;
};

static void export_one_more(struct work_struct *work)
{
	struct growth *growth = container_of(work, struct growth, export);

	growth->dbuf = mock_expbuf(growth->vb, 0, O_RDONLY);
}

static void attach(struct work_struct *work)
{
	struct growth *growth = container_of(work, struct growth, attach);

	growth->attached = mock_attach_job(growth->vb, NULL);
}

/*
 * A job has collected the objects that are in use, and waits for the first one, when an export
 * brings one more into use: whichever gets the lock first, the fence is in both.
 */
static void export_while_arming(struct kunit *test)
{
	struct mock_queue *mq = open_allocator(test, false);
	struct dma_buf *dbuf[VB2_PLANE_RESVS] = { mock_export(mq, 0, 0) };
	struct growth growth = { .vb = mock_vb(mq, 0) };
	unsigned int i, j;

	mock_run(mq);
	INIT_WORK_ONSTACK(&growth.export, export_one_more);
	INIT_WORK_ONSTACK(&growth.attach, attach);
	for (i = 1; i < ARRAY_SIZE(dbuf); ++i) {
		struct work_struct *first = i == 2 ? &growth.attach : &growth.export;
		struct work_struct *second = i == 2 ? &growth.export : &growth.attach;

		growth.dbuf = NULL;
		growth.attached = 1;
		dma_resv_lock(dbuf[0]->resv, NULL);
		queue_work(system_unbound_wq, first);
		/* It gets as far as it can. */
		msleep(50);
		queue_work(system_unbound_wq, second);
		msleep(50);
		KUNIT_EXPECT_EQ(test, 1, growth.attached);
		KUNIT_EXPECT_NULL(test, growth.dbuf);
		dma_resv_unlock(dbuf[0]->resv);
		flush_work(&growth.export);
		flush_work(&growth.attach);

		KUNIT_ASSERT_NOT_NULL(test, growth.dbuf);
		dbuf[i] = growth.dbuf;
		KUNIT_EXPECT_EQ(test, 0, growth.attached);
		for (j = 0; j <= i; ++j)
			KUNIT_EXPECT_EQ(test, 1, mock_count(test, dbuf[j]));
		mock_done(mq, 0, VB2_BUF_STATE_DONE);
		for (j = 0; j <= i; ++j)
			KUNIT_EXPECT_EQ(test, 0, mock_count(test, dbuf[j]));
		KUNIT_EXPECT_EQ(test, 0, mock_dqbuf(mq));
		mock_qbuf(mq, 0);
	}
	for (i = 1; i < ARRAY_SIZE(dbuf); ++i)
		mock_put_dmabuf(dbuf[i]);
	destroy_work_on_stack(&growth.attach);
	destroy_work_on_stack(&growth.export);
}

/* The last export is closed, on another processor. */
struct last_export {
	struct work_struct work;
	struct dma_buf *dbuf;
	bool closed;
};

static void close_last(struct work_struct *work)
{
	struct last_export *last = container_of(work, struct last_export, work);

	mock_put_dmabuf(last->dbuf);
	WRITE_ONCE(last->closed, true);
}

/* An importer looks at an object under RCU, while the memory that it belongs to goes. */
static void read_under_rcu(struct kunit *test)
{
	struct mock_queue *mq = open_allocator(test, false);
	struct last_export *last = kunit_kzalloc(test, sizeof(*last), GFP_KERNEL);
	struct dma_fence *fence = mock_fence(test);
	struct dma_resv *resv;
	bool closed, waits;
	unsigned int ms;

	KUNIT_ASSERT_NOT_NULL(test, last);
	if (num_online_cpus() < 2)
		kunit_skip(test, "needs two processors");
	INIT_WORK(&last->work, close_last);
	last->dbuf = mock_expbuf(mock_vb(mq, 0), 0, O_RDONLY);
	KUNIT_ASSERT_NOT_NULL(test, last->dbuf);
	resv = last->dbuf->resv;
	mock_add_fence(test, resv, fence, DMA_RESV_USAGE_WRITE);
	mock_release(mq);

	rcu_read_lock();
	schedule_work_on(cpumask_any_but(cpu_online_mask, raw_smp_processor_id()), &last->work);
	/* Without sleeping: the grace period must not end. Shorter than what RCU warns of. */
	for (ms = 0; ms < 15000 && !READ_ONCE(last->closed); ++ms)
		mdelay(1);
	closed = READ_ONCE(last->closed);
	waits = !dma_resv_test_signaled(resv, DMA_RESV_USAGE_WRITE);
	rcu_read_unlock();
	flush_work(&last->work);
	KUNIT_EXPECT_TRUE(test, closed);
	KUNIT_EXPECT_TRUE(test, waits);
}

static void orphaned(struct kunit *test)
{
	struct mock_queue *mq = open_allocator(test, false);
	struct dma_buf *orphan = mock_export(mq, 0, 0);
	struct dma_buf *dbuf;
	struct iosys_map map;

	mock_run(mq);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	mock_streamoff(mq);
	mock_reqbufs(mq, VB2_MEMORY_MMAP, 0);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(orphan));

	/* Its memory and its object are alive, and apart from those of the new buffer. */
	KUNIT_ASSERT_EQ(test, 0, dma_buf_vmap_unlocked(orphan, &map));
	iosys_map_memset(&map, 0, 0x5a, MOCK_PLANE_SIZE);
	dma_buf_vunmap_unlocked(orphan, &map);

	mock_reqbufs(mq, VB2_MEMORY_MMAP, 2);
	dbuf = mock_export(mq, 0, 0);
	KUNIT_EXPECT_PTR_NE(test, orphan, dbuf);
	KUNIT_EXPECT_PTR_NE(test, orphan->resv, dbuf->resv);
	mock_run(mq);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(dbuf));
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(orphan));

	/* Its end does not disturb the new one. */
	mock_close(test, orphan);
	KUNIT_EXPECT_PTR_NE(test, dbuf->resv, mock_export(mq, 0, 0)->resv);
}

static void outlives_queue(struct kunit *test)
{
	struct mock_queue *mq = open_allocator(test, false);
	struct dma_buf *ro = mock_export(mq, 0, 0);
	struct dma_buf *rw = mock_export_mode(mq, 0, 0, O_RDWR);

	mock_run(mq);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	mock_release(mq);

	/* Others go on to use the objects. */
	mock_add_fence(test, ro->resv, mock_fence(test), DMA_RESV_USAGE_WRITE);
	mock_add_fence(test, rw->resv, mock_fence(test), DMA_RESV_USAGE_WRITE);
	mock_close(test, ro);
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(rw));
}

/* A descriptor that was reopened with O_PATH keeps the dentry and the dma_buf, not the file. */
static void dentry_outlives_file(struct kunit *test)
{
	struct mock_queue *mq = open_allocator(test, false);
	struct dma_buf *dbuf = mock_export(mq, 0, 0), *next;
	struct dma_resv *resv = dbuf->resv;
	struct path path = dbuf->file->f_path;

	path_get(&path);
	mock_close(test, dbuf);
	/* A dma_buf that exists has its object for itself. */
	next = mock_export(mq, 0, 0);
	KUNIT_EXPECT_PTR_NE(test, resv, next->resv);
	mock_run(mq);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(next));
	path_put(&path);
	dbuf = mock_export(mq, 0, 0);
	KUNIT_EXPECT_PTR_EQ(test, resv, dbuf->resv);
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(dbuf));
}

/* read() has buffers of its own, which user space is not given in another way. */
static void while_read_is_used(struct kunit *test)
{
	struct mock_queue *mq = MOCK_OPEN(test);
	/* Nothing is done that would be read. */
	char __user *nowhere = (char __user *)PAGE_SIZE;
	loff_t position = 0;
	int fd;

	mock_reqbufs(mq, VB2_MEMORY_MMAP, 0);
	mq->q.io_modes |= VB2_READ;
	mq->q.min_reqbufs_allocation = 1;
	KUNIT_ASSERT_EQ(test, -EAGAIN, vb2_read(&mq->q, nowhere, 1, &position, true));
	KUNIT_EXPECT_EQ(test, -EBUSY, vb2_core_expbuf(&mq->q, &fd, mq->q.type, mock_vb(mq, 0), 0,
						      O_CLOEXEC));
	KUNIT_EXPECT_EQ(test, 0, mock_attach(mq, 0));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
}

static struct kunit_case exports_cases[] = {
	KUNIT_CASE_PARAM(before_during_and_after, allocator_gen_params),
	KUNIT_CASE_PARAM(own_file_and_object, allocator_gen_params),
	KUNIT_CASE_PARAM(planes_and_buffers_are_apart, allocator_gen_params),
	KUNIT_CASE_PARAM(opted_out, allocator_gen_params),
	KUNIT_CASE_PARAM(foreign_fences, allocator_gen_params),
	KUNIT_CASE_PARAM(object_is_given_back, allocator_gen_params),
	KUNIT_CASE_PARAM(fence_stays_when_export_goes, allocator_gen_params),
	KUNIT_CASE_PARAM(export_while_arming, allocator_gen_params),
	KUNIT_CASE_PARAM(orphaned, allocator_gen_params),
#if IS_REACHABLE(CONFIG_VIDEOBUF2_DMA_CONTIG)
	KUNIT_CASE(not_coherent),
#endif
	KUNIT_CASE(other_allocator),
	KUNIT_CASE(while_read_is_used),
	KUNIT_CASE_PARAM(outlives_queue, allocator_gen_params),
	KUNIT_CASE_PARAM(dentry_outlives_file, allocator_gen_params),
	KUNIT_CASE_PARAM(read_under_rcu, allocator_gen_params),
	{ }
};

static struct kunit_suite exports_suite = {
	.name = "vb2-release-fence-exports",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = mock_init,
	.test_cases = exports_cases,
};

kunit_test_suite(exports_suite);
