// SPDX-License-Identifier: GPL-2.0-only

//! The shortest pipeline: a camera, and a display that shows its pictures as they are.
//!
//! With explicit fences it is a circle. The fence of a picture comes from QBUF or, if the queue gives
//! none there, when the event tells that the camera has begun: `feed()`, `hear()`. The commit waits
//! for it, and gives one for the buffer that was shown until then, which QBUF takes: `commit()`.

use std::collections::VecDeque;
use std::os::fd::AsFd;

use anyhow::{ensure, Context, Result};
use rustix::event::PollFlags;

use crate::pipeline::args::Way;
use crate::pipeline::chain::{uncounted, DONE, PATIENCE, SLICE, TELLS};
use crate::pipeline::judge::{self, Shot};
use crate::pipeline::source::Source;
use crate::pipeline::work::{begin, next_start, Free, Work};
use uapi::clock::{self, Ns};
use uapi::framebuffer::Framebuffer;
use uapi::hint;
use uapi::interrupt::Interrupt;
use uapi::kms::Display;
use uapi::picture::Layout;
use uapi::poll;
use uapi::system_calls::SystemCalls;

/// A picture from QBUF to its flip.
#[derive(Debug)]
struct Picture {
    number: u32,
    slot: u32,
    queued_ns: Ns,
    /// The camera writes it.
    made: Work,
    committed: bool,
    shown_early: bool,
    given_back_early: bool,
    flagged: bool,
    /// The camera's own number, when it was dequeued.
    sequence: u32,
    /// What the display's checksum has to be, if that is looked at.
    checksum: Option<u32>,
}

/// The devices, and what is with them.
#[derive(Debug)]
pub struct Direct {
    way: Way,
    source: Source,
    display: Display,
    framebuffers: Vec<Framebuffer>,
    /// The oldest first.
    pictures: VecDeque<Picture>,
    free: VecDeque<Free>,
    /// The buffer on the display, until it is free.
    on_display: Option<u32>,
    /// The camera's number of the picture that was dequeued last.
    sequence: Option<u32>,
    /// Every so many are checked.
    check: u32,
    calls: Option<SystemCalls>,
}

impl Direct {
    /// Connects the devices.
    pub fn new(
        way: Way,
        source: Source,
        display: Display,
        buffers: u32,
        check: u32,
    ) -> Result<Self> {
        let pitch = source.plane.bytesperline;
        let import = |slot| display.import(source.picture(slot), Layout::Xrgb8888, pitch);
        Ok(Self {
            framebuffers: (0..buffers).map(import).collect::<Result<_>>()?,
            way,
            source,
            display,
            pictures: VecDeque::new(),
            free: (0..buffers).map(Free::now).collect(),
            on_display: None,
            sequence: None,
            check,
            calls: None,
        })
    }

    /// How many system calls [`Self::run`] has made, without those that look at pixels.
    pub fn system_calls(&self) -> Result<Option<u64>> {
        self.calls.as_ref().map(SystemCalls::so_far).transpose()
    }

