// SPDX-License-Identifier: GPL-2.0-only

//! Ratios of instructions may not get worse than those that are recorded.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::row::{Row, Rows, OTHERS};
use crate::stats::median;

/// How much worse a ratio may be. Interrupts land in samples, not in the same ones in each boot: where
/// half of the samples have one, a median moves by what the handler takes.
const TOLERANCE: f64 = 0.005;

/// The ratios of a row.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ratios {
    #[serde(flatten)]
    row: Row,
    ours_to: BTreeMap<String, f64>,
}

/// Of the whole cycle; its steps are in the report only.
pub fn measured(rows: &Rows) -> Vec<Ratios> {
    let cycles = rows
        .iter()
        .filter(|(row, _)| row.is_cycle() && row.warm && !row.contended);
    let ratios = cycles.map(|(row, samples)| {
        let ours = median(&samples["ours"]);
        let ratio = |other: &str| (other.to_owned(), ours / median(&samples[other]));
        Ratios {
            row: row.clone(),
            ours_to: OTHERS.into_iter().map(ratio).collect(),
        }
    });
    ratios.collect()
}

/// Reads a file of recorded ratios.
pub fn read(path: &Path) -> Result<Vec<Ratios>> {
    let name = path.display();
    let text = fs::read_to_string(path);
    let text = text.with_context(|| format!("cannot read {name} (--record writes it)"))?;
    serde_json::from_str(&text).with_context(|| format!("{name} has no ratios"))
}

/// Writes such a file, with as many digits as mean something.
pub fn record(path: &Path, mut measured: Vec<Ratios>) -> Result<()> {
    for ratio in measured.iter_mut().flat_map(|of| of.ours_to.values_mut()) {
        *ratio = (*ratio * 10_000.0).round() / 10_000.0;
    }
    let text = serde_json::to_string_pretty(&measured)? + "\n";
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// What got worse, a line each.
pub fn compare(recorded: &[Ratios], measured: &[Ratios]) -> Vec<String> {
    let mut complaints = Vec::new();
    let find = |all: &[Ratios], row: &Row| all.iter().position(|of| of.row == *row);
    for old in recorded {
        let row = json!(old.row);
        let Some(at) = find(measured, &old.row) else {
            complaints.push(format!("{row}: recorded, and not measured"));
            continue;
        };
        for (other, before) in &old.ours_to {
            let now = measured[at].ours_to.get(other).unwrap_or(&f64::NAN);
            // Not so for NaN, either.
            let good = *now <= before * (1.0 + TOLERANCE);
            if !good {
                let line = format!("{row}: ours/{other} is {now:.4}, and was {before:.4}");
                complaints.push(line);
            }
        }
    }
    for new in measured {
        if find(recorded, &new.row).is_none() {
            let row = json!(new.row);
            complaints.push(format!("{row}: measured, and not recorded (--record)"));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::VARIANTS;

    fn of(ours: f64) -> Vec<Ratios> {
        let took = VARIANTS.iter().zip([1000.0, 2000.0, 2500.0, ours]);
        let samples = took.map(|(name, took)| ((*name).to_owned(), vec![took; 3]));
        let samples: crate::row::Samples = samples.collect();
        let mut cold = Row::base("cycle");
        cold.warm = false;
        let rows = [Row::base("cycle"), Row::base("arm"), cold];
        measured(&rows.map(|row| (row, samples.clone())).into())
    }

    #[test]
    fn a_worse_ratio_fails() {
        // Only warm cycles
        let recorded = of(2500.0);
        assert_eq!(recorded.len(), 1);
        assert_eq!(recorded[0].ours_to["floor"], 2.5);
        assert!(compare(&recorded, &of(2500.0)).is_empty());
        assert!(compare(&recorded, &of(2400.0)).is_empty());
        // 0.4 % more, and then 0.6 %
        assert!(compare(&recorded, &of(2510.0)).is_empty());
        let worse = compare(&recorded, &of(2515.0));
        assert_eq!(worse.len(), 3);
        assert!(worse[0].contains("\"planes\":1"), "{}", worse[0]);
        assert!(worse[0].ends_with(": ours/c_helpers is 1.0060, and was 1.0000"));
        assert_eq!(compare(&recorded, &of(f64::NAN)).len(), 3);
    }

    #[test]
    fn rows_do_not_come_or_go_unnoticed() {
        let rows = of(2500.0);
        assert!(compare(&rows, &[])[0].ends_with("not measured"));
        assert!(compare(&[], &rows)[0].ends_with("not recorded (--record)"));
    }
}
