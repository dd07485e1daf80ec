/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the KUnit suites of release fences share: a queue whose driver is the test, an exporter of
 * dma-bufs to import, what consumers see, and checks at the end of every case.
 *
 * Whatever these functions make is undone when the case ends, last things first.
 */
#ifndef _VB2_RELEASE_FENCE_MOCK_H
#define _VB2_RELEASE_FENCE_MOCK_H

#include <kunit/test.h>
#include <linux/dma-buf.h>
#include <linux/dma-fence.h>
#include <linux/dma-resv.h>
#include <media/videobuf2-core.h>

#define MOCK_PLANE_SIZE	PAGE_SIZE

/* A buffer of a mock queue; the test says what a QBUF is to pass. */
struct mock_buffer {
	struct vb2_buffer vb;
	struct dma_buf *import[VB2_MAX_PLANES];
	int fd[VB2_MAX_PLANES];
	unsigned long userptr;
};

struct mock_queue {
	struct vb2_queue q;
	struct kunit *test;
	unsigned int planes;
	/* What start_streaming returns; buffers go back as QUEUED if it is an error. */
	int start_error;
	/* Whether start_streaming attaches fences before that. */
	bool attach_on_start;
	/* How stop_streaming gives buffers back; VB2_BUF_STATE_ACTIVE: not at all. */
	enum vb2_buffer_state stop_state;
	/* What stop_streaming does before. */
	void (*before_stop)(struct mock_queue *mq);
	/* How often a buffer was said to have nothing left to wait for. */
	atomic_t acquired;
	/* What start_streaming, and buf_queue, do besides. */
	void (*on_start)(struct mock_queue *mq);
	void (*on_queue)(struct vb2_buffer *vb);
	/* How often buf_queue was called. */
	atomic_t given;
	/* What the test keeps with it. */
	void *priv;
};

/* What is not given is: a CAPTURE queue of one MMAP buffer of one plane, opted in. */
struct mock_config {
	const struct vb2_mem_ops *mem_ops;
	struct device *dev;
	const char *name;
	enum vb2_memory memory;
	unsigned int planes;
	unsigned int buffers;
	bool output;
	bool opted_out;
	/* Opts in to acquire fences: a scheduler gets all buffers, ... */
	bool acquires;
	/* ... or videobuf2 keeps those that wait. */
	bool hands_over;
	/* Gives out-fences at QBUF. */
	bool out_fences;
};

struct mock_queue *mock_open(struct kunit *test, const struct mock_config *config);
void mock_release(struct mock_queue *mq);
void mock_reqbufs(struct mock_queue *mq, enum vb2_memory memory, unsigned int count);
struct vb2_buffer *mock_vb(struct mock_queue *mq, unsigned int index);
struct mock_buffer *mock_buffer(struct mock_queue *mq, unsigned int index);
int mock_try_qbuf(struct mock_queue *mq, unsigned int index);
void mock_qbuf(struct mock_queue *mq, unsigned int index);
void mock_run(struct mock_queue *mq);
void mock_streamoff(struct mock_queue *mq);
/* What a driver does whose hardware starts at once: the signalling section is over, too. */
int mock_attach_job(struct vb2_buffer *dst, struct vb2_buffer *src);
int mock_attach(struct mock_queue *mq, unsigned int index);
void mock_done(struct mock_queue *mq, unsigned int index, enum vb2_buffer_state state);
unsigned int mock_dqbuf(struct mock_queue *mq);

/* A queue that streams, with all its buffers in the hands of the driver. */
struct mock_queue *mock_start(struct kunit *test, const struct mock_config *config);

#define MOCK_OPEN(test, ...)	mock_open(test, &(struct mock_config){ __VA_ARGS__ })
#define MOCK_START(test, ...)	mock_start(test, &(struct mock_config){ __VA_ARGS__ })

