// SPDX-License-Identifier: GPL-2.0-only

//! What is measured, and by which variants.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The variants of a buffer's cycle with fences (drivers/media/common/videobuf2/bench/bench.h).
pub const VARIANTS: [&str; 4] = ["floor", "c_inline", "c_helpers", "ours"];

/// Those that the last one is compared with, the nearest one first.
pub const OTHERS: [&str; 3] = ["c_helpers", "c_inline", "floor"];

/// Those of a queue that did not opt in: without the hooks of videobuf2-core.c, and with them.
pub const HOOKS: [&str; 2] = ["off", "on"];

/// The variants of acquire fences: the same design in C, and ours.
pub const ACQUIRE: [&str; 2] = ["c", "ours"];

/// What a cycle took, by variant: [`VARIANTS`], [`HOOKS`] or [`ACQUIRE`], each with as many samples.
pub type Samples = BTreeMap<String, Vec<f64>>;

/// All that was measured.
pub type Rows = BTreeMap<Row, Samples>;

/// A case of the benchmark (suite.c there).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Row {
    /// A step (prepare, arm, end), or their sum (cycle); of [`HOOKS`]: qbuf, done or dqbuf; of
    /// [`ACQUIRE`]: acquire or let_go.
    pub case: String,
    pub planes: u32,
    /// They have jobs in turn.
    pub queues: u32,
    /// Of each plane.
    pub exports: u32,
    pub waiters: u32,
    /// Pending fences of others in each reservation object.
    pub foreign: u32,
    /// The caches have what it uses.
    pub warm: bool,
    /// A consumer locks the objects meanwhile.
    pub contended: bool,
}

impl Row {
    /// Whether it is the sum of all steps.
    pub fn is_cycle(&self) -> bool {
        self.case == "cycle"
    }

    /// Whether its caches are warm, and nothing contends.
    pub fn is_quiet(&self) -> bool {
        self.warm && !self.contended
    }

    /// What there is a number of, that number, and that of the base case: each row differs from it in
    /// one thing or a few.
    pub fn numbers(&self) -> [(&'static str, u32, u32); 5] {
        [
            ("planes", self.planes, 1),
            ("queues", self.queues, 1),
            ("exports", self.exports, 1),
            ("waiters", self.waiters, 0),
            ("foreign", self.foreign, 0),
        ]
    }

    /// Whether it is the base case, but for one of the numbers.
    pub fn is_base_but(&self, one: &str) -> bool {
        let mut numbers = self.numbers().into_iter();
        self.is_quiet() && numbers.all(|(name, number, base)| name == one || number == base)
    }
}

/// What differs from the base case.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.case)?;
        for (name, number, base) in self.numbers() {
            if number != base {
                write!(f, " {name}={number}")?;
            }
        }
        let cold = if self.warm { "" } else { " cold" };
        let contended = if self.contended { " contended" } else { "" };
        write!(f, "{cold}{contended}")
    }
}
