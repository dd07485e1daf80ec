// SPDX-License-Identifier: GPL-2.0-only

//! The command line.

use clap::{Parser, Subcommand};

use crate::{compositor, consumers, generate, list, pipeline, probe, report, scene, stress, watch};

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
    /// Run vim2m jobs and compare what a consumer sees with release fences off and on; or test a board.
    #[command(long_about = report::LONG)]
    Report(report::ReportArgs),
    /// List the video nodes and say which fences they have.
    #[command(long_about = list::LONG)]
    List(list::ListArgs),
    /// Run jobs on a device, say what a consumer of its buffers saw, and whether it waits for others.
    #[command(long_about = probe::LONG)]
    Probe(probe::ProbeArgs),
    /// Watch the fences of a device while another program uses it.
    #[command(long_about = watch::LONG)]
    Watch(watch::WatchArgs),
    /// Run many jobs at once, with consumers that wait for their buffers.
    #[command(long_about = stress::LONG)]
    Stress(stress::StressArgs),
    /// Write the man page or shell completions.
    #[command(long_about = generate::LONG)]
    Generate(generate::GenerateArgs),
    /// Ask and wait in every way that consumers of a dma-buf have, with release fences off and on.
    #[command(long_about = consumers::args::LONG)]
    Consumers(consumers::args::ConsumersArgs),
    /// Show a picture on a display while it is being written, with release fences off and on.
    #[command(long_about = scene::args::LONG)]
    Scene(scene::args::SceneArgs),
    /// Decode, convert and display: with DQBUF in between, and handing on what is not done yet.
    #[command(long_about = pipeline::args::LONG)]
    Pipeline(pipeline::args::PipelineArgs),
    /// Be a small compositor that shows pictures which are being written: for strace.
    #[command(long_about = compositor::args::LONG)]
    Compositor(compositor::args::CompositorArgs),
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
