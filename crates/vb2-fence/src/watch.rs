// SPDX-License-Identifier: GPL-2.0-only

//! `vb2-fence watch`: the fences of a device while another program uses it, and those that its
//! buffers wait for.

pub mod counter;
mod owner;
mod report;
mod show;
mod stats;
mod waiter;
mod waits;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use self::owner::Owners;
use self::report::Report;
use self::show::Display;
use self::stats::{QueueReport, Stats};
use self::waiter::{Foreign, Waiter};
use crate::json;
use uapi::clock::{self, ms_between, Ns, MS};
use uapi::device::Node;
use uapi::interrupt::Interrupt;
use uapi::tracefs::Instance;

/// Between two looks at the trace.
const TICK: Duration = Duration::from_millis(50);

/// What `--help` and the man page say of the command.
pub const LONG: &str = "\
Watch the release and acquire fences of a device while another program uses it.

The trace events of videobuf2 and dma_fence are read through a trace instance of its own, which is
removed at the end. For each queue of the device it shows fences armed, pending and signalled,
errors, the time from armed to signalled, and the time from the signal until a waiter runs again. A
waiter is a task that waits in the kernel, such as one of a GPU driver, or a thread of this program
on a dma-buf of the program that is watched (--waiter).

Below a queue is whose fences its buffers had to wait for when they were queued, by driver and
timeline: how many, how long, which are waited for now, and those that were given up since they
did not end in time. A kernel without the trace events vb2_acquire_fence_waiting and _ended does not
tell, and the program says so.

The events name the queue and not the node, which follows from the events beside them: a queue can
be shown a little later than its first fence.";

/// Arguments of `vb2-fence watch`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  vb2-fence watch /dev/video3
  vb2-fence watch /dev/video3 --seconds 10 --json
  vb2-fence watch /dev/video3 --waiter 1234:17

Exit status: 0; 1 if a fence was signalled with an error other than ECANCELED, that of a queue that
is stopped, or if one that a buffer waited for was given up; 2 if nothing could be watched.")]
pub struct WatchArgs {
    /// The video node.
    #[arg(value_name = "DEVICE")]
    pub device: PathBuf,

    /// Stop after so many seconds [default: until Ctrl-C].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub seconds: Option<u64>,

    /// Milliseconds between two reports.
    #[arg(long, value_name = "MS", default_value_t = 1000,
          value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    pub interval: u64,

    /// Also wait for the fences of a dma-buf: descriptor FD of the process PID.
    #[arg(long, value_name = "PID:FD", value_parser = Foreign::parse)]
    pub waiter: Option<Foreign>,

    /// Write JSON: an object in a line for each interval, and one at the end.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &WatchArgs) -> Result<bool> {
    let node = Node::at(&args.device)?;
    let minor = minor_of(&node.path)?;
    let interrupt = Interrupt::catch()?;
    let mut watch = Watch {
        instance: Instance::new(true)?,
        waiter: args.waiter.map(Waiter::start).transpose()?,
        stats: Stats::default(),
        owners: Owners::default(),
        started: clock::now(),
    };
    let mut display = Display::new(args.json, &node, watch.instance.acquires());
    let end = args
        .seconds
        .map(|seconds| watch.started + seconds * 1000 * MS);
    let mut next = watch.started + args.interval * MS;
    while !interrupt.came() && end.is_none_or(|end| clock::now() < end) {
        std::thread::sleep(TICK);
        watch.step()?;
        if clock::now() >= next {
            next += args.interval * MS;
            display.interval(&watch.report("interval", &node.path, minor))?;
        }
    }
    watch.step()?;
    let report = watch.report("summary", &node.path, minor);
    // Removes the instance before anything is said.
    drop(watch);
    display.summary(&report)?;
    let failed = |queue: &QueueReport| {
        let given_up = queue.waits_for.iter().any(|user| user.given_up > 0);
        given_up || queue.errors.keys().any(|&error| error != -CANCELLED)
    };
    Ok(!report.queues.iter().any(failed))
}

/// ECANCELED.
const CANCELLED: i32 = rustix::io::Errno::CANCELED.raw_os_error();

/// What a watch needs.
struct Watch {
    instance: Instance,
    waiter: Option<Waiter>,
    stats: Stats,
    owners: Owners,
    started: Ns,
}

impl Watch {
    /// Takes in what has come since the last time.
    fn step(&mut self) -> Result<()> {
        for line in self.instance.read()? {
            self.owners.see(&line);
            self.stats.see(&line);
        }
        for wakeup in self.waiter.iter().flat_map(Waiter::take) {
            self.stats.add_wakeup(&wakeup.queue, wakeup.took);
        }
        Ok(())
    }

    fn report(&self, kind: &'static str, device: &Path, minor: u32) -> Report {
        let of_device = |queue: &str| self.owners.minor(queue) == Some(minor);
        let unknown = self
            .stats
            .report(|queue| self.owners.minor(queue).is_none());
        Report {
            schema_version: json::SCHEMA_VERSION,
            kind,
            device: device.to_owned(),
            seconds: ms_between(self.started, clock::now()) / 1000.0,
            acquire_events: self.instance.acquires(),
            queues: self.stats.report(of_device),
            unknown: unknown.iter().map(|queue| queue.armed).sum(),
            lost_events: self.stats.lost,
        }
    }
}

fn minor_of(node: &Path) -> Result<u32> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(node).with_context(|| format!("{}", node.display()))?;
    Ok(rustix::fs::minor(metadata.rdev()))
}
