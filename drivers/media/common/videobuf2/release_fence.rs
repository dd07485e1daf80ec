// SPDX-License-Identifier: GPL-2.0-only

//! Release fences of videobuf2 buffers: every decision about them.
//!
//! A buffer's [`ReleaseFence`] goes from idle to prepared (QBUF: memory, may fail), to armed (the
//! driver is about to start its hardware: published), and back to idle when its fence is
//! signalled. `ffi.rs` converts what `videobuf2-release-fence.c`, the C side, calls and passes.
//!
//! Where the steps are: [`ReleaseFence::prepare`] allocates, [`arm_job`] publishes, [`end`]
//! signals, [`timer_expired`] signals a fence whose job did not end. `explicit_fence.rs` decides
//! which fence a program gets that asks the buffer for one, or queues it with an out-fence.
//!
//! C header: `include/media/videobuf2-release-fence.h`.

use core::{mem::MaybeUninit, ptr};
use kernel::{
    bindings,
    dma_buf::{
        DriverFenceAllocation, FenceContext, FenceSlots, JobFence, Reservation, SignallingGuard,
        SpareAllocation, Usage,
    },
    ffi::{c_int, c_uint},
    prelude::*,
    str::CStr,
    time::Jiffies,
    types::{ARef, Opaque},
};

/// The driver that all of these fences name; the timeline's name is that of the queue.
const DRIVER: &CStr = kernel::c_str!("videobuf2");

#[path = "explicit_fence.rs"]
mod explicit_fence;
#[path = "ffi.rs"]
mod ffi;
#[path = "slot.rs"]
mod slot;
use explicit_fence::{NextFence, Start, Turn};
use slot::{Expiry, Slot};

/// What `slot.rs` needs.
mod platform {
    pub(super) use core::sync::atomic::{AtomicPtr, Ordering};
    pub(super) use kernel::{
        dma_buf::JobFence, error::code::ETIMEDOUT, time::Jiffies, types::ARef,
    };

    pub(super) fn smp_mb() {
        // SAFETY: Has no preconditions.
        unsafe { kernel::bindings::smp_mb() };
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
    /// What the buffer's jobs do with it.
    usage: Usage,
    /// One for each buffer: its jobs end one after the other, so that its fences are in order.
    context: FenceContext,
    prepared: SpareAllocation,
    slot: Slot,
    turn: Turn,
    /// Stands in for the objects of a buffer that has none, such as one of user space's memory:
    /// each job has a fence, and this object's lock keeps two attaches apart.
    #[pin]
    own: Reservation,
    #[pin]
    timer: Opaque<bindings::timer_list>,
}

// SAFETY: Of `vb` only what never changes while `self` lives is read, the timer has a lock of its
// own, and all other fields are `Sync`.
unsafe impl Sync for ReleaseFence {}

impl ReleaseFence {
    fn new(vb: *mut bindings::vb2_buffer, usage: Usage, queue: &CStr) -> impl PinInit<Self> {
        let context = FenceContext::new(DRIVER, queue);
        pin_init!(Self {
            vb,
            usage,
            context,
            prepared: SpareAllocation::new(),
            slot: Slot::new(),
            turn: Turn::new(),
            own <- Reservation::new(),
            // SAFETY: `timer` is memory for a timer, which stays where it is.
            timer <- Opaque::ffi_init(|timer| unsafe {
                bindings::timer_setup(timer, Some(timer_expired))
            }),
        })
    }

    /// Allocates the next fence, if that has not been done. Sleeps; fails with `ENOMEM`.
    fn prepare(&self) -> Result {
        if self.prepared.is_empty() {
            let alloc = self.allocate()?;
            // Still empty, unless two threads prepare at the same time.
            drop(self.prepared.replace(Some(alloc)));
        }
        Ok(())
    }

