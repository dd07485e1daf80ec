// SPDX-License-Identifier: GPL-2.0-only

//! What release fences cost.
//!
//! - [`log`] reads what the kernel's benchmark printed, about [`row`]s; [`stats`] says what that means;
//! - [`user`] measures from user space, in the virtual machine;
//! - [`report`] makes JSON, [`table`]s and [`plot`]s of both;
//! - [`gate`] compares counts of instructions with those that are recorded.

mod gate;
mod log;
mod plot;
mod report;
mod row;
mod stats;
mod table;
mod user;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Something is missing here, or wrong usage.
const CANNOT: u8 = 2;

/// Says what release fences cost.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make tables, JSON and plots of what was measured.
    ///
    /// Exit status: 0; 1 if a count of instructions got worse than the recorded one; 2 if it could not
    /// be done.
    Report(report::ReportArgs),
    /// Measure from user space, on vim2m and the emulated rockchip-rga and hantro, as root.
    ///
    /// Writes a JSON object a line. Where the driver has its parameter release_fences, it is switched
    /// off and on for each measurement; otherwise the kernel has no release fences.
    User(user::UserArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match &cli.command {
        Command::Report(args) => report::run(args),
        Command::User(args) => user::run(args).map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(err) => {
            eprintln!("vb2-bench: {err:#}");
            ExitCode::from(CANNOT)
        }
    }
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
