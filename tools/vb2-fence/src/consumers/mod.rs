// SPDX-License-Identifier: GPL-2.0-only

//! `vb2-fence consumers`: everything that a consumer of a dma-buf can ask or wait for, while the
//! device works on it, with release fences off and on.

pub mod args;
pub mod asks;
pub mod fences;
pub mod job;
pub mod shares;
pub mod waits;

use std::sync::atomic::Ordering;

use anyhow::{ensure, Result};
use serde::Serialize;

use crate::compare::{self, Row, Seen};
use crate::consumers::args::ConsumersArgs;
use crate::consumers::job::Half;
use crate::report::{catch_interrupts, kernel_release};
use crate::scene::args::ProducerKind;
use crate::scene::producer::switches;
use crate::scene::write_json;

/// What one consumer has to say.
pub type Lines = Vec<(&'static str, Seen)>;

/// The consumers, in the order of the table.
const CONSUMERS: [fn(&Half) -> Result<Lines>; 8] = [
    asks::poll_and_export,
    asks::file_info,
    asks::merge_with_software,
    waits::cpu_access,
    waits::epoll,
    waits::flip,
    shares::import_sync_file,
    shares::import_into_vim2m,
];

/// What the JSON has.
#[derive(Debug, Serialize)]
struct Report<'a> {
    schema_version: u32,
    program_version: &'static str,
    kernel: String,
    job_ms: u32,
    right: bool,
    rows: &'a [Row],
}

/// Runs the command; says whether every line is right.
pub fn run(args: &ConsumersArgs) -> Result<bool> {
    let switches = switches(ProducerKind::Rga)?;
    let interrupted = catch_interrupts()?;
    let half = |on: bool| -> Result<Lines> {
        switches.iter().try_for_each(|switch| switch.set(on))?;
        let half = Half {
            on,
            job_ms: args.job_ms,
        };
        let mut lines = Vec::new();
        for consumer in CONSUMERS {
            ensure!(!interrupted.load(Ordering::Relaxed), "interrupted");
            lines.extend(consumer(&half)?);
        }
        Ok(lines)
    };
    let off = args.feature.off().then(|| half(false)).transpose()?;
    let on = args.feature.on().then(|| half(true)).transpose()?;
    drop(switches);

    let rows = compare::join(off, on);
    let right = compare::all_right(&rows);
    println!(
        "What consumers of rockchip-rga's buffers see during a job of {} ms, Linux {}\n",
        args.job_ms,
        kernel_release()
    );
    print!("{}", compare::render(&rows));
    if let Some(path) = &args.json {
        let report = Report {
            schema_version: 1,
            program_version: env!("CARGO_PKG_VERSION"),
            kernel: kernel_release(),
            job_ms: args.job_ms,
            right,
            rows: &rows,
        };
        write_json(&report, path)?;
    }
    Ok(right)
}
