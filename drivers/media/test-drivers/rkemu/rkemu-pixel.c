// SPDX-License-Identifier: GPL-2.0-only
/*
 * Emulated RGA: how pixels lie in memory, and how colours are converted.
 */

#include <linux/array_size.h>
#include <linux/errno.h>
#include <linux/minmax.h>

#include "../../platform/rockchip/rga/rga-hw.h"
#include "rkemu-pixel.h"

#define RED	0
#define GREEN	1
#define BLUE	2
#define ALPHA	3

/*
 * The formats without any swap. A name of the driver's reads from the highest bit of the word to
 * the lowest, so ABGR8888 has its red in the first byte.
 */
static const struct rkemu_layout layouts[RGA_COLOR_FMT_MASK + 1] = {
	[RGA_COLOR_FMT_ABGR8888] = {
		.known = true, .cpp = 4, .field = { { 0, 8 }, { 8, 8 }, { 16, 8 }, { 24, 8 } },
	},
	[RGA_COLOR_FMT_XBGR8888] = {
		.known = true, .cpp = 4, .field = { { 0, 8 }, { 8, 8 }, { 16, 8 }, { 24, 8 } },
		.opaque = true,
	},
	[RGA_COLOR_FMT_RGB888] = {
		.known = true, .cpp = 3, .field = { { 0, 8 }, { 8, 8 }, { 16, 8 } },
	},
	[RGA_COLOR_FMT_BGR565] = {
		.known = true, .cpp = 2, .field = { { 0, 5 }, { 5, 6 }, { 11, 5 } },
	},
	[RGA_COLOR_FMT_ABGR1555] = {
		.known = true, .cpp = 2, .field = { { 0, 5 }, { 5, 5 }, { 10, 5 }, { 15, 1 } },
	},
	[RGA_COLOR_FMT_ABGR4444] = {
		.known = true, .cpp = 2, .field = { { 0, 4 }, { 4, 4 }, { 8, 4 }, { 12, 4 } },
	},
	[RGA_COLOR_FMT_YUV422SP] = {
		.known = true, .cpp = 1, .yuv = true, .planes = 2, .xdiv = 2, .ydiv = 1,
	},
	[RGA_COLOR_FMT_YUV422P] = {
		.known = true, .cpp = 1, .yuv = true, .planes = 3, .xdiv = 2, .ydiv = 1,
	},
	[RGA_COLOR_FMT_YUV420SP] = {
		.known = true, .cpp = 1, .yuv = true, .planes = 2, .xdiv = 2, .ydiv = 2,
	},
	[RGA_COLOR_FMT_YUV420P] = {
		.known = true, .cpp = 1, .yuv = true, .planes = 3, .xdiv = 2, .ydiv = 2,
	},
};

int rkemu_layout_init(struct rkemu_layout *layout, unsigned int format, unsigned int swaps)
{
	if (format >= ARRAY_SIZE(layouts) || !layouts[format].known)
		return -EOPNOTSUPP;
	*layout = layouts[format];

	if (layout->yuv) {
		if (swaps & ~RGA_COLOR_UV_SWAP)
			return -EOPNOTSUPP;
		layout->swapped = swaps & RGA_COLOR_UV_SWAP;
		return 0;
	}

	if (swaps & ~(RGA_COLOR_RB_SWAP | RGA_COLOR_ALPHA_SWAP))
		return -EOPNOTSUPP;
	if (swaps & RGA_COLOR_RB_SWAP)
		swap(layout->field[RED], layout->field[BLUE]);
	/* The alpha bits go from the upper end of the word to the lower one. */
	if (swaps & RGA_COLOR_ALPHA_SWAP) {
		unsigned int i;

		if (!layout->field[ALPHA].bits)
			return -EOPNOTSUPP;
		for (i = RED; i <= BLUE; ++i)
			layout->field[i].shift += layout->field[ALPHA].bits;
		layout->field[ALPHA].shift = 0;
	}
	return 0;
}

