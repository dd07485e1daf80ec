// SPDX-License-Identifier: GPL-2.0-only

//! Capture and output devices: when a buffer is handed over to the driver.
//!
//! A mem2mem driver gets a buffer at once, and its scheduler looks whether the buffer waits before
//! it starts a job. A capture or an output device has no scheduler: it takes what `buf_queue` gives
//! it. So videobuf2 itself keeps a buffer that waits ([`HandOver`]), and those that were queued
//! after it: the driver gets them in the order of QBUF, whichever fence is signalled first.
//! `buf_queue` is called by QBUF and STREAMON, and by a work item when a buffer has nothing left to
//! wait for.
//!
//! # What can happen at the same time
//!
//! QBUF, DQBUF, STREAMON, STREAMOFF and free come one after the other, under the lock of the queue.
//! The work item never takes that lock: STREAMOFF holds it when it waits for the work item. It
//! takes the mutex `waiting`, which is held around `buf_queue` and around nothing that takes
//! longer.
//!
//! - QBUF and the work item: the mutex decides. The buffer is in the list before QBUF looks whether
//!   it waits. If it does, the callback or the timer that ends the wait queues the work item later,
//!   and that sees the list.
//! - STREAMON and the work item: the work item hands nothing over before `start_streaming` has
//!   returned and the queue is streaming ([`HandOver::start`]): drivers expect no `buf_queue`
//!   while they start, and may ask `vb2_is_streaming()` in one that comes afterwards. Of a queue
//!   that gives out-fences no buffer comes before that at all.
//! - STREAMOFF and the work item: STREAMOFF empties the list before it calls `stop_streaming`
//!   ([`HandOver::stop`]). A work item that comes later finds nothing to do. A buffer that was
//!   still waiting is returned to the program like one that was queued before STREAMON.
//! - DQBUF and the work item: a job may have ended before `buf_queue` returns. DQBUF waits for
//!   that ([`HandOver::wait`]), as it does for QBUF by the lock of the queue: what is dequeued can
//!   be prepared again, or freed.
//! - Free and the work item: the work item has a reference to the [`HandOver`], and finds the list
//!   empty.

use super::AcquireFences;
use core::mem;
use kernel::{
    bindings,
    dma_buf::SignallingGuard,
    list::{List, ListArc},
    new_mutex,
    prelude::*,
    sync::{Arc, ArcBorrow, Mutex},
    workqueue::{impl_has_work, new_work, Queue, Work, WorkItem},
};

/// The buffers of a queue that are queued, but not handed over to the driver.
struct Waiting {
    /// In the order of QBUF.
    buffers: List<AcquireFences>,
    /// The queue is streaming: the work item may hand buffers over.
    started: bool,
}

impl Waiting {
    /// Hands over the first buffers, up to one that waits for a fence.
    fn hand_over(&mut self) {
        while let Some(first) = self.buffers.cursor_front() {
            let buffer = first.current();
            // One that has failed is returned when the queue streams: start_streaming may fail.
            if !buffer.are_over() || (buffer.have_failed() && !self.started) {
                break;
            }
            let vb = first.remove().countdown.vb;
            // SAFETY: The buffer is alive by the invariants of `Countdown`, and queued: STREAMOFF
            // takes it out of the list. It is not handed over twice, since it was in the list.
            unsafe { bindings::vb2_buffer_hand_over(vb) };
        }
    }
}

/// Hands over the buffers of one queue.
#[pin_data]
pub(super) struct HandOver {
    #[pin]
    waiting: Mutex<Waiting>,
    #[pin]
    work: Work<HandOver>,
}

impl_has_work! {
    impl HasWork<Self> for HandOver { self.work }
}

impl HandOver {
    /// Sleeps; fails with `ENOMEM`.
    pub(super) fn new() -> Result<Arc<Self>> {
        let waiting = Waiting {
            buffers: List::new(),
            started: false,
        };
        Arc::pin_init(
            pin_init!(Self {
                waiting <- new_mutex!(waiting, "vb2_hand_over"),
                work <- new_work!("vb2_hand_over"),
            }),
            GFP_KERNEL,
        )
    }

    /// Hands over a buffer that is queued, or keeps it until it, and each one before it, has
    /// nothing left to wait for. Sleeps.
    pub(super) fn queue(&self, buffer: ArcBorrow<'_, AcquireFences>) {
        // It is in the list already only if it was queued twice, which QBUF refuses.
        if let Some(buffer) = ListArc::try_from_arc_borrow(buffer) {
            self.change(|waiting| {
                waiting.buffers.push_back(buffer);
                waiting.hand_over();
            });
        }
    }

    /// The queue is streaming: from now on what waits for nothing is handed over. Sleeps.
    pub(super) fn start(&self) {
        self.change(|waiting| {
            waiting.started = true;
            waiting.hand_over();
        });
    }

    /// The driver is to stop, or could not be started. Nothing is handed over any more. Sleeps.
    pub(super) fn stop(&self) {
        let mut waiting = self.waiting.lock();
        waiting.started = false;
        let kept = mem::take(&mut waiting.buffers);
        drop(waiting);
        for buffer in kept.iter() {
            // Its fence, if it has one, depends on nothing but this from here on.
            // SAFETY: The buffer is alive by the invariants of `Countdown`.
            unsafe { bindings::vb2_buffer_end_kept(buffer.countdown.vb) };
        }
    }

    /// Waits until `buf_queue` has returned, if it is being called. Sleeps.
    pub(super) fn wait(&self) {
        drop(self.waiting.lock());
    }

    /// A buffer has nothing left to wait for. Any context, with any lock held.
    pub(super) fn buffer_acquired(this: ArcBorrow<'_, Self>) {
        // SAFETY: Has no preconditions.
        let workqueue = unsafe { bindings::vb2_hand_over_workqueue() };
        // SAFETY: It is there as long as the module is. What calls this belongs to the module.
        let workqueue = unsafe { Queue::from_raw(workqueue) };
        // If it is queued already, it has not begun yet, and will see that the buffer waits for
        // nothing. The reference is not the last one then.
        let _ = workqueue.enqueue(Arc::from(this));
    }

    /// Does something with the list that may call `buf_queue`.
    ///
    /// For lockdep it is a signalling section: the job of a buffer that has acquired a fence comes
    /// next, and memory reclaim can wait for it by way of other devices. So `buf_queue` does not
    /// wait for memory, and takes no lock that is held while memory is allocated.
    fn change(&self, change: impl FnOnce(&mut Waiting)) {
        let _section = SignallingGuard::new();
        change(&mut self.waiting.lock());
    }
}

impl WorkItem for HandOver {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.change(|waiting| {
            if waiting.started {
                waiting.hand_over();
            }
        });
    }
}
