// SPDX-License-Identifier: GPL-2.0-only

//! Streams made bit by bit.

use super::*;

/// Writes what [`Bits`] reads.
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
    // Type I, frame_num 0 of 6 bits, idr_pic_id 5, order count 8 of 8 bits
    let writer = Writer::default()
        .ue(first_mb)
        .ue(7)
        .ue(0)
        .u(6, 0)
        .ue(5)
        .u(8, 8);
    writer.u(32, 0xdead_beef).unit(0x65)
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
    assert!(message([sps(), idr(0)].concat()).contains("without parameters"));
    assert!(message(vec![0, 0, 1, 0x67, 77]).contains("ends too soon"));
}

#[test]
fn emulation_prevention() {
    assert_eq!(
        payload(&[0x65, 0, 0, 3, 1, 0, 0, 3, 0, 3]),
        [0, 0, 1, 0, 0, 0, 3]
    );
}

#[test]
fn scaling_lists_are_owned_up_to() {
    // High profile, 4:2:0 of 8 bits, eight lists of which none is written out; the rest as above.
    let high = Writer::default().u(8, 100).u(8, 0).u(8, 30).ue(0);
    let high = high.ue(1).ue(0).ue(0).u(1, 0).u(1, 1).u(8, 0);
    let high = high.ue(2).ue(0).ue(4).ue(2).u(1, 0).ue(19).ue(14);
    let high = high.u(1, 1).u(1, 1).u(2, 0).unit(0x67);
    let found = key_picture(&[high, pps(), idr(0)].concat()).unwrap();
    assert_eq!(found.size, (320, 240));
    assert_eq!(found.unread, Some("scaling lists"));
    let plain = key_picture(&[sps(), pps(), idr(0)].concat()).unwrap();
    assert_eq!(plain.unread, None);
}
