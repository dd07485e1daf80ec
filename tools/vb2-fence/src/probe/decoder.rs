// SPDX-License-Identifier: GPL-2.0-only

//! Prepares jobs of stateless decoders: one key picture, by a request.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{bail, ensure, Context, Result};
use rustix::mm::{mmap, munmap, MapFlags, ProtFlags};
use v4l2r::ioctl::{self, CtrlWhich, Request};
use v4l2r::memory::MemoryType;

use super::codec::{Codec, KeyPicture};
use super::feed::{prepare_capture, Feeder, Setup};
use super::round::{Prepared, Start};
use crate::device::Queue;
use crate::hint;
use crate::observation::Case;
use crate::session::{Session, Wanted};

/// Room in the OUTPUT buffer besides the picture: hardware reads on a little.
const SLACK: u32 = 4096;

/// A film can be large, and its first key picture is at its start.
const STREAM_START: u64 = 16 << 20;

/// A stateless decoder with a picture for it.
#[derive(Debug)]
pub struct Decoder {
    codec: Codec,
    picture: KeyPicture,
    media: PathBuf,
}

impl Decoder {
    /// Takes the picture from a stream.
    pub fn new(setup: &Setup, session: &Session, stream: Option<&Path>) -> Result<Self> {
        let node = setup.node.path.display();
        let formats = session.offers(Queue::Output);
        let known: Vec<Codec> = formats.iter().filter_map(|o| Codec::of(o.fourcc)).collect();
        if known.is_empty() {
            let names: Vec<String> = formats.iter().map(|o| o.fourcc.to_string()).collect();
            bail!(
                "{node} takes {}: of decoders, those that take parsed H.264, MPEG-2 or VP8 (S264, \
                 MG2S, VP8F) can be probed; stateful ones publish no fences",
                names.join(", ")
            );
        }
        let names: Vec<&str> = known.iter().map(|codec| codec.name()).collect();
        let Some(path) = stream else {
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
            media: media_node(&setup.node.path)?,
        })
    }

    fn set_controls(&self, session: &Session, request: &Request) -> Result<()> {
        use std::os::fd::AsRawFd;
        let mut controls = self.picture.controls.clone();
        let mut raw: Vec<_> = controls.iter_mut().map(|control| control.raw()).collect();
        let which = CtrlWhich::Request(request.as_raw_fd());
        ioctl::s_ext_ctrls(session.file(), which, raw.as_mut_slice()).map_err(|err| {
            hint::ioctl_failed(
                "the driver refuses the stream's parameters: S_EXT_CTRLS",
                err,
            )
        })
    }
}

impl Feeder for Decoder {
    fn describe(&self) -> String {
        let (width, height) = self.picture.size;
        format!("decoding a {} picture, {width}x{height}", self.codec.name())
    }

    fn prepare(&self, setup: &Setup, case: Case) -> Result<Prepared> {
        let mut session = Session::open(&setup.node.path)?;
        let bytes =
            u32::try_from(self.picture.bitstream.len()).context("the picture is too large")?;
        let format = session.set_format(
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
        let capture = session.format(Queue::Capture)?;
        session.set_format(
            Queue::Capture,
            &Wanted {
                fourcc: setup.format.unwrap_or(capture.pixelformat),
                size: self.picture.size,
                bytes: 0,
            },
        )?;
        let media = open_media(&self.media)?;
        let request = Request::alloc(&media).map_err(|err| match err {
            ioctl::RequestError::IoctlError(errno) => {
                hint::ioctl_failed("MEDIA_IOC_REQUEST_ALLOC", errno)
            }
            other => other.into(),
        })?;
        session.request_buffers(Queue::Output, MemoryType::Mmap, 1)?;
        fill(&session, &self.picture.bitstream)?;
        let (handle, dmabufs) = prepare_capture(setup, &session, case, 1, 0)?;
        session.stream_on(Queue::Output)?;
        session.stream_on(Queue::Capture)?;
        session.queue(Queue::Output, 0, &[bytes], Some(&request))?;
        self.set_controls(&session, &request)?;
        Ok(Prepared {
            session,
            target: 0,
            handle,
            dmabufs,
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

/// Writes the picture into the OUTPUT buffer, by way of its dma-buf.
fn fill(session: &Session, bitstream: &[u8]) -> Result<()> {
    let dmabufs = session.export(Queue::Output, 0, 1)?;
    let dmabuf = dmabufs.first().context("no OUTPUT buffer")?;
    let (len, access) = (bitstream.len(), ProtFlags::READ | ProtFlags::WRITE);
    // SAFETY: a new mapping, at an address that the kernel chooses, touches no memory of ours.
    let mapped = unsafe {
        mmap(
            std::ptr::null_mut(),
            len,
            access,
            MapFlags::SHARED,
            dmabuf,
            0,
        )
    }
    .context("cannot map the OUTPUT buffer")?;
    // SAFETY: the mapping has `len` bytes, may be written, and overlaps nothing of ours; the buffer
    // is not queued, so no device reads it.
    unsafe { std::ptr::copy_nonoverlapping(bitstream.as_ptr(), mapped.cast::<u8>(), len) };
    // SAFETY: it is the mapping made above, and nothing points into it any more.
    unsafe { munmap(mapped, len) }.context("cannot unmap the OUTPUT buffer")
}

/// The media node of the device behind a video node: requests come from there.
fn media_node(node: &Path) -> Result<PathBuf> {
    let real = fs::canonicalize(node).with_context(|| format!("{}", node.display()))?;
    let name = real.file_name().context("the node has no name")?;
    let device = Path::new("/sys/class/video4linux")
        .join(name)
        .join("device");
    let found = fs::read_dir(&device)
        .with_context(|| format!("cannot list {}", device.display()))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .find(|name| name.starts_with("media") && name[5..].parse::<u32>().is_ok());
    let name = found.with_context(|| {
        format!(
            "{} has no media device, so there are no requests",
            node.display()
        )
    })?;
    Ok(Path::new("/dev").join(name))
}

fn open_media(path: &Path) -> Result<File> {
    let opened = OpenOptions::new().read(true).write(true).open(path);
    opened.map_err(|err| hint::open_failed(path, &err))
}
