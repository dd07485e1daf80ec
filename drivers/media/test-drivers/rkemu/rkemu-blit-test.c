// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the emulated RGA's engine: what comes out must follow from V4L2's formats and controls.
 */

#include <linux/kernel.h>

#include "rkemu-blit-test.h"

KUNIT_ARRAY_PARAM_DESC(format, rbt_formats, name);

/* A part of a picture, to another place, in the same format. */
static void copy(struct kunit *test, const struct rbt_format *format, unsigned int w,
		 unsigned int h, struct rbt_rect from, struct rbt_rect to, bool odd)
{
	struct rbt_context *ctx = test->priv;
	struct rbt_picture *src = rbt_new_picture(ctx, format, w, h);
	struct rbt_picture *dst = rbt_new_picture(ctx, format, w, h);
	bool failed = false;
	unsigned int x, y;

	rbt_draw(src);
	rbt_program(src, from, dst, to, 0, 0);
	KUNIT_ASSERT_EQ(test, 0, rbt_run(ctx));
	for (y = 0; y < to.h && !failed; ++y)
		for (x = 0; x < to.w && !failed; ++x) {
			struct rkemu_px px = rbt_pattern(format, from.x + x, from.y + y);

			/* Chroma is shared with what is outside. */
			if (odd && format->planes) {
				const struct rkemu_px is = rbt_get(dst, to.x + x, to.y + y);

				px.c[1] = is.c[1];
				px.c[2] = is.c[2];
			}
			rbt_check(dst, to.x + x, to.y + y, px, 0, &failed);
		}
	if (!odd || !format->planes)
		rbt_check_untouched(dst, to);
}

static void copy_whole(struct kunit *test)
{
	const struct rbt_rect all = { 0, 0, 72, 60 };

	copy(test, test->param_value, all.w, all.h, all, all, false);
}

static void copy_part(struct kunit *test)
{
	copy(test, test->param_value, 72, 60, (struct rbt_rect){ 14, 22, 36, 34 },
	     (struct rbt_rect){ 30, 6, 36, 34 }, false);
}

static void copy_odd(struct kunit *test)
{
	copy(test, test->param_value, 72, 60, (struct rbt_rect){ 3, 5, 35, 37 },
	     (struct rbt_rect){ 36, 23, 35, 37 }, true);
}

/* Lines of more than 4 KiB, for which one of the source's two fields is too small. */
static void copy_wide(struct kunit *test)
{
	const struct rbt_rect all = { 0, 0, 1100, 6 };

	copy(test, rbt_named(test, "XBGR32"), all.w, all.h, all, all, false);
}

/* In both standards, as the definitions have it. */
static const struct color {
	const char *name;
	u8 rgb[3], bt601[3], bt709[3];
} colors[] = {
	{ "white", { 255, 255, 255 }, { 235, 128, 128 }, { 235, 128, 128 } },
	{ "black", { 0, 0, 0 }, { 16, 128, 128 }, { 16, 128, 128 } },
	{ "grey", { 128, 128, 128 }, { 126, 128, 128 }, { 126, 128, 128 } },
	{ "red", { 255, 0, 0 }, { 81, 90, 240 }, { 63, 102, 240 } },
	{ "green", { 0, 255, 0 }, { 145, 54, 34 }, { 173, 42, 26 } },
	{ "blue", { 0, 0, 255 }, { 41, 240, 110 }, { 32, 240, 118 } },
	{ "yellow", { 255, 255, 0 }, { 210, 16, 146 }, { 219, 16, 138 } },
	{ "skin", { 224, 172, 105 }, { 171, 91, 156 }, { 169, 93, 154 } },
};

static struct rkemu_px as(const struct rbt_format *format, const struct color *color, bool bt709)
{
	const u8 *c = !format->planes ? color->rgb : bt709 ? color->bt709 : color->bt601;

	return (struct rkemu_px){ { c[0], c[1], c[2], 255 } };
}

/* How far off a conversion may be: 3, and what is lost in narrow channels. */
static unsigned int tolerance(const struct rbt_format *src, const struct rbt_format *dst)
{
	unsigned int c, most = 0;

	for (c = 0; c < 3; ++c) {
		if (src->field[c][1] % 8)
			most = max(most, 256u >> src->field[c][1]);
		if (dst->field[c][1] % 8)
			most = max(most, 256u >> dst->field[c][1]);
	}
	return 3 + most;
}

