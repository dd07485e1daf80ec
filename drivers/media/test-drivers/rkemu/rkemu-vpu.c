// SPDX-License-Identifier: GPL-2.0-only
/*
 * Emulated media blocks of the RK3566/RK3568: the video decoder, as the driver hantro knows it
 * ("rockchip,rk3568-vpu", that is the decoder of the VPU2: H.264, MPEG-2 and VP8 to NV12).
 *
 * It does not decode: it writes a picture that names the frame, so that a reader of the picture
 * knows what was decoded into it, and whether all of it is there. The layout of that picture is in
 * Documentation/admin-guide/media/rkemu.rst.
 */

#include <linux/bitfield.h>
#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/crc32.h>
#include <linux/debugfs.h>
#include <linux/device.h>
#include <linux/mm.h>
#include <linux/preempt.h>
#include <linux/string.h>

#include "rkemu.h"

/* The decoder's registers come after those of an encoder, which this chip has elsewhere. */
#define VPU_REGS_SIZE		0x800
#define VPU_SWREG(n)		(0x400 + 4 * (n))

#define VPU_STREAM_LENGTH	VPU_SWREG(51)
#define   VPU_STREAM_LENGTH_M		GENMASK(23, 0)
#define VPU_FORMAT		VPU_SWREG(53)
#define   VPU_FORMAT_MODE		GENMASK(3, 0)
#define VPU_INTERRUPT		VPU_SWREG(55)
#define   VPU_INTERRUPT_ERROR		BIT(12)
#define   VPU_INTERRUPT_READY		BIT(4)
#define   VPU_INTERRUPT_IRQ		BIT(0)
#define VPU_ENABLE		VPU_SWREG(57)
#define   VPU_ENABLE_FIELD		BIT(16)
#define   VPU_ENABLE_TOP_FIELD		BIT(13)
#define   VPU_ENABLE_START		BIT(0)
#define VPU_SOFT_RESET		VPU_SWREG(58)
#define VPU_PICTURE		VPU_SWREG(63)
#define VPU_STREAM		VPU_SWREG(64)
#define VPU_H264_SIZE		VPU_SWREG(110)
#define   VPU_H264_SIZE_HEIGHT		GENMASK(16, 9)
#define   VPU_H264_SIZE_WIDTH		GENMASK(8, 0)
#define VPU_SIZE		VPU_SWREG(120)
#define   VPU_SIZE_WIDTH		GENMASK(31, 23)
#define   VPU_SIZE_HEIGHT		GENMASK(18, 11)
#define VPU_VP8_CTRL		VPU_SWREG(122)
#define   VPU_VP8_CTRL_START_BIT	GENMASK(31, 26)
#define VPU_VP8_PARTITIONS	VPU_SWREG(124)
#define   VPU_VP8_PARTITIONS_MORE	GENMASK(27, 24)
#define VPU_VP8_REFERENCE	VPU_SWREG(131)

enum { VPU_MODE_H264 = 0, VPU_MODE_MPEG2 = 5, VPU_MODE_VP8 = 10 };

/* Of the formats that the driver has for this chip the smallest and the largest, in macroblocks. */
#define VPU_MACROBLOCK		16
#define VPU_MIN			3
#define VPU_MAX_WIDTH		240
#define VPU_MAX_HEIGHT		135

/* The name of a frame: this many blocks, black or white; large ones if they leave half of it. */
#define VPU_NAME_BITS		64
#define VPU_NAME_BLOCK		8
#define VPU_NAME_SMALL_BLOCK	4

#define VPU_BLACK		16
#define VPU_WHITE		235

/**
 * struct vpu - the decoder's own state
 * @next_frame: the number of the next job
 * @references: VP8 jobs whose last frame is another picture than their own
 * @busy: the start bit is set, and the device is to clear it
 * @frame: the job's number
 * @mode: of the registers: what to decode
 * @stream: of the registers: where the bitstream begins
 * @length: of the registers: its length
 * @picture: of the registers: where the picture begins
 * @width: of the registers: of a line, and the distance of two lines
 * @height: of the registers: in lines
 * @fields: of the registers: only every other line is written
 * @bottom: of the registers: the second line, not the first one, is the first one written
 * @line: what is being written
 */
struct vpu {
	u32 next_frame;
	u32 references;
	bool busy;
	u32 frame;
	u32 mode;
	u32 stream;
	u32 length;
	u32 picture;
	u32 width;
	u32 height;
	bool fields;
	bool bottom;
	u8 line[VPU_MAX_WIDTH * VPU_MACROBLOCK];
};

static int vpu_init(struct rkemu_block *block)
{
	block->priv = devm_kzalloc(block->dev, sizeof(struct vpu), GFP_KERNEL);
	return block->priv ? 0 : -ENOMEM;
}

