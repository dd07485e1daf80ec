// SPDX-License-Identifier: GPL-2.0-only

//! Counts fences while something else runs.

use anyhow::Result;

use super::stats::{QueueReport, Stats};
use uapi::tracefs::Instance;

/// Counts the fences of all queues while something else runs.
pub struct Counter {
    instance: Instance,
    stats: Stats,
}

impl Counter {
    /// From now on.
    pub fn start() -> Result<Self> {
        Ok(Self {
            instance: Instance::new(false)?,
            stats: Stats::default(),
        })
    }

    /// Takes in what has come.
    pub fn step(&mut self) -> Result<()> {
        let lines = self.instance.read()?;
        lines.iter().for_each(|line| self.stats.see(line));
        Ok(())
    }

    /// The queues for which `wanted` holds, and how many events were dropped.
    pub fn report(&self, wanted: impl Fn(&str) -> bool) -> (Vec<QueueReport>, u64) {
        (self.stats.report(wanted), self.stats.lost)
    }
}
