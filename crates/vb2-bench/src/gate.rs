// SPDX-License-Identifier: GPL-2.0-only

//! Counts of instructions may not get worse than those that are recorded.

use std::collections::BTreeMap;

use crate::row::{Row, Rows, Samples, ACQUIRE, HOOKS, OTHERS};
use crate::stats::median;

/// How much worse a ratio may be. Interrupts land in samples, not in the same ones in each boot: where
/// half of the samples have one, a median moves by what the handler takes.
const TOLERANCE: f64 = 0.005;

/// How much worse a difference may be. Its samples are short, and few have an interrupt.
const LESS_THAN_ONE: f64 = 0.5;

/// What is compared, by the row and what it is of it: ours/..., a ratio, or on-off, a difference.
pub type Values = BTreeMap<String, f64>;

/// Of whole cycles, of a queue that did not opt in, and of acquire fences; the steps of a cycle are in
/// the report only.
pub fn measured(rows: &Rows) -> Values {
    let values = rows.iter().flat_map(|(row, samples)| values(row, samples));
    // As many digits as mean something
    values
        .map(|(name, value)| (name, (value * 10_000.0).round() / 10_000.0))
        .collect()
}

fn values(row: &Row, samples: &Samples) -> Vec<(String, f64)> {
    let middle = |name: &str| median(&samples[name]);
    let [off, on] = HOOKS;
    if samples.contains_key(on) {
        return vec![(format!("{row}: {on}-{off}"), middle(on) - middle(off))];
    }
    let ratio = |other| {
        (
            format!("{row}: ours/{other}"),
            middle("ours") / middle(other),
        )
    };
    if samples.contains_key(ACQUIRE[0]) {
        return vec![ratio(ACQUIRE[0])];
    }
    if !row.is_cycle() || !row.is_quiet() {
        return Vec::new();
    }
    OTHERS.map(ratio).into()
}

/// What got worse, a line each.
pub fn compare(recorded: &Values, measured: &Values) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, before) in recorded {
        let limit = match name.contains('/') {
            true => before * (1.0 + TOLERANCE),
            false => before + LESS_THAN_ONE,
        };
        match measured.get(name) {
            Some(now) if *now <= limit => {}
            Some(now) => complaints.push(format!("{name} is {now:.4}, and was {before:.4}")),
            None => complaints.push(format!("{name}: recorded, and not measured")),
        }
    }
    let new = measured.keys().filter(|name| !recorded.contains_key(*name));
    complaints.extend(new.map(|name| format!("{name}: measured, and not recorded (--record)")));
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::tests::log;
    use crate::log::Log;

    /// A benchmark with a row of each kind; what ours and a call with the hooks take is given.
    fn of(ours: u64, on: u64) -> Values {
        let cycle = [1000, 2000, 2500, ours];
        let text = log("cycle", "tsc", &cycle) + &log("arm", "tsc", &cycle);
        let cold = log("cycle", "tsc", &cycle).replace("\"warm\":true", "\"warm\":false");
        let acquire = log("qbuf", "tsc", &[400, 410]).replace("qbuf", "acquire");
        let acquire = acquire
            .replace("\"off\"", "\"c\"")
            .replace("\"on\"", "\"ours\"");
        let text = text + &cold + &log("qbuf", "tsc", &[600, on]) + &acquire;
        measured(&Log::parse(&text).unwrap().rows)
    }

    #[test]
    fn a_worse_ratio_fails() {
        // Only warm cycles
        let recorded = of(2500, 604);
        assert_eq!(recorded.len(), 5);
        assert_eq!(recorded["acquire: ours/c"], 1.025);
        assert_eq!(recorded["cycle: ours/floor"], 2.5);
        assert!(compare(&recorded, &of(2500, 604)).is_empty());
        assert!(compare(&recorded, &of(2400, 603)).is_empty());
        // 0.4 % more, and then 0.6 %
        assert!(compare(&recorded, &of(2510, 604)).is_empty());
        let worse = compare(&recorded, &of(2515, 604));
        assert_eq!(worse.len(), 3);
        assert_eq!(worse[0], "cycle: ours/c_helpers is 1.0060, and was 1.0000");
        let nan = BTreeMap::from([("cycle: ours/floor".to_owned(), f64::NAN)]);
        assert!(
            compare(&recorded, &nan).contains(&"cycle: ours/floor is NaN, and was 2.5000".into())
        );
    }

    #[test]
    fn one_more_instruction_of_a_hook_fails() {
        let worse = compare(&of(2500, 604), &of(2500, 605));
        assert_eq!(worse, ["qbuf: on-off is 5.0000, and was 4.0000"]);
    }

    #[test]
    fn rows_do_not_come_or_go_unnoticed() {
        let rows = of(2500, 604);
        assert!(compare(&rows, &Values::new())[0].ends_with("not measured"));
        assert!(compare(&Values::new(), &rows)[0].ends_with("not recorded (--record)"));
    }
}
