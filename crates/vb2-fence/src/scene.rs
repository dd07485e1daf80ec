// SPDX-License-Identifier: GPL-2.0-only

//! `vb2-fence scene`: a picture that is still being written goes to a display.
//!
//! [`producer`] writes it, [`uapi::kms`] shows it, [`flip`] does one of both and writes down what it saw;
//! [`shot`] and [`count`] judge that, and make files of it.
//!
//! And the other direction: a picture that is still being read is to be written. [`reading`] reads
//! it slowly, with a [`foreign`] fence, [`saw`] says what came of it, and [`readings`] makes files
//! of that.
//!
//! Both make the same files, of a [`Report`].

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

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::json::{self, Head, Output};
use crate::judge::Row;
use crate::scene::args::SceneArgs;
use crate::scene::timeline::Plot;

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

/// What the JSON file has, of one half without fences and one with them.
#[derive(Debug, Serialize)]
struct Report<'a, Half> {
    #[serde(flatten)]
    head: Head,
    driver: &'a str,
    device: String,
    job_ms: u32,
    right: bool,
    rows: &'a [Row],
    off: &'a Half,
    on: &'a Half,
}

impl<Half: Serialize> Report<'_, Half> {
    /// Writes NAME.svg, with `x` below the plots, NAME.json and NAME.txt; prints the text.
    fn write(&self, dir: &Path, name: &str, plots: &[Plot; 2], x: &str, text: &str) -> Result<()> {
        let path = |suffix| dir.join(format!("{name}.{suffix}"));
        timeline::write(plots, x, &path("svg"))?;
        Output::create(&path("json"))?.write(self)?;
        let file = path("txt");
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        json::print_text(text)
    }
}
