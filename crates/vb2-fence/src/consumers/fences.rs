// SPDX-License-Identifier: GPL-2.0-only

//! Fences that go in and out of dma-bufs, and fences of our own (sw_sync).

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::ioctl::{opcode, Opcode, Setter, Updater};

use uapi::dmabuf::{self, Access};
use uapi::sync_file;
use uapi::sync_file::SyncInfo;

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

/// Takes what stands in the way of an access, as it is now.
pub fn export(dmabuf: BorrowedFd<'_>, access: Access) -> Result<OwnedFd> {
    dmabuf::export_sync_file(dmabuf, access).context("EXPORT_SYNC_FILE")
}

/// Adds a fence to a dma-buf, as that of an access.
pub fn import(dmabuf: BorrowedFd<'_>, access: Access, fence: BorrowedFd<'_>) -> Result<()> {
    dmabuf::import_sync_file(dmabuf, access, fence).context("IMPORT_SYNC_FILE")
}

/// Makes one sync_file of two.
pub fn merge(one: BorrowedFd<'_>, two: BorrowedFd<'_>) -> Result<OwnedFd> {
    sync_file::merge(one, two).context("SYNC_IOC_MERGE")
}

/// What is known of a sync_file.
pub fn info(fence: &OwnedFd) -> Result<SyncInfo> {
    sync_file::info(fence).context("SYNC_IOC_FILE_INFO")
}

/// Whether poll() says all of `flags` now.
pub fn polls(fd: BorrowedFd<'_>, flags: PollFlags) -> Result<bool> {
    let mut fds = [PollFd::from_borrowed_fd(fd, flags)];
    let now = Timespec::default();
    rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, Some(&now))).context("poll")?;
    Ok(fds[0].revents().contains(flags))
}

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

    #[test]
    fn other_files_are_refused() {
        let file = File::open("/dev/null").unwrap();
        assert!(export(file.as_fd(), Access::Read).is_err());
        assert!(import(file.as_fd(), Access::Write, file.as_fd()).is_err());
        assert!(merge(file.as_fd(), file.as_fd()).is_err());
        assert!(polls(file.as_fd(), PollFlags::IN).unwrap());
    }
}
