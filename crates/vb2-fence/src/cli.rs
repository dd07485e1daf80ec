// SPDX-License-Identifier: GPL-2.0-only

//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::generate::GenerateArgs;
use crate::list::ListArgs;
use crate::probe::ProbeArgs;
use crate::stress::StressArgs;
use crate::watch::WatchArgs;

/// Shows whether consumers of V4L2 dma-bufs are told when a buffer is ready.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The program's commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run vim2m jobs and compare what a consumer sees with release fences off and on.
    #[command(long_about = REPORT_LONG)]
    Report(ReportArgs),
    /// List the video nodes and say whether they publish release fences.
    #[command(long_about = crate::list::LONG)]
    List(ListArgs),
    /// Run jobs on a device and say what a consumer of its buffers saw.
    #[command(long_about = crate::probe::LONG)]
    Probe(ProbeArgs),
    /// Watch the fences of a device while it works for somebody else.
    #[command(long_about = crate::watch::LONG)]
    Watch(WatchArgs),
    /// Run many jobs at once, with consumers that wait for their buffers.
    #[command(long_about = crate::stress::LONG)]
    Stress(StressArgs),
    /// Write the man page or shell completions.
    #[command(long_about = crate::generate::LONG)]
    Generate(GenerateArgs),
    /// Ask and wait in every way that consumers of a dma-buf have, with release fences off and on.
    #[command(long_about = crate::consumers::args::LONG)]
    Consumers(crate::consumers::args::ConsumersArgs),
    /// Show a picture on a display while it is being written, with release fences off and on.
    #[command(long_about = crate::scene::args::LONG)]
    Scene(crate::scene::args::SceneArgs),
    /// Be a small compositor that shows pictures which are being written: for strace.
    #[command(long_about = crate::compositor::args::LONG)]
    Compositor(crate::compositor::args::CompositorArgs),
}

/// Which halves of the comparison are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Halves {
    /// Release fences off only; also works on a kernel that does not have them.
    Off,
    /// Release fences on only.
    On,
    /// Both, side by side.
    Both,
}

impl Halves {
    /// Whether the half with the feature off is run.
    pub fn off(self) -> bool {
        self != Self::On
    }

    /// Whether the half with the feature on is run.
    pub fn on(self) -> bool {
        self != Self::Off
    }
}

/// What `--help` and the man page say of the command.
const REPORT_LONG: &str = "\
Run vim2m jobs and compare what a consumer sees with release fences off and on.

A job takes as long as --job-ms says. A quarter into it, and at its end, the program asks the video
node, the CAPTURE buffer's dma-buf and the fence behind it whether the picture is ready. It does so
for a buffer that was exported before the job, for a second export made while the job runs, and for
a buffer imported from the system dma-heap. The driver's parameter release_fences is set for each
half and put back at the end.";

/// Arguments of `vb2-fence report`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  vb2-fence report
  vb2-fence report --rounds 5 --json report.json
  vb2-fence report --json | jq .right
  vb2-fence report --feature off      (what a kernel without release fences does)

Exit status: 0 every line is right, 1 a line is wrong, 2 the report could not be made.")]
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
