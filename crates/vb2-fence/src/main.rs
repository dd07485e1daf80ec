// SPDX-License-Identifier: GPL-2.0-only

//! The command: see [`vb2_fence`] for the parts.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use vb2_fence::cli::{Cli, Command};
use vb2_fence::{board, compositor, consumers, generate, list, pipeline};
use vb2_fence::{probe, report, scene, stress, watch};

/// The program could not do what it was asked to: wrong usage, or something is missing here.
const CANNOT: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match &cli.command {
        Command::Report(args) if args.board => board::run(args),
        Command::Report(args) => report::run(args),
        Command::List(args) => list::run(args),
        Command::Probe(args) => probe::run(args),
        Command::Watch(args) => watch::run(args),
        Command::Stress(args) => stress::run(args),
        Command::Generate(args) => generate::run(args, Cli::command()),
        Command::Consumers(args) => consumers::run(args),
        Command::Scene(args) => scene::run(args),
        Command::Pipeline(args) => pipeline::run(args),
        Command::Compositor(args) => compositor::run(args),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(err) => {
            eprintln!("vb2-fence: {err:#}");
            ExitCode::from(CANNOT)
        }
    }
}
