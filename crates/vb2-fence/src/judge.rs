// SPDX-License-Identifier: GPL-2.0-only

//! Says what is right of what was seen. Works on what was written down, and never touches a device.
//!
//! [`report`] and [`probe`] judge what those commands saw, [`acquire`] what a probe saw of acquire
//! fences. The lines of the other comparisons
//! ([`Row`]) are judged as they are made, by [`Seen::judge`].

pub mod acquire;
pub mod probe;
pub mod report;

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;

/// Which halves of the comparison are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Halves {
    /// Release fences off only; also works on a kernel that does not have them.
    Off,
    /// Release fences on only.
    On,
    /// Both, side by side.
    Both,
}

impl Halves {
    /// Whether the half with the feature on is run.
    pub fn on(self) -> bool {
        self != Self::Off
    }

    /// Runs the halves, that with the feature off first; gives what each of them gave.
    pub fn run<T>(self, half: impl Fn(bool) -> Result<T>) -> Result<(Option<T>, Option<T>)> {
        let off = (self != Self::On).then(|| half(false)).transpose()?;
        Ok((off, self.on().then(|| half(true)).transpose()?))
    }
}

/// What was seen with the feature off, or on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// In words.
    pub text: String,
    /// Why it is wrong, if it is.
    pub wrong: Option<String>,
}

impl Seen {
    /// As it has to be.
    pub fn right(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            wrong: None,
        }
    }

    /// Not as it has to be.
    pub fn wrong(text: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            wrong: Some(why.into()),
        }
    }

    /// Right if `is`; else `why` says what it should be.
    pub fn judge(is: bool, text: impl Into<String>, why: impl Into<String>) -> Self {
        if is {
            Self::right(text)
        } else {
            Self::wrong(text, why)
        }
    }
}

/// A line.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What it is about.
    pub title: String,
    /// With the feature off; `None` if that half was not run.
    pub off: Option<Seen>,
    /// With the feature on.
    pub on: Option<Seen>,
}

impl Row {
    /// Whether nothing is wrong.
    pub fn is_right(&self) -> bool {
        self.halves().all(|(_, seen)| seen.wrong.is_none())
    }

    /// The halves that were run, with their names.
    pub fn halves(&self) -> impl Iterator<Item = (&'static str, &Seen)> {
        let off = self.off.iter().map(|seen| ("off", seen));
        off.chain(self.on.iter().map(|seen| ("on", seen)))
    }
}

/// Puts the lines of both halves side by side. A line that one half lacks is wrong there.
pub fn join(
    off: Option<Vec<(&'static str, Seen)>>,
    on: Option<Vec<(&'static str, Seen)>>,
) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let both = off.is_some() && on.is_some();
    for (is_on, half) in [(false, off), (true, on)] {
        for (title, seen) in half.into_iter().flatten() {
            let row = match rows.iter_mut().position(|row| row.title == title) {
                Some(row) => &mut rows[row],
                None => {
                    rows.push(Row {
                        title: title.to_owned(),
                        off: None,
                        on: None,
                    });
                    let last = rows.len() - 1;
                    &mut rows[last]
                }
            };
            *(if is_on { &mut row.on } else { &mut row.off }) = Some(seen);
        }
    }
    let missing = || Seen::wrong("not seen", "this line is missing");
    for row in rows.iter_mut().filter(|_| both) {
        row.off.get_or_insert_with(missing);
        row.on.get_or_insert_with(missing);
    }
    rows
}

/// Whether all lines are right, and there is one.
pub fn all_right(rows: &[Row]) -> bool {
    !rows.is_empty() && rows.iter().all(Row::is_right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_come_together() {
        let off = vec![("one", Seen::right("a")), ("two", Seen::right("b"))];
        let on = vec![("one", Seen::right("c")), ("two", Seen::wrong("d", "late"))];
        let rows = join(Some(off), Some(on));
        assert_eq!(rows.len(), 2);
        assert!(rows[0].is_right() && !rows[1].is_right());
        assert!(!all_right(&rows) && all_right(&rows[..1]) && !all_right(&[]));
    }

    #[test]
    fn a_missing_line_is_wrong_only_if_both_were_run() {
        let half = || vec![("one", Seen::right("a"))];
        assert!(all_right(&join(None, Some(half()))));
        assert!(!all_right(&join(Some(vec![]), Some(half()))));
        assert!(!all_right(&join(None, None)));
    }
}
