// SPDX-License-Identifier: GPL-2.0-only

//! MPEG-2: the first I picture.

use anyhow::{ensure, Context, Result};
use v4l2r::bindings::{self as v4l2, v4l2_ctrl_mpeg2_picture as Picture};
use v4l2r::bindings::{
    v4l2_ctrl_mpeg2_quantisation as Matrices, v4l2_ctrl_mpeg2_sequence as Sequence,
};

use super::bits::{units, Bits};
use super::KeyPicture;
use uapi::stateless::Control;

/// Start codes.
const PICTURE: u8 = 0x00;
const FIRST_SLICE: u8 = 0x01;
const LAST_SLICE: u8 = 0xaf;
const SEQUENCE: u8 = 0xb3;
const EXTENSION: u8 = 0xb5;

/// Kinds of extensions.
const OF_SEQUENCE: u32 = 1;
const MATRICES: u32 = 3;
const OF_PICTURE: u32 = 8;

/// The matrix of the standard for pictures that bring none, in the order of the bitstream.
const INTRA: [u8; 64] = [
    8, 16, 16, 19, 16, 19, 22, 22, 22, 22, 22, 22, 26, 24, 26, 27, 27, 27, 26, 26, 26, 26, 27, 27,
    27, 29, 29, 29, 34, 34, 34, 29, 29, 29, 27, 27, 29, 29, 32, 32, 34, 34, 37, 38, 37, 35, 35, 34,
    35, 38, 38, 40, 40, 40, 48, 48, 46, 46, 56, 56, 58, 69, 69, 83,
];

/// Finds the picture and its parameters.
pub fn key_picture(stream: &[u8]) -> Result<KeyPicture> {
    let mut sequence: Option<(Sequence, Matrices)> = None;
    let mut extended = false;
    let mut picture: Option<Picture> = None;
    let mut bitstream = Vec::new();
    for unit in units(stream) {
        let Some((&code, data)) = unit.split_first() else {
            continue;
        };
        let mut bits = Bits::new(data);
        match code {
            FIRST_SLICE..=LAST_SLICE if picture.is_some() => {
                bitstream.extend([0, 0, 1]);
                bitstream.extend(unit);
            }
            _ if !bitstream.is_empty() => break,
            SEQUENCE => sequence = Some(parse_sequence(&mut bits)?),
            PICTURE => picture = parse_picture(&mut bits)?,
            EXTENSION => match (bits.number(4)?, &mut sequence, &mut picture) {
                (OF_SEQUENCE, Some((sequence, _)), _) => {
                    extend_sequence(&mut bits, sequence)?;
                    extended = true;
                }
                (MATRICES, Some((_, matrices)), _) => extend_matrices(&mut bits, matrices)?,
                (OF_PICTURE, _, Some(picture)) => extend_picture(&mut bits, picture)?,
                _ => {}
            },
            _ => {}
        }
    }
    let (sequence, matrices) = sequence.context("the stream has no sequence header")?;
    ensure!(
        extended,
        "this is MPEG-1, which has no decoder interface of its own"
    );
    let picture = picture.filter(|_| !bitstream.is_empty());
    let picture = picture.context("the stream has no I picture")?;
    Ok(KeyPicture {
        size: (
            sequence.horizontal_size.into(),
            sequence.vertical_size.into(),
        ),
        bitstream,
        controls: vec![
            Control::Mpeg2Sequence(Box::new(sequence)),
            Control::Mpeg2Picture(Box::new(picture)),
            Control::Mpeg2Quantisation(Box::new(matrices)),
        ],
    })
}

