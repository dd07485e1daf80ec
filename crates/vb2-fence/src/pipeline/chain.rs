// SPDX-License-Identifier: GPL-2.0-only

//! The pipeline itself: what a program does with the pictures of one device for the next one.
//! Judges nothing.
//!
//! All ways are the same loop, `run()`. A buffer goes on to the next device when the work on it is
//! over. In the early ways it does so when that has started, which an event tells: `hear_source()`,
//! `hear_converter()`. With explicit fences its fence goes with it, into QBUF and into the commit,
//! which gives one in turn for the buffer that was shown until then: `convert()`, `commit()`,
//! `feed()`.

use std::collections::VecDeque;
use std::os::fd::AsFd;

use anyhow::{ensure, Context, Result};
use rustix::event::PollFlags;

use crate::pipeline::args::Way;
use crate::pipeline::convert::Converter;
use crate::pipeline::judge::{self, Shot};
use crate::pipeline::source::Source;
use crate::pipeline::work::{begin, next_start, Free, Work};
use uapi::clock::{self, Ns, MS};
use uapi::device::Queue;
use uapi::framebuffer::Framebuffer;
use uapi::hint;
use uapi::interrupt::Interrupt;
use uapi::kms::Display;
use uapi::picture::Layout;
use uapi::poll;
use uapi::system_calls::SystemCalls;

/// How long the chain may do nothing at all: more than fences time out after.
pub(super) const PATIENCE: Ns = 15_000 * MS;

/// How often it looks for an interrupt meanwhile.
pub(super) const SLICE: Ns = 500 * MS;

/// What poll() says of a device that has told of the start of a job.
pub(super) const TELLS: PollFlags = PollFlags::PRI;

/// The same of one that has finished something, or has an error to tell of.
pub(super) const DONE: PollFlags = PollFlags::IN.union(PollFlags::ERR).union(PollFlags::HUP);

/// A picture on its way.
#[derive(Debug)]
struct Picture {
    number: u32,
    queued_ns: Ns,
    /// Its buffer of the source, which is that of rockchip-rga's OUTPUT, too.
    from: u32,
    /// Its buffer of rockchip-rga, from when it is queued there.
    into: Option<u32>,
    /// The source writes it.
    made: Work,
    /// rockchip-rga reads it, and writes its own.
    read: Work,
    converted: Work,
    /// Its buffer went back to the source.
    given_back: bool,
    committed: bool,
    flipped: bool,
    converted_early: bool,
    shown_early: bool,
    given_back_early: bool,
    flagged: bool,
    /// What the display's checksum has to be, if that is looked at.
    checksum: Option<u32>,
}

impl Picture {
    /// Whether there is nothing left to do with it, but that it may be on the display.
    fn is_over(&self) -> bool {
        self.flipped && self.converted.over && self.given_back
    }

    fn is_with_converter(&self) -> bool {
        self.into.is_some() && !self.converted.over
    }

    fn waits_for_flip(&self) -> bool {
        self.committed && !self.flipped
    }
}

/// The devices, and what is with them.
#[derive(Debug)]
pub struct Chain {
    way: Way,
    source: Source,
    converter: Converter,
    display: Display,
    framebuffers: Vec<Framebuffer>,
    /// The oldest first. No device changes the order.
    pictures: VecDeque<Picture>,
    /// Buffers that nothing uses.
    free_from: VecDeque<Free>,
    free_into: VecDeque<Free>,
    /// rockchip-rga's buffer that is on the display, until it is free.
    on_display: Option<u32>,
    /// How many pictures there may be between QBUF and flip: as many in each way.
    limit: usize,
    /// Every so many are checked.
    check: u32,
    calls: Option<SystemCalls>,
}

impl Chain {
    /// Connects the devices.
    pub fn new(
        way: Way,
        source: Source,
        converter: Converter,
        display: Display,
        buffers: u32,
        check: u32,
    ) -> Result<Self> {
        let import =
            |slot| display.import(converter.picture(slot), Layout::Xrgb8888, converter.pitch);
        Ok(Self {
            framebuffers: (0..buffers).map(import).collect::<Result<_>>()?,
            way,
            source,
            converter,
            display,
            pictures: VecDeque::new(),
            free_from: (0..buffers).map(Free::now).collect(),
            free_into: (0..buffers).map(Free::now).collect(),
            on_display: None,
            limit: buffers as usize,
            check,
            calls: None,
        })
    }

    /// How many system calls [`Self::run`] has made, without those that look at pixels.
    pub fn system_calls(&self) -> Result<Option<u64>> {
        self.calls.as_ref().map(SystemCalls::so_far).transpose()
    }

