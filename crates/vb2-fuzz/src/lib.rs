// SPDX-License-Identifier: GPL-2.0-only

//! A fuzzer for release fences: V4L2, requests, dma-buf, sync_file, sw_sync, vgem and vkms.
//!
//! An input is a program for a few threads ([`grammar`], [`calls`]). [`run`] makes its calls
//! ([`video`], [`explicit`], [`jobs`], [`share`], [`display`], [`knobs`]) with the descriptors of a
//! [`world`], ends all of it, and asks what a user of the buffers would: is everything ready now?
//! [`session`] is a whole run, and also asks the trace events whether each fence that was armed was
//! signalled once, and whether descriptors are left.
//!
//! Half of the inputs are made by a seed ([`maker`]), and half by libFuzzer. The kernel tells libFuzzer
//! nothing, so [`count`] does: each call with its result and with what was open is a feature. Where the
//! kernel can tell which code ran, that is one, too ([`kcov`]).

pub mod abi;
pub mod calls;
pub mod controls;
pub mod count;
pub mod display;
pub mod explicit;
pub mod found;
pub mod grammar;
pub mod jobs;
pub mod kcov;
pub mod knobs;
pub mod maker;
pub mod options;
pub mod run;
pub mod session;
pub mod share;
pub mod sys;
pub mod video;
pub mod world;
