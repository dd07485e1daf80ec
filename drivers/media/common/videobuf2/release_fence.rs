// SPDX-License-Identifier: GPL-2.0-only

//! Release fences of videobuf2 buffers: every decision about them.
//!
//! A buffer's [`ReleaseFence`] goes from idle to prepared (QBUF: memory, may fail), to armed (the
//! driver is about to start its hardware: published), and back to idle when the job ends. `ffi.rs`
//! converts what `videobuf2-release-fence.c`, the C side, calls and passes.
//!
//! Where the steps are: [`ReleaseFence::prepare`] allocates, [`arm_job`] publishes,
//! [`ReleaseFence::end_job`] signals, [`timer_expired`] signals a fence whose job did not end.
//!
//! C header: `include/media/videobuf2-release-fence.h`.

use core::{
    mem::{align_of, size_of},
    ops::Range,
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, AtomicU64, Ordering},
};
use kernel::{
    bindings,
    dma_buf::{
        DriverFence, DriverFenceAllocation, FenceContext, FenceSlots, Reservation, SignallingGuard,
        Usage,
    },
    ffi::{c_int, c_uint},
    new_spinlock,
    prelude::*,
    str::CStr,
    sync::SpinLock,
    time::msecs_to_jiffies,
    types::Opaque,
};

/// The driver that all of these fences name; the timeline's name is that of the queue.
const DRIVER: &CStr = kernel::c_str!("videobuf2");

#[path = "ffi.rs"]
mod ffi;

/// What the fences of one queue share.
///
/// Lives in `struct vb2_queue`, as memory that C does not look into.
struct Timeline {
    /// Used by all fences of a queue that completes in order.
    fences: FenceContext,
    /// The highest sequence number on `fences` that was signalled.
    ended: AtomicU64,
}

// `struct vb2_release_timeline` is the memory for it.
const _: () = assert!(size_of::<Timeline>() == size_of::<bindings::vb2_release_timeline>());
const _: () = assert!(align_of::<Timeline>() == align_of::<bindings::vb2_release_timeline>());

impl Timeline {
    fn new() -> Self {
        Self {
            fences: FenceContext::new(),
            ended: AtomicU64::new(0),
        }
    }

    /// Notes that fence `seqno` has ended. Returns whether no later one had.
    fn end(&self, seqno: u64) -> bool {
        seqno > self.ended.fetch_max(seqno, Ordering::Relaxed)
    }
}

/// The published fence of a buffer's job, if there is one.
///
/// Taking the fence is one atomic exchange. If several contexts end the job at the same time, one
/// of them gets the fence, and none waits for another.
///
/// # Invariants
///
/// The pointer is NULL (idle), [`ArmedFence::arming`], [`ArmedFence::timed_out`], or comes from
/// [`DriverFence::into_raw`] and is owned by `self`.
struct ArmedFence(AtomicPtr<bindings::dma_fence>);

impl ArmedFence {
    const fn new() -> Self {
        // INVARIANT: Idle.
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// The value while the fence is being published; the address of no fence.
    fn arming() -> *mut bindings::dma_fence {
        static MARK: u8 = 0;
        ptr::addr_of!(MARK).cast_mut().cast()
    }

    /// The value after a timeout while the fence is being published; the address of no fence.
    fn timed_out() -> *mut bindings::dma_fence {
        static MARK: u8 = 1;
        ptr::addr_of!(MARK).cast_mut().cast()
    }

    fn is_idle(&self) -> bool {
        self.0.load(Ordering::Relaxed).is_null()
    }

    /// Goes from idle to arming. Returns `None` if it is not idle.
    fn claim(&self) -> Option<ArmingClaim<'_>> {
        self.replace(ptr::null_mut(), Self::arming())
            .then(|| ArmingClaim(self))
    }

    /// Goes from arming to idle: nothing was published. Does nothing if it is armed.
    fn abandon(&self) {
        self.replace(Self::arming(), ptr::null_mut());
    }

    /// Goes from arming to armed. If the job or its timeout came first, returns the fence and the
    /// result to signal it with.
    fn set(&self, fence: DriverFence) -> Result<(), (DriverFence, Error)> {
        let raw = fence.into_raw();
        // INVARIANT: `raw` comes from `into_raw()`; `self` owns it if it is stored.
        if self.replace(Self::arming(), raw.as_ptr()) {
            return Ok(());
        }
        // SAFETY: From `into_raw()` above, and not stored.
        let fence = unsafe { DriverFence::from_raw(raw) };
        // INVARIANT: Idle.
        if self.replace(Self::timed_out(), ptr::null_mut()) {
            Err((fence, ETIMEDOUT))
        } else {
            Err((fence, ECANCELED))
        }
    }

