// SPDX-License-Identifier: GPL-2.0-only

//! Release fences of videobuf2 buffers: every decision about them.
//!
//! A buffer's [`ReleaseFence`] goes from idle to prepared (QBUF: memory, may fail), to armed (the
//! driver is about to start its hardware: published), and back to idle when the job ends. The C
//! shim in `videobuf2-release-fence.c` converts between this file and the rest of videobuf2; what
//! it calls is in `release_fence_shim.rs`.
//!
//! C header: `include/media/videobuf2-release-fence.h`.

use core::{
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
    ffi::{c_int, c_uint, c_void},
    new_spinlock,
    prelude::*,
    str::CStr,
    sync::SpinLock,
    time::msecs_to_jiffies,
    types::Opaque,
};

/// The driver that all of these fences name; the timeline's name is that of the queue.
const DRIVER: &CStr = kernel::c_str!("videobuf2");

#[path = "release_fence_shim.rs"]
mod shim;

extern "C" {
    fn vb2_release_fence_report_armed(vb: *mut c_void, context: u64, seqno: u64);
    fn vb2_release_fence_report_signalled(vb: *mut c_void, context: u64, seqno: u64, result: c_int);
    fn vb2_release_fence_report_timeout(vb: *mut c_void);
}

/// What the fences of one queue share.
///
/// Lives in `struct vb2_queue`, as memory that C does not look into.
struct Timeline {
    /// Used by all fences of a queue that completes in order.
    fences: FenceContext,
    /// The highest sequence number on `fences` that was signalled.
    ended: AtomicU64,
}

// `struct vb2_release_timeline` has room for three `u64`; the shim checks the same of it.
const _: () = assert!(core::mem::size_of::<Timeline>() == 24);
const _: () = assert!(core::mem::align_of::<Timeline>() == 8);

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

/// Where a published fence waits for the end of its job.
///
/// Taking it out is one atomic exchange: of all who may end the job, in whatever context, one gets
/// the fence, and nobody waits for anybody.
///
/// # Invariants
///
/// The pointer is NULL (idle), [`ArmedSlot::arming`], [`ArmedSlot::late`], or comes from
/// [`DriverFence::into_raw`] and is owned by the slot.
struct ArmedSlot(AtomicPtr<bindings::dma_fence>);

impl ArmedSlot {
    const fn new() -> Self {
        // INVARIANT: Idle.
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// The mark of a slot whose fence is just being published; the address of no fence.
    fn arming() -> *mut bindings::dma_fence {
        static MARK: u8 = 0;
        ptr::addr_of!(MARK).cast_mut().cast()
    }

    /// The mark of a slot whose deadline has passed while it was arming; the address of no fence.
    fn late() -> *mut bindings::dma_fence {
        static MARK: u8 = 1;
        ptr::addr_of!(MARK).cast_mut().cast()
    }

    fn is_idle(&self) -> bool {
        self.0.load(Ordering::Relaxed).is_null()
    }

    /// Goes from idle to arming. Returns nothing if the slot is not idle.
    fn begin(&self) -> Option<ArmingSlot<'_>> {
        self.replace(ptr::null_mut(), Self::arming())
            .then(|| ArmingSlot(self))
    }

    /// Goes from arming to idle: nothing was published. Does nothing if it is armed by now.
    fn abandon(&self) {
        self.replace(Self::arming(), ptr::null_mut());
    }

    /// Goes from arming to armed. Gives the fence back, with its result, if it has ended meanwhile.
    fn finish(&self, fence: DriverFence) -> Result<(), (DriverFence, Error)> {
        let raw = fence.into_raw();
        // INVARIANT: `raw` comes from `into_raw()`; the slot owns it if it is stored.
        if self.replace(Self::arming(), raw.as_ptr()) {
            return Ok(());
        }
        // SAFETY: From `into_raw()` above, and not stored.
        let fence = unsafe { DriverFence::from_raw(raw) };
        // INVARIANT: Idle.
        if self.replace(Self::late(), ptr::null_mut()) {
            Err((fence, ETIMEDOUT))
        } else {
            Err((fence, ECANCELED))
        }
    }

