// SPDX-License-Identifier: GPL-2.0-only

//! VP8: the first key frame of an IVF file.
//!
//! The header is read as far as the quantiser. The probabilities that follow it are not, so a
//! decoder's picture is not the right one; its job is.

use anyhow::{ensure, Context, Result};
use v4l2r::bindings::{self as uapi, v4l2_ctrl_vp8_frame as Frame};

use super::KeyPicture;
use crate::stateless::Control;

/// Bytes of an IVF frame's own header.
const IVF_FRAME: usize = 12;

/// Bytes of a key frame before its first partition.
const KEY_HEADER: usize = 10;

/// Finds the frame and what it says of itself.
pub fn key_picture(stream: &[u8]) -> Result<KeyPicture> {
    ensure!(
        stream.starts_with(b"DKIF"),
        "VP8 has to come in an IVF file"
    );
    let mut at = usize::from(word(stream, 6)?);
    loop {
        let size = long(stream, at).context("the stream has no key frame")? as usize;
        let start = at + IVF_FRAME;
        let frame = stream
            .get(start..start + size)
            .context("the last frame is not complete")?;
        if frame.first().is_some_and(|byte| byte & 1 == 0) {
            return parse(frame);
        }
        at = start + size;
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
    ensure!(data.len() > KEY_HEADER, "a key frame is too short");
    ensure!(
        data[3..6] == [0x9d, 0x01, 0x2a],
        "a key frame without its start code"
    );
    let tag = u32::from(data[0]) | u32::from(data[1]) << 8 | u32::from(data[2]) << 16;
    let (width, height) = (word(data, 6)?, word(data, 8)?);
    let mut frame = Frame {
        version: (tag >> 1 & 7) as u8,
        first_part_size: tag >> 5,
        width: width & 0x3fff,
        height: height & 0x3fff,
        horizontal_scale: (width >> 14) as u8,
        vertical_scale: (height >> 14) as u8,
        flags: u64::from(uapi::V4L2_VP8_FRAME_FLAG_KEY_FRAME),
        ..Default::default()
    };
    if tag >> 4 & 1 == 1 {
        frame.flags |= u64::from(uapi::V4L2_VP8_FRAME_FLAG_SHOW_FRAME);
    }
    let first_end = KEY_HEADER + frame.first_part_size as usize;
    let first = data
        .get(KEY_HEADER..first_end)
        .context("the first partition is not complete")?;
    let mut coder = BoolDecoder::new(first);
    parse_header(&mut coder, &mut frame);
    frame.coder_state.range = coder.range as u8;
    frame.coder_state.value = (coder.value >> 8) as u8;
    frame.coder_state.bit_count = coder.shifted as u8;
    frame.first_part_header_bits = coder.bits;
    parse_partitions(data, first_end, &mut frame)?;
    Ok(KeyPicture {
        size: (frame.width.into(), frame.height.into()),
        bitstream: data.to_vec(),
        controls: vec![Control::Vp8Frame(Box::new(frame))],
    })
}

/// Up to the quantiser.
fn parse_header(coder: &mut BoolDecoder<'_>, frame: &mut Frame) {
    // Colour space and clamping
    coder.number(2);
    if coder.flag() {
        parse_segments(coder, frame);
    }
    frame.lf.flags = coder.number(1);
    frame.lf.level = coder.number(6) as u8;
    frame.lf.sharpness_level = coder.number(3) as u8;
    if coder.flag() && coder.flag() {
        for delta in frame
            .lf
            .ref_frm_delta
            .iter_mut()
            .chain(&mut frame.lf.mb_mode_delta)
        {
            *delta = coder.delta(6);
        }
    }
    frame.num_dct_parts = 1 << coder.number(2);
    let quant = &mut frame.quant;
    quant.y_ac_qi = coder.number(7) as u8;
    quant.y_dc_delta = coder.delta(4);
    quant.y2_dc_delta = coder.delta(4);
    quant.y2_ac_delta = coder.delta(4);
    quant.uv_dc_delta = coder.delta(4);
    quant.uv_ac_delta = coder.delta(4);
}

/// Segments with quantisers of their own; the job does not depend on what they say.
fn parse_segments(coder: &mut BoolDecoder<'_>, frame: &mut Frame) {
    let (map, data) = (coder.flag(), coder.flag());
    if data {
        coder.flag();
        for update in &mut frame.segment.quant_update {
            *update = coder.delta(7);
        }
        for update in &mut frame.segment.lf_update {
            *update = coder.delta(6);
        }
    }
    for prob in &mut frame.segment.segment_probs {
        *prob = if map && coder.flag() {
            coder.number(8) as u8
        } else {
            255
        };
    }
}

/// The sizes of the other partitions: of all but the last they are written down.
fn parse_partitions(data: &[u8], table: usize, frame: &mut Frame) -> Result<()> {
    let count = usize::from(frame.num_dct_parts);
    let mut left = data.len().checked_sub(table + 3 * (count - 1));
    for (i, size) in frame.dct_part_sizes.iter_mut().take(count).enumerate() {
        let room = left.context("the frame is shorter than its partitions")?;
        if i + 1 == count {
            *size = u32::try_from(room).context("a partition is too large")?;
        } else {
            let at = table + 3 * i;
            *size = u32::from(word(data, at)?) | u32::from(data[at + 2]) << 16;
            left = room.checked_sub(*size as usize);
        }
    }
    Ok(())
}

/// The arithmetic decoder of VP8; after the end of the data it reads zeros, as the format has it.
struct BoolDecoder<'a> {
    data: &'a [u8],
    next: usize,
    value: u32,
    range: u32,
    shifted: u32,
    bits: u32,
}

