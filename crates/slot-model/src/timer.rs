// SPDX-License-Identifier: GPL-2.0-only

//! A timer: what `kernel/time/timer.c` does with a lock, and what without.

use crate::platform::{Jiffies, Ordering};
use loom::sync::{
    atomic::{AtomicBool, AtomicU64},
    Mutex,
};

pub(crate) struct Timer {
    /// `base->lock`. What it protects is read without it, too.
    base: Mutex<()>,
    pending: AtomicBool,
    expires: AtomicU64,
}

impl Timer {
    pub(crate) fn new() -> Self {
        Self {
            base: Mutex::new(()),
            pending: AtomicBool::new(false),
            expires: AtomicU64::new(0),
        }
    }

    /// Returns whether the timer is pending for `expires` or before.
    pub(crate) fn is_pending_for(&self, expires: Jiffies) -> bool {
        self.pending.load(Ordering::Relaxed) && self.expires.load(Ordering::Relaxed) <= expires
    }

    /// As `timer_reduce()`.
    pub(crate) fn reduce(&self, expires: Jiffies) {
        if self.is_pending_for(expires) {
            return;
        }
        let _base = self.base.lock();
        if !self.is_pending_for(expires) {
            self.expires.store(expires, Ordering::Relaxed);
            self.pending.store(true, Ordering::Relaxed);
        }
    }

    /// As `expire_timers()` before the callback. Returns whether there is one to call.
    pub(crate) fn detach(&self) -> bool {
        let _base = self.base.lock();
        let pending = self.pending.load(Ordering::Relaxed);
        if pending {
            self.pending.store(false, Ordering::Relaxed);
        }
        pending
    }
}
