// SPDX-License-Identifier: GPL-2.0-only

//! `vb2-fence report`: the comparison of vim2m with release fences off and on.

use std::path::{Path, PathBuf};

use anyhow::{bail, Result};
use clap::Args;
use serde::Serialize;

use crate::json::{self, Head, Output};
use crate::judge::report::{judge, score, CaseRuns, Judgement, Line};
use crate::judge::report::{EARLY_TOLERANCE_MS, NODE_LIMIT_MS};
use crate::judge::Halves;
use crate::observation::report::{RoundResult, TICK_STALL_MS};
use crate::observation::Case;
use crate::observe::report::{open, Observer, LOOK_FRACTION};
use crate::table;
use uapi::device::{Node, Queue};
use uapi::feature::Switch;
use uapi::heap::Heap;
use uapi::interrupt::Interrupt;
use uapi::publishing::Kind;

/// What `--help` and the man page say of the command.
pub const LONG: &str = "\
Run vim2m jobs and compare what a consumer sees with release fences off and on.

A job takes as long as --job-ms says. A quarter into it, and at its end, the program asks the video
node, the CAPTURE buffer's dma-buf and the fence behind it whether the picture is ready. It does so
for a buffer that was exported before the job, for a second export made while the job runs, and for
a buffer imported from the system dma-heap. The driver's parameter release_fences is set for each
half and put back at the end.

With --board it goes through the gates of a board instead: kernel, drivers, a probe of each device
that can publish, playback and its system calls, off and on, and the kernel's log. Each has a line,
\"pass\", \"fail\" and why, or \"not asked\" and what is missing. All that was seen goes to one text file,
whose path is the last line. It asks nothing and sends nothing, and the file has no names of hosts
or users, no serial numbers and no addresses. Be root, or most is not asked.";

/// Arguments of `vb2-fence report`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  vb2-fence report
  vb2-fence report --rounds 5 --json report.json
  vb2-fence report --json | jq .right
  vb2-fence report --feature off      (what a kernel without release fences does)
  vb2-fence report --board --stream film.h264

Exit status: 0 every line is right (with --board: no gate failed), 1 a line is wrong, 2 the report
could not be made.")]
pub struct ReportArgs {
    /// The video node [default: the first one of the vim2m driver].
    #[arg(long, value_name = "NODE")]
    pub device: Option<PathBuf>,

    /// Write the same report, with every raw time, as JSON to FILE; without FILE, or with "-", to
    /// stdout, in place of the table.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub json: Option<PathBuf>,

    /// How long a job takes, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 400,
          value_parser = clap::value_parser!(u32).range(100..=10_000))]
    pub job_ms: u32,

    /// How often each case is run; what must hold must hold in every round.
    #[arg(long, value_name = "N", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,

    /// Which half to run.
    #[arg(long, value_enum, default_value_t = Halves::Both)]
    pub feature: Halves,

    /// Go through the gates of a board instead, and write one text file.
    #[arg(long, conflicts_with_all = ["device", "json", "job_ms", "feature"])]
    pub board: bool,

    /// The text file of --board, which must not be there yet.
    #[arg(
        long,
        value_name = "FILE",
        requires = "board",
        default_value = "vb2-fence-board.txt"
    )]
    pub out: PathBuf,

    /// What decoders decode for --board: H.264 (Annex B), MPEG-2, or VP8 (IVF) [default: a film
    /// that GStreamer makes].
    #[arg(long, value_name = "FILE", requires = "board")]
    pub stream: Option<PathBuf>,
}

/// The driver that the report is about.
const DRIVER: &str = "vim2m";

/// How often a round is run again because the machine was too slow to look while the job ran.
const RETRIES: u32 = 3;

/// The whole report; its JSON has the same fields.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What it begins with.
    #[serde(flatten)]
    pub head: Head,
    /// The video node's path.
    pub device: String,
    /// The video node's driver.
    pub driver: String,
    /// How long a job takes.
    pub job_ms: u32,
    /// When the consumer looks, from the start of the job.
    pub look_ms: u32,
    /// How often each case was run in each half.
    pub rounds: u32,
    /// The limit within which dma-buf and video node become ready.
    pub node_limit_ms: f64,
    /// How much before the job's end is not too early.
    pub early_tolerance_ms: f64,
    /// How much shorter than planned a job may have been.
    pub tick_stall_ms: u64,
    /// What was seen and what it is worth.
    pub cases: Vec<CaseReport>,
    /// How many lines are right.
    pub right: usize,
    /// How many lines are judged.
    pub judged: usize,
}

/// One case of the report.
#[derive(Debug, Serialize)]
pub struct CaseReport {
    /// Its heading.
    pub title: &'static str,
    /// Its lines, as in the table.
    pub lines: Vec<Line>,
    /// Everything that was seen, round by round.
    #[serde(flatten)]
    pub runs: CaseRuns,
}

impl Report {
    /// Whether every line that is judged is right, and there is one.
    pub fn all_right(&self) -> bool {
        self.judged > 0 && self.right == self.judged
    }
}

