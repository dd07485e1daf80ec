// SPDX-License-Identifier: GPL-2.0-only
/*
 * MMAP buffers that are exported: one reservation object per plane, one dma_buf per access mode,
 * with every allocator.
 */

#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/iosys-map.h>
#include <linux/path.h>
#include <linux/rcupdate.h>
#include <media/videobuf2-dma-contig.h>
#include <media/videobuf2-dma-sg.h>
#include <media/videobuf2-vmalloc.h>

#include "mock.h"

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

/* dma_bufs are numbered, so that one at the address of an earlier one can be told from it. */
static unsigned long id(struct dma_buf *dbuf)
{
	return file_inode(dbuf->file)->i_ino;
}

static bool has_mode(struct dma_buf *dbuf, fmode_t mode)
{
	return dbuf->file->f_mode & mode;
}

static void before_and_after(struct kunit *test)
{
	struct mock_queue *mq = open_allocator(test, false);
	struct dma_buf *before = mock_export(mq, 0, 0);
	struct dma_buf *after, *other_mode;
	struct dma_fence *fence;

	mock_run(mq);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	after = mock_export(mq, 0, 1);
	other_mode = mock_export_mode(mq, 0, 0, O_RDWR);

	fence = mock_seen(test, before);
	KUNIT_EXPECT_PTR_EQ(test, fence, mock_seen(test, after));
	KUNIT_EXPECT_PTR_EQ(test, fence, mock_seen(test, other_mode));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(before));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(after));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(other_mode));

	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(fence));
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(before));
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(after));
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(other_mode));
}

static void one_dmabuf_per_mode(struct kunit *test)
{
	struct mock_queue *mq = open_allocator(test, false);
	struct dma_buf *ro = mock_export_mode(mq, 0, 0, O_RDONLY);
	struct dma_buf *wo = mock_export_mode(mq, 0, 0, O_WRONLY);
	struct dma_buf *rw = mock_export_mode(mq, 0, 0, O_RDWR);

	KUNIT_EXPECT_PTR_EQ(test, ro, mock_export_mode(mq, 0, 0, O_RDONLY));
	KUNIT_EXPECT_PTR_EQ(test, wo, mock_export_mode(mq, 0, 0, O_WRONLY));
	KUNIT_EXPECT_PTR_EQ(test, rw, mock_export_mode(mq, 0, 0, O_RDWR));

	KUNIT_EXPECT_PTR_NE(test, ro, wo);
	KUNIT_EXPECT_PTR_NE(test, ro, rw);
	KUNIT_EXPECT_PTR_NE(test, wo, rw);
	KUNIT_EXPECT_PTR_EQ(test, ro->resv, wo->resv);
	KUNIT_EXPECT_PTR_EQ(test, ro->resv, rw->resv);

	/* What user space may do with it goes by the file's mode. */
	KUNIT_EXPECT_TRUE(test, has_mode(ro, FMODE_READ) && !has_mode(ro, FMODE_WRITE));
	KUNIT_EXPECT_TRUE(test, !has_mode(wo, FMODE_READ) && has_mode(wo, FMODE_WRITE));
	KUNIT_EXPECT_TRUE(test, has_mode(rw, FMODE_READ) && has_mode(rw, FMODE_WRITE));
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

static void gone_after_last_close(struct kunit *test)
{
	struct mock_queue *mq = open_allocator(test, false);
	unsigned long last = 0;
	unsigned int round;

	for (round = 0; round < 100; ++round) {
		struct dma_buf *dbuf = mock_export(mq, 0, 0);
		struct dma_buf *again = mock_export(mq, 0, 0);

		KUNIT_ASSERT_PTR_EQ(test, dbuf, again);
		KUNIT_ASSERT_NE(test, last, id(dbuf));
		KUNIT_ASSERT_EQ(test, 2, file_count(dbuf->file));
		last = id(dbuf);

		/* One descriptor is left: it is still the same dma_buf. */
		mock_close(test, again);
		KUNIT_ASSERT_EQ(test, last, id(mock_export(mq, 0, 0)));
		mock_close(test, dbuf);
		mock_close(test, dbuf);
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
	KUNIT_EXPECT_PTR_EQ(test, dbuf, mock_export(mq, 0, 0));
}

#if IS_REACHABLE(CONFIG_VIDEOBUF2_DMA_CONTIG)
/* As hantro's. Mapping it in an importer fails, and the kernel log has no warning. */
static void without_kernel_mapping(struct kunit *test)
{
	struct mock_queue *mq = MOCK_OPEN(test, .mem_ops = &vb2_dma_contig_memops,
					  .dev = mock_device(test));
	struct dma_buf *dbuf;
	struct iosys_map map;

	mock_reqbufs(mq, VB2_MEMORY_MMAP, 0);
	mq->q.dma_attrs = DMA_ATTR_NO_KERNEL_MAPPING;
	mock_reqbufs(mq, VB2_MEMORY_MMAP, 1);
	dbuf = mock_export(mq, 0, 0);
	KUNIT_EXPECT_EQ(test, -EINVAL, dma_buf_vmap_unlocked(dbuf, &map));
}
#endif

static void outlives_queue(struct kunit *test)
{
	struct mock_queue *mq = open_allocator(test, false);
	struct dma_buf *ro = mock_export(mq, 0, 0);
	struct dma_buf *rw = mock_export_mode(mq, 0, 0, O_RDWR);

	mock_run(mq);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	mock_release(mq);

	/* Others go on to use the object. */
	mock_add_fence(test, ro->resv, mock_fence(test), DMA_RESV_USAGE_WRITE);
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(rw));
	mock_close(test, ro);
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(rw));
}

