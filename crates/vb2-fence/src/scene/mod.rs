// SPDX-License-Identifier: GPL-2.0-only

//! `vb2-fence scene`: a picture that is still being written goes to a display.
//!
//! [`producer`] writes it, [`uapi::kms`] shows it, [`flip`] does one of both and writes down what it saw;
//! [`shot`] and [`count`] judge that, and make files of it.

pub mod args;
pub mod count;
pub mod decoder;
pub mod flip;
pub mod image;
pub mod node;
pub mod producer;
pub mod shot;
pub mod timeline;

use anyhow::Result;

use crate::scene::args::{ProducerKind, SceneArgs};
use crate::scene::flip::Stage;
use crate::scene::producer::Producer;
use uapi::feature::Switch;
use uapi::kms::Display;
use uapi::picture::Size;

/// Runs the command; says whether every line is right.
pub fn run(args: &SceneArgs) -> Result<bool> {
    let mut right = true;
    if let Some(dir) = &args.output {
        right &= shot::run(args, dir)?;
    }
    if let Some(frames) = args.frames {
        right &= count::run(args, frames)?;
    }
    Ok(right)
}

/// Turns release fences of all of a producer's drivers off or on.
fn set_all(switches: &[Switch], on: bool) -> Result<()> {
    switches.iter().try_for_each(|switch| switch.set(on))
}

/// A producer and a display, with the switches as they are now.
fn open(kind: ProducerKind, size: Size, refresh: u32, job_ms: u32) -> Result<Stage> {
    // The display first: a job that nobody can show is not worth its time.
    let display = Display::open(size, refresh)?;
    Stage::new(Producer::open(kind, size, job_ms)?, display)
}

/// Whether a producer's device can leave the old picture in the buffer while its job runs.
fn writes_last(kind: ProducerKind) -> bool {
    kind != ProducerKind::Vim2m
}
