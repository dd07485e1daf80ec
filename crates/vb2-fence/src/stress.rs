// SPDX-License-Identifier: GPL-2.0-only

//! `vb2-fence stress`: many jobs in many contexts, with consumers that wait for their buffers.

pub mod context;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{anyhow, ensure, Context, Result};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{json, Value};
use v4l2r::PixelFormat;

use self::context::{Contextual, Counts};
use crate::json::{self, Head};
use crate::probe::feed::{Feeder, Raw, Setup};
use crate::probe::{parse_fourcc, parse_size};
use crate::watch::counter::Counter;
use uapi::clock::{self, ms_between, MS};
use uapi::device::Node;
use uapi::interrupt::Interrupt;
use uapi::stream::Stream;

/// The driver that every machine can have.
const DEFAULT_DRIVER: &str = "vim2m";

/// Between two looks at how it goes.
const TICK: Duration = Duration::from_millis(100);

/// A buffer may be with the device for half of a job after its fence, but no less than this: the
/// driver tells one after the other, and a machine can be held up in between.
const TOLERANCE_MS: u64 = 20;

/// What `--help` and the man page say of the command.
pub const LONG: &str = "\
Run many jobs in many contexts of a device that converts raw pictures, with consumers that wait.

Each context has so many buffers on both queues and keeps them all queued. A consumer of each
context takes the fences of its CAPTURE buffers as they appear, waits for each, and then asks
whether the device still has the buffer: that would be a stale fence. Where tracefs can be used
(root), fences are counted by the trace events as well.";

/// Arguments of `vb2-fence stress`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  vb2-fence stress --seconds 60
  vb2-fence stress /dev/video1 --contexts 8 --buffers 6 --json

Exit status: 0 all right; 1 no fences, stale or stuck ones, errors, or jobs that failed; 2 it could
not be done.")]
pub struct StressArgs {
    /// The video node [default: the first one of the vim2m driver].
    #[arg(value_name = "DEVICE")]
    pub device: Option<PathBuf>,

    /// How many contexts work at once.
    #[arg(long, value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u32).range(1..=64))]
    pub contexts: u32,

    /// How many buffers each queue has.
    #[arg(long, value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u32).range(1..=32))]
    pub buffers: u32,

    /// How long.
    #[arg(long, value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub seconds: u64,

    /// Stop after so many jobs, if they are done before the time is over; exit status 1 if not.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub jobs: Option<u64>,

    /// How long a job takes in milliseconds: a driver that can be told (vim2m) is, and a fence that
    /// ends half of that before its job is stale.
    #[arg(long, value_name = "MS", default_value_t = 40,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub job_ms: u32,

    /// How long after its fence the device may still have a buffer, in milliseconds, before the
    /// fence is called stale [default: half of a job, but no less than 20; a machine with more
    /// threads than processors needs more].
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub tolerance_ms: Option<u64>,

    /// The size of the picture.
    #[arg(long, value_name = "WxH", value_parser = parse_size)]
    pub size: Option<(u32, u32)>,

    /// The format of the pictures, by its four characters.
    #[arg(long, value_name = "FOURCC", value_parser = parse_fourcc)]
    pub format: Option<PixelFormat>,

    /// Write JSON.
    #[arg(long)]
    pub json: bool,
}

/// What the command shows; its JSON has the same fields.
#[derive(Debug, Serialize)]
pub struct Summary {
    #[serde(flatten)]
    head: Head,
    device: PathBuf,
    driver: String,
    jobs_are: String,
    contexts: u32,
    buffers: u32,
    seconds: f64,
    jobs: u64,
    jobs_per_second: f64,
    /// How many jobs were asked for.
    jobs_wanted: Option<u64>,
    failed_jobs: u64,
    /// Fences that consumers saw pending, and waited for.
    waited: u64,
    stuck: u64,
    stale: u64,
    fence_errors: BTreeMap<u32, u64>,
    slowest_wakeup_ms: f64,
    /// Of the CAPTURE queues; `None` without tracefs.
    traced: Option<Traced>,
    /// Why there is none.
    not_traced: Option<String>,
    /// What the tests add up.
    counts: Value,
    right: bool,
}

/// What the trace events say.
#[derive(Debug, Serialize)]
pub struct Traced {
    armed: u64,
    signalled: u64,
    errors: BTreeMap<i32, u64>,
    lost_events: u64,
}

