// SPDX-License-Identifier: GPL-2.0-only

//! The report as a table for a terminal of 100 columns.

use std::fmt::Write;

use crate::judge::{Judgement, Line};
use crate::report::Report;

/// Widths of the title and of the halves' cells: 100 columns with the verdict.
const TITLE: usize = 28;
const OFF: usize = 28;
const ON: usize = 32;

/// Writes the whole report as text.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, report);
    out
}

fn write(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(
        out,
        "{} on {}, Linux {}",
        report.driver, report.device, report.head.kernel
    )?;
    writeln!(
        out,
        "A job takes {} ms; \"mid\" is {} ms into it; {} round{} of each case.",
        report.job_ms,
        report.look_ms,
        report.rounds,
        if report.rounds == 1 { "" } else { "s" }
    )?;
    if report.rounds > 1 {
        writeln!(out, "Times are medians (lowest .. highest) of the rounds.")?;
    }
    writeln!(out)?;
    row(out, "", "release fences off", "release fences on", "")?;
    for case in &report.cases {
        writeln!(out, "{}", case.title)?;
        for line in &case.lines {
            row(
                out,
                &format!("  {}", line.what.title()),
                line.off.as_deref().unwrap_or("not run"),
                line.on.as_deref().unwrap_or("not run"),
                verdict(line),
            )?;
        }
        reasons(out, &case.lines)?;
    }
    writeln!(out)?;
    writeln!(out, "{} of {} lines right", report.right, report.judged)
}

pub(crate) fn row(
    out: &mut String,
    title: &str,
    off: &str,
    on: &str,
    verdict: &str,
) -> std::fmt::Result {
    let (off, on) = (cut(off, OFF), cut(on, ON));
    let text = format!("{title:TITLE$}  {off:OFF$}  {on:ON$}  {verdict}");
    writeln!(out, "{}", text.trim_end())
}

/// What is too long for its cell is cut; a reason below the case, and the JSON, have it in full.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width - 2).collect();
    kept + ".."
}

fn verdict(line: &Line) -> &'static str {
    match line.judgement {
        Judgement::Right => "right",
        Judgement::Wrong(_) => "WRONG",
        Judgement::NotJudged => "",
    }
}

/// Why lines are wrong, below the case; the same reason only once.
fn reasons(out: &mut String, lines: &[Line]) -> std::fmt::Result {
    let mut said: Vec<&str> = Vec::new();
    for line in lines {
        let Judgement::Wrong(reasons) = &line.judgement else {
            continue;
        };
        for reason in reasons {
            if !said.contains(&reason.as_str()) {
                said.push(reason);
                let title: Vec<&str> = line.what.title().split_whitespace().collect();
                writeln!(out, "  WRONG {}: {reason}", title.join(" "))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_fit_100_columns() {
        let mut out = String::new();
        let long = "x".repeat(200);
        row(&mut out, "  title", &long, &long, "WRONG").unwrap();
        assert_eq!(out.trim_end().chars().count(), 99);
        assert!(out.contains("xx..  xx"));
    }

    #[test]
    fn titles_fit_their_column() {
        for what in crate::judge::What::ALL {
            assert!(what.title().len() + 2 <= TITLE, "{what:?}");
        }
    }
}