    /// Goes to idle, or from arming to timed out. Returns the fence if there is one.
    fn expire(&self) -> Option<DriverFence> {
        // INVARIANT: Timed out.
        if self.replace(Self::arming(), Self::timed_out()) {
            return None;
        }
        self.take()
    }

    /// Goes to idle. Returns the fence if there is one.
    fn take(&self) -> Option<DriverFence> {
        // INVARIANT: Idle.
        let raw = self.0.swap(ptr::null_mut(), Ordering::AcqRel);
        if raw == Self::arming() || raw == Self::timed_out() {
            return None;
        }
        // SAFETY: By the invariants `raw` comes from `into_raw()`, and `self`, which owned it, has
        // just lost it.
        NonNull::new(raw).map(|raw| unsafe { DriverFence::from_raw(raw) })
    }

    fn replace(&self, from: *mut bindings::dma_fence, to: *mut bindings::dma_fence) -> bool {
        self.0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}

/// The right to arm a buffer. Dropped before the buffer is armed, it makes the buffer idle again.
struct ArmingClaim<'a>(&'a ArmedFence);

impl Drop for ArmingClaim<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// The release fence of one videobuf2 buffer.
///
/// # Invariants
///
/// - `vb` is the `struct vb2_buffer` that `self` belongs to; it outlives `self`.
/// - `timer` was set up with [`timer_expired`], and is shut down before `self` is freed.
#[pin_data(PinnedDrop)]
struct ReleaseFence {
    vb: *mut bindings::vb2_buffer,
    #[pin]
    prepared: SpinLock<Option<DriverFenceAllocation>>,
    armed: ArmedFence,
    #[pin]
    timer: Opaque<bindings::timer_list>,
}

/// What the end of a job meant for the fence of its buffer.
enum End {
    /// The buffer had no fence.
    NotArmed,
    /// The fence was signalled.
    Signalled,
    /// The fence was signalled after a later one of a queue that completes in order. Driver bug.
    OutOfOrder,
    /// The fence was cancelled: the driver returned the buffer as if nothing had happened, after
    /// it had said that it starts its hardware. Driver bug.
    ReturnedQueued,
}

impl ReleaseFence {
    fn new(vb: *mut bindings::vb2_buffer) -> impl PinInit<Self> {
        pin_init!(Self {
            vb,
            prepared <- new_spinlock!(None),
            armed: ArmedFence::new(),
            // SAFETY: `timer` is memory for a timer, which stays where it is.
            timer <- Opaque::ffi_init(|timer| unsafe {
                bindings::timer_setup(timer, Some(timer_expired))
            }),
        })
    }

    /// Allocates the next fence, if that has not been done. Sleeps; fails with `ENOMEM`.
    fn prepare(&self, queue: &CStr) -> Result {
        if self.prepared.lock().is_some() {
            return Ok(());
        }
        let alloc = DriverFenceAllocation::new(DRIVER, queue, GFP_KERNEL)?;
        let unused = self.prepared.lock().replace(alloc);
        // Empty, unless two threads prepare at the same time. Freed here, outside of the lock.
        drop(unused);
        Ok(())
    }

    /// Takes the memory for the next fence. Sleeps; fails with `ENOMEM`.
    fn take_prepared(&self, queue: &CStr) -> Result<DriverFenceAllocation> {
        let prepared = self.prepared.lock().take();
        match prepared {
            Some(alloc) => Ok(alloc),
            // The buffer came back to the driver without a QBUF, as after a failed STREAMON.
            None => DriverFenceAllocation::new(DRIVER, queue, GFP_KERNEL),
        }
    }

    /// Returns whether consumers may be waiting for a fence of the buffer. Any context.
    fn is_armed(&self) -> bool {
        !self.armed.is_idle()
    }

