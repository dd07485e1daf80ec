// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations of a program that need memory.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <linux/dma-buf.h>

#include "alloc_ops.h"
#include "fail_nth.h"
#include "fence_trace.h"

static int get_buffers(struct stage *stage, enum m2m_side side)
{
	struct m2m *m2m = &stage->file.m2m;
	unsigned int i;
	int ret;

	if (stage->memory == V4L2_MEMORY_MMAP)
		return m2m_alloc(m2m, side, JOB_SLOTS);
	ret = m2m_import(m2m, side, JOB_SLOTS);
	if (ret || stage->heap)
		return ret;
	ret = m2m_alloc(&stage->donor.m2m, side, JOB_SLOTS);
	for (i = 0; i < JOB_SLOTS && !ret; i++) {
		struct m2m_buffer *buffer = &m2m->queues[side].buffers[i];
		struct m2m_buffer *given = &stage->donor.m2m.queues[side].buffers[i];

		m2m_buffer_drop(buffer);
		*buffer = *given;
		given->data = NULL;
		given->dmabuf = -1;
	}
	return ret;
}

static int go(struct stage *stage)
{
	int ret = get_buffers(stage, M2M_OUTPUT);

	ret = ret ? ret : get_buffers(stage, M2M_CAPTURE);
	return ret ? ret : jobs_go(&stage->file);
}

static int open_idle(struct stage *stage)
{
	int ret = jobs_open_idle(&stage->file, stage->kind);

	stage->file.m2m.queues[M2M_OUTPUT].memory = V4L2_MEMORY_MMAP;
	stage->file.m2m.queues[M2M_CAPTURE].memory = V4L2_MEMORY_MMAP;
	if (ret || stage->memory == V4L2_MEMORY_MMAP || stage->heap)
		return ret;
	return jobs_open_idle(&stage->donor, stage->kind);
}

static int open_streaming(struct stage *stage)
{
	int ret = open_idle(stage);

	ret = ret ? ret : go(stage);
	return ret ? ret : job_blank(&stage->file, JOB_SLOT);
}

int queue_picture(struct stage *stage)
{
	int ret = 0;

	if (!stage->picture_queued)
		ret = job_queue_picture(&stage->file, JOB_SLOT);
	stage->picture_queued = !ret;
	return ret;
}

/* What has been prepared is not prepared again. */
static int prepare_picture(struct stage *stage)
{
	return m2m_prepare(&stage->file.m2m, M2M_CAPTURE, JOB_SLOT);
}

/* A request is queued by itself: what has succeeded is not done again. */
int queue_input(struct stage *stage)
{
	int ret = 0;

	if (!stage->input_queued)
		ret = job_qbuf_input(&stage->file, JOB_SLOT, stage->frame, 0);
	stage->input_queued = !ret;
	return ret ? ret : job_queue_request(&stage->file, JOB_SLOT);
}

static int before_open(struct stage *stage)
{
	char link[32];
	ssize_t len;
	int ret;

	jobs_init(&stage->file);
	stage->file.kind = stage->kind;
	ret = m2m_open(&stage->file.m2m, stage->kind->dev, stage->kind->controls);
	if (ret)
		return ret;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", stage->file.m2m.fd);
	len = readlink(link, stage->path, sizeof(stage->path) - 1);
	stage->path[len < 0 ? 0 : len] = '\0';
	close_fd(&stage->file.m2m.fd);
	return len < 0 ? -errno : 0;
}

static int act_open(struct stage *stage)
{
	stage->file.m2m.fd = open(stage->path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	return stage->file.m2m.fd < 0 ? -errno : 0;
}

static int after_open(struct stage *stage)
{
	int ret = jobs_format(&stage->file);

	return ret ? ret : go(stage);
}

/* Fewer buffers than were asked for are no error, and enough for a job. */
static int act_buffers(struct stage *stage,
		       int (*get)(struct m2m *m2m, enum m2m_side side, unsigned int count))
{
	const int inputs = get(&stage->file.m2m, M2M_OUTPUT, JOB_SLOTS - 1);
	const int pictures = inputs < 0 ? 0 : get(&stage->file.m2m, M2M_CAPTURE, JOB_SLOTS - 1);

	stage->inputs = inputs;
	stage->pictures = pictures;
	stage->fewer |= inputs < JOB_SLOTS - 1 || pictures < JOB_SLOTS - 1;
	return inputs < 0 ? inputs : pictures < 0 ? pictures : 0;
}

static int after_buffers(struct stage *stage)
{
	int ret = m2m_adopt(&stage->file.m2m, M2M_OUTPUT, stage->inputs);

	ret = ret ? ret : m2m_adopt(&stage->file.m2m, M2M_CAPTURE, stage->pictures);
	return ret ? ret : jobs_go(&stage->file);
}

static int act_reqbufs(struct stage *stage)
{
	return act_buffers(stage, m2m_reqbufs);
}

static int act_create(struct stage *stage)
{
	return act_buffers(stage, m2m_create);
}

static int before_export(struct stage *stage)
{
	int ret = open_idle(stage);

	return ret ? ret : act_reqbufs(stage);
}

/* A new dma-buf, and another descriptor of the same one. */
static int act_export(struct stage *stage)
{
	int fds[2], ret = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_COUNT(fds); i++) {
		fds[i] = m2m_export(&stage->file.m2m, M2M_CAPTURE, JOB_SLOT, O_RDWR);
		if (fds[i] < 0 && !ret)
			ret = fds[i];
	}
	for (i = 0; i < ARRAY_COUNT(fds); i++)
		close_fd(&fds[i]);
	return ret;
}

