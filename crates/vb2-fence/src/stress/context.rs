// SPDX-License-Identifier: GPL-2.0-only

//! One context of the device, kept busy, and the consumer of its buffers.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result};
use v4l2r::memory::MemoryType;

use crate::probe::feed::{Raw, Setup};
use uapi::clock::{self, ms_between, Ns, MS};
use uapi::device::Queue;
use uapi::poll;
use uapi::stream::Stream;
use uapi::sync_file;
use uapi::sync_file::FenceStatus;

/// How long buffers may take to come back at the end, and a fence to be signalled.
const PATIENCE_MS: u64 = 10_000;

/// How long the driver's thread waits for a buffer before it looks whether it is to stop.
const WAIT_MS: u64 = 100;

/// Between two rounds of a consumer.
const PAUSE: Duration = Duration::from_micros(300);

/// What all contexts count together.
#[derive(Debug, Default)]
pub struct Counts {
    /// Jobs that ended.
    pub jobs: AtomicU64,
    /// Of these, with an error.
    pub failed_jobs: AtomicU64,
    /// Fences that consumers saw pending, and waited for.
    pub waited: AtomicU64,
    /// Fences that were not signalled in time.
    pub stuck: AtomicU64,
    /// Fences that were signalled while the device had the buffer.
    pub stale: AtomicU64,
    /// The rest, which is rare or small.
    pub rare: Mutex<Rare>,
}

/// What is counted under a lock.
#[derive(Clone, Debug, Default)]
pub struct Rare {
    /// Errors of fences, by errno.
    pub fence_errors: BTreeMap<u32, u64>,
    /// The queues' names.
    pub queues: BTreeSet<String>,
    /// The longest time from a signal to a consumer that runs again, in ms.
    pub slowest_wakeup_ms: f64,
}

impl Counts {
    /// What is under the lock.
    pub fn rare(&self) -> std::sync::MutexGuard<'_, Rare> {
        // Nothing that can panic is done under it.
        self.rare
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// One context.
#[derive(Debug)]
pub struct Contextual<'a> {
    /// What the jobs are.
    pub raw: &'a Raw,
    /// Where they run.
    pub setup: &'a Setup,
    /// Buffers on each queue.
    pub buffers: u32,
    /// How long after its fence a buffer may still be with the device.
    pub tolerance_ms: u64,
    /// Set when it is enough.
    pub stop: &'a AtomicBool,
    /// What happened.
    pub counts: &'a Counts,
}

/// A context that is ready to go.
struct Streams {
    stream: Stream,
    dmabufs: Vec<Vec<OwnedFd>>,
    /// Odd while the buffer is queued; a new number each time.
    turns: Vec<AtomicU64>,
}

