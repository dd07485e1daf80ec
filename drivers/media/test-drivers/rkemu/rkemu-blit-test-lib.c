// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the emulated RGA's engine: memory with pictures in scattered pages, V4L2's formats, and
 * commands as the driver writes them. None of it knows how the engine does these things.
 */

#include <linux/sizes.h>
#include <linux/string.h>

#include "rkemu-blit-test.h"

const struct rbt_format rbt_formats[RBT_FORMATS] = {
	{ "ARGB32", RGA_COLOR_FMT_ABGR8888, RGA_COLOR_ALPHA_SWAP, 4,
	  { { 8, 8 }, { 16, 8 }, { 24, 8 }, { 0, 8 } } },
	{ "ABGR32", RGA_COLOR_FMT_ABGR8888, RGA_COLOR_RB_SWAP, 4,
	  { { 16, 8 }, { 8, 8 }, { 0, 8 }, { 24, 8 } } },
	{ "XBGR32", RGA_COLOR_FMT_XBGR8888, RGA_COLOR_RB_SWAP, 4,
	  { { 16, 8 }, { 8, 8 }, { 0, 8 } } },
	{ "RGB24", RGA_COLOR_FMT_RGB888, RGA_COLOR_NONE_SWAP, 3,
	  { { 0, 8 }, { 8, 8 }, { 16, 8 } } },
	{ "BGR24", RGA_COLOR_FMT_RGB888, RGA_COLOR_RB_SWAP, 3,
	  { { 16, 8 }, { 8, 8 }, { 0, 8 } } },
	{ "ARGB444", RGA_COLOR_FMT_ABGR4444, RGA_COLOR_RB_SWAP, 2,
	  { { 8, 4 }, { 4, 4 }, { 0, 4 }, { 12, 4 } } },
	{ "ARGB555", RGA_COLOR_FMT_ABGR1555, RGA_COLOR_RB_SWAP, 2,
	  { { 10, 5 }, { 5, 5 }, { 0, 5 }, { 15, 1 } } },
	{ "RGB565", RGA_COLOR_FMT_BGR565, RGA_COLOR_RB_SWAP, 2,
	  { { 11, 5 }, { 5, 6 }, { 0, 5 } } },
	{ "NV21", RGA_COLOR_FMT_YUV420SP, RGA_COLOR_UV_SWAP, 1,
	  .planes = 2, .ydiv = 2, .cr_first = true },
	{ "NV61", RGA_COLOR_FMT_YUV422SP, RGA_COLOR_UV_SWAP, 1,
	  .planes = 2, .ydiv = 1, .cr_first = true },
	{ "NV12", RGA_COLOR_FMT_YUV420SP, RGA_COLOR_NONE_SWAP, 1,
	  .planes = 2, .ydiv = 2 },
	{ "NV16", RGA_COLOR_FMT_YUV422SP, RGA_COLOR_NONE_SWAP, 1,
	  .planes = 2, .ydiv = 1 },
	{ "YUV420", RGA_COLOR_FMT_YUV420P, RGA_COLOR_NONE_SWAP, 1,
	  .planes = 3, .ydiv = 2 },
	{ "YUV422P", RGA_COLOR_FMT_YUV422P, RGA_COLOR_NONE_SWAP, 1,
	  .planes = 3, .ydiv = 1 },
	{ "YVU420", RGA_COLOR_FMT_YUV420P, RGA_COLOR_UV_SWAP, 1,
	  .planes = 3, .ydiv = 2, .cr_first = true },
};

/* The context of a case */

static void *to_virt(void *priv, u64 addr, size_t size)
{
	struct rbt_context *ctx = priv;

	KUNIT_EXPECT_GT(ctx->test, size, 0);
	KUNIT_EXPECT_LE(ctx->test, addr % SZ_4K + size, SZ_4K);
	return addr + size <= RBT_PAGES * SZ_4K ? ctx->memory + addr : NULL;
}

static bool aborted(void *priv)
{
	struct rbt_context *ctx = priv;

	return ctx->lines++ >= ctx->abort_at;
}

