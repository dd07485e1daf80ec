// SPDX-License-Identifier: GPL-2.0-only

//! Tables, JSON and plots of what was measured.

pub mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use serde::de::DeserializeOwned;
use serde::Serialize;
use serde_json::Value;

use crate::log::Log;
use crate::row::{Row, Rows, Samples, HOOKS, VARIANTS};
use crate::stats::{median, median_interval, ratio_interval};
use crate::user::Line;
use crate::{gate, plot};

/// Arguments of `vb2-bench report`.
#[derive(Args, Debug)]
pub struct ReportArgs {
    /// What scripts/bench left there: instructions.log and time.log, kernel logs of the benchmark on a
    /// machine that counts instructions and on one with a clock; sizes.json, text and data of kernels
    /// without release fences and with them; user-off.jsonl and user-on.jsonl, what `vb2-bench user`
    /// wrote there. All but the first may be missing. Plots are written into it.
    pub dir: PathBuf,

    /// Write all of it, raw samples too, to this file.
    #[arg(long, value_name = "FILE")]
    pub json: PathBuf,

    /// Compare with the counts of instructions that are recorded in this file.
    #[arg(long, value_name = "FILE")]
    pub gate: PathBuf,

    /// Record them there instead.
    #[arg(long)]
    pub record: bool,
}

/// A variant of a row, per cycle. Intervals are those of 95 %.
#[derive(Debug, Serialize)]
pub struct Measured {
    median: f64,
    interval: [f64; 2],
    /// Ours, or with the hooks, divided by it.
    ours_to: f64,
    ours_to_interval: [f64; 2],
    samples: Vec<f64>,
}

