// SPDX-License-Identifier: GPL-2.0-only

//! Runs jobs and writes down what a consumer of the CAPTURE buffer sees. Judges nothing.

pub mod probe;
pub mod report;

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};

use uapi::poll::{self, Readiness};
use uapi::sync_file::{self, SyncInfo};

/// What a dma-buf says of itself at one moment.
#[derive(Debug)]
pub struct Look {
    /// poll(POLLIN).
    pub ready: Readiness,
    /// The fences behind it.
    pub fences: SyncInfo,
    /// The same as a descriptor, to be asked again later.
    pub sync_file: OwnedFd,
}

impl Look {
    /// Asks a dma-buf.
    pub fn at(dmabuf: &OwnedFd) -> Result<Self> {
        let ready = poll::ready_now(dmabuf.as_fd()).context("poll of the dma-buf")?;
        let (sync_file, fences) = sync_file::of(dmabuf)?;
        Ok(Self {
            ready,
            fences,
            sync_file,
        })
    }
}
