// SPDX-License-Identifier: GPL-2.0-only

//! A dma-buf's memory, for the processor.

use std::ffi::c_void;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

use anyhow::{ensure, Context, Result};
use rustix::mm::{mmap, munmap, MapFlags, ProtFlags};

use crate::dmabuf::{begin, end, Access};
use crate::hint;

/// A dma-buf that is mapped. The device and others write to the same memory, so it is only copied
/// from and to, never lent out.
#[derive(Debug)]
pub struct Mapping {
    dmabuf: OwnedFd,
    start: NonNull<c_void>,
    len: usize,
}

// SAFETY: a mapping belongs to the process, not to the thread that made it; it is not `Sync`, so
// there is one user at a time.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps the first `len` bytes of a dma-buf.
    pub fn new(dmabuf: OwnedFd, len: usize) -> Result<Self> {
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: without an address of ours, the new mapping covers nothing that is in use.
        let start = unsafe {
            mmap(
                std::ptr::null_mut(),
                len,
                prot,
                MapFlags::SHARED,
                &dmabuf,
                0,
            )
        }
        .with_context(|| format!("cannot map {len} bytes of a dma-buf"))?;
        let start = NonNull::new(start).context("mapped at address 0")?;
        Ok(Self { dmabuf, start, len })
    }

    /// Writes `bytes` at the start, and gets the memory ready for devices.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        self.write_at(0, bytes)
    }

    /// The same from byte `offset` on.
    pub fn write_at(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        let to = self.at(offset, bytes.len())?;
        begin(self.as_fd(), Access::Write)?;
        // SAFETY: `to` is the start of as many mapped bytes, which no reference points to.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        end(self.as_fd(), Access::Write)
    }

    /// Reads the first `len` bytes.
    pub fn read(&self, len: usize) -> Result<Vec<u8>> {
        self.at(0, len)?;
        begin(self.as_fd(), Access::Read)?;
        let bytes = self.peek(0, len)?;
        end(self.as_fd(), Access::Read)?;
        Ok(bytes)
    }

    /// Reads `len` bytes from byte `offset` on as they are now, without waiting for a device that
    /// writes them.
    pub fn peek(&self, offset: usize, len: usize) -> Result<Vec<u8>> {
        let from = self.at(offset, len)?;
        let mut bytes = vec![0; len];
        // SAFETY: `from` is the start of `len` mapped bytes, `bytes` has as many.
        unsafe { std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), len) };
        Ok(bytes)
    }

    /// Where `len` mapped bytes begin, `offset` behind the start.
    fn at(&self, offset: usize, len: usize) -> Result<*mut u8> {
        let end = offset.checked_add(len);
        ensure!(
            end.is_some_and(|end| end <= self.len),
            "more bytes than the buffer has"
        );
        Ok(self.start.as_ptr().cast::<u8>().wrapping_add(offset))
    }
}

impl AsFd for Mapping {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dmabuf.as_fd()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `new` made, and nothing points into it.
        if let Err(err) = unsafe { munmap(self.start.as_ptr(), self.len) } {
            hint::warn(&format!("munmap of a dma-buf: {err}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory that can be mapped, but is no dma-buf.
    #[test]
    fn only_dmabufs_are_written_and_read() {
        let flags = rustix::fs::MemfdFlags::CLOEXEC;
        let memory = rustix::fs::memfd_create("uapi-test", flags).unwrap();
        rustix::fs::ftruncate(&memory, 4096).unwrap();
        assert!(Mapping::new(memory.try_clone().unwrap(), 0).is_err());
        let map = Mapping::new(memory, 4096).unwrap();
        let message = |err: anyhow::Error| format!("{err:#}");
        let long = map.write(&[0; 4097]).unwrap_err();
        assert!(message(long).contains("more bytes"));
        assert!(message(map.read(4097).unwrap_err()).contains("more bytes"));
        let other = map.write(&[1]).unwrap_err();
        assert!(message(other).contains("DMA_BUF_IOCTL_SYNC"));
        assert_eq!(map.peek(4094, 2).unwrap(), [0, 0]);
        for (offset, len) in [(4095, 2), (usize::MAX, 2), (0, 4097)] {
            let outside = map.peek(offset, len).unwrap_err();
            assert!(message(outside).contains("more bytes"));
        }
    }
}
