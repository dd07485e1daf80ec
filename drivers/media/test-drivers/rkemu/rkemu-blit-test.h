/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tests of the emulated RGA's engine: what the cases need.
 */
#ifndef __RKEMU_BLIT_TEST_H__
#define __RKEMU_BLIT_TEST_H__

#include <kunit/test.h>

#include "rkemu-blit.h"

#define RBT_PAGES	97
#define RBT_FORMATS	15
/* What memory holds that was not written. */
#define RBT_UNTOUCHED	0x5a

/* V4L2's formats as they lie in memory: shift and bits of R, G, B, A; or the planes of YUV. */
struct rbt_format {
	const char *name;
	u8 hw, swap, cpp, field[4][2];
	u8 planes, ydiv;
	bool cr_first;
};

extern const struct rbt_format rbt_formats[RBT_FORMATS];

struct rbt_rect {
	unsigned int x, y, w, h;
};

/* A buffer of @pages pages, of which @size bytes are the picture. */
struct rbt_picture {
	struct rbt_context *ctx;
	const struct rbt_format *format;
	unsigned int w, h, stride, size, pages;
	/* What a pixel is that was not written. */
	struct rkemu_px untouched;
	u32 plane[3];
	u32 *table;
	u64 table_bus;
};

struct rbt_context {
	struct kunit *test;
	u8 *memory;
	/* Pages taken; a case can set it back, and so give pages back. */
	unsigned int used;
	struct rkemu_bus bus;
	struct rkemu_scratch *scratch;
	unsigned int lines, abort_at;
	u32 command[RKEMU_COMMAND_WORDS];
};

#define RBT_SET(ctx, reg, value)	((ctx)->command[RKEMU_COMMAND_INDEX(reg)] = (value))

int rbt_init(struct kunit *test);

struct rbt_picture *rbt_new_picture(struct rbt_context *ctx, const struct rbt_format *format,
				    unsigned int w, unsigned int h);
u8 *rbt_at(const struct rbt_picture *pic, unsigned int offset);
/* Channels that are missing in a format, and pixels outside, are 255. */
struct rkemu_px rbt_get(const struct rbt_picture *pic, unsigned int x, unsigned int y);
void rbt_put(const struct rbt_picture *pic, unsigned int x, unsigned int y, struct rkemu_px px);
/* What the format makes of a pixel. */
struct rkemu_px rbt_narrow(const struct rbt_format *format, struct rkemu_px px);
/* Different everywhere, except where chroma is shared. */
struct rkemu_px rbt_pattern(const struct rbt_format *format, unsigned int x, unsigned int y);
void rbt_draw(const struct rbt_picture *pic);

const struct rbt_format *rbt_named(struct kunit *test, const char *name);
struct rbt_rect rbt_whole(const struct rbt_picture *pic);
/* Fails for the first pixel that is off by more than @tolerance, and then does nothing. */
void rbt_check(const struct rbt_picture *pic, unsigned int x, unsigned int y,
	       struct rkemu_px expected, unsigned int tolerance, bool *failed);
void rbt_check_uniform(const struct rbt_picture *pic, struct rbt_rect rect,
		       struct rkemu_px expected, unsigned int tolerance);
/* All that is not in @rect, and what follows the picture in its last page. */
void rbt_check_untouched(const struct rbt_picture *pic, struct rbt_rect rect);

/* These make the context's command, as the driver does. */
void rbt_program(const struct rbt_picture *src, struct rbt_rect from, const struct rbt_picture *dst,
		 struct rbt_rect to, unsigned int rotation, unsigned int mirror);
void rbt_program_fill(const struct rbt_picture *dst, struct rbt_rect to, u32 color);
void rbt_program_csc(struct rbt_context *ctx, unsigned int reg, unsigned int mode);
int rbt_run(struct rbt_context *ctx);

#endif
