// SPDX-License-Identifier: GPL-2.0-only

//! An open video node of any kind: its formats, buffers and queues.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{bail, ensure, Context, Result};
use v4l2r::ioctl::{self, BufferFlags, ExpbufFlags, FormatFlags, FormatIterator, QBufPlane};
use v4l2r::ioctl::{
    DqBufError, DqBufIoctlError, QBuffer, Request, UncheckedV4l2Buffer, V4l2Buffer,
};
use v4l2r::memory::{DmaBufHandle, MemoryType, MmapHandle, PlaneHandle};
use v4l2r::{nix, Format, PixelFormat, PlaneLayout, QueueType};

use crate::device::{self, job_time_control};
use crate::explicit::{self, JobFence, QbufFences, Started};
use crate::hint;
use crate::mapping::Mapping;
use crate::queue_fences::{QueueFences, Requested};
use crate::queues::{Queue, Queues};

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
    /// The device's own number of it, which increases.
    pub sequence: u32,
}

/// The buffers of a queue, since they were requested.
#[derive(Debug, Default)]
struct Buffers {
    planes: Vec<PlaneLayout>,
    fences: QueueFences,
}

/// An open node: one context of a memory-to-memory driver, or the one queue of a device that
/// captures. Dropping it stops its queues.
#[derive(Debug)]
pub struct Stream {
    file: File,
    queues: Queues,
    output: Buffers,
    capture: Buffers,
}

impl Stream {
    /// Opens a node.
    pub fn open(path: &Path) -> Result<Self> {
        let (file, caps) = device::open_and_ask(path)?;
        Ok(Self {
            queues: Queues::decode(caps.device_caps()),
            file,
            output: Buffers::default(),
            capture: Buffers::default(),
        })
    }

    fn queue_type(&self, queue: Queue) -> QueueType {
        self.queues.queue_type(queue)
    }

