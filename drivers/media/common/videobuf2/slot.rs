// SPDX-License-Identifier: GPL-2.0-only

//! The fence of a buffer's last job, and the timer of its timeout.
//!
//! The atomics, the barrier and [`JobFence`] come from `super::platform`: the model in
//! `crates/slot-model` compiles this file with those of loom, and tries all interleavings.

use super::platform::{smp_mb, ARef, AtomicPtr, Jiffies, JobFence, Ordering, ETIMEDOUT};
use core::ptr;

/// The fence of a buffer's last job.
///
/// A fence stays until the next one is stored; one that is signalled counts as none. So those who
/// end a job at the same time find the same fence, and the one who comes second returns after the
/// signal.
///
/// # Invariants
///
/// The pointer is NULL, or stands for one reference, which is put after the pointer has changed.
pub(super) struct Slot(AtomicPtr<JobFence>);

/// What the timer has found.
pub(super) enum Expiry {
    /// No job, or one that has ended.
    Idle,
    /// A later job. The timer has to expire again at this time.
    Later(Jiffies),
    /// The job did not end in time. Its fence is signalled now.
    TimedOut(ARef<JobFence>),
}

impl Slot {
    pub(super) fn new() -> Self {
        // INVARIANT: NULL.
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Returns the fence that consumers may be waiting for. Any context.
    pub(super) fn pending(&self) -> Option<ARef<JobFence>> {
        // SAFETY: By the invariants.
        unsafe { JobFence::pending_in(&self.0) }
    }

    /// Returns the fence of the last job, signalled or not. Any context.
    pub(super) fn last(&self) -> Option<ARef<JobFence>> {
        // SAFETY: By the invariants.
        unsafe { JobFence::last_in(&self.0) }
    }

    /// Returns whether consumers may be waiting for the fence.
    ///
    /// # Safety
    ///
    /// The caller holds the locks of the buffer's reservation objects: no other thread stores one.
    pub(super) unsafe fn is_pending(&self) -> bool {
        let fence = ptr::NonNull::new(self.0.load(Ordering::Relaxed));
        // SAFETY: The slot stands for a reference, which only storing another fence puts.
        fence.is_some_and(|fence| unsafe { fence.as_ref() }.is_pending())
    }

    /// Stores the fence of a new job, puts the one before, and returns the new one.
    ///
    /// # Safety
    ///
    /// The caller holds the locks of the buffer's reservation objects since [`Self::is_pending`],
    /// and as long as it uses what is returned, so that no other thread stores a fence. It calls
    /// [`Self::start_timer`], and adds the fence to the objects.
    pub(super) unsafe fn store(&self, fence: ARef<JobFence>) -> &JobFence {
        let new = ARef::into_raw(fence);
        self.replace(new.as_ptr());
        // SAFETY: As in `is_pending()`.
        unsafe { new.as_ref() }
    }

    /// Has the timer expire at `expires` or before. For the fence that was stored last.
    ///
    /// A timer that is pending for an earlier job is left alone: [`Self::expire`] sets it anew.
    /// `reduce` is `timer_reduce()`, which reads without a lock whether the timer is pending.
    pub(super) fn start_timer(expires: Jiffies, reduce: impl FnOnce(Jiffies)) {
        // General barrier, pairs with the one in `expire()`: either this processor sees that the
        // timer is not pending any more, or the callback sees the new fence.
        smp_mb();
        reduce(expires);
    }

    /// What the timer's callback has to do: ends a job that did not end in time.
    pub(super) fn expire(&self, now: Jiffies) -> Expiry {
        // General barrier, pairs with the one in `start_timer()`: the timer stopped being pending
        // before this callback was called.
        smp_mb();
        match self.pending() {
            Some(fence) if is_before(now, fence.expires()) => Expiry::Later(fence.expires()),
            Some(fence) if fence.end(Err(ETIMEDOUT)) => Expiry::TimedOut(fence),
            _ => Expiry::Idle,
        }
    }

    /// Stores `new`, which is NULL or stands for a reference.
    fn replace(&self, new: *mut JobFence) {
        // INVARIANT: By the description; the reference of `old` is put after the change.
        let old = self.0.swap(new, Ordering::AcqRel);
        // SAFETY: The reference that the slot stood for, which nothing stands for any more.
        drop(ptr::NonNull::new(old).map(|old| unsafe { ARef::from_raw(old) }));
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.replace(ptr::null_mut());
    }
}

/// Returns whether `time` is before `other`, as `time_before()`: the counter wraps.
fn is_before(time: Jiffies, other: Jiffies) -> bool {
    (time.wrapping_sub(other) as isize) < 0
}
