// SPDX-License-Identifier: GPL-2.0-only

//! Many flips: how often the display shows something else than the picture that was asked for.

use anyhow::{ensure, Result};
use serde::Serialize;

use crate::json::{self, Head, Output};
use crate::judge::{self, Row, Seen};
use crate::scene::args::{ProducerKind, SceneArgs};
use crate::scene::flip::{Flip, Stage};
use crate::scene::producer::{set_all, switches};
use crate::table;
use crate::words::Spread;
use uapi::clock::ms_between;
use uapi::interrupt::Interrupt;
use uapi::picture::{Shown, Size};
use uapi::publishing::Kind;

/// Small pictures: what is counted is flips.
const SIZE: Size = Size::new(64, 48);

/// Vertical blanks per second.
const REFRESH: u32 = 25;

/// How long a job takes by default.
const JOB_MS: u32 = 150;

/// What the flips of a half came to.
#[derive(Debug, Default, Serialize)]
pub struct Counts {
    /// Flips that were looked at.
    pub frames: u32,
    /// Of these, flips whose job still ran at the commit.
    pub in_flight: u32,
    /// Of all, those with anything but the picture that was asked for.
    pub stale: u32,
    /// Of the stale ones, those with all of the old picture.
    pub old: u32,
    /// Those with parts of both.
    pub torn: u32,
    /// Those with another frame's number.
    pub other: u32,
    /// Flips that were scanned out before their fence was signalled, or their job over.
    pub early: u32,
    /// Buffers that came back with an error.
    pub flagged: u32,
    /// Buffers without the right picture at the end.
    pub unwritten: u32,
    /// From the end of the job to the end of the scan-out, in milliseconds.
    #[serde(skip)]
    after_job_ms: Vec<f64>,
}

impl Counts {
    fn add(&mut self, flip: &Flip) {
        self.frames += 1;
        self.in_flight += u32::from(flip.in_flight);
        self.flagged += u32::from(flip.flagged);
        self.unwritten += u32::from(!flip.written);
        self.stale += u32::from(flip.shown != Shown::Wanted);
        match flip.shown {
            Shown::Before => self.old += 1,
            Shown::Torn => self.torn += 1,
            Shown::Other(_) => self.other += 1,
            Shown::Wanted | Shown::Nothing => {}
        }
        self.early += u32::from(flip.is_early());
        if let Some(end) = flip.job_end_ns() {
            self.after_job_ms.push(ms_between(end, flip.scanned_out_ns));
        }
    }

    /// The lines of a half.
    fn lines(&self, on: bool, wanted: u32) -> Vec<(&'static str, Seen)> {
        let number = |count: u32| count.to_string();
        let none = |count: u32| Seen::judge(count == 0, number(count), "should be 0");
        let some = |count: u32| {
            let why = "the problem does not show, so the comparison proves nothing";
            Seen::judge(count != 0, number(count), why)
        };
        let enough = self.in_flight.saturating_mul(2) >= self.frames;
        let why = "less than half: the machine is too slow, try a longer --job-ms";
        let mut lines = vec![
            (
                "flips",
                Seen::judge(
                    self.frames == wanted,
                    number(self.frames),
                    "not all were made",
                ),
            ),
            (
                "in flight at the commit",
                Seen::judge(enough, number(self.in_flight), why),
            ),
        ];
        lines.push((
            "STALE pictures",
            match on {
                false => some(self.stale),
                true => none(self.stale),
            },
        ));
        lines.push(("  the old one", Seen::right(number(self.old))));
        lines.push(("  parts of both", Seen::right(number(self.torn))));
        lines.push(("  another frame's", Seen::right(number(self.other))));
        lines.push((
            "scanned out too early",
            match on {
                true => none(self.early),
                false => some(self.early),
            },
        ));
        lines.push(("dequeued with an error", none(self.flagged)));
        lines.push(("wrong at the end", none(self.unwritten)));
        let spread = Spread::of(self.after_job_ms.iter().copied());
        let spread = spread.map_or("never".into(), |spread| spread.show());
        lines.push(("scan-out from job's end", Seen::right(spread)));
        lines
    }
}

/// What the JSON has.
#[derive(Debug, Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    head: Head,
    job_ms: u32,
    right: bool,
    off: Option<&'a Counts>,
    on: Option<&'a Counts>,
    rows: &'a [Row],
}

/// Makes the flips; says whether every line is right.
pub fn run(args: &SceneArgs, frames: u32) -> Result<bool> {
    ensure!(
        args.producer == ProducerKind::Rga,
        "flips are counted with --producer rga only"
    );
    let job_ms = args.job_ms.unwrap_or(JOB_MS);
    let switches = switches(args.producer, Kind::Release)?;
    let json = args.json.as_deref().map(Output::create).transpose()?;
    let interrupt = Interrupt::catch()?;
    let (mut off, mut on) = (None, None);
    let halves: &[bool] = match args.both {
        true => &[false, true],
        false => &[switches.iter().all(|switch| switch.found())],
    };
    for &half in halves {
        set_all(&switches, half)?;
        let mut stage = Stage::open(args.producer, SIZE, REFRESH, job_ms)?;
        let counts = flips(&mut stage, frames, &interrupt)?;
        *(if half { &mut on } else { &mut off }) = Some(counts);
    }
    drop(switches);

    let rows = judge::join(
        off.as_ref().map(|counts| counts.lines(false, frames)),
        on.as_ref().map(|counts| counts.lines(true, frames)),
    );
    let right = judge::all_right(&rows);
    json::print_text(&format!(
        "Flips of vkms to pictures that rockchip-rga is writing; a job takes {job_ms} ms.\n\n{}",
        table::render("release fences", &rows)
    ))?;
    if let Some(json) = json {
        let report = Report {
            head: Head::with_program(),
            job_ms,
            right,
            off: off.as_ref(),
            on: on.as_ref(),
            rows: &rows,
        };
        json.write(&report)?;
    }
    Ok(right)
}

fn flips(stage: &mut Stage, frames: u32, interrupt: &Interrupt) -> Result<Counts> {
    let mut counts = Counts::default();
    let mut number = 0;
    while counts.frames < frames {
        interrupt.check()?;
        number += 1;
        counts.add(&stage.flip(number, false)?);
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(stale: u32, early: u32) -> Counts {
        Counts {
            frames: 10,
            in_flight: 9,
            stale,
            early,
            ..Counts::default()
        }
    }

    fn wrong(counts: &Counts, on: bool) -> Vec<&'static str> {
        let lines = counts.lines(on, 10).into_iter();
        let wrong = lines.filter(|(_, seen)| seen.wrong.is_some());
        wrong.map(|(title, _)| title).collect()
    }

    #[test]
    fn on_has_no_stale_picture_and_off_has() {
        assert!(wrong(&counts(0, 0), true).is_empty());
        assert!(wrong(&counts(8, 8), false).is_empty());
        assert_eq!(wrong(&counts(1, 0), true), ["STALE pictures"]);
        assert_eq!(wrong(&counts(0, 1), true), ["scanned out too early"]);
        assert_eq!(wrong(&counts(0, 8), false), ["STALE pictures"]);
    }

    #[test]
    fn too_few_flips_prove_nothing() {
        let late = Counts {
            in_flight: 4,
            ..counts(0, 0)
        };
        assert_eq!(wrong(&late, true), ["in flight at the commit"]);
        let few = Counts {
            frames: 9,
            ..counts(0, 0)
        };
        assert_eq!(wrong(&few, true), ["flips"]);
    }
}
