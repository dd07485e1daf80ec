// SPDX-License-Identifier: GPL-2.0-only

//! An open video node of any kind: its formats, buffers and queues.
//!
//! [`crate::device::M2m`] is what the report needs of vim2m; this is for every driver, and for the
//! multi-planar interface.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{ensure, Context, Result};
use v4l2r::ioctl::{self, BufferFlags, ExpbufFlags, FormatFlags, FormatIterator, QBufPlane};
use v4l2r::ioctl::{DqBufError, DqBufIoctlError, QBuffer, Request, V4l2Buffer};
use v4l2r::memory::{DmaBufHandle, MemoryType, MmapHandle, PlaneHandle};
use v4l2r::{nix, Format, PixelFormat, PlaneLayout, QueueType};

use crate::device::{self, Queue};
use crate::hint;
use crate::queues::Queues;

/// A format that a queue offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its four characters.
    pub fourcc: PixelFormat,
    /// Not raw pictures.
    pub compressed: bool,
}

/// A format that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Which one.
    pub fourcc: PixelFormat,
    /// Width and height of the picture.
    pub size: (u32, u32),
    /// Bytes of a buffer, for bitstreams; 0 leaves it to the driver.
    pub bytes: u32,
}

/// A buffer that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returned {
    /// Which one.
    pub index: u32,
    /// With V4L2_BUF_FLAG_ERROR.
    pub error: bool,
}

/// An open node: one context of a memory-to-memory driver. Dropping it stops its queues.
#[derive(Debug)]
pub struct Session {
    file: File,
    queues: Queues,
}

impl Session {
    /// Opens a node.
    pub fn open(path: &Path) -> Result<Self> {
        let file = device::open(path)?;
        let caps: ioctl::Capability = ioctl::querycap(&file)
            .with_context(|| format!("{} is not a V4L2 node", path.display()))?;
        Ok(Self {
            queues: Queues::decode(caps.device_caps()),
            file,
        })
    }

    fn queue_type(&self, queue: Queue) -> QueueType {
        self.queues.queue_type(queue)
    }

    /// The file, for ioctls that are a driver's own.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The formats that a queue offers.
    pub fn offers(&self, queue: Queue) -> Vec<Offer> {
        FormatIterator::new(&self.file, self.queue_type(queue))
            .map(|format| Offer {
                fourcc: format.pixelformat,
                compressed: format.flags.contains(FormatFlags::COMPRESSED),
            })
            .collect()
    }

    /// The format that a queue has.
    pub fn format(&self, queue: Queue) -> Result<Format> {
        ioctl::g_fmt(&self.file, self.queue_type(queue))
            .map_err(|err| hint::ioctl_failed(&format!("G_FMT {queue:?}"), err))
    }

    /// Sets a queue's format; the size is the driver's business, the pixels are not.
    pub fn set_format(&mut self, queue: Queue, wanted: &Wanted) -> Result<Format> {
        let plane_fmt = match wanted.bytes {
            0 => Vec::new(),
            sizeimage => vec![PlaneLayout {
                sizeimage,
                bytesperline: 0,
            }],
        };
        let format = Format {
            width: wanted.size.0,
            height: wanted.size.1,
            pixelformat: wanted.fourcc,
            plane_fmt,
        };
        let kind = self.queue_type(queue);
        let got: Format = ioctl::s_fmt(&mut self.file, (kind, &format))
            .map_err(|err| hint::ioctl_failed(&format!("S_FMT {queue:?}"), err))?;
        ensure!(
            got.pixelformat == wanted.fourcc,
            "format refused: {queue:?} takes {}, not {}; v4l2-ctl --list-formats{} shows those that it takes",
            got.pixelformat,
            wanted.fourcc,
            if queue == Queue::Output { "-out" } else { "" }
        );
        ensure!(
            !got.plane_fmt.is_empty(),
            "S_FMT {queue:?}: a format without a plane"
        );
        Ok(got)
    }

    /// Gives a queue buffers; says how many it got.
    pub fn request_buffers(&self, queue: Queue, memory: MemoryType, count: u32) -> Result<u32> {
        let what = format!("REQBUFS {queue:?} {memory:?}");
        let got: usize = ioctl::reqbufs(&self.file, self.queue_type(queue), memory, count)
            .map_err(|err| hint::ioctl_failed(&what, err))?;
        ensure!(got >= 1, "{what} gave no buffer");
        u32::try_from(got).context(what)
    }

    /// Exports each plane of a buffer as a dma-buf.
    pub fn export(&self, queue: Queue, index: u32, planes: usize) -> Result<Vec<OwnedFd>> {
        let flags = ExpbufFlags::CLOEXEC | ExpbufFlags::RDWR;
        (0..planes)
            .map(|plane| {
                ioctl::expbuf(
                    &self.file,
                    self.queue_type(queue),
                    index as usize,
                    plane,
                    flags,
                )
                .map_err(|err| hint::ioctl_failed(&format!("EXPBUF {queue:?}"), err))
            })
            .collect()
    }

    /// Queues a buffer of the device's own memory with so many bytes in each plane; with a request
    /// it waits for that.
    pub fn queue(
        &self,
        queue: Queue,
        index: u32,
        bytes: &[u32],
        request: Option<&Request>,
    ) -> Result<()> {
        let planes = bytes
            .iter()
            .map(|&bytes| QBufPlane::new_from_handle(&MmapHandle, bytes as usize))
            .collect();
        self.queue_planes::<MmapHandle>(queue, index, planes, request)
    }

