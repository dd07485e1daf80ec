// SPDX-License-Identifier: GPL-2.0-only

//! The fences that a buffer waits for: one by one, and counted.
//!
//! What can happen at the same time is said in `acquire_fence.rs`.

use core::{
    ptr::{self, NonNull},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};
use kernel::{
    alloc::AllocError,
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

    /// Waits for `fence`, unless it is signalled.
    pub(super) fn wait_for(&self, fence: &Fence, kind: Kind, room: Room<'_>) {
        let number = FenceNumber::of(fence);
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
        let registered = room.init(FenceCbRegistration::new(fence.into(), wait));
        if let Err(AlreadySignalled(result)) = registered {
            self.judge(kind, result);
            self.report_ended(number, bindings::vb2_acquire_outcome_VB2_ACQUIRE_SIGNALLED);
            self.less(1);
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

/// A fence that a buffer waits for, or did.
pub(super) type Registration = FenceCbRegistration<Wait>;

/// Removes the callback of a fence that did not end in time. Returns whether that is so.
pub(super) fn give_up(registration: &Registration) -> bool {
    let late = registration.remove();
    if late {
        let wait = registration.data();
        wait.given_up.store(true, Ordering::Relaxed);
        wait.report_ended(bindings::vb2_acquire_outcome_VB2_ACQUIRE_GIVEN_UP);
        wait.countdown().judge(wait.kind, Err(ETIMEDOUT));
    }
    late
}

/// Removes the callback, and counts the fence down, unless that was done. The timer is stopped.
fn let_go(registration: &Registration) {
    if registration.remove() {
        let outcome = bindings::vb2_acquire_outcome_VB2_ACQUIRE_LET_GO;
        registration.data().report_ended(outcome);
        registration.data().countdown().less(1);
    }
}

/// The fences that a buffer waits for, or did, and room for more. The room is kept for the next
/// job, if it is not large.
///
/// # Invariants
///
/// The registrations stay where they are until they are dropped: the vector does not grow.
pub(super) struct Waits(KVVec<Registration>);

/// Room for one more.
///
/// # Invariants
///
/// The vector has more capacity than elements.
pub(super) struct Room<'a>(&'a mut KVVec<Registration>);

impl Room<'_> {
    fn init(
        self,
        registration: impl PinInit<Registration, AlreadySignalled>,
    ) -> Result<(), AlreadySignalled> {
        let slot = self.0.spare_capacity_mut().as_mut_ptr().cast();
        // SAFETY: Memory behind the last element, by the invariants, which stays where it is by
        // those of `Waits`.
        unsafe { registration.__pinned_init(slot) }?;
        let len = self.0.len() + 1;
        // SAFETY: Not more than the capacity, by the invariants; initialised just now.
        unsafe { self.0.set_len(len) };
        Ok(())
    }
}

impl Waits {
    /// So many are made room for at first.
    const LEAST: usize = 4;

    /// Room for more is given back with the job.
    const KEPT: usize = 16;

    pub(super) const fn new() -> Self {
        Self(KVVec::new())
    }

    pub(super) fn as_slice(&self) -> &[Registration] {
        &self.0
    }

    /// Returns room for one more, if there is any.
    pub(super) fn room(&mut self) -> Option<Room<'_>> {
        // INVARIANT: Just compared.
        (self.0.len() < self.0.capacity()).then_some(Room(&mut self.0))
    }

    /// Makes room for more. Lets go of all. Sleeps; fails with `ENOMEM`.
    #[cold]
    pub(super) fn grow(&mut self) -> Result {
        let capacity = usize::max(2 * self.0.capacity(), Self::LEAST);
        let larger = KVVec::with_capacity(capacity, GFP_KERNEL)?;
        self.let_go(0);
        self.0 = larger;
        Ok(())
    }

    /// Lets go of all but the `first` ones. The timer is stopped.
    #[inline]
    pub(super) fn let_go(&mut self, first: usize) {
        if self.0.len() > first {
            self.truncate(first);
        }
    }

    fn truncate(&mut self, first: usize) {
        self.0[first..].iter().for_each(let_go);
        // From here on no callback uses them.
        let gone = ptr::from_mut(&mut self.0[first..]);
        // SAFETY: Not more than there were.
        unsafe { self.0.set_len(first) };
        // SAFETY: Initialised elements, which the vector does not have any more.
        unsafe { ptr::drop_in_place(gone) };
    }

    /// Lets go of all, since the job is over.
    pub(super) fn clear(&mut self) {
        self.let_go(0);
        if self.0.capacity() > Self::KEPT {
            self.0 = KVVec::new();
        }
    }
}

/// Fences that did not end in time, until a snapshot does not find them any more.
///
/// They are found in the same order, as a rule, so that each search begins where the last one has
/// ended.
pub(super) struct GivenUp {
    /// The references tell them from later ones at the same addresses.
    fences: KVVec<(ARef<Fence>, Found)>,
    next: usize,
}

/// Whether the snapshot that is being taken has found a fence.
type Found = bool;

impl GivenUp {
    pub(super) const fn new() -> Self {
        Self {
            fences: KVVec::new(),
            next: 0,
        }
    }

    /// Adds those of `waits` that were given up. Sleeps.
    ///
    /// Without memory to note them, they are waited for once more.
    pub(super) fn add(&mut self, waits: &Waits) {
        let waits = waits.as_slice().iter();
        for wait in waits.filter(|wait| wait.data().given_up.load(Ordering::Relaxed)) {
            if self.push(wait.fence().into()).is_err() {
                break;
            }
        }
    }

    /// Returns whether `fence` is one of them.
    #[inline]
    pub(super) fn finds(&mut self, fence: &Fence) -> bool {
        !self.fences.is_empty() && self.search(fence)
    }

    /// Forgets those that a snapshot has not found. Sleeps.
    #[inline]
    pub(super) fn end_snapshot(&mut self) {
        if !self.fences.is_empty() {
            self.keep_found();
        }
    }

    fn push(&mut self, fence: ARef<Fence>) -> Result<(), AllocError> {
        self.fences.push((fence, false), GFP_KERNEL)
    }

    #[cold]
    fn search(&mut self, fence: &Fence) -> bool {
        let (before, after) = self.fences.split_at_mut(self.next);
        let mut others = Iterator::chain(after.iter_mut(), before).enumerate();
        let Some((distance, (_, found))) = others.find(|(_, (other, _))| ptr::eq(&**other, fence))
        else {
            return false;
        };
        *found = true;
        self.next = (self.next + distance + 1) % self.fences.len();
        true
    }

    #[cold]
    fn keep_found(&mut self) {
        let before = core::mem::replace(self, Self::new());
        for (fence, _) in before.fences.into_iter().filter(|(_, found)| *found) {
            if self.push(fence).is_err() {
                break;
            }
        }
    }
}
