// SPDX-License-Identifier: GPL-2.0-only

//! Acquire fences of videobuf2 buffers: every decision about what a buffer waits for.
//!
//! A buffer whose memory others still read or write has to wait before its job starts. QBUF takes
//! a snapshot ([`AcquireFences::acquire`]): it gathers the fences of the buffer's reservation
//! objects, registers a callback with each, and counts them. The *scheduler*, which starts jobs,
//! looks at the count ([`AcquireFences::are_over`]), and is notified when it reaches zero: it is
//! that of mem2mem, or `hand_over.rs` for the buffers of other devices. A fence that does not end
//! in time is given up ([`timer_expired`]), and not waited for again. DQBUF, STREAMOFF and REQBUFS
//! let go of everything ([`AcquireFences::let_go`]). A program can pass an *in-fence* with QBUF,
//! which takes the place of those that order its jobs implicitly. It judges: if it ends with an
//! error, or is given up, the buffer has failed ([`AcquireFences::have_failed`]), and does not get
//! its job. `acquire_ffi.rs` converts what
//! `videobuf2-acquire-fence.c`, the C side, calls and passes.
//!
//! # What can happen at the same time
//!
//! QBUF, DQBUF, cancel and free of a buffer come one after the other, as all that videobuf2 does to
//! a buffer: under the lock of its queue. Three things come from elsewhere: callbacks, the timer,
//! and `vb2_buffer_done()` ([`AcquireFences::buffer_done`]). Of each two:
//!
//! - Callback and timer: both would count a fence down. The one that takes the registration out of
//!   the fence's list does, under the fence's lock, so that each fence is counted once.
//! - Callback and callback, of two fences: the count is atomic, and one of them is the last.
//! - Callback and QBUF: the count is one too high until all are registered, and cannot reach zero
//!   early. QBUF takes the one off itself, and needs no notification. From then on the last
//!   callback notifies. The scheduler looks at the list of buffers under a lock of its own, and so
//!   does QBUF when it has listed the buffer: whichever of the two comes second sees both the
//!   buffer and a count of zero.
//! - Callback and let go: a callback that is not known to be over is removed under the fence's
//!   lock, under which it runs. So it has run, or never will. It uses only what lives in `self`.
//! - Timer and QBUF: it is started when all are registered, and stopped before `waits` changes.
//! - Timer and let go: it is stopped first, and waited for. It takes the locks of fences only, and
//!   videobuf2 holds none of them when it lets go.
//! - Done, and callback or timer: a buffer that is returned while it waits is marked, and the
//!   scheduler is not notified of it. A callback that has looked before the mark notifies once too
//!   often: the scheduler does not find the buffer, and goes on.
//! - Done, and QBUF or let go: the mark is set before the buffer can be dequeued. The next QBUF,
//!   which comes after that, takes it off.
//!
//! C header: `videobuf2-acquire-fence-internal.h` beside this file.

use core::{cell::UnsafeCell, mem::MaybeUninit, ops::ControlFlow, ptr, sync::atomic::Ordering};
use kernel::{
    bindings,
    dma_buf::{DmaResvUsage, Fence, Reservation},
    ffi::c_uint,
    list::{
        impl_has_list_links, impl_list_arc_safe, impl_list_item, AtomicTracker, ListLinks,
        TryNewListArc,
    },
    prelude::*,
    types::Opaque,
};

#[path = "acquire_entry.rs"]
mod entry;
#[path = "acquire_ffi.rs"]
mod ffi;
mod hand_over;
use entry::{give_up, Countdown, GivenUp, Kind, Waits};

/// The most reservation objects that a buffer has.
const MAX_OBJECTS: usize = (bindings::VB2_MAX_PLANES * bindings::VB2_PLANE_RESVS) as usize;

/// What one videobuf2 buffer waits for.
///
/// # Invariants
///
/// - `timer` was set up with [`timer_expired`], and is shut down before `self` is freed.
/// - While it is pending, or its callback is running, `waits` does not change.
#[pin_data(PinnedDrop)]
struct AcquireFences {
    countdown: Countdown,
    /// Which fences the buffer's jobs wait for.
    usage: DmaResvUsage,
    waits: UnsafeCell<Waits>,
    given_up: UnsafeCell<GivenUp>,
    #[pin]
    timer: Opaque<bindings::timer_list>,
    /// In the list of a [`hand_over::HandOver`].
    #[pin]
    links: ListLinks,
    #[pin]
    tracker: AtomicTracker,
}