    /// Takes the memory for the next fence. Sleeps; fails with `ENOMEM`.
    fn take_prepared(&self) -> Result<DriverFenceAllocation> {
        // None: the buffer came back to the driver without a QBUF, as after a failed STREAMON.
        let prepared = self.prepared.replace(None);
        prepared.map_or_else(|| self.allocate(), Ok)
    }

    #[cold]
    fn allocate(&self) -> Result<DriverFenceAllocation> {
        DriverFenceAllocation::new(&self.context, GFP_KERNEL)
    }

    /// Returns whether consumers see a pending fence. Any context.
    fn is_visible(&self) -> bool {
        self.slot.pending().is_some_and(|f| f.is_published())
    }

    /// Notes the result of a job that ends with `state`, and returns its fence, which has to be
    /// signalled with that result, if consumers may be waiting for it. Any context.
    ///
    /// `cancelled` tells whether the queue is being cancelled.
    fn job_ends(
        &self,
        state: bindings::vb2_buffer_state,
        cancelled: bool,
    ) -> Option<ARef<JobFence>> {
        let result = match state {
            bindings::vb2_buffer_state_VB2_BUF_STATE_DONE => Ok(()),
            bindings::vb2_buffer_state_VB2_BUF_STATE_QUEUED => Err(ECANCELED),
            _ if cancelled => Err(ECANCELED),
            _ => Err(EIO),
        };
        self.turn.came_back(result);
        let fence = self.slot.pending()?;
        fence.note(result);
        Some(fence)
    }

    /// Signals the fence, if it is pending, with the result that was noted: a buffer that is being
    /// dequeued or freed has none. Any context.
    fn end_pending(&self) {
        if let Some(fence) = self.slot.pending() {
            // SAFETY: `vb` is alive by the invariants.
            let (q, index) = unsafe { ((*self.vb).vb2_queue, (*self.vb).index) };
            end(&fence, q, index);
        }
    }

    /// Publishes the fence of a job, and starts its timeout, unless the buffer is armed. Returns
    /// the fence's number if it was not.
    ///
    /// # Safety
    ///
    /// The caller holds the locks of the buffer's reservation objects.
    unsafe fn publish(&self, next: NextFence, start: Start, slots: FenceSlots<'_>) -> Option<u64> {
        // Another attach has finished: it held the same locks.
        // SAFETY: By the safety requirements.
        if unsafe { self.slot.is_pending() } {
            return None;
        }
        let expires = start.latest().wrapping_add(self.timeout());
        let fence = next.into_fence(&self.context);
        fence.set_expires(expires);
        let (context, seqno) = (fence.as_fence().context(), fence.as_fence().seqno());
        // Before another thread can end it, and report that.
        // SAFETY: `vb` is alive by the invariants.
        unsafe { bindings::vb2_release_fence_report_armed(self.vb, context, seqno) };
        // Before consumers can see it: from here on it ends, if only by the timeout.
        // SAFETY: By the safety requirements, since before the look into the slot.
        let fence = unsafe { self.slot.store(fence) };
        Slot::start_timer(expires, |expires| self.reduce_timer(expires));
        let _section = slots.add(fence, self.usage);
        Some(seqno)
    }

    /// Returns how long a job may take, in jiffies.
    fn timeout(&self) -> Jiffies {
        // SAFETY: `vb` is alive by the invariants.
        let q = unsafe { (*self.vb).vb2_queue };
        // SAFETY: A buffer's queue is alive.
        unsafe { bindings::vb2_release_fence_timeout(q) }
    }

    /// The driver gets a buffer whose fence QBUF or STREAMON published: from now on its job may
    /// take as long as any other. Any context.
    fn handed_over(&self) {
        if let Some(fence) = self.slot.pending() {
            let expires = jiffies().wrapping_add(self.timeout());
            fence.set_expires(expires);
            Slot::start_timer(expires, |expires| self.reduce_timer(expires));
        }
    }