/* As user space closes: the last reference goes a little later, in a worker. */
static void reexported_while_closing(struct kunit *test)
{
	struct mock_queue *mq = open_allocator(test, false);
	unsigned int round;

	for (round = 0; round < 100; ++round) {
		struct dma_buf *dbuf;
		int fd;

		KUNIT_ASSERT_EQ(test, 0, vb2_core_expbuf(&mq->q, &fd, mq->q.type, mock_vb(mq, 0), 0,
							 O_CLOEXEC));
		close_fd(fd);
		dbuf = mock_export(mq, 0, 0);
		/* When the old one is released at last, the new one is still known. */
		flush_delayed_fput();
		KUNIT_ASSERT_PTR_EQ(test, dbuf, mock_export(mq, 0, 0));
		KUNIT_ASSERT_EQ(test, 2, file_count(dbuf->file));
		mock_close(test, dbuf);
		mock_close(test, dbuf);
	}
}

/* A descriptor that was reopened with O_PATH keeps the dentry and the dma_buf, not the file. */
static void dentry_outlives_file(struct kunit *test)
{
	struct mock_queue *mq = open_allocator(test, false);
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	struct path path = dbuf->file->f_path;
	unsigned int i;

	path_get(&path);
	mock_close(test, dbuf);
	/* Others have use for the memory of the file. KASAN keeps it, poisoned by now. */
	rcu_barrier();
	for (i = 0; i < 64; ++i)
		mock_dmabuf(test, NULL);

	dbuf = mock_export(mq, 0, 0);
	KUNIT_EXPECT_EQ(test, 1, file_count(dbuf->file));
	KUNIT_EXPECT_PTR_EQ(test, dbuf, mock_export(mq, 0, 0));
	mock_run(mq);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(dbuf));

	/* Its end is not that of the new one. */
	path_put(&path);
	KUNIT_EXPECT_PTR_EQ(test, dbuf, mock_export(mq, 0, 0));
}

#if IS_REACHABLE(CONFIG_VIDEOBUF2_DMA_CONTIG)
/* Memory that is not coherent is allocated another way, and freed. */
static void not_coherent(struct kunit *test)
{
	struct mock_queue *mq = MOCK_OPEN(test, .mem_ops = &vb2_dma_contig_memops,
					  .dev = mock_device(test));
	unsigned int count = 1;
	struct iosys_map map;
	struct dma_buf *dbuf;

	mq->q.allow_cache_hints = 1;
	KUNIT_ASSERT_EQ(test, 0, vb2_core_reqbufs(&mq->q, VB2_MEMORY_MMAP,
						  V4L2_MEMORY_FLAG_NON_COHERENT, &count));
	KUNIT_ASSERT_EQ(test, 1, count);
	dbuf = mock_export(mq, 0, 0);
	mock_run(mq);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_TRUE(test, mock_reader_waits(dbuf));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_FALSE(test, mock_writer_waits(dbuf));
	/* Its kernel mapping, which is made when it is asked for, goes with it. */
	KUNIT_ASSERT_EQ(test, 0, dma_buf_vmap_unlocked(dbuf, &map));
	dma_buf_vunmap_unlocked(dbuf, &map);
}
#endif

/* Buffers of an allocator that exports nothing have nothing to publish to. */
static void allocator_without_exports(struct kunit *test)
{
	struct vb2_mem_ops *mem_ops = kunit_kzalloc(test, sizeof(*mem_ops), GFP_KERNEL);
	struct mock_queue *mq;
	int fd;

	KUNIT_ASSERT_NOT_NULL(test, mem_ops);
	*mem_ops = vb2_vmalloc_memops;
	mem_ops->get_dmabuf = NULL;
	mem_ops->plane_resv = NULL;
	mq = MOCK_START(test, .mem_ops = mem_ops);
	KUNIT_EXPECT_EQ(test, -EINVAL, vb2_core_expbuf(&mq->q, &fd, mq->q.type, mock_vb(mq, 0), 0,
						       O_CLOEXEC));
	KUNIT_EXPECT_EQ(test, 0, mock_attach(mq, 0));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 0, mock_dqbuf(mq));
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
	KUNIT_CASE_PARAM(before_and_after, allocator_gen_params),
	KUNIT_CASE_PARAM(one_dmabuf_per_mode, allocator_gen_params),
	KUNIT_CASE_PARAM(planes_and_buffers_are_apart, allocator_gen_params),
	KUNIT_CASE_PARAM(opted_out, allocator_gen_params),
	KUNIT_CASE_PARAM(gone_after_last_close, allocator_gen_params),
	KUNIT_CASE_PARAM(fence_stays_when_export_goes, allocator_gen_params),
	KUNIT_CASE_PARAM(orphaned, allocator_gen_params),
#if IS_REACHABLE(CONFIG_VIDEOBUF2_DMA_CONTIG)
	KUNIT_CASE(without_kernel_mapping),
	KUNIT_CASE(not_coherent),
#endif
	KUNIT_CASE(allocator_without_exports),
	KUNIT_CASE(while_read_is_used),
	KUNIT_CASE_PARAM(outlives_queue, allocator_gen_params),
	KUNIT_CASE_PARAM(reexported_while_closing, allocator_gen_params),
	KUNIT_CASE_PARAM(dentry_outlives_file, allocator_gen_params),
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
