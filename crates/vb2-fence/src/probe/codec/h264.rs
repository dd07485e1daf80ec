// SPDX-License-Identifier: GPL-2.0-only

//! H.264: the first IDR picture, parsed by cros-codecs, in the form of the kernel's controls.

use std::borrow::Cow;
use std::io::Cursor;

use anyhow::{Context, Error, Result};
use cros_codecs::codec::h264::nalu::Header;
use cros_codecs::codec::h264::parser::{self, Nalu, NaluHeader, NaluType, Parser, SliceHeader};
use v4l2r::bindings as v4l2;
use v4l2r::bindings::{
    v4l2_ctrl_h264_decode_params as DecodeParams, v4l2_ctrl_h264_pps as Pps,
    v4l2_ctrl_h264_scaling_matrix as ScalingMatrix, v4l2_ctrl_h264_sps as Sps,
};

use super::bits::units;
use super::{flags, KeyPicture};
use uapi::stateless::Control;

/// V4L2_STATELESS_H264_DECODE_MODE_FRAME_BASED and V4L2_STATELESS_H264_START_CODE_ANNEX_B.
const FRAME_BASED: i32 = 1;
const ANNEX_B: i32 = 1;

/// Finds the picture and its parameters.
pub fn key_picture(stream: &[u8]) -> Result<KeyPicture> {
    let mut parser = Parser::default();
    let mut picture: Option<(SliceHeader, u8)> = None;
    let mut bitstream = Vec::new();
    for unit in units(stream) {
        // Types that the parser does not know are no part of a picture.
        let Ok(header) = NaluHeader::parse(&mut Cursor::new(unit)) else {
            continue;
        };
        let (kind, ref_idc) = (header.type_, header.ref_idc);
        // The zeros before a start code of four bytes are no part of the unit.
        let size = unit
            .iter()
            .rposition(|&byte| byte != 0)
            .map_or(0, |at| at + 1);
        let nalu = Nalu {
            header,
            data: Cow::Borrowed(unit),
            size,
            offset: 0,
        };
        match kind {
            NaluType::Sps if picture.is_none() => {
                parser
                    .parse_sps(&nalu)
                    .map_err(Error::msg)
                    .context("sequence parameters")?;
            }
            NaluType::Pps if picture.is_none() => {
                parser
                    .parse_pps(&nalu)
                    .map_err(Error::msg)
                    .context("picture parameters")?;
            }
            NaluType::SliceIdr => {
                let slice = parser.parse_slice_header(nalu).map_err(Error::msg);
                let slice = slice.context("an IDR picture")?.header;
                if picture.is_some() && slice.first_mb_in_slice == 0 {
                    break;
                }
                picture.get_or_insert((slice, ref_idc));
                bitstream.extend([0, 0, 1]);
                bitstream.extend(unit);
            }
            _ if picture.is_some() => break,
            _ => {}
        }
    }
    let (slice, ref_idc) = picture.context("the stream has no IDR picture")?;
    let pps = parser.get_pps(slice.pic_parameter_set_id);
    let pps = pps.context("a picture without parameters")?;
    Ok(KeyPicture {
        size: (pps.sps.width(), pps.sps.height()),
        bitstream,
        controls: vec![
            Control::Number(v4l2::V4L2_CID_STATELESS_H264_DECODE_MODE, FRAME_BASED),
            Control::Number(v4l2::V4L2_CID_STATELESS_H264_START_CODE, ANNEX_B),
            Control::H264Sps(Box::new(sequence(&pps.sps))),
            Control::H264Pps(Box::new(parameters(pps)?)),
            Control::H264Scaling(Box::new(scaling(pps))),
            Control::H264Decode(Box::new(decoding(&slice, ref_idc, &pps.sps)?)),
        ],
    })
}

