// SPDX-License-Identifier: GPL-2.0-only

//! A buffer, and what `release_fence.rs` and `videobuf2-core.c` do with its slot.

use crate::{
    check::{ensure, is_broken, Broken},
    fence::{ARef, JobFence},
    platform::{Jiffies, Result},
    slot::{Expiry, Slot},
    timer::Timer,
};
use loom::sync::Mutex;
use std::cell::Cell;

loom::thread_local! {
    static IN_CALLBACK: Cell<bool> = Cell::new(false);
}

/// Returns whether this thread runs the timer's callback.
pub(crate) fn in_callback() -> bool {
    IN_CALLBACK.with(Cell::get)
}

pub(crate) struct Buffer {
    pub(crate) slot: Slot,
    pub(crate) timer: Timer,
    /// The fences in its reservation object, whose lock this is.
    pub(crate) resv: Mutex<Vec<ARef<JobFence>>>,
    /// Whether it is on the done list, and `done_lock`.
    done: Mutex<bool>,
}

impl Buffer {
    pub(crate) fn new() -> Self {
        Self {
            slot: Slot::new(),
            timer: Timer::new(),
            resv: Mutex::new(Vec::new()),
            done: Mutex::new(false),
        }
    }

    /// As `arm_job()` and `JobBuffer::publish()`. Returns the fence that it published.
    pub(crate) fn attach(&self, expires: Jiffies) -> Option<ARef<JobFence>> {
        let mut resv = self.resv.lock().unwrap();
        // SAFETY: The lock of the object is held.
        if unsafe { self.slot.is_pending() } && !is_broken(Broken::NoLook) {
            return None;
        }
        let fence = JobFence::new(expires);
        if is_broken(Broken::TimerFirst) {
            Slot::start_timer(expires, |expires| self.timer.reduce(expires));
        }
        // SAFETY: As above.
        unsafe { self.slot.store(fence.clone()) };
        if !is_broken(Broken::TimerFirst) {
            Slot::start_timer(expires, |expires| self.timer.reduce(expires));
        }
        if is_broken(Broken::AddUnlocked) {
            drop(resv);
            resv = self.resv.lock().unwrap();
        }
        resv.push(fence.clone());
        Some(fence)
    }

    /// As `vb2_buffer_done()`.
    pub(crate) fn job_done(&self, result: Result) {
        let fence = self.slot.pending();
        let note = || fence.iter().for_each(|fence| fence.note(result));
        if !is_broken(Broken::NoteLate) {
            note();
        }
        if is_broken(Broken::SignalFirst) {
            fence.iter().for_each(|fence| end(fence));
        }
        *self.done.lock().unwrap() = true;
        // From here on a program can dequeue the buffer, free it, or queue it for its next job.
        if is_broken(Broken::NoteLate) {
            note();
        }
        if is_broken(Broken::EndBySlot) {
            self.end_pending();
        } else {
            fence.iter().for_each(|fence| end(fence));
        }
    }

    /// As DQBUF with `O_NONBLOCK`. Returns whether the buffer was done.
    pub(crate) fn dequeue(&self) -> bool {
        let done = std::mem::take(&mut *self.done.lock().unwrap());
        if done && !is_broken(Broken::NoEndInDqbuf) {
            self.end_pending();
        }
        done
    }

    /// As `ReleaseFence::end_pending()`.
    pub(crate) fn end_pending(&self) {
        if let Some(fence) = self.slot.pending() {
            end(&fence);
        }
    }

    /// The timers' softirq at `now`, and `timer_expired()`.
    pub(crate) fn time_passes(&self, now: Jiffies) {
        if !self.timer.detach() {
            return;
        }
        IN_CALLBACK.with(|flag| flag.set(true));
        let found = self.slot.expire(now);
        IN_CALLBACK.with(|flag| flag.set(false));
        match found {
            Expiry::Idle => {}
            Expiry::Later(expires) => self.timer.reduce(expires),
            Expiry::TimedOut(fence) => {
                let expired = fence.is_expired(now);
                ensure(expired, "a job was taken for lost before its time");
            }
        }
    }
}

/// As `end()` of `release_fence.rs`.
fn end(fence: &JobFence) {
    fence.end(fence.noted());
    let pending = fence.is_pending();
    ensure(!pending, "one who ended a fence returned before the signal");
}
