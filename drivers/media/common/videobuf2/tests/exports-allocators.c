// SPDX-License-Identifier: GPL-2.0-only
/*
 * MMAP buffers of an allocator that makes their memory in another way than usual, or that does not
 * take part in release fences.
 */

#include <linux/fcntl.h>
#include <linux/iosys-map.h>
#include <linux/string.h>
#include <media/videobuf2-dma-contig.h>
#include <media/videobuf2-v4l2.h>
#include <media/videobuf2-vmalloc.h>

#include "exports.h"

#if IS_REACHABLE(CONFIG_VIDEOBUF2_DMA_CONTIG)
/* Memory that is not coherent is allocated another way, and freed. */
void not_coherent(struct kunit *test)
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

static void count_allocator_warnings(void *data, const char *text, size_t len)
{
	if (strnstr(text, "the allocator does not support them", len))
		atomic_inc(data);
}

/* Buffers of an allocator that does not take part have nothing to publish to. That is told once. */
void other_allocator(struct kunit *test)
{
	struct vb2_mem_ops *mem_ops = kunit_kzalloc(test, sizeof(*mem_ops), GFP_KERNEL);
	atomic_t *told = kunit_kzalloc(test, sizeof(*told), GFP_KERNEL);
	struct mock_queue *mq;
	struct dma_buf *dbuf;

	KUNIT_ASSERT_NOT_NULL(test, mem_ops);
	KUNIT_ASSERT_NOT_NULL(test, told);
	mock_trace(test, "console", count_allocator_warnings, told);
	*mem_ops = vb2_vmalloc_memops;
	mem_ops->plane_resv = NULL;
	/* One that did not opt in does not mind. */
	MOCK_OPEN(test, .mem_ops = mem_ops, .opted_out = true);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(told));
	MOCK_OPEN(test, .mem_ops = mem_ops);
	mq = MOCK_START(test, .mem_ops = mem_ops);
	KUNIT_EXPECT_EQ(test, 1, atomic_read(told));
	dbuf = mock_export(mq, 0, 0);
	KUNIT_EXPECT_EQ(test, 0, mock_attach(mq, 0));
	KUNIT_EXPECT_EQ(test, 0, mock_count(test, dbuf));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_EQ(test, 0, mock_dqbuf(mq));
	/* It may export nothing at all. */
	mem_ops->get_dmabuf = NULL;
	KUNIT_EXPECT_NULL(test, mock_expbuf(mock_vb(mq, 0), 0, O_RDONLY));
}
