// SPDX-License-Identifier: GPL-2.0-only

//! The kernel log of a boot that ran the benchmark.

use std::fs;
use std::path::Path;

use anyhow::{bail, ensure, Context, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::row::{Row, Rows, ACQUIRE, HOOKS, VARIANTS};

/// A line of samples. Those of a row and variant may be in several.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(flatten)]
    row: Row,
    variant: String,
    unit: String,
    cycles: u32,
    /// Sums over the cycles.
    samples: Vec<u64>,
}

/// What a log says.
#[derive(Debug, Default)]
pub struct Log {
    /// The release of the kernel.
    pub kernel: Option<String>,
    /// What a buffer and its fence take of the allocator.
    pub memory: Option<Value>,
    /// What a cycle took.
    pub rows: Rows,
    unit: String,
    /// How fast the time-stamp counter counts.
    mhz: Option<f64>,
}

impl Log {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        let name = path.display();
        let bytes = fs::read(path).with_context(|| format!("cannot read {name}"))?;
        Self::parse(&String::from_utf8_lossy(&bytes)).with_context(|| format!("{name}"))
    }

    /// Reads the text of one.
    pub fn parse(text: &str) -> Result<Self> {
        let mut log = Self::default();
        for line in text.lines() {
            if let Some((_, json)) = line.split_once("# bench: ") {
                let line = serde_json::from_str(json);
                log.add(line.with_context(|| format!("no line of the benchmark: {json}"))?)?;
            } else if let Some((_, json)) = line.split_once("# bench-size: ") {
                let memory = serde_json::from_str(json);
                log.memory = Some(memory.with_context(|| format!("no sizes: {json}"))?);
            } else if let Some((_, release)) = line.split_once("Linux version ") {
                log.kernel = release.split(' ').next().map(str::to_owned);
            } else if let Some(mhz) = counter_mhz(line) {
                // The last one is the most exact.
                log.mhz = Some(mhz);
            }
        }
        // A log that breaks off has fewer samples of one variant.
        ensure!(!log.rows.is_empty(), "the benchmark did not run");
        for (row, samples) in &log.rows {
            let counts: Vec<_> = samples
                .iter()
                .map(|(name, all)| (name, all.len()))
                .collect();
            let all = |names: &[&str]| {
                let same = |name: &&str| samples.get(*name).map(Vec::len) == Some(counts[0].1);
                names.len() == counts.len() && names.iter().all(same)
            };
            ensure!(
                all(&VARIANTS) || all(&HOOKS) || all(&ACQUIRE),
                "{row} is not complete: samples of {counts:?}"
            );
        }
        Ok(log)
    }

    fn add(&mut self, line: Line) -> Result<()> {
        let Line { unit, cycles, .. } = line;
        ensure!(
            self.unit.is_empty() || self.unit == unit,
            "samples of two units: {} and {unit}",
            self.unit
        );
        ensure!(cycles > 0, "a sample of no cycles");
        self.unit = unit;
        let samples = line.samples.iter();
        let samples = samples.map(|&sum| sum as f64 / f64::from(cycles));
        let row = self.rows.entry(line.row).or_default();
        row.entry(line.variant).or_default().extend(samples);
        Ok(())
    }

    /// Whether it is of User Mode Linux, which has no time-stamp counter.
    pub fn is_of_uml(&self) -> bool {
        self.unit == "ns"
    }

    /// Says that the unit is an instruction, which the log cannot tell.
    pub fn instructions(self) -> Result<Self> {
        ensure!(
            self.unit == "tsc",
            "only the time-stamp counter counts instructions, not a clock"
        );
        Ok(self)
    }

    /// Makes nanoseconds of the samples.
    pub fn nanoseconds(mut self) -> Result<Self> {
        let scale = match (self.unit.as_str(), self.mhz) {
            ("ns", _) => 1.0,
            ("tsc", Some(mhz)) => 1000.0 / mhz,
            ("tsc", None) => bail!("the log has no \"tsc: Detected ... MHz\""),
            (unit, _) => bail!("no unit of time: {unit}"),
        };
        let samples = self.rows.values_mut().flat_map(|row| row.values_mut());
        samples.flatten().for_each(|sample| *sample *= scale);
        Ok(self)
    }
}

