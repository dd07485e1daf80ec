/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Emulated media blocks of the RK3566/RK3568: what the core's own files share.
 */
#ifndef __RKEMU_CORE_H__
#define __RKEMU_CORE_H__

#include <linux/clk-provider.h>
#include <linux/irqdomain.h>
#include <linux/mutex.h>
#include <linux/reset-controller.h>

#include "rkemu.h"

/* The blocks' pages of registers, interrupt lines and nodes are in this order: see rkemu.dtso. */
enum {
	RKEMU_VPU,
	RKEMU_RGA,
	RKEMU_BLOCKS
};

extern const u8 __dtbo_rkemu_begin[];
extern const u8 __dtbo_rkemu_end[];

/**
 * struct rkemu - the emulated part of the chip
 * @dev: the device of its node in the devicetree
 * @domain: the simulated interrupt controller
 * @raising: held from an interrupt's start to the end of its handlers
 * @resets: the reset controller
 * @clock: that of all devices
 * @dir: its directory in debugfs
 * @stay_awake: refuse to be suspended, which is after the devices were
 * @clocks_fail: the clock can be neither prepared nor enabled
 * @resets_fail: no reset line can be deasserted
 * @blocks: the devices
 */
struct rkemu {
	struct device *dev;
	struct irq_domain *domain;
	struct mutex raising; /* one interrupt at a time */
	struct reset_controller_dev resets;
	struct clk_hw clock;
	struct dentry *dir;
	bool stay_awake;
	bool clocks_fail;
	bool resets_fail;
	struct rkemu_block blocks[RKEMU_BLOCKS];
};

int rkemu_block_add(struct rkemu *emu, unsigned int index, const struct rkemu_block_ops *ops,
		    phys_addr_t regs, size_t size);
void rkemu_block_reset(struct rkemu_block *block);
void rkemu_block_raise(struct rkemu_block *block);

int rkemu_debugfs_add(struct rkemu *emu);

#endif
