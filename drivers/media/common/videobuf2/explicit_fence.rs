// SPDX-License-Identifier: GPL-2.0-only

//! The fence that a program asks a buffer for: every decision about `VIDIOC_EXPFENCE`, and about
//! the out-fence of a QBUF.
//!
//! A *turn* of a buffer begins with a QBUF that succeeds, and ends with the next one. The fence of
//! a turn is
//!
//! - none until the job starts: when it does can depend on what user space queues next, and a
//!   fence must not;
//! - from then on that of the job, which keeps its error;
//! - if the buffer came back without a job that has one (it was drained, cancelled or refused, or
//!   there was no memory for a fence), one that is made when the program asks, and is signalled:
//!   with the result that the buffer came back with.
//!
//! A fence belongs to the turn if its number is greater than that of the buffer's last fence when
//! the turn began. So the start of a job has nothing to do for it.
//!
//! An *out-fence* is the fence of a turn that the program gets from QBUF, which publishes it. The
//! end of the job has to be certain by then: the queue has promised that, and the buffer waits for
//! older fences only, since its snapshot was taken before. It is initialised first ([`OutFence`]),
//! so that a descriptor can be made for it, which may fail. Its timeout begins when the driver gets
//! the buffer. On such a queue QBUF publishes the fences of all other buffers as well, and STREAMON
//! those of buffers that were queued before: the driver, which out-fences wait for by then, locks
//! no reservation object.
//!
//! # What can happen at the same time
//!
//! QBUF and EXPFENCE of a buffer come one after the other: under the lock of its queue. Two things
//! come from elsewhere:
//!
//! - The start of a job stores a fence in the buffer's slot, when nothing can fail or wait any
//!   more. EXPFENCE finds it there, or has come before the start. It gets a reference under RCU:
//!   the slot may be given the fence of the next job meanwhile, if a driver starts one without a
//!   QBUF.
//! - `vb2_buffer_done()` notes the result ([`Turn::came_back`]) before it changes the state of the
//!   buffer under `done_lock`. EXPFENCE reads the state under that lock, and then looks for the
//!   rest: it finds the fence of a job that has ended, and the result of a buffer that came back.
//!   It says that a buffer came back when that can be dequeued, and not earlier.

use super::{errno, jiffies, publish_all, ReleaseFence, Slot};
use core::{
    cell::UnsafeCell,
    sync::atomic::{AtomicI32, Ordering},
};
use kernel::{
    bindings,
    dma_buf::{DriverFenceAllocation, Fence, FenceContext, JobFence},
    error::to_result,
    ffi::c_int,
    prelude::*,
    time::Jiffies,
    types::ARef,
};

/// A fence that is initialised, and was not published: no consumer can find it.
pub(super) struct OutFence(ARef<JobFence>);

impl OutFence {
    /// Makes the out-fence of a QBUF that may still be refused. Sleeps; fails with `ENOMEM`.
    pub(super) fn new(buffer: &ReleaseFence) -> Result<Self> {
        let alloc = buffer.take_prepared()?;
        Ok(Self(alloc.init(&buffer.context)))
    }

    /// Takes another reference to what [`Self::into_raw`] returned.
    ///
    /// # Safety
    ///
    /// It comes from there, its reference was not put, and it was not published.
    pub(super) unsafe fn from_raw(fence: &Fence) -> Self {
        // SAFETY: By the safety requirements it is a `JobFence`, which has the same layout.
        Self(unsafe { &*(fence as *const Fence).cast::<JobFence>() }.into())
    }

    /// Returns the C pointer, with the reference.
    pub(super) fn into_raw(self) -> *mut bindings::dma_fence {
        ARef::into_raw(self.0).as_ptr().cast()
    }

    /// Returns the number of the fence before it.
    pub(super) fn before(fence: &Fence) -> u64 {
        fence.seqno() - 1
    }
}

/// Publishes the fence of a buffer that is prepared, and was not handed over: `out`, or a new one.
/// Sleeps. Fails with `ENOMEM`; nothing was published then.
pub(super) fn publish_at_qbuf(buffer: &ReleaseFence, out: Option<OutFence>) -> Result {
    // The fence of the buffer's last job was signalled when the buffer was dequeued.
    let next = [out.map(NextFence::Out), None];
    match publish_all([Some(buffer), None], next, Start::WhenAcquired)? {
        true => Ok(()),
        false => Err(EBUSY),
    }
}

/// What is published next.
pub(super) enum NextFence {
    /// For a job that is about to start.
    Memory(DriverFenceAllocation),
    /// For one that is being queued.
    Out(OutFence),
}

impl NextFence {
    pub(super) fn into_fence(self, context: &FenceContext) -> ARef<JobFence> {
        match self {
            Self::Memory(alloc) => alloc.init(context),
            Self::Out(fence) => fence.0,
        }
    }
}

