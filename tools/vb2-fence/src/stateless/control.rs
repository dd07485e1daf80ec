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
    /// The kernel's form, which points into this one.
    pub fn raw(&mut self) -> v4l2_ext_control {
        let (id, size, content) = match self {
            Self::Number(id, value) => (*id, 0, Content { value: *value }),
            Self::H264Sps(p) => (
                bindings::V4L2_CID_STATELESS_H264_SPS,
                size_of_val(&**p),
                Content {
                    p_h264_sps: &mut **p,
                },
            ),
            Self::H264Pps(p) => (
                bindings::V4L2_CID_STATELESS_H264_PPS,
                size_of_val(&**p),
                Content {
                    p_h264_pps: &mut **p,
                },
            ),
            Self::H264Scaling(p) => (
                bindings::V4L2_CID_STATELESS_H264_SCALING_MATRIX,
                size_of_val(&**p),
                Content {
                    p_h264_scaling_matrix: &mut **p,
                },
            ),
            Self::H264Decode(p) => (
                bindings::V4L2_CID_STATELESS_H264_DECODE_PARAMS,
                size_of_val(&**p),
                Content {
                    p_h264_decode_params: &mut **p,
                },
            ),
            Self::Mpeg2Sequence(p) => (
                bindings::V4L2_CID_STATELESS_MPEG2_SEQUENCE,
                size_of_val(&**p),
                Content {
                    p_mpeg2_sequence: &mut **p,
                },
            ),
            Self::Mpeg2Picture(p) => (
                bindings::V4L2_CID_STATELESS_MPEG2_PICTURE,
                size_of_val(&**p),
                Content {
                    p_mpeg2_picture: &mut **p,
                },
            ),
            Self::Mpeg2Quantisation(p) => (
                bindings::V4L2_CID_STATELESS_MPEG2_QUANTISATION,
                size_of_val(&**p),
                Content {
                    p_mpeg2_quantisation: &mut **p,
                },
            ),
            Self::Vp8Frame(p) => (
                bindings::V4L2_CID_STATELESS_VP8_FRAME,
                size_of_val(&**p),
                Content {
                    p_vp8_frame: &mut **p,
                },
            ),
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