static void vpu_debugfs(struct rkemu_block *block)
{
	struct vpu *vpu = block->priv;

	debugfs_create_u32("frame", 0644, block->dir, &vpu->next_frame);
	debugfs_create_u32("references", 0444, block->dir, &vpu->references);
}

static void vpu_power_on(struct rkemu_block *block)
{
	memset_io(block->regs, 0, VPU_REGS_SIZE);
}

/* What follows a VP8 frame's first partition: the sizes of the other partitions, and these. */
static void vpu_find_vp8_stream(struct rkemu_block *block, struct vpu *vpu)
{
	u32 start_bit = FIELD_GET(VPU_VP8_CTRL_START_BIT, rkemu_read(block, VPU_VP8_CTRL));
	u32 more = FIELD_GET(VPU_VP8_PARTITIONS_MORE, rkemu_read(block, VPU_VP8_PARTITIONS));
	u32 unaligned;

	/* The register has the aligned address of the first one after the sizes, 3 bytes each. */
	vpu->stream += start_bit / 8 - 3 * more;
	/* The length is counted from the aligned address of the sizes. */
	unaligned = vpu->stream % 8;
	vpu->length -= min(vpu->length, unaligned);
}

static bool vpu_take_start(struct rkemu_block *block)
{
	struct vpu *vpu = block->priv;
	u32 enable = rkemu_read(block, VPU_ENABLE);
	u32 size;

	if (!(enable & VPU_ENABLE_START))
		return false;

	/* Some codecs reset the device before each job: that is over once the job is started. */
	rkemu_write(block, VPU_SOFT_RESET, 0);
	vpu->busy = true;
	vpu->frame = vpu->next_frame++;
	vpu->mode = FIELD_GET(VPU_FORMAT_MODE, rkemu_read(block, VPU_FORMAT));
	vpu->stream = rkemu_read(block, VPU_STREAM);
	vpu->length = FIELD_GET(VPU_STREAM_LENGTH_M, rkemu_read(block, VPU_STREAM_LENGTH));
	vpu->picture = rkemu_read(block, VPU_PICTURE);
	if (vpu->mode == VPU_MODE_H264) {
		size = rkemu_read(block, VPU_H264_SIZE);
		vpu->width = FIELD_GET(VPU_H264_SIZE_WIDTH, size) * VPU_MACROBLOCK;
		vpu->height = FIELD_GET(VPU_H264_SIZE_HEIGHT, size) * VPU_MACROBLOCK;
	} else {
		size = rkemu_read(block, VPU_SIZE);
		vpu->width = FIELD_GET(VPU_SIZE_WIDTH, size) * VPU_MACROBLOCK;
		vpu->height = FIELD_GET(VPU_SIZE_HEIGHT, size) * VPU_MACROBLOCK;
	}
	if (vpu->mode == VPU_MODE_VP8) {
		vpu_find_vp8_stream(block, vpu);
		vpu->references += rkemu_read(block, VPU_VP8_REFERENCE) != vpu->picture;
	}

	vpu->fields = vpu->mode != VPU_MODE_VP8 && (enable & VPU_ENABLE_FIELD);
	vpu->bottom = vpu->fields && !(enable & VPU_ENABLE_TOP_FIELD);
	/* The register has the field's first line, and not the picture's. */
	if (vpu->bottom)
		vpu->picture -= vpu->width;
	return true;
}

static bool vpu_aborted(struct rkemu_block *block)
{
	struct vpu *vpu = block->priv;

	/* A reset is seen until the next job is taken, even if the driver starts that at once. */
	return rkemu_read(block, VPU_SOFT_RESET) ||
	       (vpu->busy && !(rkemu_read(block, VPU_ENABLE) & VPU_ENABLE_START));
}

static int vpu_check(struct rkemu_block *block)
{
	struct vpu *vpu = block->priv;
	u64 end = (u64)vpu->picture + vpu->width * vpu->height / 2 * 3;
	u64 addr;

	if (vpu->mode != VPU_MODE_H264 && vpu->mode != VPU_MODE_MPEG2 && vpu->mode != VPU_MODE_VP8)
		return -EINVAL;
	if (vpu->width < VPU_MIN * VPU_MACROBLOCK ||
	    vpu->height < VPU_MIN * VPU_MACROBLOCK ||
	    vpu->width > VPU_MAX_WIDTH * VPU_MACROBLOCK ||
	    vpu->height > VPU_MAX_HEIGHT * VPU_MACROBLOCK ||
	    !vpu->length)
		return -ERANGE;
	for (addr = vpu->picture; addr < end; addr += PAGE_SIZE - offset_in_page(addr)) {
		if (!rkemu_bus_to_virt(block->emu, addr, 1))
			return -EFAULT;
	}
	return 0;
}

