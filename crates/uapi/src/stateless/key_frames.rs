// SPDX-License-Identifier: GPL-2.0-only

//! Key frames of VP8 for a decoder that is emulated (Documentation/admin-guide/media/rkemu.rst): they
//! have the controls that a decoder wants, and no picture in them.

use std::path::Path;

use anyhow::{ensure, Context, Result};
use v4l2r::ioctl::Request;
use v4l2r::PixelFormat;

use super::{queue, reinit, set_controls, Control, Media};
use crate::device::Queue;
use crate::mapping::Mapping;
use crate::stream::{Stream, Wanted};

/// A bitstream: a header and a first partition, which the device does not look at, and the rest.
const BITSTREAM: u32 = 512;
const HEADER: u32 = 10;
const FIRST_PART: u32 = 64;

/// The bitstream of a frame, by its number.
pub fn bitstream(number: u32) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..BITSTREAM).map(|i| (i * 7) as u8).collect();
    let end = bytes.len() - 4;
    bytes[end..].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// What the device looks at of a bitstream.
pub fn coefficients(bitstream: &[u8]) -> &[u8] {
    &bitstream[(HEADER + FIRST_PART) as usize..]
}

/// A decoder's requests, one for each OUTPUT buffer.
#[derive(Debug)]
pub struct KeyFrames {
    requests: Vec<Request>,
    width: u16,
    height: u16,
}

impl KeyFrames {
    /// The V4L2 name of the pictures.
    pub const PICTURE: [u8; 4] = *b"NV12";

    /// Sets the formats of the decoder at `path`, with pictures of exactly that size, and gives its
    /// OUTPUT queue `count` buffers, which are returned: each is to have a [`bitstream`].
    pub fn new(
        path: &Path,
        stream: &mut Stream,
        size: (u32, u32),
        count: u32,
    ) -> Result<(Self, Vec<Mapping>)> {
        for (queue, fourcc, bytes) in [
            (Queue::Output, *b"VP8F", BITSTREAM),
            (Queue::Capture, Self::PICTURE, 0),
        ] {
            let fourcc = PixelFormat::from(&fourcc);
            let wanted = Wanted {
                fourcc,
                size,
                bytes,
            };
            let got = stream.set_format(queue, &wanted)?;
            ensure!(
                (got.width, got.height) == size && got.plane_fmt.len() == 1,
                "the decoder does not take {fourcc} of that size: it says {got:?}"
            );
        }
        let media = Media::of(path)?;
        let frames = Self {
            requests: (0..count).map(|_| media.request()).collect::<Result<_>>()?,
            width: size.0.try_into()?,
            height: size.1.try_into()?,
        };
        Ok((frames, stream.allocate(Queue::Output, count)?))
    }

    /// Queues an OUTPUT buffer with its controls: a job, if there is a CAPTURE buffer for it.
    pub fn queue(&self, stream: &Stream, index: u32) -> Result<()> {
        let request = self.requests.get(index as usize);
        let request = request.context("a buffer without a request")?;
        // It is over if it was queued before.
        reinit(request)?;
        stream.queue_bitstream(index, BITSTREAM, request)?;
        let rest = BITSTREAM - HEADER - FIRST_PART;
        let header = Control::vp8_key_frame(self.width, self.height, FIRST_PART, rest);
        set_controls(stream.file(), request, vec![header])?;
        queue(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_differ_in_what_the_device_looks_at() {
        let (one, two) = (bitstream(5), bitstream(6));
        assert_eq!(one.len(), BITSTREAM as usize);
        assert_ne!(coefficients(&one), coefficients(&two));
    }
}
