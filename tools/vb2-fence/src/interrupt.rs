// SPDX-License-Identifier: GPL-2.0-only

//! Ctrl-C and kill: they end what runs at its next step, so that everything is put back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use anyhow::{ensure, Result};

use crate::report::catch_interrupts;

/// Whether one of them came.
#[derive(Clone, Debug)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on they only say so here.
    pub fn catch() -> Result<Self> {
        catch_interrupts().map(Self)
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
}