impl<'a> BoolDecoder<'a> {
    fn new(data: &'a [u8]) -> Self {
        let byte = |at: usize| u32::from(data.get(at).copied().unwrap_or(0));
        Self {
            data,
            next: 2,
            value: byte(0) << 8 | byte(1),
            range: 255,
            shifted: 0,
            bits: 0,
        }
    }

    /// A flag that is as likely set as not.
    fn flag(&mut self) -> bool {
        let split = 1 + (((self.range - 1) * 128) >> 8);
        let set = self.value >= split << 8;
        if set {
            self.range -= split;
            self.value -= split << 8;
        } else {
            self.range = split;
        }
        while self.range < 128 {
            self.value <<= 1;
            self.range <<= 1;
            self.bits += 1;
            self.shifted += 1;
            if self.shifted == 8 {
                self.shifted = 0;
                self.value |= u32::from(self.data.get(self.next).copied().unwrap_or(0));
                self.next += 1;
            }
        }
        set
    }

    fn number(&mut self, bits: u32) -> u32 {
        (0..bits).fold(0, |value, _| value << 1 | u32::from(self.flag()))
    }

    /// A number with a sign, or nothing.
    fn delta(&mut self, bits: u32) -> i8 {
        if !self.flag() {
            return 0;
        }
        // 7 bits at most.
        let size = self.number(bits) as i8;
        if self.flag() {
            -size
        } else {
            size
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn reads_what_is_likely_either_way() {
        // With even odds the first flag is the highest bit, as good as.
        assert!(BoolDecoder::new(&[0xff, 0xff]).flag());
        assert!(!BoolDecoder::new(&[0x10, 0]).flag());
    }

    #[test]
    fn refuses_the_rest() {
        let message = |stream: &[u8]| format!("{:#}", key_picture(stream).unwrap_err());
        assert!(message(&[0x1a, 0x45]).contains("IVF"));
        assert!(message(&ivf(&[vec![1; 40]])).contains("no key frame"));
        let mut cut = key_frame();
        cut.truncate(30);
        assert!(message(&ivf(&[cut])).contains("first partition"));
    }
}
