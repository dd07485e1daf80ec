// SPDX-License-Identifier: GPL-2.0-only

//! What a consumer of a V4L2 dma-buf sees while the device is still writing, and afterwards.
//!
//! The crate keeps three things apart, so that each can be tested and reused by itself:
//!
//! - the kernel's interfaces: the crate [`uapi`];
//! - observing ([`observe`], [`probe`], [`watch`], [`stress`]), which runs jobs, or reads the trace,
//!   and only writes down what it saw, as plain data ([`observation`]);
//! - judging ([`judge`], [`probe::verdict`]) and showing ([`show`], [`table`], [`report`], [`list`]),
//!   which never touch a device.
//!
//! [`report`] is about vim2m and compares; the other commands are for every device.
//!
//! [`scene`] puts a picture that is being written on a display, and [`consumers`] asks in all the
//! ways there are. Both show their lines by [`compare`]. [`compositor`] is a loop to be traced.

pub mod cli;
pub mod compare;
pub mod compositor;
pub mod consumers;
pub mod generate;
pub mod json;
pub mod judge;
pub mod list;
pub mod observation;
pub mod observe;
pub mod probe;
pub mod report;
pub mod scene;
pub mod show;
pub mod stress;
pub mod table;
pub mod watch;
