// SPDX-License-Identifier: GPL-2.0-only

//! The display: vkms, with one plane.
//!
//! The checksum of each frame ([`crate::crc`]) says what was scanned out. The writeback
//! connector, which is the only one in use, says it in pixels, but not for the flip itself: in vkms
//! of 6.12, a writeback is composed half set up (a WARNING in vkms_composer.c) if it comes with a
//! vertical blank, and a commit that waits for a fence cannot choose the time. So [`Display::snapshot`]
//! takes the pixels just after a vertical blank, and the checksum has to be that of the flip.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::rc::Rc;

use anyhow::{bail, ensure, Context, Result};
use drm::control::connector::Interface;
use drm::control::{atomic::AtomicModeReq, property, AtomicCommitFlags, Event};
use drm::control::{connector, crtc, plane, Device as _, PlaneType, ResourceHandle};
use drm::{Device as _, VblankWaitFlags, VblankWaitTarget};

use crate::card::{Card, DRIVER};
use crate::clock::{self, Ns, MS};
use crate::crc::Checksums;
use crate::framebuffer::{Framebuffer, Target};
use crate::hint;
use crate::picture::{Layout, Picture, Size};
use crate::poll;
use crate::poll::Woken;

/// How long a vertical blank or a writeback may take.
const PATIENCE_MS: u64 = 10_000;

/// `struct drm_mode_modeinfo`, with the times of a mode that no monitor needs to understand.
#[derive(Debug, Default)]
#[repr(C)]
struct ModeInfo {
    clock: u32,
    horizontal: [u16; 5],
    vertical: [u16; 5],
    vrefresh: u32,
    flags: u32,
    kind: u32,
    name: [u8; 32],
}

impl ModeInfo {
    fn of(size: Size, refresh: u32) -> Result<Self> {
        let times = |visible: u32| -> Result<[u16; 5]> {
            let visible = u16::try_from(visible).context("too large for a display")?;
            Ok([visible, visible + 8, visible + 16, visible + 32, 0])
        };
        let (horizontal, vertical) = (times(size.width)?, times(size.height)?);
        let total = u32::from(horizontal[3]) * u32::from(vertical[3]);
        Ok(Self {
            clock: total * refresh / 1000,
            horizontal,
            vertical,
            vrefresh: refresh,
            ..Self::default()
        })
    }
}

/// A DRM object and its properties by name.
#[derive(Debug)]
struct Object<H> {
    handle: H,
    properties: HashMap<String, property::Handle>,
}

impl<H: ResourceHandle> Object<H> {
    fn of(card: &Card, handle: H) -> Result<Self> {
        let properties = card.get_properties(handle)?.as_hashmap(card)?;
        let properties = properties
            .into_iter()
            .map(|(name, info)| (name, info.handle()));
        Ok(Self {
            handle,
            properties: properties.collect(),
        })
    }

    fn property(&self, name: &str) -> Result<property::Handle> {
        let property = self.properties.get(name).copied();
        property.with_context(|| format!("the display has no property {name}"))
    }

    fn set(&self, request: &mut AtomicModeReq, name: &str, value: u64) -> Result<()> {
        request.add_raw_property(self.handle.into(), self.property(name)?, value);
        Ok(())
    }
}

/// What the display says of a flip.
#[derive(Clone, Copy, Debug)]
pub struct FlipEvent {
    /// The number of the vertical blank.
    pub frame: u32,
    /// Its time.
    pub at_ns: Ns,
}

/// A flip that happened.
#[derive(Clone, Copy, Debug)]
pub struct Flipped {
    /// When its event was there.
    pub woken: Option<Woken>,
    /// The event's own time, which is that of the vertical blank.
    pub at_ns: Ns,
    /// The checksum of what was scanned out then.
    pub crc: u32,
    /// When that was known: after the picture was scanned out.
    pub scanned_out_ns: Ns,
}

/// The display, switched on.
#[derive(Debug)]
pub struct Display {
    card: Rc<Card>,
    crtc: Object<crtc::Handle>,
    plane: Object<plane::Handle>,
    connector: Object<connector::Handle>,
    target: Target,
    size: Size,
    checksums: Option<Checksums>,
}

impl Display {
    /// Switches vkms on, with a black picture. A machine that is slow to compose needs few vertical
    /// blanks per second.
    pub fn open(size: Size, refresh: u32) -> Result<Self> {
        let mut display = Self::without_checksums(size, refresh)?;
        display.checksums = Some(Checksums::open(display.card.number)?);
        Ok(display)
    }

    /// The same, without the checksums of what is scanned out.
    pub fn without_checksums(size: Size, refresh: u32) -> Result<Self> {
        let card = Rc::new(Card::open()?);
        let resources = card.resource_handles().context("the display's resources")?;
        let crtc = *resources
            .crtcs()
            .first()
            .context("a display without a CRTC")?;
        let display = Self {
            crtc: Object::of(&card, crtc)?,
            plane: Object::of(&card, primary_plane(&card)?)?,
            connector: Object::of(&card, writeback_connector(&card)?)?,
            target: Target::new(&card, size)?,
            size,
            card,
            checksums: None,
        };
        display
            .switch_on(refresh)
            .context("cannot switch the display on")?;
        Ok(display)
    }