    /// Queues a buffer with `dmabufs` as the memory of its planes.
    pub fn queue_import(&self, queue: Queue, index: u32, dmabufs: &[OwnedFd]) -> Result<()> {
        let planes = dmabufs
            .iter()
            .map(|dmabuf| {
                let mut plane = QBufPlane::new(0);
                plane.0.m.fd = dmabuf.as_raw_fd();
                plane
            })
            .collect();
        self.queue_planes::<DmaBufHandle<File>>(queue, index, planes, None)
    }

    fn queue_planes<H: PlaneHandle>(
        &self,
        queue: Queue,
        index: u32,
        planes: Vec<QBufPlane>,
        request: Option<&Request>,
    ) -> Result<()> {
        ensure!(
            !planes.is_empty(),
            "QBUF {queue:?}: a buffer without a plane"
        );
        let mut buffer = QBuffer::<H>::new(self.queue_type(queue), index);
        buffer.planes = planes;
        if let Some(request) = request {
            buffer = buffer.set_request(request.as_raw_fd());
        }
        ioctl::qbuf::<_, ()>(&self.file, buffer).map_err(|err| match err {
            ioctl::IoctlConvertError::IoctlError(err) => {
                hint::ioctl_failed(&format!("QBUF {queue:?}"), err)
            }
            ioctl::IoctlConvertError::ConversionError(never) => match never {},
        })
    }

    /// Starts a queue.
    pub fn stream_on(&self, queue: Queue) -> Result<()> {
        ioctl::streamon(&self.file, self.queue_type(queue))
            .map_err(|err| hint::ioctl_failed(&format!("STREAMON {queue:?}"), err))
    }

    /// Stops a queue: the driver gives all buffers back.
    pub fn stream_off(&self, queue: Queue) -> Result<()> {
        ioctl::streamoff(&self.file, self.queue_type(queue))
            .map_err(|err| hint::ioctl_failed(&format!("STREAMOFF {queue:?}"), err))
    }

    /// Takes a buffer back; `None` if none is done.
    pub fn dequeue(&self, queue: Queue) -> Result<Option<Returned>> {
        match ioctl::dqbuf::<V4l2Buffer>(&self.file, self.queue_type(queue)) {
            Ok(buffer) => Ok(Some(Returned {
                index: buffer.index(),
                error: buffer.flags().contains(BufferFlags::ERROR),
            })),
            Err(DqBufError::IoctlError(DqBufIoctlError::NotReady)) => Ok(None),
            Err(DqBufError::IoctlError(err)) => Err(hint::ioctl_failed(
                &format!("DQBUF {queue:?}"),
                nix::errno::Errno::from(err),
            )),
            Err(err) => Err(err).with_context(|| format!("DQBUF {queue:?}")),
        }
    }

    /// Whether a buffer is with the driver, and the driver has not said that it is done.
    pub fn is_underway(&self, queue: Queue, index: u32) -> Result<bool> {
        let kind = self.queue_type(queue);
        let buffer: V4l2Buffer = ioctl::querybuf(&self.file, kind, index as usize)
            .with_context(|| format!("QUERYBUF {queue:?}"))?;
        let flags = buffer.flags();
        Ok(flags.contains(BufferFlags::QUEUED) && !flags.contains(BufferFlags::DONE))
    }
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Bytes of each plane of a buffer.
pub fn plane_sizes(format: &Format) -> Vec<u32> {
    format
        .plane_fmt
        .iter()
        .map(|plane| plane.sizeimage)
        .collect()
}

/// A raw format for each side: the same on both where the device has one.
pub fn choose_raw(output: &[Offer], capture: &[Offer]) -> Option<(PixelFormat, PixelFormat)> {
    let raw = |offers: &[Offer]| -> Vec<PixelFormat> {
        let raw = offers.iter().filter(|offer| !offer.compressed);
        raw.map(|offer| offer.fourcc).collect()
    };
    let (inputs, outputs) = (raw(output), raw(capture));
    let first_input = *inputs.first()?;
    match inputs.iter().find(|fourcc| outputs.contains(fourcc)) {
        Some(&same) => Some((same, same)),
        // An encoder: its job is as good as any.
        None => Some((
            first_input,
            *outputs.first().or(capture.first().map(|o| &o.fourcc))?,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(fourcc: &[u8; 4], compressed: bool) -> Offer {
        Offer {
            fourcc: fourcc.into(),
            compressed,
        }
    }

    #[test]
    fn prefers_the_same_format() {
        let output = [offer(b"RGB3", false), offer(b"NV12", false)];
        let capture = [offer(b"YUYV", false), offer(b"NV12", false)];
        let nv12 = PixelFormat::from(b"NV12");
        assert_eq!(choose_raw(&output, &capture), Some((nv12, nv12)));
    }

    #[test]
    fn encoders_and_decoders() {
        let raw = [offer(b"NV12", false)];
        let coded = [offer(b"FWHT", true)];
        let (nv12, fwht) = (PixelFormat::from(b"NV12"), PixelFormat::from(b"FWHT"));
        assert_eq!(choose_raw(&raw, &coded), Some((nv12, fwht)));
        assert_eq!(choose_raw(&coded, &raw), None);
        assert_eq!(choose_raw(&raw, &[]), None);
    }
}