static int before_input(struct stage *stage)
{
	int ret = open_streaming(stage);

	ret = ret ? ret : queue_picture(stage);
	return ret ? ret : job_fill(&stage->file, JOB_SLOT, stage->frame);
}

static int before_streamon(struct stage *stage)
{
	int ret = open_streaming(stage);

	ret = ret ? ret : jobs_stop(&stage->file);
	ret = ret ? ret : queue_picture(stage);
	ret = ret ? ret : job_fill(&stage->file, JOB_SLOT, stage->frame);
	return ret ? ret : queue_input(stage);
}

static int act_streamon(struct stage *stage)
{
	int ret = m2m_stream(&stage->file.m2m, M2M_OUTPUT, true);

	return ret ? ret : m2m_stream(&stage->file.m2m, M2M_CAPTURE, true);
}

/* The job waits for another one. */
static int before_next(struct stage *stage)
{
	const __u32 other = stage->frame++;
	int ret = fail_workers_find();

	ret = ret ? ret : open_streaming(stage);
	stage->jobs = stage->kind->dev->block ? knob_get(stage->kind->dev, "jobs") : 0;
	ret = ret ? ret : job_start(&stage->file, OTHER_SLOT, other);
	stage->armed = fences_armed();
	ret = ret ? ret : job_fill(&stage->file, JOB_SLOT, stage->frame);
	ret = ret ? ret : queue_picture(stage);
	return ret ? ret : queue_input(stage);
}

/* vim2m has no knobs, but writes its picture right after it has published its fences. */
static bool job_runs(struct stage *stage)
{
	const struct job_kind *kind = stage->kind;

	if (kind->dev->block)
		return knob_reaches(kind->dev, "jobs", stage->jobs + 2, SOON_MS);
	return kind->shows(kind, job_picture(&stage->file, JOB_SLOT)->data, stage->frame);
}

/* Nothing of it is done by this task. */
static int act_next(struct stage *stage)
{
	const long long end = now_ms() + SOON_MS;
	int ret = job_end(&stage->file, OTHER_SLOT, stage->frame - 1, SOON_MS);

	while (!ret && !job_runs(stage))
		ret = now_ms() < end ? 0 : -ETIME;
	sleep_ms(10);
	return ret;
}

static int before_fence(struct stage *stage)
{
	int ret = before_input(stage);

	return ret ? ret : queue_input(stage);
}

static int act_fence(struct stage *stage)
{
	int fence = dmabuf_fence(job_picture(&stage->file, JOB_SLOT)->dmabuf, DMA_BUF_SYNC_READ);

	if (fence < 0)
		return fence;
	close(fence);
	return 0;
}

const struct op op_open = { .before = before_open, .act = act_open, .after = after_open };
const struct op op_reqbufs = { .before = open_idle, .act = act_reqbufs, .after = after_buffers };

const struct op op_create_bufs = {
	.before = open_idle,
	.act = act_create,
	.after = after_buffers,
};

/* videobuf2 says EINVAL if a memory operation cannot export. */
const struct op op_expbuf = {
	.before = before_export,
	.act = act_export,
	.after = after_buffers,
	.other = -EINVAL,
};

const struct op op_prepare_buf = { .before = open_streaming, .act = prepare_picture };
const struct op op_qbuf_picture = { .before = open_streaming, .act = queue_picture };

const struct op op_qbuf_input = {
	.before = before_input,
	.act = queue_input,
	.starts = true,
	.arms = true,
};

const struct op op_streamon = {
	.before = before_streamon,
	.act = act_streamon,
	.starts = true,
	.arms = true,
};

const struct op op_next_job = {
	.before = before_next,
	.act = act_next,
	.starts = true,
	.arms = true,
	.workers = true,
};

const struct op op_export_sync_file = {
	.before = before_fence,
	.act = act_fence,
	.starts = true,
};
