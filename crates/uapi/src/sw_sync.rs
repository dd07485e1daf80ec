// SPDX-License-Identifier: GPL-2.0-only

//! sw_sync: fences that a program signals itself, for tests.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::ioctl::{opcode, Opcode, Setter, Updater};

/// Where fences of our own come from.
const SW_SYNC: &str = "/sys/kernel/debug/sync/sw_sync";

/// `struct sw_sync_create_fence_data`.
#[derive(Debug, Default)]
#[repr(C)]
struct CreateFence {
    value: u32,
    name: [u8; 32],
    fence: i32,
}

/// `SW_SYNC_IOC_CREATE_FENCE`.
const CREATE_FENCE: Opcode = opcode::read_write::<CreateFence>(b'W', 0);
/// `SW_SYNC_IOC_INC`.
const INC: Opcode = opcode::write::<u32>(b'W', 1);

/// A timeline of our own: a fence on it is signalled when we say so, or, with an error, when it is
/// dropped.
#[derive(Debug)]
pub struct Timeline(File);

impl Timeline {
    /// A new one, at 0.
    pub fn new() -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(SW_SYNC);
        let file = file.with_context(|| {
            format!("cannot open {SW_SYNC}: it needs CONFIG_SW_SYNC=y, debugfs, and root")
        })?;
        Ok(Self(file))
    }

    /// A fence for the next point.
    pub fn fence(&self) -> Result<OwnedFd> {
        let mut arg = CreateFence {
            value: 1,
            fence: -1,
            ..CreateFence::default()
        };
        // SAFETY: the opcode is SW_SYNC_IOC_CREATE_FENCE, `CreateFence` has its structure's layout.
        let request = unsafe { Updater::<CREATE_FENCE, CreateFence>::new(&mut arg) };
        // SAFETY: the request reads and writes `arg` only, and makes a new descriptor.
        unsafe { rustix::ioctl::ioctl(self.0.as_fd(), request) }.context("a fence of sw_sync")?;
        // SAFETY: the ioctl succeeded, so this is a new descriptor that nothing else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(arg.fence) })
    }

    /// Goes to the next point, which signals its fence.
    pub fn advance(&self) -> Result<()> {
        // SAFETY: the opcode is SW_SYNC_IOC_INC, whose argument is 32 bits.
        let request = unsafe { Setter::<INC, u32>::new(1) };
        // SAFETY: the request reads its own argument only.
        unsafe { rustix::ioctl::ioctl(self.0.as_fd(), request) }.context("SW_SYNC_IOC_INC")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opcodes_are_the_kernels() {
        assert_eq!(CREATE_FENCE, 0xc028_5700);
        assert_eq!(INC, 0x4004_5701);
    }
}