fn parse_sequence(bits: &mut Bits<'_>) -> Result<(Sequence, Matrices)> {
    let mut sequence = Sequence {
        horizontal_size: bits.number(12)? as u16,
        vertical_size: bits.number(12)? as u16,
        chroma_format: 1,
        ..Default::default()
    };
    // Aspect ratio, frame rate, bit rate, a marker
    bits.number(4 + 4 + 18 + 1)?;
    sequence.vbv_buffer_size = bits.number(10)?;
    bits.flag()?;
    let intra = parse_matrix(bits)?.unwrap_or(INTRA);
    let other = parse_matrix(bits)?.unwrap_or([16; 64]);
    let matrices = Matrices {
        intra_quantiser_matrix: intra,
        non_intra_quantiser_matrix: other,
        chroma_intra_quantiser_matrix: intra,
        chroma_non_intra_quantiser_matrix: other,
    };
    Ok((sequence, matrices))
}

/// Matrices for luma are for chroma as well, until others come.
fn extend_matrices(bits: &mut Bits<'_>, matrices: &mut Matrices) -> Result<()> {
    if let Some(intra) = parse_matrix(bits)? {
        matrices.intra_quantiser_matrix = intra;
        matrices.chroma_intra_quantiser_matrix = intra;
    }
    if let Some(other) = parse_matrix(bits)? {
        matrices.non_intra_quantiser_matrix = other;
        matrices.chroma_non_intra_quantiser_matrix = other;
    }
    if let Some(intra) = parse_matrix(bits)? {
        matrices.chroma_intra_quantiser_matrix = intra;
    }
    if let Some(other) = parse_matrix(bits)? {
        matrices.chroma_non_intra_quantiser_matrix = other;
    }
    Ok(())
}

fn parse_matrix(bits: &mut Bits<'_>) -> Result<Option<[u8; 64]>> {
    if !bits.flag()? {
        return Ok(None);
    }
    let mut matrix = [0; 64];
    for entry in &mut matrix {
        *entry = bits.byte(8)?;
    }
    Ok(Some(matrix))
}

fn extend_sequence(bits: &mut Bits<'_>, sequence: &mut Sequence) -> Result<()> {
    sequence.profile_and_level_indication = bits.number(8)? as u16;
    if bits.flag()? {
        sequence.flags |= v4l2::V4L2_MPEG2_SEQ_FLAG_PROGRESSIVE as u8;
    }
    sequence.chroma_format = bits.byte(2)?;
    sequence.horizontal_size |= (bits.number(2)? << 12) as u16;
    sequence.vertical_size |= (bits.number(2)? << 12) as u16;
    // Bit rate, a marker
    bits.number(12 + 1)?;
    sequence.vbv_buffer_size |= bits.number(8)? << 10;
    Ok(())
}

/// `None` for a picture that needs others.
fn parse_picture(bits: &mut Bits<'_>) -> Result<Option<Picture>> {
    bits.number(10)?;
    let kind = bits.byte(3)?;
    Ok(
        (u32::from(kind) == v4l2::V4L2_MPEG2_PIC_CODING_TYPE_I).then(|| Picture {
            picture_coding_type: kind,
            picture_structure: v4l2::V4L2_MPEG2_PIC_FRAME as u8,
            ..Default::default()
        }),
    )
}

