// SPDX-License-Identifier: GPL-2.0-only

//! dma-heaps (<linux/dma-heap.h>): buffers that belong to no device.

use std::fs::File;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::ioctl::{opcode, Opcode, Updater};

/// Where the heaps' nodes are.
const HEAPS: &str = "/dev/dma_heap";

/// The heap that every machine has.
pub const SYSTEM: &str = "system";

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

/// A heap, open.
#[derive(Debug)]
pub struct Heap {
    file: File,
    path: PathBuf,
}

impl Heap {
    /// Opens the system heap.
    pub fn system() -> Result<Self> {
        Self::named(SYSTEM)
    }

    /// Opens a heap by its name.
    pub fn named(name: &str) -> Result<Self> {
        let path = Path::new(HEAPS).join(name);
        let file = File::open(&path).with_context(|| {
            let path = path.display();
            match name {
                SYSTEM => format!(
                    "cannot open {path}: run as root, on a kernel with CONFIG_DMABUF_HEAPS_SYSTEM=y"
                ),
                _ => format!("cannot open {path}: run as root; ls {HEAPS} shows the heaps"),
            }
        })?;
        Ok(Self { file, path })
    }

    /// The heap's node.
    pub fn path(&self) -> &Path {
        &self.path
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
        unsafe { rustix::ioctl::ioctl(&self.file, request) }
            .with_context(|| format!("cannot allocate {len} bytes from {}", self.path.display()))?;
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
