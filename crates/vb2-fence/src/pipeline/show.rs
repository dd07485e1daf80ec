// SPDX-License-Identifier: GPL-2.0-only

//! The numbers of the ways side by side.

use crate::pipeline::args::Way;
use crate::pipeline::judge::{ratio, Numbers};

/// Widths of the title and of a cell.
const TITLE: usize = 34;
const CELL: usize = 12;

/// A line's title, and what it says of a way.
type Line = (&'static str, fn(&Numbers) -> String);

/// The same of a line with a ratio: its title, its unit, and its number.
type Compared = (&'static str, &'static str, fn(&Numbers) -> f64);

const COMPARED: [Compared; 3] = [
    ("frames a second", "", |n| n.frames_per_second),
    ("QBUF to flip, median", " ms", |n| n.median_ms),
    ("QBUF to flip, 99th percentile", " ms", |n| {
        n.percentile_99_ms
    }),
];

const LINES: [Line; 11] = [
    ("QBUF to flip, longest", |n| {
        format!("{:.1} ms", n.longest_ms)
    }),
    ("missed vertical blanks", |n| n.missed_vblanks.to_string()),
    ("pictures", |n| n.frames.to_string()),
    ("  converted before they are done", |n| {
        n.converted_early.to_string()
    }),
    ("  committed before they are done", |n| {
        n.shown_early.to_string()
    }),
    ("  given back before they are read", |n| {
        n.given_back_early.to_string()
    }),
    ("  checked by their pixels", |n| n.checked.to_string()),
    ("    another picture", |n| n.stale.to_string()),
    ("    torn", |n| n.torn.to_string()),
    ("  shown too early, or out of order", |n| {
        (n.unfinished + n.out_of_order).to_string()
    }),
    ("  with an error", |n| n.flagged.to_string()),
];

/// The table. The last column compares the last way with the first one.
pub fn table(ways: &[(Way, Numbers)]) -> String {
    let names = ways.iter().map(|(way, _)| way.name().to_owned());
    let mut out = row("", names, ways.len() > 1, "ratio");
    for (title, unit, number) in COMPARED {
        let cells = ways
            .iter()
            .map(|(_, numbers)| format!("{:.1}{unit}", number(numbers)));
        let compared = match ways {
            [(_, first), .., (_, last)] => format!("{:.2}", ratio(number(last), number(first))),
            _ => String::new(),
        };
        out += &row(title, cells, ways.len() > 1, &compared);
    }
    for (title, say) in LINES {
        out += &row(
            title,
            ways.iter().map(|(_, numbers)| say(numbers)),
            false,
            "",
        );
    }
    out
}

fn row(title: &str, cells: impl Iterator<Item = String>, compared: bool, ratio: &str) -> String {
    let cells: String = cells.map(|cell| format!("  {cell:>CELL$}")).collect();
    let ratio = if compared { ratio } else { "" };
    let text = format!("  {title:TITLE$}{cells}  {ratio:>8}");
    format!("{}\n", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(frames_per_second: f64) -> Numbers {
        Numbers {
            frames_per_second,
            median_ms: 40.0,
            ..Numbers::default()
        }
    }

    #[test]
    fn ways_are_compared() {
        let both = [(Way::Dqbuf, numbers(20.0)), (Way::Implicit, numbers(25.0))];
        let text = table(&both);
        let words = |line: &str| -> Vec<String> {
            let line = text.lines().find(|text| text.contains(line)).unwrap();
            line.split_whitespace().map(str::to_owned).collect()
        };
        assert_eq!(words("ratio"), ["dqbuf", "implicit", "ratio"]);
        assert_eq!(words("a second")[3..], ["20.0", "25.0", "1.25"]);
        assert!(text.lines().all(|line| line.len() <= 100));
        for (title, ..) in LINES {
            assert!(title.len() <= TITLE, "{title}");
        }
        assert!(!table(&both[1..]).contains("ratio"));
    }
}
