// SPDX-License-Identifier: GPL-2.0-only
/*
 * OUTPUT buffers that are part of a request, and wait for acquire fences.
 */

#include <linux/delay.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <media/media-request.h>
#include <media/videobuf2-v4l2.h>

#include "acquire-m2m.h"
#include "explicit.h"

static const struct media_device_ops media_ops = {
	.req_validate = vb2_request_validate,
	.req_queue = v4l2_m2m_request_queue,
};

KUNIT_DEFINE_ACTION_WRAPPER(media_cleanup, media_device_cleanup, struct media_device *);

static struct m2m *start(struct kunit *test)
{
	struct media_device *media = kunit_kzalloc(test, sizeof(*media), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, media);
	media->dev = mock_device(test);
	media->ops = &media_ops;
	media_device_init(media);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, media_cleanup, media));
	return M2M_ACQUIRING(test, .media = media);
}

KUNIT_DEFINE_ACTION_WRAPPER(close_file, __fput_sync, struct file *);

/* A request with the OUTPUT buffers from 0 on, which may have an in-fence. */
static struct file *request_with(struct m2m *m2m, unsigned int buffers, struct dma_fence *in_fence)
{
	struct v4l2_buffer buf = {
		.type = OUTPUT,
		.memory = V4L2_MEMORY_MMAP,
		.bytesused = MOCK_PLANE_SIZE,
		.flags = V4L2_BUF_FLAG_REQUEST_FD,
	};
	struct kunit *test = m2m->test;
	struct file *file;
	int fd, in_fd;

	KUNIT_ASSERT_EQ(test, 0, media_request_alloc(m2m->media, &fd));
	file = fget(fd);
	KUNIT_ASSERT_NOT_NULL(test, file);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, close_file, file));
	for (buf.index = 0; buf.index < buffers; ++buf.index) {
		buf.request_fd = fd;
		buf.timestamp.tv_sec = buf.index + 1;
		if (in_fence) {
			buf.flags |= V4L2_BUF_FLAG_IN_FENCE;
			buf.fence_fd = explicit_descriptor(test, in_fence);
			in_fd = buf.fence_fd;
		}
		KUNIT_EXPECT_EQ(test, 0, vb2_qbuf(v4l2_m2m_get_vq(m2m->ctx, OUTPUT), m2m->media,
						  &buf));
		if (in_fence)
			close_fd(in_fd);
	}
	close_fd(fd);
	return file;
}

static struct file *request(struct m2m *m2m, unsigned int buffers)
{
	return request_with(m2m, buffers, NULL);
}

/* MEDIA_REQUEST_IOC_QUEUE */
static long queue(struct file *file)
{
	return file->f_op->unlocked_ioctl(file, MEDIA_REQUEST_IOC_QUEUE, 0);
}

static bool is_complete(struct file *file)
{
	struct media_request *req = file->private_data;

	return req->state == MEDIA_REQUEST_STATE_COMPLETE;
}

/* The fences of when the request is queued count, not those of QBUF. */
static void waits(struct kunit *test)
{
	struct m2m *m2m = start(test);
	struct dma_fence *before = acquire_user(m2m, OUTPUT, 0), *between, *after;
	struct file *file;

	m2m_qbuf_capture(m2m, 0);
	file = request(m2m, 1);
	KUNIT_EXPECT_EQ(test, 0, acquire_callbacks(before));
	between = acquire_user(m2m, OUTPUT, 0);
	KUNIT_ASSERT_EQ(test, 0, queue(file));
	after = acquire_user(m2m, OUTPUT, 0);
	/* A new export begins with the fences of the first one. */
	KUNIT_EXPECT_NE(test, 0, acquire_callbacks(before));
	KUNIT_EXPECT_NE(test, 0, acquire_callbacks(between));
	KUNIT_EXPECT_EQ(test, 0, acquire_callbacks(after));
	mock_fence_end(test, before);
	acquire_expect_runs(m2m, 0);
	KUNIT_EXPECT_FALSE(test, is_complete(file));
	mock_fence_end(test, between);
	acquire_expect_job(m2m, 1, 0);
	KUNIT_EXPECT_TRUE(test, is_complete(file));
}

/* The timeout begins when the request is queued. */
static void given_up(struct kunit *test)
{
	struct m2m *m2m = start(test);
	struct file *file;

	acquire_set_timeout(test, MOCK_TIMEOUT);
	acquire_user(m2m, OUTPUT, 0);
	m2m_qbuf_capture(m2m, 0);
	file = request(m2m, 1);
	msleep(2 * MOCK_TIMEOUT);
	KUNIT_ASSERT_EQ(test, 0, queue(file));
	KUNIT_EXPECT_EQ(test, 0, m2m_runs(m2m));
	acquire_expect_job(m2m, 1, 0);
}

/* Its second buffer is refused: the first one does not wait either, until the next time. */
static void refused(struct kunit *test)
{
	struct m2m *m2m = start(test);
	struct dma_fence *writer = acquire_user(m2m, OUTPUT, 0);
	struct file *file = request(m2m, 2);

	m2m_qbuf_capture(m2m, 0);
	m2m_qbuf_capture(m2m, 1);
	m2m->refused = 1;
	KUNIT_EXPECT_EQ(test, -EINVAL, queue(file));
	KUNIT_EXPECT_EQ(test, 0, acquire_callbacks(writer));
	m2m->refused = 0;
	KUNIT_ASSERT_EQ(test, 0, queue(file));
	KUNIT_EXPECT_EQ(test, 1, acquire_callbacks(writer));
	acquire_expect_runs(m2m, 0);
	mock_fence_end(test, writer);
	acquire_expect_job(m2m, 1, 0);
	acquire_expect_job(m2m, 2, 1);
	KUNIT_EXPECT_TRUE(test, is_complete(file));
}

