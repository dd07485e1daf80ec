// SPDX-License-Identifier: GPL-2.0-only

//! Ctrl-C, kill and a terminal that is closed: they end what runs at its next step, so that
//! everything is put back.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use anyhow::{ensure, Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Whether one of them came.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on they only say so here.
    pub fn catch() -> Result<Self> {
        let interrupt = Self::default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // nohup wants the program to outlive its terminal.
            if signal == SIGHUP && ignores(&status, signal) {
                continue;
            }
            signal_hook::flag::register(signal, Arc::clone(&interrupt.0))
                .context("cannot catch signals")?;
        }
        Ok(interrupt)
    }

    /// Whether one came.
    pub fn came(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An error if one came.
    pub fn check(&self) -> Result<()> {
        ensure!(!self.came(), "interrupted");
        Ok(())
    }

    /// As if one had come.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whether a process ignores a signal, by its /proc/PID/status.
fn ignores(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_what_runs() {
        let interrupt = Interrupt::default();
        assert!(!interrupt.came() && interrupt.check().is_ok());
        let other = interrupt.clone();
        other.raise();
        assert!(interrupt.came() && interrupt.check().is_err());
    }

    #[test]
    fn a_hangup_that_is_ignored_stays_so() {
        let status = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0\n";
        assert!(ignores(status, SIGHUP) && !ignores(status, SIGINT));
        assert!(ignores(status, signal_hook::consts::SIGPIPE));
        assert!(!ignores("SigBlk:\t1\n", SIGHUP));
    }
}