/// The rate in "tsc: Detected 2100.000 MHz processor", or a line that corrects it.
fn counter_mhz(line: &str) -> Option<f64> {
    let (_, text) = line.split_once("tsc: ")?;
    let (before, _) = text.split_once(" MHz")?;
    before.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    fn line(case: &str, variant: &str, unit: &str, samples: &[u64]) -> String {
        format!(
            "[    9.1]     # bench: {{\"case\":\"{case}\",\"variant\":\"{variant}\",\"planes\":1,\
             \"queues\":1,\"exports\":1,\"waiters\":0,\"foreign\":0,\"warm\":true,\
             \"contended\":false,\"unit\":\"{unit}\",\"cycles\":10,\"samples\":{samples:?}}}\n"
        )
    }

    /// The log of a case, of which each variant took so much per cycle.
    pub fn log(case: &str, unit: &str, took: &[u64]) -> String {
        let names = match took.len() {
            2 => &HOOKS[..],
            _ => &VARIANTS[..],
        };
        let lines = names.iter().zip(took);
        lines
            .map(|(name, took)| line(case, name, unit, &[10 * took; 3]))
            .collect()
    }

    #[test]
    fn lines_of_a_row_are_joined() {
        let mut text = "[    0.0] Linux version 6.12.1 (x)\n".to_owned();
        text += &log("cycle", "tsc", &[1, 2, 3, 4]);
        text += &log("qbuf", "tsc", &[1, 2]);
        text += &log("cycle", "tsc", &[5, 6, 7, 8]).replace('\n', "\r\n");
        text += "    # bench-size: {\"fence_ours\":192}\n";
        let log = Log::parse(&text).unwrap().instructions().unwrap();
        assert_eq!(log.kernel.unwrap(), "6.12.1");
        assert_eq!(log.memory.unwrap()["fence_ours"], 192);
        let [(cycle, samples), (qbuf, _)]: [_; 2] = Vec::from_iter(log.rows).try_into().unwrap();
        assert_eq!(
            (cycle.to_string(), qbuf.to_string()),
            ("cycle".into(), "qbuf".into())
        );
        assert_eq!(samples["floor"], [1.0, 1.0, 1.0, 5.0, 5.0, 5.0]);
        assert_eq!(samples["ours"], [4.0, 4.0, 4.0, 8.0, 8.0, 8.0]);
    }

    #[test]
    fn what_is_not_complete_is_refused() {
        let message = |text: &str| format!("{:#}", Log::parse(text).unwrap_err());
        assert!(message("").contains("did not run"));
        let floor = line("cycle", "floor", "tsc", &[1]);
        assert!(message(&floor).contains("samples of [(\"floor\", 1)]"));
        assert!(message("# bench: {\"case\":").contains("no line of the benchmark"));
        let short = line("qbuf", "on", "tsc", &[1]) + &line("qbuf", "off", "tsc", &[1, 2]);
        assert!(message(&short).contains("qbuf is not complete"));
        let mixed = floor + &line("cycle", "ours", "ns", &[1]);
        assert!(message(&mixed).contains("two units"));
    }

    #[test]
    fn times_are_nanoseconds() {
        let ours = |text: &str| {
            let rows = Log::parse(text)?.nanoseconds()?.rows;
            anyhow::Ok(rows.into_values().next().unwrap().remove("ours").unwrap())
        };
        let clock = log("cycle", "ns", &[1, 2, 3, 4]);
        assert_eq!(ours(&clock).unwrap(), [4.0; 3]);
        assert!(Log::parse(&clock).unwrap().instructions().is_err());
        let counter = log("cycle", "tsc", &[1, 2, 3, 4]);
        assert!(ours(&counter).is_err());
        let detected = "[0.0] tsc: Detected 2000.000 MHz processor\n".to_owned() + &counter;
        assert_eq!(ours(&detected).unwrap(), [2.0; 3]);
    }
}
