// SPDX-License-Identifier: GPL-2.0-only

//! From the end of a job to the wake-ups of two threads, which wait for the same job: one by poll() of
//! the video node, one by poll() of the buffer's dma-buf.
//!
//! The end of the job is the trace event vb2_buf_done, on CLOCK_MONOTONIC. vb2_buffer_done() has it
//! before either is woken, with release fences built or not. The buffer's timestamp does not tell: vim2m
//! copies it from the OUTPUT buffer. The fence's does, but there is none with release fences off. The
//! event has microseconds, so that a time may be one too long, that of both threads alike.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{bail, ensure, Context as _, Result};

use super::device::{Context, Device};
use super::in_threads;
use uapi::clock::{self, Ns, MS};
use uapi::device::Queue;
use uapi::poll::{self, Readiness};
use uapi::trace::{Event, Line};
use uapi::tracefs::Instance;

/// Jobs that are underway at once. A thread cannot sleep until a fence appears, so it looks again and
/// again; with more of them, that would be what is measured.
const UNDERWAY: usize = 4;

/// Between two looks: a job takes a tick.
const PAUSE: Duration = Duration::from_micros(300);

/// How often each context exports its buffer.
const EXPORTS: u32 = 16;

/// How long a job may take, with others before it.
const PATIENCE_MS: u64 = 10_000;

/// A wait.
#[derive(Clone, Copy, Debug)]
struct Wake {
    since: Ns,
    at: Ns,
}

#[derive(Debug)]
struct Job {
    qbuf_ns: Ns,
    node: Wake,
    /// `None` if the thread came too late.
    dmabuf: Option<Wake>,
}

/// What the thread on the dma-buf has to say of a job.
type Answer = Result<Option<Wake>>;

/// A context with a buffer on each queue.
#[derive(Debug)]
struct Pair {
    context: Context,
    dmabuf: OwnedFd,
    /// The job has ended, as the thread on the node knows.
    over: AtomicBool,
}