/* The usual CRC-32, of zlib and Ethernet. */
static int vpu_crc(struct rkemu_block *block, u32 *crc)
{
	struct vpu *vpu = block->priv;
	u64 addr = vpu->stream;
	u32 left, size;
	void *data;

	*crc = ~0;
	for (left = vpu->length; left; left -= size) {
		if (rkemu_job_aborted(block))
			return -ECANCELED;
		size = min_t(u32, left, PAGE_SIZE - offset_in_page(addr));
		data = rkemu_bus_to_virt(block->emu, addr, size);
		if (!data)
			return -EFAULT;
		*crc = crc32_le(*crc, data, size);
		addr += size;
	}
	*crc = ~*crc;
	return 0;
}

/* A line is shorter than a page, and so in two of them at most. */
static int vpu_write_line(struct rkemu_block *block, u64 addr)
{
	struct vpu *vpu = block->priv;
	u32 first = min_t(u32, vpu->width, PAGE_SIZE - offset_in_page(addr));
	u32 rest = vpu->width - first;
	void *data, *next = NULL;
	int ret = 0;

	BUILD_BUG_ON(sizeof(vpu->line) > PAGE_SIZE);

	data = rkemu_bus_to_virt(block->emu, addr, first);
	if (rest)
		next = rkemu_bus_to_virt(block->emu, addr + first, rest);
	if (!data || (rest && !next))
		return -EFAULT;

	/*
	 * A driver's reset by register does not wait for the device. Without preemption, what the
	 * device still writes then is a line at most, within microseconds.
	 */
	preempt_disable();
	if (rkemu_job_aborted(block)) {
		ret = -ECANCELED;
	} else {
		memcpy(data, vpu->line, first);
		if (rest)
			memcpy(next, vpu->line + first, rest);
	}
	preempt_enable();
	return ret;
}

static void vpu_draw_luma(struct vpu *vpu, u64 name, u32 y)
{
	u32 edge = VPU_NAME_BLOCK, columns, x, bit;

	if (vpu->width / edge * (vpu->height / edge) < 2 * VPU_NAME_BITS)
		edge = VPU_NAME_SMALL_BLOCK;
	columns = vpu->width / edge;

	memset(vpu->line, VPU_BLACK + vpu->frame % 220 * 37 % 220, vpu->width);
	for (x = 0; x < columns; x++) {
		bit = y / edge * columns + x;
		if (bit >= VPU_NAME_BITS)
			break;
		memset(vpu->line + x * edge,
		       name >> (VPU_NAME_BITS - 1 - bit) & 1 ? VPU_WHITE : VPU_BLACK, edge);
	}
}

static void vpu_draw_chroma(struct vpu *vpu)
{
	u8 cb = 16 + (vpu->frame % 225 * 53 + 80) % 225;
	u8 cr = 16 + (vpu->frame % 225 * 97 + 160) % 225;
	u32 x;

	for (x = 0; x < vpu->width; x += 2) {
		vpu->line[x] = cb;
		vpu->line[x + 1] = cr;
	}
}

static int vpu_work(struct rkemu_block *block)
{
	struct vpu *vpu = block->priv;
	u64 chroma, name;
	u32 y, crc, step = vpu->fields ? 2 : 1;
	int ret;

	ret = vpu_check(block);
	if (!ret)
		ret = vpu_crc(block, &crc);
	if (ret)
		return ret;

	name = (u64)vpu->frame << 32 | crc;
	for (y = vpu->bottom; y < vpu->height && !ret; y += step) {
		vpu_draw_luma(vpu, name, y);
		ret = vpu_write_line(block, vpu->picture + (u64)y * vpu->width);
	}
	vpu_draw_chroma(vpu);
	chroma = vpu->picture + (u64)vpu->width * vpu->height;
	for (y = vpu->bottom; y < vpu->height / 2 && !ret; y += step)
		ret = vpu_write_line(block, chroma + (u64)y * vpu->width);
	return ret;
}

static void vpu_finish(struct rkemu_block *block, int error)
{
	struct vpu *vpu = block->priv;

	/* Not at a second interrupt for the same job: the bit can be the next job's by then. */
	if (vpu->busy)
		rkemu_write(block, VPU_ENABLE, rkemu_read(block, VPU_ENABLE) & ~VPU_ENABLE_START);
	vpu->busy = false;
	rkemu_write(block, VPU_INTERRUPT,
		    (error ? VPU_INTERRUPT_ERROR : VPU_INTERRUPT_READY) | VPU_INTERRUPT_IRQ);
}

const struct rkemu_block_ops rkemu_vpu_ops = {
	.name = "vpu",
	.init = vpu_init,
	.debugfs = vpu_debugfs,
	.power_on = vpu_power_on,
	.take_start = vpu_take_start,
	.aborted = vpu_aborted,
	.work = vpu_work,
	.finish = vpu_finish,
};
