// SPDX-License-Identifier: GPL-2.0-only

//! The numbers of the ways side by side.

use crate::pipeline::args::Way;
use crate::pipeline::judge::{ratio, Numbers};

/// Widths of the title and of a cell.
const TITLE: usize = 34;
const CELL: usize = 16;

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

const LINES: [Line; 12] = [
    ("QBUF to flip, longest", |n| {
        format!("{:.1} ms", n.longest_ms)
    }),
    ("missed vertical blanks", |n| n.missed_vblanks.to_string()),
    ("system calls a frame", |n| {
        n.system_calls_per_frame
            .map_or_else(|| "not counted".into(), |calls| format!("{calls:.1}"))
    }),
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

/// The table. Of each way but the first it says what multiple of the first one a number is.
pub fn table(ways: &[(Way, Numbers)]) -> String {
    let mut out = row("", ways.iter().map(|(way, _)| way.name().to_owned()));
    for (title, unit, number) in COMPARED {
        let cells = ways.iter().enumerate().map(|(at, (_, numbers))| {
            let own = number(numbers);
            let multiple = match at {
                0 => String::new(),
                _ => format!(" x{:.2}", ratio(own, number(&ways[0].1))),
            };
            format!("{own:.1}{unit}{multiple}")
        });
        out += &row(title, cells);
    }
    for (title, say) in LINES {
        out += &row(title, ways.iter().map(|(_, numbers)| say(numbers)));
    }
    out
}

fn row(title: &str, cells: impl Iterator<Item = String>) -> String {
    let cells: String = cells.map(|cell| format!("  {cell:>CELL$}")).collect();
    let text = format!("  {title:TITLE$}{cells}");
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
        let all = [
            (Way::Dqbuf, numbers(20.0)),
            (Way::Implicit, numbers(25.0)),
            (Way::Explicit, numbers(30.0)),
        ];
        let text = table(&all);
        let words = |line: &str| -> Vec<String> {
            let line = text.lines().find(|text| text.contains(line)).unwrap();
            line.split_whitespace().map(str::to_owned).collect()
        };
        assert_eq!(words("dqbuf"), ["dqbuf", "implicit", "explicit"]);
        let rates = ["20.0", "25.0", "x1.25", "30.0", "x1.50"];
        assert_eq!(words("a second")[3..], rates);
        assert_eq!(words("system calls")[4..], ["not", "counted"].repeat(3));
        assert!(text.lines().all(|line| line.len() <= 100));
        for (title, ..) in LINES {
            assert!(title.len() <= TITLE, "{title}");
        }
        assert!(!table(&all[1..2]).contains(" x"));
    }
}