impl Contextual<'_> {
    /// Runs until it is told to stop, and then until all buffers are back.
    pub fn run(&self) -> Result<()> {
        let streams = self.open()?;
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let consumer = scope.spawn(|| self.consume(&streams, &done));
            let driven = self.drive(&streams);
            done.store(true, Ordering::Relaxed);
            let consumed = consumer.join();
            driven?;
            consumed.unwrap_or_else(|_| Err(anyhow::anyhow!("the consumer panicked")))
        })
    }

    fn open(&self) -> Result<Streams> {
        let mut stream = self.raw.open(self.setup)?;
        let outputs = stream.request_buffers(Queue::Output, MemoryType::Mmap, self.buffers)?;
        let captures = stream.request_buffers(Queue::Capture, MemoryType::Mmap, self.buffers)?;
        let streams = Streams {
            dmabufs: (0..captures)
                .map(|index| stream.export(Queue::Capture, index))
                .collect::<Result<_>>()?,
            turns: (0..captures).map(|_| AtomicU64::new(0)).collect(),
            stream,
        };
        for index in 0..outputs {
            streams.stream.queue(Queue::Output, index)?;
        }
        for index in 0..captures {
            streams.queue_capture(index)?;
        }
        streams.stream.stream_on(Queue::Output)?;
        streams.stream.stream_on(Queue::Capture)?;
        Ok(streams)
    }

    fn drive(&self, streams: &Streams) -> Result<()> {
        let stream = &streams.stream;
        let mut give_up: Option<Ns> = None;
        let mut underway = streams.turns.len();
        while underway > 0 {
            let now = clock::now();
            if self.stop.load(Ordering::Relaxed) {
                let limit = *give_up.get_or_insert(now + PATIENCE_MS * MS);
                anyhow::ensure!(now < limit, "{underway} buffers did not come back");
            }
            let stopping = give_up.is_some();
            poll::wait(stream.as_fd(), now + WAIT_MS * MS).context("poll of the node")?;
            while let Some(buffer) = stream.dequeue(Queue::Output)? {
                if !stopping {
                    stream.queue(Queue::Output, buffer.index)?;
                }
            }
            while let Some(buffer) = stream.dequeue(Queue::Capture)? {
                streams.turn(buffer.index)?.fetch_add(1, Ordering::Relaxed);
                count(&self.counts.jobs);
                if buffer.error {
                    count(&self.counts.failed_jobs);
                }
                if stopping {
                    underway -= 1;
                    // With many contexts it takes long until each one had its turns.
                    give_up = None;
                } else {
                    streams.queue_capture(buffer.index)?;
                }
            }
            // With too few inputs left some pictures never come.
            if stopping && underway > 0 && streams.idle()? {
                break;
            }
        }
        stream.stream_off(Queue::Output)?;
        stream.stream_off(Queue::Capture)
    }

    fn consume(&self, streams: &Streams, done: &AtomicBool) -> Result<()> {
        while !done.load(Ordering::Relaxed) {
            for (index, dmabufs) in (0..).zip(&streams.dmabufs) {
                for dmabuf in dmabufs {
                    self.consume_one(streams, index, dmabuf)?;
                }
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Waits for the fence of a buffer, if it has one, and looks at what it was worth.
    fn consume_one(&self, streams: &Streams, index: u32, dmabuf: &OwnedFd) -> Result<()> {
        let turn = streams.turn(index)?;
        let before = turn.load(Ordering::Acquire);
        let (sync_file, info) = sync_file::of(dmabuf)?;
        let ours = info.ours().next();
        let Some(fence) = ours.filter(|fence| fence.status == FenceStatus::Pending) else {
            return Ok(());
        };
        count(&self.counts.waited);
        self.counts.rare().queues.insert(fence.timeline.clone());
        let limit = clock::now() + PATIENCE_MS * MS;
        let woken = poll::wait(sync_file.as_fd(), limit).context("poll of a fence")?;
        let Some(woken) = woken else {
            count(&self.counts.stuck);
            return Ok(());
        };
        let info = sync_file::info(&sync_file)?;
        if let Some(fence) = info.ours().next() {
            let mut rare = self.counts.rare();
            let took = ms_between(fence.timestamp_ns, woken.at_ns);
            rare.slowest_wakeup_ms = rare.slowest_wakeup_ms.max(took);
            if let FenceStatus::Failed(errno) = fence.status {
                *rare.fence_errors.entry(errno).or_default() += 1;
            }
        }
        // The same turn all the time: the buffer was queued, and is with the device.
        // The node is asked first: a job of another context may hold its lock, and this buffer be
        // dequeued and queued again until it answers.
        while before % 2 == 1
            && streams.stream.is_underway(Queue::Capture, index)?
            && turn.load(Ordering::Acquire) == before
        {
            if clock::now() > woken.at_ns + self.tolerance_ms * MS {
                count(&self.counts.stale);
                break;
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }
}

impl Streams {
    fn turn(&self, index: u32) -> Result<&AtomicU64> {
        self.turns
            .get(index as usize)
            .context("a buffer that there is not")
    }

    fn queue_capture(&self, index: u32) -> Result<()> {
        self.turn(index)?.fetch_add(1, Ordering::Release);
        self.stream.queue(Queue::Capture, index)
    }

    /// No input is with the device any more.
    fn idle(&self) -> Result<bool> {
        for index in 0..self.turns.len() {
            if self.stream.is_underway(Queue::Output, index as u32)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
