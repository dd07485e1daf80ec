// SPDX-License-Identifier: GPL-2.0-only

//! vgem: buffers that are on no device, or imported, with fences that a program signals itself.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use drm::buffer::{Buffer as _, DrmFourcc, Handle};
use drm::control::Device as _;
use rustix::ioctl::{opcode, Opcode, Setter, Updater};

use crate::card::Card;
use crate::dmabuf::{self, Access};

/// The driver's name.
const DRIVER: &str = "vgem";

/// Width and height of a buffer, of which nothing is used but its fences.
const SIZE: (u32, u32) = (64, 64);

/// `struct drm_vgem_fence_attach`.
#[derive(Debug, Default)]
#[repr(C)]
struct Attach {
    handle: u32,
    flags: u32,
    out_fence: u32,
    pad: u32,
}

/// `struct drm_vgem_fence_signal`.
#[derive(Debug)]
#[repr(C)]
struct Signal {
    fence: u32,
    flags: u32,
}

/// `VGEM_FENCE_WRITE`.
const WRITE: u32 = 1;
/// `DRM_IOCTL_VGEM_FENCE_ATTACH`.
const ATTACH: Opcode = opcode::read_write::<Attach>(b'd', 0x41);
/// `DRM_IOCTL_VGEM_FENCE_SIGNAL`.
const SIGNAL: Opcode = opcode::write::<Signal>(b'd', 0x42);

/// Whether there is a node of vgem that can be opened.
pub fn is_there() -> bool {
    Card::of_driver(DRIVER).is_ok()
}

/// A buffer with a fence that is pending until we signal it. vgem does so itself, with an error,
/// after 10 s, and when this is dropped.
#[derive(Debug)]
pub struct Fenced {
    card: Card,
    memory: Handle,
    fence: u32,
}

impl Fenced {
    /// A new buffer with the fence of a writer.
    pub fn new() -> Result<Self> {
        let card = Card::of_driver(DRIVER)?;
        let memory = card
            .create_dumb_buffer(SIZE, DrmFourcc::Xrgb8888, 32)
            .context("a buffer of vgem")?;
        Self::attach(card, memory.handle(), Access::Write)
    }

    /// A dma-buf, which vgem imports, with the fence of that access, as a GPU's driver adds one when
    /// it is given a job.
    pub fn import(dmabuf: BorrowedFd<'_>, access: Access) -> Result<Self> {
        let card = Card::of_driver(DRIVER)?;
        let memory = card.prime_fd_to_buffer(dmabuf);
        let memory = memory.context("vgem does not import the dma-buf")?;
        Self::attach(card, memory, access)
    }

    fn attach(card: Card, memory: Handle, access: Access) -> Result<Self> {
        let mut arg = Attach {
            handle: memory.into(),
            flags: if access == Access::Write { WRITE } else { 0 },
            ..Attach::default()
        };
        // SAFETY: the opcode is DRM_IOCTL_VGEM_FENCE_ATTACH, `Attach` has its structure's layout.
        let request = unsafe { Updater::<ATTACH, Attach>::new(&mut arg) };
        // SAFETY: the request reads and writes `arg` only.
        unsafe { rustix::ioctl::ioctl(card.as_fd(), request) }.context("a fence of vgem")?;
        Ok(Self {
            card,
            memory,
            fence: arg.out_fence,
        })
    }

    /// The fence as a sync_file.
    pub fn sync_file(&self) -> Result<OwnedFd> {
        let flags = rustix::fs::OFlags::CLOEXEC.bits();
        let dmabuf = self.card.buffer_to_prime_fd(self.memory, flags);
        dmabuf::export_read_sync_file(dmabuf.context("a dma-buf of vgem")?)
    }

    /// Signals it.
    pub fn signal(&self) -> Result<()> {
        let arg = Signal {
            fence: self.fence,
            flags: 0,
        };
        // SAFETY: the opcode is DRM_IOCTL_VGEM_FENCE_SIGNAL, `Signal` has its structure's layout.
        let request = unsafe { Setter::<SIGNAL, Signal>::new(arg) };
        // SAFETY: the request reads its own argument only.
        unsafe { rustix::ioctl::ioctl(self.card.as_fd(), request) }
            .context("DRM_IOCTL_VGEM_FENCE_SIGNAL")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opcodes_are_the_kernels() {
        assert_eq!(ATTACH, 0xc010_6441);
        assert_eq!(SIGNAL, 0x4008_6442);
    }
}
