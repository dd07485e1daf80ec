// SPDX-License-Identifier: GPL-2.0-only

//! Tables, JSON and plots of what was measured.

pub mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::Value;

use crate::log::Log;
use crate::row::{Row, Rows, Samples, VARIANTS};
use crate::stats::{median, median_interval, ratio_interval};
use crate::user::Line;
use crate::{gate, plot};

/// What took the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum TimeBy {
    /// A virtual machine on the processor itself.
    Kvm,
    /// User Mode Linux.
    Uml,
}

/// Arguments of `vb2-bench report`.
#[derive(Args, Debug)]
pub struct ReportArgs {
    /// Kernel log of the benchmark on a machine that counts instructions (scripts/kunit --accel icount).
    #[arg(long, value_name = "LOG")]
    pub instructions: PathBuf,

    /// Kernel logs of the benchmark on a machine with a clock.
    #[arg(long, value_name = "LOG", requires = "time_by")]
    pub time: Vec<PathBuf>,

    /// What that machine was.
    #[arg(long, value_enum, requires = "time")]
    pub time_by: Option<TimeBy>,

    /// Text and data of a kernel without release fences (=n) and of one with them (=y), as JSON.
    #[arg(long, value_name = "FILE")]
    pub sizes: Option<PathBuf>,

    /// What `vb2-bench user` wrote on such kernels.
    #[arg(long, value_name = "FILE")]
    pub user: Vec<PathBuf>,

    /// Write all of it, raw samples too, to this file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Write plots into this directory.
    #[arg(long, value_name = "DIRECTORY")]
    pub plots: Option<PathBuf>,

    /// Compare with the ratios that are recorded in this file.
    #[arg(long, value_name = "FILE")]
    pub gate: Option<PathBuf>,

    /// Record them there instead.
    #[arg(long, requires = "gate")]
    pub record: bool,
}

/// A variant of a row, per cycle. Intervals are those of 95 %.
#[derive(Debug, Serialize)]
pub struct Measured {
    median: f64,
    interval: [f64; 2],
    /// Ours divided by it.
    ours_to: f64,
    ours_to_interval: [f64; 2],
    samples: Vec<f64>,
}

fn measured(samples: &Samples) -> BTreeMap<String, Measured> {
    let ours = &samples["ours"];
    let each = samples.iter().map(|(name, samples)| {
        let measured = Measured {
            median: median(samples),
            interval: median_interval(samples),
            ours_to: median(ours) / median(samples),
            ours_to_interval: ratio_interval(ours, samples),
            samples: samples.clone(),
        };
        (name.clone(), measured)
    });
    each.collect()
}

/// A row of the JSON. Cold caches, and what needs two processors, have no count of instructions.
#[derive(Debug, Serialize)]
pub struct Both {
    #[serde(flatten)]
    row: Row,
    instructions: Option<BTreeMap<String, Measured>>,
    /// In nanoseconds.
    time: Option<BTreeMap<String, Measured>>,
}

/// Where it was measured.
#[derive(Debug, Serialize)]
pub struct Machine {
    processor: String,
    processors: usize,
    host_kernel: String,
    kernel: Option<String>,
    time_by: Option<TimeBy>,
}

/// The JSON.
#[derive(Debug, Serialize)]
pub struct Bench {
    machine: Machine,
    /// In bytes, of a buffer and its fence.
    memory: Option<Value>,
    /// In bytes, of text and data.
    sizes: Option<Value>,
    user: Vec<Line>,
    rows: Vec<Both>,
}

/// Runs the command; says whether no ratio got worse.
pub fn run(args: &ReportArgs) -> Result<bool> {
    let instructions = Log::read(std::slice::from_ref(&args.instructions))?.instructions()?;
    let time = match &args.time[..] {
        [] => None,
        logs => Some(Log::read(logs)?.nanoseconds()?),
    };
    let bench = bench(args, &instructions, time.as_ref())?;
    if let Some(path) = &args.json {
        let text = serde_json::to_string(&bench)? + "\n";
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(dir) = &args.plots {
        draw(dir, "instructions", &instructions.rows)?;
        if let Some(time) = &time {
            draw(dir, "nanoseconds", &time.rows)?;
        }
    }
    let mut text = show::render(&bench);
    let mut worse = Vec::new();
    if let Some(path) = &args.gate {
        let measured = gate::measured(&instructions.rows);
        let file = path.display();
        if args.record {
            gate::record(path, measured)?;
            text += &format!("\nrecorded the ratios of instructions in {file}\n");
        } else {
            worse = gate::compare(&gate::read(path)?, &measured);
            let count = worse.len();
            text += &format!("\n{count} ratios of instructions are worse than in {file}\n");
        }
    }
    let mut out = std::io::stdout().lock();
    write!(out, "{text}").context("cannot write")?;
    for line in &worse {
        eprintln!("vb2-bench: WORSE: {line}");
    }
    Ok(worse.is_empty())
}

fn bench(args: &ReportArgs, instructions: &Log, time: Option<&Log>) -> Result<Bench> {
    let none = Rows::new();
    let times = time.map_or(&none, |log| &log.rows);
    let names: BTreeSet<&Row> = instructions.rows.keys().chain(times.keys()).collect();
    let rows = names.into_iter().map(|row| Both {
        row: row.clone(),
        instructions: instructions.rows.get(row).map(measured),
        time: times.get(row).map(measured),
    });
    let mut user = Vec::new();
    for path in &args.user {
        let text = read(path)?;
        for line in text.lines() {
            let line = serde_json::from_str(line);
            user.push(line.with_context(|| format!("{} is not complete", path.display()))?);
        }
    }
    let mut sizes = None;
    if let Some(path) = &args.sizes {
        let text = read(path)?;
        let value = serde_json::from_str(&text);
        sizes = value.with_context(|| format!("{} has no sizes", path.display()))?;
    }
    Ok(Bench {
        machine: machine(instructions.kernel.clone(), args.time_by)?,
        memory: instructions.memory.clone(),
        sizes,
        user,
        rows: rows.collect(),
    })
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn machine(kernel: Option<String>, time_by: Option<TimeBy>) -> Result<Machine> {
    let cpuinfo = read(Path::new("/proc/cpuinfo"))?;
    let mut models = cpuinfo
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(": "));
    Ok(Machine {
        processor: models.next().map_or("unknown", |(_, name)| name).into(),
        processors: std::thread::available_parallelism()?.get(),
        host_kernel: read(Path::new("/proc/sys/kernel/osrelease"))?.trim().into(),
        kernel,
        time_by,
    })
}

/// Over what there is a plot, and how many of it the base case has.
const AXES: [(&str, u32); 3] = [("planes", 1), ("queues", 1), ("waiters", 0)];

fn axis<'a>(row: &'a mut Row, name: &str) -> &'a mut u32 {
    match name {
        "planes" => &mut row.planes,
        "queues" => &mut row.queues,
        _ => &mut row.waiters,
    }
}

