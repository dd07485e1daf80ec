// SPDX-License-Identifier: GPL-2.0-only

//! Lines with what was seen with fences off and on, as a table for a terminal of 100 columns.

use crate::judge::Row;

/// Widths of the title and of the halves' cells: 100 columns with the verdict.
const TITLE: usize = 28;
const OFF: usize = 28;
const ON: usize = 32;

/// A line of the table.
#[derive(Debug)]
pub struct Line<'a> {
    /// What it is about.
    pub title: &'a str,
    /// With the feature off; `None` if that half was not run.
    pub off: Option<&'a str>,
    /// With the feature on.
    pub on: Option<&'a str>,
    /// Whether it is right; `None` if that was not judged.
    pub right: Option<bool>,
    /// Why it is wrong; said below the lines.
    pub complaints: Vec<String>,
}

impl<'a> From<&'a Row> for Line<'a> {
    fn from(row: &'a Row) -> Self {
        let wrong = row.halves().filter_map(|(half, seen)| {
            let why = seen.wrong.as_ref()?;
            Some(format!("{}, {half}: {why}", row.title))
        });
        Self {
            title: &row.title,
            off: row.off.as_ref().map(|seen| seen.text.as_str()),
            on: row.on.as_ref().map(|seen| seen.text.as_str()),
            right: Some(row.is_right()),
            complaints: wrong.collect(),
        }
    }
}

/// A whole table: the titles of the columns, which say what is off and on, the lines, what is
/// wrong, and a count.
pub fn render(what: &str, rows: &[Row]) -> String {
    let lines: Vec<Line<'_>> = rows.iter().map(Line::from).collect();
    let right = rows.iter().filter(|row| row.is_right()).count();
    header(what) + &section(&lines) + &count(right, rows.len())
}

/// The titles of the columns.
pub fn header(what: &str) -> String {
    row("", &format!("{what} off"), &format!("{what} on"), "")
}

/// Some lines, and below them why they are wrong.
pub fn section(lines: &[Line<'_>]) -> String {
    let mut out = String::new();
    for line in lines {
        let verdict = match line.right {
            Some(true) => "right",
            Some(false) => "WRONG",
            None => "",
        };
        out += &row(
            &format!("  {}", line.title),
            line.off.unwrap_or("not run"),
            line.on.unwrap_or("not run"),
            verdict,
        );
    }
    for complaint in lines.iter().flat_map(|line| &line.complaints) {
        out += &format!("  WRONG {complaint}\n");
    }
    out
}

/// The last line of a table.
pub fn count(right: usize, judged: usize) -> String {
    format!("\n{right} of {judged} lines right\n")
}

fn row(title: &str, off: &str, on: &str, verdict: &str) -> String {
    let (off, on) = (cut(off, OFF), cut(on, ON));
    let text = format!("{title:TITLE$}  {off:OFF$}  {on:ON$}  {verdict}");
    format!("{}\n", text.trim_end())
}

/// What is too long for its cell is cut; a reason below the lines, and the JSON, have it in full.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width - 2).collect();
    kept + ".."
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{join, Seen};

    #[test]
    fn rows_fit_100_columns() {
        let long = "x".repeat(200);
        let out = row("  title", &long, &long, "WRONG");
        assert_eq!(out.trim_end().chars().count(), 99);
        assert!(out.contains("xx..  xx"));
        for what in crate::judge::report::What::ALL {
            assert!(what.title().len() + 2 <= TITLE, "{what:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_below() {
        let on = vec![("one", Seen::right("c")), ("two", Seen::wrong("d", "late"))];
        let text = render("acquire fences", &join(None, Some(on)));
        assert!(text.contains("acquire fences off            acquire fences on\n"));
        let lines: Vec<&str> = text.lines().skip(3).collect();
        assert_eq!(lines, ["  WRONG two, on: late", "", "1 of 2 lines right"]);
        assert!(text.contains("not run"), "{text}");
    }
}
