// SPDX-License-Identifier: GPL-2.0-only
/*
 * Emulated RGA: the registers. As the driver does it, a job is a command in memory (the device's
 * "master mode"); the device can also be started by its registers alone, which is not emulated.
 */

#include <linux/bits.h>
#include <linux/device.h>
#include <linux/errno.h>
#include <linux/string.h>

#include "rkemu.h"
#include "rkemu-blit.h"

/* Version 3.2, as of the RK3566 and RK3568. */
#define VERSION			0x03263318

/* RGA_SYS_CTRL */
#define SYS_MASTER_MODE		BIT(1)
#define SYS_SOFT_RESET		(BIT(3) | BIT(4))

/* RGA_CMD_CTRL */
#define CMD_START		BIT(0)

/* RGA_STATUS */
#define STATUS_BUSY		BIT(0)

/* RGA_INT: status, 4 bits above it what clears the status, 8 bits above it what enables it */
#define INT_ERROR		BIT(0)
#define INT_MMU			BIT(1)
#define INT_ALL_DONE		BIT(2)
#define INT_STATUS		GENMASK(3, 0)
#define INT_CLEAR_SHIFT		4

/*
 * @command: of the job that runs
 * @error: why there is no command
 */
struct rkemu_rga {
	u32 command[RKEMU_COMMAND_WORDS];
	int error;
	struct rkemu_scratch scratch;
};

static int rkemu_rga_init(struct rkemu_block *block)
{
	block->priv = devm_kzalloc(block->dev, sizeof(struct rkemu_rga), GFP_KERNEL);
	return block->priv ? 0 : -ENOMEM;
}

static void rkemu_rga_power_on(struct rkemu_block *block)
{
	rkemu_write(block, RGA_SYS_CTRL, 0);
	rkemu_write(block, RGA_CMD_CTRL, 0);
	rkemu_write(block, RGA_CMD_BASE, 0);
	rkemu_write(block, RGA_STATUS, 0);
	rkemu_write(block, RGA_INT, 0);
	rkemu_write(block, RGA_MMU_CTRL0, 0);
	rkemu_write(block, RGA_VERSION_INFO, VERSION);
}

static int rkemu_rga_fetch(struct rkemu_block *block, u32 *command)
{
	const void *memory;

	if (!(rkemu_read(block, RGA_SYS_CTRL) & SYS_MASTER_MODE))
		return -EOPNOTSUPP;
	memory = rkemu_bus_to_virt(block->emu, rkemu_read(block, RGA_CMD_BASE), RGA_CMDBUF_SIZE);
	if (!memory)
		return -EFAULT;
	memcpy(command, memory, RGA_CMDBUF_SIZE);
	return 0;
}

static bool rkemu_rga_take_start(struct rkemu_block *block)
{
	struct rkemu_rga *rga = block->priv;

	if (!(rkemu_read(block, RGA_CMD_CTRL) & CMD_START))
		return false;
	rkemu_write(block, RGA_CMD_CTRL, 0);
	/* A job that was stopped before it was seen */
	if (rkemu_read(block, RGA_SYS_CTRL) & SYS_SOFT_RESET)
		return false;
	rkemu_write(block, RGA_STATUS, STATUS_BUSY);
	rga->error = rkemu_rga_fetch(block, rga->command);
	return true;
}

/* Besides the reset lines, there is a register. Its reset is over when the engine is idle. */
static bool rkemu_rga_aborted(struct rkemu_block *block)
{
	return rkemu_read(block, RGA_SYS_CTRL) & SYS_SOFT_RESET;
}

static void rkemu_rga_idle(struct rkemu_block *block)
{
	rkemu_write(block, RGA_STATUS, 0);
}

static void *rkemu_rga_to_virt(void *priv, u64 addr, size_t size)
{
	struct rkemu_block *block = priv;

	return rkemu_bus_to_virt(block->emu, addr, size);
}

static bool rkemu_rga_job_aborted(void *priv)
{
	return rkemu_job_aborted(priv);
}

static int rkemu_rga_work(struct rkemu_block *block)
{
	const struct rkemu_bus bus = {
		.to_virt = rkemu_rga_to_virt,
		.aborted = rkemu_rga_job_aborted,
		.priv = block,
	};
	struct rkemu_rga *rga = block->priv;

	return rga->error ?: rkemu_blit(rga->command, &bus, &rga->scratch);
}

/*
 * An address that leads nowhere is the page table's fault, anything else a general error. The real
 * device raises its line only for what is enabled; here the line goes up in any case, so that a
 * wrong command does not look like a lost interrupt.
 */
static void rkemu_rga_finish(struct rkemu_block *block, int error)
{
	u32 status = INT_ALL_DONE;

	if (error)
		status = error == -EFAULT ? INT_MMU : INT_ERROR;
	rkemu_write(block, RGA_STATUS, 0);
	rkemu_write(block, RGA_INT, rkemu_read(block, RGA_INT) | status);
}

/*
 * In a real device the bits that clear go back to 0 at once, and writing the status itself does
 * nothing. Here a driver that writes the register without them has cleared the status too; this one
 * does so before each start, when there is none.
 */
static void rkemu_rga_acknowledge(struct rkemu_block *block)
{
	const u32 value = rkemu_read(block, RGA_INT);
	const u32 cleared = value >> INT_CLEAR_SHIFT & INT_STATUS;

	if (cleared)
		rkemu_write(block, RGA_INT, value & ~(cleared | cleared << INT_CLEAR_SHIFT));
}

const struct rkemu_block_ops rkemu_rga_ops = {
	.name = "rga",
	.init = rkemu_rga_init,
	.power_on = rkemu_rga_power_on,
	.take_start = rkemu_rga_take_start,
	.aborted = rkemu_rga_aborted,
	.idle = rkemu_rga_idle,
	.work = rkemu_rga_work,
	.finish = rkemu_rga_finish,
	.acknowledge = rkemu_rga_acknowledge,
};