/// When the driver gets the buffer whose fence is published.
#[derive(Clone, Copy)]
pub(super) enum Start {
    /// It has it, and is about to start the job.
    AtOnce,
    /// The buffer is being queued, and may wait for others: no longer than they are waited for.
    WhenAcquired,
}

impl Start {
    /// Returns the latest time of that, in jiffies.
    pub(super) fn latest(self) -> Jiffies {
        match self {
            Self::AtOnce => jiffies(),
            // SAFETY: Has no preconditions.
            Self::WhenAcquired => unsafe { bindings::vb2_acquire_fence_expires() },
        }
    }
}

/// What a QBUF that is refused has to put back.
#[derive(Clone, Copy)]
struct Beginning {
    /// The number of the buffer's last fence when the turn began; `None` before the first turn.
    after: Option<u64>,
    /// What [`Turn::result`] was when the next turn began.
    result: c_int,
}

struct Locked {
    current: Beginning,
    before: Beginning,
    /// Made for a buffer that came back without a fence, in this turn or an earlier one.
    made: Option<ARef<JobFence>>,
}

/// The turn of a buffer.
pub(super) struct Turn {
    /// For those who hold the lock of the queue.
    locked: UnsafeCell<Locked>,
    /// How the buffer came back, as 0 or a negative errno. Until it does: cancelled.
    result: AtomicI32,
}

// SAFETY: `locked` is used by functions that are unsafe for that reason.
unsafe impl Sync for Turn {}

impl Turn {
    pub(super) fn new() -> Self {
        let never = Beginning {
            after: None,
            result: 0,
        };
        Self {
            locked: UnsafeCell::new(Locked {
                current: never,
                before: never,
                made: None,
            }),
            result: AtomicI32::new(0),
        }
    }

    /// Begins a turn: QBUF is about to hand the buffer over. `last` is the number of its last
    /// fence, not counting the turn's own.
    ///
    /// # Safety
    ///
    /// The caller holds the lock of the queue.
    pub(super) unsafe fn begin(&self, last: u64) {
        // SAFETY: By the safety requirements nothing else uses it.
        let locked = unsafe { &mut *self.locked.get() };
        locked.before = locked.current;
        locked.before.result = self.result.load(Ordering::Relaxed);
        locked.current.after = Some(last);
        self.result.store(ECANCELED.to_errno(), Ordering::Relaxed);
    }

    /// Goes back to the turn before: QBUF has failed after [`Self::begin`].
    ///
    /// # Safety
    ///
    /// As for [`Self::begin`].
    pub(super) unsafe fn take_back(&self) {
        // SAFETY: By the safety requirements nothing else uses it.
        let locked = unsafe { &mut *self.locked.get() };
        locked.current = locked.before;
        self.result.store(locked.current.result, Ordering::Relaxed);
    }

    /// Notes with which result the driver returns the buffer. Any context.
    pub(super) fn came_back(&self, result: Result) {
        // `done_lock` orders it before the state of the buffer.
        self.result.store(errno(result), Ordering::Relaxed);
    }

    /// Returns the fence of the turn. Sleeps.
    ///
    /// `slot` and `context` are those of the buffer, and `state` is what it was a moment ago.
    ///
    /// Fails with `EINVAL` if the buffer was never queued, with `EAGAIN` if its job has not
    /// started, and with `ENOMEM`.
    ///
    /// # Safety
    ///
    /// As for [`Self::begin`].
    pub(super) unsafe fn fence(
        &self,
        slot: &Slot,
        context: &FenceContext,
        state: bindings::vb2_buffer_state,
    ) -> Result<ARef<JobFence>> {
        // SAFETY: By the safety requirements nothing else uses it.
        let locked = unsafe { &mut *self.locked.get() };
        let after = locked.current.after.ok_or(EINVAL)?;
        let of_this_turn = |fence: &ARef<JobFence>| fence.as_fence().seqno() > after;

        if let Some(fence) = slot.last().filter(of_this_turn) {
            return Ok(fence);
        }
        if !is_back(state) {
            return Err(EAGAIN);
        }
        if let Some(fence) = locked.made.clone().filter(of_this_turn) {
            return Ok(fence);
        }
        let fence = DriverFenceAllocation::new(context, GFP_KERNEL)?.init(context);
        fence.end(to_result(self.result.load(Ordering::Relaxed)));
        locked.made = Some(fence.clone());
        Ok(fence)
    }
}

/// Returns whether a program has a buffer that is in this state, or can dequeue it.
fn is_back(state: bindings::vb2_buffer_state) -> bool {
    matches!(
        state,
        bindings::vb2_buffer_state_VB2_BUF_STATE_DEQUEUED
            | bindings::vb2_buffer_state_VB2_BUF_STATE_DONE
            | bindings::vb2_buffer_state_VB2_BUF_STATE_ERROR
    )
}
