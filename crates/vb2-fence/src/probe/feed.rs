// SPDX-License-Identifier: GPL-2.0-only

//! Prepares jobs of the devices that need no stream: raw memory-to-memory devices and encoders, and
//! devices that capture.

use std::os::fd::OwnedFd;

use anyhow::{anyhow, Context, Result};
use v4l2r::memory::MemoryType;
use v4l2r::PixelFormat;

use crate::observation::Case;
use crate::observe::acquire::User;
use crate::observe::capture_buffers;
use crate::observe::mark::Marks;
use crate::observe::probe::{Prepared, Shows, Start};
use uapi::device::{job_time_control, Node, Queue};
use uapi::heap::Heap;
use uapi::stream::{choose_raw, Stream, Wanted};

/// A driver whose job takes as long as one likes copies at its start: the less, the better.
const SMALL: (u32, u32) = (160, 120);

/// Elsewhere the picture's size is what makes the job long.
const LARGE: (u32, u32) = (1280, 720);

/// How many buffers a capture device is given: some do not start with fewer.
const CAPTURE_BUFFERS: u32 = 4;

/// Of these, the one that is observed: the first ones may come at once.
const CAPTURE_TARGET: u32 = 2;

/// What the rounds of a device have in common.
#[derive(Debug)]
pub struct Setup {
    /// The node.
    pub node: Node,
    /// Where imported buffers come from, or why that cannot be used.
    pub heap: Result<Heap, String>,
    /// How long a job is to take, where the driver can be told.
    pub job_ms: u32,
    /// The size of the picture; `None` leaves it to us.
    pub size: Option<(u32, u32)>,
    /// The format on both sides; `None` leaves it to us.
    pub format: Option<PixelFormat>,
}

impl Setup {
    /// The heap, or why there is none.
    pub fn heap(&self) -> Result<&Heap> {
        let heap = self.heap.as_ref();
        heap.map_err(|why| anyhow!("no dma-heap to import from: {why}"))
    }
}

/// A kind of device. Its jobs can be prepared in a thread of their own.
pub trait Feeder: Sync {
    /// What a job is, in words.
    fn describe(&self) -> String;
    /// Makes a context of its own with a job that only has to be started. Another `user` has begun
    /// to use one of its buffers when that is queued.
    fn prepare(&self, setup: &Setup, case: Case, user: Option<&User<'_>>) -> Result<Prepared>;
}

/// A memory-to-memory device that takes raw pictures.
#[derive(Debug)]
pub struct Raw {
    output: PixelFormat,
    capture: PixelFormat,
    size: (u32, u32),
}

impl Raw {
    /// Chooses formats and a size.
    pub fn new(setup: &Setup, stream: &Stream) -> Result<Self> {
        let outputs = stream.offers(Queue::Output);
        let captures = stream.offers(Queue::Capture);
        let (output, capture) = match setup.format {
            Some(format) => (format, format),
            None => choose_raw(&outputs, &captures).with_context(|| {
                format!(
                    "{} has no raw format on its OUTPUT queue",
                    setup.node.path.display()
                )
            })?,
        };
        let adjustable = job_time_control(stream.file()).is_ok();
        let size = setup.size.unwrap_or(if adjustable { SMALL } else { LARGE });
        Ok(Self {
            output,
            capture,
            size,
        })
    }

    /// Opens the node and sets the formats.
    pub fn open(&self, setup: &Setup) -> Result<Stream> {
        let mut stream = Stream::open(&setup.node.path)?;
        set_job_time(&stream, setup.job_ms)?;
        stream.set_raw((self.output, self.capture), self.size)?;
        Ok(stream)
    }
}

impl Feeder for Raw {
    fn describe(&self) -> String {
        let Self {
            output,
            capture,
            size: (width, height),
        } = self;
        format!("jobs from {output} to {capture}, {width}x{height}")
    }

    fn prepare(&self, setup: &Setup, case: Case, user: Option<&User<'_>>) -> Result<Prepared> {
        let mut stream = self.open(setup)?;
        stream.request_buffers(Queue::Output, MemoryType::Mmap, 1)?;
        let inputs = user.map(|user| user.begin_output(&stream, 0)).transpose()?;
        stream.queue(Queue::Output, 0)?;
        let begin = |_: &Stream, dmabufs: &[OwnedFd]| begin(user, Queue::Capture, dmabufs);
        let (handle, dmabufs) = capture_buffers(&mut stream, case, setup.heap(), 1, 0, begin)?;
        stream.stream_on(Queue::Output)?;
        Ok(Prepared {
            stream,
            target: 0,
            handle,
            dmabufs,
            inputs: inputs.unwrap_or_default(),
            shows: Shows::Start,
            start: Start::Stream(Queue::Capture),
        })
    }
}

/// A device that captures from the outside.
#[derive(Debug)]
pub struct Camera;

impl Feeder for Camera {
    fn describe(&self) -> String {
        "captured pictures".into()
    }

    fn prepare(&self, setup: &Setup, case: Case, user: Option<&User<'_>>) -> Result<Prepared> {
        let mut stream = Stream::open(&setup.node.path)?;
        if setup.size.is_some() || setup.format.is_some() {
            let now = stream.format(Queue::Capture)?;
            let wanted = Wanted {
                fourcc: setup.format.unwrap_or(now.pixelformat),
                size: setup.size.unwrap_or((now.width, now.height)),
                bytes: 0,
            };
            stream.set_format(Queue::Capture, &wanted)?;
        }
        let mut marks = None;
        let put_marks = |stream: &Stream, dmabufs: &[OwnedFd]| {
            let plane = dmabufs.iter().zip(stream.planes(Queue::Capture)).next();
            // A buffer that cannot be mapped has no marks: then only a fence shows something.
            marks = plane.and_then(|(dmabuf, layout)| {
                let bytes = layout.sizeimage as usize;
                Marks::put(dmabuf, bytes).ok()
            });
            begin(user, Queue::Capture, dmabufs)
        };
        let (count, target) = (CAPTURE_BUFFERS, CAPTURE_TARGET);
        let heap = setup.heap();
        let (handle, dmabufs) = capture_buffers(&mut stream, case, heap, count, target, put_marks)?;
        Ok(Prepared {
            stream,
            target,
            handle,
            dmabufs,
            inputs: Vec::new(),
            shows: Shows::Memory(marks),
            start: Start::Stream(Queue::Capture),
        })
    }
}

/// The other user, if there is one, begins to use a buffer.
pub fn begin(user: Option<&User<'_>>, queue: Queue, dmabufs: &[OwnedFd]) -> Result<()> {
    user.map_or(Ok(()), |user| user.begin(queue, dmabufs))
}

/// Tells a driver that can be told how long a job is to take.
pub fn set_job_time(stream: &Stream, job_ms: u32) -> Result<()> {
    match job_time_control(stream.file()) {
        Ok(_) => stream.set_job_ms(job_ms),
        Err(_) => Ok(()),
    }
}
