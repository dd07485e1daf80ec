// SPDX-License-Identifier: GPL-2.0-only

//! The fence of another device that uses a buffer: it is signalled when the program says so.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::Result;
use serde::Serialize;

use uapi::dmabuf::{import_sync_file, Access};
use uapi::held_fence::HeldFence;
use uapi::vgem::{self, Fenced};

/// Where a fence comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// DMA_BUF_IOCTL_IMPORT_SYNC_FILE, as Mesa does it for a GPU.
    ImportSyncFile,
    /// A DRM driver that has imported the buffer: vgem.
    Vgem,
}

impl Source {
    /// Whether this machine has it. A sync_file is needed anyway, and says itself what is missing.
    pub fn is_there(self) -> bool {
        match self {
            Self::ImportSyncFile => true,
            Self::Vgem => vgem::is_there(),
        }
    }
}

/// A pending fence on a buffer. Dropped, it is signalled; that of sw_sync has an error then.
#[derive(Debug)]
pub enum ForeignFence {
    /// A sync_file that was imported.
    Imported(HeldFence),
    /// That of vgem.
    Vgem(Fenced),
}

impl ForeignFence {
    /// Adds one to a buffer, as that of a reader or of a writer.
    pub fn add(source: Source, dmabuf: BorrowedFd<'_>, access: Access) -> Result<Self> {
        match source {
            Source::ImportSyncFile => {
                let fence = HeldFence::new()?;
                import_sync_file(dmabuf, access, fence.as_fd())?;
                Ok(Self::Imported(fence))
            }
            Source::Vgem => Ok(Self::Vgem(Fenced::import(dmabuf, access)?)),
        }
    }

    /// Signals it.
    pub fn signal(self) -> Result<()> {
        match self {
            Self::Imported(fence) => fence.signal(),
            Self::Vgem(fence) => fence.signal(),
        }
    }
}
