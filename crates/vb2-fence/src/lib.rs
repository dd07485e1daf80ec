// SPDX-License-Identifier: GPL-2.0-only

//! What a consumer of a V4L2 dma-buf sees while the device is still writing, and afterwards.
//!
//! What is written down of a job goes one way, and each part knows only those before it:
//!
//! - the kernel's interfaces: the crate [`uapi`];
//! - data: [`observation`], and [`words`] for it;
//! - observing: [`observe`] runs jobs and judges nothing;
//! - judging: [`judge`] says what is right, and never touches a device;
//! - showing: [`table`] (release fences off and on, side by side), [`json`];
//! - the commands: [`report`] is about vim2m, and [`board`] about boards, [`list`], [`probe`], [`watch`] and [`stress`] are for
//!   every device, [`scene`] puts a picture that is being written on a display, [`consumers`] asks in
//!   all the ways there are, [`pipeline`] is devices one after the other, [`compositor`] is a loop to
//!   be traced;
//! - [`cli`], which is what [`generate`] writes about.

pub mod board;
pub mod cli;
pub mod compositor;
pub mod consumers;
pub mod generate;
pub mod json;
pub mod judge;
pub mod list;
pub mod observation;
pub mod observe;
pub mod pipeline;
pub mod probe;
pub mod report;
pub mod scene;
pub mod stress;
pub mod table;
pub mod watch;
pub mod words;
