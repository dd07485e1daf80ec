// SPDX-License-Identifier: GPL-2.0-only
/*
 * Emulated media blocks of the RK3566/RK3568: brings them up and takes them away.
 *
 * A devicetree overlay adds a node for the emulated part of the chip, with a node for each device
 * in it. The driver of the former, here, is their clock, interrupt and reset controller, runs the
 * threads that play them, and then has the devices created, whose drivers are the kernel's own.
 */

#include <linux/device.h>
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/irq_sim.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/of.h>
#include <linux/of_address.h>
#include <linux/of_platform.h>
#include <linux/platform_device.h>
#include <linux/pm.h>
#include <linux/sizes.h>

#include "rkemu-core.h"

/*
 * Where the registers are, as rkemu.dtso has it: a page for each device, in memory that the kernel
 * was told to leave alone.
 */
#define RKEMU_BASE	0x7f000000
#define RKEMU_SIZE	SZ_1M
#define RKEMU_PAGE	SZ_4K

#define RKEMU_CLOCK_HZ	100000000

#ifdef CONFIG_X86
#define RKEMU_BOOT_WITH	"memmap=1M$0x7f000000"
#else
#define RKEMU_BOOT_WITH	"mem=1008M"
#endif

static DEFINE_MUTEX(rkemu_lock);
static bool rkemu_wanted;
static bool rkemu_loaded;
static struct platform_device *rkemu_pdev;

/*
 * The devices see physical addresses: their node has neither dma-ranges nor an IOMMU, and memory
 * encryption, which would set bits in them, is not for a machine with this module. What comes out
 * of a register is not to be trusted: only memory that the kernel manages is reached.
 */
void *rkemu_bus_to_virt(struct rkemu *emu, u64 addr, size_t size)
{
	unsigned long pfn = PHYS_PFN(addr);
	unsigned int offset = offset_in_page(addr);

	if (!size || size > PAGE_SIZE - offset)
		return NULL;
	if (!pfn_valid(pfn) || !page_is_ram(pfn))
		return NULL;
	return page_address(pfn_to_page(pfn)) + offset;
}

static int rkemu_reset_assert(struct reset_controller_dev *resets, unsigned long id)
{
	struct rkemu *emu = container_of(resets, struct rkemu, resets);

	/* Line 0 is the decoder's, the others are the blitter's core, axi and ahb. */
	rkemu_block_reset(&emu->blocks[id ? RKEMU_RGA : RKEMU_VPU]);
	return 0;
}

static int rkemu_reset_deassert(struct reset_controller_dev *resets, unsigned long id)
{
	struct rkemu *emu = container_of(resets, struct rkemu, resets);

	return READ_ONCE(emu->resets_fail) ? -EIO : 0;
}

static const struct reset_control_ops rkemu_reset_ops = {
	.reset = rkemu_reset_assert,
	.assert = rkemu_reset_assert,
	.deassert = rkemu_reset_deassert,
};

static int rkemu_clock_start(struct clk_hw *clock)
{
	struct rkemu *emu = container_of(clock, struct rkemu, clock);

	return READ_ONCE(emu->clocks_fail) ? -EIO : 0;
}

static unsigned long rkemu_clock_rate(struct clk_hw *clock, unsigned long parent_rate)
{
	return RKEMU_CLOCK_HZ;
}

static const struct clk_ops rkemu_clock_ops = {
	.prepare = rkemu_clock_start,
	.enable = rkemu_clock_start,
	.recalc_rate = rkemu_clock_rate,
};