    /// Goes to idle, or from arming to late. Returns the fence if there was one.
    fn expire(&self) -> Option<DriverFence> {
        // INVARIANT: Late.
        if self.replace(Self::arming(), Self::late()) {
            return None;
        }
        self.take()
    }

    /// Goes to idle. Returns the fence if there was one.
    fn take(&self) -> Option<DriverFence> {
        // INVARIANT: Idle.
        let raw = self.0.swap(ptr::null_mut(), Ordering::AcqRel);
        if raw == Self::arming() || raw == Self::late() {
            return None;
        }
        // SAFETY: By the invariants `raw` comes from `into_raw()`, and the slot, which owned it,
        // has just lost it.
        NonNull::new(raw).map(|raw| unsafe { DriverFence::from_raw(raw) })
    }

    fn replace(&self, from: *mut bindings::dma_fence, to: *mut bindings::dma_fence) -> bool {
        self.0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}

/// The release fence of one videobuf2 buffer.
///
/// # Invariants
///
/// - `vb` is the `struct vb2_buffer` that `self` belongs to; it outlives `self`.
/// - `deadline` was set up with [`expired`], and is shut down before `self` is freed.
#[pin_data(PinnedDrop)]
struct ReleaseFence {
    vb: *mut c_void,
    #[pin]
    prepared: SpinLock<Option<DriverFenceAllocation>>,
    armed: ArmedSlot,
    #[pin]
    deadline: Opaque<bindings::timer_list>,
}

/// How a job ended, as far as its fence is concerned.
enum End {
    /// Nobody waits: the buffer had no fence.
    NotArmed,
    /// The fence was signalled.
    Signalled { seqno: u64 },
}

impl ReleaseFence {
    fn new(vb: *mut c_void) -> impl PinInit<Self> {
        pin_init!(Self {
            vb,
            prepared <- new_spinlock!(None),
            armed: ArmedSlot::new(),
            // SAFETY: `slot` is memory for a timer, which stays where it is.
            deadline <- Opaque::ffi_init(|slot| unsafe {
                bindings::timer_setup(slot, Some(expired))
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

    /// Ends the job, if it has a fence: signals it with `result`. Any context.
    fn end(&self, result: Result) -> End {
        let Some(fence) = self.armed.take() else {
            return End::NotArmed;
        };
        let seqno = fence.as_fence().seqno();
        self.stop_deadline();
        self.signal(fence, result);
        End::Signalled { seqno }
    }

    /// Ends the job of a fence that nobody else has signalled in time. Any context.
    fn time_out(&self, fence: DriverFence) {
        self.signal(fence, Err(ETIMEDOUT));
        // SAFETY: `vb` is alive by the invariants.
        unsafe { vb2_release_fence_report_timeout(self.vb) };
    }

    fn signal(&self, fence: DriverFence, result: Result) {
        let _signalling = SignallingGuard::new();
        let (context, seqno) = (fence.as_fence().context(), fence.as_fence().seqno());
        // Before the signal: nobody can be woken by it and find no event yet.
        // SAFETY: `vb` is alive by the invariants.
        unsafe { vb2_release_fence_report_signalled(self.vb, context, seqno, errno(result)) };
        fence.signal(result);
    }

    fn start_deadline(&self, timeout_ms: c_uint) {
        if timeout_ms == 0 {
            return;
        }
        // SAFETY: A counter that is always there and that interrupts advance.
        let now = unsafe { ptr::addr_of!(bindings::jiffies).read_volatile() };
        let expires = now.wrapping_add(msecs_to_jiffies(timeout_ms));
        // SAFETY: The timer is set up, by the invariants.
        unsafe { bindings::mod_timer(self.deadline.get(), expires) };
    }

    /// Stops the watch. It may be going off at this moment, and then finds no fence. Any context.
    fn stop_deadline(&self) {
        // SAFETY: The timer is set up, by the invariants.
        unsafe { bindings::timer_delete(self.deadline.get()) };
    }

    /// Stops the watch and waits until it is over. Sleeps.
    fn stop_deadline_sync(&self) {
        // SAFETY: The timer is set up, by the invariants; it takes no lock that a caller holds.
        unsafe { bindings::timer_delete_sync(self.deadline.get()) };
    }
}

#[pinned_drop]
impl PinnedDrop for ReleaseFence {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The timer is set up, by the invariants. It will not be used again.
        unsafe { bindings::timer_shutdown_sync(self.deadline.get()) };
        // A driver that loses an armed buffer must not leave anybody waiting.
        self.end(Err(ECANCELED));
    }
}

/// The slot of a buffer that is being armed. Dropped before it is armed, it goes back to idle.
struct ArmingSlot<'a>(&'a ArmedSlot);

impl Drop for ArmingSlot<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// One buffer of a job that is about to start, with all that it takes to publish its fence.
struct Arming<'a> {
    fence: &'a ReleaseFence,
    slot: ArmingSlot<'a>,
    alloc: DriverFenceAllocation,
    /// Where the buffer's objects stand in the list of all objects of the job.
    objs: Range<usize>,
    usage: Usage,
    /// What the fences of the queue share, if it completes in order.
    timeline: Option<&'a Timeline>,
    timeout_ms: c_uint,
}

impl Arming<'_> {
    /// Publishes, leaves the fence to whoever ends the job, and has that watched.
    ///
    /// A deadline that passes meanwhile is no error: the driver runs the job, as with one that
    /// passes right after. Fails with `ECANCELED` if the job has ended before it began, which is a
    /// bug of the driver.
    fn publish(self, slots: FenceSlots<'_>) -> Result {
        let slots = slots.only(self.objs);
        let (fence, _section) = match self.timeline {
            Some(timeline) => self.alloc.publish(&timeline.fences, slots, self.usage),
            None => self.alloc.publish(&FenceContext::new(), slots, self.usage),
        };

        let (context, seqno) = (fence.as_fence().context(), fence.as_fence().seqno());
        // SAFETY: `vb` is alive by the invariants of `ReleaseFence`.
        unsafe { vb2_release_fence_report_armed(self.fence.vb, context, seqno) };
        // Before the fence can be taken, so that the watch cannot begin after the job has ended.
        self.fence.start_deadline(self.timeout_ms);
        match self.slot.0.finish(fence) {
            Ok(()) => Ok(()),
            Err((fence, ETIMEDOUT)) => {
                self.fence.time_out(fence);
                Ok(())
            }
            Err((fence, error)) => {
                self.fence.stop_deadline();
                self.fence.signal(fence, Err(error));
                Err(error)
            }
        }
    }
}

/// Publishes the fences of all buffers of a job, which have their objects in `objs`. Sleeps.
///
/// With the first fence that is out, consumers wait for the job, so that nothing may wait for a
/// lock or for memory any more. All locks and all slots come before that, for all buffers.
///
/// If it fails, nothing was published, but for the bug that [`Arming::publish`] tells of.
fn arm<const N: usize>(job: [Arming<'_>; N], objs: &[&Reservation]) -> Result {
    let published = Reservation::lock_all(objs, |locked| -> Result<_> {
        let slots = locked.reserve::<N>()?;
        let section = SignallingGuard::new();
        let mut result = Ok(());
        for (buffer, slots) in job.into_iter().zip(slots) {
            result = result.and(buffer.publish(slots));
        }
        Ok((section, result))
    });
    // The section ends here, when all locks are released.
    let (_section, result) = published??;
    result
}

/// What C wants to hear of a result.
fn errno(result: Result) -> c_int {
    result.map_or_else(|error| error.to_errno(), |()| 0)
}

/// The watch over an armed fence has gone off.
///
/// # Safety
///
/// `timer` must be the `deadline` of a [`ReleaseFence`] that is alive.
unsafe extern "C" fn expired(timer: *mut bindings::timer_list) {
    let timer: *const Opaque<bindings::timer_list> = timer.cast();
    // SAFETY: By the safety requirements `timer` is a field of a `ReleaseFence`.
    let this = unsafe { kernel::container_of!(timer, ReleaseFence, deadline) };
    // SAFETY: It is alive, by the safety requirements: the timer is shut down before it is freed.
    let this = unsafe { &*this };

    if let Some(fence) = this.armed.expire() {
        this.time_out(fence);
    }
}
