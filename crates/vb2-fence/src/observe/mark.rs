// SPDX-License-Identifier: GPL-2.0-only

//! Marks at the start and at the end of a picture, to see while a device writes it.
//!
//! poll() of the video node cannot tell: vivid holds the lock that it needs while it draws.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};

use uapi::mapping::Mapping;

/// No picture begins or ends like this.
const MARK: [u8; 64] = [0xa5; 64];

/// The marks. Where the processor does not see what a device writes, they stay.
#[derive(Debug)]
pub struct Marks {
    memory: Mapping,
    last: usize,
}

impl Marks {
    /// Puts them into the memory of a picture of so many bytes, which is not queued yet.
    pub fn put(dmabuf: &OwnedFd, bytes: usize) -> Result<Self> {
        let last = bytes.checked_sub(MARK.len());
        let last = last.context("a picture that is smaller than a mark")?;
        let memory = Mapping::new(dmabuf.try_clone()?, bytes)?;
        memory.write_at(last, &MARK)?;
        memory.write(&MARK)?;
        Ok(Self { memory, last })
    }

    /// Whether the device has begun to write. Does not wait for it, as an access by the rules would.
    pub fn has_begun(&self) -> Result<bool> {
        self.is_gone(0)
    }

    /// Whether it has written the last bytes.
    pub fn has_ended(&self) -> Result<bool> {
        self.is_gone(self.last)
    }

    fn is_gone(&self, offset: usize) -> Result<bool> {
        Ok(self.memory.peek(offset, MARK.len())? != MARK)
    }
}
