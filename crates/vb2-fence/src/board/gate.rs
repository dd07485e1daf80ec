// SPDX-License-Identifier: GPL-2.0-only

//! A gate: something that has to be seen on a board before the series is sent or taken.

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is as it has to be; what was seen.
    Pass(String),
    /// It is not; why.
    Fail(String),
    /// It could not be asked; what is missing, and what to do about that.
    NotAsked(String),
}

/// A gate, and what was seen at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Its name.
    pub name: String,
    /// What came of it.
    pub outcome: Outcome,
    /// All that was seen, as lines of text.
    pub details: String,
}

impl Gate {
    /// A gate with nothing but its outcome.
    pub fn new(name: impl Into<String>, outcome: Outcome) -> Self {
        Self {
            name: name.into(),
            outcome,
            details: String::new(),
        }
    }

    /// With what was seen.
    pub fn with(self, details: impl Into<String>) -> Self {
        Self {
            details: details.into(),
            ..self
        }
    }

    /// Its line. A reason of several lines becomes one.
    pub fn line(&self) -> String {
        let (word, text) = match &self.outcome {
            Outcome::Pass(text) => ("pass", text),
            Outcome::Fail(text) => ("fail", text),
            Outcome::NotAsked(text) => ("not asked", text),
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        format!("{}: {word}: {}\n", self.name, words.join(" "))
    }

    /// Whether it failed.
    pub fn failed(&self) -> bool {
        matches!(self.outcome, Outcome::Fail(_))
    }
}

/// How many there were of each kind.
pub fn count(gates: &[Gate]) -> String {
    let failed = gates.iter().filter(|gate| gate.failed()).count();
    let passed = gates
        .iter()
        .filter(|gate| matches!(gate.outcome, Outcome::Pass(_)))
        .count();
    let rest = gates.len() - failed - passed;
    format!("{passed} passed, {failed} failed, {rest} not asked\n")
}

/// What was seen, gate by gate.
pub fn details(gates: &[Gate]) -> String {
    let seen = gates.iter().filter(|gate| !gate.details.is_empty());
    seen.map(|gate| format!("\n== {}\n{}\n", gate.name, gate.details.trim_end()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gates() -> Vec<Gate> {
        vec![
            Gate::new("kernel", Outcome::Pass("Linux 6.12".into())).with("A=y\n"),
            Gate::new(
                "probe",
                Outcome::Fail("it is STALE:\n  before the end".into()),
            ),
            Gate::new("playback", Outcome::NotAsked("no film".into())),
        ]
    }

    #[test]
    fn each_has_one_line() {
        let lines: Vec<String> = gates().iter().map(Gate::line).collect();
        assert_eq!(
            lines,
            [
                "kernel: pass: Linux 6.12\n",
                "probe: fail: it is STALE: before the end\n",
                "playback: not asked: no film\n"
            ]
        );
        assert_eq!(count(&gates()), "1 passed, 1 failed, 1 not asked\n");
    }

    #[test]
    fn details_follow() {
        assert_eq!(details(&gates()), "\n== kernel\nA=y\n");
        assert!(gates()[1].failed() && !gates()[2].failed());
    }
}
