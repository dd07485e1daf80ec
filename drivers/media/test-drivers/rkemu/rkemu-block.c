// SPDX-License-Identifier: GPL-2.0-only
/*
 * Emulated media blocks of the RK3566/RK3568: a block, that is a page of registers, an interrupt
 * line and the thread that plays the device.
 */

#include <linux/delay.h>
#include <linux/device.h>
#include <linux/err.h>
#include <linux/interrupt.h>
#include <linux/irqdomain.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/preempt.h>

#include "rkemu-core.h"

#define RKEMU_DELAY_US		10000
#define RKEMU_SLOW_FACTOR	10
/* A year: in time all jobs end. */
#define RKEMU_NEVER_US		(365ULL * 24 * 3600 * USEC_PER_SEC)
/* Look at the registers this often; less often once nothing was started for as many looks. */
#define RKEMU_POLL_US		50
#define RKEMU_IDLE_POLL_US	500
#define RKEMU_IDLE_AFTER	2000

bool rkemu_job_aborted(struct rkemu_block *block)
{
	return kthread_should_stop() ||
	       atomic_read(&block->resetting) ||
	       atomic_read(&block->resets) != block->job_reset ||
	       (block->ops->aborted && !block->stuck && block->ops->aborted(block));
}

/*
 * Ends when the handlers have returned. The simulated interrupt is an irq_work of the processor
 * that raises it: a thread that stays there sees the line fall after their end. Only one line is
 * ever up: irq_sim looks for the next one from the last one upwards only, and would look for ever
 * for one below.
 */
static void rkemu_raise(struct rkemu_block *block)
{
	bool pending;

	lockdep_assert_held(&block->emu->raising);

	atomic_inc(&block->interrupts);
	migrate_disable();
	irq_set_irqchip_state(block->virq, IRQCHIP_STATE_PENDING, true);
	do {
		cpu_relax();
		/* Stays as it is if the line is not requested: then it is not raised. */
		pending = false;
		irq_get_irqchip_state(block->virq, IRQCHIP_STATE_PENDING, &pending);
	} while (pending);
	migrate_enable();
}

void rkemu_block_raise(struct rkemu_block *block)
{
	mutex_lock(&block->emu->raising);
	rkemu_raise(block);
	mutex_unlock(&block->emu->raising);
}

/* When this returns, the job that ran writes nothing more and raises no interrupt. */
void rkemu_block_reset(struct rkemu_block *block)
{
	/* For a job that is at work: this is not the moment to wait for its end. */
	atomic_inc(&block->resetting);
	mutex_lock(&block->running);
	atomic_inc(&block->resets);
	atomic_dec(&block->resetting);
	block->ops->power_on(block);
	mutex_unlock(&block->running);
}

/* Whether the time passed without an abort. */
static bool rkemu_wait(struct rkemu_block *block, u64 us)
{
	ktime_t end = ktime_add_us(ktime_get(), us);
	s64 left;

	while (!rkemu_job_aborted(block)) {
		left = ktime_us_delta(end, ktime_get());
		if (left <= 0)
			return true;
		left = clamp_t(s64, left / 2, 20, 1000);
		usleep_idle_range(left, left + 20);
	}
	return false;
}

static enum rkemu_fault rkemu_take_fault(struct rkemu_block *block)
{
	enum rkemu_fault fault = READ_ONCE(block->fault);
	u32 jobs = READ_ONCE(block->fault_jobs);

	if (fault != RKEMU_FAULT_NONE && jobs) {
		if (jobs == 1)
			WRITE_ONCE(block->fault, RKEMU_FAULT_NONE);
		WRITE_ONCE(block->fault_jobs, jobs - 1);
	}
	return fault;
}

static void rkemu_interrupt(struct rkemu_block *block, int error)
{
	block->ops->finish(block, error);
	rkemu_raise(block);
	if (block->ops->acknowledge)
		block->ops->acknowledge(block);
}

static void rkemu_end_job(struct rkemu_block *block, enum rkemu_fault fault, int error)
{
	/* Before the interrupt: when the end is signalled, it is counted. */
	atomic_inc(error ? &block->errors : &block->completed);

	mutex_lock(&block->emu->raising);
	if (fault == RKEMU_FAULT_ERROR_THEN_DONE) {
		/* What the first handler queues for this processor does not run in between. */
		preempt_disable();
		rkemu_interrupt(block, error);
		rkemu_interrupt(block, 0);
		preempt_enable();
	} else {
		rkemu_interrupt(block, error);
		if (fault == RKEMU_FAULT_INTERRUPT_TWICE)
			rkemu_interrupt(block, error);
	}
	mutex_unlock(&block->emu->raising);
}