    /// Ends the job of a buffer that is returned with `state`. Any context.
    ///
    /// `cancelled` tells whether the queue is being cancelled. `timeline` is the one that the
    /// buffer was armed with.
    fn end_job(
        &self,
        state: bindings::vb2_buffer_state,
        cancelled: bool,
        timeline: Option<&Timeline>,
    ) -> End {
        let result = result_of(state, cancelled);
        let Some(seqno) = self.end(result) else {
            return End::NotArmed;
        };
        let in_order = timeline.map_or(true, |timeline| timeline.end(seqno));
        if state == bindings::vb2_buffer_state_VB2_BUF_STATE_QUEUED {
            End::ReturnedQueued
        } else if in_order || result.is_err() {
            // Buffers that fail, or are cancelled, may come back in any order.
            End::Signalled
        } else {
            End::OutOfOrder
        }
    }

    /// Signals the fence, if there is one, and returns its sequence number. Any context.
    fn end(&self, result: Result) -> Option<u64> {
        let fence = self.armed.take()?;
        let seqno = fence.as_fence().seqno();
        self.stop_timer();
        self.signal(fence, result);
        Some(seqno)
    }

    /// Signals a fence whose job did not end in time. Any context.
    fn time_out(&self, fence: DriverFence) {
        self.signal(fence, Err(ETIMEDOUT));
        // SAFETY: `vb` is alive by the invariants.
        unsafe { bindings::vb2_release_fence_report_timeout(self.vb) };
    }

    fn signal(&self, fence: DriverFence, result: Result) {
        let _signalling = SignallingGuard::new();
        let (context, seqno) = (fence.as_fence().context(), fence.as_fence().seqno());
        let status = errno(result);
        // Before the signal, so that a consumer that it wakes finds the event.
        // SAFETY: `vb` is alive by the invariants.
        unsafe { bindings::vb2_release_fence_report_signalled(self.vb, context, seqno, status) };
        fence.signal(result);
    }

    fn start_timer(&self, timeout_ms: c_uint) {
        if timeout_ms == 0 {
            return;
        }
        // SAFETY: A counter that always exists and that interrupts advance.
        let now = unsafe { ptr::addr_of!(bindings::jiffies).read_volatile() };
        let expires = now.wrapping_add(msecs_to_jiffies(timeout_ms));
        // SAFETY: The timer is set up, by the invariants.
        unsafe { bindings::mod_timer(self.timer.get(), expires) };
    }

    /// Stops the timer. A callback that runs at this moment finds no fence. Any context.
    fn stop_timer(&self) {
        // SAFETY: The timer is set up, by the invariants.
        unsafe { bindings::timer_delete(self.timer.get()) };
    }

    /// Stops the timer and waits for its callback. Sleeps.
    fn stop_timer_sync(&self) {
        // SAFETY: The timer is set up, by the invariants; it takes no lock that a caller holds.
        unsafe { bindings::timer_delete_sync(self.timer.get()) };
    }
}

#[pinned_drop]
impl PinnedDrop for ReleaseFence {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The timer is set up, by the invariants. It will not be used again.
        unsafe { bindings::timer_shutdown_sync(self.timer.get()) };
        // A driver that loses an armed buffer must not leave consumers waiting.
        self.end(Err(ECANCELED));
    }
}

/// Returns what the fence of a buffer is signalled with that is returned with `state`.
fn result_of(state: bindings::vb2_buffer_state, cancelled: bool) -> Result {
    match state {
        bindings::vb2_buffer_state_VB2_BUF_STATE_DONE => Ok(()),
        bindings::vb2_buffer_state_VB2_BUF_STATE_QUEUED => Err(ECANCELED),
        _ if cancelled => Err(ECANCELED),
        _ => Err(EIO),
    }
}

/// One buffer of a job that is about to start.
struct JobBuffer<'a> {
    fence: &'a ReleaseFence,
    /// What the fences of the queue share, if it completes in order.
    timeline: Option<&'a Timeline>,
    /// The queue's name.
    queue: &'a CStr,
    /// Where the buffer's objects are in the list of all objects of the job.
    objs: Range<usize>,
    /// Whether the device writes to the buffer.
    write: bool,
}

impl<'a> JobBuffer<'a> {
    /// Gets everything that can fail or sleep, but for locks and slots. Sleeps.
    ///
    /// Returns `None` if there is nothing to arm: no plane has a reservation object, or the buffer
    /// has its fence already.
    fn begin(self) -> Result<Option<Arming<'a>>> {
        let fence = self.fence;
        if self.objs.is_empty() || fence.is_armed() {
            return Ok(None);
        }
        // A callback of the timer that runs late must not see this fence.
        fence.stop_timer_sync();
        let alloc = fence.take_prepared(self.queue)?;
        Ok(fence.armed.claim().map(|claim| Arming {
            buffer: self,
            claim,
            alloc,
        }))
    }
}