    /// Shows `frames` pictures; says of each what was seen. Fewer: the pipeline has stopped.
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
            self.commit()?;
            let [source, display] = self.poll()?;
            if source.contains(TELLS) {
                self.hear()?;
                self.commit()?;
            }
            let mut moved = source.contains(TELLS);
            if source.intersects(DONE) {
                moved |= self.take()?;
            }
            if display.intersects(DONE) {
                shots.push(self.flip()?);
                moved = true;
            }
            if moved {
                last_step = clock::now();
            }
        }
        Ok(shots)
    }

    /// Asks both devices at once what there is to do, and waits for it.
    fn poll(&self) -> Result<[PollFlags; 2]> {
        // A device that works on nothing is in an error, says poll(); it may still tell of a start.
        let ask = |works: fn(&Picture) -> bool| match self.pictures.iter().any(works) {
            true => TELLS | PollFlags::IN,
            false => TELLS,
        };
        let devices = [
            (self.source.as_fd(), ask(|picture| !picture.made.over)),
            (self.display.as_fd(), ask(|picture| picture.committed)),
        ];
        poll::wait_any(devices, clock::now() + SLICE).context("poll")
    }

    /// Queues a buffer for picture `number`.
    fn feed(&mut self, number: u32) -> Result<bool> {
        let Some(buffer) = self.free.pop_front() else {
            return Ok(false);
        };
        let queued_ns = clock::now();
        let free = buffer.fence.as_ref().map(AsFd::as_fd);
        let fence = self.source.queue(buffer.index, number, free)?;
        self.pictures.push_back(Picture {
            number,
            slot: buffer.index,
            queued_ns,
            // With its fence it may go on before the camera begins.
            made: Work {
                started: fence.is_some(),
                fence,
                over: false,
            },
            committed: false,
            shown_early: false,
            given_back_early: false,
            flagged: false,
            sequence: 0,
            checksum: None,
        });
        Ok(true)
    }

    /// Hears which pictures the camera has begun. They may go on, with their fences.
    fn hear(&mut self) -> Result<()> {
        while let Some((job, fence)) = next_start(self.way, &self.source.stream)? {
            let pictures = self.pictures.iter_mut();
            let pictures = pictures.filter(|picture| picture.slot == job.index);
            begin(pictures.map(|picture| &mut picture.made), fence);
        }
        Ok(())
    }

    /// Commits the next picture to the display, which takes one at a time.
    fn commit(&mut self) -> Result<()> {
        let Some(picture) = self.pictures.front_mut() else {
            return Ok(());
        };
        if picture.committed || !picture.made.lets_go_on() {
            return Ok(());
        }
        let framebuffer = &self.framebuffers[picture.slot as usize];
        if self.way == Way::Explicit {
            let made = picture.made.fence.take();
            let made = made.as_ref().map(AsFd::as_fd);
            let flip = self.display.commit_fenced(framebuffer, made)?;
            // The camera may have what was shown until then now: it waits for the flip.
            if let Some(index) = self.on_display.take() {
                picture.given_back_early = true;
                self.free.push_back(Free {
                    index,
                    fence: Some(flip),
                });
            }
        } else {
            self.display.commit(framebuffer)?;
        }
        (picture.committed, picture.shown_early) = (true, !picture.made.over);
        Ok(())
    }

    /// Takes back what the camera has finished.
    fn take(&mut self) -> Result<bool> {
        let mut moved = false;
        while let Some(picture) = self.pictures.iter_mut().find(|picture| !picture.made.over) {
            let Some(done) = self.source.dequeue()? else {
                break;
            };
            ensure!(done.index == picture.slot, "the camera's order changed");
            // One that found no buffer is lost.
            ensure!(
                self.sequence.is_none_or(|last| last < done.sequence),
                "the camera's picture {} came after {:?}",
                done.sequence,
                self.sequence
            );
            self.sequence = Some(done.sequence);
            picture.made.end();
            moved = true;
            (picture.flagged, picture.sequence) = (done.error, done.sequence);
            if picture.number % self.check == 0 {
                let look = || self.source.checksum_of(picture.slot, done.sequence);
                picture.checksum = Some(uncounted(self.calls.as_ref(), look)?);
            }
        }
        Ok(moved)
    }

    /// The flip of the committed picture. The buffer that was shown until then is free, if it was
    /// not before: KMS puts no fence of its own on what it shows.
    fn flip(&mut self) -> Result<Shot> {
        let event = self.display.flip_event()?;
        // What the display waited for can be dequeued now, whether the program has done so or not.
        self.take()?;
        let picture = self.pictures.pop_front();
        let picture = picture.filter(|picture| picture.committed);
        let picture = picture.context("a flip of no picture")?;
        self.free.extend(self.on_display.take().map(Free::now));
        self.on_display = Some(picture.slot);
        let mut shot = Shot {
            number: picture.number,
            queued_ns: picture.queued_ns,
            flipped_ns: event.at_ns,
            vblank: event.frame,
            converted_early: false,
            shown_early: picture.shown_early,
            given_back_early: picture.given_back_early,
            unfinished: !picture.made.over,
            flagged: picture.flagged,
            pixels: None,
        };
        if shot.number % self.check == 0 {
            let limit = clock::now() + PATIENCE;
            let look = || self.display.checksum(event.frame, limit);
            let seen = uncounted(self.calls.as_ref(), look)?;
            let others = judge::neighbours(picture.sequence, self.framebuffers.len());
            let others = others.filter_map(|other| Some((other, self.source.checksum(other)?)));
            shot.pixels = Some(judge::name(seen, picture.checksum, others));
        }
        Ok(shot)
    }
}