static void convert_color(struct kunit *test, const struct rbt_format *to, bool bt709,
			  const struct color *color)
{
	const struct rbt_format *from = test->param_value;
	struct rbt_context *ctx = test->priv;
	const unsigned int used = ctx->used;
	struct rbt_picture *src = rbt_new_picture(ctx, from, 20, 6);
	struct rbt_picture *dst = rbt_new_picture(ctx, to, 20, 6);
	const unsigned int mode = bt709 ? RGA_SRC_CSC_MODE_BT709_R0 : RGA_SRC_CSC_MODE_BT601_R0;
	unsigned int x, y;

	for (y = 0; y < src->h; ++y)
		for (x = 0; x < src->w; ++x)
			rbt_put(src, x, y, as(from, color, bt709));
	rbt_program(src, rbt_whole(src), dst, rbt_whole(dst), 0, 0);
	if (from->planes && !to->planes)
		rbt_program_csc(ctx, RGA_SRC_INFO, mode);
	if (!from->planes && to->planes)
		rbt_program_csc(ctx, RGA_DST_INFO, mode);
	KUNIT_ASSERT_EQ_MSG(test, 0, rbt_run(ctx), "to %s", to->name);
	rbt_check_uniform(dst, rbt_whole(dst), as(to, color, bt709), tolerance(from, to));
	/* The next ones can have the pages. */
	ctx->used = used;
}

/* From one format to all. */
static void convert(struct kunit *test)
{
	unsigned int i, k;

	for (i = 0; i < RBT_FORMATS; ++i) {
		for (k = 0; k < ARRAY_SIZE(colors); ++k) {
			convert_color(test, &rbt_formats[i], false, &colors[k]);
			convert_color(test, &rbt_formats[i], true, &colors[k]);
		}
	}
}

/* Chroma is the mean of what shares it. The lines are so long that there are few in a band. */
static void chroma_mean(struct kunit *test)
{
	struct rbt_context *ctx = test->priv;
	struct rbt_picture *src = rbt_new_picture(ctx, rbt_named(test, "XBGR32"), 24, 40);
	struct rbt_picture *wide = rbt_new_picture(ctx, rbt_named(test, "NV12"), 2184, 40);
	struct rbt_picture *same = rbt_new_picture(ctx, rbt_named(test, "NV16"), 24, 40);
	const struct color *red = &colors[3], *blue = &colors[5];
	bool failed = false;
	unsigned int x, y, direction;

	for (direction = 0; direction < 2; ++direction) {
		struct rbt_picture *dst = direction ? same : wide;

		for (y = 0; y < src->h; ++y)
			for (x = 0; x < src->w; ++x)
				rbt_put(src, x, y, as(src->format, (direction ? x : y) % 2 ?
						     blue : red, false));
		rbt_program(src, rbt_whole(src), dst, rbt_whole(dst), 0, 0);
		rbt_program_csc(ctx, RGA_DST_INFO, RGA_DST_CSC_MODE_BT601_R0);
		KUNIT_ASSERT_EQ(test, 0, rbt_run(ctx));
		for (y = 0; y < dst->h; ++y)
			for (x = 0; x < dst->w; ++x)
				rbt_check(dst, x, y, (struct rkemu_px){ {
					(direction ? x : y) % 2 ? blue->bt601[0] : red->bt601[0],
					(blue->bt601[1] + red->bt601[1]) / 2,
					(blue->bt601[2] + red->bt601[2]) / 2, 255
				} }, 3, &failed);
	}
}

/* Rotation clockwise, then mirroring: where the pixel at @x, @y of the destination comes from. */
static void origin(const struct rbt_picture *src, const struct rbt_picture *dst,
		   unsigned int rotation, unsigned int mirror, unsigned int *x, unsigned int *y)
{
	const unsigned int dx = mirror & RGA_SRC_MIRR_MODE_X ? dst->w - 1 - *x : *x;
	const unsigned int dy = mirror & RGA_SRC_MIRR_MODE_Y ? dst->h - 1 - *y : *y;

	switch (rotation) {
	case 0:
		*x = dx;
		*y = dy;
		break;
	case 1:
		*x = dy;
		*y = src->h - 1 - dx;
		break;
	case 2:
		*x = src->w - 1 - dx;
		*y = src->h - 1 - dy;
		break;
	case 3:
		*x = src->w - 1 - dy;
		*y = dx;
		break;
	}
}

static void turn(struct kunit *test)
{
	const struct rbt_format *format = test->param_value;
	struct rbt_context *ctx = test->priv;
	struct rbt_picture *src = rbt_new_picture(ctx, format, 48, 28);
	const unsigned int used = ctx->used;
	unsigned int rotation, mirror, x, y;

	rbt_draw(src);
	for (rotation = 0; rotation < 4; ++rotation) {
		for (mirror = 0; mirror < 4; ++mirror) {
			struct rbt_picture *dst = rotation & 1 ?
				rbt_new_picture(ctx, format, src->h, src->w) :
				rbt_new_picture(ctx, format, src->w, src->h);
			bool failed = false;

			rbt_program(src, rbt_whole(src), dst, rbt_whole(dst), rotation, mirror);
			KUNIT_ASSERT_EQ(test, 0, rbt_run(ctx));
			for (y = 0; y < dst->h && !failed; ++y) {
				for (x = 0; x < dst->w && !failed; ++x) {
					unsigned int sx = x, sy = y;

					origin(src, dst, rotation, mirror, &sx, &sy);
					rbt_check(dst, x, y, rbt_pattern(format, sx, sy), 0,
						  &failed);
				}
			}
			if (failed)
				KUNIT_FAIL(test, "rotation %u, mirror %u", rotation, mirror);
			rbt_check_untouched(dst, rbt_whole(dst));
			ctx->used = used;
		}
	}
}

