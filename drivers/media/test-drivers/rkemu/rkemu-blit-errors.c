// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the emulated RGA's engine: what it does not do, and jobs that end early.
 */

#include <linux/sizes.h>
#include <linux/string.h>

#include "rkemu-blit-test.h"

KUNIT_ARRAY_PARAM_DESC(format, rbt_formats, name);

static void abort_midway(struct kunit *test)
{
	static const unsigned int after[] = { 0, 1, 13 };
	const struct rbt_format *format = test->param_value;
	struct rbt_context *ctx = test->priv;
	struct rbt_picture *src = rbt_new_picture(ctx, format, 48, 28);
	const unsigned int used = ctx->used;
	unsigned int i;

	rbt_draw(src);
	for (i = 0; i < ARRAY_SIZE(after); ++i) {
		struct rbt_picture *dst = rbt_new_picture(ctx, format, 48, 28);
		/* Chroma is written with the first of the lines that share it. */
		const unsigned int lines = DIV_ROUND_UP(after[i], format->ydiv ?: 1);
		unsigned int line;

		ctx->lines = 0;
		ctx->abort_at = after[i];
		rbt_program(src, rbt_whole(src), dst, rbt_whole(dst), 0, 0);
		KUNIT_EXPECT_EQ(test, -ECANCELED, rbt_run(ctx));
		KUNIT_EXPECT_EQ(test, after[i] + 1, ctx->lines);
		for (line = 0; line < dst->h; ++line) {
			const u8 *luma = rbt_at(dst, line * dst->stride);

			KUNIT_EXPECT_EQ(test, line < after[i],
					!!memchr_inv(luma, RBT_UNTOUCHED, 8));
		}
		for (line = 0; format->planes == 2 && line < dst->h / format->ydiv; ++line) {
			const u8 *chroma = rbt_at(dst, dst->plane[1] + line * dst->stride);

			KUNIT_EXPECT_EQ(test, line < lines, !!memchr_inv(chroma, RBT_UNTOUCHED, 8));
		}
		ctx->used = used;
	}
}

/* Each of them alone makes a command that the engine does into one that it does not do. */
static const struct refusal {
	const char *name;
	unsigned int reg;
	u32 toggle;
	bool fill;
} refusals[] = {
	{ "palette", RGA_MODE_CTRL, RGA_MODE_RENDER_COLOR_PALETTE },
	{ "palette update", RGA_MODE_CTRL, RGA_MODE_RENDER_UPDATE_PALETTE_LUT_RAM },
	{ "render 4", RGA_MODE_CTRL, 4 },
	{ "blending", RGA_MODE_CTRL, BIT(3) },
	{ "raster operation by pattern", RGA_MODE_CTRL, BIT(4) },
	{ "key on alpha 0", RGA_MODE_CTRL, BIT(5) },
	{ "mode's reserved bits", RGA_MODE_CTRL, BIT(7) },
	{ "source format 3", RGA_SRC_INFO, 3 },
	{ "source format 7", RGA_SRC_INFO, 7 },
	{ "source of 8 bits with palette", RGA_SRC_INFO, RGA_COLOR_FMT_CP_8BPP },
	{ "source without conversion", RGA_SRC_INFO, RGA_COLOR_FMT_YUV420SP },
	{ "source of YUV with red swap", RGA_SRC_INFO, RGA_COLOR_FMT_YUV420SP |
	  RGA_COLOR_RB_SWAP << 4 | RGA_SRC_CSC_MODE_BT601_R0 << 8 },
	{ "source with alpha swap, without alpha", RGA_SRC_INFO, RGA_COLOR_FMT_RGB888 |
	  RGA_COLOR_ALPHA_SWAP << 4 },
	{ "full range", RGA_SRC_INFO, RGA_COLOR_FMT_YUV420SP | RGA_SRC_CSC_MODE_BT601_R1 << 8 },
	{ "source with chroma swap", RGA_SRC_INFO, RGA_COLOR_UV_SWAP << 4 },
	{ "palette's byte order", RGA_SRC_INFO, BIT(7) },
	{ "conversion of RGB", RGA_SRC_INFO, RGA_SRC_CSC_MODE_BT601_R0 << 8 },
	{ "horizontal scaling 3", RGA_SRC_INFO, 3 << 14 },
	{ "vertical scaling 3", RGA_SRC_INFO, 3 << 16 },
	{ "down by factor 0", RGA_SRC_INFO, RGA_SRC_HSCL_MODE_DOWN << 14 },
	{ "key", RGA_SRC_INFO, BIT(18) },
	{ "key's channels", RGA_SRC_INFO, RGA_SRC_TRANS_ENABLE_A << 19 },
	{ "dithering up", RGA_SRC_INFO, BIT(23) },
	{ "other filter", RGA_SRC_INFO, RGA_SRC_BIC_COE_SELEC_BSPLINE << 24 },
	{ "source's reserved bits", RGA_SRC_INFO, BIT(31) },
	{ "source's size", RGA_SRC_ACT_INFO, BIT(13) },
	{ "key's colour", RGA_SRC_TR_COLOR0, 1 },
	{ "destination format 3", RGA_DST_INFO, 3 },
	{ "destination with palette", RGA_DST_INFO, RGA_COLOR_FMT_CP_1BPP },
	{ "destination without conversion", RGA_DST_INFO, RGA_COLOR_FMT_YUV422P },
	{ "conversion to RGB", RGA_DST_INFO, RGA_DST_CSC_MODE_BT601_R0 << 16 },
	{ "clipping", RGA_DST_INFO, BIT(18) },
	{ "dithering down", RGA_DST_INFO, BIT(13) },
	{ "destination's reserved bits", RGA_DST_INFO, BIT(19) },
	{ "raster operation", RGA_ALPHA_CTRL0, BIT(0) },
	{ "alpha", RGA_ALPHA_CTRL1, BIT(2) },
	{ "fading", RGA_FADING_CTRL, BIT(24) },
	{ "pattern", RGA_PAT_CON, 1 },
	{ "raster operation's code", RGA_ROP_CON0, 1 },
	{ "mask", RGA_MASK_BASE, 16 },
	{ "source by bus address", RGA_MMU_CTRL1, BIT(0) },
	{ "destination by bus address", RGA_MMU_CTRL1, BIT(8) },
	{ "fill with conversion", RGA_DST_INFO, RGA_DST_CSC_MODE_BT601_R0 << 16, true },
	{ "fill of YUV without conversion", RGA_DST_INFO, RGA_COLOR_FMT_YUV420P, true },
	{ "fill with gradient", RGA_SRC_X_FACTOR, 1, true },
	{ "fill with rotation", RGA_SRC_INFO, RGA_SRC_ROT_MODE_90_DEGREE << 10, true },
	{ "fill by bus address", RGA_MMU_CTRL1, BIT(8), true },
};

