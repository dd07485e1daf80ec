/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Emulated RGA: the engine. It knows memory and the command, but neither registers nor interrupts.
 */
#ifndef __RKEMU_BLIT_H__
#define __RKEMU_BLIT_H__

#include <linux/types.h>

#include "../../platform/rockchip/rga/rga-hw.h"
#include "rkemu-surface.h"

#define RKEMU_COMMAND_WORDS	(RGA_CMDBUF_SIZE / sizeof(u32))
/* Where the value of a register is in a command. */
#define RKEMU_COMMAND_INDEX(reg)	(((reg) - RGA_MODE_BASE_REG) / sizeof(u32))

/*
 * Does what a command says. 0, or
 * -EOPNOTSUPP: the command has something that is not emulated; nothing was written;
 * -EFAULT: a page table, or what it leads to, is not memory; lines before that were written;
 * -ECANCELED: aborted; lines before that were written.
 */
int rkemu_blit(const u32 *command, const struct rkemu_bus *bus, struct rkemu_scratch *scratch);

#endif
