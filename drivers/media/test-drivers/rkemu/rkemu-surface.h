/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Emulated RGA: a picture in memory, seen through the device's page table.
 */
#ifndef __RKEMU_SURFACE_H__
#define __RKEMU_SURFACE_H__

#include <linux/types.h>

#include "rkemu-pixel.h"

/* What the registers can say. */
#define RKEMU_SRC_MAX	8192
#define RKEMU_DST_MAX	4096
/* The line in progress is a part of a band of lines, at least 8 of them. */
#define RKEMU_BAND_PIXELS	(8 * RKEMU_DST_MAX)

/**
 * struct rkemu_bus - how the engine reaches memory, and when it is to stop
 * @to_virt: as rkemu_bus_to_virt()
 * @aborted: whether to stop before the next line is written
 * @priv: for both
 */
struct rkemu_bus {
	void *(*to_virt)(void *priv, u64 addr, size_t size);
	bool (*aborted)(void *priv);
	void *priv;
};

/*
 * Room to work in. The engine does not allocate: a driver may wait for the device on a path on
 * which memory must not be waited for.
 */
struct rkemu_scratch {
	u8 bytes[4 * RKEMU_SRC_MAX];
	struct rkemu_px line[2][RKEMU_SRC_MAX];
	struct rkemu_px scaled[RKEMU_DST_MAX];
	struct rkemu_px band[RKEMU_BAND_PIXELS];
	struct rkemu_px chroma[RKEMU_DST_MAX / 2];
};

/**
 * struct rkemu_surface - the source or the destination
 * @bus: see above
 * @table: where the page table is: bus addresses of pages of 4 KiB, 32 bits each
 * @layout: the format
 * @offset: where the first pixel of each plane is, in bytes: Y or RGB, Cb, Cr. That of Cr means
 *	nothing if it alternates with Cb, and the driver leaves garbage there
 * @stride: bytes from line to line in the first plane
 * @width: in pixels
 * @height: in pixels
 * @left: lines go to the left of @offset
 * @up: the next line is above
 */
struct rkemu_surface {
	const struct rkemu_bus *bus;
	u64 table;
	struct rkemu_layout layout;
	u32 offset[3];
	u32 stride;
	unsigned int width;
	unsigned int height;
	bool left;
	bool up;
};

/* Reads @n pixels of line @y, from column @x on. The surface goes to the right and down. */
int rkemu_surface_load(const struct rkemu_surface *surface, struct rkemu_scratch *scratch,
		       unsigned int x, unsigned int y, struct rkemu_px *px, unsigned int n);

/*
 * Writes line @y, counted from where the surface begins. @next is the line that follows, or @px if
 * there is none: they may share their chroma. @px is reversed if the surface goes to the left.
 */
int rkemu_surface_store(const struct rkemu_surface *surface, struct rkemu_scratch *scratch,
			unsigned int y, struct rkemu_px *px, const struct rkemu_px *next);

#endif
