// SPDX-License-Identifier: GPL-2.0-only

//! The fences that a buffer waits for: one by one, and counted.
//!
//! What can happen at the same time is said in `acquire_fence.rs`.

use core::{
    ptr::{self, NonNull},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};
use kernel::{
    bindings,
    dma_buf::{AlreadySignalled, Fence, FenceCb, FenceCbRegistration},
    prelude::*,
    types::ARef,
};

/// How many fences a buffer waits for.
///
/// # Invariants
///
/// `vb` is the `struct vb2_buffer` that `self` belongs to; it outlives `self`.
pub(super) struct Countdown {
    pub(super) vb: *mut bindings::vb2_buffer,
    /// The number, and one more while they are being gathered.
    pending: AtomicUsize,
    /// The buffer was returned while it waited: the scheduler is not notified.
    pub(super) returned: AtomicBool,
    /// The in-fence has ended with an error, or was given up. Set before it is counted down.
    pub(super) failed: AtomicBool,
}

impl Countdown {
    /// Makes one for a buffer that waits for nothing.
    pub(super) fn new(vb: *mut bindings::vb2_buffer) -> Self {
        Self {
            vb,
            pending: AtomicUsize::new(0),
            returned: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        }
    }

    /// Begins to gather. No callback is registered.
    pub(super) fn begin(&self) {
        self.returned.store(false, Ordering::Relaxed);
        self.failed.store(false, Ordering::Relaxed);
        self.pending.store(1, Ordering::Relaxed);
    }

    /// Waits for nothing. No callback is registered.
    pub(super) fn reset(&self) {
        self.pending.store(0, Ordering::Relaxed);
    }

    /// Counts `fences` down. Returns whether nothing is left to wait for.
    pub(super) fn less(&self, fences: usize) -> bool {
        self.pending.fetch_sub(fences, Ordering::AcqRel) == fences
    }

    /// Returns whether nothing is left to wait for. Any context.
    pub(super) fn is_over(&self) -> bool {
        self.pending.load(Ordering::Acquire) == 0
    }

    /// Counts `fences` down, which were signalled or given up after QBUF, and notifies the
    /// scheduler if they were the last ones. Any context.
    pub(super) fn end(&self, fences: usize) {
        if self.less(fences) && !self.returned.load(Ordering::Relaxed) {
            // SAFETY: The buffer is alive by the invariants.
            unsafe { bindings::vb2_acquire_fence_notify(self.vb) };
        }
    }

    /// Notes how a fence has ended. Any context; before it is counted down.
    fn judge(&self, kind: Kind, result: Result) {
        if kind == Kind::InFence && result.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
    }

    /// Tells those who trace that the buffer does not wait for a fence any longer. Any context.
    fn report_ended(&self, fence: FenceNumber, outcome: bindings::vb2_acquire_outcome) {
        let FenceNumber { context, seqno } = fence;
        // SAFETY: The buffer is alive by the invariants.
        unsafe { bindings::vb2_acquire_fence_report_ended(self.vb, context, seqno, outcome) };
    }

    /// Waits for `fence`, unless it is signalled. Sleeps; fails with `ENOMEM`.
    pub(super) fn wait_for(&self, fence: ARef<Fence>, kind: Kind) -> Result<Entry> {
        let room = KBox::new_uninit(GFP_KERNEL)?;
        let number = FenceNumber::of(&fence);
        let wait = Wait {
            // INVARIANT: The owner of `self` owns what it registers.
            countdown: NonNull::from(self),
            kind,
            number,
            given_up: AtomicBool::new(false),
        };
        // Before the callback can report its end.
        // SAFETY: The buffer is alive by the invariants, and there is a reference to the fence.
        unsafe { bindings::vb2_acquire_fence_report_waiting(self.vb, fence.as_raw()) };
        // Before the callback can count it down.
        self.pending.fetch_add(1, Ordering::Relaxed);
        match room.write_pin_init(FenceCbRegistration::new(fence, wait)) {
            Ok(registration) => Ok(Entry::Waits(registration)),
            Err(AlreadySignalled(result)) => {
                self.judge(kind, result);
                self.report_ended(number, bindings::vb2_acquire_outcome_VB2_ACQUIRE_SIGNALLED);
                self.less(1);
                Ok(Entry::Over)
            }
        }
    }
}

