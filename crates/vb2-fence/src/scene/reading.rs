// SPDX-License-Identifier: GPL-2.0-only

//! A slow reader: it copies a picture line by line, and meanwhile a job is queued that writes the
//! next picture into the same buffer. Only writes down what it saw.

use anyhow::{ensure, Context, Result};
use serde::Serialize;

use crate::scene::args::ProducerKind;
use crate::scene::foreign::{ForeignFence, Source};
use crate::scene::producer::Producer;
use crate::scene::saw::Saw;
use uapi::clock::{self, ms_between, Ns, MS};
use uapi::dmabuf::{self, Access};
use uapi::picture::{Picture, Size};
use uapi::poll::{self, Readiness};
use uapi::sync_file::{self, SyncInfo};

/// The buffer that is read and written.
const SLOT: u32 = 0;

/// In so many parts a picture is read, with a pause before each.
const PARTS: usize = 64;

/// After so many of them the next job is queued.
const PARTS_BEFORE: usize = PARTS / 4;

/// So many times the job's time a reader takes. Without acquire fences the job ends when half of
/// the picture was read.
const SLOWER: u32 = 4;

/// What was seen of one reading. Times are CLOCK_MONOTONIC in nanoseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Reading {
    /// The number of the frame that was read; the next one is to be written.
    pub number: u32,
    /// Where the reader's fence came from.
    pub source: Source,
    /// When the reader's fence was on the buffer, and the reading began.
    pub begun_ns: Ns,
    /// Just before the job's buffers were queued.
    pub qbuf_ns: Ns,
    /// When that had returned.
    pub queued_ns: Ns,
    /// The fences that were on the buffer then, for those who write.
    pub fences: SyncInfo,
    /// When the job was seen to have begun, unless it was too short to be seen.
    pub job_begun_ns: Option<Ns>,
    /// When it was seen to be over.
    pub job_over_ns: Ns,
    /// When all was read, just before the reader's fence was signalled.
    pub read_ns: Ns,
    /// What the reader has, by its pixels.
    pub saw: Saw,
    /// Whether the buffer had the next picture in the end.
    pub written: bool,
    /// Whether the video node returned the buffer with an error.
    pub flagged: bool,
    /// What was in the buffer when the reading began, and what the reader has of it.
    #[serde(skip)]
    pub pictures: (Picture, Picture),
}

impl Reading {
    /// Whether the machine was quick enough for jobs of so long: no fence was given up because it
    /// read more slowly than it should.
    pub fn is_in_time(&self, job_ms: u32) -> bool {
        ms_between(self.qbuf_ns, self.read_ns) < f64::from(2 * SLOWER * job_ms)
    }
}

/// When a job was seen to have begun and to be over.
#[derive(Debug, Default)]
struct Watched {
    begun_ns: Option<Ns>,
    over_ns: Option<Ns>,
}

impl Watched {
    fn look(&mut self, producer: &Producer) -> Result<()> {
        if self.begun_ns.is_none() && producer.has_begun(SLOT)? {
            self.begun_ns = Some(clock::now());
        }
        // A job that failed is not counted by an emulated block.
        let is_over = || -> Result<bool> {
            Ok(producer.is_over()? || poll::ready_now(producer.video())? != Readiness::NotReady)
        };
        if self.over_ns.is_none() && is_over()? {
            self.over_ns = Some(clock::now());
        }
        Ok(())
    }

    /// Looks each millisecond, and at the end.
    fn look_until(&mut self, producer: &Producer, when: Ns) -> Result<()> {
        loop {
            self.look(producer)?;
            let now = clock::now();
            if now >= when {
                return Ok(());
            }
            clock::sleep_until(when.min(now + MS));
        }
    }
}

/// A producer, and a picture in its buffer.
#[derive(Debug)]
pub struct ReadingRoom {
    /// The producer.
    pub producer: Producer,
    job_ms: u32,
    /// The frame that is in the buffer.
    number: u32,
}

