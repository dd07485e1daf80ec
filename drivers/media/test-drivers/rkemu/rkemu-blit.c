// SPDX-License-Identifier: GPL-2.0-only
/*
 * Emulated RGA: the engine. It knows memory and the command, but neither registers nor interrupts.
 *
 * Copies with conversion, cropping, scaling, mirroring and rotation, and fills rectangles. Scaling
 * is bilinear in both directions: halving takes the mean of two by two pixels, but further down
 * pixels are left out. The real device averages all of them, and scales up by a bicubic filter.
 *
 * The registers count. Where the driver fills them so that something else comes out than user space
 * has asked for, that comes out:
 *
 * - The driver writes the source's stride twice. The field of 10 bits that it calls vir_stride
 *   overflows at 4 KiB; the one of 15 bits that it calls vir_width is what is used here.
 * - The destination's sizes have 12 bits, so they are modulo 4096, while the driver allows 8192.
 * - Mode X mirrors along X, that is left and right: from the right corner, with which the driver
 *   pairs it, nothing else stays within the rectangle. The driver sets it for V4L2_CID_VFLIP, and
 *   mode Y for V4L2_CID_HFLIP.
 * - With a selection of an odd size, the driver's right and bottom corners of chroma are one sample
 *   off.
 * - The offset of Cr is not initialized for formats of less than three planes, nor that of Cb for
 *   RGB; they are not used then.
 */

#include <linux/array_size.h>
#include <linux/bits.h>
#include <linux/err.h>
#include <linux/limits.h>
#include <linux/math64.h>
#include <linux/minmax.h>

#include "rkemu-blit.h"

/* Scaling along one axis; positions are in 1/65536 of a source pixel. */
struct scale {
	unsigned int mode;
	u32 up;
	/* Source pixels per destination pixel, in 1/2^32. */
	u64 down;
	unsigned int last;
};

struct position {
	unsigned int index;
	/* Weight of the pixel that follows, in 1/256. */
	unsigned int weight;
};

/* What is in a line of the scratch. */
struct held {
	bool valid;
	unsigned int x, y, n;
};

struct blit {
	struct rkemu_surface src, dst;
	struct scale x, y;
	const struct rkemu_csc *csc;
	/* Lines of the source become columns of the destination. */
	bool transpose;
	struct rkemu_scratch *scratch;
	struct held held[2];
};

/*
 * The bits of a command that are emulated, for each word. Others stand for blending, raster
 * operations, palettes, patterns, keys, dithering, gradients; the driver uses none of them.
 */
#define WORD(reg)	RKEMU_COMMAND_INDEX(reg)

static const u32 common_bits[RKEMU_COMMAND_WORDS] = {
	/* Saturation of gradients says nothing without a gradient, and the driver sets it. */
	[WORD(RGA_MODE_CTRL)] = BIT(6) | GENMASK(2, 0),
	[WORD(RGA_DST_INFO)] = GENMASK(17, 16) | GENMASK(6, 0),
	[WORD(RGA_DST_Y_RGB_BASE_ADDR)] = U32_MAX,
	[WORD(RGA_DST_CB_BASE_ADDR)] = U32_MAX,
	[WORD(RGA_DST_CR_BASE_ADDR)] = U32_MAX,
	[WORD(RGA_DST_VIR_INFO)] = GENMASK(14, 0),
	[WORD(RGA_DST_ACT_INFO)] = GENMASK(27, 16) | GENMASK(11, 0),
	[WORD(RGA_MMU_CTRL1)] = GENMASK(10, 8) | GENMASK(6, 4) | GENMASK(2, 0),
	[WORD(RGA_MMU_SRC_BASE)] = U32_MAX,
	[WORD(RGA_MMU_SRC1_BASE)] = U32_MAX,
	[WORD(RGA_MMU_DST_BASE)] = U32_MAX,
};

static const u32 bitblt_bits[RKEMU_COMMAND_WORDS] = {
	[WORD(RGA_SRC_INFO)] = GENMASK(17, 8) | GENMASK(6, 0),
	[WORD(RGA_SRC_Y_RGB_BASE_ADDR)] = U32_MAX,
	[WORD(RGA_SRC_CB_BASE_ADDR)] = U32_MAX,
	[WORD(RGA_SRC_CR_BASE_ADDR)] = U32_MAX,
	[WORD(RGA_SRC_VIR_INFO)] = GENMASK(25, 16) | GENMASK(14, 0),
	[WORD(RGA_SRC_ACT_INFO)] = GENMASK(28, 16) | GENMASK(12, 0),
	[WORD(RGA_SRC_X_FACTOR)] = U32_MAX,
	[WORD(RGA_SRC_Y_FACTOR)] = U32_MAX,
};

