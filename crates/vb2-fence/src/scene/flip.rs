// SPDX-License-Identifier: GPL-2.0-only

//! One flip to a picture that is being written. Only writes down what it saw.

use std::os::fd::AsFd;

use anyhow::{anyhow, ensure, Context, Result};
use serde::Serialize;

use crate::scene::args::ProducerKind;
use crate::scene::{node::PICTURES, producer::Producer};
use uapi::clock::{self, Ns};
use uapi::framebuffer::Framebuffer;
use uapi::kms::Display;
use uapi::picture::{Picture, Shown, Size};
use uapi::poll;
use uapi::poll::{Readiness, Woken};
use uapi::sync_file;
use uapi::sync_file::SyncInfo;

/// What was seen of one flip. Times are CLOCK_MONOTONIC in nanoseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Flip {
    /// The frame's number.
    pub number: u32,
    /// Just before the job was started.
    pub started_ns: Ns,
    /// Just before the atomic commit.
    pub commit_ns: Ns,
    /// When the commit returned.
    pub committed_ns: Ns,
    /// Whether the job still ran then, as the video node has it.
    pub in_flight: bool,
    /// The picture's fences just before the commit.
    pub fence_at_commit: SyncInfo,
    /// The same fences at the end.
    pub fence_at_end: SyncInfo,
    /// When poll(POLLIN) was woken on the video node: the job is over.
    pub video: Option<Woken>,
    /// On the dma-buf.
    pub dmabuf: Option<Woken>,
    /// On the sync_file taken before the commit.
    pub sync_file: Option<Woken>,
    /// On the display's node: the event of the flip.
    pub event: Option<Woken>,
    /// The event's own time, which is that of the vertical blank before it.
    pub event_ns: Ns,
    /// When it was known what was scanned out: that was over then.
    pub scanned_out_ns: Ns,
    /// The checksum of what was scanned out.
    pub crc: u32,
    /// What that is.
    pub shown: Shown,
    /// Whether the buffer had the right picture when the job was over.
    pub written: bool,
    /// Whether the video node returned the buffer with an error.
    pub flagged: bool,
    /// What that is, by its pixels.
    pub in_snapshot: Option<Shown>,
    /// What the display showed one vertical blank later, in pixels, if that was asked for.
    #[serde(skip)]
    pub snapshot: Option<Picture>,
}

impl Flip {
    /// When the job was over.
    pub fn job_end_ns(&self) -> Option<Ns> {
        self.video.map(|woken| woken.at_ns)
    }

    /// When the fence was signalled, if there was one.
    pub fn fence_signalled_ns(&self) -> Option<Ns> {
        let ours = self.fence_at_end.ours();
        ours.map(|fence| fence.timestamp_ns).max()
    }

    /// Whether the picture was scanned out before its fence was signalled, or its job over.
    pub fn is_early(&self) -> bool {
        // A job that was over at the commit has no fence any more, and poll() may return
        // later than the display flips.
        let over = self.fence_signalled_ns().or(self.job_end_ns());
        self.in_flight && over.is_none_or(|over| self.scanned_out_ns < over)
    }
}

/// A producer and a display that shows its pictures.
#[derive(Debug)]
pub struct Stage {
    /// The producer of the pictures.
    pub producer: Producer,
    display: Display,
    framebuffers: Vec<Framebuffer>,
}

impl Stage {
    /// A producer and a display, with the switches as they are now.
    pub fn open(kind: ProducerKind, size: Size, refresh: u32, job_ms: u32) -> Result<Self> {
        // The display first: a job that cannot be shown is not worth its time.
        let display = Display::open(size, refresh)?;
        Self::new(Producer::open(kind, size, job_ms)?, display)
    }

    /// Imports the producer's pictures into the display.
    pub fn new(producer: Producer, display: Display) -> Result<Self> {
        let import =
            |slot| display.import(producer.picture(slot), producer.layout, producer.pitch());
        let framebuffers = (0..PICTURES).map(import).collect::<Result<_>>()?;
        Ok(Self {
            producer,
            display,
            framebuffers,
        })
    }

    /// Starts the job of a frame, flips to its picture at once, and waits for both. A snapshot is
    /// the last thing that the stage can do.
    pub fn flip(&mut self, number: u32, snapshot: bool) -> Result<Flip> {
        let slot = number % PICTURES;
        let started_ns = self.producer.start(slot, number)?;
        let limit = self.producer.time_limit();
        let picture = self.producer.picture(slot);
        let (sync_file, fence_at_commit) = sync_file::of(picture)?;

        // The thread that polls starts before the commit: on a slow machine that takes long.
        let fds = [self.producer.video(), picture, sync_file.as_fd()];
        let (display, framebuffer) = (&mut self.display, &self.framebuffers[slot as usize]);
        let done = std::thread::scope(|scope| -> Result<_> {
            let woken = scope.spawn(move || poll::wait_each(&fds, limit));
            let commit_ns = clock::now();
            display.commit(framebuffer)?;
            let committed_ns = clock::now();
            let video = poll::ready_now(fds[0]).context("poll of the video node")?;
            let flipped = display.wait_flip(limit)?;
            let snapshot = snapshot.then(|| display.snapshot()).transpose()?;
            let woken = woken.join().map_err(|_| anyhow!("a thread failed"))?;
            Ok((commit_ns, committed_ns, video, flipped, snapshot, woken))
        });
        let (commit_ns, committed_ns, video, flipped, snapshot, woken) =
            done.with_context(|| format!("frame {number}"))?;
        let woken = woken.context("poll")?;
        ensure!(
            woken.iter().all(Option::is_some),
            "the end of frame {number} did not come: {woken:?} (video node, dma-buf, sync_file)"
        );
        let fence_at_end = sync_file::info(&sync_file).context("at the end")?;
        let flagged = self.producer.finish(slot)?;
        Ok(Flip {
            number,
            started_ns,
            commit_ns,
            committed_ns,
            in_flight: video == Readiness::NotReady,
            fence_at_commit,
            fence_at_end,
            video: woken[0],
            dmabuf: woken[1],
            sync_file: woken[2],
            event: flipped.woken,
            event_ns: flipped.at_ns,
            scanned_out_ns: flipped.scanned_out_ns,
            crc: flipped.crc,
            shown: self.producer.shown(number, flipped.crc),
            in_snapshot: snapshot
                .as_ref()
                .map(|picture| self.producer.in_snapshot(number, picture)),
            written: self.producer.is_written(slot, number)?,
            flagged,
            snapshot,
        })
    }
}