int rbt_init(struct kunit *test)
{
	struct rbt_context *ctx = kunit_kzalloc(test, sizeof(*ctx), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, ctx);
	ctx->test = test;
	ctx->memory = kunit_kzalloc(test, RBT_PAGES * SZ_4K, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, ctx->memory);
	ctx->scratch = kunit_kzalloc(test, sizeof(*ctx->scratch), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, ctx->scratch);
	ctx->bus = (struct rkemu_bus){ to_virt, aborted, ctx };
	ctx->abort_at = UINT_MAX;
	/* Page 0 is memory, but must not be taken for the page of an empty entry. */
	ctx->used = 1;
	test->priv = ctx;
	return 0;
}

/* No two pages follow each other. */
static u64 take_page(struct rbt_context *ctx)
{
	unsigned int page = ctx->used++ * 40 % RBT_PAGES;

	KUNIT_ASSERT_LE(ctx->test, ctx->used, RBT_PAGES);
	memset(ctx->memory + page * SZ_4K, RBT_UNTOUCHED, SZ_4K);
	return page * SZ_4K;
}

struct rbt_picture *rbt_new_picture(struct rbt_context *ctx, const struct rbt_format *format,
				    unsigned int w, unsigned int h)
{
	struct rbt_picture *pic = kunit_kzalloc(ctx->test, sizeof(*pic), GFP_KERNEL);
	unsigned int i, chroma = format->planes ? w / 2 * (h / format->ydiv) : 0;

	KUNIT_ASSERT_NOT_NULL(ctx->test, pic);
	*pic = (struct rbt_picture){ ctx, format, w, h, w * format->cpp };
	pic->size = pic->stride * h + 2 * chroma;
	/* What the driver leaves uninitialized. */
	pic->plane[1] = 0xdeadbeef;
	pic->plane[2] = 0xfeedbeef;
	if (format->planes)
		pic->plane[1] = w * h;
	if (format->planes == 3)
		pic->plane[2] = w * h + chroma;

	pic->table_bus = take_page(ctx);
	pic->table = to_virt(ctx, pic->table_bus, SZ_4K);
	memset(pic->table, 0, SZ_4K);
	pic->pages = DIV_ROUND_UP(pic->size, SZ_4K);
	for (i = 0; i < pic->pages; ++i)
		pic->table[i] = take_page(ctx);
	pic->untouched = rbt_get(pic, 0, 0);
	return pic;
}

u8 *rbt_at(const struct rbt_picture *pic, unsigned int offset)
{
	KUNIT_ASSERT_LT(pic->ctx->test, offset, pic->pages * SZ_4K);
	return to_virt(pic->ctx, pic->table[offset / SZ_4K] + offset % SZ_4K, 1);
}

static u8 *yuv_at(const struct rbt_picture *pic, unsigned int x, unsigned int y, unsigned int c)
{
	const struct rbt_format *f = pic->format;

	if (!c)
		return rbt_at(pic, y * pic->stride + x);
	if (f->cr_first)
		c = 3 - c;
	if (f->planes == 2)
		return rbt_at(pic, pic->plane[1] + y / f->ydiv * pic->stride + x / 2 * 2 + c - 1);
	return rbt_at(pic, pic->plane[c] + y / f->ydiv * (pic->stride / 2) + x / 2);
}

static u8 *rgb_at(const struct rbt_picture *pic, unsigned int x, unsigned int y, unsigned int byte)
{
	return rbt_at(pic, y * pic->stride + x * pic->format->cpp + byte);
}

struct rkemu_px rbt_get(const struct rbt_picture *pic, unsigned int x, unsigned int y)
{
	const struct rbt_format *f = pic->format;
	struct rkemu_px px = { { 255, 255, 255, 255 } };
	unsigned int c, i;
	u32 word = 0;

	for (c = 0; f->planes && c < 3; ++c)
		px.c[c] = *yuv_at(pic, x, y, c);
	if (f->planes)
		return px;
	for (i = 0; i < f->cpp; ++i)
		word |= (u32)*rgb_at(pic, x, y, i) << 8 * i;
	for (c = 0; c < 4; ++c)
		px.c[c] = word >> f->field[c][0] << (8 - f->field[c][1]);
	return rbt_narrow(f, px);
}

void rbt_put(const struct rbt_picture *pic, unsigned int x, unsigned int y, struct rkemu_px px)
{
	const struct rbt_format *f = pic->format;
	unsigned int c, i;
	u32 word = 0;

	for (c = 0; f->planes && c < 3; ++c)
		*yuv_at(pic, x, y, c) = px.c[c];
	if (f->planes)
		return;
	for (c = 0; c < 4; ++c)
		word |= (u32)px.c[c] >> (8 - f->field[c][1]) << f->field[c][0];
	for (i = 0; i < f->cpp; ++i)
		*rgb_at(pic, x, y, i) = word >> 8 * i;
}