/* So many lines become columns that there are few lines in a band. */
static void turn_tall(struct kunit *test)
{
	const struct rbt_format *format = rbt_named(test, "NV12");
	struct rbt_context *ctx = test->priv;
	struct rbt_picture *src = rbt_new_picture(ctx, format, 40, 2184);
	struct rbt_picture *dst = rbt_new_picture(ctx, format, 2184, 40);
	bool failed = false;
	unsigned int x, y;

	rbt_draw(src);
	rbt_program(src, rbt_whole(src), dst, rbt_whole(dst), RGA_SRC_ROT_MODE_90_DEGREE, 0);
	KUNIT_ASSERT_EQ(test, 0, rbt_run(ctx));
	for (y = 0; y < dst->h; ++y)
		for (x = 0; x < dst->w; ++x)
			rbt_check(dst, x, y, rbt_pattern(format, y, src->h - 1 - x), 0, &failed);
}

/* Few source pixels for many bands: these need different parts of the same two lines. */
static void turn_flat(struct kunit *test)
{
	static const unsigned int widths[] = { 3, 5 };
	const struct rbt_format *format = rbt_named(test, "XBGR32");
	struct rbt_context *ctx = test->priv;
	const unsigned int used = ctx->used;
	unsigned int x, y, i;

	for (i = 0; i < ARRAY_SIZE(widths); ++i) {
		struct rbt_picture *src = rbt_new_picture(ctx, format, widths[i], 2);
		struct rbt_picture *dst = rbt_new_picture(ctx, format, 2184, 40);
		bool failed = false;

		for (y = 0; y < src->h; ++y)
			for (x = 0; x < src->w; ++x)
				rbt_put(src, x, y, (struct rkemu_px){ { 50 * x, 0, 0, 255 } });
		rbt_program(src, rbt_whole(src), dst, rbt_whole(dst),
			    RGA_SRC_ROT_MODE_90_DEGREE, 0);
		KUNIT_ASSERT_EQ(test, 0, rbt_run(ctx));
		for (y = 0; y < dst->h; ++y)
			for (x = 0; x < dst->w; ++x)
				rbt_check(dst, x, y, (struct rkemu_px){
					{ 50 * (src->w - 1) * y / (dst->h - 1), 0, 0, 255 }
				}, 2, &failed);
		ctx->used = used;
	}
}

/* Four fields of one colour each; what is @border away from their edges must keep it. */
static void scale_fields(struct kunit *test, unsigned int sw, unsigned int sh, unsigned int dw,
			 unsigned int dh, unsigned int rotation, unsigned int border)
{
	const struct rbt_format *format = test->param_value;
	struct rbt_context *ctx = test->priv;
	struct rbt_picture *src = rbt_new_picture(ctx, format, sw, sh);
	struct rbt_picture *dst = rbt_new_picture(ctx, format, dw, dh);
	struct rkemu_px field[4];
	unsigned int x, y, i;

	for (i = 0; i < 4; ++i)
		field[i] = rbt_pattern(format, 2 * i, 6 * i);
	for (y = 0; y < sh; ++y)
		for (x = 0; x < sw; ++x)
			rbt_put(src, x, y, field[(x >= sw / 2) + 2 * (y >= sh / 2)]);
	rbt_program(src, rbt_whole(src), dst, rbt_whole(dst), rotation, 0);
	KUNIT_ASSERT_EQ(test, 0, rbt_run(ctx));
	rbt_check_untouched(dst, rbt_whole(dst));
	for (i = 0; i < 4; ++i) {
		/* From left to right, from above to below; or turned to the right. */
		static const u8 turned[] = { 2, 0, 3, 1 };
		const struct rbt_rect rect = {
			i % 2 * dw / 2 + border, i / 2 * dh / 2 + border,
			dw / 2 - 2 * border, dh / 2 - 2 * border,
		};

		rbt_check_uniform(dst, rect, field[rotation ? turned[i] : i], 0);
	}
}

static void scale_up(struct kunit *test)
{
	scale_fields(test, 36, 24, 72, 48, 0, 2);
}

static void scale_down(struct kunit *test)
{
	scale_fields(test, 72, 48, 36, 24, 0, 0);
}