impl ReadingRoom {
    /// Opens the device, with the switches as they are now, and has frame `number` written.
    pub fn open(kind: ProducerKind, size: Size, job_ms: u32, number: u32) -> Result<Self> {
        let producer = Producer::open(kind, size, job_ms)?;
        let mut room = Self {
            producer,
            job_ms,
            number,
        };
        room.producer.start(SLOT, number)?;
        let (written, flagged) = room.end_job(number)?;
        ensure!(written && !flagged, "frame {number} was not written");
        Ok(room)
    }

    /// Waits for the end of the job of frame `number`; whether it is in the buffer, and whether the
    /// buffer came back with an error.
    fn end_job(&mut self, number: u32) -> Result<(bool, bool)> {
        let woken = poll::wait(self.producer.video(), self.producer.time_limit())?;
        ensure!(
            woken.is_some(),
            "the job of frame {number} does not come to an end"
        );
        let flagged = self.producer.finish(SLOT)?;
        Ok((self.producer.is_written(SLOT, number)?, flagged))
    }

    /// Reads the picture while the job for the next one is queued.
    pub fn read(&mut self, source: Source) -> Result<Reading> {
        let (number, next) = (self.number, self.number.wrapping_add(1));
        let pause = u64::from(self.job_ms * SLOWER) * MS / PARTS as u64;
        let (size, layout) = (self.producer.size(), self.producer.layout);
        let (first, wanted) = (self.producer.expected(number), self.producer.expected(next));
        self.producer.prepare(SLOT, next)?;

        let picture = self.producer.picture(SLOT);
        dmabuf::begin(picture, Access::Read)?;
        let fence = ForeignFence::add(source, picture, Access::Read)?;
        let begun_ns = clock::now();
        let mut bytes = Vec::new();
        self.copy(&mut bytes, 0..PARTS_BEFORE, |_| {
            clock::sleep_until(clock::now() + pause);
            Ok(())
        })?;
        let qbuf_ns = clock::now();
        self.producer.queue(SLOT)?;
        let queued_ns = clock::now();
        let picture = self.producer.picture(SLOT);
        let fences = sync_file::info(dmabuf::export_sync_file(picture, Access::Write)?)?;
        let mut job = Watched::default();
        self.copy(&mut bytes, PARTS_BEFORE..PARTS, |producer| {
            job.look_until(producer, clock::now() + pause)
        })?;
        let read_ns = clock::now();
        fence.signal()?;
        dmabuf::end(picture, Access::Read)?;

        let limit = self.producer.time_limit();
        while job.over_ns.is_none() && clock::now() < limit {
            job.look_until(&self.producer, clock::now() + MS)?;
        }
        let job_over_ns = job.over_ns.context("the end of the job was not seen")?;
        let (written, flagged) = self.end_job(next)?;
        self.number = next;
        let seen = Picture::from_memory(size, layout, self.producer.pitch(), &bytes);
        Ok(Reading {
            number,
            source,
            begun_ns,
            qbuf_ns,
            queued_ns,
            fences,
            job_begun_ns: job.begun_ns,
            job_over_ns,
            read_ns,
            saw: Saw::of(&seen, &first, &wanted),
            written,
            flagged,
            pictures: (first, seen),
        })
    }

    /// Copies some parts of the picture, each after a pause.
    fn copy(
        &self,
        to: &mut Vec<u8>,
        parts: std::ops::Range<usize>,
        mut pause: impl FnMut(&Producer) -> Result<()>,
    ) -> Result<()> {
        let bytes = self.producer.pitch() as usize * self.producer.size().height as usize;
        for part in parts {
            pause(&self.producer)?;
            let (from, end) = (part * bytes / PARTS, (part + 1) * bytes / PARTS);
            to.extend(self.producer.memory(SLOT).peek(from, end - from)?);
        }
        Ok(())
    }
}