struct rkemu_px rbt_narrow(const struct rbt_format *format, struct rkemu_px px)
{
	unsigned int c, i;

	if (format->planes)
		px.c[3] = 255;
	for (c = 0; !format->planes && c < 4; ++c) {
		const unsigned int bits = format->field[c][1];
		u8 value = 0;

		/* The bits that there are, over and over. */
		for (i = 0; i < 8; ++i)
			value = value << 1 | (bits ? px.c[c] >> (7 - i % bits) & 1 : 1);
		px.c[c] = value;
	}
	return px;
}

struct rkemu_px rbt_pattern(const struct rbt_format *format, unsigned int x, unsigned int y)
{
	struct rkemu_px px;
	unsigned int c;

	for (c = 0; c < 4; ++c) {
		if (c == 1 && format->planes) {
			x &= ~1;
			y &= ~1;
		}
		px.c[c] = x * 37 + y * 101 + c * 59 + x * y * 3;
	}
	return rbt_narrow(format, px);
}

void rbt_draw(const struct rbt_picture *pic)
{
	unsigned int x, y;

	for (y = 0; y < pic->h; ++y)
		for (x = 0; x < pic->w; ++x)
			rbt_put(pic, x, y, rbt_pattern(pic->format, x, y));
}

/* What comes out */

const struct rbt_format *rbt_named(struct kunit *test, const char *name)
{
	unsigned int i;

	for (i = 0; i < RBT_FORMATS; ++i)
		if (!strcmp(rbt_formats[i].name, name))
			return &rbt_formats[i];
	KUNIT_FAIL_AND_ABORT(test, "no format %s", name);
	return NULL;
}

struct rbt_rect rbt_whole(const struct rbt_picture *pic)
{
	return (struct rbt_rect){ 0, 0, pic->w, pic->h };
}

static bool inside(struct rbt_rect rect, unsigned int x, unsigned int y)
{
	return x - rect.x < rect.w && y - rect.y < rect.h;
}

void rbt_check(const struct rbt_picture *pic, unsigned int x, unsigned int y,
	       struct rkemu_px expected, unsigned int tolerance, bool *failed)
{
	const struct rkemu_px px = rbt_get(pic, x, y);
	unsigned int c;

	for (c = 0; c < 4 && !*failed; ++c)
		if (abs((int)px.c[c] - expected.c[c]) > tolerance)
			*failed = true;
	if (*failed)
		KUNIT_FAIL(pic->ctx->test, "%s %ux%u at %u,%u: %4ph instead of %4ph",
			   pic->format->name, pic->w, pic->h, x, y, px.c, expected.c);
}

void rbt_check_uniform(const struct rbt_picture *pic, struct rbt_rect rect,
		       struct rkemu_px expected, unsigned int tolerance)
{
	bool failed = false;
	unsigned int x, y;

	for (y = rect.y; y < rect.y + rect.h && !failed; ++y)
		for (x = rect.x; x < rect.x + rect.w && !failed; ++x)
			rbt_check(pic, x, y, expected, tolerance, &failed);
}

void rbt_check_untouched(const struct rbt_picture *pic, struct rbt_rect rect)
{
	bool failed = false;
	unsigned int x, y, i;

	for (y = 0; y < pic->h && !failed; ++y)
		for (x = 0; x < pic->w && !failed; ++x)
			if (!inside(rect, x, y))
				rbt_check(pic, x, y, pic->untouched, 0, &failed);
	for (i = pic->size; i < pic->pages * SZ_4K && !failed; ++i)
		failed = *rbt_at(pic, i) != RBT_UNTOUCHED;
	if (failed)
		KUNIT_FAIL(pic->ctx->test, "%s: more than the rectangle was written",
			   pic->format->name);
}

/* The command, as the driver computes it */

