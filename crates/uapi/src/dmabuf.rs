// SPDX-License-Identifier: GPL-2.0-only

//! The ioctls of <linux/dma-buf.h>: fences that go in and out, and the processor's own accesses.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::ioctl::{opcode, Opcode, Setter, Updater};
use serde::Serialize;

/// How a consumer accesses a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// `DMA_BUF_SYNC_READ`: to read, which has to wait for writers, as poll(POLLIN) does.
    Read = 1,
    /// `DMA_BUF_SYNC_WRITE`: to write, which has to wait for readers, too.
    Write = 2,
}

/// `struct dma_buf_export_sync_file` and `struct dma_buf_import_sync_file`.
#[derive(Debug)]
#[repr(C)]
struct SyncFile {
    flags: u32,
    fd: i32,
}

/// `struct dma_buf_sync`.
#[derive(Debug)]
#[repr(C)]
struct Sync {
    flags: u64,
}

/// `DMA_BUF_SYNC_END`.
const SYNC_END: u64 = 1 << 2;

/// `DMA_BUF_IOCTL_SYNC`.
const SYNC: Opcode = opcode::write::<Sync>(b'b', 0);
/// `DMA_BUF_IOCTL_EXPORT_SYNC_FILE`.
const EXPORT_SYNC_FILE: Opcode = opcode::read_write::<SyncFile>(b'b', 2);
/// `DMA_BUF_IOCTL_IMPORT_SYNC_FILE`.
const IMPORT_SYNC_FILE: Opcode = opcode::write::<SyncFile>(b'b', 3);

/// Takes the fences that an access has to wait for, as they are now, as a sync_file.
///
/// Without any the kernel gives one that has been signalled from the start, called "stub".
pub fn export_sync_file(dmabuf: impl AsFd, access: Access) -> Result<OwnedFd> {
    let mut arg = SyncFile {
        flags: access as u32,
        fd: -1,
    };
    // SAFETY: the opcode is DMA_BUF_IOCTL_EXPORT_SYNC_FILE, and `SyncFile` has the layout of the
    // structure that the kernel expects for it.
    let request = unsafe { Updater::<EXPORT_SYNC_FILE, SyncFile>::new(&mut arg) };
    // SAFETY: the request reads and writes `arg` only, and makes a new descriptor. A descriptor of
    // another kind than a dma-buf answers ENOTTY.
    unsafe { rustix::ioctl::ioctl(dmabuf, request) }.context("EXPORT_SYNC_FILE")?;
    // SAFETY: the ioctl succeeded, so `fd` is a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(arg.fd) })
}

/// Takes the fences that a reader has to wait for.
pub fn export_read_sync_file(dmabuf: impl AsFd) -> Result<OwnedFd> {
    export_sync_file(dmabuf, Access::Read)
}

/// Adds a fence to a dma-buf, as that of an access.
pub fn import_sync_file(dmabuf: impl AsFd, access: Access, fence: BorrowedFd<'_>) -> Result<()> {
    let arg = SyncFile {
        flags: access as u32,
        fd: fence.as_raw_fd(),
    };
    // SAFETY: the opcode is DMA_BUF_IOCTL_IMPORT_SYNC_FILE, `SyncFile` has its structure's layout.
    let request = unsafe { Setter::<IMPORT_SYNC_FILE, SyncFile>::new(arg) };
    // SAFETY: the request reads its own argument only.
    unsafe { rustix::ioctl::ioctl(dmabuf, request) }.context("IMPORT_SYNC_FILE")
}

/// Begins an access of the processor: waits for the fences that are in its way.
pub fn begin(dmabuf: BorrowedFd<'_>, access: Access) -> Result<()> {
    sync(dmabuf, access as u64)
}

/// Ends an access of the processor.
pub fn end(dmabuf: BorrowedFd<'_>, access: Access) -> Result<()> {
    sync(dmabuf, SYNC_END | access as u64)
}

fn sync(dmabuf: BorrowedFd<'_>, flags: u64) -> Result<()> {
    loop {
        // SAFETY: the opcode is DMA_BUF_IOCTL_SYNC, and `Sync` has the layout of the structure that
        // the kernel reads for it.
        let request = unsafe { Setter::<SYNC, Sync>::new(Sync { flags }) };
        // SAFETY: the request reads its own argument only.
        match unsafe { rustix::ioctl::ioctl(dmabuf, request) } {
            Err(Errno::INTR | Errno::AGAIN) => {}
            other => return other.context("DMA_BUF_IOCTL_SYNC"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opcodes_are_the_kernels() {
        assert_eq!(SYNC, 0x4008_6200);
        assert_eq!(EXPORT_SYNC_FILE, 0xc008_6202);
        assert_eq!(IMPORT_SYNC_FILE, 0x4008_6203);
    }

    #[test]
    fn other_files_are_refused() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let fd = file.as_fd();
        let err = |result: Result<()>| format!("{:#}", result.unwrap_err());
        assert!(err(export_read_sync_file(fd).map(drop)).starts_with("EXPORT_SYNC_FILE: "));
        assert!(err(import_sync_file(fd, Access::Write, fd)).starts_with("IMPORT_SYNC_FILE: "));
        assert!(err(begin(fd, Access::Read)).starts_with("DMA_BUF_IOCTL_SYNC: "));
        assert!(err(end(fd, Access::Read)).starts_with("DMA_BUF_IOCTL_SYNC: "));
    }
}
