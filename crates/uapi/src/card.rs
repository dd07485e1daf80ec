// SPDX-License-Identifier: GPL-2.0-only

//! A DRM node.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{bail, Context, Result};
use drm::{ClientCapability, Device as _};

/// The driver of the display.
pub const DRIVER: &str = "vkms";

/// An open DRM node.
#[derive(Debug)]
pub struct Card {
    file: File,
    /// Its number: /dev/dri/cardN.
    pub number: u32,
}

impl AsFd for Card {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl drm::Device for Card {}
impl drm::control::Device for Card {}

impl Card {
    /// The first node of a driver.
    pub fn of_driver(driver: &str) -> Result<Self> {
        for number in 0..64 {
            let path = path(number);
            let Ok(file) = OpenOptions::new().read(true).write(true).open(&path) else {
                continue;
            };
            let card = Self { file, number };
            if card.get_driver().context(path)?.name() == driver {
                return Ok(card);
            }
        }
        bail!("no DRM node of {driver} that can be opened: modprobe {driver}, as root");
    }

    /// The first node of vkms, for atomic commits and writeback.
    pub fn open() -> Result<Self> {
        let card = Self::of_driver(DRIVER)?;
        for capability in [
            ClientCapability::UniversalPlanes,
            ClientCapability::Atomic,
            ClientCapability::WritebackConnectors,
        ] {
            card.set_client_capability(capability, true)
                .with_context(|| format!("{}: no {capability:?}", card.path()))?;
        }
        Ok(card)
    }

    /// Where it is.
    pub fn path(&self) -> String {
        path(self.number)
    }
}

fn path(number: u32) -> String {
    format!("/dev/dri/card{number}")
}