fn extend_picture(bits: &mut Bits<'_>, picture: &mut Picture) -> Result<()> {
    for code in picture.f_code.as_flattened_mut() {
        *code = bits.byte(4)?;
    }
    picture.intra_dc_precision = bits.byte(2)?;
    picture.picture_structure = bits.byte(2)?;
    for flag in [
        v4l2::V4L2_MPEG2_PIC_FLAG_TOP_FIELD_FIRST,
        v4l2::V4L2_MPEG2_PIC_FLAG_FRAME_PRED_DCT,
        v4l2::V4L2_MPEG2_PIC_FLAG_CONCEALMENT_MV,
        v4l2::V4L2_MPEG2_PIC_FLAG_Q_SCALE_TYPE,
        v4l2::V4L2_MPEG2_PIC_FLAG_INTRA_VLC,
        v4l2::V4L2_MPEG2_PIC_FLAG_ALT_SCAN,
        v4l2::V4L2_MPEG2_PIC_FLAG_REPEAT_FIRST,
    ] {
        if bits.flag()? {
            picture.flags |= flag;
        }
    }
    // Follows from the chroma format
    bits.flag()?;
    if bits.flag()? {
        picture.flags |= v4l2::V4L2_MPEG2_PIC_FLAG_PROGRESSIVE;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 320x240; main profile, main level, progressive, 4:2:0.
    const HEADER: [u8; 22] = [
        0, 0, 1, 0xb3, 0x14, 0x00, 0xf0, 0x13, 0xff, 0xff, 0xe0, 0x38, 0, 0, 1, 0xb5, 0x14, 0x8a,
        0, 1, 0, 0,
    ];
    /// f_codes 15, frame, frame_pred_frame_dct, progressive.
    const CODING: [u8; 9] = [0, 0, 1, 0xb5, 0x8f, 0xff, 0xf3, 0x41, 0x80];
    const SLICES: [u8; 12] = [0, 0, 1, 1, 0xab, 0xcd, 0, 0, 1, 2, 0xef, 0x01];

    fn picture(kind: u8) -> Vec<u8> {
        let mut all = vec![0, 0, 1, 0, 0, kind << 3, 0xff, 0xf8];
        all.extend(CODING);
        all.extend(SLICES);
        all
    }

    #[test]
    fn takes_the_first_i_picture() {
        let stream = [HEADER.to_vec(), picture(2), picture(1), picture(1)].concat();
        let found = key_picture(&stream).unwrap();
        assert_eq!(found.size, (320, 240));
        assert_eq!(found.bitstream, SLICES);
        let Control::Mpeg2Picture(picture) = &found.controls[1] else {
            panic!("{:?}", found.controls);
        };
        assert_eq!(picture.f_code, [[15, 15], [15, 15]]);
        assert_eq!(
            u32::from(picture.picture_structure),
            v4l2::V4L2_MPEG2_PIC_FRAME
        );
        let progressive = v4l2::V4L2_MPEG2_PIC_FLAG_PROGRESSIVE;
        assert_eq!(
            picture.flags,
            v4l2::V4L2_MPEG2_PIC_FLAG_FRAME_PRED_DCT | progressive
        );
        let Control::Mpeg2Sequence(sequence) = &found.controls[0] else {
            panic!("{:?}", found.controls);
        };
        assert_eq!(
            (
                sequence.profile_and_level_indication,
                sequence.chroma_format
            ),
            (0x48, 1)
        );
    }

    #[test]
    fn matrices_of_a_picture() {
        // Extension 3; no matrix for intra, one of 2 for the others, none for chroma.
        let mut bits = vec![0b0011_0100];
        bits.extend([0b0000_1000; 63]);
        bits.extend([0b0000_1000, 0]);
        let mut stream = HEADER.to_vec();
        let mut picture = picture(1);
        let slices = picture.split_off(picture.len() - SLICES.len());
        stream.extend(picture);
        stream.extend([0, 0, 1, 0xb5]);
        stream.extend(bits);
        stream.extend(slices);
        let found = key_picture(&stream).unwrap();
        let Control::Mpeg2Quantisation(matrices) = &found.controls[2] else {
            panic!("{:?}", found.controls);
        };
        assert_eq!(matrices.intra_quantiser_matrix, INTRA);
        assert_eq!(matrices.non_intra_quantiser_matrix, [2; 64]);
        assert_eq!(matrices.chroma_non_intra_quantiser_matrix, [2; 64]);
    }

    #[test]
    fn refuses_the_rest() {
        let message = |stream: &[u8]| format!("{:#}", key_picture(stream).unwrap_err());
        assert!(message(&[HEADER.to_vec(), picture(2)].concat()).contains("no I picture"));
        assert!(message(&[&HEADER[..12], &picture(1)].concat()).contains("MPEG-1"));
        assert!(message(&picture(1)).contains("no sequence header"));
    }
}
