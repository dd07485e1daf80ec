// SPDX-License-Identifier: GPL-2.0-only
/*
 * Jobs of the emulated decoder and of visl.
 *
 * The decoder does not decode: its picture has the checksum of the bitstream in it. So a bitstream
 * may be anything, and only what goes with it, for the driver, has to make sense.
 */

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "jobs.h"

#define WIDTH		128
#define HEIGHT		96
#define BITSTREAM	512
#define VP8_HEADER	10
#define VP8_FIRST_PART	64

/* How a picture names its job: see Documentation/admin-guide/media/rkemu.rst. */
#define NAME_BITS	64
#define NAME_BLOCK	8
#define BLACK		16
#define WHITE		235

int set_controls(int fd, int request, struct v4l2_ext_control *list, unsigned int count)
{
	struct v4l2_ext_controls controls = {
		.which = V4L2_CTRL_WHICH_REQUEST_VAL,
		.request_fd = request,
		.count = count,
		.controls = list,
	};

	return ioctl(fd, VIDIOC_S_EXT_CTRLS, &controls) ? -errno : 0;
}

#define CONTROL(_id, _data)	{ .id = (_id), .size = sizeof(_data), .ptr = &(_data) }

/* A frame of its own, of the baseline profile. */
static int h264_controls(int fd, int request)
{
	struct v4l2_ctrl_h264_sps sps = {
		.profile_idc = 66,
		.level_idc = 30,
		.chroma_format_idc = 1,
		.max_num_ref_frames = 1,
		.pic_width_in_mbs_minus1 = WIDTH / 16 - 1,
		.pic_height_in_map_units_minus1 = HEIGHT / 16 - 1,
		.flags = V4L2_H264_SPS_FLAG_FRAME_MBS_ONLY,
	};
	struct v4l2_ctrl_h264_pps pps = {};
	struct v4l2_ctrl_h264_scaling_matrix matrix;
	struct v4l2_ctrl_h264_decode_params params = {
		.nal_ref_idc = 1,
		.flags = V4L2_H264_DECODE_PARAM_FLAG_IDR_PIC,
	};
	struct v4l2_ext_control list[] = {
		CONTROL(V4L2_CID_STATELESS_H264_SPS, sps),
		CONTROL(V4L2_CID_STATELESS_H264_PPS, pps),
		CONTROL(V4L2_CID_STATELESS_H264_SCALING_MATRIX, matrix),
		CONTROL(V4L2_CID_STATELESS_H264_DECODE_PARAMS, params),
		{
			.id = V4L2_CID_STATELESS_H264_DECODE_MODE,
			.value = V4L2_STATELESS_H264_DECODE_MODE_FRAME_BASED,
		},
		{
			.id = V4L2_CID_STATELESS_H264_START_CODE,
			.value = V4L2_STATELESS_H264_START_CODE_ANNEX_B,
		},
	};

	memset(&matrix, 16, sizeof(matrix));
	return set_controls(fd, request, list, ARRAY_COUNT(list));
}

static int mpeg2_controls(int fd, int request)
{
	struct v4l2_ctrl_mpeg2_sequence sequence = {
		.horizontal_size = WIDTH,
		.vertical_size = HEIGHT,
		.vbv_buffer_size = 112,
		.profile_and_level_indication = 0x48,
		.chroma_format = 1,
		.flags = V4L2_MPEG2_SEQ_FLAG_PROGRESSIVE,
	};
	struct v4l2_ctrl_mpeg2_picture picture = {
		.flags = V4L2_MPEG2_PIC_FLAG_FRAME_PRED_DCT | V4L2_MPEG2_PIC_FLAG_PROGRESSIVE,
		.f_code = { { 15, 15 }, { 15, 15 } },
		.picture_coding_type = V4L2_MPEG2_PIC_CODING_TYPE_I,
		.picture_structure = V4L2_MPEG2_PIC_FRAME,
	};
	struct v4l2_ctrl_mpeg2_quantisation quantisation;
	struct v4l2_ext_control list[] = {
		CONTROL(V4L2_CID_STATELESS_MPEG2_SEQUENCE, sequence),
		CONTROL(V4L2_CID_STATELESS_MPEG2_PICTURE, picture),
		CONTROL(V4L2_CID_STATELESS_MPEG2_QUANTISATION, quantisation),
	};

	memset(&quantisation, 16, sizeof(quantisation));
	return set_controls(fd, request, list, ARRAY_COUNT(list));
}