fn draw(dir: &Path, unit: &str, rows: &Rows) -> Result<()> {
    for (name, base) in AXES {
        // The cycles that differ from the base case in nothing else.
        let mut lines = VARIANTS.map(|variant| (variant, Vec::new()));
        for (row, samples) in rows {
            let mut other = row.clone();
            let x = f64::from(std::mem::replace(axis(&mut other, name), base));
            if !row.is_cycle() || !other.is_base() {
                continue;
            }
            for (variant, points) in &mut lines {
                points.push((x, median(&samples[*variant])));
            }
        }
        let path = dir.join(format!("{unit}-{name}.svg"));
        plot::write(&path, name, unit, &lines)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::tests::log;
    use clap::Parser;

    /// A benchmark with a row of each kind; what ours takes in the base case is given.
    fn example(unit: &str, ours: u64) -> String {
        let mut planes = Row::base("cycle");
        planes.planes = 8;
        let mut contended = Row::base("cycle");
        contended.contended = true;
        log(&Row::base("cycle"), unit, [1000, 2000, 2500, ours])
            + &log(&Row::base("arm"), unit, [500, 1000, 1200, 1250])
            + &log(&planes, unit, [4000, 8000, 9000, 9900])
            + &log(&contended, unit, [1, 2, 3, 4])
            + "# bench-size: {\"fence_ours\":192}\n"
    }

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: ReportArgs,
    }

    /// Runs the command on the files in a directory.
    fn run_in(dir: &Path, more: &[&str]) -> Result<bool> {
        let file = |name: &str| dir.join(name).display().to_string();
        let (log, json, gate) = (file("log"), file("json"), file("gate"));
        let mut line = vec!["report", "--instructions", log.as_str()];
        line.extend(["--json", json.as_str(), "--gate", gate.as_str()]);
        line.extend(more);
        run(&Command::parse_from(line).args)
    }

    #[test]
    fn a_log_becomes_json_and_plots_and_a_verdict() {
        let dir = std::env::temp_dir().join(format!("vb2-bench-report-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("log"), example("tsc", 2500)).unwrap();
        let plots = dir.display().to_string();
        assert!(run_in(&dir, &[]).is_err());
        assert!(run_in(&dir, &["--plots", &plots, "--record"]).unwrap());
        let plot = read(&dir.join("instructions-planes.svg")).unwrap();
        assert_eq!(plot.matches("<circle").count(), 8);
        assert!(VARIANTS.iter().all(|name| plot.contains(name)));

        let clock = dir.join("clock");
        fs::write(&clock, example("ns", 2500)).unwrap();
        let clock = clock.display().to_string();
        assert!(run_in(&dir, &["--time", &clock, "--time-by", "uml"]).unwrap());
        let json: Value = serde_json::from_str(&read(&dir.join("json")).unwrap()).unwrap();
        assert_eq!(json["machine"]["time_by"], "uml");
        assert_eq!(json["memory"]["fence_ours"], 192);
        let rows = json["rows"].as_array().unwrap();
        assert_eq!(rows.len(), 4);
        let row = rows.iter().find(|row| row["planes"] == 8).unwrap();
        assert_eq!(row["case"], "cycle");
        assert_eq!(row["instructions"]["ours"]["median"], 9900.0);
        assert_eq!(row["instructions"]["c_helpers"]["ours_to"], 1.1);
        assert_eq!(row["time"]["floor"]["samples"][2], 4000.0);

        fs::write(dir.join("log"), example("tsc", 2550)).unwrap();
        assert!(!run_in(&dir, &[]).unwrap());
        fs::remove_dir_all(&dir).unwrap();
    }
}
