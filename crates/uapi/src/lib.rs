// SPDX-License-Identifier: GPL-2.0-only

//! The kernel's interfaces for user space, as far as this project's programs use them.
//!
//! - V4L2: [`device`] and [`queues`] (nodes), [`stream`] (an open node), [`stateless`] (requests and
//!   controls of decoders), [`feature`] (a driver's switch), [`publishing`] (what sysfs says),
//!   [`queue_fences`] (what a queue says), [`explicit`] (fences of jobs and QBUF), [`frame_rate`];
//! - shared memory and fences: [`dmabuf`], [`mapping`], [`heap`], [`sync_file`], and fences that a
//!   program signals itself, [`held_fence`], of [`sw_sync`] or [`vgem`];
//! - KMS: [`card`], [`kms`], [`framebuffer`], [`crc`] (what was scanned out), [`picture`];
//! - [`trace`], [`tracefs`] and [`system_calls`], [`rkemu`] (emulated hardware), [`poll`],
//!   [`clock`], [`interrupt`];
//! - [`hint`]: what a user can do about an error.

pub mod card;
pub mod clock;
pub mod crc;
pub mod device;
pub mod dmabuf;
pub mod explicit;
pub mod feature;
pub mod frame_rate;
pub mod framebuffer;
pub mod heap;
pub mod held_fence;
pub mod hint;
pub mod interrupt;
pub mod kms;
pub mod mapping;
pub mod picture;
pub mod poll;
pub mod publishing;
pub mod queue_fences;
pub mod queues;
pub mod rkemu;
pub mod stateless;
pub mod stream;
pub mod sw_sync;
pub mod sync_file;
pub mod system_calls;
pub mod trace;
pub mod tracefs;
pub mod vgem;