/* A key frame with one partition of coefficients. */
/* The driver looks for the pictures that a frame refers to, even if it is a key frame. */
static int vp8_controls(int fd, int request)
{
	const __u64 reference_ns = JOB_REFERENCE * 1000;
	struct v4l2_ctrl_vp8_frame frame = {
		.quant.y_ac_qi = 32,
		.coder_state.range = 255,
		.width = WIDTH,
		.height = HEIGHT,
		.num_dct_parts = 1,
		.first_part_size = VP8_FIRST_PART,
		.first_part_header_bits = 16,
		.dct_part_sizes[0] = BITSTREAM - VP8_HEADER - VP8_FIRST_PART,
		.last_frame_ts = reference_ns,
		.golden_frame_ts = reference_ns,
		.alt_frame_ts = reference_ns,
		.flags = V4L2_VP8_FRAME_FLAG_KEY_FRAME | V4L2_VP8_FRAME_FLAG_SHOW_FRAME,
	};
	struct v4l2_ext_control list[] = {
		CONTROL(V4L2_CID_STATELESS_VP8_FRAME, frame),
	};

	return set_controls(fd, request, list, ARRAY_COUNT(list));
}

/* Different jobs have different checksums: they differ in the last four bytes only. */
static void vpu_fill(const struct job_kind *kind, __u8 *data, __u32 n)
{
	unsigned int i;

	for (i = 0; i < kind->bytes; i++)
		data[i] = i * 7;
	memcpy(data + kind->bytes - sizeof(n), &n, sizeof(n));
}

/* The one of zlib. */
static __u32 crc32(const __u8 *data, unsigned int size)
{
	__u32 crc = ~0U;
	unsigned int bit;

	for (; size; size--) {
		crc ^= *data++;
		for (bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

/* Black or white, for pixels of the picture's name; negative for others. */
static int name_pixel(const struct job_kind *kind, __u64 name, unsigned int x, unsigned int y)
{
	const unsigned int columns = kind->width / NAME_BLOCK;
	const unsigned int bit = y / NAME_BLOCK * columns + x / NAME_BLOCK;

	if (bit >= NAME_BITS)
		return -1;
	return name >> (NAME_BITS - 1 - bit) & 1 ? WHITE : BLACK;
}

static __u64 read_name(const struct job_kind *kind, const __u8 *data)
{
	const unsigned int columns = kind->width / NAME_BLOCK;
	__u64 name = 0;
	unsigned int bit;

	for (bit = 0; bit < NAME_BITS; bit++) {
		const unsigned int x = bit % columns * NAME_BLOCK;
		const unsigned int y = bit / columns * NAME_BLOCK;

		name = name << 1 | (data[y * kind->width + x] == WHITE);
	}
	return name;
}

__u32 vpu_frame(const struct job_kind *kind, const __u8 *data)
{
	return read_name(kind, data) >> 32;
}

static bool vpu_shows(const struct job_kind *kind, const __u8 *data, __u32 n)
{
	const __u64 name = read_name(kind, data);
	const __u32 frame = name >> 32;
	const __u8 luma = BLACK + frame % 220 * 37 % 220;
	const __u8 cb = 16 + (frame % 225 * 53 + 80) % 225;
	const __u8 cr = 16 + (frame % 225 * 97 + 160) % 225;
	__u8 bitstream[BITSTREAM];
	unsigned int x, y;

	kind->fill(kind, bitstream, n);
	if (crc32(bitstream + kind->header, kind->bytes - kind->header) != (__u32)name)
		return false;

	for (y = 0; y < kind->height; y++) {
		for (x = 0; x < kind->width; x++) {
			const int pixel = name_pixel(kind, name, x, y);

			if (*data++ != (pixel < 0 ? luma : pixel))
				return false;
		}
	}
	for (x = 0; x < kind->width * kind->height / 2; x += 2, data += 2)
		if (data[0] != cb || data[1] != cr)
			return false;
	return true;
}

/* What all kinds of decoder jobs have in common. */
#define DECODER_JOB(_dev, _input, _controls)	\
	.dev = (_dev),				\
	.input = (_input),			\
	.controls = (_controls),		\
	.picture = V4L2_PIX_FMT_NV12,		\
	.width = WIDTH,				\
	.height = HEIGHT,			\
	.bytes = BITSTREAM,			\
	.fill = vpu_fill

const struct job_kind job_h264 = {
	DECODER_JOB(&device_vpu, V4L2_PIX_FMT_H264_SLICE, h264_controls),
	.shows = vpu_shows,
};

const struct job_kind job_mpeg2 = {
	DECODER_JOB(&device_vpu, V4L2_PIX_FMT_MPEG2_SLICE, mpeg2_controls),
	.shows = vpu_shows,
};

const struct job_kind job_vp8 = {
	DECODER_JOB(&device_vpu, V4L2_PIX_FMT_VP8_FRAME, vp8_controls),
	.header = VP8_HEADER + VP8_FIRST_PART,
	.shows = vpu_shows,
};

const struct job_kind job_visl = {
	DECODER_JOB(&device_visl, V4L2_PIX_FMT_H264_SLICE, h264_controls),
};