    /// Shows `frames` pictures; says of each what was seen. Fewer: the chain has stopped.
    pub fn run(&mut self, frames: u32, interrupt: &Interrupt) -> Result<Vec<Shot>> {
        let mut shots = Vec::new();
        let calls = SystemCalls::count();
        self.calls = calls
            .inspect_err(|err| hint::warn(&format!("no system calls: {err:#}")))
            .ok();
        let (mut next, mut last_step) = (1, clock::now());
        while shots.len() < frames as usize && clock::now() < last_step + PATIENCE {
            interrupt.check()?;
            while next <= frames && self.feed(next)? {
                next += 1;
            }
            let [source, converter, display] = self.poll()?;
            let mut moved = [source, converter].iter().any(|said| said.contains(TELLS));
            if source.contains(TELLS) {
                self.hear_source()?;
            }
            if converter.contains(TELLS) {
                self.hear_converter()?;
            }
            if source.intersects(DONE) {
                moved |= self.take_made()?;
            }
            if converter.intersects(DONE) {
                moved |= self.take_converted()?;
            }
            if display.intersects(DONE) {
                shots.push(self.flip()?);
                moved = true;
            }
            // One step may be what another one waits for.
            while self.convert()? | self.commit()? | self.give_back() {}
            // The picture on the display keeps its buffer; the rest of it is not needed any more.
            self.pictures.retain(|picture| !picture.is_over());
            if moved {
                last_step = clock::now();
            }
        }
        Ok(shots)
    }

    /// Asks all devices at once what there is to do, and waits for it.
    fn poll(&self) -> Result<[PollFlags; 3]> {
        // A device that works on nothing is in an error, says poll(); it may still tell of a start.
        let ask = |works: fn(&Picture) -> bool| match self.pictures.iter().any(works) {
            true => TELLS | PollFlags::IN,
            false => TELLS,
        };
        let devices = [
            (self.source.as_fd(), ask(|picture| !picture.made.over)),
            (self.converter.as_fd(), ask(Picture::is_with_converter)),
            (self.display.as_fd(), ask(Picture::waits_for_flip)),
        ];
        poll::wait_any(devices, clock::now() + SLICE).context("poll")
    }

    /// Hears which jobs of the source have started. Their pictures may go on, with their fences.
    fn hear_source(&mut self) -> Result<()> {
        while let Some((job, fence)) = next_start(self.way, &self.source.stream)? {
            let pictures = self.pictures.iter_mut();
            let pictures = pictures.filter(|picture| picture.from == job.index);
            begin(pictures.map(|picture| &mut picture.made), fence);
        }
        Ok(())
    }

    /// The same of rockchip-rga, whose jobs have two buffers, each with a fence of its own.
    fn hear_converter(&mut self) -> Result<()> {
        while let Some((job, fence)) = next_start(self.way, &self.converter.stream)? {
            let pictures = self.pictures.iter_mut();
            match job.queue {
                Queue::Output => {
                    let pictures = pictures.filter(|p| p.from == job.index && p.into.is_some());
                    begin(pictures.map(|picture| &mut picture.read), fence);
                }
                Queue::Capture => {
                    let pictures = pictures.filter(|p| p.into == Some(job.index));
                    begin(pictures.map(|picture| &mut picture.converted), fence);
                }
            }
        }
        Ok(())
    }

    /// Takes back what the source has finished.
    fn take_made(&mut self) -> Result<bool> {
        let mut moved = false;
        while let Some(picture) = self.pictures.iter_mut().find(|picture| !picture.made.over) {
            let Some(done) = self.source.dequeue()? else {
                break;
            };
            ensure!(done.index == picture.from, "the source's order changed");
            picture.made.end();
            moved = true;
            picture.flagged |= done.error;
            if picture.number % self.check == 0 {
                let look = || self.source.checksum_of(picture.from, picture.number);
                picture.checksum = Some(uncounted(self.calls.as_ref(), look)?);
            }
        }
        Ok(moved)
    }

    /// The same of rockchip-rga.
    fn take_converted(&mut self) -> Result<bool> {
        let mut moved = false;
        let is_with = |picture: &&mut Picture| picture.is_with_converter();
        while let Some(picture) = self.pictures.iter_mut().find(is_with) {
            let Some(done) = self.converter.dequeue()? else {
                break;
            };
            ensure!(Some(done.index) == picture.into, "rga's order changed");
            picture.read.end();
            picture.converted.end();
            moved = true;
            picture.flagged |= done.error;
        }
        Ok(moved)
    }

    /// Queues the next picture to rockchip-rga.
    fn convert(&mut self) -> Result<bool> {
        let Some(at) = self.pictures.iter().position(|p| p.into.is_none()) else {
            return Ok(false);
        };
        let from = self.pictures[at].from;
        // An earlier picture in the same buffer may be done, but not dequeued.
        let mut before = self.pictures.range(..at);
        if before.any(|p| p.from == from && !p.converted.over) {
            return Ok(false);
        }
        let made = &mut self.pictures[at].made;
        if !made.lets_go_on() {
            return Ok(false);
        }
        let Some(into) = self.free_into.pop_front() else {
            return Ok(false);
        };
        // The job waits for the source, which writes the one buffer, and for the display, which
        // shows the other one.
        let (made_fence, free) = (made.fence.take(), into.fence.as_ref());
        let dmabuf = self.source.picture(from);
        self.converter.queue(
            (from, dmabuf, made_fence.as_ref().map(AsFd::as_fd)),
            (into.index, free.map(AsFd::as_fd)),
        )?;
        let picture = &mut self.pictures[at];
        (picture.into, picture.converted_early) = (Some(into.index), !picture.made.over);
        Ok(true)
    }

