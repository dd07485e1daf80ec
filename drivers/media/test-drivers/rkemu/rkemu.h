/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Emulated media blocks of the RK3566/RK3568: what the blocks share.
 *
 * A block is a page of registers in memory that Linux does not manage, an interrupt line and a
 * reset line. A kernel thread per block plays the device: it watches the register that starts a
 * job, waits, writes the picture last of all, and raises the interrupt. The drivers are the
 * kernel's own: they find the blocks through a devicetree overlay and cannot tell the difference.
 */
#ifndef __RKEMU_H__
#define __RKEMU_H__

#include <linux/atomic.h>
#include <linux/io.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/wait.h>

struct dentry;
struct device;
struct rkemu;
struct rkemu_block;
struct task_struct;

/* How the next jobs go wrong; chosen in debugfs. */
enum rkemu_fault {
	RKEMU_FAULT_NONE,
	/* The job never ends: no write, no interrupt. */
	RKEMU_FAULT_NEVER_COMPLETES,
	/* The job ends with the device's error interrupt; nothing is written. */
	RKEMU_FAULT_ERROR,
	/* The same, and right after that interrupt comes the one of a job that ended well. */
	RKEMU_FAULT_ERROR_THEN_DONE,
	/* The job ends well, and its interrupt comes a second time. */
	RKEMU_FAULT_INTERRUPT_TWICE,
	/* The interrupt comes first, the picture is written a delay later. */
	RKEMU_FAULT_INTERRUPT_BEFORE_WRITE,
	/* The job takes ten times the delay. */
	RKEMU_FAULT_SLOW,
	/* The job never ends, and only a reset line stops it, not a register. */
	RKEMU_FAULT_STUCK,
	RKEMU_FAULT_COUNT
};

/**
 * struct rkemu_block_ops - what distinguishes one kind of block from another
 * @name: the block's directory in debugfs, and the name of its thread
 * @init: called once, before all others: allocates @priv of the block (optional)
 * @debugfs: adds files of its own to the block's directory (optional)
 * @power_on: writes the registers' values after a reset
 * @take_start: called over and over while the block is idle: whether a job was started; if so, it
 *	keeps what of the registers the job needs, and clears the start bit if the device does so
 * @aborted: called over and over while a job runs: whether the driver has stopped it by a register;
 *	only reads, and may be called without rkemu_block.running (optional)
 * @idle: called when a job is over, be it before its time: the device does nothing more (optional)
 * @work: does the job, that is reads and writes memory; 0, or a negative error, which becomes the
 *	device's error interrupt. Calls rkemu_job_aborted() before each line that it writes
 * @finish: sets the status registers, just before the interrupt is raised; @error is what @work
 *	said
 * @acknowledge: called after the interrupt was handled: clears the status bits that the driver
 *	asked to have cleared (optional)
 *
 * All from @power_on on are called by the block's thread (@power_on also by the reset controller),
 * with no lock but rkemu_block.running held, and may sleep.
 */
struct rkemu_block_ops {
	const char *name;
	int (*init)(struct rkemu_block *block);
	void (*debugfs)(struct rkemu_block *block);
	void (*power_on)(struct rkemu_block *block);
	bool (*take_start)(struct rkemu_block *block);
	bool (*aborted)(struct rkemu_block *block);
	void (*idle)(struct rkemu_block *block);
	int (*work)(struct rkemu_block *block);
	void (*finish)(struct rkemu_block *block, int error);
	void (*acknowledge)(struct rkemu_block *block);
};

/**
 * struct rkemu_block - an emulated device
 * @ops: its kind
 * @emu: what it is a part of
 * @dev: the device of @emu, for devm_ functions and messages
 * @regs: its registers, as the driver sees them: little endian, 32 bits each
 * @hwirq: its line of the simulated interrupt controller
 * @virq: the same line, as Linux numbers it
 * @thread: plays the device
 * @running: held while a job reads or writes memory, and by a reset, which so waits for it
 * @resetting: resets that wait for @running; a job that sees one stops
 * @resets: resets seen; a job whose number changes under it stops
 * @job_reset: @resets when the job that runs was started
 * @stuck: no register stops the job that runs
 * @delay_us: time from a start to the write, in microseconds
 * @fault: enum rkemu_fault
 * @fault_jobs: how many jobs @fault is for; 0 stands for all that come
 * @jobs: jobs started
 * @completed: jobs that ended well
 * @errors: jobs that ended with the error interrupt
 * @interrupts: interrupts raised
 * @dir: its directory in debugfs
 * @priv: the kind's own
 */
struct rkemu_block {
	const struct rkemu_block_ops *ops;
	struct rkemu *emu;
	struct device *dev;
	void __iomem *regs;
	unsigned int hwirq;
	unsigned int virq;
	struct task_struct *thread;
	struct mutex running; /* the job reads or writes memory */
	atomic_t resetting;
	atomic_t resets;
	int job_reset;
	bool stuck;
	u32 delay_us;
	u32 fault;
	u32 fault_jobs;
	atomic_t jobs;
	atomic_t completed;
	atomic_t errors;
	atomic_t interrupts;
	struct dentry *dir;
	void *priv;
};

static inline u32 rkemu_read(struct rkemu_block *block, unsigned int reg)
{
	return readl(block->regs + reg);
}

static inline void rkemu_write(struct rkemu_block *block, unsigned int reg, u32 value)
{
	writel(value, block->regs + reg);
}

/* Whether the job that runs is to stop: a reset, the driver's abort, or the end of the module. */
bool rkemu_job_aborted(struct rkemu_block *block);

/*
 * Memory as a device on the bus sees it: the address for the processor of up to @size bytes at bus
 * address @addr, or NULL if they are not in memory or cross a page.
 */
void *rkemu_bus_to_virt(struct rkemu *emu, u64 addr, size_t size);

extern const struct rkemu_block_ops rkemu_rga_ops;
extern const struct rkemu_block_ops rkemu_vpu_ops;

#endif