/// What was measured, in nanoseconds, by its name. The QBUF is that of a CAPTURE buffer, with no OUTPUT
/// buffer queued, so that it starts no job.
pub type Times = [(&'static str, Vec<f64>); 4];

/// Measures for so long. `fences`: whether there is something to wait for on a dma-buf.
pub fn measure(device: &Device, contexts: u32, ms: u64, fences: bool) -> Result<Times> {
    let mut trace = Instance::of(&["vb2/vb2_buf_done"])?;
    let (mut node, mut dmabuf) = (Vec::new(), Vec::new());
    let (mut qbuf, mut expbuf) = (Vec::new(), Vec::new());
    let mut pairs = Vec::new();
    let mut owners = Vec::new();
    for _ in 0..contexts {
        let pair = Pair::open(device, &mut expbuf)?;
        // One job, to learn how the trace calls this context.
        pair.job(None)?;
        let mut ends = ends(trace.read()?)?.into_iter();
        match (ends.next(), ends.next()) {
            (Some((owner, _)), None) => owners.push(owner),
            _ => bail!("the trace does not tell which context had a job"),
        }
        pairs.push(pair);
    }
    let lanes: [Mutex<()>; UNDERWAY] = Default::default();
    let end = clock::now() + ms * MS;
    let jobs = in_threads(&pairs, |at, pair| {
        pair.run(end, &lanes[at % UNDERWAY], fences)
    })?;
    let mut ends = ends(trace.read()?)?;
    for (owner, jobs) in owners.iter().zip(&jobs) {
        let ends = ends.remove(owner).unwrap_or_default();
        let (count, traced) = (jobs.len(), ends.len());
        ensure!(count == traced, "{count} jobs, and the trace has {traced}");
        for (job, &end) in jobs.iter().zip(&ends) {
            qbuf.push(job.qbuf_ns as f64);
            node.extend(took(job.node, end));
            dmabuf.extend(job.dmabuf.and_then(|wake| took(wake, end)));
        }
    }
    ensure!(!node.is_empty(), "nothing woke up after its job");
    ensure!(
        dmabuf.is_empty() != fences,
        "pending fences on a dma-buf: {}",
        dmabuf.len()
    );
    Ok([
        ("wake-up: video node", node),
        ("wake-up: dma-buf", dmabuf),
        ("QBUF", qbuf),
        ("EXPBUF", expbuf),
    ])
}

/// From the job's end to the wake-up. `None` if the wait began after it.
fn took(wake: Wake, end: Ns) -> Option<f64> {
    (wake.since < end).then(|| wake.at.saturating_sub(end) as f64)
}

/// The ends of jobs, by the name of the context.
fn ends(lines: Vec<Line>) -> Result<BTreeMap<String, Vec<Ns>>> {
    let mut ends: BTreeMap<String, Vec<Ns>> = BTreeMap::new();
    for line in lines {
        match line.event {
            Event::BufferDone { owner, buffer } if buffer.capture => {
                ends.entry(owner).or_default().push(line.at_ns);
            }
            Event::Lost(count) => bail!("{count} trace events were lost"),
            _ => {}
        }
    }
    Ok(ends)
}

impl Pair {
    fn open(device: &Device, expbuf: &mut Vec<f64>) -> Result<Self> {
        let context = Context::open(device, 1)?;
        let mut last = None;
        for _ in 0..EXPORTS {
            let begin = clock::now();
            let planes = context.stream.export(Queue::Capture, 0)?;
            expbuf.push((clock::now() - begin) as f64);
            ensure!(planes.len() == 1, "a buffer of more than one plane");
            last = planes.into_iter().next();
        }
        context.start()?;
        Ok(Self {
            context,
            dmabuf: last.context("no dma-buf")?,
            over: AtomicBool::new(false),
        })
    }

    /// One job after the other; of all contexts in a lane, one has a job at a time.
    fn run(&self, end: Ns, lane: &Mutex<()>, fences: bool) -> Result<Vec<Job>> {
        let (go, asked) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        std::thread::scope(move |scope| {
            if fences {
                // Until there are no more jobs, or the other thread has failed.
                scope.spawn(move || {
                    asked
                        .iter()
                        .try_for_each(|()| answer.send(self.wait_dmabuf()))
                });
            }
            let mut jobs = Vec::new();
            while clock::now() < end {
                let turn = lane.lock().unwrap_or_else(PoisonError::into_inner);
                jobs.push(self.job(fences.then_some((&go, &answers)))?);
                drop(turn);
            }
            // That ends the other thread.
            drop(go);
            Ok(jobs)
        })
    }

    fn job(&self, other: Option<(&Sender<()>, &Receiver<Answer>)>) -> Result<Job> {
        let stream = &self.context.stream;
        self.over.store(false, Ordering::Relaxed);
        let begin = clock::now();
        stream.queue(Queue::Capture, 0)?;
        let qbuf_ns = clock::now() - begin;
        if let Some((go, _)) = other {
            go.send(()).context("the thread on the dma-buf has ended")?;
        }
        let woken = self.context.feed(0).and_then(|()| wait(stream.as_fd()));
        self.over.store(true, Ordering::Relaxed);
        let node = woken.context("the video node")?;
        let dmabuf = match other {
            Some((_, answers)) => {
                let answer = answers.recv();
                answer.context("the thread on the dma-buf has ended")??
            }
            None => None,
        };
        stream.take(Queue::Output)?;
        stream.take(Queue::Capture)?;
        Ok(Job {
            qbuf_ns,
            node,
            dmabuf,
        })
    }

    fn wait_dmabuf(&self) -> Answer {
        let dmabuf = self.dmabuf.as_fd();
        while poll::ready_now(dmabuf)? != Readiness::NotReady {
            if self.over.load(Ordering::Relaxed) {
                return Ok(None);
            }
            std::thread::sleep(PAUSE);
        }
        wait(dmabuf).context("the dma-buf").map(Some)
    }
}

/// Sleeps until it is ready.
fn wait(fd: BorrowedFd<'_>) -> Result<Wake> {
    let since = clock::now();
    let woken = poll::wait(fd, since + PATIENCE_MS * MS)?;
    let woken = woken.with_context(|| format!("a job takes longer than {PATIENCE_MS} ms"))?;
    ensure!(woken.readiness == Readiness::Ready, "poll says: an error");
    Ok(Wake {
        since,
        at: woken.at_ns,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_came_too_late_has_no_time() {
        let wake = Wake { since: 10, at: 30 };
        assert_eq!(took(wake, 25), Some(5.0));
        assert_eq!(took(wake, 10), None);
        // The trace's clock is a little ahead of the other.
        assert_eq!(took(wake, 31), Some(0.0));
    }

    #[test]
    fn ends_are_those_of_capture_buffers() {
        let line = |owner: &str, kind: u32, second: u32| {
            let event = format!(
                " x-9 [000] d..2. {second}.000000: vb2_buf_done: owner = {owner}, queued = 0, \
                 owned_by_drv = 0, index = 0, type = {kind}, bytesused = 5, timestamp = 7"
            );
            uapi::trace::parse(&event).unwrap()
        };
        let lines = vec![line("0a", 2, 1), line("0a", 1, 2), line("0b", 1, 3)];
        let ends = ends(lines).unwrap();
        assert_eq!(ends["0a"], [2_000_000_000]);
        assert_eq!(ends["0b"], [3_000_000_000]);
        let lost = uapi::trace::parse("CPU:1 [LOST 17 EVENTS]").unwrap();
        assert!(super::ends(vec![lost]).is_err());
    }
}