    /// Tells the program that the job has started: fence `number` is published. In a signalling
    /// section, with no lock held.
    fn report_started(&self, number: u64) {
        // SAFETY: `vb` is alive by the invariants. Programs see the lower half of the number.
        unsafe { bindings::vb2_release_fence_report_started(self.vb, number as u32) };
    }

    fn reduce_timer(&self, expires: Jiffies) {
        // SAFETY: The timer is set up, by the invariants.
        unsafe { bindings::timer_reduce(self.timer.get(), expires) };
    }
}

#[pinned_drop]
impl PinnedDrop for ReleaseFence {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The timer is set up, by the invariants. It will not be used again.
        unsafe { bindings::timer_shutdown_sync(self.timer.get()) };
        // A driver that loses an armed buffer must not leave consumers waiting.
        self.end_pending();
    }
}

/// Signals a fence with the result that was noted. Any context.
///
/// Buffer `index` of `q` may be freed already.
fn end(fence: &JobFence, q: *mut bindings::vb2_queue, index: c_uint) {
    let result = fence.noted();
    if fence.end(result) {
        report_signalled(fence, q, index, result);
    }
}

fn report_signalled(fence: &JobFence, q: *mut bindings::vb2_queue, index: c_uint, result: Result) {
    let (context, seqno) = (fence.as_fence().context(), fence.as_fence().seqno());
    // SAFETY: `q` is alive while one of its jobs is ending.
    unsafe {
        bindings::vb2_release_fence_report_signalled(q, index, context, seqno, errno(result))
    };
}

/// The reservation objects of a job's buffers, those of the first buffer first.
///
/// # Invariants
///
/// So many of `objs` as `counts` adds up to are written: objects that are alive as long as the
/// buffers are active.
struct JobObjects {
    objs: [MaybeUninit<*mut bindings::dma_resv>; Reservation::MAX_LOCKED],
    counts: [usize; 2],
}

// Two buffers have not more.
const _: () = assert!(
    2 * (bindings::VB2_MAX_PLANES * bindings::VB2_PLANE_RESVS) as usize <= Reservation::MAX_LOCKED
);

impl JobObjects {
    fn new() -> Self {
        // INVARIANT: None.
        Self {
            objs: [MaybeUninit::uninit(); Reservation::MAX_LOCKED],
            counts: [0; 2],
        }
    }

    /// Collects the objects of two active buffers.
    fn collect(&mut self, fences: [Option<&ReleaseFence>; 2]) {
        let mut room = self.objs.as_mut_ptr().cast();
        for (fence, count) in fences.into_iter().zip(&mut self.counts) {
            // SAFETY: There is room for the objects of both. INVARIANT: So many are written.
            *count = unsafe { collect(fence, room) };
            // SAFETY: Inside of `objs`, or at its end.
            room = unsafe { room.add(*count) };
        }
    }

    /// Returns whether the buffers still have the objects that were collected, and no others.
    fn are_all(&self, fences: [Option<&ReleaseFence>; 2]) -> bool {
        // SAFETY: Nothing is written.
        fences.map(|fence| unsafe { collect(fence, ptr::null_mut()) }) == self.counts
    }

    fn as_slice(&self) -> &[&Reservation] {
        let count = self.counts[0] + self.counts[1];
        // SAFETY: By the invariants; `&Reservation` has the layout of a pointer to a `dma_resv`.
        unsafe { core::slice::from_raw_parts(self.objs.as_ptr().cast(), count) }
    }
}

/// Writes the objects of an active buffer to `room`, unless that is NULL. Returns how many it has:
/// one at least.
///
/// # Safety
///
/// There is room for the objects of all its planes.
unsafe fn collect(fence: Option<&ReleaseFence>, room: *mut *mut bindings::dma_resv) -> usize {
    let Some(fence) = fence else {
        return 0;
    };
    // SAFETY: By the safety requirements; `vb` is alive by the invariants.
    let count = unsafe { bindings::vb2_release_fence_collect(fence.vb, room) };
    if count == 0 && !room.is_null() {
        // SAFETY: A buffer has a plane at least.
        unsafe { room.write(fence.own.as_raw()) };
    }
    count.max(1) as usize
}