/* Taken back in the opposite order: the drivers go first, the interrupt controller last. */
static int rkemu_probe(struct platform_device *pdev)
{
	static const struct clk_init_data clock = {
		.name = "rkemu",
		.ops = &rkemu_clock_ops,
	};
	struct device *dev = &pdev->dev;
	struct rkemu *emu;
	int ret;

	emu = devm_kzalloc(dev, sizeof(*emu), GFP_KERNEL);
	if (!emu)
		return -ENOMEM;
	emu->dev = dev;
	platform_set_drvdata(pdev, emu);
	mutex_init(&emu->raising);

	emu->domain = devm_irq_domain_create_sim(dev, dev_fwnode(dev), RKEMU_BLOCKS);
	if (IS_ERR(emu->domain))
		return PTR_ERR(emu->domain);

	ret = rkemu_block_add(emu, RKEMU_VPU, &rkemu_vpu_ops,
			      RKEMU_BASE + RKEMU_VPU * RKEMU_PAGE, RKEMU_PAGE);
	if (ret)
		return ret;
	ret = rkemu_block_add(emu, RKEMU_RGA, &rkemu_rga_ops,
			      RKEMU_BASE + RKEMU_RGA * RKEMU_PAGE, RKEMU_PAGE);
	if (ret)
		return ret;
	ret = rkemu_debugfs_add(emu);
	if (ret)
		return ret;

	emu->clock.init = &clock;
	ret = devm_clk_hw_register(dev, &emu->clock);
	if (ret)
		return ret;
	ret = devm_of_clk_add_hw_provider(dev, of_clk_hw_simple_get, &emu->clock);
	if (ret)
		return ret;

	/* Has no owner: drivers that use a line are unbound before this module goes. */
	emu->resets.ops = &rkemu_reset_ops;
	emu->resets.of_node = dev->of_node;
	emu->resets.nr_resets = 4;
	ret = devm_reset_controller_register(dev, &emu->resets);
	if (ret)
		return ret;

	return devm_of_platform_populate(dev);
}

/* By name: a compatible string would be a binding, and these are for hardware. */
static const struct of_device_id rkemu_of_match[] = {
	{ .name = "rkemu" },
	{}
};

/* The devices are suspended before the chip that they are a part of. */
static int rkemu_suspend(struct device *dev)
{
	struct rkemu *emu = dev_get_drvdata(dev);

	return emu->stay_awake ? -EBUSY : 0;
}

static DEFINE_SIMPLE_DEV_PM_OPS(rkemu_pm_ops, rkemu_suspend, NULL);

static struct platform_driver rkemu_driver = {
	.probe = rkemu_probe,
	.driver = {
		.name = "rkemu",
		.pm = pm_sleep_ptr(&rkemu_pm_ops),
		.of_match_table = rkemu_of_match,
	},
};

/* Whether the firmware says that there is memory, as it does on arm64. */
static bool rkemu_in_memory_node(void)
{
	struct device_node *node;
	struct resource res;
	int i;

	for_each_node_by_type(node, "memory") {
		for (i = 0; !of_address_to_resource(node, i, &res); i++) {
			if (res.start <= RKEMU_BASE && res.end >= RKEMU_BASE + RKEMU_SIZE - 1) {
				of_node_put(node);
				return true;
			}
		}
	}
	return false;
}

static bool rkemu_keeps_values(void)
{
	void __iomem *regs = ioremap(RKEMU_BASE, RKEMU_SIZE);
	bool good = true;
	unsigned int i;

	if (!regs)
		return false;
	for (i = 0; i < RKEMU_SIZE; i += RKEMU_PAGE)
		writel(~i, regs + i);
	for (i = 0; i < RKEMU_SIZE; i += RKEMU_PAGE)
		good &= readl(regs + i) == ~i;
	memset_io(regs, 0, RKEMU_SIZE);
	iounmap(regs);
	return good;
}

static int rkemu_check_memory(void)
{
	if (region_intersects(RKEMU_BASE, RKEMU_SIZE, IORESOURCE_SYSTEM_RAM, IORES_DESC_NONE) !=
	    REGION_DISJOINT) {
		pr_err("rkemu: the registers' place is in use as memory: boot with %s\n",
		       RKEMU_BOOT_WITH);
		return -EBUSY;
	}
	/* Not a blind try: what is neither reserved nor memory can be some device's registers. */
	if ((region_intersects(RKEMU_BASE, RKEMU_SIZE, IORESOURCE_MEM, IORES_DESC_RESERVED) !=
	     REGION_INTERSECTS && !rkemu_in_memory_node()) || !rkemu_keeps_values()) {
		pr_err("rkemu: no memory for the registers: boot a machine of 2 GiB with %s\n",
		       RKEMU_BOOT_WITH);
		return -ENXIO;
	}
	return 0;
}