fn sequence(sps: &parser::Sps) -> Sps {
    let constraints = [
        sps.constraint_set0_flag,
        sps.constraint_set1_flag,
        sps.constraint_set2_flag,
        sps.constraint_set3_flag,
        sps.constraint_set4_flag,
        sps.constraint_set5_flag,
    ];
    Sps {
        profile_idc: sps.profile_idc,
        // The kernel has the first of these flags in the lowest bit.
        constraint_set_flags: constraints
            .iter()
            .rfold(0, |all, &set| all << 1 | u8::from(set)),
        level_idc: sps.level_idc as u8,
        seq_parameter_set_id: sps.seq_parameter_set_id,
        chroma_format_idc: sps.chroma_format_idc,
        bit_depth_luma_minus8: sps.bit_depth_luma_minus8,
        bit_depth_chroma_minus8: sps.bit_depth_chroma_minus8,
        log2_max_frame_num_minus4: sps.log2_max_frame_num_minus4,
        pic_order_cnt_type: sps.pic_order_cnt_type,
        log2_max_pic_order_cnt_lsb_minus4: sps.log2_max_pic_order_cnt_lsb_minus4,
        max_num_ref_frames: sps.max_num_ref_frames,
        num_ref_frames_in_pic_order_cnt_cycle: sps.num_ref_frames_in_pic_order_cnt_cycle,
        offset_for_ref_frame: sps.offset_for_ref_frame,
        offset_for_non_ref_pic: sps.offset_for_non_ref_pic,
        offset_for_top_to_bottom_field: sps.offset_for_top_to_bottom_field,
        pic_width_in_mbs_minus1: sps.pic_width_in_mbs_minus1,
        pic_height_in_map_units_minus1: sps.pic_height_in_map_units_minus1,
        flags: flags([
            (
                sps.separate_colour_plane_flag,
                v4l2::V4L2_H264_SPS_FLAG_SEPARATE_COLOUR_PLANE,
            ),
            (
                sps.qpprime_y_zero_transform_bypass_flag,
                v4l2::V4L2_H264_SPS_FLAG_QPPRIME_Y_ZERO_TRANSFORM_BYPASS,
            ),
            (
                sps.delta_pic_order_always_zero_flag,
                v4l2::V4L2_H264_SPS_FLAG_DELTA_PIC_ORDER_ALWAYS_ZERO,
            ),
            (
                sps.gaps_in_frame_num_value_allowed_flag,
                v4l2::V4L2_H264_SPS_FLAG_GAPS_IN_FRAME_NUM_VALUE_ALLOWED,
            ),
            (
                sps.frame_mbs_only_flag,
                v4l2::V4L2_H264_SPS_FLAG_FRAME_MBS_ONLY,
            ),
            (
                sps.mb_adaptive_frame_field_flag,
                v4l2::V4L2_H264_SPS_FLAG_MB_ADAPTIVE_FRAME_FIELD,
            ),
            (
                sps.direct_8x8_inference_flag,
                v4l2::V4L2_H264_SPS_FLAG_DIRECT_8X8_INFERENCE,
            ),
        ]),
    }
}

/// Whether the picture has scaling lists of its own, or its sequence has.
fn has_scaling_lists(pps: &parser::Pps) -> bool {
    pps.pic_scaling_matrix_present_flag || pps.sps.seq_scaling_matrix_present_flag
}