impl_list_arc_safe! {
    impl ListArcSafe<0> for AcquireFences { tracked_by tracker: AtomicTracker; }
}

impl_has_list_links! {
    impl HasListLinks<0> for AcquireFences { self.links }
}

impl_list_item! {
    impl ListItem<0> for AcquireFences { using ListLinks; }
}

// SAFETY: No field belongs to a thread, and the drop, in any thread, stops the timer first.
unsafe impl Send for AcquireFences {}

// SAFETY: `waits` is used by the timer, and by functions that are unsafe for that reason, as is
// `given_up`. The fields of `countdown` are atomic, or do not change, and the timer has a lock of
// its own. `links` is for the owner of the one `ListArc`, which `tracker`, an atomic too, knows of.
unsafe impl Sync for AcquireFences {}

impl AcquireFences {
    fn new(vb: *mut bindings::vb2_buffer, usage: DmaResvUsage) -> impl PinInit<Self> {
        pin_init!(Self {
            countdown: Countdown::new(vb),
            usage,
            waits: UnsafeCell::new(Waits::new()),
            given_up: UnsafeCell::new(GivenUp::new()),
            // SAFETY: `timer` is memory for a timer, which stays where it is.
            timer <- Opaque::ffi_init(|timer| unsafe {
                bindings::timer_setup(timer, Some(timer_expired))
            }),
            links <- ListLinks::new(),
            tracker <- AtomicTracker::new(),
        })
    }

    /// Takes a snapshot of the fences that the buffer, which is prepared, has to wait for. Sleeps.
    ///
    /// The program may have passed an in-fence. Fails with `ENOMEM`, and waits for nothing then.
    ///
    /// # Safety
    ///
    /// Of this function, [`Self::start_timeout`] and [`Self::let_go`] no two may run at the same
    /// time.
    unsafe fn acquire(&self, in_fence: Option<&Fence>) -> Result {
        // SAFETY: By the safety requirements.
        unsafe { self.let_go() };
        self.countdown.begin();
        // SAFETY: The timer is stopped, and nothing else runs, by the safety requirements.
        let waits = unsafe { &mut *self.waits.get() };
        // SAFETY: As above.
        let given_up = unsafe { &mut *self.given_up.get() };
        while !self.gather(waits, given_up, in_fence) {
            if let Err(error) = waits.grow() {
                waits.clear();
                self.countdown.less(1);
                return Err(error);
            }
        }
        given_up.end_snapshot();
        // What is signalled from here on notifies.
        self.countdown.less(1);
        Ok(())
    }

    /// Registers with all fences but those that were given up before. Returns whether there was
    /// room for all of them.
    #[inline]
    fn gather(&self, waits: &mut Waits, given_up: &mut GivenUp, in_fence: Option<&Fence>) -> bool {
        // Who moves or clears the memory is waited for by all.
        let usage = in_fence.map_or(self.usage, |_| DmaResvUsage::Kernel);
        let mut objs = [MaybeUninit::<*mut bindings::dma_resv>::uninit(); MAX_OBJECTS];
        let room = objs.as_mut_ptr().cast();
        // SAFETY: The buffer is prepared, and there is room for the objects of all its planes.
        let count = unsafe { bindings::vb2_release_fence_collect(self.countdown.vb, room) };
        // SAFETY: So many were written: objects that are alive as long as the buffer is prepared.
        // `&Reservation` has the layout of a pointer to one.
        let objs: &[&Reservation] =
            unsafe { core::slice::from_raw_parts(objs.as_ptr().cast(), count as usize) };

        for (i, obj) in objs.iter().enumerate() {
            // Planes may share one.
            if objs[..i].iter().any(|other| ptr::eq(*other, *obj)) {
                continue;
            }
            let before = waits.as_slice().len();
            let result = obj.for_each_pending(usage, |fence, begins| {
                if begins {
                    waits.let_go(before);
                }
                if given_up.finds(fence) {
                    return ControlFlow::Continue(());
                }
                let Some(room) = waits.room() else {
                    return ControlFlow::Break(());
                };
                self.countdown.wait_for(fence, Kind::Implicit, room);
                ControlFlow::Continue(())
            });
            if result.is_break() {
                return false;
            }
        }
        let Some(fence) = in_fence else {
            return true;
        };
        let Some(room) = waits.room() else {
            return false;
        };
        // Given up before or not: the program wants to know how it ends.
        self.countdown.wait_for(fence, Kind::InFence, room);
        true
    }