/* All ones stay all ones, and the values between are spread evenly. */
static u8 widen(u32 value, unsigned int bits)
{
	u32 most;

	if (bits == 8)
		return value;
	if (!bits)
		return 255;
	most = (1 << bits) - 1;
	return (value * 255 + most / 2) / most;
}

void rkemu_unpack_rgb(const struct rkemu_layout *layout, const u8 *bytes, struct rkemu_px *px,
		      unsigned int n)
{
	unsigned int i;

	for (; n; --n, ++px, bytes += layout->cpp) {
		u32 word = 0;

		for (i = 0; i < layout->cpp; ++i)
			word |= (u32)bytes[i] << (8 * i);
		for (i = RED; i <= ALPHA; ++i) {
			u32 mask = (1 << layout->field[i].bits) - 1;

			px->c[i] = widen(word >> layout->field[i].shift & mask,
					 layout->field[i].bits);
		}
		if (layout->opaque)
			px->c[ALPHA] = 255;
	}
}

/* Without dithering, which is refused, low bits are dropped. */
void rkemu_pack_rgb(const struct rkemu_layout *layout, const struct rkemu_px *px, u8 *bytes,
		    unsigned int n)
{
	unsigned int i;

	for (; n; --n, ++px, bytes += layout->cpp) {
		u32 word = 0;

		for (i = RED; i <= ALPHA; ++i) {
			u32 value = px->c[i] >> (8 - layout->field[i].bits);

			word |= value << layout->field[i].shift;
		}
		for (i = 0; i < layout->cpp; ++i)
			bytes[i] = word >> (8 * i);
	}
}

/*
 * Y from 16 to 235, Cb and Cr from 16 to 240, R, G and B from 0 to 255. Full range (the modes with
 * _R1 in their names) is not emulated: the driver never asks for it.
 */
static const struct rkemu_csc bt601_to_rgb = {
	.in = { 16, 128, 128 },
	.matrix = {
		{ 19077, 0, 26149 },
		{ 19077, -6419, -13320 },
		{ 19077, 33050, 0 },
	},
};

static const struct rkemu_csc bt709_to_rgb = {
	.in = { 16, 128, 128 },
	.matrix = {
		{ 19077, 0, 29372 },
		{ 19077, -3494, -8731 },
		{ 19077, 34610, 0 },
	},
};

static const struct rkemu_csc bt601_to_yuv = {
	.matrix = {
		{ 4207, 8260, 1604 },
		{ -2428, -4768, 7196 },
		{ 7196, -6026, -1170 },
	},
	.out = { 16, 128, 128 },
};

static const struct rkemu_csc bt709_to_yuv = {
	.matrix = {
		{ 2991, 10064, 1016 },
		{ -1649, -5547, 7196 },
		{ 7196, -6536, -660 },
	},
	.out = { 16, 128, 128 },
};

const struct rkemu_csc *rkemu_csc_find(bool to_yuv, unsigned int mode)
{
	/* The modes have the same numbers in both directions. */
	switch (mode) {
	case RGA_SRC_CSC_MODE_BT601_R0:
		return to_yuv ? &bt601_to_yuv : &bt601_to_rgb;
	case RGA_SRC_CSC_MODE_BT709_R0:
		return to_yuv ? &bt709_to_yuv : &bt709_to_rgb;
	default:
		return NULL;
	}
}

void rkemu_csc_run(const struct rkemu_csc *csc, struct rkemu_px *px, unsigned int n)
{
	unsigned int i;

	for (; n; --n, ++px) {
		const s32 a = px->c[0] - csc->in[0];
		const s32 b = px->c[1] - csc->in[1];
		const s32 c = px->c[2] - csc->in[2];

		for (i = 0; i < 3; ++i) {
			const s32 *row = csc->matrix[i];
			s32 sum = row[0] * a + row[1] * b + row[2] * c;

			px->c[i] = clamp(((sum + (1 << 13)) >> 14) + csc->out[i], 0, 255);
		}
	}
}
