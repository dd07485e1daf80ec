// SPDX-License-Identifier: GPL-2.0-only

//! A memory-to-memory node that streams, with its buffers as mapped dma-bufs.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use anyhow::{ensure, Context, Result};
use v4l2r::ioctl::{self, BufferFlags, ExpbufFlags, QBufPlane, QBuffer, V4l2Buffer};
use v4l2r::memory::{DmaBufHandle, MemoryType, MmapHandle, PlaneHandle};
use v4l2r::{Format, PixelFormat, PlaneLayout, QueueType};

use uapi::device::{self, Queue};
use uapi::mapping::Mapping;
use uapi::picture::Size;

/// V4L2_FIELD_NONE.
const FIELD_NONE: u32 = 1;

/// What one side of a node works on.
#[derive(Clone, Copy, Debug)]
pub struct SideFormat {
    /// The V4L2 name of the pixels.
    pub fourcc: [u8; 4],
    /// The picture's size.
    pub size: Size,
    /// Bytes of a buffer, for a bitstream; else 0.
    pub bytes: u32,
}

/// A buffer of a queue, shared.
#[derive(Debug)]
pub struct Buffer {
    /// The descriptor to share.
    pub dmabuf: OwnedFd,
    /// Its memory.
    pub map: Mapping,
}

impl Buffer {
    /// Writes it from its start.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        self.map.write(self.dmabuf.as_fd(), bytes)
    }

    /// Reads it from its start.
    pub fn read(&self, len: usize) -> Result<Vec<u8>> {
        self.map.read(self.dmabuf.as_fd(), len)
    }
}

/// The memory of a buffer that is queued.
#[derive(Clone, Copy, Debug)]
pub enum Memory<'a> {
    /// The queue's own.
    Own,
    /// Somebody else's.
    Imported(BorrowedFd<'a>),
}

/// An open node, with a format on both sides.
#[derive(Debug)]
pub struct Streamer {
    file: File,
    multiplanar: bool,
    output_bytes: u32,
    /// How much of an OUTPUT buffer is in use.
    payload: u32,
    capture: PlaneLayout,
}

impl Streamer {
    /// Opens a node. `multiplanar` is a matter of the driver.
    pub fn open(
        path: &Path,
        multiplanar: bool,
        output: SideFormat,
        capture: SideFormat,
    ) -> Result<Self> {
        let mut streamer = Self {
            file: device::open(path)?,
            multiplanar,
            output_bytes: 0,
            payload: 0,
            capture: PlaneLayout::default(),
        };
        streamer.output_bytes = streamer.set_format(Queue::Output, output)?.sizeimage;
        streamer.payload = match output.bytes {
            0 => streamer.output_bytes,
            bytes => bytes,
        };
        streamer.capture = streamer.set_format(Queue::Capture, capture)?;
        Ok(streamer)
    }

    /// The descriptor, for other ioctls.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Bytes from line to line of a CAPTURE buffer.
    pub fn pitch(&self) -> u32 {
        self.capture.bytesperline
    }

    /// Bytes of a CAPTURE buffer.
    pub fn capture_bytes(&self) -> u32 {
        self.capture.sizeimage
    }

    fn queue(&self, queue: Queue) -> QueueType {
        match (queue, self.multiplanar) {
            (Queue::Output, false) => QueueType::VideoOutput,
            (Queue::Output, true) => QueueType::VideoOutputMplane,
            (Queue::Capture, false) => QueueType::VideoCapture,
            (Queue::Capture, true) => QueueType::VideoCaptureMplane,
        }
    }

    fn set_format(&mut self, queue: Queue, side: SideFormat) -> Result<PlaneLayout> {
        let wanted = Format {
            width: side.size.width,
            height: side.size.height,
            pixelformat: PixelFormat::from(&side.fourcc),
            plane_fmt: vec![PlaneLayout {
                sizeimage: side.bytes,
                bytesperline: 0,
            }],
        };
        let number = self.queue(queue);
        let got: Format = ioctl::s_fmt(&mut self.file, (number, &wanted))
            .with_context(|| format!("S_FMT {queue:?}"))?;
        let name = String::from_utf8_lossy(&side.fourcc).into_owned();
        ensure!(
            got.pixelformat == wanted.pixelformat && got.width == wanted.width,
            "the device does not take {name} of that size: it says {got:?}"
        );
        let [plane] = got.plane_fmt.as_slice() else {
            anyhow::bail!("{name}: not in one plane");
        };
        Ok(plane.clone())
    }

