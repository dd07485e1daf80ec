// SPDX-License-Identifier: GPL-2.0-only

//! A DRM node: vkms.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use anyhow::{bail, Context, Result};
use drm::{ClientCapability, Device as _};

/// The driver that is looked for.
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
    /// The first node of vkms, for atomic commits and writeback.
    pub fn open() -> Result<Self> {
        for number in 0..64 {
            let path = PathBuf::from(format!("/dev/dri/card{number}"));
            let Ok(file) = OpenOptions::new().read(true).write(true).open(&path) else {
                continue;
            };
            let card = Self { file, number };
            let driver = card
                .get_driver()
                .with_context(|| format!("{}", path.display()))?;
            if driver.name() != DRIVER {
                continue;
            }
            for capability in [
                ClientCapability::UniversalPlanes,
                ClientCapability::Atomic,
                ClientCapability::WritebackConnectors,
            ] {
                card.set_client_capability(capability, true)
                    .with_context(|| format!("{}: no {capability:?}", path.display()))?;
            }
            return Ok(card);
        }
        bail!("no display of the driver {DRIVER} that can be opened: modprobe {DRIVER}, as root");
    }
}
