// SPDX-License-Identifier: GPL-2.0-only

//! sync_file (<linux/sync_file.h>): fences in the form of a file descriptor.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::ioctl::{opcode, Opcode, Updater};
use serde::Serialize;

use crate::clock::Ns;
use crate::dmabuf;

/// The state of a fence, or of several together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FenceStatus {
    /// Not signalled yet.
    Pending,
    /// Signalled without an error.
    Signalled,
    /// Signalled with this error (a positive errno).
    Failed(u32),
}

impl From<i32> for FenceStatus {
    /// From the kernel's form: 0 active, positive signalled, negative an errno.
    fn from(status: i32) -> Self {
        match status {
            0 => Self::Pending,
            1.. => Self::Signalled,
            _ => Self::Failed(status.unsigned_abs()),
        }
    }
}

/// One fence of a sync_file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fence {
    /// The driver that made it.
    pub driver: String,
    /// What it belongs to; for videobuf2 the queue's name.
    pub timeline: String,
    /// Its state.
    pub status: FenceStatus,
    /// When it was signalled; 0 while it is pending.
    pub timestamp_ns: Ns,
}

/// The driver name that videobuf2 gives its fences.
pub const FENCE_DRIVER: &str = "videobuf2";

/// What SYNC_IOC_FILE_INFO says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SyncInfo {
    /// Of all fences together.
    pub status: FenceStatus,
    /// Each by itself.
    pub fences: Vec<Fence>,
}

impl SyncInfo {
    /// The fences of videobuf2.
    pub fn ours(&self) -> impl Iterator<Item = &Fence> {
        let fences = self.fences.iter();
        fences.filter(|fence| fence.driver == FENCE_DRIVER)
    }
}

/// `struct sync_fence_info`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct RawFence {
    obj_name: [u8; 32],
    driver_name: [u8; 32],
    status: i32,
    flags: u32,
    timestamp_ns: u64,
}

/// `struct sync_file_info`.
#[derive(Debug, Default)]
#[repr(C)]
struct RawInfo {
    name: [u8; 32],
    status: i32,
    flags: u32,
    num_fences: u32,
    pad: u32,
    sync_fence_info: u64,
}

/// `struct sync_merge_data`.
#[derive(Debug, Default)]
#[repr(C)]
struct RawMerge {
    name: [u8; 32],
    fd2: i32,
    fence: i32,
    flags: u32,
    pad: u32,
}

/// `SYNC_IOC_MERGE`.
const MERGE: Opcode = opcode::read_write::<RawMerge>(b'>', 3);
/// `SYNC_IOC_FILE_INFO`.
const FILE_INFO: Opcode = opcode::read_write::<RawInfo>(b'>', 4);

/// Asks for the state of a sync_file and of each of its fences.
pub fn info(sync_file: impl AsFd) -> Result<SyncInfo> {
    let mut fences = Vec::new();
    // Asked without room, the kernel says how many fences there are; that number never changes.
    let count = file_info(&sync_file, &mut fences)?.num_fences;
    fences.resize(count as usize, RawFence::default());
    let raw = file_info(&sync_file, &mut fences)?;
    Ok(parse(&raw, &fences))
}

/// The fences that a reader of a dma-buf has to wait for, as a sync_file, and their state.
pub fn of(dmabuf: impl AsFd) -> Result<(OwnedFd, SyncInfo)> {
    let sync_file = dmabuf::export_read_sync_file(dmabuf)?;
    let info = info(&sync_file)?;
    Ok((sync_file, info))
}

/// Makes one sync_file of two.
pub fn merge(one: impl AsFd, two: impl AsFd) -> Result<OwnedFd> {
    let mut arg = RawMerge {
        fd2: two.as_fd().as_raw_fd(),
        fence: -1,
        ..RawMerge::default()
    };
    // SAFETY: the opcode is SYNC_IOC_MERGE, and `RawMerge` has the layout of its structure.
    let request = unsafe { Updater::<MERGE, RawMerge>::new(&mut arg) };
    // SAFETY: the request reads and writes `arg` only, and makes a new descriptor.
    unsafe { rustix::ioctl::ioctl(one, request) }.context("SYNC_IOC_MERGE")?;
    // SAFETY: the ioctl succeeded, so this is a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(arg.fence) })
}

