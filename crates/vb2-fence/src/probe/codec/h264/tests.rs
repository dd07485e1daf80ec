// SPDX-License-Identifier: GPL-2.0-only

//! Streams made bit by bit.

use super::*;

/// Writes bits, and the exponential Golomb code of H.264.
#[derive(Default)]
struct Writer {
    bits: Vec<bool>,
}

impl Writer {
    fn u(mut self, count: u32, value: u32) -> Self {
        self.bits
            .extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
        self
    }

    fn ue(self, value: u32) -> Self {
        let length = 32 - (value + 1).leading_zeros();
        self.u(length - 1, 0).u(length, value + 1)
    }

    /// Closes the unit, and keeps start codes out of it.
    fn unit(self, header: u8) -> Vec<u8> {
        let mut bits = self.u(1, 1).bits;
        bits.resize(bits.len().next_multiple_of(8), false);
        let mut out = vec![0, 0, 1, header];
        let mut zeros = 0;
        for byte in bits.chunks(8) {
            let byte = byte.iter().fold(0, |byte, &bit| byte << 1 | u8::from(bit));
            if zeros >= 2 && byte <= 3 {
                out.push(3);
                zeros = 0;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            out.push(byte);
        }
        out
    }
}

fn sps() -> Vec<u8> {
    let writer = Writer::default().u(8, 77).u(8, 0x40).u(8, 30).ue(0);
    // log2 of frame_num 4 + 2, order count of 4 + 4 bits, 2 references, no gaps, 20x15 macroblocks
    let writer = writer.ue(2).ue(0).ue(4).ue(2).u(1, 0).ue(19).ue(14);
    // Frames only, direct inference, no cropping, no usability information
    writer.u(1, 1).u(1, 1).u(2, 0).unit(0x67)
}

fn pps() -> Vec<u8> {
    // CABAC, no order in frames, one slice group, 1 and 1 references, no weights, QP 26 - 3 (se 6)
    let writer = Writer::default()
        .ue(0)
        .ue(0)
        .u(2, 0b10)
        .ue(0)
        .ue(0)
        .ue(0)
        .u(3, 0);
    writer.ue(6).ue(0).ue(0).u(3, 0b100).unit(0x68)
}

fn idr(first_mb: u32) -> Vec<u8> {
    // Type I, frame_num 0 of 6 bits, idr_pic_id 5, order count 8 of 8 bits; no marking, QP + 0, no
    // deblocking; the picture itself
    let writer = Writer::default()
        .ue(first_mb)
        .ue(7)
        .ue(0)
        .u(6, 0)
        .ue(5)
        .u(8, 8);
    writer.u(2, 0).ue(0).ue(1).u(32, 0xdead_beef).unit(0x65)
}

#[test]
fn takes_the_first_picture_only() {
    let slices = [idr(0), idr(150)].concat();
    let stream = [sps(), pps(), slices.clone(), idr(0)].concat();
    let picture = key_picture(&stream).unwrap();
    assert_eq!(picture.size, (320, 240));
    assert_eq!(picture.bitstream, slices);
    for control in &picture.controls {
        match control {
            Control::H264Sps(sps) => {
                assert_eq!((sps.profile_idc, sps.level_idc), (77, 30));
                assert_eq!(
                    sps.constraint_set_flags,
                    v4l2::V4L2_H264_SPS_CONSTRAINT_SET1_FLAG as u8
                );
                assert_eq!((sps.chroma_format_idc, sps.max_num_ref_frames), (1, 2));
            }
            Control::H264Pps(pps) => {
                assert_eq!(pps.pic_init_qp_minus26, -3);
                let deblocking = v4l2::V4L2_H264_PPS_FLAG_DEBLOCKING_FILTER_CONTROL_PRESENT;
                let cabac = v4l2::V4L2_H264_PPS_FLAG_ENTROPY_CODING_MODE;
                assert_eq!(u32::from(pps.flags), deblocking | cabac);
            }
            Control::H264Decode(params) => {
                assert_eq!((params.idr_pic_id, params.pic_order_cnt_lsb), (5, 8));
                assert_eq!((params.pic_order_cnt_bit_size, params.nal_ref_idc), (8, 3));
            }
            _ => {}
        }
    }
}

#[test]
fn refuses_what_it_cannot_start_with() {
    let message = |stream: Vec<u8>| format!("{:#}", key_picture(&stream).unwrap_err());
    assert!(message([sps(), pps()].concat()).contains("no IDR picture"));
    assert!(message([sps(), idr(0)].concat()).contains("an IDR picture: Could not get PPS"));
    assert!(message(vec![0, 0, 1, 0x67, 77]).contains("sequence parameters: "));
}

/// High profile, 4:2:0 of 8 bits, with these bits for the scaling lists; the rest as above.
fn high_sps(scaling: impl Fn(Writer) -> Writer) -> Vec<u8> {
    let writer = Writer::default().u(8, 100).u(8, 0).u(8, 30).ue(0);
    let writer = scaling(writer.ue(1).ue(0).ue(0).u(1, 0));
    let writer = writer.ue(2).ue(0).ue(4).ue(2).u(1, 0).ue(19).ue(14);
    writer.u(1, 1).u(1, 1).u(2, 0).unit(0x67)
}

/// The picture's scaling lists, and whether the decoder is told to use them.
fn scaling_of(sps: Vec<u8>) -> (ScalingMatrix, bool) {
    let found = key_picture(&[sps, pps(), idr(0)].concat()).unwrap();
    assert_eq!(found.size, (320, 240));
    let (mut matrix, mut used) = (None, None);
    for control in found.controls {
        match control {
            Control::H264Scaling(lists) => matrix = Some(*lists),
            Control::H264Pps(pps) => {
                let flag = v4l2::V4L2_H264_PPS_FLAG_SCALING_MATRIX_PRESENT;
                used = Some(u32::from(pps.flags) & flag != 0);
            }
            _ => {}
        }
    }
    (matrix.unwrap(), used.unwrap())
}

#[test]
fn a_stream_without_scaling_lists_has_flat_ones() {
    for sps in [sps(), high_sps(|writer| writer.u(1, 0))] {
        let (matrix, used) = scaling_of(sps);
        assert!(!used);
        assert_eq!(matrix.scaling_list_4x4, [[16; 16]; 6]);
        assert_eq!(matrix.scaling_list_8x8, [[16; 64]; 6]);
    }
}

#[test]
fn scaling_lists_are_read_and_put_line_by_line() {
    // The first list is 8 + 1, + 1, …; the second follows it, all others are those of the standard.
    let (matrix, used) = scaling_of(high_sps(|writer| {
        let writer = (0..16).fold(writer.u(1, 1).u(1, 1), |writer, _| writer.ue(1));
        writer.u(7, 0)
    }));
    assert!(used);
    let lines = [
        9, 10, 14, 15, 11, 13, 16, 21, 12, 17, 20, 22, 18, 19, 23, 24,
    ];
    assert_eq!(matrix.scaling_list_4x4[..3], [lines; 3]);
    let inter = [
        10, 14, 20, 24, 14, 20, 24, 27, 20, 24, 27, 30, 24, 27, 30, 34,
    ];
    assert_eq!(matrix.scaling_list_4x4[3..], [inter; 3]);
    let [intra, inter, ..] = matrix.scaling_list_8x8;
    assert_eq!(intra[..8], [6, 10, 13, 16, 18, 23, 25, 27]);
    assert_eq!(inter[56..], [24, 25, 27, 28, 30, 32, 33, 35]);
}