/// Runs the command; says whether all is right.
pub fn run(args: &StressArgs) -> Result<bool> {
    let node = match &args.device {
        Some(path) => Node::at(path)?,
        None => Node::find(DEFAULT_DRIVER)?,
    };
    let path = node.path.display().to_string();
    ensure!(
        node.queues.m2m,
        "{path} is not a memory-to-memory device; `vb2-fence list` shows them"
    );
    let setup = Setup {
        node,
        heap: Err("nothing is imported".into()),
        job_ms: args.job_ms,
        size: args.size,
        format: args.format,
    };
    let raw = Raw::new(&setup, &Stream::open(&setup.node.path)?)
        .context("only a device that takes raw pictures can be fed here")?;
    // What cannot work is said before anything is shown.
    raw.open(&setup).with_context(|| path.clone())?;
    let interrupt = Interrupt::catch()?;
    let (mut counter, not_traced) = match Counter::start() {
        Ok(counter) => (Some(counter), None),
        Err(err) => (None, Some(format!("{err:#}"))),
    };
    let counts = Counts::default();
    let started = clock::now();
    run_contexts(args, &setup, &raw, &counts, &mut counter, &interrupt)?;
    let seconds = ms_between(started, clock::now()) / 1000.0;

    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let rare = counts.rare().clone();
    let traced = counter.map(|counter| traced(&counter, &rare.queues));
    let mut summary = Summary {
        head: Head::new(),
        device: setup.node.path.clone(),
        driver: setup.node.driver.clone(),
        jobs_are: raw.describe(),
        contexts: args.contexts,
        buffers: args.buffers,
        seconds,
        jobs: load(&counts.jobs),
        jobs_per_second: load(&counts.jobs) as f64 / seconds,
        jobs_wanted: args.jobs,
        failed_jobs: load(&counts.failed_jobs),
        waited: load(&counts.waited),
        stuck: load(&counts.stuck),
        stale: load(&counts.stale),
        fence_errors: rare.fence_errors,
        slowest_wakeup_ms: rare.slowest_wakeup_ms,
        traced,
        not_traced,
        counts: Value::Null,
        right: false,
    };
    summary.counts = sums(&summary);
    summary.right = is_right(&summary);
    if args.json {
        json::print(&summary)?;
    } else {
        json::print_text(&render(&summary))?;
    }
    Ok(summary.right)
}

fn run_contexts(
    args: &StressArgs,
    setup: &Setup,
    raw: &Raw,
    counts: &Counts,
    counter: &mut Option<Counter>,
    interrupt: &Interrupt,
) -> Result<()> {
    let stop = AtomicBool::new(false);
    let context = Contextual {
        raw,
        setup,
        buffers: args.buffers,
        tolerance_ms: args
            .tolerance_ms
            .unwrap_or_else(|| (u64::from(args.job_ms) / 2).max(TOLERANCE_MS)),
        stop: &stop,
        counts,
    };
    let bar = progress(args);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..args.contexts)
            .map(|_| scope.spawn(|| context.run()))
            .collect();
        let started = clock::now();
        let watched = loop {
            let passed = clock::now() - started;
            let ended = threads.iter().any(|thread| thread.is_finished());
            let enough = args
                .jobs
                .is_some_and(|jobs| counts.jobs.load(Ordering::Relaxed) >= jobs);
            if ended || enough || interrupt.came() || passed >= args.seconds * 1000 * MS {
                break Ok(());
            }
            bar.set_position(passed / MS);
            bar.set_message(format!(
                "{} jobs, {} fences, {} stale",
                counts.jobs.load(Ordering::Relaxed),
                counts.waited.load(Ordering::Relaxed),
                counts.stale.load(Ordering::Relaxed)
            ));
            if let Err(err) = counter.as_mut().map_or(Ok(()), Counter::step) {
                break Err(err);
            }
            std::thread::sleep(TICK);
        };
        stop.store(true, Ordering::Relaxed);
        let results: Vec<Result<()>> = threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(anyhow!("a context panicked")))
            })
            .collect();
        bar.finish_and_clear();
        watched?;
        results.into_iter().collect::<Result<()>>()?;
        counter.as_mut().map_or(Ok(()), Counter::step)?;
        interrupt.check()
    })
}

/// Only on a terminal; elsewhere the summary is all.
fn progress(args: &StressArgs) -> ProgressBar {
    let bar = ProgressBar::new(args.seconds * 1000);
    let template = "{wide_bar} {percent} %  {msg}  {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn traced(counter: &Counter, queues: &std::collections::BTreeSet<String>) -> Traced {
    let (reports, lost_events) = counter.report(|queue| queues.contains(queue));
    let mut traced = Traced {
        armed: 0,
        signalled: 0,
        errors: BTreeMap::new(),
        lost_events,
    };
    for report in reports {
        traced.armed += report.armed;
        traced.signalled += report.signalled;
        for (errno, count) in report.errors {
            *traced.errors.entry(errno).or_default() += count;
        }
    }
    traced
}

/// How often what happened, in the form that all test programs have.
fn sums(summary: &Summary) -> Value {
    let mut sums = json!({
        "suite": "load",
        "operations": {
            "QBUF": 2 * summary.jobs,
            "jobs": summary.jobs,
            "done": summary.jobs,
            "callbacks": summary.waited,
        },
    });
    if let Some(traced) = &summary.traced {
        let left = traced.armed.saturating_sub(traced.signalled);
        sums["fences"] = json!({"made": traced.armed, "left": left});
    }
    sums
}