KUNIT_ARRAY_PARAM_DESC(refusal, refusals, name);

static void refuse(struct kunit *test)
{
	/* Its number is 0, so that another one can be toggled in. */
	const struct rbt_format *format = rbt_named(test, "ARGB32");
	const struct refusal *refusal = test->param_value;
	struct rbt_context *ctx = test->priv;
	struct rbt_picture *src = rbt_new_picture(ctx, format, 36, 34);
	struct rbt_picture *dst = rbt_new_picture(ctx, format, 36, 34);
	u32 *word = &ctx->command[RKEMU_COMMAND_INDEX(refusal->reg)];

	rbt_draw(src);
	if (refusal->fill)
		rbt_program_fill(dst, rbt_whole(dst), 0);
	else
		rbt_program(src, rbt_whole(src), dst, rbt_whole(dst), 0, 0);
	/* Without swaps, which some formats do not have. */
	RBT_SET(ctx, RGA_SRC_INFO, 0);
	RBT_SET(ctx, RGA_DST_INFO, 0);

	*word ^= refusal->toggle;
	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP, rbt_run(ctx));
	rbt_check_untouched(dst, (struct rbt_rect){ });
	*word ^= refusal->toggle;
	KUNIT_EXPECT_EQ(test, 0, rbt_run(ctx));
}

/* What leads nowhere: one page of a picture, in the middle, or its whole table. */
static void bad_addresses(struct kunit *test)
{
	static const u32 nowhere[] = { 0, RBT_PAGES * SZ_4K, 0xfffff000 };
	const struct rbt_format *format = test->param_value;
	struct rbt_context *ctx = test->priv;
	struct rbt_picture *src = rbt_new_picture(ctx, format, 100, 120);
	struct rbt_picture *dst = rbt_new_picture(ctx, format, 100, 120);
	struct rbt_picture *pics[] = { src, dst };
	static const unsigned int bases[] = { RGA_MMU_SRC_BASE, RGA_MMU_DST_BASE };
	unsigned int i, k;

	rbt_draw(src);
	rbt_program(src, rbt_whole(src), dst, rbt_whole(dst), 0, 0);
	for (k = 0; k < ARRAY_SIZE(pics); ++k) {
		u32 *word = &ctx->command[RKEMU_COMMAND_INDEX(bases[k])];
		u32 *entry = &pics[k]->table[pics[k]->pages - 1];
		const u32 table = *word, page = *entry;

		for (i = 0; i < ARRAY_SIZE(nowhere); ++i) {
			*entry = nowhere[i];
			KUNIT_EXPECT_EQ(test, -EFAULT, rbt_run(ctx));
			*entry = page;
			*word = nowhere[i] >> 4;
			KUNIT_EXPECT_EQ(test, -EFAULT, rbt_run(ctx));
			*word = table;
			KUNIT_EXPECT_EQ(test, 0, rbt_run(ctx));
		}
	}
	/* Behind the last entry, and out of what 32 bits can say. */
	RBT_SET(ctx, RGA_SRC_Y_RGB_BASE_ADDR, src->pages * SZ_4K);
	KUNIT_EXPECT_EQ(test, -EFAULT, rbt_run(ctx));
	RBT_SET(ctx, RGA_SRC_Y_RGB_BASE_ADDR, 0xfffffff0);
	KUNIT_EXPECT_EQ(test, -EFAULT, rbt_run(ctx));
}

static struct kunit_case rkemu_blit_errors_cases[] = {
	KUNIT_CASE_PARAM(abort_midway, format_gen_params),
	KUNIT_CASE_PARAM(refuse, refusal_gen_params),
	KUNIT_CASE_PARAM(bad_addresses, format_gen_params),
	{ }
};

static struct kunit_suite rkemu_blit_errors_suite = {
	.name = "rkemu-blit-errors",
	.init = rbt_init,
	.test_cases = rkemu_blit_errors_cases,
};

kunit_test_suite(rkemu_blit_errors_suite);