/// One buffer of a job, with everything that publishing its fence takes.
struct Arming<'a> {
    buffer: JobBuffer<'a>,
    claim: ArmingClaim<'a>,
    alloc: DriverFenceAllocation,
}

impl Arming<'_> {
    /// Publishes the fence, and starts its timeout.
    ///
    /// A timeout that passes meanwhile is no error: the driver runs the job, as with one that
    /// passes right after. Fails with `ECANCELED` if the job has ended before it began, which is a
    /// bug of the driver.
    fn publish(self, slots: FenceSlots<'_>, timeout_ms: c_uint) -> Result {
        let JobBuffer {
            fence: owner,
            timeline,
            objs,
            write,
            ..
        } = self.buffer;
        let slots = slots.only(objs);
        let usage = if write { Usage::Write } else { Usage::Read };
        let (fence, _section) = match timeline {
            Some(timeline) => self.alloc.publish(&timeline.fences, slots, usage),
            None => self.alloc.publish(&FenceContext::new(), slots, usage),
        };

        let (context, seqno) = (fence.as_fence().context(), fence.as_fence().seqno());
        // SAFETY: `vb` is alive by the invariants of `ReleaseFence`.
        unsafe { bindings::vb2_release_fence_report_armed(owner.vb, context, seqno) };
        // Before the fence can be taken, so that the timer cannot be started after the job's end.
        owner.start_timer(timeout_ms);
        match self.claim.0.set(fence) {
            Ok(()) => Ok(()),
            Err((fence, ETIMEDOUT)) => {
                owner.time_out(fence);
                Ok(())
            }
            Err((fence, error)) => {
                owner.stop_timer();
                owner.signal(fence, Err(error));
                Err(error)
            }
        }
    }
}

/// Arms the buffers of a job, which have their objects in `objs`. Sleeps.
///
/// After an error nothing was published, except for the bug that [`Arming::publish`] describes.
fn arm_job(
    buffers: [Option<JobBuffer<'_>>; 2],
    objs: &[&Reservation],
    timeout_ms: c_uint,
) -> Result {
    let [one, other] = buffers;
    let one = one.map_or(Ok(None), JobBuffer::begin)?;
    let other = other.map_or(Ok(None), JobBuffer::begin)?;
    match (one, other) {
        (Some(one), Some(other)) => publish([one, other], objs, timeout_ms),
        (Some(buffer), None) | (None, Some(buffer)) => publish([buffer], objs, timeout_ms),
        (None, None) => Ok(()),
    }
}

/// Publishes the fences of all buffers of a job. Sleeps.
///
/// Once the first fence is published, consumers wait for the job, so that nothing may wait for a
/// lock or for memory any more. All locks and all slots come before that, for all buffers.
fn publish<const N: usize>(
    job: [Arming<'_>; N],
    objs: &[&Reservation],
    timeout_ms: c_uint,
) -> Result {
    let published = Reservation::lock_all(objs, |locked| -> Result<_> {
        let slots = locked.reserve::<N>()?;
        let section = SignallingGuard::new();
        let mut result = Ok(());
        for (buffer, slots) in job.into_iter().zip(slots) {
            result = result.and(buffer.publish(slots, timeout_ms));
        }
        Ok((section, result))
    });
    // The section ends here, when all locks are released.
    let (_section, result) = published??;
    result
}

/// Converts to 0 or a negative errno.
fn errno(result: Result) -> c_int {
    result.map_or_else(|error| error.to_errno(), |()| 0)
}

/// Timer callback: the fence timed out.
///
/// # Safety
///
/// `timer` must be the `timer` of a [`ReleaseFence`] that is alive.
unsafe extern "C" fn timer_expired(timer: *mut bindings::timer_list) {
    let timer: *const Opaque<bindings::timer_list> = timer.cast();
    // SAFETY: By the safety requirements `timer` is a field of a `ReleaseFence`.
    let this = unsafe { kernel::container_of!(timer, ReleaseFence, timer) };
    // SAFETY: It is alive, by the safety requirements: the timer is shut down before it is freed.
    let this = unsafe { &*this };

    if let Some(fence) = this.armed.expire() {
        this.time_out(fence);
    }
}
