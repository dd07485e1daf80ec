/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Emulated RGA: how pixels lie in memory, and how colours are converted.
 */
#ifndef __RKEMU_PIXEL_H__
#define __RKEMU_PIXEL_H__

#include <linux/types.h>

/**
 * struct rkemu_px - a pixel that is being worked on
 * @c: red, green, blue; or Y, Cb, Cr; and then alpha, of which 255 is opaque
 */
struct rkemu_px {
	u8 c[4];
};

/**
 * struct rkemu_layout - how a format lies in memory
 * @known: a row of the table that stands for a format
 * @yuv: Y, Cb, Cr in two or three planes; otherwise one plane of @cpp bytes per pixel
 * @opaque: the alpha bits mean nothing
 * @cpp: bytes per pixel in the first plane
 * @planes: number of planes; in the second of two, Cb and Cr alternate
 * @xdiv: luma columns per chroma sample
 * @ydiv: luma rows per chroma sample
 * @swapped: Cr comes before Cb
 * @field: red, green, blue, alpha in the little endian word that is a pixel
 */
struct rkemu_layout {
	bool known;
	bool yuv;
	bool opaque;
	u8 cpp;
	u8 planes;
	u8 xdiv;
	u8 ydiv;
	bool swapped;
	struct {
		u8 shift;
		u8 bits;
	} field[4];
};

/**
 * struct rkemu_csc - a conversion of colours
 * @in: subtracted first
 * @matrix: in 1/16384
 * @out: added last
 */
struct rkemu_csc {
	s16 in[3];
	s32 matrix[3][3];
	s16 out[3];
};

/* -EOPNOTSUPP if the device has no such format, or no such swap of it. */
int rkemu_layout_init(struct rkemu_layout *layout, unsigned int format, unsigned int swaps);

void rkemu_unpack_rgb(const struct rkemu_layout *layout, const u8 *bytes, struct rkemu_px *px,
		      unsigned int n);
void rkemu_pack_rgb(const struct rkemu_layout *layout, const struct rkemu_px *px, u8 *bytes,
		    unsigned int n);

/* NULL if the mode means no conversion, or none that is known. */
const struct rkemu_csc *rkemu_csc_find(bool to_yuv, unsigned int mode);
void rkemu_csc_run(const struct rkemu_csc *csc, struct rkemu_px *px, unsigned int n);

#endif
