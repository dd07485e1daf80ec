// SPDX-License-Identifier: GPL-2.0-only
/*
 * Emulated RGA: a picture in memory, seen through the device's page table.
 */

#include <linux/bits.h>
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include "rkemu-surface.h"

enum direction {
	FROM_MEMORY,
	TO_MEMORY,
};

/* The device's pages have this size, whatever the kernel's have. */
#define DEVICE_PAGE	SZ_4K

/* Where bytes of chroma are, after those of luma, while a line is taken apart or put together. */
#define CHROMA_BYTES	RKEMU_SRC_MAX
#define CR_BYTES	(CHROMA_BYTES + RKEMU_SRC_MAX)

/* Memory at @offset, up to @size bytes within the page. */
static void *resolve(const struct rkemu_surface *surface, u32 offset, size_t size)
{
	const struct rkemu_bus *bus = surface->bus;
	const u32 *entry;
	u32 page;

	entry = bus->to_virt(bus->priv, surface->table + offset / DEVICE_PAGE * sizeof(*entry),
			     sizeof(*entry));
	if (!entry)
		return NULL;
	/* The device does not know the table's size, but what follows the driver's entries is 0. */
	page = READ_ONCE(*entry) & ~(DEVICE_PAGE - 1);
	if (!page)
		return NULL;
	return bus->to_virt(bus->priv, page + offset % DEVICE_PAGE, size);
}

static int transfer(const struct rkemu_surface *surface, s64 offset, u8 *bytes, size_t size,
		    enum direction direction)
{
	while (size) {
		size_t part = min(size, (size_t)(DEVICE_PAGE - (offset & (DEVICE_PAGE - 1))));
		void *memory;

		if (offset < 0 || offset > U32_MAX)
			return -EFAULT;
		memory = resolve(surface, offset, part);
		if (!memory)
			return -EFAULT;
		if (direction == TO_MEMORY)
			memcpy(memory, bytes, part);
		else
			memcpy(bytes, memory, part);
		offset += part;
		bytes += part;
		size -= part;
	}
	return 0;
}

/* Bytes from line to line of chroma. Where Cb and Cr alternate, there are as many as of luma. */
static u32 chroma_stride(const struct rkemu_surface *surface)
{
	if (surface->layout.planes == 2)
		return surface->stride;
	return surface->stride / surface->layout.xdiv;
}

/*
 * Where Cb or Cr begins, or the pairs of them. The driver counts their bytes, and its right corners
 * are at the second byte of a pair: the device addresses the pair.
 */
static u32 chroma_offset(const struct rkemu_surface *surface, unsigned int component)
{
	if (surface->layout.planes == 2)
		return surface->offset[1] & ~1u;
	if (surface->layout.swapped)
		component = 3 - component;
	return surface->offset[component];
}

/* Chroma is repeated for all pixels that share it. */
static int load_chroma(const struct rkemu_surface *surface, u8 *bytes, unsigned int x,
		       unsigned int y, struct rkemu_px *px, unsigned int n)
{
	const struct rkemu_layout *layout = &surface->layout;
	const unsigned int first = x / layout->xdiv;
	const unsigned int count = (x + n - 1) / layout->xdiv - first + 1;
	const s64 line = (s64)(y / layout->ydiv) * chroma_stride(surface);
	unsigned int step = 1;
	u8 *cb, *cr;
	int ret;

	if (layout->planes == 2) {
		u8 *pairs = bytes + CHROMA_BYTES;

		ret = transfer(surface, chroma_offset(surface, 1) + line + 2 * first, pairs,
			       2 * count, FROM_MEMORY);
		if (ret)
			return ret;
		cb = pairs + (layout->swapped ? 1 : 0);
		cr = pairs + (layout->swapped ? 0 : 1);
		step = 2;
	} else {
		cb = bytes + CHROMA_BYTES;
		cr = bytes + CR_BYTES;
		ret = transfer(surface, chroma_offset(surface, 1) + line + first, cb, count,
			       FROM_MEMORY);
		if (!ret)
			ret = transfer(surface, chroma_offset(surface, 2) + line + first, cr, count,
				       FROM_MEMORY);
		if (ret)
			return ret;
	}

	for (; n; --n, ++x, ++px) {
		const unsigned int i = (x / layout->xdiv - first) * step;

		px->c[1] = cb[i];
		px->c[2] = cr[i];
	}
	return 0;
}

