// SPDX-License-Identifier: GPL-2.0-only

//! The pipeline itself: what a program does with the pictures of one device for the next one.
//! Judges nothing.
//!
//! Both ways are the same loop. They differ in `can_read()` and `can_write()`, which say when a
//! picture goes on to its reader and when its buffer goes back to its writer. A way with explicit
//! fences would differ there, and in what goes with QBUF and with the commit.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{ensure, Context, Result};
use rustix::event::PollFlags;

use crate::pipeline::args::Way;
use crate::pipeline::convert::Converter;
use crate::pipeline::judge::{self, Shot};
use crate::pipeline::source::Source;
use uapi::clock::{self, Ns, MS};
use uapi::framebuffer::Framebuffer;
use uapi::interrupt::Interrupt;
use uapi::kms::Display;
use uapi::picture::Layout;
use uapi::poll;

/// How long the chain may do nothing at all: more than fences time out after.
const PATIENCE: Ns = 15_000 * MS;

/// How often it looks for an interrupt meanwhile.
const SLICE: Ns = 500 * MS;

/// How often it looks for a fence that is about to come. Nothing tells a program that a job has
/// started.
const SOON: Ns = MS;

/// A picture on its way.
#[derive(Debug)]
struct Picture {
    number: u32,
    queued_ns: Ns,
    /// Its buffer of the source, which is that of rockchip-rga's OUTPUT, too.
    from: u32,
    /// Its buffer of rockchip-rga, from when it is queued there.
    into: Option<u32>,
    /// Dequeued from the source.
    made: bool,
    /// Dequeued from rockchip-rga.
    converted: bool,
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
        self.flipped && self.converted && self.given_back
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
    free_from: VecDeque<u32>,
    free_into: VecDeque<u32>,
    /// rockchip-rga's buffer that is on the display.
    on_display: Option<u32>,
    /// How many pictures there may be between QBUF and flip: as many in each way.
    limit: usize,
    /// Every so many are checked.
    check: u32,
    /// Something waits for nothing but a fence that is about to come.
    fence_comes: bool,
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
            free_from: (0..buffers).collect(),
            free_into: (0..buffers).collect(),
            on_display: None,
            limit: buffers as usize,
            check,
            fence_comes: false,
        })
    }

    /// Shows `frames` pictures; says of each what was seen. Fewer: the chain has stopped.
    pub fn run(&mut self, frames: u32, interrupt: &Interrupt) -> Result<Vec<Shot>> {
        let mut shots = Vec::new();
        let (mut next, mut last_step) = (1, clock::now());
        while shots.len() < frames as usize {
            interrupt.check()?;
            self.fence_comes = false;
            let mut moved = self.dequeue()?;
            if let Some(shot) = self.flip()? {
                shots.push(shot);
                moved = true;
            }
            moved |= self.convert()? | self.commit()? | self.give_back()?;
            while next <= frames && self.feed(next)? {
                next += 1;
                moved = true;
            }
            let now = clock::now();
            match moved {
                // What was done may be what the next step waits for.
                true => last_step = now,
                false if now > last_step + PATIENCE => break,
                false => self.wait(now + if self.fence_comes { SOON } else { SLICE })?,
            }
        }
        Ok(shots)
    }

    /// Whether the reader of a buffer may be given it: its writer has finished, or has started and a
    /// fence says when it finishes. For that fence the reader's device waits, not the program.
    fn can_read(&self, finished: bool, buffer: BorrowedFd<'_>) -> Result<bool> {
        // A dma-buf is not readable while a writer's fence is pending.
        Ok(finished || self.way == Way::Implicit && !poll::says(buffer, PollFlags::IN)?)
    }

    /// Whether the writer of a buffer may be given it back: the same with the reader's fence.
    fn can_write(&self, finished: bool, buffer: BorrowedFd<'_>) -> Result<bool> {
        // It is not writable while anyone's fence is pending; the writer's own is not any more.
        Ok(finished || self.way == Way::Implicit && !poll::says(buffer, PollFlags::OUT)?)
    }

    /// Takes back what is done.
    fn dequeue(&mut self) -> Result<bool> {
        let mut moved = false;
        while let Some(picture) = self.pictures.iter_mut().find(|picture| !picture.made) {
            let Some(done) = self.source.dequeue()? else {
                break;
            };
            ensure!(done.index == picture.from, "the source's order changed");
            (picture.made, moved) = (true, true);
            picture.flagged |= done.error;
            if picture.number % self.check == 0 {
                let checksum = self.source.checksum_of(picture.from, picture.number)?;
                picture.checksum = Some(checksum);
            }
        }
        let is_with = |picture: &&mut Picture| picture.into.is_some() && !picture.converted;
        while let Some(picture) = self.pictures.iter_mut().find(is_with) {
            let Some(done) = self.converter.dequeue()? else {
                break;
            };
            ensure!(Some(done.index) == picture.into, "rga's order changed");
            (picture.converted, moved) = (true, true);
            picture.flagged |= done.error;
        }
        // The picture on the display keeps its buffer; the rest of it is not needed any more.
        self.pictures.retain(|picture| !picture.is_over());
        Ok(moved)
    }

    /// Queues the next picture to rockchip-rga.
    fn convert(&mut self) -> Result<bool> {
        let Some(at) = self.pictures.iter().position(|p| p.into.is_none()) else {
            return Ok(false);
        };
        let picture = &self.pictures[at];
        let (from, made) = (picture.from, picture.made);
        // An earlier picture in the same buffer may be done, but not dequeued.
        let mut before = self.pictures.range(..at);
        if before.any(|p| p.from == from && !p.converted) {
            return Ok(false);
        }
        let Some(&into) = self.free_into.front() else {
            return Ok(false);
        };
        let dmabuf = self.source.picture(from);
        if !self.can_read(made, dmabuf)? {
            // A device works on one picture at a time, so it is this one's turn.
            self.fence_comes |=
                self.way == Way::Implicit && self.pictures.range(..at).all(|p| p.made);
            return Ok(false);
        }
        self.converter.queue(from, dmabuf, into)?;
        self.free_into.pop_front();
        let picture = &mut self.pictures[at];
        (picture.into, picture.converted_early) = (Some(into), !made);
        Ok(true)
    }

    /// Commits the next picture to the display, which takes one at a time.
    fn commit(&mut self) -> Result<bool> {
        let waits = |picture: &Picture| picture.committed && !picture.flipped;
        let next = self.pictures.iter().position(|p| !p.committed);
        let (Some(at), false) = (next, self.pictures.iter().any(waits)) else {
            return Ok(false);
        };
        let picture = &self.pictures[at];
        let (Some(into), converted) = (picture.into, picture.converted) else {
            return Ok(false);
        };
        if !self.can_read(converted, self.converter.picture(into))? {
            self.fence_comes |= self.way == Way::Implicit && picture.made;
            return Ok(false);
        }
        self.display.commit(&self.framebuffers[into as usize])?;
        let picture = &mut self.pictures[at];
        (picture.committed, picture.shown_early) = (true, !converted);
        Ok(true)
    }

    /// Gives buffers back to the source.
    fn give_back(&mut self) -> Result<bool> {
        let mut moved = false;
        for at in 0..self.pictures.len() {
            let picture = &self.pictures[at];
            if picture.given_back || !picture.made || picture.into.is_none() {
                continue;
            }
            if self.can_write(picture.converted, self.source.picture(picture.from))? {
                self.free_from.push_back(picture.from);
                let picture = &mut self.pictures[at];
                picture.given_back_early = !picture.converted;
                (picture.given_back, moved) = (true, true);
            }
        }
        Ok(moved)
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
        self.source.queue(from, number)?;
        self.pictures.push_back(Picture {
            number,
            queued_ns,
            from,
            into: None,
            made: false,
            converted: false,
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

    /// The flip of the committed picture, if it has happened. The buffer that was shown until then
    /// is free: KMS puts no fence of its own on what it shows.
    fn flip(&mut self) -> Result<Option<Shot>> {
        let waits = |picture: &Picture| picture.committed && !picture.flipped;
        if !self.pictures.iter().any(waits) || !poll::says(self.display.as_fd(), PollFlags::IN)? {
            return Ok(None);
        }
        let event = self.display.flip_event()?;
        // What the display waited for can be dequeued now, whether the program has done so or not.
        self.dequeue()?;
        let picture = self.pictures.iter_mut().find(|picture| waits(picture));
        let picture = picture.context("a flip of no picture")?;
        picture.flipped = true;
        self.free_into.extend(self.on_display.take());
        self.on_display = picture.into;
        let mut shot = Shot {
            number: picture.number,
            queued_ns: picture.queued_ns,
            flipped_ns: event.at_ns,
            vblank: event.frame,
            converted_early: picture.converted_early,
            shown_early: picture.shown_early,
            given_back_early: picture.given_back_early,
            unfinished: !picture.made || !picture.converted,
            flagged: picture.flagged,
            pixels: None,
        };
        if shot.number % self.check == 0 {
            let wanted = picture.checksum;
            let seen = self
                .display
                .checksum(event.frame, clock::now() + PATIENCE)?;
            let others = judge::neighbours(shot.number, self.limit);
            let others = others.filter_map(|other| Some((other, self.source.checksum(other)?)));
            shot.pixels = Some(judge::name(seen, wanted, others));
        }
        Ok(Some(shot))
    }

    /// Waits for any device that works on something: one that does not is in an error, says poll().
    fn wait(&self, limit: Ns) -> Result<()> {
        let mut fds = Vec::new();
        let any = |of: fn(&Picture) -> bool| self.pictures.iter().any(of);
        if any(|p| !p.made) {
            fds.push(self.source.as_fd());
        }
        if any(|p| p.into.is_some() && !p.converted) {
            fds.push(self.converter.as_fd());
        }
        if any(|p| p.committed && !p.flipped) {
            fds.push(self.display.as_fd());
        }
        poll::wait_any(&fds, limit).context("poll")
    }
}