    fn switch_on(&self, refresh: u32) -> Result<()> {
        let mode = ModeInfo::of(self.size, refresh)?;
        let mode = self.card.create_property_blob(&mode)?;
        let mut request = AtomicModeReq::new();
        let crtc = u64::from(u32::from(self.crtc.handle));
        // The console's connector and this one may not show the same.
        for &other in self.card.resource_handles()?.connectors() {
            if other != self.connector.handle {
                Object::of(&self.card, other)?.set(&mut request, "CRTC_ID", 0)?;
            }
        }
        self.connector.set(&mut request, "CRTC_ID", crtc)?;
        self.crtc.set(&mut request, "MODE_ID", mode.into())?;
        self.crtc.set(&mut request, "ACTIVE", 1)?;
        let (width, height) = (u64::from(self.size.width), u64::from(self.size.height));
        for (name, value) in [
            ("FB_ID", self.target.framebuffer.id()),
            ("CRTC_ID", crtc),
            ("SRC_X", 0),
            ("SRC_Y", 0),
            ("SRC_W", width << 16),
            ("SRC_H", height << 16),
            ("CRTC_X", 0),
            ("CRTC_Y", 0),
            ("CRTC_W", width),
            ("CRTC_H", height),
        ] {
            self.plane.set(&mut request, name, value)?;
        }
        self.card
            .atomic_commit(AtomicCommitFlags::ALLOW_MODESET, request)?;
        Ok(())
    }

    /// The number of the CRTC.
    pub fn crtc(&self) -> u32 {
        self.crtc.handle.into()
    }

    /// The number of the primary plane.
    pub fn plane(&self) -> u32 {
        self.plane.handle.into()
    }

    /// The number of a property of the CRTC.
    pub fn crtc_property(&self, name: &str) -> Result<u32> {
        Ok(self.crtc.property(name)?.into())
    }

    /// The number of a property of the plane.
    pub fn plane_property(&self, name: &str) -> Result<u32> {
        Ok(self.plane.property(name)?.into())
    }

    /// The number of the framebuffer that is shown at first.
    pub fn base(&self) -> u32 {
        self.target.framebuffer.id() as u32
    }

    /// Makes a framebuffer of an imported dma-buf with lines of `pitch` bytes.
    pub fn import(
        &self,
        dmabuf: BorrowedFd<'_>,
        layout: Layout,
        pitch: u32,
    ) -> Result<Framebuffer> {
        Framebuffer::import(&self.card, dmabuf, self.size, layout, pitch)
    }

    /// Puts a framebuffer on the plane, without waiting for anything.
    pub fn commit(&self, framebuffer: &Framebuffer) -> Result<()> {
        let mut request = AtomicModeReq::new();
        self.plane.set(&mut request, "FB_ID", framebuffer.id())?;
        let how = AtomicCommitFlags::NONBLOCK | AtomicCommitFlags::PAGE_FLIP_EVENT;
        self.card
            .atomic_commit(how, request)
            .context("atomic commit")
    }

    /// The same with explicit fences. The display shows the framebuffer when `wait` has ended, and
    /// does not look at the dma-buf's fences then. The fence that is given ends with the flip: from
    /// then on the framebuffer that was shown before may be written.
    pub fn commit_fenced(
        &self,
        framebuffer: &Framebuffer,
        wait: Option<BorrowedFd<'_>>,
    ) -> Result<OwnedFd> {
        let mut request = AtomicModeReq::new();
        self.plane.set(&mut request, "FB_ID", framebuffer.id())?;
        if let Some(wait) = wait {
            // Not negative, so that it is the same as the property's signed number.
            let fence = u64::try_from(wait.as_raw_fd())?;
            self.plane.set(&mut request, "IN_FENCE_FD", fence)?;
        }
        let how = AtomicCommitFlags::NONBLOCK | AtomicCommitFlags::PAGE_FLIP_EVENT;
        self.commit_for_fence(request, how, (&self.crtc, "OUT_FENCE_PTR"))
            .context("atomic commit with fences")
    }

    /// Commits, and takes the fence that is written to where a property of an object points.
    fn commit_for_fence<H: ResourceHandle>(
        &self,
        mut request: AtomicModeReq,
        how: AtomicCommitFlags,
        (object, property): (&Object<H>, &str),
    ) -> Result<OwnedFd> {
        let mut fence = -1_i32;
        let address = (&raw mut fence).expose_provenance() as u64;
        object.set(&mut request, property, address)?;
        self.card.atomic_commit(how, request)?;
        // SAFETY: the variable lives; the kernel wrote to it through the address in the commit.
        let fence = unsafe { (&raw const fence).read_volatile() };
        ensure!(fence >= 0, "the display gave no fence: {property}");
        // SAFETY: the commit succeeded, so this is a new descriptor that nothing else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(fence) })
    }