/* What EXPBUF does, for any thread. Returns NULL if it fails. */
struct dma_buf *mock_expbuf(struct vb2_buffer *vb, unsigned int plane, unsigned int mode);
/* The last reference of a kernel thread is put by a worker. This puts it now. */
void mock_put_dmabuf(struct dma_buf *dbuf);
struct dma_buf *mock_export_vb(struct kunit *test, struct vb2_buffer *vb, unsigned int plane,
			       unsigned int mode);
struct dma_buf *mock_export_mode(struct mock_queue *mq, unsigned int index, unsigned int plane,
				 unsigned int mode);
struct dma_buf *mock_export(struct mock_queue *mq, unsigned int index, unsigned int plane);
void mock_close(struct kunit *test, struct dma_buf *dbuf);

/* Exporter: @resv is NULL for an object of its own. */
struct dma_buf *mock_dmabuf(struct kunit *test, struct dma_resv *resv);
struct dma_resv *mock_resv(struct kunit *test);
/* A fence of another driver's job, pending until the case ends. */
struct dma_fence *mock_fence(struct kunit *test);
extern const struct dma_fence_ops mock_fence_ops;
struct dma_fence *mock_fence_of(struct kunit *test, const struct dma_fence_ops *ops);
/* Or until this. */
void mock_fence_end(struct kunit *test, struct dma_fence *fence);
void mock_add_fence(struct kunit *test, struct dma_resv *resv, struct dma_fence *fence,
		    enum dma_resv_usage usage);

/* A device that memory can be allocated and mapped for. */
struct device *mock_device(struct kunit *test);

/* What consumers see. */
static inline bool mock_reader_waits(struct dma_buf *dbuf)
{
	return !dma_resv_test_signaled(dbuf->resv, dma_resv_usage_rw(false));
}

static inline bool mock_writer_waits(struct dma_buf *dbuf)
{
	return !dma_resv_test_signaled(dbuf->resv, dma_resv_usage_rw(true));
}

/* The one fence that a writer waits for. */
struct dma_fence *mock_seen(struct kunit *test, struct dma_buf *dbuf);
/* How many fences are pending, of any kind. */
unsigned int mock_count(struct kunit *test, struct dma_buf *dbuf);

/*
 * Whether this thread is in a signalling section, in which lockdep reports what waits for memory or
 * for a reservation object. Without lockdep it says what is expected.
 */
static inline bool mock_in_section(bool expected)
{
	bool cookie;

	if (!IS_ENABLED(CONFIG_LOCKDEP))
		return expected;
	/* A section in a section is none of its own. */
	cookie = dma_fence_begin_signalling();
	dma_fence_end_signalling(cookie);
	return cookie;
}

/*
 * The timeout, until the case ends; it begins with the longest one. MOCK_TIMEOUT is one that a case
 * can wait for, and that leaves it time to look at the fence before, on an emulated processor of a
 * busy machine too.
 */
#define MOCK_TIMEOUT	300
void mock_set_timeout(struct kunit *test, unsigned int ms);

/*
 * Checks, mock-checks.c. Every suite uses these as suite_init, suite_exit and init: a case fails if
 * lockdep has reported something, if an unexpected warning came, or if a fence was left behind.
 */
int mock_suite_init(struct kunit_suite *suite);
void mock_suite_exit(struct kunit_suite *suite);
int mock_init(struct kunit *test);

/*
 * Around what provokes a warning on purpose: scripts/kernel-log-check then ignores it, and reports
 * if it is missing. @text is the file that warns.
 */
void mock_expect_warning(struct kunit *test, const char *text);
void mock_expected_warning(struct kunit *test);
/* The same for a report that is no warning. */
void mock_expected_report(struct kunit *test);

/* Prints how often a suite met an operation, as a line that tests/summary adds up. */
void mock_counts(struct kunit *test, const char *suite, const char *operation, unsigned int times);

/* Attaches a probe to a tracepoint until the case ends. Skips the case if it cannot. */
void mock_trace(struct kunit *test, const char *name, void *probe, void *data);

#endif /* _VB2_RELEASE_FENCE_MOCK_H */
