// SPDX-License-Identifier: GPL-2.0-only

//! The controls that go with a picture.

use v4l2r::bindings::{self, v4l2_ext_control, v4l2_ext_control__bindgen_ty_1 as Content};

/// A control and its value.
#[derive(Clone, Debug)]
pub enum Control {
    /// One of the plain ones.
    Number(u32, i32),
    /// Sequence parameters of H.264.
    H264Sps(Box<bindings::v4l2_ctrl_h264_sps>),
    /// Picture parameters of H.264.
    H264Pps(Box<bindings::v4l2_ctrl_h264_pps>),
    /// Scaling lists of H.264.
    H264Scaling(Box<bindings::v4l2_ctrl_h264_scaling_matrix>),
    /// One picture of H.264.
    H264Decode(Box<bindings::v4l2_ctrl_h264_decode_params>),
    /// Sequence of MPEG-2.
    Mpeg2Sequence(Box<bindings::v4l2_ctrl_mpeg2_sequence>),
    /// One picture of MPEG-2.
    Mpeg2Picture(Box<bindings::v4l2_ctrl_mpeg2_picture>),
    /// Quantisation matrices of MPEG-2.
    Mpeg2Quantisation(Box<bindings::v4l2_ctrl_mpeg2_quantisation>),
    /// One frame of VP8.
    Vp8Frame(Box<bindings::v4l2_ctrl_vp8_frame>),
}

impl Control {
    /// A key frame of VP8 with one partition of coefficients; sizes are of the two partitions.
    pub fn vp8_key_frame(width: u16, height: u16, first_part: u32, coefficients: u32) -> Self {
        let mut frame = Box::new(bindings::v4l2_ctrl_vp8_frame {
            width,
            height,
            num_dct_parts: 1,
            first_part_size: first_part,
            first_part_header_bits: 16,
            flags: u64::from(
                bindings::V4L2_VP8_FRAME_FLAG_KEY_FRAME | bindings::V4L2_VP8_FRAME_FLAG_SHOW_FRAME,
            ),
            ..Default::default()
        });
        frame.quant.y_ac_qi = 32;
        frame.coder_state.range = 255;
        frame.dct_part_sizes[0] = coefficients;
        Self::Vp8Frame(frame)
    }

    /// The kernel's form, which points into this one.
    pub fn raw(&mut self) -> v4l2_ext_control {
        let (id, size, content) = match self {
            Self::Number(id, value) => (*id, 0, Content { value: *value }),
            Self::H264Sps(p) => compound(bindings::V4L2_CID_STATELESS_H264_SPS, &mut **p),
            Self::H264Pps(p) => compound(bindings::V4L2_CID_STATELESS_H264_PPS, &mut **p),
            Self::H264Scaling(p) => {
                compound(bindings::V4L2_CID_STATELESS_H264_SCALING_MATRIX, &mut **p)
            }
            Self::H264Decode(p) => {
                compound(bindings::V4L2_CID_STATELESS_H264_DECODE_PARAMS, &mut **p)
            }
            Self::Mpeg2Sequence(p) => {
                compound(bindings::V4L2_CID_STATELESS_MPEG2_SEQUENCE, &mut **p)
            }
            Self::Mpeg2Picture(p) => compound(bindings::V4L2_CID_STATELESS_MPEG2_PICTURE, &mut **p),
            Self::Mpeg2Quantisation(p) => {
                compound(bindings::V4L2_CID_STATELESS_MPEG2_QUANTISATION, &mut **p)
            }
            Self::Vp8Frame(p) => compound(bindings::V4L2_CID_STATELESS_VP8_FRAME, &mut **p),
        };
        v4l2_ext_control {
            id,
            // The largest is some kilobytes.
            size: size as u32,
            __bindgen_anon_1: content,
            ..Default::default()
        }
    }
}

/// A control that is a structure.
fn compound<T>(id: u32, value: &mut T) -> (u32, usize, Content) {
    let ptr = std::ptr::from_mut(value).cast();
    (id, size_of::<T>(), Content { ptr })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_and_size(mut control: Control) -> (u32, u32) {
        let raw = control.raw();
        (raw.id, raw.size)
    }

    #[test]
    fn sizes_are_the_kernels() {
        assert_eq!(id_and_size(Control::Number(7, 1)), (7, 0));
        let sps = Control::H264Sps(Box::default());
        assert_eq!(
            id_and_size(sps),
            (bindings::V4L2_CID_STATELESS_H264_SPS, 1048)
        );
        let frame = Control::Vp8Frame(Box::default());
        assert_eq!(
            id_and_size(frame),
            (bindings::V4L2_CID_STATELESS_VP8_FRAME, 1232)
        );
    }
}