    /// Commits the next picture to the display, which takes one at a time.
    fn commit(&mut self) -> Result<bool> {
        if self.pictures.iter().any(Picture::waits_for_flip) {
            return Ok(false);
        }
        let Some(picture) = self.pictures.iter_mut().find(|p| !p.committed) else {
            return Ok(false);
        };
        let (Some(into), true) = (picture.into, picture.converted.lets_go_on()) else {
            return Ok(false);
        };
        let framebuffer = &self.framebuffers[into as usize];
        if self.way == Way::Explicit {
            let converted = picture.converted.fence.take();
            let converted = converted.as_ref().map(AsFd::as_fd);
            let flip = self.display.commit_fenced(framebuffer, converted)?;
            // With the flip the display does not need any more what it has shown until then, so
            // rockchip-rga may have it now: it waits for the flip. That closes the circle.
            self.free_into
                .extend(self.on_display.take().map(|index| Free {
                    index,
                    fence: Some(flip),
                }));
        } else {
            self.display.commit(framebuffer)?;
        }
        (picture.committed, picture.shown_early) = (true, !picture.converted.over);
        Ok(true)
    }

    /// Gives buffers back to the source.
    fn give_back(&mut self) -> bool {
        let mut moved = false;
        for picture in &mut self.pictures {
            if !picture.given_back && picture.made.over && picture.read.lets_go_on() {
                self.free_from.push_back(Free {
                    index: picture.from,
                    fence: picture.read.fence.take(),
                });
                picture.given_back_early = !picture.read.over;
                (picture.given_back, moved) = (true, true);
            }
        }
        moved
    }

    /// Queues a buffer to the source, for picture `number`.
    fn feed(&mut self, number: u32) -> Result<bool> {
        let on_the_way = self.pictures.iter().filter(|picture| !picture.flipped);
        if on_the_way.count() >= self.limit {
            return Ok(false);
        }
        let Some(from) = self.free_from.pop_front() else {
            return Ok(false);
        };
        let queued_ns = clock::now();
        let free = from.fence.as_ref().map(AsFd::as_fd);
        self.source.queue(from.index, number, free)?;
        self.pictures.push_back(Picture {
            number,
            queued_ns,
            from: from.index,
            into: None,
            made: Work::default(),
            read: Work::default(),
            converted: Work::default(),
            given_back: false,
            committed: false,
            flipped: false,
            converted_early: false,
            shown_early: false,
            given_back_early: false,
            flagged: false,
            checksum: None,
        });
        Ok(true)
    }

    /// The flip of the committed picture. The buffer that was shown until then is free, if it was
    /// not before: KMS puts no fence of its own on what it shows.
    fn flip(&mut self) -> Result<Shot> {
        let event = self.display.flip_event()?;
        // What the display waited for can be dequeued now, whether the program has done so or not.
        self.take_made()?;
        self.take_converted()?;
        let picture = self
            .pictures
            .iter_mut()
            .find(|picture| picture.waits_for_flip());
        let picture = picture.context("a flip of no picture")?;
        picture.flipped = true;
        self.free_into.extend(self.on_display.take().map(Free::now));
        self.on_display = picture.into;
        let mut shot = Shot {
            number: picture.number,
            queued_ns: picture.queued_ns,
            flipped_ns: event.at_ns,
            vblank: event.frame,
            converted_early: picture.converted_early,
            shown_early: picture.shown_early,
            given_back_early: picture.given_back_early,
            unfinished: !picture.made.over || !picture.converted.over,
            flagged: picture.flagged,
            pixels: None,
        };
        if shot.number % self.check == 0 {
            let wanted = picture.checksum;
            let limit = clock::now() + PATIENCE;
            let look = || self.display.checksum(event.frame, limit);
            let seen = uncounted(self.calls.as_ref(), look)?;
            let others = judge::neighbours(shot.number, self.limit);
            let others = others.filter_map(|other| Some((other, self.source.checksum(other)?)));
            shot.pixels = Some(judge::name(seen, wanted, others));
        }
        Ok(shot)
    }
}

/// Looks at pixels, which is no part of what the ways cost.
pub(super) fn uncounted<T>(
    calls: Option<&SystemCalls>,
    look: impl FnOnce() -> Result<T>,
) -> Result<T> {
    match calls {
        Some(calls) => calls.leave_out(look)?,
        None => look(),
    }
}