static void corner(const struct rbt_picture *pic, const struct rbt_rect *r, bool right, bool bottom,
		   u32 *base)
{
	unsigned int xdiv = pic->format->planes == 3 ? 2 : 1, ydiv = pic->format->ydiv ?: 1, i;

	base[0] = (r->y + (bottom ? r->h - 1 : 0)) * pic->stride +
		  (r->x + (right ? r->w - 1 : 0)) * pic->format->cpp;
	for (i = 1; i < 3; ++i)
		base[i] = pic->plane[i] +
			  (r->y / ydiv + (bottom ? r->h / ydiv - 1 : 0)) * (pic->stride / xdiv) +
			  r->x / xdiv + (right ? r->w / xdiv - 1 : 0);
}

static u32 factor(unsigned int src, unsigned int dst, unsigned int *mode)
{
	*mode = src == dst ? 0 : src > dst ? RGA_SRC_HSCL_MODE_DOWN : RGA_SRC_HSCL_MODE_UP;
	if (src == dst)
		return 0;
	return src > dst ? (dst << 16) / src + 1 : ((src - 1) << 16) / (dst - 1) << 16;
}

static void set_dst(const struct rbt_picture *dst, struct rbt_rect to, bool right, bool bottom)
{
	struct rbt_context *ctx = dst->ctx;

	memset(ctx->command, 0, sizeof(ctx->command));
	corner(dst, &to, right, bottom,
	       &ctx->command[RKEMU_COMMAND_INDEX(RGA_DST_Y_RGB_BASE_ADDR)]);
	RBT_SET(ctx, RGA_MMU_CTRL1, 0x777);
	RBT_SET(ctx, RGA_MMU_DST_BASE, dst->table_bus >> 4);
	RBT_SET(ctx, RGA_DST_INFO, dst->format->hw | dst->format->swap << 4);
	RBT_SET(ctx, RGA_DST_VIR_INFO, dst->stride / 4);
	RBT_SET(ctx, RGA_DST_ACT_INFO, (to.h - 1) << 16 | (to.w - 1));
}

void rbt_program(const struct rbt_picture *src, struct rbt_rect from, const struct rbt_picture *dst,
		 struct rbt_rect to, unsigned int rotation, unsigned int mirror)
{
	/* Left and right, top and bottom: the corner that the first pixel comes to. */
	static const bool right[] = { false, true, true, false };
	static const bool bottom[] = { false, false, true, true };
	struct rbt_context *ctx = src->ctx;
	unsigned int hmode, vmode;

	set_dst(dst, to, right[rotation] ^ (mirror & 1), bottom[rotation] ^ (mirror >> 1));
	RBT_SET(ctx, RGA_MODE_CTRL, BIT(6) | RGA_MODE_RENDER_BITBLT);
	RBT_SET(ctx, RGA_MMU_SRC_BASE, src->table_bus >> 4);
	RBT_SET(ctx, RGA_MMU_SRC1_BASE, dst->table_bus >> 4);
	corner(src, &from, false, false,
	       &ctx->command[RKEMU_COMMAND_INDEX(RGA_SRC_Y_RGB_BASE_ADDR)]);
	if (rotation & 1)
		swap(to.w, to.h);
	RBT_SET(ctx, RGA_SRC_X_FACTOR, factor(from.w, to.w, &hmode));
	RBT_SET(ctx, RGA_SRC_Y_FACTOR, factor(from.h, to.h, &vmode));
	RBT_SET(ctx, RGA_SRC_VIR_INFO, (src->stride / 4 & 0x3ff) << 16 | src->stride / 4);
	RBT_SET(ctx, RGA_SRC_ACT_INFO, (from.h - 1) << 16 | (from.w - 1));
	RBT_SET(ctx, RGA_SRC_INFO, src->format->hw | src->format->swap << 4 | rotation << 10 |
	    mirror << 12 | hmode << 14 | vmode << 16);
}

void rbt_program_fill(const struct rbt_picture *dst, struct rbt_rect to, u32 color)
{
	set_dst(dst, to, false, false);
	RBT_SET(dst->ctx, RGA_MODE_CTRL, RGA_MODE_RENDER_RECTANGLE_FILL);
	RBT_SET(dst->ctx, RGA_SRC_FG_COLOR, color);
}

void rbt_program_csc(struct rbt_context *ctx, unsigned int reg, unsigned int mode)
{
	ctx->command[RKEMU_COMMAND_INDEX(reg)] |= mode << (reg == RGA_SRC_INFO ? 8 : 16);
}

int rbt_run(struct rbt_context *ctx)
{
	return rkemu_blit(ctx->command, &ctx->bus, ctx->scratch);
}
