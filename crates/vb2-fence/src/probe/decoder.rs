// SPDX-License-Identifier: GPL-2.0-only

//! Prepares jobs of stateless decoders: one key picture, by a request.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{bail, ensure, Context, Result};

use super::codec::{Codec, KeyPicture};
use super::feed::{begin, Feeder, Setup};
use crate::observation::Case;
use crate::observe::acquire::User;
use crate::observe::capture_buffers;
use crate::observe::probe::{Prepared, Shows, Start};
use uapi::device::Queue;
use uapi::stateless::{self, Media};
use uapi::stream::{Stream, Wanted};

/// Room in the OUTPUT buffer besides the picture: hardware reads on a little.
const SLACK: u32 = 4096;

/// A film can be large, and its first key picture is at its start.
const STREAM_START: u64 = 16 << 20;

/// A stateless decoder with a picture for it.
#[derive(Debug)]
pub struct Decoder {
    codec: Codec,
    picture: KeyPicture,
    media: Media,
}

impl Decoder {
    /// Takes the picture from a stream.
    pub fn new(setup: &Setup, stream: &Stream, file: Option<&Path>) -> Result<Self> {
        let node = setup.node.path.display();
        let formats = stream.offers(Queue::Output);
        let known: Vec<Codec> = formats.iter().filter_map(|o| Codec::of(o.fourcc)).collect();
        if known.is_empty() {
            let names: Vec<String> = formats.iter().map(|o| o.fourcc.to_string()).collect();
            bail!(
                "{node} takes {}: of decoders, those that take parsed H.264, MPEG-2 or VP8 (S264, \
                 MG2S, VP8F) can be probed; of others, vb2-fence watch {node} shows the fences, \
                 while a player runs",
                names.join(", ")
            );
        }
        let names: Vec<&str> = known.iter().map(|codec| codec.name()).collect();
        let Some(path) = file else {
            bail!(
                "{node} is a decoder: give it a stream, --stream FILE ({})",
                names.join(", ")
            );
        };
        let data = read_start(path).with_context(|| format!("cannot read {}", path.display()))?;
        let path = path.display();
        let codec = Codec::detect(&data).with_context(|| {
            format!("{path} is no stream: H.264 in Annex B form, MPEG-2, or VP8 in an IVF file")
        })?;
        ensure!(
            known.contains(&codec),
            "{path} is {}, and {node} decodes {}",
            codec.name(),
            names.join(", ")
        );
        let picture = codec
            .key_picture(&data)
            .with_context(|| format!("{path}"))?;
        Ok(Self {
            codec,
            picture,
            media: Media::of(&setup.node.path)?,
        })
    }
}

impl Feeder for Decoder {
    fn describe(&self) -> String {
        let (width, height) = self.picture.size;
        format!("decoding a {} picture, {width}x{height}", self.codec.name())
    }

    fn prepare(&self, setup: &Setup, case: Case, user: Option<&User<'_>>) -> Result<Prepared> {
        let mut stream = Stream::open(&setup.node.path)?;
        let bytes =
            u32::try_from(self.picture.bitstream.len()).context("the picture is too large")?;
        let format = stream.set_format(
            Queue::Output,
            &Wanted {
                fourcc: self.codec.format(),
                size: self.picture.size,
                bytes: bytes + SLACK,
            },
        )?;
        ensure!(
            format.plane_fmt[0].sizeimage >= bytes,
            "the driver's OUTPUT buffers are smaller than the picture"
        );
        let capture = stream.format(Queue::Capture)?;
        stream.set_format(
            Queue::Capture,
            &Wanted {
                fourcc: setup.format.unwrap_or(capture.pixelformat),
                size: self.picture.size,
                bytes: 0,
            },
        )?;
        let request = self.media.request()?;
        for input in stream.allocate(Queue::Output, 1)? {
            let written = input.write(&self.picture.bitstream);
            written.context("the OUTPUT buffer")?;
        }
        let inputs = user.map(|user| user.begin_output(&stream, 0)).transpose()?;
        let begin = |_: &Stream, dmabufs: &[OwnedFd]| begin(user, Queue::Capture, dmabufs);
        let (handle, dmabufs) = capture_buffers(&mut stream, case, setup.heap(), 1, 0, begin)?;
        stream.stream_on(Queue::Output)?;
        stream.stream_on(Queue::Capture)?;
        stream.queue_bitstream(0, bytes, &request)?;
        stateless::set_controls(stream.file(), &request, self.picture.controls.clone())?;
        Ok(Prepared {
            stream,
            target: 0,
            handle,
            dmabufs,
            inputs: inputs.unwrap_or_default(),
            shows: Shows::Start,
            start: Start::Request(request),
        })
    }
}

/// As much of a stream as its first key picture can need.
fn read_start(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut data = Vec::new();
    File::open(path)?
        .take(STREAM_START)
        .read_to_end(&mut data)?;
    Ok(data)
}
