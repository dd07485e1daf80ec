// SPDX-License-Identifier: GPL-2.0-only
/*
 * Consumers that have the fence as a sync_file.
 */

#include <linux/err.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/sync_file.h>
#include <linux/uaccess.h>
#include <uapi/linux/dma-buf.h>
#include <uapi/linux/sync_file.h>

#include "consumers.h"

static void put_file(void *file)
{
	__fput_sync(file);
}

void sync_file_outlives_queue(struct kunit *test)
{
	struct dma_fence *fence = consumers_orphan_fence(test, "gone", true), *from_file;
	struct sync_file *sync_file = sync_file_create(fence);
	int fd;

	KUNIT_ASSERT_NOT_NULL(test, sync_file);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, put_file, sync_file->file));
	fd = get_unused_fd_flags(O_CLOEXEC);
	KUNIT_ASSERT_GE(test, fd, 0);
	fd_install(fd, get_file(sync_file->file));
	from_file = sync_file_get_fence(fd);
	close_fd(fd);
	KUNIT_ASSERT_PTR_EQ(test, fence, from_file);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(from_file));
	dma_fence_put(from_file);
}

/* The arguments of ioctls, in user memory. */
struct ioctls {
	struct dma_buf_export_sync_file export;
	struct sync_file_info info;
	struct sync_fence_info fence;
};

static long file_info(struct kunit *test, struct file *file, struct ioctls __user *user,
		      struct ioctls *args)
{
	long ret;

	memset(args, 0, sizeof(*args));
	args->info.num_fences = 1;
	args->info.sync_fence_info = (unsigned long)&user->fence;
	KUNIT_ASSERT_EQ(test, 0, copy_to_user(user, args, sizeof(*args)));
	ret = vfs_ioctl(file, SYNC_IOC_FILE_INFO, (unsigned long)&user->info);
	KUNIT_ASSERT_EQ(test, 0, copy_from_user(args, user, sizeof(*args)));
	return ret;
}

/* From EXPORT_SYNC_FILE on a dma-buf to SYNC_IOC_FILE_INFO, as a compositor does it. */
void export_sync_file(struct kunit *test)
{
	struct mock_queue *mq = MOCK_START(test, .name = "hantro-capture");
	struct dma_buf *dbuf = mock_export(mq, 0, 0);
	struct ioctls *args = kunit_kzalloc(test, sizeof(*args), GFP_KERNEL);
	struct ioctls __user *user;
	struct file *file;
	unsigned long addr;

	KUNIT_ASSERT_NOT_NULL(test, args);
	addr = kunit_vm_mmap(test, NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MAP_ANONYMOUS | MAP_PRIVATE, 0);
	if (!addr || IS_ERR_VALUE(addr))
		kunit_skip(test, "no user memory in this kernel");
	user = (struct ioctls __user *)addr;

	KUNIT_ASSERT_EQ(test, 0, mock_attach(mq, 0));
	args->export.flags = DMA_BUF_SYNC_READ;
	KUNIT_ASSERT_EQ(test, 0, copy_to_user(user, args, sizeof(*args)));
	KUNIT_ASSERT_EQ(test, 0, vfs_ioctl(dbuf->file, DMA_BUF_IOCTL_EXPORT_SYNC_FILE,
					   (unsigned long)&user->export));
	KUNIT_ASSERT_EQ(test, 0, copy_from_user(args, user, sizeof(*args)));
	file = fget(args->export.fd);
	KUNIT_ASSERT_NOT_NULL(test, file);
	close_fd(args->export.fd);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, put_file, file));

	KUNIT_ASSERT_EQ(test, 0, file_info(test, file, user, args));
	KUNIT_EXPECT_EQ(test, 0, args->info.status);
	KUNIT_ASSERT_EQ(test, 1, args->info.num_fences);
	KUNIT_EXPECT_STREQ(test, "videobuf2", args->fence.driver_name);
	KUNIT_EXPECT_STREQ(test, "hantro-capture", args->fence.obj_name);
	KUNIT_EXPECT_EQ(test, 0, args->fence.status);

	mock_done(mq, 0, VB2_BUF_STATE_ERROR);
	mock_release(mq);
	mock_close(test, dbuf);
	KUNIT_ASSERT_EQ(test, 0, file_info(test, file, user, args));
	KUNIT_EXPECT_EQ(test, -EIO, args->info.status);
	KUNIT_EXPECT_STREQ(test, "hantro-capture", args->fence.obj_name);
	KUNIT_EXPECT_EQ(test, -EIO, args->fence.status);
	KUNIT_EXPECT_NE(test, 0, args->fence.timestamp_ns);
}