static void rkemu_run_job(struct rkemu_block *block, enum rkemu_fault fault, u64 delay)
{
	int error = -EIO;

	if (!rkemu_wait(block, delay))
		return;

	if (fault == RKEMU_FAULT_INTERRUPT_BEFORE_WRITE) {
		mutex_lock(&block->running);
		if (!rkemu_job_aborted(block))
			rkemu_end_job(block, fault, 0);
		mutex_unlock(&block->running);
		if (!rkemu_wait(block, delay))
			return;
		mutex_lock(&block->running);
		if (!rkemu_job_aborted(block))
			block->ops->work(block);
		mutex_unlock(&block->running);
		return;
	}

	mutex_lock(&block->running);
	if (fault != RKEMU_FAULT_ERROR && fault != RKEMU_FAULT_ERROR_THEN_DONE &&
	    !rkemu_job_aborted(block))
		error = block->ops->work(block);
	if (!rkemu_job_aborted(block))
		rkemu_end_job(block, fault, error);
	mutex_unlock(&block->running);
}

static bool rkemu_take_start(struct rkemu_block *block)
{
	bool started;

	mutex_lock(&block->running);
	started = block->ops->take_start(block);
	if (started)
		block->job_reset = atomic_read(&block->resets);
	mutex_unlock(&block->running);
	return started;
}

static int rkemu_thread(void *data)
{
	struct rkemu_block *block = data;
	unsigned int looks = 0, pause;
	enum rkemu_fault fault;
	u64 delay;

	while (!kthread_should_stop()) {
		if (!rkemu_take_start(block)) {
			pause = RKEMU_POLL_US;
			if (looks < RKEMU_IDLE_AFTER)
				looks++;
			else
				pause = RKEMU_IDLE_POLL_US;
			usleep_idle_range(pause, 2 * pause);
			continue;
		}
		looks = 0;
		atomic_inc(&block->jobs);
		fault = rkemu_take_fault(block);
		delay = READ_ONCE(block->delay_us);
		if (fault == RKEMU_FAULT_SLOW)
			delay *= RKEMU_SLOW_FACTOR;
		else if (fault == RKEMU_FAULT_NEVER_COMPLETES || fault == RKEMU_FAULT_STUCK)
			delay = RKEMU_NEVER_US;
		block->stuck = fault == RKEMU_FAULT_STUCK;
		rkemu_run_job(block, fault, delay);
		if (block->ops->idle) {
			mutex_lock(&block->running);
			block->ops->idle(block);
			mutex_unlock(&block->running);
		}
	}
	return 0;
}

static void rkemu_block_remove(void *data)
{
	struct rkemu_block *block = data;

	if (block->thread)
		kthread_stop(block->thread);
	irq_dispose_mapping(block->virq);
}

int rkemu_block_add(struct rkemu *emu, unsigned int index, const struct rkemu_block_ops *ops,
		    phys_addr_t regs, size_t size)
{
	struct rkemu_block *block = &emu->blocks[index];
	struct task_struct *thread;
	int ret;

	block->ops = ops;
	block->emu = emu;
	block->dev = emu->dev;
	block->hwirq = index;
	block->delay_us = RKEMU_DELAY_US;
	mutex_init(&block->running);

	/* Without a claim on the region, which is the driver's. */
	block->regs = devm_ioremap(emu->dev, regs, size);
	if (!block->regs)
		return -ENOMEM;

	if (ops->init) {
		ret = ops->init(block);
		if (ret)
			return ret;
	}
	ops->power_on(block);

	block->virq = irq_create_mapping(emu->domain, block->hwirq);
	if (!block->virq)
		return -ENOMEM;
	ret = devm_add_action_or_reset(emu->dev, rkemu_block_remove, block);
	if (ret)
		return ret;

	thread = kthread_run(rkemu_thread, block, "rkemu-%s", ops->name);
	if (IS_ERR(thread))
		return PTR_ERR(thread);
	block->thread = thread;
	return 0;
}