/// Runs the command; says whether every line is right.
pub fn run(args: &ReportArgs) -> Result<bool> {
    let node = match &args.device {
        Some(path) => Node::at(path)?,
        None => Node::find(DRIVER)?,
    };
    let heap = Heap::system()?;
    can_run(&node, &heap, args.job_ms)?;
    let switch = Switch::of_driver(&node.driver, Kind::Release)?;
    if args.feature.on() && switch.is_none() {
        bail!(
            "this kernel's {} cannot publish release fences (there is no {}): boot a kernel with \
             CONFIG_VIDEOBUF2_RELEASE_FENCES=y, or see what this one does with --feature off",
            node.driver,
            Switch::path(&node.driver, Kind::Release).display()
        );
    }
    let on_stdout = args.json.as_deref() == Some(Path::new("-"));
    let file = args.json.as_deref().filter(|_| !on_stdout);
    let json = file.map(Output::create).transpose()?;
    let observer = Observer {
        node: &node.path,
        heap: &heap,
        job_ms: args.job_ms,
    };

    let runs = observe_halves(args, &observer, switch.as_ref());
    // Puts the switch back before anything is said.
    drop(switch);
    let report = make_report(args, &node, runs?);

    if on_stdout {
        json::print(&report)?;
    } else {
        json::print_text(&render(&report))?;
    }
    if let Some(json) = json {
        json.write(&report)?;
    }
    Ok(report.all_right())
}

/// Tries what every round needs, so that what is missing here is not taken for a finding.
fn can_run(node: &Node, heap: &Heap, job_ms: u32) -> Result<()> {
    let stream = open(&node.path, job_ms)?;
    for plane in stream.format(Queue::Capture)?.plane_fmt {
        heap.allocate(plane.sizeimage as usize)?;
    }
    Ok(())
}

fn observe_halves(
    args: &ReportArgs,
    observer: &Observer<'_>,
    switch: Option<&Switch>,
) -> Result<Vec<CaseRuns>> {
    let interrupt = Interrupt::catch()?;
    let half = |on: bool| -> Result<Vec<Vec<RoundResult>>> {
        if let Some(switch) = switch {
            switch.set(on)?;
        }
        let cases = Case::ALL.into_iter();
        cases
            .map(|case| rounds(observer, case, args.rounds, &interrupt))
            .collect()
    };
    let (off, on) = args.feature.run(half)?;
    let (mut off, mut on) = (off.map(Vec::into_iter), on.map(Vec::into_iter));
    let runs = Case::ALL.into_iter().map(|case| CaseRuns {
        case,
        off: off.as_mut().and_then(Iterator::next),
        on: on.as_mut().and_then(Iterator::next),
    });
    Ok(runs.collect())
}

fn rounds(
    observer: &Observer<'_>,
    case: Case,
    count: u32,
    interrupt: &Interrupt,
) -> Result<Vec<RoundResult>> {
    let mut results = Vec::new();
    for _ in 0..count {
        results.push(round(observer, case, interrupt)?);
    }
    Ok(results)
}

fn round(observer: &Observer<'_>, case: Case, interrupt: &Interrupt) -> Result<RoundResult> {
    let mut retries = RETRIES;
    loop {
        interrupt.check()?;
        match observer.round(case) {
            Ok(round) if round.looked_too_late(observer.job_ms) && retries > 0 => retries -= 1,
            Ok(round) => return Ok(RoundResult::Seen(Box::new(round))),
            Err(err) => return Ok(RoundResult::Failed(format!("{err:#}"))),
        }
    }
}

fn make_report(args: &ReportArgs, node: &Node, runs: Vec<CaseRuns>) -> Report {
    let cases: Vec<CaseReport> = runs
        .into_iter()
        .map(|runs| CaseReport {
            title: runs.case.title(),
            lines: judge(&runs, args.job_ms),
            runs,
        })
        .collect();
    let (right, judged) = score(cases.iter().flat_map(|case| &case.lines));
    Report {
        head: Head::with_program(),
        device: node.path.display().to_string(),
        driver: node.driver.clone(),
        job_ms: args.job_ms,
        look_ms: args.job_ms / LOOK_FRACTION,
        rounds: args.rounds,
        node_limit_ms: NODE_LIMIT_MS,
        early_tolerance_ms: EARLY_TOLERANCE_MS,
        tick_stall_ms: TICK_STALL_MS,
        cases,
        right,
        judged,
    }
}

/// The report as text.
fn render(report: &Report) -> String {
    let rounds = report.rounds;
    let plural = if rounds == 1 { "" } else { "s" };
    let mut out = format!(
        "{} on {}, Linux {}\nA job takes {} ms; \"mid\" is {} ms into it; {rounds} round{plural} of \
         each case.\n",
        report.driver, report.device, report.head.kernel, report.job_ms, report.look_ms,
    );
    if rounds > 1 {
        out += "Times are medians (lowest .. highest) of the rounds.\n";
    }
    out += "\n";
    out += &table::header("release fences");
    for case in &report.cases {
        out += &format!("{}\n{}", case.title, table::section(&lines(case)));
    }
    out + &table::count(report.right, report.judged)
}

/// The lines of a case for the table; the same reason is said only once.
fn lines<'a>(case: &'a CaseReport) -> Vec<table::Line<'a>> {
    let mut said: Vec<&'a str> = Vec::new();
    let mut complaints = |line: &'a Line| {
        let Judgement::Wrong(reasons) = &line.judgement else {
            return Vec::new();
        };
        let title: Vec<&str> = line.what.title().split_whitespace().collect();
        let mut new = Vec::new();
        for reason in reasons {
            if !said.contains(&reason.as_str()) {
                said.push(reason);
                new.push(format!("{}: {reason}", title.join(" ")));
            }
        }
        new
    };
    let lines = case.lines.iter().map(|line| table::Line {
        title: line.what.title(),
        off: line.off.as_deref(),
        on: line.on.as_deref(),
        right: match line.judgement {
            Judgement::Right => Some(true),
            Judgement::Wrong(_) => Some(false),
            Judgement::NotJudged => None,
        },
        complaints: complaints(line),
    });
    lines.collect()
}