    /// Starts the timeout: the buffer is queued.
    ///
    /// # Safety
    ///
    /// As for [`Self::acquire`], which has succeeded.
    unsafe fn start_timeout(&self) {
        if !self.are_over() {
            // SAFETY: Has no preconditions.
            let expires = unsafe { bindings::vb2_acquire_fence_expires() };
            // SAFETY: The timer is set up, by the invariants. INVARIANT: Nothing is changing
            // `waits`, by the safety requirements, and `let_go()` stops it before that.
            unsafe { bindings::mod_timer(self.timer.get(), expires) };
        }
    }

    /// Returns whether nothing is left to wait for. Any context.
    fn are_over(&self) -> bool {
        self.countdown.is_over()
    }

    /// Returns whether the in-fence has failed, and with it the buffer, which does not wait. Any
    /// context.
    fn have_failed(&self) -> bool {
        self.countdown.failed.load(Ordering::Relaxed)
    }

    /// The buffer is returned with `state`, and was not dequeued yet. Any context.
    ///
    /// One that is returned as queued gets its job later, and goes on waiting.
    fn buffer_done(&self, state: bindings::vb2_buffer_state) {
        if state != bindings::vb2_buffer_state_VB2_BUF_STATE_QUEUED && !self.are_over() {
            self.countdown.returned.store(true, Ordering::Relaxed);
        }
    }

    /// Removes all callbacks: the buffer is not queued any more. Sleeps.
    ///
    /// Of the fences only those are kept that were given up, until the next snapshot: those that it
    /// finds again are not waited for.
    ///
    /// # Safety
    ///
    /// As for [`Self::acquire`].
    #[inline]
    unsafe fn let_go(&self) {
        // SAFETY: Nothing changes it now, by the safety requirements.
        if !unsafe { &*self.waits.get() }.as_slice().is_empty() {
            // SAFETY: As above.
            unsafe { self.let_go_of_all() };
        }
    }

    /// Does what [`Self::let_go`] does if there is something.
    ///
    /// # Safety
    ///
    /// As for [`Self::acquire`].
    #[inline(never)]
    unsafe fn let_go_of_all(&self) {
        // SAFETY: The timer is set up, by the invariants.
        unsafe { bindings::timer_delete_sync(self.timer.get()) };
        // SAFETY: The timer is stopped, and nothing else runs, by the safety requirements.
        let waits = unsafe { &mut *self.waits.get() };
        // SAFETY: As above.
        unsafe { &mut *self.given_up.get() }.add(waits);
        waits.clear();
    }

    /// Gives up what has not ended in time. Called by the timer.
    fn give_up(&self) {
        if self.countdown.returned.load(Ordering::Relaxed) {
            return;
        }
        // SAFETY: It does not change while the callback of the timer runs, by the invariants.
        let waits = unsafe { &*self.waits.get() };
        let (mut first, mut count) = (None, 0);
        for late in waits.as_slice().iter().filter(|wait| give_up(wait)) {
            first = first.or(Some(late.fence()));
            count += 1;
        }
        if let Some(fence) = first {
            let (vb, fence) = (self.countdown.vb, fence.as_raw());
            // SAFETY: The buffer is alive, and so is the fence, of which there is a reference.
            unsafe { bindings::vb2_acquire_fence_report_given_up(vb, fence, count as c_uint) };
            self.countdown.end(count);
        }
    }
}

#[pinned_drop]
impl PinnedDrop for AcquireFences {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The timer is set up, by the invariants. It will not be used again.
        unsafe { bindings::timer_shutdown_sync(self.timer.get()) };
        // While what the callbacks use is all there.
        // SAFETY: The timer is stopped, and nothing else uses what is dropped.
        unsafe { &mut *self.waits.get() }.clear();
    }
}

/// Timer callback: not all fences that the buffer waits for have ended in time.
///
/// # Safety
///
/// `timer` must be the `timer` of an [`AcquireFences`] that is alive.
unsafe extern "C" fn timer_expired(timer: *mut bindings::timer_list) {
    let timer: *const Opaque<bindings::timer_list> = timer.cast();
    // SAFETY: By the safety requirements `timer` is a field of an `AcquireFences`.
    let this = unsafe { kernel::container_of!(timer, AcquireFences, timer) };
    // SAFETY: It is alive, by the safety requirements: the timer is shut down before it is freed.
    unsafe { &*this }.give_up();
}