    /// Waits until the commit has taken effect and its picture was scanned out.
    pub fn wait_flip(&mut self, limit: Ns) -> Result<Flipped> {
        let woken = poll::wait(self.card.as_fd(), limit)?;
        ensure!(woken.is_some(), "the flip did not happen");
        let event = self.flip_event()?;
        let crc = self.checksum(event.frame, limit)?;
        Ok(Flipped {
            woken,
            at_ns: event.at_ns,
            crc,
            scanned_out_ns: clock::now(),
        })
    }

    /// The checksum of what is scanned out from this vertical blank on: there must be no commit before
    /// it is known, since vkms may leave vertical blanks out.
    pub fn checksum(&mut self, frame: u32, limit: Ns) -> Result<u32> {
        let checksums = self.checksums.as_mut();
        let checksums = checksums.context("a display without checksums, or after its snapshot")?;
        checksums.wait(frame, limit)
    }

    /// Reads the event of a flip, which is there when the display's node is readable.
    pub fn flip_event(&self) -> Result<FlipEvent> {
        let mut events = self.card.receive_events().context("the display's events")?;
        let flip = events.find_map(|event| match event {
            Event::PageFlip(flip) => Some(flip),
            _ => None,
        });
        let flip = flip.context("the display had an event, but not that of the flip")?;
        Ok(FlipEvent {
            frame: flip.frame,
            // The crate calls the time of the event its duration.
            at_ns: u64::try_from(flip.duration.as_nanos()).unwrap_or(u64::MAX),
        })
    }

    /// What the display shows now, in pixels. After it there are no more checksums, since vkms stops
    /// composing at the end of a writeback.
    pub fn snapshot(&mut self) -> Result<Picture> {
        self.checksums = None;
        self.target.clear(&self.card)?;
        let mut request = AtomicModeReq::new();
        let target = self.target.framebuffer.id();
        self.connector
            .set(&mut request, "WRITEBACK_FB_ID", target)?;
        self.wait_vblank();
        let (how, of) = (AtomicCommitFlags::empty(), &self.connector);
        let written = self
            .commit_for_fence(request, how, (of, "WRITEBACK_OUT_FENCE_PTR"))
            .context("atomic commit of a writeback")?;
        let limit = clock::now() + PATIENCE_MS * MS;
        let woken = poll::wait(written.as_fd(), limit)?;
        ensure!(woken.is_some(), "the display did not write back");
        self.target.read(&self.card)
    }

    /// Returns just after a vertical blank.
    fn wait_vblank(&self) {
        let next = VblankWaitTarget::Relative(1);
        // Without it, it only gets more likely that vkms trips.
        let _ = self.card.wait_vblank(next, VblankWaitFlags::empty(), 0, 0);
    }

    fn switch_off(&self) -> Result<()> {
        let mut request = AtomicModeReq::new();
        self.crtc.set(&mut request, "ACTIVE", 0)?;
        // vkms of 6.12 cancels its timer with locks held that the timer takes: both wait for ever
        // if this comes with a vertical blank. It also does so some seconds after the last user
        // of vertical blanks, so the checksums go last.
        self.wait_vblank();
        self.card
            .atomic_commit(AtomicCommitFlags::ALLOW_MODESET, request)
            .context("cannot switch the display off")
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Err(err) = self.switch_off() {
            hint::warn(&format!("{err:#}"));
        }
    }
}

impl AsFd for Display {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.card.as_fd()
    }
}

fn primary_plane(card: &Card) -> Result<plane::Handle> {
    for handle in card.plane_handles().context("the display's planes")? {
        for (&property, &value) in &card.get_properties(handle)? {
            let is_type = card.get_property(property)?.name().to_bytes() == b"type";
            if is_type && value == u64::from(PlaneType::Primary as u32) {
                return Ok(handle);
            }
        }
    }
    bail!("a display without a primary plane");
}

fn writeback_connector(card: &Card) -> Result<connector::Handle> {
    let resources = card.resource_handles()?;
    for &handle in resources.connectors() {
        if card.get_connector(handle, false)?.interface() == Interface::Writeback {
            return Ok(handle);
        }
    }
    bail!("{DRIVER} has no writeback connector: load it with enable_writeback=1");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mode_is_the_kernels() {
        assert_eq!(size_of::<ModeInfo>(), 68);
        let mode = Size::new(128, 96);
        let mode = ModeInfo::of(mode, 50);
        let mode = mode.unwrap();
        assert_eq!(mode.clock, 1024);
        assert_eq!(mode.horizontal, [128, 136, 144, 160, 0]);
        let huge = Size::new(70_000, 10);
        assert!(ModeInfo::of(huge, 50).is_err());
    }
}
