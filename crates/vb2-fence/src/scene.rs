// SPDX-License-Identifier: GPL-2.0-only

//! `vb2-fence scene`: a picture that is still being written goes to a display.
//!
//! [`producer`] writes it, [`uapi::kms`] shows it, [`flip`] does one of both and writes down what it saw;
//! [`shot`] and [`count`] judge that, and make files of it.
//!
//! And the other direction: a picture that is still being read is to be written. [`reading`] reads
//! it slowly, with a [`foreign`] fence, [`saw`] says what came of it, and [`readings`] makes files
//! of that.

pub mod args;
pub mod count;
pub mod decoder;
pub mod flip;
pub mod foreign;
pub mod image;
pub mod node;
pub mod producer;
pub mod reading;
pub mod readings;
pub mod saw;
pub mod shot;
pub mod timeline;

use anyhow::Result;

use crate::json;
use crate::scene::args::SceneArgs;

/// Runs the command; says whether every line is right.
pub fn run(args: &SceneArgs) -> Result<bool> {
    let mut right = true;
    if let Some(dir) = &args.output {
        right &= shot::run(args, dir)?;
        json::print_text("\n")?;
        right &= readings::run(args, dir)?;
    }
    if let Some(frames) = args.frames {
        right &= count::run(args, frames)?;
    }
    Ok(right)
}
