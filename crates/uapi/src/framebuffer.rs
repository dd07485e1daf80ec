// SPDX-License-Identifier: GPL-2.0-only

//! Framebuffers: those of imported dma-bufs, and those that the display writes to.

use std::cell::RefCell;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use anyhow::{Context, Result};
use drm::buffer::{Buffer as _, DrmFourcc, DrmModifier, Handle, PlanarBuffer};
use drm::control::dumbbuffer::DumbBuffer;
use drm::control::{framebuffer, Device as _, FbCmd2Flags};

use crate::card::Card;
use crate::picture::{Layout, Picture, Size, UNWRITTEN};

/// What a buffer looks like to the display.
struct Described {
    handle: Handle,
    size: Size,
    format: DrmFourcc,
    pitch: u32,
}

impl PlanarBuffer for Described {
    fn size(&self) -> (u32, u32) {
        (self.size.width, self.size.height)
    }
    fn format(&self) -> DrmFourcc {
        self.format
    }
    fn modifier(&self) -> Option<DrmModifier> {
        None
    }
    fn pitches(&self) -> [u32; 4] {
        [self.pitch, 0, 0, 0]
    }
    fn handles(&self) -> [Option<Handle>; 4] {
        [Some(self.handle), None, None, None]
    }
    fn offsets(&self) -> [u32; 4] {
        [0; 4]
    }
}

/// A framebuffer and the memory behind it.
#[derive(Debug)]
pub struct Framebuffer {
    card: Rc<Card>,
    handle: framebuffer::Handle,
    memory: Handle,
}

impl Framebuffer {
    /// Of a dma-buf: PRIME_FD_TO_HANDLE, ADDFB2.
    pub fn import(
        card: &Rc<Card>,
        dmabuf: BorrowedFd<'_>,
        size: Size,
        layout: Layout,
        pitch: u32,
    ) -> Result<Self> {
        let memory = card
            .prime_fd_to_buffer(dmabuf)
            .context("the display does not import the dma-buf")?;
        let format = match layout {
            Layout::Xrgb8888 => DrmFourcc::Xrgb8888,
            Layout::Rgb565 => DrmFourcc::Rgb565,
        };
        Self::add(card, memory, size, format, pitch)
    }

    fn add(
        card: &Rc<Card>,
        memory: Handle,
        size: Size,
        format: DrmFourcc,
        pitch: u32,
    ) -> Result<Self> {
        let described = Described {
            handle: memory,
            size,
            format,
            pitch,
        };
        let handle = card.add_planar_framebuffer(&described, FbCmd2Flags::empty());
        if handle.is_err() {
            let _ = card.close_buffer(memory);
        }
        Ok(Self {
            card: Rc::clone(card),
            handle: handle.with_context(|| format!("ADDFB2 {format}"))?,
            memory,
        })
    }

    /// Its number, as properties take it.
    pub fn id(&self) -> u64 {
        u32::from(self.handle).into()
    }
}

impl Drop for Framebuffer {
    fn drop(&mut self) {
        // The end of the file does the same for what fails here.
        let _ = self.card.destroy_framebuffer(self.handle);
        let _ = self.card.close_buffer(self.memory);
    }
}

/// A framebuffer in the display's own memory.
#[derive(Debug)]
pub struct Target {
    /// For the properties.
    pub framebuffer: Framebuffer,
    memory: RefCell<DumbBuffer>,
    size: Size,
}

impl Target {
    /// Allocates it; it is black.
    pub fn new(card: &Rc<Card>, size: Size) -> Result<Self> {
        let format = DrmFourcc::Xrgb8888;
        let memory = card
            .create_dumb_buffer((size.width, size.height), format, 32)
            .context("cannot allocate memory of the display")?;
        let framebuffer = Framebuffer::add(card, memory.handle(), size, format, memory.pitch())?;
        Ok(Self {
            framebuffer,
            memory: RefCell::new(memory),
            size,
        })
    }

    /// Makes it recognizable as not written.
    pub fn clear(&self, card: &Card) -> Result<()> {
        let mut memory = self.memory.borrow_mut();
        let mut map = card.map_dumb_buffer(&mut memory)?;
        for pixel in map.chunks_exact_mut(4) {
            pixel.copy_from_slice(&UNWRITTEN.to_le_bytes());
        }
        Ok(())
    }

    /// The picture in it.
    pub fn read(&self, card: &Card) -> Result<Picture> {
        let mut memory = self.memory.borrow_mut();
        let pitch = memory.pitch();
        let map = card.map_dumb_buffer(&mut memory)?;
        let layout = Layout::Xrgb8888;
        Ok(Picture::from_memory(self.size, layout, pitch, &map))
    }
}