fn measured(samples: &Samples) -> BTreeMap<String, Measured> {
    let ours = samples.get("ours").unwrap_or_else(|| &samples[HOOKS[1]]);
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
    /// "kvm" or "uml".
    time_by: Option<&'static str>,
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

/// Runs the command; says whether nothing got worse.
pub fn run(args: &ReportArgs) -> Result<bool> {
    let (dir, file) = (&args.dir, args.gate.display());
    let instructions = Log::read(&dir.join("instructions.log"))?.instructions()?;
    draw(dir, "instructions", &instructions.rows)?;
    let time = dir.join("time.log");
    let time = time.exists().then(|| Log::read(&time)?.nanoseconds());
    let time = time.transpose()?;
    if let Some(time) = &time {
        draw(dir, "nanoseconds", &time.rows)?;
    }
    let counts = gate::measured(&instructions.rows);
    let bench = bench(dir, instructions, time)?;
    let text = serde_json::to_string(&bench)? + "\n";
    fs::write(&args.json, text).context("cannot write the JSON")?;
    let mut text = show::render(&bench);
    let mut worse = Vec::new();
    if args.record {
        let counts = serde_json::to_string_pretty(&counts)? + "\n";
        fs::write(&args.gate, counts).with_context(|| format!("cannot write {file}"))?;
        text += &format!("\nrecorded the counts of instructions in {file}\n");
    } else {
        let recorded = serde_json::from_str(&read(&args.gate)?);
        let recorded = recorded.with_context(|| format!("{file} has no counts"))?;
        worse = gate::compare(&recorded, &counts);
        let count = worse.len();
        text += &format!("\n{count} counts of instructions are worse than in {file}\n");
    }
    let mut out = std::io::stdout().lock();
    write!(out, "{text}").context("cannot write")?;
    for line in &worse {
        eprintln!("vb2-bench: WORSE: {line}");
    }
    Ok(worse.is_empty())
}

fn bench(dir: &Path, instructions: Log, time: Option<Log>) -> Result<Bench> {
    let time_by = time.as_ref().map(|time| match time.is_of_uml() {
        true => "uml",
        false => "kvm",
    });
    let times = time.map_or_else(Rows::new, |log| log.rows);
    let names: BTreeSet<&Row> = instructions.rows.keys().chain(times.keys()).collect();
    let rows = names.into_iter().map(|row| Both {
        row: row.clone(),
        instructions: instructions.rows.get(row).map(measured),
        time: times.get(row).map(measured),
    });
    let rows = rows.collect();
    let mut user = values(&dir.join("user-off.jsonl"))?;
    user.extend(values(&dir.join("user-on.jsonl"))?);
    Ok(Bench {
        machine: machine(instructions.kernel, time_by)?,
        memory: instructions.memory,
        sizes: values(&dir.join("sizes.json"))?.pop(),
        user,
        rows,
    })
}

/// What JSON is in a file; nothing if there is none.
fn values<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = read(path)?;
    let values = serde_json::Deserializer::from_str(&text).into_iter();
    let values = values.collect::<serde_json::Result<_>>();
    values.with_context(|| format!("{} is not complete", path.display()))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn machine(kernel: Option<String>, time_by: Option<&'static str>) -> Result<Machine> {
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

fn draw(dir: &Path, unit: &str, rows: &Rows) -> Result<()> {
    for axis in ["planes", "queues", "waiters"] {
        let mut lines = VARIANTS.map(|variant| (variant, Vec::new()));
        for (row, samples) in rows {
            if !row.is_cycle() || !row.is_base_but(axis) {
                continue;
            }
            let numbers = row.numbers().into_iter();
            let x = numbers.filter_map(|(name, number, _)| (name == axis).then_some(number));
            let x = f64::from(x.sum::<u32>());
            for (variant, points) in &mut lines {
                points.push((x, median(&samples[*variant])));
            }
        }
        let path = dir.join(format!("{unit}-{axis}.svg"));
        plot::write(&path, axis, unit, &lines)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::tests::log;

    /// A benchmark with a row of each kind; what ours takes in the base case is given.
    fn example(unit: &str, ours: u64) -> String {
        let planes = log("cycle", unit, &[4000, 8000, 9000, 9900]);
        let contended = log("cycle", unit, &[1, 2, 3, 4]);
        log("cycle", unit, &[1000, 2000, 2500, ours])
            + &log("arm", unit, &[500, 1000, 1200, 1250])
            + &planes.replace("\"planes\":1", "\"planes\":8")
            + &contended.replace("\"contended\":false", "\"contended\":true")
            + &log("qbuf", unit, &[600, 603])
            + "# bench-size: {\"fence_ours\":192}\n"
    }

    #[test]
    fn logs_become_json_and_plots_and_a_verdict() {
        let dir = std::env::temp_dir().join(format!("vb2-bench-report-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let file = |name: &str| dir.join(name);
        let run = |record| {
            run(&ReportArgs {
                dir: dir.clone(),
                json: file("json"),
                gate: file("gate"),
                record,
            })
        };
        assert!(run(true).is_err());
        fs::write(file("instructions.log"), example("tsc", 2500)).unwrap();
        assert!(run(false).is_err());
        assert!(run(true).unwrap());
        let plot = read(&file("instructions-planes.svg")).unwrap();
        assert_eq!(plot.matches("<circle").count(), 8);
        assert!(VARIANTS.iter().all(|name| plot.contains(name)));

        fs::write(file("time.log"), example("ns", 2500)).unwrap();
        fs::write(file("sizes.json"), "{\"off\": {}}").unwrap();
        assert!(run(false).unwrap());
        let json: Value = values(&file("json")).unwrap().remove(0);
        assert_eq!(json["machine"]["time_by"], "uml");
        assert_eq!(json["memory"]["fence_ours"], 192);
        assert!(json["sizes"]["off"].is_object());
        let rows = json["rows"].as_array().unwrap();
        assert_eq!(rows.len(), 5);
        let find = |what: &str, value: Value| rows.iter().find(|row| row[what] == value).unwrap();
        let row = find("planes", 8.into());
        assert_eq!(row["case"], "cycle");
        assert_eq!(row["instructions"]["ours"]["median"], 9900.0);
        assert_eq!(row["instructions"]["c_helpers"]["ours_to"], 1.1);
        assert_eq!(row["time"]["floor"]["samples"][2], 4000.0);
        let hooks = find("case", "qbuf".into());
        assert_eq!(hooks["instructions"]["off"]["ours_to"], 1.005);

        fs::write(file("instructions.log"), example("tsc", 2550)).unwrap();
        assert!(!run(false).unwrap());
        fs::remove_dir_all(&dir).unwrap();
    }
}