static void scale_and_turn(struct kunit *test)
{
	scale_fields(test, 72, 24, 36, 40, RGA_SRC_ROT_MODE_90_DEGREE, 2);
}

/* The two axes on their own, by factors that are not whole. */
static void scale_ramp(struct kunit *test)
{
	static const unsigned int sizes[][2] = { { 64, 64 }, { 90, 64 }, { 64, 150 }, { 40, 50 } };
	const struct rbt_format *format = rbt_named(test, "XBGR32");
	struct rbt_context *ctx = test->priv;
	struct rbt_picture *src = rbt_new_picture(ctx, format, 64, 64);
	unsigned int x, y, i;

	for (y = 0; y < src->h; ++y)
		for (x = 0; x < src->w; ++x)
			rbt_put(src, x, y, (struct rkemu_px){ { 4 * x, 4 * y, 0, 255 } });
	for (i = 0; i < ARRAY_SIZE(sizes); ++i) {
		struct rbt_picture *dst = rbt_new_picture(ctx, format, sizes[i][0], sizes[i][1]);
		bool failed = false;

		rbt_program(src, rbt_whole(src), dst, rbt_whole(dst), 0, 0);
		KUNIT_ASSERT_EQ(test, 0, rbt_run(ctx));
		for (y = 0; y < dst->h; ++y)
			for (x = 0; x < dst->w; ++x)
				rbt_check(dst, x, y, (struct rkemu_px){
					{ 252 * x / (dst->w - 1), 252 * y / (dst->h - 1), 0, 255 }
				}, 3, &failed);
	}
}

/* Halving takes all pixels into account. */
static void scale_mean(struct kunit *test)
{
	const struct rbt_format *format = rbt_named(test, "XBGR32");
	struct rbt_context *ctx = test->priv;
	struct rbt_picture *src = rbt_new_picture(ctx, format, 40, 40);
	struct rbt_picture *dst = rbt_new_picture(ctx, format, 20, 20);
	unsigned int x, y;

	for (y = 0; y < src->h; ++y)
		for (x = 0; x < src->w; ++x)
			rbt_put(src, x, y, (struct rkemu_px){
				{ x % 2 * 200, y % 2 * 100, (x + y) % 2 * 240, 255 }
			});
	rbt_program(src, rbt_whole(src), dst, rbt_whole(dst), 0, 0);
	KUNIT_ASSERT_EQ(test, 0, rbt_run(ctx));
	rbt_check_uniform(dst, rbt_whole(dst), (struct rkemu_px){ { 100, 50, 120, 255 } }, 2);
}

static void fill(struct kunit *test)
{
	const struct rbt_format *format = test->param_value;
	const struct rbt_rect rect = { 12, 4, 40, 22 };
	struct rbt_context *ctx = test->priv;
	const unsigned int used = ctx->used;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(colors); ++i) {
		const u8 *rgb = colors[i].rgb;
		struct rbt_picture *dst = rbt_new_picture(ctx, format, 72, 60);

		rbt_program_fill(dst, rect, rgb[0] | rgb[1] << 8 | rgb[2] << 16 | 0xff000000);
		if (format->planes)
			rbt_program_csc(ctx, RGA_DST_INFO, RGA_DST_CSC_MODE_BT601_R0);
		KUNIT_ASSERT_EQ(test, 0, rbt_run(ctx));
		rbt_check_uniform(dst, rect, as(format, &colors[i], false),
				  tolerance(format, format));
		rbt_check_untouched(dst, rect);
		ctx->used = used;
	}
}

static struct kunit_case rkemu_blit_cases[] = {
	KUNIT_CASE_PARAM(copy_whole, format_gen_params),
	KUNIT_CASE_PARAM(copy_part, format_gen_params),
	KUNIT_CASE_PARAM(copy_odd, format_gen_params),
	KUNIT_CASE(copy_wide),
	KUNIT_CASE_PARAM(convert, format_gen_params),
	KUNIT_CASE(chroma_mean),
	KUNIT_CASE_PARAM(turn, format_gen_params),
	KUNIT_CASE(turn_tall),
	KUNIT_CASE(turn_flat),
	KUNIT_CASE_PARAM(scale_up, format_gen_params),
	KUNIT_CASE_PARAM(scale_down, format_gen_params),
	KUNIT_CASE_PARAM(scale_and_turn, format_gen_params),
	KUNIT_CASE(scale_ramp),
	KUNIT_CASE(scale_mean),
	KUNIT_CASE_PARAM(fill, format_gen_params),
	{ }
};

static struct kunit_suite rkemu_blit_suite = {
	.name = "rkemu-blit",
	.init = rbt_init,
	.test_cases = rkemu_blit_cases,
};

kunit_test_suite(rkemu_blit_suite);
