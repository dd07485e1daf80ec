// SPDX-License-Identifier: GPL-2.0-only

//! VP8: the first key frame of an IVF file.
//!
//! The whole header goes to the decoder, with the state of the arithmetic decoder at its end.

use anyhow::{anyhow, ensure, Context, Result};
use cros_codecs::codec::vp8::parser::{Header, MbLfAdjustments, Parser, Segmentation};
use v4l2r::bindings::{self as v4l2, v4l2_ctrl_vp8_frame as Frame};

use super::{flags, KeyPicture};
use uapi::stateless::Control;

/// Bytes of an IVF frame's own header.
const IVF_FRAME: usize = 12;

/// Finds the frame and what it says of itself.
pub fn key_picture(stream: &[u8]) -> Result<KeyPicture> {
    ensure!(
        stream.starts_with(b"DKIF"),
        "VP8 has to come in an IVF file"
    );
    let mut at = usize::from(word(stream, 6)?);
    loop {
        let size = long(stream, at).context("the stream has no key frame")? as usize;
        let frames = stream.get(at + IVF_FRAME..).unwrap_or_default();
        let frame = frames
            .get(..size)
            .context("the last frame is not complete")?;
        if frame.first().is_some_and(|byte| byte & 1 == 0) {
            return parse(frame);
        }
        at += IVF_FRAME + size;
    }
}