    /// The file, for ioctls that are a driver's own.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Sets how long a job takes, on a driver that can be told.
    pub fn set_job_ms(&self, job_ms: u32) -> Result<()> {
        let control = job_time_control(&self.file)?;
        let value = i32::try_from(job_ms).context("the job's time is too long")?;
        ioctl::s_ctrl(&self.file, control, value)
            .with_context(|| format!("cannot set a job time of {job_ms} ms"))?;
        Ok(())
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

    /// Sets the raw formats of both queues, OUTPUT and CAPTURE, for pictures of one size.
    pub fn set_raw(&mut self, formats: (PixelFormat, PixelFormat), size: (u32, u32)) -> Result<()> {
        for (queue, fourcc) in [(Queue::Output, formats.0), (Queue::Capture, formats.1)] {
            let wanted = Wanted {
                fourcc,
                size,
                bytes: 0,
            };
            self.set_format(queue, &wanted)?;
        }
        Ok(())
    }

    /// Gives a queue buffers; says how many it got.
    pub fn request_buffers(&mut self, queue: Queue, memory: MemoryType, count: u32) -> Result<u32> {
        let what = format!("REQBUFS {queue:?} {memory:?}");
        let planes = self.format(queue)?.plane_fmt;
        ensure!(!planes.is_empty(), "the {queue:?} format has no plane");
        let got: Requested = ioctl::reqbufs(&self.file, self.queue_type(queue), memory, count)
            .map_err(|err| hint::ioctl_failed(&what, err))?;
        ensure!(got.count >= 1, "{what} gave no buffer");
        let buffers = Buffers {
            planes,
            fences: got.fences,
        };
        match queue {
            Queue::Output => self.output = buffers,
            Queue::Capture => self.capture = buffers,
        }
        Ok(got.count)
    }

    /// Gives a queue of one plane buffers of its own memory, exported and mapped.
    pub fn allocate(&mut self, queue: Queue, count: u32) -> Result<Vec<Mapping>> {
        let got = self.request_buffers(queue, MemoryType::Mmap, count)?;
        ensure!(got == count, "{queue:?}: {got} buffers instead of {count}");
        let map = |index| match (self.export(queue, index)?.pop(), self.planes(queue)) {
            (Some(dmabuf), [plane]) => Mapping::new(dmabuf, plane.sizeimage as usize),
            _ => bail!("{queue:?}: buffers of more than one plane"),
        };
        (0..count).map(map).collect()
    }

    /// The planes of the buffers of a queue.
    pub fn planes(&self, queue: Queue) -> &[PlaneLayout] {
        &self.buffers(queue).planes
    }

    /// The fences that a queue has, once it has buffers.
    pub fn fences(&self, queue: Queue) -> QueueFences {
        self.buffers(queue).fences
    }

    fn buffers(&self, queue: Queue) -> &Buffers {
        match queue {
            Queue::Output => &self.output,
            Queue::Capture => &self.capture,
        }
    }

    /// Exports each plane of a buffer as a dma-buf.
    pub fn export(&self, queue: Queue, index: u32) -> Result<Vec<OwnedFd>> {
        let (kind, index) = (self.queue_type(queue), index as usize);
        let flags = ExpbufFlags::CLOEXEC | ExpbufFlags::RDWR;
        (0..self.planes(queue).len())
            .map(|plane| {
                ioctl::expbuf(&self.file, kind, index, plane, flags)
                    .map_err(|err| hint::ioctl_failed(&format!("EXPBUF {queue:?}"), err))
            })
            .collect()
    }

    /// Queues a buffer of the device's own memory; an OUTPUT buffer is full.
    pub fn queue(&self, queue: Queue, index: u32) -> Result<()> {
        self.queue_fenced(queue, index, QbufFences::default())?;
        Ok(())
    }

    /// The same with explicit fences; gives the out-fence, if one was asked for.
    pub fn queue_fenced(
        &self,
        queue: Queue,
        index: u32,
        fences: QbufFences<'_>,
    ) -> Result<Option<OwnedFd>> {
        let planes = self.planes(queue).iter();
        let planes = planes
            .map(|plane| QBufPlane::new_from_handle(&MmapHandle, payload(queue, plane)))
            .collect();
        self.queue_planes::<MmapHandle>(queue, index, planes, None, fences)
    }

    /// Queues an OUTPUT buffer with a bitstream of so many bytes. It waits for its request.
    pub fn queue_bitstream(&self, index: u32, bytes: u32, request: &Request) -> Result<()> {
        let plane = QBufPlane::new_from_handle(&MmapHandle, bytes as usize);
        let (planes, fences) = (vec![plane], QbufFences::default());
        self.queue_planes::<MmapHandle>(Queue::Output, index, planes, Some(request), fences)?;
        Ok(())
    }

    /// Queues a buffer with `dmabufs` as the memory of its planes; an OUTPUT buffer is full.
    pub fn queue_import(&self, queue: Queue, index: u32, dmabufs: &[impl AsFd]) -> Result<()> {
        self.queue_import_fenced(queue, index, dmabufs, QbufFences::default())?;
        Ok(())
    }

    /// The same with explicit fences; gives the out-fence, if one was asked for.
    pub fn queue_import_fenced(
        &self,
        queue: Queue,
        index: u32,
        dmabufs: &[impl AsFd],
        fences: QbufFences<'_>,
    ) -> Result<Option<OwnedFd>> {
        let planes = self.planes(queue).iter().zip(dmabufs);
        let planes = planes
            .map(|(layout, dmabuf)| {
                let mut plane = QBufPlane::new(payload(queue, layout));
                plane.0.m.fd = dmabuf.as_fd().as_raw_fd();
                plane.0.length = layout.sizeimage;
                plane
            })
            .collect();
        self.queue_planes::<DmaBufHandle<File>>(queue, index, planes, None, fences)
    }

    fn queue_planes<H: PlaneHandle>(
        &self,
        queue: Queue,
        index: u32,
        planes: Vec<QBufPlane>,
        request: Option<&Request>,
        fences: QbufFences<'_>,
    ) -> Result<Option<OwnedFd>> {
        ensure!(
            !planes.is_empty(),
            "QBUF {queue:?}: a buffer without a plane"
        );
        let mut buffer = QBuffer::<H>::new(self.queue_type(queue), index);
        buffer.planes = planes;
        if let Some(request) = request {
            buffer = buffer.set_request(request.as_raw_fd());
        }
        let what = || format!("QBUF {queue:?}");
        let mut buffer = UncheckedV4l2Buffer::from(buffer);
        let put = fences.put(&mut buffer.0, self.buffers(queue).fences);
        put.with_context(what)?;
        let back: UncheckedV4l2Buffer =
            ioctl::qbuf(&self.file, buffer).map_err(|err| match err {
                ioctl::IoctlConvertError::IoctlError(err) => hint::ioctl_failed(&what(), err),
                ioctl::IoctlConvertError::ConversionError(never) => match never {},
            })?;
        // SAFETY: QBUF succeeded, and this is the first look at what it gave.
        unsafe { fences.take(&back.0) }
    }

    /// Has the kernel tell of each job of a queue that starts: the node is then ready for POLLPRI.
    pub fn subscribe_starts(&self, queue: Queue) -> Result<()> {
        explicit::subscribe(&self.file, self.queue_type(queue))
            .with_context(|| format!("{queue:?}"))
    }

    /// The next job that has started, if there is one that was not told of yet.
    pub fn next_start(&self) -> Result<Option<Started>> {
        explicit::next_start(&self.file)
    }

    /// The fence of the job that the last QBUF of a buffer led to; `None` before that has started.
    pub fn export_fence(&self, queue: Queue, index: u32) -> Result<Option<JobFence>> {
        explicit::export_fence(&self.file, self.queue_type(queue), index)
            .with_context(|| format!("{queue:?}"))
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
                sequence: buffer.sequence(),
            })),
            Err(DqBufError::IoctlError(DqBufIoctlError::NotReady)) => Ok(None),
            Err(DqBufError::IoctlError(err)) => Err(hint::ioctl_failed(
                &format!("DQBUF {queue:?}"),
                nix::errno::Errno::from(err),
            )),
            Err(err) => Err(err).with_context(|| format!("DQBUF {queue:?}")),
        }
    }

    /// Takes a buffer back that is done.
    pub fn take(&self, queue: Queue) -> Result<Returned> {
        let returned = self.dequeue(queue)?;
        returned.with_context(|| format!("DQBUF {queue:?}: no buffer is done"))
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

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// How much of a plane is in use when its buffer is queued.
fn payload(queue: Queue, plane: &PlaneLayout) -> usize {
    match queue {
        Queue::Output => plane.sizeimage as usize,
        Queue::Capture => 0,
    }
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