static void rkemu_take_down(void)
{
	if (!rkemu_pdev)
		return;
	/* The devices before what they depend on. */
	of_platform_depopulate(&rkemu_pdev->dev);
	of_platform_device_destroy(&rkemu_pdev->dev, NULL);
	platform_device_put(rkemu_pdev);
	rkemu_pdev = NULL;
}

/*
 * The nodes stay for good, for the next time, and after the module too: buffers that are held
 * refer to their device, which refers to its node, and the devicetree's core cannot remove such a
 * node. Nothing in them is of this module.
 */
static struct device_node *rkemu_node(void)
{
	struct device_node *node = of_find_matching_node(NULL, rkemu_of_match);
	int overlay = 0;
	int ret;

	if (node)
		return node;

	ret = of_overlay_fdt_apply(__dtbo_rkemu_begin, __dtbo_rkemu_end - __dtbo_rkemu_begin,
				   &overlay, NULL);
	if (ret) {
		pr_err("rkemu: the devicetree overlay does not apply: %d\n", ret);
		if (overlay)
			of_overlay_remove(&overlay);
		return NULL;
	}
	return of_find_matching_node(NULL, rkemu_of_match);
}

static int rkemu_bring_up(void)
{
	struct device_node *node;
	int ret;

	ret = rkemu_check_memory();
	if (ret)
		return ret;

	node = rkemu_node();
	if (!node)
		return -ENODEV;
	/* Below the root, the devicetree's core may have created the device with its node. */
	rkemu_pdev = of_find_device_by_node(node);
	if (!rkemu_pdev && of_platform_device_create(node, NULL, NULL))
		rkemu_pdev = of_find_device_by_node(node);
	of_node_put(node);

	if (!rkemu_pdev || !device_is_bound(&rkemu_pdev->dev)) {
		pr_err("rkemu: the devices cannot be made\n");
		rkemu_take_down();
		return -ENODEV;
	}
	return 0;
}

static int rkemu_enable_set(const char *value, const struct kernel_param *kp)
{
	bool on;
	int ret;

	ret = kstrtobool(value ?: "1", &on);
	if (ret)
		return ret;

	mutex_lock(&rkemu_lock);
	/* On the command line it comes before the initcall, which then sees to it. */
	if (rkemu_loaded && on != rkemu_wanted) {
		if (on)
			ret = rkemu_bring_up();
		else
			rkemu_take_down();
	}
	if (!ret)
		rkemu_wanted = on;
	on = rkemu_loaded && rkemu_wanted;
	mutex_unlock(&rkemu_lock);

	/* The drivers may have waited for each other: when this returns the devices are usable. */
	if (!ret && on)
		wait_for_device_probe();
	return ret;
}

static const struct kernel_param_ops rkemu_enable_ops = {
	.flags = KERNEL_PARAM_OPS_FL_NOARG,
	.set = rkemu_enable_set,
	.get = param_get_bool,
};

module_param_cb(enable, &rkemu_enable_ops, &rkemu_wanted, 0644);
__MODULE_PARM_TYPE(enable, "bool");
MODULE_PARM_DESC(enable, "bring the devices up (1) or take them away (0, the default)");

static int __init rkemu_init(void)
{
	int ret;

	ret = platform_driver_register(&rkemu_driver);
	if (ret)
		return ret;

	mutex_lock(&rkemu_lock);
	if (rkemu_wanted)
		ret = rkemu_bring_up();
	/* Built in, it stays: enabling it later returns the reason. */
	if (ret && !IS_MODULE(CONFIG_VIDEO_RKEMU)) {
		rkemu_wanted = false;
		ret = 0;
	}
	rkemu_loaded = !ret;
	mutex_unlock(&rkemu_lock);

	if (ret)
		platform_driver_unregister(&rkemu_driver);
	return ret;
}
module_init(rkemu_init);

static void __exit rkemu_exit(void)
{
	mutex_lock(&rkemu_lock);
	rkemu_loaded = false;
	rkemu_take_down();
	mutex_unlock(&rkemu_lock);
	platform_driver_unregister(&rkemu_driver);
}
module_exit(rkemu_exit);

MODULE_DESCRIPTION("Emulated video decoder and blitter of the RK3566");
MODULE_LICENSE("GPL");
