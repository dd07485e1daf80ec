// SPDX-License-Identifier: GPL-2.0-only

//! The compositor's client: has pictures written, hands them over, and looks when they were shown.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use anyhow::{ensure, Context, Result};
use serde::Serialize;

use crate::compositor::args::Wait;
use crate::scene::{node::PICTURES, producer::Producer};
use uapi::clock::{Ns, MS};
use uapi::dmabuf;
use uapi::interrupt::Interrupt;
use uapi::poll;
use uapi::sync_file;
use uapi::sync_file::FENCE_DRIVER;

/// Vertical blanks per second.
pub const REFRESH: u32 = 25;

/// What the client saw.
#[derive(Debug, Default, Serialize)]
pub struct Counts {
    /// Pictures that were shown.
    pub frames: u32,
    /// Of these, pictures with a release fence.
    pub with_fence: u32,
    /// Of all, pictures that were shown before their job was over.
    pub shown_early: u32,
}

/// The compositor's client.
#[derive(Debug)]
pub struct Client {
    producer: Producer,
    socket: UnixStream,
    waits: bool,
    interrupt: Interrupt,
}

impl Client {
    /// One that talks by `socket`.
    pub fn new(producer: Producer, socket: UnixStream, wait: Wait, interrupt: Interrupt) -> Self {
        Self {
            producer,
            socket,
            waits: wait == Wait::Client,
            interrupt,
        }
    }

    /// Has so many pictures shown, then closes the socket.
    pub fn run(mut self, frames: u32) -> Result<Counts> {
        let mut counts = Counts::default();
        for number in 1..=frames {
            self.interrupt.check()?;
            self.frame(number, &mut counts)
                .with_context(|| format!("picture {number}"))?;
        }
        Ok(counts)
    }

    fn frame(&mut self, number: u32, counts: &mut Counts) -> Result<()> {
        let slot = number % PICTURES;
        self.producer.start(slot, number)?;
        let picture = self.producer.picture(slot);
        let fences = dmabuf::export_read_sync_file(picture)?;
        let message = [u8::try_from(slot)?];
        if !self.waits {
            self.socket.write_all(&message).context("the compositor")?;
        }
        let limit = self.producer.time_limit();
        let woken = poll::wait(self.producer.video(), limit)?;
        let dequeued = woken.context("the job does not end")?.at_ns;
        if self.waits {
            self.socket.write_all(&message).context("the compositor")?;
        }
        let mut shown = [0; size_of::<Ns>()];
        self.socket
            .read_exact(&mut shown)
            .context("the compositor")?;
        let shown = Ns::from_ne_bytes(shown);

        let fences = sync_file::info(&fences)?.fences;
        // What a poll() says comes late on a busy machine, and a flip may be quicker.
        let signalled = fences
            .iter()
            .filter(|fence| fence.driver == FENCE_DRIVER)
            .map(|fence| fence.timestamp_ns)
            .max();
        ensure!(!self.producer.finish(slot)?, "the job failed");
        counts.frames += 1;
        counts.with_fence += u32::from(signalled.is_some());
        counts.shown_early += u32::from(is_early(shown, signalled.unwrap_or(dequeued)));
        Ok(())
    }
}

/// Whether a picture was on the display before its job was over.
///
/// The display gives the time at which the vertical blank was due. On a busy machine it comes later,
/// so that a flip that was made in between has a time of up to one refresh too early.
fn is_early(shown: Ns, over: Ns) -> bool {
    shown + 1000 * MS / Ns::from(REFRESH) < over
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_blank_is_not_early() {
        let over = 150 * MS;
        assert!(!is_early(over, over));
        assert!(!is_early(over - 40 * MS, over));
        assert!(is_early(over - 41 * MS, over));
        // Shown at the first blank after the commit
        assert!(is_early(40 * MS, over));
    }
}
