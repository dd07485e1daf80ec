// SPDX-License-Identifier: GPL-2.0-only

//! The scene itself: one flip with release fences off and one with them on, as files.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::json::Head;
use crate::judge::{self, Seen};
use crate::scene::args::{ProducerKind, SceneArgs};
use crate::scene::flip::{Flip, Stage};
use crate::scene::producer::{set_all, switches};
use crate::scene::{image, timeline, Report};
use crate::table;
use uapi::clock::ms_between;
use uapi::interrupt::Interrupt;
use uapi::picture::{Shown, Size};
use uapi::poll::{Readiness, Woken};
use uapi::publishing::Kind;
use uapi::sync_file::FenceStatus;

/// The picture's size: large enough to look at, small enough for an emulated machine.
const SIZE: Size = Size::new(320, 240);

/// Vertical blanks per second: an emulated machine needs most of the time between two to compose.
const REFRESH: u32 = 10;

/// How long a job takes by default: much longer than a slow machine needs for flip and snapshot,
/// and shorter than the watchdog of rockchip-rga allows.
const JOB_MS: u32 = 1000;

/// How often a flip is made at most, if the machine is too slow for the first one.
const ATTEMPTS: u32 = 4;

/// The frame that is shown.
const NUMBER: u32 = 2026;

/// Makes the scene; says whether every line is right.
pub fn run(args: &SceneArgs, dir: &Path) -> Result<bool> {
    let job_ms = args.job_ms.unwrap_or(JOB_MS);
    let switches = switches(args.producer, Kind::Release)?;
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let interrupt = Interrupt::catch()?;
    let mut flips = Vec::new();
    let mut node = None;
    for on in [false, true] {
        set_all(&switches, on)?;
        let mut attempt = 1;
        let flip = loop {
            interrupt.check()?;
            let mut stage = Stage::open(args.producer, SIZE, REFRESH, job_ms)?;
            node = Some(stage.producer.node.clone());
            let flip = stage.flip(NUMBER, true)?;
            if in_time(&flip, on) || attempt == ATTEMPTS {
                break flip;
            }
            attempt += 1;
        };
        flips.push(flip);
    }
    drop(switches);
    let (on, off) = (flips.pop(), flips.pop());
    let (Some(off), Some(on), Some(node)) = (off, on, node) else {
        anyhow::bail!("no flip was made");
    };

    let kind = args.producer;
    let rows = judge::join(Some(lines(&off, false, kind)), Some(lines(&on, true, kind)));
    let right = judge::all_right(&rows);
    let head = Head::with_program();
    let text = format!(
        "{} on {}, shown by vkms, Linux {}\nA job takes {job_ms} ms. Times are from the end of the \
         job.\n\n{}{}\n",
        node.driver,
        node.path.display(),
        head.kernel,
        table::render("release fences", &rows),
        verdict(right, kind)
    );
    for (flip, name) in [(&off, "scene-off.png"), (&on, "scene-on.png")] {
        let snapshot = flip
            .snapshot
            .as_ref()
            .context("a flip without a snapshot")?;
        image::write(snapshot, &dir.join(name))?;
    }
    let plots = [
        timeline::of_flip(&off, "release fences off"),
        timeline::of_flip(&on, "release fences on"),
    ];
    let x = "milliseconds from the start of the job";
    let report = Report {
        head,
        driver: &node.driver,
        device: node.path.display().to_string(),
        job_ms,
        right,
        rows: &rows,
        off: &off,
        on: &on,
    };
    report.write(dir, "scene", &plots, x, &text)?;
    Ok(right)
}

/// Whether the machine was quick enough: the snapshot shows the same as the flip before it, which,
/// off, came before the job's end.
fn in_time(flip: &Flip, on: bool) -> bool {
    let end = flip.job_end_ns();
    let before_end = end.is_some_and(|end| flip.scanned_out_ns < end);
    flip.in_flight && flip.in_snapshot == Some(flip.shown) && (on || before_end)
}