    /// Allocates buffers on one side, and exports and maps them.
    pub fn allocate(&self, queue: Queue, count: u32) -> Result<Vec<Buffer>> {
        let bytes = match queue {
            Queue::Output => self.output_bytes,
            Queue::Capture => self.capture.sizeimage,
        };
        self.request(queue, MemoryType::Mmap, count)?;
        let flags = ExpbufFlags::CLOEXEC | ExpbufFlags::RDWR;
        let export = |index| -> Result<Buffer> {
            let dmabuf: OwnedFd =
                ioctl::expbuf(&self.file, self.queue(queue), index, 0, flags).context("EXPBUF")?;
            let map = Mapping::new(dmabuf.as_fd(), bytes as usize)?;
            Ok(Buffer { dmabuf, map })
        };
        (0..count as usize).map(export).collect()
    }

    /// Makes places for buffers of others on one side.
    pub fn import(&self, queue: Queue, count: u32) -> Result<()> {
        self.request(queue, MemoryType::DmaBuf, count)
    }

    fn request(&self, queue: Queue, memory: MemoryType, count: u32) -> Result<()> {
        let got: usize = ioctl::reqbufs(&self.file, self.queue(queue), memory, count)
            .with_context(|| format!("REQBUFS {queue:?} {memory:?}"))?;
        ensure!(
            got == count as usize,
            "REQBUFS {queue:?}: {got} buffers instead of {count}"
        );
        Ok(())
    }

    /// Starts both queues.
    pub fn stream_on(&self) -> Result<()> {
        for queue in [Queue::Output, Queue::Capture] {
            ioctl::streamon(&self.file, self.queue(queue))
                .with_context(|| format!("STREAMON {queue:?}"))?;
        }
        Ok(())
    }

    /// Queues a buffer. A bitstream goes with a request.
    pub fn queue_buffer(
        &self,
        queue: Queue,
        index: u32,
        memory: Memory<'_>,
        request: Option<RawFd>,
    ) -> Result<()> {
        let bytes = match queue {
            Queue::Output => self.payload as usize,
            Queue::Capture => 0,
        };
        match memory {
            Memory::Own => {
                let plane = QBufPlane::new_from_handle(&MmapHandle, bytes);
                self.queue_plane::<MmapHandle>(queue, index, plane, request)
            }
            Memory::Imported(dmabuf) => {
                let mut plane = QBufPlane::new(bytes);
                plane.0.m.fd = dmabuf.as_raw_fd();
                plane.0.length = match queue {
                    Queue::Output => self.output_bytes,
                    Queue::Capture => self.capture.sizeimage,
                };
                self.queue_plane::<DmaBufHandle<File>>(queue, index, plane, request)
            }
        }
    }

    fn queue_plane<H: PlaneHandle>(
        &self,
        queue: Queue,
        index: u32,
        plane: QBufPlane,
        request: Option<RawFd>,
    ) -> Result<()> {
        let mut buffer = QBuffer::<H>::new(self.queue(queue), index);
        buffer.field = FIELD_NONE;
        buffer.planes.push(plane);
        if let Some(request) = request {
            buffer = buffer.set_request(request);
        }
        ioctl::qbuf(&self.file, buffer).with_context(|| format!("QBUF {queue:?}"))
    }

    /// Takes a buffer back: its number, and whether the driver flagged an error.
    pub fn dequeue(&self, queue: Queue) -> Result<(u32, bool)> {
        let buffer: V4l2Buffer = ioctl::dqbuf(&self.file, self.queue(queue))
            .with_context(|| format!("DQBUF {queue:?}"))?;
        Ok((buffer.index(), buffer.flags().contains(BufferFlags::ERROR)))
    }
}

impl AsFd for Streamer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