fn word(data: &[u8], at: usize) -> Result<u16> {
    let bytes = data.get(at..at + 2).context("the stream ends too soon")?;
    Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn long(data: &[u8], at: usize) -> Result<u32> {
    Ok(u32::from(word(data, at)?) | u32::from(word(data, at + 2)?) << 16)
}

fn parse(data: &[u8]) -> Result<KeyPicture> {
    let mut parser = Parser::default();
    let header = parser.parse_frame(data).map_err(|err| anyhow!("{err}"))?;
    let header = header.header;
    let segments = parser.segmentation();
    // The parser passes over their probabilities then, and over all that follows.
    ensure!(
        !segments.update_mb_segmentation_map || segments.update_segment_feature_data,
        "a key frame with a new map of segments, but without new segments, cannot be read here: try \
         another stream"
    );
    let parts = header.num_dct_partitions();
    let quant = &header.quant_indices;
    let frame = Frame {
        segment: segmentation(segments),
        lf: loop_filter(&header, parser.mb_lf_adjust()),
        quant: v4l2::v4l2_vp8_quantization {
            y_ac_qi: quant.y_ac_qi,
            y_dc_delta: quant.y_dc_delta,
            y2_dc_delta: quant.y2_dc_delta,
            y2_ac_delta: quant.y2_ac_delta,
            uv_dc_delta: quant.uv_dc_delta,
            uv_ac_delta: quant.uv_ac_delta,
            ..Default::default()
        },
        entropy: v4l2::v4l2_vp8_entropy {
            coeff_probs: header.coeff_prob,
            y_mode_probs: header.mode_probs.intra_16x16_prob,
            uv_mode_probs: header.mode_probs.intra_chroma_prob,
            mv_probs: header.mv_prob,
            ..Default::default()
        },
        coder_state: v4l2::v4l2_vp8_entropy_coder_state {
            range: u8::try_from(header.bd_range)?,
            value: u8::try_from(header.bd_value)?,
            bit_count: u8::try_from(header.bd_count)?,
            ..Default::default()
        },
        width: header.width,
        height: header.height,
        horizontal_scale: header.horiz_scale_code,
        vertical_scale: header.vert_scale_code,
        version: header.version,
        prob_skip_false: header.prob_skip_false,
        num_dct_parts: u8::try_from(parts)?,
        first_part_size: header.first_part_size,
        first_part_header_bits: header.header_size,
        dct_part_sizes: header.partition_size,
        flags: u64::from(flags([
            (true, v4l2::V4L2_VP8_FRAME_FLAG_KEY_FRAME),
            (header.show_frame, v4l2::V4L2_VP8_FRAME_FLAG_SHOW_FRAME),
            (
                header.mb_no_coeff_skip,
                v4l2::V4L2_VP8_FRAME_FLAG_MB_NO_SKIP_COEFF,
            ),
        ])),
        ..Default::default()
    };
    Ok(KeyPicture {
        size: (frame.width.into(), frame.height.into()),
        bitstream: data.to_vec(),
        controls: vec![Control::Vp8Frame(Box::new(frame))],
    })
}

fn segmentation(of: &Segmentation) -> v4l2::v4l2_vp8_segment {
    v4l2::v4l2_vp8_segment {
        quant_update: of.quantizer_update_value,
        lf_update: of.lf_update_value,
        segment_probs: of.segment_prob,
        flags: flags([
            (of.segmentation_enabled, v4l2::V4L2_VP8_SEGMENT_FLAG_ENABLED),
            (
                of.update_mb_segmentation_map,
                v4l2::V4L2_VP8_SEGMENT_FLAG_UPDATE_MAP,
            ),
            (
                of.update_segment_feature_data,
                v4l2::V4L2_VP8_SEGMENT_FLAG_UPDATE_FEATURE_DATA,
            ),
            (
                !of.segment_feature_mode,
                v4l2::V4L2_VP8_SEGMENT_FLAG_DELTA_VALUE_MODE,
            ),
        ]),
        ..Default::default()
    }
}

fn loop_filter(header: &Header, adjust: &MbLfAdjustments) -> v4l2::v4l2_vp8_loop_filter {
    v4l2::v4l2_vp8_loop_filter {
        ref_frm_delta: adjust.ref_frame_delta,
        mb_mode_delta: adjust.mb_mode_delta,
        sharpness_level: header.sharpness_level,
        level: header.loop_filter_level,
        flags: flags([
            (header.filter_type, v4l2::V4L2_VP8_LF_FILTER_TYPE_SIMPLE),
            (adjust.loop_filter_adj_enable, v4l2::V4L2_VP8_LF_ADJ_ENABLE),
            (
                adjust.mode_ref_lf_delta_update,
                v4l2::V4L2_VP8_LF_DELTA_UPDATE,
            ),
        ]),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a key frame before its first partition.
    const KEY_HEADER: usize = 10;

    fn ivf(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut out = b"DKIF\0\0\x20\0VP80".to_vec();
        out.resize(32, 0);
        for frame in frames {
            out.extend((frame.len() as u32).to_le_bytes());
            out.extend([0; 8]);
            out.extend(frame);
        }
        out
    }

    /// 176x144 with a first partition of zeros: no segments, one partition, quantiser 0.
    fn key_frame() -> Vec<u8> {
        let mut frame = vec![0; KEY_HEADER + 64 + 100];
        let tag: u32 = 64 << 5 | 1 << 4;
        frame[..3].copy_from_slice(&tag.to_le_bytes()[..3]);
        frame[3..10].copy_from_slice(&[0x9d, 0x01, 0x2a, 176, 0, 144, 0]);
        frame
    }

    #[test]
    fn takes_the_first_key_frame() {
        let found = key_picture(&ivf(&[vec![1; 40], key_frame()])).unwrap();
        assert_eq!(found.size, (176, 144));
        assert_eq!(found.bitstream, key_frame());
        let Control::Vp8Frame(frame) = &found.controls[0] else {
            panic!("{:?}", found.controls);
        };
        assert_eq!((frame.first_part_size, frame.num_dct_parts), (64, 1));
        assert_eq!(frame.dct_part_sizes[0], 100);
        assert_eq!((frame.quant.y_ac_qi, frame.lf.level), (0, 0));
        assert!(frame.first_part_header_bits >= 16);
    }

    #[test]
    fn probabilities_are_set() {
        let found = key_picture(&ivf(&[key_frame()])).unwrap();
        let Control::Vp8Frame(frame) = &found.controls[0] else {
            panic!("{:?}", found.controls);
        };
        // Those of key frames, and those of the format where the frame changes none.
        let entropy = &frame.entropy;
        assert_eq!(entropy.y_mode_probs, [145, 156, 163, 128]);
        assert_eq!(entropy.uv_mode_probs, [142, 114, 183]);
        assert_eq!(entropy.coeff_probs[0][1][0][..3], [253, 136, 254]);
        assert!(entropy
            .coeff_probs
            .as_flattened()
            .as_flattened()
            .iter()
            .flatten()
            .all(|&p| p > 0));
        assert!(frame.coder_state.range >= 128);
        assert_eq!(frame.lf.flags, 0);
    }

    #[test]
    fn a_map_without_segments_is_not_read() {
        // Colour space, clamping; segments, a map, no data: with even odds as good as bits.
        let mut frame = key_frame();
        frame[KEY_HEADER] = 0b0011_0000;
        let err = key_picture(&ivf(&[frame])).unwrap_err();
        assert!(format!("{err:#}").contains("map of segments"), "{err:#}");
    }

    #[test]
    fn refuses_the_rest() {
        let message = |stream: &[u8]| format!("{:#}", key_picture(stream).unwrap_err());
        assert!(message(&[0x1a, 0x45]).contains("IVF"));
        assert!(message(&ivf(&[vec![1; 40]])).contains("no key frame"));
        let mut cut = key_frame();
        cut.truncate(30);
        assert!(message(&ivf(&[cut])).contains("bigger than bitstream"));
    }
}