static const u32 fill_bits[RKEMU_COMMAND_WORDS] = {
	[WORD(RGA_SRC_FG_COLOR)] = U32_MAX,
};

static u32 word(const u32 *command, unsigned int reg)
{
	return command[RKEMU_COMMAND_INDEX(reg)];
}

static bool emulated(const u32 *command, const u32 *bits)
{
	unsigned int i;

	for (i = 0; i < RKEMU_COMMAND_WORDS; ++i)
		if (command[i] & ~(common_bits[i] | bits[i]))
			return false;
	return true;
}

static int decode_dst(struct blit *blit, const u32 *command)
{
	const union rga_dst_info info = { word(command, RGA_DST_INFO) };
	const union rga_dst_vir_info vir = { word(command, RGA_DST_VIR_INFO) };
	const union rga_dst_act_info act = { word(command, RGA_DST_ACT_INFO) };
	struct rkemu_surface *dst = &blit->dst;

	/* Without its page table, the device would take the offsets for bus addresses. */
	if (!(word(command, RGA_MMU_CTRL1) & BIT(8)))
		return -EOPNOTSUPP;
	dst->table = (u64)word(command, RGA_MMU_DST_BASE) << 4;
	dst->offset[0] = word(command, RGA_DST_Y_RGB_BASE_ADDR);
	dst->offset[1] = word(command, RGA_DST_CB_BASE_ADDR);
	dst->offset[2] = word(command, RGA_DST_CR_BASE_ADDR);
	dst->stride = vir.data.vir_stride * sizeof(u32);
	dst->width = act.data.act_width + 1;
	dst->height = act.data.act_height + 1;
	return rkemu_layout_init(&dst->layout, info.data.format, info.data.swap);
}

static int decode_src(struct blit *blit, const u32 *command)
{
	const union rga_src_info info = { word(command, RGA_SRC_INFO) };
	const union rga_src_vir_info vir = { word(command, RGA_SRC_VIR_INFO) };
	const union rga_src_act_info act = { word(command, RGA_SRC_ACT_INFO) };
	struct rkemu_surface *src = &blit->src;

	if (!(word(command, RGA_MMU_CTRL1) & BIT(0)))
		return -EOPNOTSUPP;
	src->table = (u64)word(command, RGA_MMU_SRC_BASE) << 4;
	src->offset[0] = word(command, RGA_SRC_Y_RGB_BASE_ADDR);
	src->offset[1] = word(command, RGA_SRC_CB_BASE_ADDR);
	src->offset[2] = word(command, RGA_SRC_CR_BASE_ADDR);
	src->stride = vir.data.vir_width * sizeof(u32);
	src->width = act.data.act_width + 1;
	src->height = act.data.act_height + 1;
	return rkemu_layout_init(&src->layout, info.data.format, info.data.swap);
}

/* To YUV, the destination's mode counts, also if it is filled; to RGB, the source's. */
static int decode_csc(struct blit *blit, const u32 *command, bool fill)
{
	const union rga_src_info src = { word(command, RGA_SRC_INFO) };
	const union rga_dst_info dst = { word(command, RGA_DST_INFO) };
	const bool from_yuv = !fill && blit->src.layout.yuv;
	const bool to_yuv = blit->dst.layout.yuv;

	if ((src.data.csc_mode && (to_yuv || !from_yuv)) ||
	    (dst.data.csc_mode && (!to_yuv || from_yuv)))
		return -EOPNOTSUPP;
	if (from_yuv == to_yuv)
		return 0;
	blit->csc = rkemu_csc_find(to_yuv, to_yuv ? dst.data.csc_mode : src.data.csc_mode);
	return blit->csc ? 0 : -EOPNOTSUPP;
}

