// SPDX-License-Identifier: GPL-2.0-only

//! The system dma-heap (<linux/dma-heap.h>): buffers that belong to no device.

use std::fs::File;
use std::os::fd::{FromRawFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::ioctl::{opcode, Opcode, Updater};

/// The heap's node.
const SYSTEM_HEAP: &str = "/dev/dma_heap/system";

/// `struct dma_heap_allocation_data`.
#[derive(Debug)]
#[repr(C)]
struct AllocationData {
    len: u64,
    fd: u32,
    fd_flags: u32,
    heap_flags: u64,
}

/// `DMA_HEAP_IOCTL_ALLOC`.
const ALLOC: Opcode = opcode::read_write::<AllocationData>(b'H', 0);

/// The system heap, open.
#[derive(Debug)]
pub struct SystemHeap(File);

impl SystemHeap {
    /// Opens the heap's node.
    pub fn open() -> Result<Self> {
        let file = File::open(SYSTEM_HEAP).with_context(|| {
            format!(
                "cannot open {SYSTEM_HEAP}: run as root, on a kernel with CONFIG_DMABUF_HEAPS_SYSTEM=y"
            )
        })?;
        Ok(Self(file))
    }

    /// Allocates a dma-buf of at least `len` bytes.
    pub fn allocate(&self, len: usize) -> Result<OwnedFd> {
        let mut arg = AllocationData {
            len: len as u64,
            fd: 0,
            fd_flags: (rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC).bits(),
            heap_flags: 0,
        };
        // SAFETY: the opcode is DMA_HEAP_IOCTL_ALLOC, and `AllocationData` has the layout of the
        // structure that the kernel expects for it.
        let request = unsafe { Updater::<ALLOC, AllocationData>::new(&mut arg) };
        // SAFETY: the request reads and writes `arg` only, and makes a new descriptor.
        unsafe { rustix::ioctl::ioctl(&self.0, request) }
            .with_context(|| format!("cannot allocate {len} bytes from {SYSTEM_HEAP}"))?;
        let fd = i32::try_from(arg.fd).context("the heap gave no descriptor")?;
        // SAFETY: the ioctl succeeded, so `fd` is a new descriptor that nothing else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opcode_is_the_kernels() {
        assert_eq!(ALLOC, 0xc018_4800);
    }
}
