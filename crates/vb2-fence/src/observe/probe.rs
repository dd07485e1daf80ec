// SPDX-License-Identifier: GPL-2.0-only

//! One job of a probe: looks at its CAPTURE buffer all the while.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use anyhow::{Context, Result};
use v4l2r::ioctl::Request;

use crate::observation::probe::{Seen, View, Writes};
use crate::observation::{Case, Dequeued, Handle};
use crate::observe::mark::Marks;
use crate::observe::Look;
use uapi::clock::{self, Ns, MS};
use uapi::device::Queue;
use uapi::poll::{self, Readiness};
use uapi::stateless;
use uapi::stream::Stream;
use uapi::sync_file;

/// How long a job may take before the wait is given up.
pub const PATIENCE_MS: u64 = 15_000;

/// How long after the job a fence may be signalled.
const END_PATIENCE_MS: u64 = 3_000;

/// Between two looks; with less the job itself would be held up on a small machine.
const PAUSE: Duration = Duration::from_micros(500);

/// poll() of the video node may wait until a device that captures has written, and all looks would
/// be missed. So it is asked when the marks and the fence say that this is over, and else this often.
const UNASKED_MS: u64 = 500;

/// Without a fence, a second export is made so long after the start.
const SECOND_EXPORT_MS: u64 = 3;

/// What starts the job.
#[derive(Debug)]
pub enum Start {
    /// Starting a queue.
    Stream(Queue),
    /// Queueing a request.
    Request(Request),
}

impl Start {
    /// Makes the call. It may last until the end of the job.
    pub fn call(&self, stream: &Stream) -> Result<()> {
        match self {
            Self::Stream(queue) => stream.stream_on(*queue),
            Self::Request(request) => stateless::queue(request),
        }
    }
}

/// What shows that the device writes the buffer.
#[derive(Debug)]
pub enum Shows {
    /// The call that starts the job.
    Start,
    /// The buffer's memory: the device takes the buffer when it likes. Without marks only a fence
    /// shows something.
    Memory(Option<Marks>),
}

impl Shows {
    fn marks(&self) -> Option<&Marks> {
        match self {
            Self::Start => None,
            Self::Memory(marks) => marks.as_ref(),
        }
    }
}

/// A node with everything queued but what starts the job.
#[derive(Debug)]
pub struct Prepared {
    /// The node.
    pub stream: Stream,
    /// The CAPTURE buffer that is observed.
    pub target: u32,
    /// Where the dma-bufs come from.
    pub handle: Handle,
    /// The dma-buf of each plane of that buffer.
    pub dmabufs: Vec<OwnedFd>,
    /// Those of the OUTPUT buffer, if another user has them.
    pub inputs: Vec<OwnedFd>,
    /// What shows that the job runs.
    pub shows: Shows,
    /// What starts the job.
    pub start: Start,
}

/// One descriptor, and what was seen through it.
struct Watched {
    dmabuf: OwnedFd,
    view: View,
    /// The fences of the last look that found one pending.
    kept: Option<OwnedFd>,
}

impl Watched {
    fn all(handle: Handle, dmabufs: Vec<OwnedFd>) -> impl Iterator<Item = Self> {
        let planes = dmabufs.into_iter().enumerate();
        planes.map(move |(plane, dmabuf)| Self {
            dmabuf,
            view: View::new(handle, plane),
            kept: None,
        })
    }

    /// Takes in a look that counts.
    fn add(&mut self, at_ns: Ns, look: Look) {
        let before = self.view.pending;
        self.view.add(at_ns, look.ready, &look.fences);
        if self.view.pending > before {
            self.kept = Some(look.sync_file);
        }
    }
}

/// Runs the job. The call that starts it may last until its end, so it has a thread of its own.
pub fn run(mut prepared: Prepared, case: Case) -> Result<Seen> {
    let started = AtomicU64::new(0);
    let (sender, receiver) = mpsc::channel();
    let dmabufs = std::mem::take(&mut prepared.dmabufs);
    let mut watched: Vec<Watched> = Watched::all(prepared.handle, dmabufs).collect();
    let shows = std::mem::replace(&mut prepared.shows, Shows::Start);
    let prepared = &prepared;
    let (stream, start) = (&prepared.stream, &prepared.start);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            started.store(clock::now(), Ordering::Release);
            // The receiver is gone when the job has ended.
            let _ = sender.send(start.call(stream));
        });
        let progress = Progress {
            started: &started,
            result: &receiver,
        };
        let ending = watch(prepared, case, &shows, &progress, &mut watched)?;
        Ok(Seen {
            started_ns: started.load(Ordering::Acquire),
            writes: ending.writes,
            start_returned_ns: ending.start_returned_ns,
            ended_ns: ending.ended_ns,
            longest_poll_ns: ending.longest_poll_ns,
            views: end(watched)?,
            dequeued: ending.dequeued,
        })
    })
}

/// How far the thread is that starts the job.
struct Progress<'a> {
    /// When it began to, or 0.
    started: &'a AtomicU64,
    /// What came of it.
    result: &'a Receiver<Result<()>>,
}

/// How a job ended.
struct Ending {
    writes: Writes,
    start_returned_ns: Option<Ns>,
    ended_ns: Option<Ns>,
    longest_poll_ns: Ns,
    dequeued: Dequeued,
}

