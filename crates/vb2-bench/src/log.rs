// SPDX-License-Identifier: GPL-2.0-only

//! The kernel log of a boot that ran the benchmark.

use std::fs;
use std::path::PathBuf;

use anyhow::{bail, ensure, Context, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::row::{Row, Rows, VARIANTS};

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

/// What one or more logs say.
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
    /// Reads logs, whose samples are joined.
    pub fn read(paths: &[PathBuf]) -> Result<Self> {
        let mut log = Self::default();
        for path in paths {
            let name = path.display();
            let bytes = fs::read(path).with_context(|| format!("cannot read {name}"))?;
            log.take(&String::from_utf8_lossy(&bytes))
                .with_context(|| format!("{name}"))?;
        }
        Ok(log)
    }

    fn take(&mut self, text: &str) -> Result<()> {
        for line in text.lines() {
            if let Some((_, json)) = line.split_once("# bench: ") {
                let line = serde_json::from_str(json);
                self.add(line.with_context(|| format!("no line of the benchmark: {json}"))?)?;
            } else if let Some((_, json)) = line.split_once("# bench-size: ") {
                let memory = serde_json::from_str(json);
                self.memory = Some(memory.with_context(|| format!("no sizes: {json}"))?);
            } else if let Some((_, release)) = line.split_once("Linux version ") {
                self.kernel = release.split(' ').next().map(str::to_owned);
            } else if let Some(mhz) = counter_mhz(line) {
                // The last one is the most exact.
                self.mhz = Some(mhz);
            }
        }
        // A log that breaks off has fewer samples of one variant.
        ensure!(!self.rows.is_empty(), "the benchmark did not run");
        for (row, samples) in &self.rows {
            let count = |variant: &str| samples.get(variant).map_or(0, Vec::len);
            let counts = VARIANTS.map(count);
            ensure!(
                counts[0] > 0 && counts.iter().all(|count| *count == counts[0]),
                "{row:?} is not complete: {counts:?} samples of {VARIANTS:?}"
            );
        }
        Ok(())
    }

    fn add(&mut self, line: Line) -> Result<()> {
        let Line { unit, variant, .. } = line;
        ensure!(
            self.unit.is_empty() || self.unit == unit,
            "samples of two units: {} and {unit}",
            self.unit
        );
        ensure!(
            VARIANTS.contains(&variant.as_str()),
            "no variant: {variant}"
        );
        ensure!(line.cycles > 0, "a sample of no cycles");
        self.unit = unit;
        let cycles = f64::from(line.cycles);
        let samples = line.samples.iter().map(|&sum| sum as f64 / cycles);
        let row = self.rows.entry(line.row).or_default();
        row.entry(variant).or_default().extend(samples);
        Ok(())
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

    fn line(row: &Row, variant: &str, unit: &str, samples: &[u64]) -> String {
        let row = serde_json::to_string(row).unwrap();
        let row = row.strip_suffix('}').unwrap();
        format!(
            "[    9.1]     # bench: {row},\"variant\":\"{variant}\",\"unit\":\"{unit}\",\
             \"cycles\":10,\"samples\":{samples:?}}}\n"
        )
    }

    /// The log of a row, of which each variant took so much per cycle.
    pub fn log(row: &Row, unit: &str, took: [u64; 4]) -> String {
        let lines = VARIANTS.iter().zip(took);
        let lines = lines.map(|(name, took)| line(row, name, unit, &[10 * took; 3]));
        lines.collect()
    }

    fn parsed(text: &str) -> Result<Log> {
        let mut log = Log::default();
        log.take(text)?;
        Ok(log)
    }

    #[test]
    fn lines_of_a_row_are_joined() {
        let row = Row::base("cycle");
        let mut text = "[    0.0] Linux version 6.12.1 (x)\n".to_owned();
        text += &log(&row, "tsc", [1, 2, 3, 4]);
        text += &log(&row, "tsc", [5, 6, 7, 8]).replace('\n', "\r\n");
        text += "    # bench-size: {\"fence_ours\":192}\n";
        let log = parsed(&text).unwrap().instructions().unwrap();
        assert_eq!(log.kernel.unwrap(), "6.12.1");
        assert_eq!(log.memory.unwrap()["fence_ours"], 192);
        assert_eq!(log.rows.len(), 1);
        assert_eq!(log.rows[&row]["floor"], [1.0, 1.0, 1.0, 5.0, 5.0, 5.0]);
        assert_eq!(log.rows[&row]["ours"], [4.0, 4.0, 4.0, 8.0, 8.0, 8.0]);
    }

    #[test]
    fn what_is_not_complete_is_refused() {
        let row = Row::base("cycle");
        let message = |text: &str| format!("{:#}", parsed(text).unwrap_err());
        assert!(message("").contains("did not run"));
        let floor = line(&row, "floor", "tsc", &[1]);
        assert!(message(&floor).contains("[1, 0, 0, 0] samples"));
        assert!(message("# bench: {\"case\":").contains("no line of the benchmark"));
        assert!(message(&line(&row, "x", "tsc", &[1])).contains("no variant: x"));
        let mixed = floor + &line(&row, "ours", "ns", &[1]);
        assert!(message(&mixed).contains("two units"));
    }

    #[test]
    fn times_are_nanoseconds() {
        let row = Row::base("cycle");
        let of = |text: &str| parsed(text).unwrap().nanoseconds();
        let clock = log(&row, "ns", [1, 2, 3, 4]);
        assert_eq!(of(&clock).unwrap().rows[&row]["ours"], [4.0; 3]);
        assert!(parsed(&clock).unwrap().instructions().is_err());
        let counter = log(&row, "tsc", [1, 2, 3, 4]);
        assert!(of(&counter).is_err());
        let detected = "[0.0] tsc: Detected 2000.000 MHz processor\n".to_owned() + &counter;
        assert_eq!(of(&detected).unwrap().rows[&row]["ours"], [2.0; 3]);
    }
}