int rkemu_surface_load(const struct rkemu_surface *surface, struct rkemu_scratch *scratch,
		       unsigned int x, unsigned int y, struct rkemu_px *px, unsigned int n)
{
	const struct rkemu_layout *layout = &surface->layout;
	u8 *bytes = scratch->bytes;
	unsigned int i;
	int ret;

	ret = transfer(surface, surface->offset[0] + (s64)y * surface->stride + x * layout->cpp,
		       bytes, n * layout->cpp, FROM_MEMORY);
	if (ret)
		return ret;

	if (!layout->yuv) {
		rkemu_unpack_rgb(layout, bytes, px, n);
		return 0;
	}
	for (i = 0; i < n; ++i) {
		px[i].c[0] = bytes[i];
		px[i].c[3] = 255;
	}
	return load_chroma(surface, bytes, x, y, px, n);
}

static void reverse(struct rkemu_px *px, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n / 2; ++i)
		swap(px[i], px[n - 1 - i]);
}

/* Writes @n units of @size bytes that begin at @offset and go to the surface's side. */
static int store_units(const struct rkemu_surface *surface, s64 offset, u8 *bytes, unsigned int n,
		       unsigned int size)
{
	if (surface->left)
		offset -= (n - 1) * size;
	return transfer(surface, offset, bytes, n * size, TO_MEMORY);
}

/* A sample of chroma is the mean of the pixels that share it. */
static unsigned int mean_chroma(const struct rkemu_surface *surface, const struct rkemu_px *px,
				const struct rkemu_px *next, struct rkemu_px *chroma)
{
	unsigned int x, i;

	for (x = 0; x < surface->width; x += 2, ++chroma) {
		const unsigned int pair = min(x + 1, surface->width - 1);

		for (i = 1; i <= 2; ++i)
			chroma->c[i] = (px[x].c[i] + px[pair].c[i] + next[x].c[i] +
					next[pair].c[i] + 2) / 4;
	}
	return DIV_ROUND_UP(surface->width, 2);
}

static int store_chroma(const struct rkemu_surface *surface, struct rkemu_scratch *scratch,
			s64 line, unsigned int n)
{
	const struct rkemu_px *px = scratch->chroma;
	const unsigned int swapped = surface->layout.swapped;
	unsigned int i, component;
	int ret = 0;

	if (surface->layout.planes == 2) {
		u8 *pairs = scratch->bytes;

		for (i = 0; i < n; ++i) {
			pairs[2 * i + swapped] = px[i].c[1];
			pairs[2 * i + 1 - swapped] = px[i].c[2];
		}
		return store_units(surface, chroma_offset(surface, 1) + line, pairs, n, 2);
	}

	for (component = 1; component <= 2 && !ret; ++component) {
		for (i = 0; i < n; ++i)
			scratch->bytes[i] = px[i].c[component];
		ret = store_units(surface, chroma_offset(surface, component) + line,
				  scratch->bytes, n, 1);
	}
	return ret;
}

int rkemu_surface_store(const struct rkemu_surface *surface, struct rkemu_scratch *scratch,
			unsigned int y, struct rkemu_px *px, const struct rkemu_px *next)
{
	const struct rkemu_layout *layout = &surface->layout;
	const int direction = surface->up ? -1 : 1;
	unsigned int i, n = 0;
	int ret;

	if (surface->bus->aborted(surface->bus->priv))
		return -ECANCELED;

	if (layout->yuv && y % layout->ydiv == 0)
		n = mean_chroma(surface, px, layout->ydiv == 2 ? next : px, scratch->chroma);
	if (surface->left) {
		reverse(px, surface->width);
		reverse(scratch->chroma, n);
	}

	if (layout->yuv) {
		for (i = 0; i < surface->width; ++i)
			scratch->bytes[i] = px[i].c[0];
	} else {
		rkemu_pack_rgb(layout, px, scratch->bytes, surface->width);
	}
	ret = store_units(surface, surface->offset[0] + direction * (s64)y * surface->stride,
			  scratch->bytes, surface->width, layout->cpp);
	if (ret || !n)
		return ret;
	return store_chroma(surface, scratch,
			    direction * (s64)(y / layout->ydiv) * chroma_stride(surface), n);
}