/* STREAMOFF completes a request that waits. */
static void streamoff(struct kunit *test)
{
	struct m2m *m2m = start(test);
	struct dma_fence *writer = acquire_user(m2m, OUTPUT, 0);
	struct file *file = request(m2m, 1);

	m2m_qbuf_capture(m2m, 0);
	KUNIT_ASSERT_EQ(test, 0, queue(file));
	KUNIT_ASSERT_EQ(test, 0, v4l2_m2m_streamoff(NULL, m2m->ctx, OUTPUT));
	KUNIT_EXPECT_TRUE(test, is_complete(file));
	KUNIT_EXPECT_EQ(test, 0, acquire_callbacks(writer));
	mock_fence_end(test, writer);
	acquire_expect_runs(m2m, 0);
}

/* The descriptor of a request is closed while its buffer waits: that gets its job all the same. */
static void closed(struct kunit *test)
{
	struct m2m *m2m = start(test);
	struct dma_fence *writer = acquire_user(m2m, OUTPUT, 0);
	struct file *file = request(m2m, 1);

	m2m_qbuf_capture(m2m, 0);
	KUNIT_ASSERT_EQ(test, 0, queue(file));
	kunit_release_action(test, close_file, file);
	acquire_expect_runs(m2m, 0);
	mock_fence_end(test, writer);
	acquire_expect_job(m2m, 1, 0);
	m2m_dqbuf(m2m, OUTPUT, 0);
}

/* It is kept until the request is queued, which may take more than one try. */
static void in_fence(struct kunit *test)
{
	struct m2m *m2m = start(test);
	struct dma_fence *writer = acquire_user(m2m, OUTPUT, 0), *in_fence = mock_fence(test);
	struct file *file = request_with(m2m, 2, in_fence);

	m2m_qbuf_capture(m2m, 0);
	m2m_qbuf_capture(m2m, 1);
	KUNIT_EXPECT_EQ(test, 0, acquire_callbacks(in_fence));
	m2m->refused = 1;
	KUNIT_EXPECT_EQ(test, -EINVAL, queue(file));
	KUNIT_EXPECT_EQ(test, 0, acquire_callbacks(in_fence));
	m2m->refused = 0;
	KUNIT_ASSERT_EQ(test, 0, queue(file));
	KUNIT_EXPECT_EQ(test, 2, acquire_callbacks(in_fence));
	KUNIT_EXPECT_EQ(test, 0, acquire_callbacks(writer));
	acquire_expect_runs(m2m, 0);
	mock_fence_end(test, in_fence);
	acquire_expect_job(m2m, 1, 0);
	acquire_expect_job(m2m, 2, 1);
	KUNIT_EXPECT_TRUE(test, is_complete(file));
	KUNIT_EXPECT_EQ(test, 0, m2m->completed);
}

/* A job that is not run is complete, and the driver says so for its controls. */
static void in_fence_fails(struct kunit *test)
{
	struct m2m *m2m = start(test);
	struct dma_fence *in_fence = mock_fence(test);
	struct file *file = request_with(m2m, 1, in_fence);
	unsigned long limit = jiffies + LONG;

	m2m_qbuf_capture(m2m, 0);
	KUNIT_ASSERT_EQ(test, 0, queue(file));
	dma_fence_set_error(in_fence, -EIO);
	mock_fence_end(test, in_fence);
	while (!is_complete(file) && time_before(jiffies, limit))
		msleep(20);
	KUNIT_EXPECT_TRUE(test, is_complete(file));
	KUNIT_EXPECT_EQ(test, 1, m2m->completed);
	KUNIT_EXPECT_EQ(test, 0, m2m_runs(m2m));
	m2m_dqbuf(m2m, CAPTURE, 0);
	m2m_dqbuf(m2m, OUTPUT, 0);
}

/* A request that is never queued lets go of it: by REINIT, or by STREAMOFF. */
static void in_fence_of_no_job(struct kunit *test)
{
	struct m2m *m2m = start(test);
	struct dma_fence *in_fence = mock_fence(test);
	const unsigned int references = kref_read(&in_fence->refcount);
	struct file *file = request_with(m2m, 1, in_fence);

	flush_delayed_fput();
	KUNIT_EXPECT_LT(test, references, kref_read(&in_fence->refcount));
	KUNIT_ASSERT_EQ(test, 0, file->f_op->unlocked_ioctl(file, MEDIA_REQUEST_IOC_REINIT, 0));
	KUNIT_EXPECT_EQ(test, references, kref_read(&in_fence->refcount));
	request_with(m2m, 2, in_fence);
	KUNIT_ASSERT_EQ(test, 0, v4l2_m2m_streamoff(NULL, m2m->ctx, OUTPUT));
	flush_delayed_fput();
	KUNIT_EXPECT_EQ(test, references, kref_read(&in_fence->refcount));
}

static struct kunit_case acquire_requests_cases[] = {
	KUNIT_CASE(waits),
	KUNIT_CASE(given_up),
	KUNIT_CASE(refused),
	KUNIT_CASE(streamoff),
	KUNIT_CASE(closed),
	KUNIT_CASE(in_fence),
	KUNIT_CASE(in_fence_fails),
	KUNIT_CASE(in_fence_of_no_job),
	{ }
};

static struct kunit_suite acquire_requests_suite = {
	.name = "vb2-release-fence-acquire-requests",
	.suite_init = mock_suite_init,
	.suite_exit = mock_suite_exit,
	.init = acquire_init,
	.test_cases = acquire_requests_cases,
};

kunit_test_suite(acquire_requests_suite);
