// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bugs of Linux 6.12 that the feature does not depend on. These cases fail without the fixes, and
 * are built where the fixes are: CONFIG_VIDEOBUF2_RELEASE_FENCES_KUNIT_FIXES.
 */

#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/iosys-map.h>
#include <linux/path.h>
#include <linux/sched.h>
#include <linux/workqueue.h>
#include <media/videobuf2-dma-contig.h>
#include <media/videobuf2-v4l2.h>

#include "m2m.h"

/* A descriptor that was reopened with O_PATH keeps the dentry and the dma_buf, not the file. */
static void file_is_cleared(struct kunit *test)
{
	struct dma_buf *dbuf = mock_dmabuf(test, NULL);
	struct path path = dbuf->file->f_path;

	path_get(&path);
	mock_close(test, dbuf);
	KUNIT_EXPECT_NULL(test, dbuf->file);
	path_put(&path);
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

/* What a QBUF has taken before it fails, it gives back: of planes before that one, and after it. */
static void refused_takes_nothing(struct kunit *test)
{
	struct dma_buf *twice = mock_dmabuf(test, NULL);
	struct dma_buf *small = mock_dmabuf(test, NULL);
	struct dma_buf *last = mock_dmabuf(test, NULL);
	struct mock_queue *mq = MOCK_OPEN(test, .memory = VB2_MEMORY_DMABUF, .planes = 4);

	mock_buffer(mq, 0)->import[0] = twice;
	mock_buffer(mq, 0)->import[1] = twice;
	mock_buffer(mq, 0)->import[2] = small;
	mock_buffer(mq, 0)->import[3] = last;
	small->size = MOCK_PLANE_SIZE / 2;
	KUNIT_EXPECT_EQ(test, -EFAULT, mock_try_qbuf(mq, 0));
	KUNIT_EXPECT_EQ(test, 1, file_count(twice->file));
	KUNIT_EXPECT_EQ(test, 1, file_count(small->file));
	KUNIT_EXPECT_EQ(test, 1, file_count(last->file));

	small->size = MOCK_PLANE_SIZE;
	mock_run(mq);
	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	mock_done(mq, 0, VB2_BUF_STATE_DONE);
	KUNIT_EXPECT_FALSE(test, mock_reader_waits(last));
	mock_release(mq);
	KUNIT_EXPECT_EQ(test, 1, file_count(twice->file));
	KUNIT_EXPECT_EQ(test, 1, file_count(small->file));
	KUNIT_EXPECT_EQ(test, 1, file_count(last->file));
}

/* Devices that share a queue: no job runs before each that has paused it has resumed it. */
static void paused_by_two(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);

	v4l2_m2m_suspend(m2m->dev);
	v4l2_m2m_suspend(m2m->dev);
	m2m_qbuf_capture(m2m, 0);
	m2m_qbuf(m2m, V4L2_BUF_TYPE_VIDEO_OUTPUT, 0, 0, 1);
	v4l2_m2m_try_schedule(m2m->ctx);
	v4l2_m2m_resume(m2m->dev);
	KUNIT_EXPECT_EQ(test, 0, atomic_read(&m2m->runs));
	v4l2_m2m_resume(m2m->dev);
	KUNIT_ASSERT_EQ(test, 1, atomic_read(&m2m->runs));
	m2m_end(m2m, VB2_BUF_STATE_DONE);
}

struct suspending {
	struct work_struct work;
	struct v4l2_m2m_dev *dev;
	bool over;
};

static void suspend_device(struct work_struct *work)
{
	struct suspending *suspending = container_of(work, struct suspending, work);

	v4l2_m2m_suspend(suspending->dev);
	WRITE_ONCE(suspending->over, true);
}

/* The job that a suspend waits for ends, and its context is freed before the suspend goes on. */
static void closed_during_suspend(struct kunit *test)
{
	struct m2m *m2m = m2m_start(test, true, true);
	struct suspending suspending = { .dev = m2m->dev };
	const int cpu = cpumask_first(cpu_online_mask);

	m2m_qbuf_capture(m2m, 0);
	m2m_run(m2m, 0, 0, 1);
	set_cpus_allowed_ptr(current, cpumask_of(cpu));
	INIT_WORK_ONSTACK(&suspending.work, suspend_device);
	schedule_work_on(cpu, &suspending.work);
	msleep(100);
	KUNIT_EXPECT_FALSE(test, suspending.over);
	/* From here on it has the processor only when this thread sleeps. */
	sched_set_fifo(current);
	m2m_end(m2m, VB2_BUF_STATE_DONE);
	m2m_close(m2m);
	flush_work(&suspending.work);
	destroy_work_on_stack(&suspending.work);
	KUNIT_EXPECT_TRUE(test, suspending.over);
	v4l2_m2m_resume(m2m->dev);
}

static struct kunit_case fixes_cases[] = {
	KUNIT_CASE(file_is_cleared),
#if IS_REACHABLE(CONFIG_VIDEOBUF2_DMA_CONTIG)
	KUNIT_CASE(without_kernel_mapping),
#endif
	KUNIT_CASE(refused_takes_nothing),
	KUNIT_CASE(paused_by_two),
	KUNIT_CASE(closed_during_suspend),
	{ }
};

static struct kunit_suite fixes_suite = {
	.name = "vb2-release-fence-fixes",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = mock_init,
	.test_cases = fixes_cases,
};

kunit_test_suite(fixes_suite);
