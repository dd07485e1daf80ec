// SPDX-License-Identifier: GPL-2.0-only

//! H.264: the first IDR picture.

use std::collections::HashMap;

use anyhow::{bail, ensure, Context, Result};
use v4l2r::bindings::{self as v4l2, v4l2_ctrl_h264_decode_params as DecodeParams};
use v4l2r::bindings::{v4l2_ctrl_h264_pps as Pps, v4l2_ctrl_h264_sps as Sps};

use super::bits::{units, Bits};
use super::{flag_if, KeyPicture};
use uapi::stateless::Control;

/// Types of NAL units.
const IDR_SLICE: u8 = 5;
const SPS: u8 = 7;
const PPS: u8 = 8;

/// Profiles whose sequence parameters say more of the colours.
const HIGH: [u8; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// A scaling list that changes nothing.
const FLAT: u8 = 16;

/// V4L2_STATELESS_H264_DECODE_MODE_FRAME_BASED and V4L2_STATELESS_H264_START_CODE_ANNEX_B.
const FRAME_BASED: i32 = 1;
const ANNEX_B: i32 = 1;

/// Finds the picture and its parameters.
pub fn key_picture(stream: &[u8]) -> Result<KeyPicture> {
    let mut all_sps = HashMap::new();
    let mut all_pps = HashMap::new();
    let mut picture: Option<(DecodeParams, Sps, Pps)> = None;
    let mut bitstream = Vec::new();
    let mut scaled = false;
    for unit in units(stream) {
        let Some(&header) = unit.first() else {
            continue;
        };
        let kind = header & 0x1f;
        match kind {
            _ if kind != IDR_SLICE && picture.is_some() => break,
            SPS => {
                let sps = parse_sps(&payload(unit), &mut scaled).context("sequence parameters")?;
                all_sps.insert(sps.seq_parameter_set_id, sps);
            }
            PPS => {
                let (pps, of) = parse_pps(&payload(unit), &all_sps, &mut scaled)
                    .context("picture parameters")?;
                all_pps.insert(pps.pic_parameter_set_id, (pps, of));
            }
            IDR_SLICE => {
                let data = payload(unit);
                let first = Bits::new(&data).golomb()? == 0;
                if picture.is_some() && first {
                    break;
                }
                if picture.is_none() {
                    let (id, mut bits) = slice_start(&data)?;
                    let (pps, of) = all_pps.get(&id).context("a picture without parameters")?;
                    let sps = all_sps.get(of).context("a picture without parameters")?;
                    let params = parse_slice(&mut bits, header >> 5 & 3, sps, pps)?;
                    picture = Some((params, *sps, *pps));
                }
                bitstream.extend([0, 0, 1]);
                bitstream.extend(unit);
            }
            _ => {}
        }
    }
    let (params, sps, pps) = picture.context("the stream has no IDR picture")?;
    let fields = if sps.flags & v4l2::V4L2_H264_SPS_FLAG_FRAME_MBS_ONLY == 0 {
        2
    } else {
        1
    };
    let height = (u32::from(sps.pic_height_in_map_units_minus1) + 1) * 16 * fields;
    let mut scaling = Box::<v4l2::v4l2_ctrl_h264_scaling_matrix>::default();
    scaling.scaling_list_4x4 = [[FLAT; 16]; 6];
    scaling.scaling_list_8x8 = [[FLAT; 64]; 6];
    Ok(KeyPicture {
        size: ((u32::from(sps.pic_width_in_mbs_minus1) + 1) * 16, height),
        bitstream,
        controls: vec![
            Control::Number(v4l2::V4L2_CID_STATELESS_H264_DECODE_MODE, FRAME_BASED),
            Control::Number(v4l2::V4L2_CID_STATELESS_H264_START_CODE, ANNEX_B),
            Control::H264Sps(Box::new(sps)),
            Control::H264Pps(Box::new(pps)),
            Control::H264Scaling(scaling),
            Control::H264Decode(Box::new(params)),
        ],
        unread: scaled.then_some("scaling lists"),
    })
}

/// What a unit says, without its header and the bytes that keep start codes from appearing in it.
fn payload(unit: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(unit.len());
    let mut zeros = 0;
    for &byte in unit.iter().skip(1) {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

/// `scaled` is set if it has scaling lists.
fn parse_sps(data: &[u8], scaled: &mut bool) -> Result<Sps> {
    let mut bits = Bits::new(data);
    let mut sps = Sps {
        profile_idc: bits.byte(8)?,
        // The kernel has the first of these flags in the lowest bit.
        constraint_set_flags: bits.byte(8)?.reverse_bits() & 0x3f,
        level_idc: bits.byte(8)?,
        seq_parameter_set_id: bits.golomb_as()?,
        chroma_format_idc: 1,
        ..Default::default()
    };
    if HIGH.contains(&sps.profile_idc) {
        sps.chroma_format_idc = bits.golomb_as()?;
        if sps.chroma_format_idc == 3 {
            sps.flags |= flag_if(bits.flag()?, v4l2::V4L2_H264_SPS_FLAG_SEPARATE_COLOUR_PLANE);
        }
        sps.bit_depth_luma_minus8 = bits.golomb_as()?;
        sps.bit_depth_chroma_minus8 = bits.golomb_as()?;
        sps.flags |= flag_if(
            bits.flag()?,
            v4l2::V4L2_H264_SPS_FLAG_QPPRIME_Y_ZERO_TRANSFORM_BYPASS,
        );
        if bits.flag()? {
            *scaled = true;
            skip_scaling_lists(&mut bits, if sps.chroma_format_idc == 3 { 12 } else { 8 })?;
        }
    }
    sps.log2_max_frame_num_minus4 = bits.golomb_as()?;
    sps.pic_order_cnt_type = bits.golomb_as()?;
    match sps.pic_order_cnt_type {
        0 => sps.log2_max_pic_order_cnt_lsb_minus4 = bits.golomb_as()?,
        1 => {
            sps.flags |= flag_if(
                bits.flag()?,
                v4l2::V4L2_H264_SPS_FLAG_DELTA_PIC_ORDER_ALWAYS_ZERO,
            );
            sps.offset_for_non_ref_pic = bits.golomb_signed()?;
            sps.offset_for_top_to_bottom_field = bits.golomb_signed()?;
            sps.num_ref_frames_in_pic_order_cnt_cycle = bits.golomb_as()?;
            for i in 0..usize::from(sps.num_ref_frames_in_pic_order_cnt_cycle) {
                sps.offset_for_ref_frame[i] = bits.golomb_signed()?;
            }
        }
        _ => {}
    }
    ensure!(
        sps.log2_max_frame_num_minus4 <= 12 && sps.log2_max_pic_order_cnt_lsb_minus4 <= 12,
        "numbers out of range"
    );
    sps.max_num_ref_frames = bits.golomb_as()?;
    sps.flags |= flag_if(
        bits.flag()?,
        v4l2::V4L2_H264_SPS_FLAG_GAPS_IN_FRAME_NUM_VALUE_ALLOWED,
    );
    sps.pic_width_in_mbs_minus1 = bits.golomb_as()?;
    sps.pic_height_in_map_units_minus1 = bits.golomb_as()?;
    if bits.flag()? {
        sps.flags |= v4l2::V4L2_H264_SPS_FLAG_FRAME_MBS_ONLY;
    } else {
        sps.flags |= flag_if(
            bits.flag()?,
            v4l2::V4L2_H264_SPS_FLAG_MB_ADAPTIVE_FRAME_FIELD,
        );
    }
    sps.flags |= flag_if(bits.flag()?, v4l2::V4L2_H264_SPS_FLAG_DIRECT_8X8_INFERENCE);
    Ok(sps)
}

/// Only to find what follows.
fn skip_scaling_lists(bits: &mut Bits<'_>, count: usize) -> Result<()> {
    for list in 0..count {
        if !bits.flag()? {
            continue;
        }
        let (mut last, mut next) = (8_i32, 8);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = last.wrapping_add(bits.golomb_signed()?).rem_euclid(256);
            }
            last = if next == 0 { last } else { next };
        }
    }
    Ok(())
}

/// The picture parameters, and the number of the sequence parameters that they belong to.
fn parse_pps(data: &[u8], all_sps: &HashMap<u8, Sps>, scaled: &mut bool) -> Result<(Pps, u8)> {
    let mut bits = Bits::new(data);
    let mut pps = Pps {
        pic_parameter_set_id: bits.golomb_as()?,
        seq_parameter_set_id: bits.golomb_as()?,
        ..Default::default()
    };
    let mut flags = flag_if(bits.flag()?, v4l2::V4L2_H264_PPS_FLAG_ENTROPY_CODING_MODE);
    let order = v4l2::V4L2_H264_PPS_FLAG_BOTTOM_FIELD_PIC_ORDER_IN_FRAME_PRESENT;
    flags |= flag_if(bits.flag()?, order);
    if bits.golomb()? != 0 {
        bail!("pictures with slice groups are not supported");
    }
    pps.num_ref_idx_l0_default_active_minus1 = bits.golomb_as()?;
    pps.num_ref_idx_l1_default_active_minus1 = bits.golomb_as()?;
    flags |= flag_if(bits.flag()?, v4l2::V4L2_H264_PPS_FLAG_WEIGHTED_PRED);
    pps.weighted_bipred_idc = bits.byte(2)?;
    pps.pic_init_qp_minus26 = bits.golomb_signed_as()?;
    pps.pic_init_qs_minus26 = bits.golomb_signed_as()?;
    pps.chroma_qp_index_offset = bits.golomb_signed_as()?;
    flags |= flag_if(
        bits.flag()?,
        v4l2::V4L2_H264_PPS_FLAG_DEBLOCKING_FILTER_CONTROL_PRESENT,
    );
    flags |= flag_if(
        bits.flag()?,
        v4l2::V4L2_H264_PPS_FLAG_CONSTRAINED_INTRA_PRED,
    );
    flags |= flag_if(
        bits.flag()?,
        v4l2::V4L2_H264_PPS_FLAG_REDUNDANT_PIC_CNT_PRESENT,
    );
    pps.second_chroma_qp_index_offset = pps.chroma_qp_index_offset;
    if bits.more_data() {
        let transform_8x8 = bits.flag()?;
        flags |= flag_if(transform_8x8, v4l2::V4L2_H264_PPS_FLAG_TRANSFORM_8X8_MODE);
        if bits.flag()? {
            let chroma = all_sps
                .get(&pps.seq_parameter_set_id)
                .map(|sps| sps.chroma_format_idc);
            let large = if chroma == Some(3) { 6 } else { 2 };
            *scaled = true;
            skip_scaling_lists(&mut bits, 6 + if transform_8x8 { large } else { 0 })?;
        }
        pps.second_chroma_qp_index_offset = bits.golomb_signed_as()?;
    }
    pps.flags = u16::try_from(flags).context("flags")?;
    Ok((pps, pps.seq_parameter_set_id))
}

/// The number of a slice's picture parameters, and the bits that follow.
fn slice_start(data: &[u8]) -> Result<(u8, Bits<'_>)> {
    let mut bits = Bits::new(data);
    // First macroblock and type.
    bits.golomb()?;
    bits.golomb()?;
    Ok((bits.golomb_as()?, bits))
}

/// What the first slice says of its picture.
fn parse_slice(bits: &mut Bits<'_>, nal_ref_idc: u8, sps: &Sps, pps: &Pps) -> Result<DecodeParams> {
    let mut params = DecodeParams {
        nal_ref_idc: nal_ref_idc.into(),
        flags: v4l2::V4L2_H264_DECODE_PARAM_FLAG_IDR_PIC,
        // An IDR picture has two flags there.
        dec_ref_pic_marking_bit_size: 2,
        ..Default::default()
    };
    if sps.flags & v4l2::V4L2_H264_SPS_FLAG_SEPARATE_COLOUR_PLANE != 0 {
        bits.number(2)?;
    }
    params.frame_num = bits.number(u32::from(sps.log2_max_frame_num_minus4) + 4)? as u16;
    let mut field = false;
    if sps.flags & v4l2::V4L2_H264_SPS_FLAG_FRAME_MBS_ONLY == 0 {
        field = bits.flag()?;
        params.flags |= flag_if(field, v4l2::V4L2_H264_DECODE_PARAM_FLAG_FIELD_PIC);
        if field {
            let bottom = v4l2::V4L2_H264_DECODE_PARAM_FLAG_BOTTOM_FIELD;
            params.flags |= flag_if(bits.flag()?, bottom);
        }
    }
    params.idr_pic_id = bits.golomb_as()?;
    let order = v4l2::V4L2_H264_PPS_FLAG_BOTTOM_FIELD_PIC_ORDER_IN_FRAME_PRESENT;
    let both = u32::from(pps.flags) & order != 0 && !field;
    let start = bits.position();
    match sps.pic_order_cnt_type {
        0 => {
            let lsb = bits.number(u32::from(sps.log2_max_pic_order_cnt_lsb_minus4) + 4)?;
            params.pic_order_cnt_lsb = lsb as u16;
            params.top_field_order_cnt = lsb as i32;
            if both {
                params.delta_pic_order_cnt_bottom = bits.golomb_signed()?;
            }
        }
        1 if sps.flags & v4l2::V4L2_H264_SPS_FLAG_DELTA_PIC_ORDER_ALWAYS_ZERO == 0 => {
            params.delta_pic_order_cnt0 = bits.golomb_signed()?;
            params.top_field_order_cnt = params.delta_pic_order_cnt0;
            if both {
                params.delta_pic_order_cnt1 = bits.golomb_signed()?;
            }
        }
        _ => {}
    }
    params.pic_order_cnt_bit_size = (bits.position() - start) as u32;
    let bottom = order_of_bottom(sps, &params);
    params.bottom_field_order_cnt = bottom.context("an order out of range")?;
    Ok(params)
}

/// The bottom field comes after the top one by what the sequence and the slice say.
fn order_of_bottom(sps: &Sps, params: &DecodeParams) -> Option<i32> {
    let top = params.top_field_order_cnt;
    match sps.pic_order_cnt_type {
        0 => top.checked_add(params.delta_pic_order_cnt_bottom),
        1 => top
            .checked_add(sps.offset_for_top_to_bottom_field)?
            .checked_add(params.delta_pic_order_cnt1),
        _ => Some(top),
    }
}

#[cfg(test)]
mod tests;
