// SPDX-License-Identifier: GPL-2.0-only

//! A fence that is pending until this program signals it, from whatever the kernel has for that.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{anyhow, Result};
use serde::Serialize;

use crate::sw_sync::Timeline;
use crate::vgem::Fenced;

/// Where a fence comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// sw_sync, for root on kernels that are for tests.
    SwSync,
    /// The DRM driver vgem, which distributions have as a module.
    Vgem,
}

impl Source {
    /// The name in the text.
    pub fn describe(self) -> &'static str {
        match self {
            Self::SwSync => "sw_sync",
            Self::Vgem => "vgem",
        }
    }
}

/// What signals it.
#[derive(Debug)]
enum Signaller {
    SwSync(Timeline),
    Vgem(Fenced),
}

/// The fence. Dropped, it is signalled with an error, unless it was signalled before.
#[derive(Debug)]
pub struct HeldFence {
    sync_file: OwnedFd,
    signaller: Signaller,
}

impl HeldFence {
    /// A new one; the error says what is missing.
    pub fn new() -> Result<Self> {
        let sw_sync = match Self::of_sw_sync() {
            Ok(fence) => return Ok(fence),
            Err(err) => err,
        };
        Self::of_vgem()
            .map_err(|vgem| anyhow!("no fence that this program could hold: {sw_sync:#}; {vgem:#}"))
    }

    fn of_sw_sync() -> Result<Self> {
        let timeline = Timeline::new()?;
        Ok(Self {
            sync_file: timeline.fence()?,
            signaller: Signaller::SwSync(timeline),
        })
    }

    fn of_vgem() -> Result<Self> {
        let fenced = Fenced::new()?;
        Ok(Self {
            sync_file: fenced.sync_file()?,
            signaller: Signaller::Vgem(fenced),
        })
    }

    /// Where it comes from.
    pub fn source(&self) -> Source {
        match &self.signaller {
            Signaller::SwSync(_) => Source::SwSync,
            Signaller::Vgem(_) => Source::Vgem,
        }
    }

    /// Signals it.
    pub fn signal(&self) -> Result<()> {
        match &self.signaller {
            Signaller::SwSync(timeline) => timeline.advance(),
            Signaller::Vgem(fenced) => fenced.signal(),
        }
    }
}

impl AsFd for HeldFence {
    /// As a sync_file.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.sync_file.as_fd()
    }
}