fn verdict(right: bool, kind: ProducerKind) -> &'static str {
    match (right, kind.writes_last()) {
        (true, true) => {
            "RIGHT: without release fences the display shows the old picture, with them the new one"
        }
        (true, false) => {
            "RIGHT: without release fences the display does not wait for the job, with them it does"
        }
        (false, _) => "WRONG: see above",
    }
}

/// The lines of one half.
fn lines(flip: &Flip, on: bool, kind: ProducerKind) -> Vec<(&'static str, Seen)> {
    vec![
        ("job runs at the commit", job(flip)),
        ("fence at the commit", fence(flip, on)),
        ("scanned out", shown(flip, on, kind)),
        ("the same in the PNG file", in_png(flip)),
        ("flip's event", order(flip, on, flip.event)),
        ("scanned out at", scanned_out(flip, on)),
        ("dma-buf ready", order(flip, on, flip.dmabuf)),
        ("buffer dequeued", dequeued(flip, on, kind)),
    ]
}

fn job(flip: &Flip) -> Seen {
    let text = if flip.in_flight { "yes" } else { "no" };
    Seen::judge(
        flip.in_flight,
        text,
        "the machine was too slow: try a longer --job-ms",
    )
}

fn fence(flip: &Flip, on: bool) -> Seen {
    match (
        flip.fence_at_commit.ours().count(),
        flip.fence_at_commit.status,
    ) {
        (0, _) => Seen::judge(!on, "none", "no fence of videobuf2"),
        (_, FenceStatus::Pending) => Seen::judge(on, "pending", "there should be none"),
        (_, other) => Seen::wrong(format!("{other:?}"), "not pending while the job runs"),
    }
}

/// What the display showed.
fn shown(flip: &Flip, on: bool, kind: ProducerKind) -> Seen {
    let text = match flip.shown {
        Shown::Wanted => "the new picture".to_owned(),
        Shown::Before => "the OLD picture (stale)".to_owned(),
        Shown::Other(number) => format!("frame {number}"),
        Shown::Torn => "a TORN picture".to_owned(),
        Shown::Nothing => "nothing".to_owned(),
    };
    if on || !kind.writes_last() {
        return Seen::judge(flip.shown == Shown::Wanted, text, "not the new picture");
    }
    let why = "the problem does not show, so the comparison proves nothing";
    Seen::judge(flip.shown == Shown::Before, text, why)
}

fn in_png(flip: &Flip) -> Seen {
    let same = flip.in_snapshot == Some(flip.shown);
    let why = format!(
        "it shows {:?}, the checksum says {:?}",
        flip.in_snapshot, flip.shown
    );
    Seen::judge(same, if same { "yes" } else { "no" }, why)
}

fn scanned_out(flip: &Flip, on: bool) -> Seen {
    let woken = Woken {
        at_ns: flip.scanned_out_ns,
        readiness: Readiness::Ready,
    };
    order(flip, on, Some(woken))
}

/// When a wait in user space ended: off before the job's end, on not before the fence.
fn order(flip: &Flip, on: bool, woken: Option<Woken>) -> Seen {
    let (Some(end), Some(woken)) = (flip.job_end_ns(), woken) else {
        return Seen::wrong("never", "it did not come");
    };
    let text = format!("{:+.1} ms", ms_between(end, woken.at_ns));
    if !on {
        return Seen::judge(woken.at_ns < end, text, "only at the job's end");
    }
    let signalled = flip.fence_signalled_ns().filter(|&at| at != 0);
    Seen::judge(
        signalled.is_some_and(|at| woken.at_ns >= at),
        text,
        "before the fence was signalled",
    )
}

/// The blitter converts what the decoder has not written yet, if nothing makes it wait: then the
/// picture stays as it was.
fn dequeued(flip: &Flip, on: bool, kind: ProducerKind) -> Seen {
    let stays_old = kind == ProducerKind::Vpu && !on;
    match (flip.flagged, flip.written) {
        (true, _) => Seen::wrong("with an error", "the job failed"),
        (false, true) => {
            let why = "the problem does not show, so the comparison proves nothing";
            Seen::judge(!stays_old, "with the picture", why)
        }
        (false, false) => {
            let why = "the device wrote something else";
            Seen::judge(stays_old, "without the picture", why)
        }
    }
}

#[cfg(test)]
mod tests;
