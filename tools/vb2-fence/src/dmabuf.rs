// SPDX-License-Identifier: GPL-2.0-only

//! The ioctl of <linux/dma-buf.h> that hands out the fences of a dma-buf.

use std::os::fd::{AsFd, FromRawFd, OwnedFd};

use rustix::ioctl::{opcode, Opcode, Updater};

/// `struct dma_buf_export_sync_file`.
#[derive(Debug)]
#[repr(C)]
struct ExportSyncFile {
    flags: u32,
    fd: i32,
}

/// `DMA_BUF_SYNC_READ`: the fences that a reader has to wait for, as for poll(POLLIN).
const SYNC_READ: u32 = 1 << 0;

/// `DMA_BUF_IOCTL_EXPORT_SYNC_FILE`.
const EXPORT_SYNC_FILE: Opcode = opcode::read_write::<ExportSyncFile>(b'b', 2);

/// Takes the fences that a reader of the dma-buf has to wait for, as they are now, as a sync_file.
///
/// Without any the kernel gives one that has been signalled from the start, called "stub".
pub fn export_read_sync_file(dmabuf: impl AsFd) -> rustix::io::Result<OwnedFd> {
    let mut arg = ExportSyncFile {
        flags: SYNC_READ,
        fd: -1,
    };
    // SAFETY: the opcode is DMA_BUF_IOCTL_EXPORT_SYNC_FILE, and `ExportSyncFile` has the layout of
    // the structure that the kernel expects for it.
    let request = unsafe { Updater::<EXPORT_SYNC_FILE, ExportSyncFile>::new(&mut arg) };
    // SAFETY: the request reads and writes `arg` only, and makes a new descriptor. A descriptor of
    // another kind than a dma-buf answers ENOTTY.
    unsafe { rustix::ioctl::ioctl(dmabuf, request) }?;
    // SAFETY: the ioctl succeeded, so `fd` is a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(arg.fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opcode_is_the_kernels() {
        assert_eq!(EXPORT_SYNC_FILE, 0xc008_6202);
    }

    #[test]
    fn other_files_are_refused() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(
            export_read_sync_file(file).unwrap_err(),
            rustix::io::Errno::NOTTY
        );
    }
}
