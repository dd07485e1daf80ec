// SPDX-License-Identifier: GPL-2.0-only

//! What is measured, and by which variants.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The variants (drivers/media/common/videobuf2/bench/bench.h).
pub const VARIANTS: [&str; 4] = ["floor", "c_inline", "c_helpers", "ours"];

/// Those that the last one is compared with, the nearest one first.
pub const OTHERS: [&str; 3] = ["c_helpers", "c_inline", "floor"];

/// What a cycle took, by variant: all of them, each with as many samples.
pub type Samples = BTreeMap<String, Vec<f64>>;

/// All that was measured.
pub type Rows = BTreeMap<Row, Samples>;

/// A case of the benchmark (suite.c there).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Row {
    /// A step (prepare, arm, end), or their sum (cycle).
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
    /// The case from which each row differs in one thing or a few.
    pub fn base(case: &str) -> Self {
        Self {
            case: case.into(),
            planes: 1,
            queues: 1,
            exports: 1,
            waiters: 0,
            foreign: 0,
            warm: true,
            contended: false,
        }
    }

    /// Whether it is that case.
    pub fn is_base(&self) -> bool {
        *self == Self::base(&self.case)
    }

    /// Whether it is the sum of all steps.
    pub fn is_cycle(&self) -> bool {
        self.case == "cycle"
    }

    /// Its parts, as a table has them.
    pub fn cells(&self) -> Vec<String> {
        let numbers = [
            self.planes,
            self.queues,
            self.exports,
            self.waiters,
            self.foreign,
        ];
        let mut cells = vec![self.case.clone()];
        cells.extend(numbers.iter().map(u32::to_string));
        let cold = if self.warm { "" } else { "cold " };
        let contended = if self.contended { "contended" } else { "" };
        cells.push(format!("{cold}{contended}").trim_end().into());
        cells
    }
}