static int decode_scale(struct scale *scale, unsigned int mode, u32 factor, unsigned int size)
{
	/* The same for both axes. */
	const union rga_src_x_factor f = { factor };

	scale->mode = mode;
	scale->last = size - 1;
	scale->up = f.data.up_scale_factor;
	switch (mode) {
	case RGA_SRC_HSCL_MODE_NO:
	case RGA_SRC_HSCL_MODE_UP:
		return 0;
	case RGA_SRC_HSCL_MODE_DOWN:
		if (!f.data.down_scale_factor)
			return -EOPNOTSUPP;
		scale->down = div_u64(1ULL << 48, f.data.down_scale_factor);
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

static struct position scale_position(const struct scale *scale, unsigned int i)
{
	struct position position;
	u64 at;

	switch (scale->mode) {
	case RGA_SRC_HSCL_MODE_DOWN:
		/* From the middle of the destination's pixel to the middle of the source's. */
		at = (i * scale->down + scale->down / 2) >> 16;
		at = max(at, 1ULL << 15) - (1 << 15);
		break;
	case RGA_SRC_HSCL_MODE_UP:
		/* The middles of the first pixels are in the same place, and those of the last. */
		at = (u64)i * scale->up;
		break;
	default:
		at = (u64)i << 16;
	}
	/* Factors that do not go with the sizes lead no further than the last pixel. */
	at = min(at, (u64)scale->last << 16);
	position.index = at >> 16;
	position.weight = at >> 8 & 0xff;
	return position;
}

/*
 * Where the writing starts follows from rotation and mirroring, see rga_lookup_draw_pos() in the
 * driver, and from there only one way leads along the lines and stays within the rectangle.
 */
static void decode_direction(struct blit *blit, unsigned int rotation, unsigned int mirror)
{
	static const struct {
		bool transpose, left, up;
	} rotations[] = {
		[RGA_SRC_ROT_MODE_0_DEGREE] = { },
		[RGA_SRC_ROT_MODE_90_DEGREE] = { .transpose = true, .left = true },
		[RGA_SRC_ROT_MODE_180_DEGREE] = { .left = true, .up = true },
		[RGA_SRC_ROT_MODE_270_DEGREE] = { .transpose = true, .up = true },
	};

	blit->transpose = rotations[rotation].transpose;
	blit->dst.left = rotations[rotation].left ^ !!(mirror & RGA_SRC_MIRR_MODE_X);
	blit->dst.up = rotations[rotation].up ^ !!(mirror & RGA_SRC_MIRR_MODE_Y);
}

static int decode_bitblt(struct blit *blit, const u32 *command)
{
	const union rga_src_info info = { word(command, RGA_SRC_INFO) };
	int ret;

	if (!emulated(command, bitblt_bits))
		return -EOPNOTSUPP;
	ret = decode_dst(blit, command) ?: decode_src(blit, command) ?:
	      decode_csc(blit, command, false) ?:
	      decode_scale(&blit->x, info.data.hscl_mode, word(command, RGA_SRC_X_FACTOR),
			   blit->src.width) ?:
	      decode_scale(&blit->y, info.data.vscl_mode, word(command, RGA_SRC_Y_FACTOR),
			   blit->src.height);
	if (!ret)
		decode_direction(blit, info.data.rot_mode, info.data.mir_mode);
	return ret;
}

/* A part of a line of the source. */
static struct rkemu_px *load_line(struct blit *blit, unsigned int x, unsigned int y,
				  unsigned int n)
{
	/* Two lines that follow each other are needed at a time. */
	struct rkemu_px *px = blit->scratch->line[y % 2];
	struct held *held = &blit->held[y % 2];
	int ret;

	if (held->valid && held->x == x && held->y == y && held->n == n)
		return px;
	held->valid = false;
	ret = rkemu_surface_load(&blit->src, blit->scratch, x, y, px, n);
	if (ret)
		return ERR_PTR(ret);
	*held = (struct held){ true, x, y, n };
	return px;
}

/* @a and what is right of it, @b and what is right of that, one line below. */
static struct rkemu_px mix(const struct rkemu_px a[2], const struct rkemu_px b[2],
			   unsigned int x, unsigned int y)
{
	/* Where there is no weight there may be no pixel. */
	const unsigned int right = x ? 1 : 0;
	struct rkemu_px px;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(px.c); ++i) {
		const unsigned int above = a->c[i] * (256 - x) + a[right].c[i] * x;
		const unsigned int below = b->c[i] * (256 - x) + b[right].c[i] * x;

		px.c[i] = (above * (256 - y) + below * y + (1 << 15)) >> 16;
	}
	return px;
}

/* @n pixels of line @y of the scaled source, from column @x on. */
static int scale_line(struct blit *blit, unsigned int x, unsigned int y, struct rkemu_px *px,
		      unsigned int n)
{
	const unsigned int first = scale_position(&blit->x, x).index;
	const unsigned int last = min(scale_position(&blit->x, x + n - 1).index + 1, blit->x.last);
	const struct position py = scale_position(&blit->y, y);
	const struct rkemu_px *line, *below;
	unsigned int i;

	line = load_line(blit, first, py.index, last - first + 1);
	if (IS_ERR(line))
		return PTR_ERR(line);
	below = line;
	if (py.weight)
		below = load_line(blit, first, py.index + 1, last - first + 1);
	if (IS_ERR(below))
		return PTR_ERR(below);

	for (i = 0; i < n; ++i) {
		const struct position p = scale_position(&blit->x, x + i);
		const unsigned int at = p.index - first;

		if (p.weight || py.weight)
			px[i] = mix(&line[at], &below[at], p.weight, py.weight);
		else
			px[i] = line[at];
	}
	return 0;
}

/* Lines of the destination from @y on, in the order in which they are written. */
static int load_band(struct blit *blit, unsigned int y, unsigned int lines)
{
	const unsigned int width = blit->dst.width;
	struct rkemu_px *band = blit->scratch->band;
	struct rkemu_px *scaled = blit->scratch->scaled;
	unsigned int i, k;
	int ret = 0;

	if (!blit->transpose) {
		for (i = 0; i < lines && !ret; ++i)
			ret = scale_line(blit, 0, y + i, &band[i * width], width);
		return ret;
	}
	/* A band for the sake of this: whole columns would look up a page for each pixel. */
	for (i = 0; i < width; ++i) {
		ret = scale_line(blit, y, i, scaled, lines);
		if (ret)
			return ret;
		for (k = 0; k < lines; ++k)
			band[k * width + i] = scaled[k];
	}
	return 0;
}

static int run_bitblt(struct blit *blit)
{
	const unsigned int width = blit->dst.width, height = blit->dst.height;
	/* Even, so that lines that share chroma are in one band. */
	const unsigned int most = RKEMU_BAND_PIXELS / width & ~1u;
	struct rkemu_px *band = blit->scratch->band;
	unsigned int y, i;
	int ret;

	for (y = 0; y < height; y += most) {
		const unsigned int lines = min(most, height - y);

		ret = load_band(blit, y, lines);
		if (ret)
			return ret;
		if (blit->csc)
			rkemu_csc_run(blit->csc, band, lines * width);
		for (i = 0; i < lines; ++i) {
			struct rkemu_px *px = &band[i * width];

			ret = rkemu_surface_store(&blit->dst, blit->scratch, y + i, px,
						  i + 1 < lines ? px + width : px);
			if (ret)
				return ret;
		}
	}
	return 0;
}

/* The colour is in the register as in the first format: red in the lowest byte. */
static int run_fill(struct blit *blit, u32 color)
{
	struct rkemu_px px = { { color, color >> 8, color >> 16, color >> 24 } };
	struct rkemu_px *line = blit->scratch->band;
	unsigned int i, y;
	int ret = 0;

	if (blit->csc)
		rkemu_csc_run(blit->csc, &px, 1);
	for (i = 0; i < blit->dst.width; ++i)
		line[i] = px;
	for (y = 0; y < blit->dst.height && !ret; ++y)
		ret = rkemu_surface_store(&blit->dst, blit->scratch, y, line, line);
	return ret;
}

int rkemu_blit(const u32 *command, const struct rkemu_bus *bus, struct rkemu_scratch *scratch)
{
	const union rga_mode_ctrl mode = { word(command, RGA_MODE_CTRL) };
	struct blit blit = {
		.src.bus = bus,
		.dst.bus = bus,
		.scratch = scratch,
	};
	int ret;

	switch (mode.data.render) {
	case RGA_MODE_RENDER_BITBLT:
		return decode_bitblt(&blit, command) ?: run_bitblt(&blit);
	case RGA_MODE_RENDER_RECTANGLE_FILL:
		if (!emulated(command, fill_bits))
			return -EOPNOTSUPP;
		ret = decode_dst(&blit, command) ?: decode_csc(&blit, command, true);
		return ret ?: run_fill(&blit, word(command, RGA_SRC_FG_COLOR));
	default:
		return -EOPNOTSUPP;
	}
}
