// SPDX-License-Identifier: GPL-2.0-only

//! The fence of a buffer's last job, and the timer of its timeout.
//!
//! The atomics, the barrier and [`JobFence`] come from `super::platform`: the model in
//! `crates/slot-model` compiles this file with those of loom, and tries all interleavings.

use super::platform::{smp_mb, ARef, AtomicPtr, Jiffies, JobFence, Ordering, ETIMEDOUT};
use core::ptr;

/// The fence of a buffer's last job.
///
/// A fence stays until the next QBUF, or the next arm; one that is signalled counts as none. So
/// those who end a job at the same time find the same fence, and the one who comes second returns
/// after the signal.
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
        self.get().filter(|fence| fence.is_pending())
    }

    /// Stores the fence of a new job, unless there is one that is pending. Returns whether it did.
    ///
    /// The caller holds the locks of the buffer's reservation objects, and adds `fence` to them
    /// before it lets go of them. Then calls [`Self::start_timer`].
    pub(super) fn claim(&self, fence: &ARef<JobFence>) -> bool {
        loop {
            let old = self.get();
            if old.as_ref().is_some_and(|old| old.is_pending()) {
                return false;
            }
            // While `old` is held, its address cannot become that of another fence.
            let from = old.as_ref().map_or(ptr::null_mut(), as_ptr);
            if self.replace(from, Some(fence.clone())) {
                return true;
            }
        }
    }

    /// Has the timer expire at `expires` or before. For the fence that was claimed last.
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

    /// Puts a fence that is signalled: a new job is being prepared.
    pub(super) fn retire(&self) {
        if let Some(fence) = self.get().filter(|fence| !fence.is_pending()) {
            self.replace(as_ptr(&fence), None);
        }
    }

    fn get(&self) -> Option<ARef<JobFence>> {
        // SAFETY: By the invariants.
        unsafe { JobFence::get_from(&self.0) }
    }

    /// Stores `to` and puts `from`, if that is what is stored.
    fn replace(&self, from: *mut JobFence, to: Option<ARef<JobFence>>) -> bool {
        let to = to.map_or(ptr::null_mut(), |to| ARef::into_raw(to).as_ptr());
        // INVARIANT: `to` stands for a reference; that of `from` is put below, after the change.
        let replaced = self
            .0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        let unused = ptr::NonNull::new(if replaced { from } else { to });
        // SAFETY: A reference that nothing stands for any more: that of the slot, or of `to`.
        drop(unused.map(|unused| unsafe { ARef::from_raw(unused) }));
        replaced
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let last = self.get();
        self.replace(last.as_ref().map_or(ptr::null_mut(), as_ptr), None);
    }
}

fn as_ptr(fence: &ARef<JobFence>) -> *mut JobFence {
    ptr::from_ref(&**fence).cast_mut()
}

/// Returns whether `time` is before `other`, as `time_before()`: the counter wraps.
fn is_before(time: Jiffies, other: Jiffies) -> bool {
    (time.wrapping_sub(other) as isize) < 0
}
