// SPDX-License-Identifier: GPL-2.0-only

//! The first key picture of a stream, with the controls that a stateless decoder wants for it.
//!
//! One picture that needs no other is all that a probe takes: it is decoded again and again.

mod bits;
mod h264;
mod mpeg2;
mod vp8;

use anyhow::{bail, Result};
use v4l2r::PixelFormat;

use uapi::stateless::Control;

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

    /// The name in messages.
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

/// The flags that are set.
fn flags<const N: usize>(all: [(bool, u32); N]) -> u32 {
    let set = all.iter().filter(|(set, _)| *set);
    set.fold(0, |flags, (_, flag)| flags | flag)
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
    }
}