/// Why a fence is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A reservation object had it: it orders, and does not judge. Whatever its result is, the job
    /// can go on.
    Implicit,
    /// The program passed it.
    InFence,
}

/// What a fence is called in trace events.
#[derive(Clone, Copy)]
struct FenceNumber {
    context: u64,
    seqno: u64,
}

impl FenceNumber {
    fn of(fence: &Fence) -> Self {
        Self {
            context: fence.context(),
            seqno: fence.seqno(),
        }
    }
}

/// A fence that a buffer waits for.
///
/// # Invariants
///
/// `countdown` belongs to the [`AcquireFences`] that owns the registration that `self` is in, and
/// drops it before.
pub(super) struct Wait {
    countdown: NonNull<Countdown>,
    kind: Kind,
    /// Of the fence, which a callback must not ask.
    number: FenceNumber,
    /// Set by the timer, if it has removed the callback.
    given_up: AtomicBool,
}

// SAFETY: The countdown is used by reference; its fields are atomic, or do not change.
unsafe impl Send for Wait {}

// SAFETY: As above.
unsafe impl Sync for Wait {}

impl Wait {
    fn countdown(&self) -> &Countdown {
        // SAFETY: Alive by the invariants: the owner of both drops the registration first, which
        // waits for the callback.
        unsafe { self.countdown.as_ref() }
    }

    fn report_ended(&self, outcome: bindings::vb2_acquire_outcome) {
        self.countdown().report_ended(self.number, outcome);
    }
}

impl FenceCb for Wait {
    fn called(&self, result: Result) {
        self.report_ended(bindings::vb2_acquire_outcome_VB2_ACQUIRE_SIGNALLED);
        self.countdown().judge(self.kind, result);
        self.countdown().end(1);
    }
}

/// What became of a fence that was found.
pub(super) enum Entry {
    Waits(Pin<KBox<FenceCbRegistration<Wait>>>),
    /// It did not end in time. The reference tells it from a later one at the same address.
    GivenUp(ARef<Fence>),
    Over,
}

impl Entry {
    /// Removes the callback. The timer is stopped.
    pub(super) fn let_go(&mut self) {
        if let Entry::Waits(registration) = self {
            *self = if registration.data().given_up.load(Ordering::Relaxed) {
                Entry::GivenUp(registration.fence().into())
            } else {
                if registration.remove() {
                    let outcome = bindings::vb2_acquire_outcome_VB2_ACQUIRE_LET_GO;
                    registration.data().report_ended(outcome);
                }
                Entry::Over
            };
        }
    }

    /// Removes the callback of a fence that did not end in time. Returns whether that is so.
    pub(super) fn give_up(&self) -> bool {
        let Entry::Waits(registration) = self else {
            return false;
        };
        let late = registration.remove();
        registration.data().given_up.store(late, Ordering::Relaxed);
        if late {
            let wait = registration.data();
            wait.report_ended(bindings::vb2_acquire_outcome_VB2_ACQUIRE_GIVEN_UP);
            wait.countdown().judge(wait.kind, Err(ETIMEDOUT));
        }
        late
    }

    pub(super) fn fence(&self) -> Option<&Fence> {
        match self {
            Entry::Waits(registration) => Some(registration.fence()),
            Entry::GivenUp(fence) => Some(fence),
            Entry::Over => None,
        }
    }
}

/// Looks for fences that were given up before.
///
/// They are found again in the same order, as a rule, so that each search begins where the last one
/// has ended.
pub(super) struct Search<'a> {
    entries: &'a [Entry],
    next: usize,
}

impl<'a> Search<'a> {
    pub(super) fn new(entries: &'a [Entry]) -> Self {
        Self { entries, next: 0 }
    }

    pub(super) fn finds(&mut self, fence: &Fence) -> bool {
        let (before, after) = self.entries.split_at(self.next);
        let is_it = |entry: &Entry| entry.fence().is_some_and(|other| ptr::eq(other, fence));
        let Some(distance) = Iterator::chain(after.iter(), before).position(is_it) else {
            return false;
        };
        self.next = (self.next + distance + 1) % self.entries.len();
        true
    }
}
