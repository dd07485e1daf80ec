// SPDX-License-Identifier: GPL-2.0-only

//! `vb2-fence consumers`: everything that a consumer of a dma-buf can ask or wait for, while the
//! device works on it, and what the device waits for in turn, with fences of both kinds off and on.

pub mod args;
pub mod asks;
pub mod holds;
pub mod job;
pub mod shares;
pub mod waits;

use anyhow::Result;
use serde::Serialize;

use crate::consumers::args::ConsumersArgs;
use crate::consumers::job::{Half, Lines};
use crate::json::{self, Head, Output};
use crate::judge::{self, Row};
use crate::scene::args::ProducerKind;
use crate::scene::producer::{self, set_all};
use crate::table;
use uapi::interrupt::Interrupt;
use uapi::publishing::Kind;

/// The consumers, in the order of the table.
const CONSUMERS: [fn(&Half) -> Result<Lines>; 11] = [
    asks::poll_and_export,
    asks::file_info,
    asks::merge_with_software,
    waits::cpu_access,
    waits::epoll,
    waits::flip,
    shares::import_sync_file,
    shares::import_into_vim2m,
    holds::users,
    holds::errors,
    holds::never_ends,
];

/// What the JSON has.
#[derive(Debug, Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    head: Head,
    job_ms: u32,
    right: bool,
    rows: &'a [Row],
}

/// Runs the command; says whether every line is right.
pub fn run(args: &ConsumersArgs) -> Result<bool> {
    let mut switches = Vec::new();
    for kind in [Kind::Release, Kind::Acquire] {
        for of in [ProducerKind::Rga, ProducerKind::Vim2m] {
            switches.extend(producer::switches(of, kind)?);
        }
    }
    let json = args.json.as_deref().map(Output::create).transpose()?;
    let interrupt = Interrupt::catch()?;
    let half = |on: bool| -> Result<Lines> {
        set_all(&switches, on)?;
        let half = Half {
            on,
            job_ms: args.job_ms,
        };
        let mut lines = Vec::new();
        for consumer in CONSUMERS {
            interrupt.check()?;
            lines.extend(consumer(&half)?);
        }
        Ok(lines)
    };
    let (off, on) = args.feature.run(half)?;
    drop(switches);

    let rows = judge::join(off, on);
    let right = judge::all_right(&rows);
    let head = Head::with_program();
    json::print_text(&format!(
        "What consumers of rockchip-rga's buffers see during a job of {} ms, Linux {}\n\n{}",
        args.job_ms,
        head.kernel,
        table::render("fences", &rows)
    ))?;
    if let Some(json) = json {
        let report = Report {
            head,
            job_ms: args.job_ms,
            right,
            rows: &rows,
        };
        json.write(&report)?;
    }
    Ok(right)
}
