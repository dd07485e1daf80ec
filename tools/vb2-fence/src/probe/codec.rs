// SPDX-License-Identifier: GPL-2.0-only

//! The first key picture of a stream, with the controls that a stateless decoder wants for it.
//!
//! One picture that needs no other is all that a probe takes: it is decoded again and again. What
//! is not parsed (scaling lists, VP8's coefficient probabilities) spoils the picture at most, never
//! the job.

mod bits;
mod h264;
mod mpeg2;
mod vp8;

use anyhow::{bail, Result};
use v4l2r::bindings::{self, v4l2_ext_control, v4l2_ext_control__bindgen_ty_1 as Content};
use v4l2r::PixelFormat;

/// A codec whose streams can be taken apart here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// H.264, in Annex B form.
    H264,
    /// MPEG-2 video, an elementary stream.
    Mpeg2,
    /// VP8, in an IVF file.
    Vp8,
}

impl Codec {
    /// Of the name of a stateless decoder's OUTPUT format.
    pub fn of(format: PixelFormat) -> Option<Self> {
        match &format.to_fourcc() {
            b"S264" => Some(Self::H264),
            b"MG2S" => Some(Self::Mpeg2),
            b"VP8F" => Some(Self::Vp8),
            _ => None,
        }
    }

    /// Of a stream, by how it begins.
    pub fn detect(stream: &[u8]) -> Option<Self> {
        match stream {
            [b'D', b'K', b'I', b'F', ..] => Some(Self::Vp8),
            [0, 0, 1, 0xb3, ..] | [0, 0, 0, 1, 0xb3, ..] => Some(Self::Mpeg2),
            // A NAL unit: the forbidden bit is clear, and there is a type.
            [0, 0, 1, nal, ..] | [0, 0, 0, 1, nal, ..] if nal & 0x80 == 0 && nal & 0x1f != 0 => {
                Some(Self::H264)
            }
            _ => None,
        }
    }

    /// The OUTPUT format.
    pub fn format(self) -> PixelFormat {
        PixelFormat::from(match self {
            Self::H264 => b"S264",
            Self::Mpeg2 => b"MG2S",
            Self::Vp8 => b"VP8F",
        })
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "H.264",
            Self::Mpeg2 => "MPEG-2",
            Self::Vp8 => "VP8",
        }
    }

    /// The first key picture.
    pub fn key_picture(self, stream: &[u8]) -> Result<KeyPicture> {
        let picture = match self {
            Self::H264 => h264::key_picture(stream)?,
            Self::Mpeg2 => mpeg2::key_picture(stream)?,
            Self::Vp8 => vp8::key_picture(stream)?,
        };
        if picture.size.0 == 0 || picture.size.1 == 0 {
            bail!(
                "the {} stream has pictures of {:?} pixels",
                self.name(),
                picture.size
            );
        }
        Ok(picture)
    }
}

/// A picture that needs no other.
#[derive(Clone, Debug)]
pub struct KeyPicture {
    /// Width and height of what is decoded.
    pub size: (u32, u32),
    /// What goes into the OUTPUT buffer.
    pub bitstream: Vec<u8>,
    /// What goes with it.
    pub controls: Vec<Control>,
}

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

    #[test]
    fn detects_streams() {
        assert_eq!(Codec::detect(b"DKIF\0\0"), Some(Codec::Vp8));
        assert_eq!(Codec::detect(&[0, 0, 1, 0xb3, 1]), Some(Codec::Mpeg2));
        assert_eq!(Codec::detect(&[0, 0, 0, 1, 0x67]), Some(Codec::H264));
        assert_eq!(Codec::detect(&[0, 0, 1, 0x09, 0x10]), Some(Codec::H264));
        // Matroska, and nothing.
        assert_eq!(Codec::detect(&[0x1a, 0x45, 0xdf, 0xa3]), None);
        assert_eq!(Codec::detect(&[]), None);
    }

    #[test]
    fn formats_are_the_kernels() {
        for codec in [Codec::H264, Codec::Mpeg2, Codec::Vp8] {
            assert_eq!(Codec::of(codec.format()), Some(codec));
        }
        assert_eq!(codec_id(Control::Number(7, 1)), (7, 0));
        let sps = Control::H264Sps(Box::default());
        assert_eq!(codec_id(sps), (bindings::V4L2_CID_STATELESS_H264_SPS, 1048));
    }

    fn codec_id(mut control: Control) -> (u32, u32) {
        let raw = control.raw();
        (raw.id, raw.size)
    }
}