/// `SYNC_IOC_FILE_INFO` with room for `fences`.
fn file_info(sync_file: impl AsFd, fences: &mut [RawFence]) -> Result<RawInfo> {
    let mut raw = RawInfo {
        num_fences: u32::try_from(fences.len()).unwrap_or(u32::MAX),
        sync_fence_info: fences.as_mut_ptr() as u64,
        ..RawInfo::default()
    };
    // SAFETY: the opcode is SYNC_IOC_FILE_INFO, and `RawInfo` has the layout of the structure that
    // the kernel expects for it.
    let request = unsafe { Updater::<FILE_INFO, RawInfo>::new(&mut raw) };
    // SAFETY: the request writes `raw` and at most `num_fences` entries behind `sync_fence_info`,
    // which are `fences`, borrowed mutably until after the call.
    unsafe { rustix::ioctl::ioctl(sync_file, request) }.context("SYNC_IOC_FILE_INFO")?;
    Ok(raw)
}

/// The kernel's answer in our form.
fn parse(raw: &RawInfo, fences: &[RawFence]) -> SyncInfo {
    SyncInfo {
        status: raw.status.into(),
        fences: fences
            .iter()
            .take(raw.num_fences as usize)
            .map(|fence| Fence {
                driver: name(&fence.driver_name),
                timeline: name(&fence.obj_name),
                status: fence.status.into(),
                timestamp_ns: fence.timestamp_ns,
            })
            .collect(),
    }
}

/// A name in a fixed field: up to its first NUL, or all of it.
fn name(field: &[u8; 32]) -> String {
    let end = field.iter().position(|&byte| byte == 0);
    String::from_utf8_lossy(&field[..end.unwrap_or(field.len())]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(text: &str) -> [u8; 32] {
        let mut field = [0; 32];
        field[..text.len()].copy_from_slice(text.as_bytes());
        field
    }

    fn raw_fence(status: i32) -> RawFence {
        RawFence {
            obj_name: field("cap-0000000012345678"),
            driver_name: field("videobuf2"),
            status,
            timestamp_ns: 17,
            ..RawFence::default()
        }
    }

    #[test]
    fn layout_is_the_kernels() {
        assert_eq!(size_of::<RawFence>(), 80);
        assert_eq!(FILE_INFO, 0xc038_3e04);
        assert_eq!(MERGE, 0xc030_3e03);
    }

    #[test]
    fn status_of_the_kernel() {
        assert_eq!(FenceStatus::from(0), FenceStatus::Pending);
        assert_eq!(FenceStatus::from(1), FenceStatus::Signalled);
        assert_eq!(FenceStatus::from(-5), FenceStatus::Failed(5));
        assert_eq!(FenceStatus::from(i32::MIN), FenceStatus::Failed(1 << 31));
    }

    #[test]
    fn parses_names_and_states() {
        let raw = RawInfo {
            status: -110,
            num_fences: 2,
            ..RawInfo::default()
        };
        let info = parse(&raw, &[raw_fence(0), raw_fence(-110)]);
        assert_eq!(info.status, FenceStatus::Failed(110));
        assert_eq!(info.fences[0].driver, "videobuf2");
        assert_eq!(info.fences[0].timeline, "cap-0000000012345678");
        assert_eq!(info.fences[0].status, FenceStatus::Pending);
        assert_eq!(info.fences[1].status, FenceStatus::Failed(110));
        assert_eq!(info.fences[1].timestamp_ns, 17);
    }

    #[test]
    fn trusts_the_smaller_count() {
        let raw = RawInfo {
            num_fences: 1,
            ..RawInfo::default()
        };
        assert_eq!(parse(&raw, &[raw_fence(1), raw_fence(1)]).fences.len(), 1);
        assert_eq!(parse(&raw, &[]).fences.len(), 0);
    }

    #[test]
    fn names_without_a_nul_and_not_utf8() {
        assert_eq!(name(&[b'x'; 32]), "x".repeat(32));
        assert_eq!(name(&[0; 32]), "");
        let mut odd = field("a?b");
        odd[1] = 0xff;
        assert_eq!(name(&odd), "a\u{fffd}b");
    }

    #[test]
    fn other_files_are_refused() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let err = |result: Result<OwnedFd>| format!("{:#}", result.unwrap_err());
        assert!(format!("{:#}", info(&file).unwrap_err()).starts_with("SYNC_IOC_FILE_INFO: "));
        assert!(err(merge(&file, &file)).starts_with("SYNC_IOC_MERGE: "));
        assert!(err(of(&file).map(|of| of.0)).starts_with("EXPORT_SYNC_FILE: "));
    }
}