fn parameters(pps: &parser::Pps) -> Result<Pps> {
    let flags = flags([
        (
            pps.entropy_coding_mode_flag,
            v4l2::V4L2_H264_PPS_FLAG_ENTROPY_CODING_MODE,
        ),
        (
            pps.bottom_field_pic_order_in_frame_present_flag,
            v4l2::V4L2_H264_PPS_FLAG_BOTTOM_FIELD_PIC_ORDER_IN_FRAME_PRESENT,
        ),
        (
            pps.weighted_pred_flag,
            v4l2::V4L2_H264_PPS_FLAG_WEIGHTED_PRED,
        ),
        (
            pps.deblocking_filter_control_present_flag,
            v4l2::V4L2_H264_PPS_FLAG_DEBLOCKING_FILTER_CONTROL_PRESENT,
        ),
        (
            pps.constrained_intra_pred_flag,
            v4l2::V4L2_H264_PPS_FLAG_CONSTRAINED_INTRA_PRED,
        ),
        (
            pps.redundant_pic_cnt_present_flag,
            v4l2::V4L2_H264_PPS_FLAG_REDUNDANT_PIC_CNT_PRESENT,
        ),
        (
            pps.transform_8x8_mode_flag,
            v4l2::V4L2_H264_PPS_FLAG_TRANSFORM_8X8_MODE,
        ),
        (
            has_scaling_lists(pps),
            v4l2::V4L2_H264_PPS_FLAG_SCALING_MATRIX_PRESENT,
        ),
    ]);
    Ok(Pps {
        pic_parameter_set_id: pps.pic_parameter_set_id,
        seq_parameter_set_id: pps.seq_parameter_set_id,
        num_ref_idx_l0_default_active_minus1: pps.num_ref_idx_l0_default_active_minus1,
        num_ref_idx_l1_default_active_minus1: pps.num_ref_idx_l1_default_active_minus1,
        weighted_bipred_idc: pps.weighted_bipred_idc,
        pic_init_qp_minus26: pps.pic_init_qp_minus26,
        pic_init_qs_minus26: pps.pic_init_qs_minus26,
        chroma_qp_index_offset: pps.chroma_qp_index_offset,
        second_chroma_qp_index_offset: pps.second_chroma_qp_index_offset,
        num_slice_groups_minus1: 0,
        flags: u16::try_from(flags)?,
    })
}

/// The scaling lists that are in use: flat ones if the stream has none.
fn scaling(pps: &parser::Pps) -> ScalingMatrix {
    ScalingMatrix {
        scaling_list_4x4: pps.scaling_lists_4x4.map(|list| raster(&list)),
        scaling_list_8x8: pps.scaling_lists_8x8.map(|list| raster(&list)),
    }
}

/// A square of numbers line by line, which the kernel wants, from the zigzag of the stream.
fn raster<const N: usize>(zigzag: &[u8; N]) -> [u8; N] {
    let side = N.isqrt();
    let mut places: Vec<usize> = (0..N).collect();
    // Diagonal by diagonal; down those of an odd number, up the others.
    places.sort_by_key(|place| {
        let (x, y) = (place % side, place / side);
        (x + y, if (x + y) % 2 == 1 { y } else { x })
    });
    let mut lines = [0; N];
    for (place, value) in places.into_iter().zip(zigzag) {
        lines[place] = *value;
    }
    lines
}

/// What the first slice says of its picture.
fn decoding(slice: &SliceHeader, ref_idc: u8, sps: &parser::Sps) -> Result<DecodeParams> {
    let delta = slice.delta_pic_order_cnt;
    // The bottom field comes after the top one by what the sequence and the slice say.
    let (top, bottom) = match sps.pic_order_cnt_type {
        0 => (
            i32::from(slice.pic_order_cnt_lsb),
            Some(slice.delta_pic_order_cnt_bottom),
        ),
        1 => (
            delta[0],
            sps.offset_for_top_to_bottom_field.checked_add(delta[1]),
        ),
        _ => (0, Some(0)),
    };
    let bottom = bottom.and_then(|after| top.checked_add(after));
    Ok(DecodeParams {
        nal_ref_idc: ref_idc.into(),
        frame_num: slice.frame_num,
        top_field_order_cnt: top,
        bottom_field_order_cnt: bottom.context("an order out of range")?,
        idr_pic_id: slice.idr_pic_id,
        pic_order_cnt_lsb: slice.pic_order_cnt_lsb,
        delta_pic_order_cnt_bottom: slice.delta_pic_order_cnt_bottom,
        delta_pic_order_cnt0: delta[0],
        delta_pic_order_cnt1: delta[1],
        // An IDR picture has two flags there.
        dec_ref_pic_marking_bit_size: 2,
        pic_order_cnt_bit_size: u32::try_from(slice.pic_order_cnt_bit_size)?,
        flags: flags([
            (true, v4l2::V4L2_H264_DECODE_PARAM_FLAG_IDR_PIC),
            (
                slice.field_pic_flag,
                v4l2::V4L2_H264_DECODE_PARAM_FLAG_FIELD_PIC,
            ),
            (
                slice.bottom_field_flag,
                v4l2::V4L2_H264_DECODE_PARAM_FLAG_BOTTOM_FIELD,
            ),
        ]),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests;