/// Fences were seen, and none of them is wrong.
fn is_right(summary: &Summary) -> bool {
    let traced = summary.traced.as_ref().is_none_or(|traced| {
        traced.errors.is_empty() && (traced.armed == traced.signalled || traced.lost_events > 0)
    });
    let bad = summary.failed_jobs + summary.stuck + summary.stale;
    let all = summary.jobs_wanted.is_none_or(|jobs| summary.jobs >= jobs);
    all && summary.waited > 0 && bad == 0 && summary.fence_errors.is_empty() && traced
}

fn render(summary: &Summary) -> String {
    let mut lines = vec![
        format!(
            "{} ({}), Linux {}: {}",
            summary.device.display(),
            summary.driver,
            summary.head.kernel,
            summary.jobs_are
        ),
        format!(
            "{} contexts with {} buffers, {:.1} s: {} jobs ({:.1} per second), {} failed",
            summary.contexts,
            summary.buffers,
            summary.seconds,
            summary.jobs,
            summary.jobs_per_second,
            summary.failed_jobs
        ),
        format!(
            "consumers: {} fences waited for, {} stale, {} stuck, slowest wake-up {:.1} ms",
            summary.waited, summary.stale, summary.stuck, summary.slowest_wakeup_ms
        ),
    ];
    for (errno, count) in &summary.fence_errors {
        let error = std::io::Error::from_raw_os_error(i32::try_from(*errno).unwrap_or(i32::MAX));
        lines.push(format!("consumers: {count} fences with error {error}"));
    }
    match (&summary.traced, &summary.not_traced) {
        (Some(traced), _) => lines.push(format!(
            "trace: {} fences armed, {} signalled, {} with errors, {} events dropped",
            traced.armed,
            traced.signalled,
            traced.errors.values().sum::<u64>(),
            traced.lost_events
        )),
        (None, Some(why)) => lines.push(format!("trace: none, {why}")),
        (None, None) => {}
    }
    if let Some(wanted) = summary.jobs_wanted.filter(|jobs| summary.jobs < *jobs) {
        lines.push(format!("the time was over before {wanted} jobs were done"));
    }
    lines.push(match (summary.right, summary.waited) {
        (true, _) => "right".into(),
        (false, 0) => "WRONG: no fence was seen; the device does not publish".into(),
        (false, _) => "WRONG".into(),
    });
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        Summary {
            head: Head::new(),
            device: "/dev/video0".into(),
            driver: "vim2m".into(),
            jobs_are: "jobs".into(),
            contexts: 1,
            buffers: 1,
            seconds: 1.0,
            jobs: 10,
            jobs_per_second: 10.0,
            jobs_wanted: Some(10),
            failed_jobs: 0,
            waited: 9,
            stuck: 0,
            stale: 0,
            fence_errors: BTreeMap::new(),
            slowest_wakeup_ms: 1.0,
            traced: Some(Traced {
                armed: 10,
                signalled: 10,
                errors: BTreeMap::new(),
                lost_events: 0,
            }),
            not_traced: None,
            counts: Value::Null,
            right: true,
        }
    }

    #[test]
    fn what_is_right() {
        assert!(is_right(&summary()));
        let breakages: [fn(&mut Summary); 8] = [
            |s| s.waited = 0,
            |s| s.stuck = 1,
            |s| s.stale = 1,
            |s| s.jobs = 9,
            |s| s.failed_jobs = 1,
            |s| s.fence_errors = BTreeMap::from([(5, 1)]),
            |s| s.traced.as_mut().unwrap().signalled = 9,
            |s| s.traced.as_mut().unwrap().errors = BTreeMap::from([(-5, 1)]),
        ];
        for (number, breakage) in breakages.iter().enumerate() {
            let mut broken = summary();
            breakage(&mut broken);
            assert!(!is_right(&broken), "{number}");
        }
        let mut untraced = summary();
        untraced.traced = None;
        assert!(is_right(&untraced));
    }

    #[test]
    fn counts_are_those_of_all_suites() {
        let counts = sums(&summary()).to_string();
        assert_eq!(
            counts,
            r#"{"fences":{"left":0,"made":10},"operations":{"QBUF":20,"callbacks":9,"done":10,"jobs":10},"suite":"load"}"#
        );
        let mut untraced = summary();
        untraced.traced = None;
        assert!(sums(&untraced)["fences"].is_null());
    }

    #[test]
    fn says_that_nothing_was_published() {
        let mut none = summary();
        (none.waited, none.right) = (0, false);
        assert!(render(&none).contains("does not publish"));
        assert!(render(&summary()).ends_with("right\n"));
    }
}