/// Looks until the buffer comes back.
fn watch(
    prepared: &Prepared,
    case: Case,
    shows: &Shows,
    progress: &Progress<'_>,
    watched: &mut Vec<Watched>,
) -> Result<Ending> {
    let stream = &prepared.stream;
    let give_up = clock::now() + PATIENCE_MS * MS;
    let mut exported = case != Case::ExportedDuring;
    let mut returned_ns = None;
    let mut unfenced = 0;
    let mut longest_poll_ns: Ns = 0;
    let mut ask_from_ns = clock::now() + UNASKED_MS * MS;
    while clock::now() < give_up {
        let started_ns = progress.started.load(Ordering::Acquire);
        if started_ns != 0 {
            let marks = shows.marks();
            let begun = marks.map_or(Ok(false), Marks::has_begun)?;
            let looks = watched
                .iter()
                .map(|w| Ok((clock::now(), Look::at(&w.dmabuf)?)));
            let looks = looks.collect::<Result<Vec<_>>>()?;
            let ended = marks.map_or(Ok(true), Marks::has_ended)?;
            let during = begun && !ended;
            let fenced = looks.iter().any(|(_, look)| look.is_fenced());
            unfenced += u32::from(during && !fenced);
            let unwritten = matches!(shows, Shows::Memory(_)) && (!ended || fenced);
            let ready = if unwritten && clock::now() < ask_from_ns {
                None
            } else {
                let asked_ns = clock::now();
                ask_from_ns = asked_ns + UNASKED_MS * MS;
                let ready = poll::ready_now(stream.as_fd()).context("poll of the video node")?;
                longest_poll_ns = longest_poll_ns.max(clock::now() - asked_ns);
                Some(ready)
            };
            let underway = ready.is_some_and(|ready| ready != Readiness::Ready);
            for (watched, (at_ns, look)) in watched.iter_mut().zip(looks) {
                // Otherwise it is not known what comes first, the look or the end.
                if during || underway || look.is_fenced() {
                    watched.add(at_ns, look);
                }
            }
            if ready == Some(Readiness::Ready) {
                let ended_ns = Some(clock::now());
                if let Some(dequeued) = dequeue(stream, prepared.target) {
                    return Ok(Ending {
                        writes: writes(shows, unfenced)?,
                        start_returned_ns: returned_ns,
                        ended_ns,
                        longest_poll_ns,
                        dequeued,
                    });
                }
                continue;
            }
            let fenced = watched.iter().any(|watched| watched.view.pending > 0);
            if !exported && (fenced || clock::now() > started_ns + SECOND_EXPORT_MS * MS) {
                let second = stream.export(Queue::Capture, prepared.target)?;
                watched.extend(Watched::all(Handle::ExportedDuring, second));
                exported = true;
                continue;
            }
        }
        if let Ok(result) = progress.result.try_recv() {
            result.context("the job could not be started")?;
            returned_ns = Some(clock::now());
        }
        std::thread::sleep(PAUSE);
    }
    Ok(Ending {
        writes: writes(shows, unfenced)?,
        start_returned_ns: returned_ns,
        ended_ns: None,
        longest_poll_ns,
        dequeued: Dequeued::Failed("no buffer was done".into()),
    })
}

/// What tells that looks were during the job; so many found no fence while the device wrote. A mark
/// that is still there at the end was never in its way, and tells nothing.
fn writes(shows: &Shows, unfenced: u32) -> Result<Writes> {
    Ok(match shows {
        Shows::Start => Writes::SinceStart,
        Shows::Memory(Some(marks)) if marks.has_ended()? => Writes::Unfenced(unfenced),
        Shows::Memory(_) => Writes::Unfenced(0),
    })
}

/// Waits for the dma-bufs and the fences that were kept.
fn end(watched: Vec<Watched>) -> Result<Vec<View>> {
    let give_up = clock::now() + END_PATIENCE_MS * MS;
    let fds: Vec<BorrowedFd<'_>> = watched
        .iter()
        .map(|watched| watched.dmabuf.as_fd())
        .collect();
    let woken = poll::wait_each(&fds, give_up).context("wait for the dma-bufs")?;
    watched
        .into_iter()
        .zip(woken)
        .map(|(mut watched, woken)| {
            watched.view.end_dmabuf = woken;
            if let Some(kept) = &watched.kept {
                poll::wait(kept.as_fd(), give_up).context("wait for the fence")?;
                let info = sync_file::info(kept).context("at the end")?;
                watched.view.kept = Some(info.status);
            }
            Ok(watched.view)
        })
        .collect()
}

/// Takes a buffer back; `None` if it was not the observed one.
pub fn dequeue(stream: &Stream, target: u32) -> Option<Dequeued> {
    match stream.dequeue(Queue::Capture) {
        Ok(Some(buffer)) if buffer.index != target => None,
        Ok(Some(buffer)) if buffer.error => Some(Dequeued::Flagged),
        Ok(Some(_)) => Some(Dequeued::Done),
        Ok(None) => None,
        Err(err) => Some(Dequeued::Failed(format!("{err:#}"))),
    }
}