/// Arms the buffers of a job, which are active, and tells the program. Returns whether it published
/// a fence. Sleeps.
fn arm_job(fences: [Option<&ReleaseFence>; 2]) -> Result<bool> {
    // A second attach of the job may be in its signalling section already, and not wait.
    let fences = fences.map(|fence| fence.filter(|fence| !fence.is_visible()));
    publish_all(fences, [None, None], Start::AtOnce)
}

/// Publishes fences for buffers: those in `next`, which are out-fences, and else new ones, of which
/// it tells the program. Returns whether it published one. Sleeps.
///
/// The buffers are prepared, and stay so. One is left alone if it has a pending fence. After an
/// error nothing was published.
///
/// Once the first fence is published, consumers wait for the job, so that nothing may wait for a
/// lock or for memory any more. All locks and all slots come before that, for all buffers.
fn publish_all(
    fences: [Option<&ReleaseFence>; 2],
    mut next: [Option<NextFence>; 2],
    start: Start,
) -> Result<bool> {
    let tell = next.each_ref().map(Option::is_none);
    let mut objs = JobObjects::new();
    loop {
        objs.collect(fences);
        for i in 0..fences.len() {
            if let (Some(fence), None) = (fences[i], &next[i]) {
                next[i] = Some(NextFence::Memory(fence.take_prepared()?));
            }
        }
        if objs.as_slice().is_empty() {
            return Ok(false);
        }
        let mut section = None;
        let mut numbers = [None, None];
        Reservation::lock_all(objs.as_slice(), |locked| {
            // An export has brought an object into use meanwhile. From here on none can: that
            // takes the lock of the plane's first object.
            if !objs.are_all(fences) {
                return Ok(());
            }
            let [dst, src] = locked.reserve()?;
            section = Some(SignallingGuard::new());
            if let (Some(fence), Some(next)) = (fences[0], next[0].take()) {
                // SAFETY: All objects are locked.
                numbers[0] = unsafe { fence.publish(next, start, dst.only(0..objs.counts[0])) };
            }
            if let (Some(fence), Some(next)) = (fences[1], next[1].take()) {
                let slots = src.only(objs.counts[0]..usize::MAX);
                // SAFETY: As above.
                numbers[1] = unsafe { fence.publish(next, start, slots) };
            }
            Ok(())
        })?;
        if section.is_some() {
            for i in 0..fences.len() {
                if let (Some(fence), Some(number), true) = (fences[i], numbers[i], tell[i]) {
                    fence.report_started(number);
                }
            }
            // The section ends here, when all locks are released.
            return Ok(numbers.iter().any(Option::is_some));
        }
    }
}

/// Converts to 0 or a negative errno.
fn errno(result: Result) -> c_int {
    result.map_or_else(|error| error.to_errno(), |()| 0)
}

/// Timer callback: the job of the buffer's fence may not have ended in time.
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

    match this.slot.expire(jiffies()) {
        Expiry::Idle => {}
        Expiry::Later(expires) => this.reduce_timer(expires),
        Expiry::TimedOut(fence) => {
            // SAFETY: `vb` is alive by the invariants.
            let (q, index) = unsafe { ((*this.vb).vb2_queue, (*this.vb).index) };
            report_signalled(&fence, q, index, Err(ETIMEDOUT));
            // SAFETY: `q` is alive: its buffer is.
            unsafe { bindings::vb2_release_fence_report_timeout(q, index) };
        }
    }
}

/// Returns the time, in jiffies.
fn jiffies() -> Jiffies {
    // SAFETY: A counter that always exists and that interrupts advance.
    unsafe { ptr::addr_of!(bindings::jiffies).read_volatile() }
}
