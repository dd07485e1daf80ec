// SPDX-License-Identifier: GPL-2.0-only
/*
 * Emulated media blocks of the RK3566/RK3568: what can be set and seen in debugfs.
 */

#include <linux/debugfs.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "rkemu-core.h"

static const char * const rkemu_fault_names[RKEMU_FAULT_COUNT] = {
	[RKEMU_FAULT_NONE] = "none",
	[RKEMU_FAULT_NEVER_COMPLETES] = "never-completes",
	[RKEMU_FAULT_ERROR] = "error",
	[RKEMU_FAULT_ERROR_THEN_DONE] = "error-then-done",
	[RKEMU_FAULT_INTERRUPT_TWICE] = "interrupt-twice",
	[RKEMU_FAULT_INTERRUPT_BEFORE_WRITE] = "interrupt-before-write",
	[RKEMU_FAULT_SLOW] = "slow",
	[RKEMU_FAULT_STUCK] = "stuck",
};

static int rkemu_fault_show(struct seq_file *s, void *unused)
{
	struct rkemu_block *block = s->private;
	u32 chosen = READ_ONCE(block->fault);
	unsigned int i;

	for (i = 0; i < RKEMU_FAULT_COUNT; i++)
		seq_printf(s, i == chosen ? "%s[%s]" : "%s%s", i ? " " : "", rkemu_fault_names[i]);
	seq_putc(s, '\n');
	return 0;
}

static int rkemu_fault_open(struct inode *inode, struct file *file)
{
	return single_open(file, rkemu_fault_show, inode->i_private);
}

static ssize_t rkemu_fault_write(struct file *file, const char __user *data, size_t count,
				 loff_t *pos)
{
	struct rkemu_block *block = file_inode(file)->i_private;
	char name[32] = {};
	int fault;

	if (count >= sizeof(name))
		return -EINVAL;
	if (copy_from_user(name, data, count))
		return -EFAULT;
	fault = sysfs_match_string(rkemu_fault_names, name);
	if (fault < 0)
		return fault;
	WRITE_ONCE(block->fault, fault);
	return count;
}

static const struct file_operations rkemu_fault_fops = {
	.owner = THIS_MODULE,
	.open = rkemu_fault_open,
	.read = seq_read,
	.write = rkemu_fault_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static int rkemu_raise_set(void *data, u64 value)
{
	struct rkemu_block *block = data;

	if (value != 1)
		return -EINVAL;
	rkemu_block_raise(block);
	return 0;
}

DEFINE_DEBUGFS_ATTRIBUTE(rkemu_raise_fops, NULL, rkemu_raise_set, "%llu\n");

static void rkemu_debugfs_add_block(struct rkemu_block *block, struct dentry *parent)
{
	struct dentry *dir = debugfs_create_dir(block->ops->name, parent);

	block->dir = dir;
	debugfs_create_u32("delay_us", 0644, dir, &block->delay_us);
	debugfs_create_file("fault", 0644, dir, block, &rkemu_fault_fops);
	debugfs_create_u32("fault_jobs", 0644, dir, &block->fault_jobs);
	debugfs_create_file_unsafe("raise", 0200, dir, block, &rkemu_raise_fops);
	debugfs_create_atomic_t("jobs", 0444, dir, &block->jobs);
	debugfs_create_atomic_t("completed", 0444, dir, &block->completed);
	debugfs_create_atomic_t("errors", 0444, dir, &block->errors);
	debugfs_create_atomic_t("interrupts", 0444, dir, &block->interrupts);
	debugfs_create_atomic_t("resets", 0444, dir, &block->resets);
	if (block->ops->debugfs)
		block->ops->debugfs(block);
}

static void rkemu_debugfs_remove(void *data)
{
	struct rkemu *emu = data;

	debugfs_remove_recursive(emu->dir);
}

int rkemu_debugfs_add(struct rkemu *emu)
{
	unsigned int i;

	emu->dir = debugfs_create_dir("rkemu", NULL);
	debugfs_create_bool("stay_awake", 0644, emu->dir, &emu->stay_awake);
	debugfs_create_bool("clocks_fail", 0644, emu->dir, &emu->clocks_fail);
	debugfs_create_bool("resets_fail", 0644, emu->dir, &emu->resets_fail);
	for (i = 0; i < RKEMU_BLOCKS; i++)
		rkemu_debugfs_add_block(&emu->blocks[i], emu->dir);
	return devm_add_action_or_reset(emu->dev, rkemu_debugfs_remove, emu);
}
