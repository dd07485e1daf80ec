// SPDX-License-Identifier: GPL-2.0-only

//! A dma-buf's memory, for the processor.

use std::ffi::c_void;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use anyhow::{ensure, Context, Result};
use rustix::io::Errno;
use rustix::ioctl::{opcode, Opcode, Setter};
use rustix::mm::{mmap, munmap, MapFlags, ProtFlags};

/// `struct dma_buf_sync`.
#[derive(Debug)]
#[repr(C)]
struct DmaBufSync {
    flags: u64,
}

/// `DMA_BUF_IOCTL_SYNC`.
const SYNC: Opcode = opcode::write::<DmaBufSync>(b'b', 0);

/// What the processor does between the two ends of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It reads, and waits for who writes.
    Read = 1,
    /// It writes, and waits for readers, too.
    Write = 2,
}

/// Begins an access: waits for the fences that are in its way.
pub fn begin(dmabuf: BorrowedFd<'_>, access: Access) -> rustix::io::Result<()> {
    sync(dmabuf, access as u64)
}

/// Ends an access.
pub fn end(dmabuf: BorrowedFd<'_>, access: Access) -> rustix::io::Result<()> {
    const END: u64 = 1 << 2;
    sync(dmabuf, END | access as u64)
}

fn sync(dmabuf: BorrowedFd<'_>, flags: u64) -> rustix::io::Result<()> {
    loop {
        // SAFETY: the opcode is DMA_BUF_IOCTL_SYNC, and `DmaBufSync` has the layout of the
        // structure that the kernel reads for it.
        let request = unsafe { Setter::<SYNC, DmaBufSync>::new(DmaBufSync { flags }) };
        // SAFETY: the request reads its own argument only.
        match unsafe { rustix::ioctl::ioctl(dmabuf, request) } {
            Err(Errno::INTR | Errno::AGAIN) => {}
            other => return other,
        }
    }
}

/// The mapping. The device and others write to the same memory, so it is only copied from and to,
/// never lent out.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<c_void>,
    len: usize,
}

impl Mapping {
    /// Maps the first `len` bytes of a dma-buf.
    pub fn new(dmabuf: BorrowedFd<'_>, len: usize) -> Result<Self> {
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: without an address of ours, the new mapping covers nothing that is in use.
        let start = unsafe { mmap(std::ptr::null_mut(), len, prot, MapFlags::SHARED, dmabuf, 0) }
            .with_context(|| format!("cannot map {len} bytes of a dma-buf"))?;
        let start = NonNull::new(start).context("mapped at address 0")?;
        Ok(Self { start, len })
    }

    /// Writes `bytes` at the start, and gets the memory ready for devices.
    pub fn write(&self, dmabuf: BorrowedFd<'_>, bytes: &[u8]) -> Result<()> {
        ensure!(bytes.len() <= self.len, "more bytes than the buffer has");
        begin(dmabuf, Access::Write).context("DMA_BUF_IOCTL_SYNC")?;
        let to = self.start.as_ptr().cast::<u8>();
        // SAFETY: `to` is the start of `len` mapped bytes, which no reference points to, and
        // `bytes` are not more.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        end(dmabuf, Access::Write).context("DMA_BUF_IOCTL_SYNC")
    }

    /// Reads the first `len` bytes.
    pub fn read(&self, dmabuf: BorrowedFd<'_>, len: usize) -> Result<Vec<u8>> {
        ensure!(len <= self.len, "more bytes than the buffer has");
        let mut bytes = vec![0; len];
        begin(dmabuf, Access::Read).context("DMA_BUF_IOCTL_SYNC")?;
        let from = self.start.as_ptr().cast::<u8>();
        // SAFETY: `from` is the start of at least `len` mapped bytes, `bytes` has as many.
        unsafe { std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), len) };
        end(dmabuf, Access::Read).context("DMA_BUF_IOCTL_SYNC")?;
        Ok(bytes)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `new` made, and nothing points into it.
        if let Err(err) = unsafe { munmap(self.start.as_ptr(), self.len) } {
            eprintln!("vb2-fence: munmap: {err}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn opcode_is_the_kernels() {
        assert_eq!(SYNC, 0x4008_6200);
    }

    #[test]
    fn other_files_are_refused() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(begin(file.as_fd(), Access::Read), Err(Errno::NOTTY));
    }
}
