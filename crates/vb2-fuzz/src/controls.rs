// SPDX-License-Identifier: GPL-2.0-only

//! Controls for a bitstream without content: neither the emulated decoder nor visl decodes it.

use uapi::stateless::Control;
use v4l2r::bindings;

/// Of the smallest pictures.
const SIDE: u16 = 64;

/// Parameters of a key picture, or nothing for a codec whose own defaults do.
pub fn valid(codec: u32) -> Vec<Control> {
    match &codec.to_le_bytes() {
        b"MG2S" => mpeg2(),
        b"S264" => h264(),
        b"VP8F" => vec![Control::vp8_key_frame(SIDE, SIDE, 64, 256)],
        _ => Vec::new(),
    }
}

/// The same with nothing in it, and a control that there is not.
pub fn broken(codec: u32) -> Vec<Control> {
    match &codec.to_le_bytes() {
        b"MG2S" => vec![Control::Mpeg2Sequence(Box::default())],
        b"S264" => vec![
            Control::H264Sps(Box::default()),
            Control::H264Decode(Box::default()),
        ],
        b"VP8F" => vec![Control::Vp8Frame(Box::default())],
        _ => vec![Control::Number(0x00a4_09ff, -1)],
    }
}

fn mpeg2() -> Vec<Control> {
    let sequence = bindings::v4l2_ctrl_mpeg2_sequence {
        horizontal_size: SIDE,
        vertical_size: SIDE,
        vbv_buffer_size: 112,
        profile_and_level_indication: 0x48,
        chroma_format: 1,
        flags: bindings::V4L2_MPEG2_SEQ_FLAG_PROGRESSIVE as u8,
    };
    let picture = bindings::v4l2_ctrl_mpeg2_picture {
        flags: bindings::V4L2_MPEG2_PIC_FLAG_FRAME_PRED_DCT
            | bindings::V4L2_MPEG2_PIC_FLAG_PROGRESSIVE,
        f_code: [[15; 2]; 2],
        picture_coding_type: bindings::V4L2_MPEG2_PIC_CODING_TYPE_I as u8,
        picture_structure: bindings::V4L2_MPEG2_PIC_FRAME as u8,
        ..Default::default()
    };
    vec![
        Control::Mpeg2Sequence(Box::new(sequence)),
        Control::Mpeg2Picture(Box::new(picture)),
    ]
}

fn h264() -> Vec<Control> {
    let sps = bindings::v4l2_ctrl_h264_sps {
        profile_idc: 66,
        level_idc: 30,
        chroma_format_idc: 1,
        max_num_ref_frames: 1,
        pic_width_in_mbs_minus1: SIDE / 16 - 1,
        pic_height_in_map_units_minus1: SIDE / 16 - 1,
        flags: bindings::V4L2_H264_SPS_FLAG_FRAME_MBS_ONLY,
        ..Default::default()
    };
    let decode = bindings::v4l2_ctrl_h264_decode_params {
        nal_ref_idc: 1,
        flags: bindings::V4L2_H264_DECODE_PARAM_FLAG_IDR_PIC,
        ..Default::default()
    };
    vec![
        Control::H264Sps(Box::new(sps)),
        Control::H264Pps(Box::default()),
        Control::H264Decode(Box::new(decode)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_codec_has_some() {
        for codec in [b"MG2S", b"S264", b"VP8F"] {
            assert!(!valid(u32::from_le_bytes(*codec)).is_empty());
        }
        assert!(valid(0).is_empty());
        assert_eq!(broken(0).len(), 1);
    }
}
