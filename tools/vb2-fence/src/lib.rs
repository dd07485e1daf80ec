// SPDX-License-Identifier: GPL-2.0-only

//! What a consumer of a V4L2 dma-buf sees while the device is still writing, and afterwards.
//!
//! The crate keeps three things apart, so that each can be tested and reused by itself:
//!
//! - the kernel's interfaces: [`device`] (V4L2), [`dmabuf`], [`heap`], [`syncfile`], [`feature`]
//!   (a driver's switch), [`clock`], [`poll`];
//! - observing ([`observe`]), which runs a job and only writes down what it saw, as plain data
//!   ([`observation`]);
//! - judging ([`judge`]) and showing ([`show`], [`table`], [`report`]), which never touch a device.
//!
//! [`scene`] puts a picture that is being written on a display, and [`consumers`] asks in all the
//! ways there are. Both show their lines by [`compare`].

pub mod cli;
pub mod clock;
pub mod compare;
pub mod consumers;
pub mod device;
pub mod dmabuf;
pub mod feature;
pub mod heap;
pub mod judge;
pub mod observation;
pub mod observe;
pub mod poll;
pub mod report;
pub mod scene;
pub mod show;
pub mod syncfile;
pub mod table;
