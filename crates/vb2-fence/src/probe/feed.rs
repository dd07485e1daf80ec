// SPDX-License-Identifier: GPL-2.0-only

//! Prepares jobs of the devices that need no stream: raw memory-to-memory devices and encoders, and
//! devices that capture.

use anyhow::{bail, ensure, Context, Result};
use v4l2r::ioctl;
use v4l2r::memory::MemoryType;
use v4l2r::{Format, PixelFormat};

use super::round::{Prepared, Start};
use crate::observation::{Case, Handle};
use uapi::device::{job_time_control, Node, Queue};
use uapi::heap::Heap;
use uapi::session::{choose_raw, plane_sizes, Session, Wanted};

/// A driver whose job takes as long as one likes copies at its start: the less, the better.
const SMALL: (u32, u32) = (160, 120);

/// Elsewhere the picture's size is what makes the job long.
const LARGE: (u32, u32) = (1280, 720);

/// How many buffers a capture device is given: some do not start with fewer.
const CAPTURE_BUFFERS: u32 = 4;

/// Of these, the one that is looked at: the first ones may come at once.
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

/// A kind of device.
pub trait Feeder {
    /// For people: what a job is.
    fn describe(&self) -> String;
    /// Makes a context of its own with a job that only has to be started.
    fn prepare(&self, setup: &Setup, case: Case) -> Result<Prepared>;
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
    pub fn new(setup: &Setup, session: &Session) -> Result<Self> {
        let outputs = session.offers(Queue::Output);
        let captures = session.offers(Queue::Capture);
        let (output, capture) = match setup.format {
            Some(format) => (format, format),
            None => choose_raw(&outputs, &captures).with_context(|| {
                format!(
                    "{} has no raw format on its OUTPUT queue",
                    setup.node.path.display()
                )
            })?,
        };
        let adjustable = job_time_control(session.file()).is_ok();
        let size = setup.size.unwrap_or(if adjustable { SMALL } else { LARGE });
        Ok(Self {
            output,
            capture,
            size,
        })
    }

    /// Opens the node and sets the formats; gives those of OUTPUT and CAPTURE.
    pub fn open(&self, setup: &Setup) -> Result<(Session, Format, Format)> {
        let mut session = Session::open(&setup.node.path)?;
        set_job_time(&session, setup.job_ms)?;
        let wanted = |fourcc| Wanted {
            fourcc,
            size: self.size,
            bytes: 0,
        };
        let output = session.set_format(Queue::Output, &wanted(self.output))?;
        let capture = session.set_format(Queue::Capture, &wanted(self.capture))?;
        Ok((session, output, capture))
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

    fn prepare(&self, setup: &Setup, case: Case) -> Result<Prepared> {
        let (session, output, _) = self.open(setup)?;
        session.request_buffers(Queue::Output, MemoryType::Mmap, 1)?;
        session.queue(Queue::Output, 0, &plane_sizes(&output), None)?;
        let (handle, dmabufs) = prepare_capture(setup, &session, case, 1, 0)?;
        session.stream_on(Queue::Output)?;
        Ok(Prepared {
            session,
            target: 0,
            handle,
            dmabufs,
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

    fn prepare(&self, setup: &Setup, case: Case) -> Result<Prepared> {
        let mut session = Session::open(&setup.node.path)?;
        if setup.size.is_some() || setup.format.is_some() {
            let now = session.format(Queue::Capture)?;
            let wanted = Wanted {
                fourcc: setup.format.unwrap_or(now.pixelformat),
                size: setup.size.unwrap_or((now.width, now.height)),
                bytes: 0,
            };
            session.set_format(Queue::Capture, &wanted)?;
        }
        let (handle, dmabufs) =
            prepare_capture(setup, &session, case, CAPTURE_BUFFERS, CAPTURE_TARGET)?;
        Ok(Prepared {
            session,
            target: CAPTURE_TARGET,
            handle,
            dmabufs,
            start: Start::Stream(Queue::Capture),
        })
    }
}

/// Gives the CAPTURE queue buffers and queues them all; gives the dma-bufs of the `target`.
pub fn prepare_capture(
    setup: &Setup,
    session: &Session,
    case: Case,
    count: u32,
    target: u32,
) -> Result<(Handle, Vec<std::os::fd::OwnedFd>)> {
    let sizes = plane_sizes(&session.format(Queue::Capture)?);
    ensure!(!sizes.is_empty(), "the CAPTURE format has no plane");
    let mut wanted = None;
    let handle = match case {
        Case::ExportedBefore | Case::ExportedDuring => {
            let count = session.request_buffers(Queue::Capture, MemoryType::Mmap, count)?;
            for index in 0..count {
                let dmabufs = session.export(Queue::Capture, index, sizes.len())?;
                session.queue(Queue::Capture, index, &vec![0; sizes.len()], None)?;
                if index == target {
                    wanted = Some(dmabufs);
                }
            }
            Handle::ExportedBefore
        }
        Case::Imported => {
            let heap = match &setup.heap {
                Ok(heap) => heap,
                Err(why) => bail!("no dma-heap to import from: {why}"),
            };
            let count = session.request_buffers(Queue::Capture, MemoryType::DmaBuf, count)?;
            for index in 0..count {
                let dmabufs = sizes
                    .iter()
                    .map(|&size| heap.allocate(size as usize))
                    .collect::<Result<Vec<_>>>()?;
                session
                    .queue_import(Queue::Capture, index, &dmabufs)
                    .with_context(|| {
                        format!("the driver refuses buffers of {}", heap.path().display())
                    })?;
                if index == target {
                    wanted = Some(dmabufs);
                }
            }
            Handle::Imported
        }
    };
    Ok((handle, wanted.context("the driver gave too few buffers")?))
}

/// Tells a driver that can be told how long a job is to take.
pub fn set_job_time(session: &Session, job_ms: u32) -> Result<()> {
    let Ok(control) = job_time_control(session.file()) else {
        return Ok(());
    };
    let value = i32::try_from(job_ms).context("the job's time is too long")?;
    ioctl::s_ctrl(session.file(), control, value)
        .with_context(|| format!("cannot set a job time of {job_ms} ms"))?;
    Ok(())
}
