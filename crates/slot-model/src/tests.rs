// SPDX-License-Identifier: GPL-2.0-only

//! The protocols: what holds in the interleavings that are tried, and what it rests on.

use crate::{
    buffer::Buffer,
    check::{ensure, run, share, Broken},
    fence::{ARef, JobFence},
    plane::Plane,
    platform::{Jiffies, Ordering, EIO, ETIMEDOUT},
};
use std::ptr;

/// When the first job of a buffer is taken for lost, and the next one.
const FIRST: Jiffies = 10;
const NEXT: Jiffies = 13;

/// A buffer, and the fence of its first job.
struct Job {
    buffer: Buffer,
    fence: ARef<JobFence>,
}

impl Job {
    fn running() -> Self {
        let buffer = Buffer::new();
        let fence = buffer.attach(FIRST).unwrap();
        Self { buffer, fence }
    }

    /// The timer is still pending.
    fn ended() -> Self {
        let job = Self::running();
        job.fence.end(Ok(()));
        job
    }

    fn attach_next(&self) {
        self.buffer.attach(NEXT);
        let resv = self.buffer.resv.lock().unwrap();
        let visible = resv.last().is_some_and(|fence| fence.is_pending());
        ensure(visible, "an attach returned before its fence was visible");
    }

    /// Checks that the next job is armed, once and with a timer that expires at `latest`.
    fn check_next(&self, latest: Jiffies) {
        let Some(fence) = self.buffer.slot.pending() else {
            return ensure(false, "the next job's fence was ended");
        };
        let timed = self.buffer.timer.is_pending_for(latest);
        ensure(timed, "a fence was left without a timer");
        let resv = self.buffer.resv.lock().unwrap();
        let pending = resv.iter().filter(|fence| fence.is_pending());
        ensure(pending.count() == 1, "two fences were published");
        let published = resv.last().is_some_and(|last| ptr::eq(&**last, &*fence));
        ensure(published, "what was published is not in the slot");
    }
}

/// Two attaches of one buffer, when the timer of its last job expires late.
fn attach_attach() {
    let job = share(
        Job::ended(),
        &[Job::attach_next, Job::attach_next, |job| {
            job.buffer.time_passes(FIRST);
        }],
    );
    job.check_next(NEXT);
}

/// The job is done, the buffer is freed, and the timeout is over, all at the same time.
fn end_end_timeout() {
    let job = share(
        Job::running(),
        &[
            |job| job.buffer.job_done(Err(EIO)),
            |job| job.buffer.end_pending(),
            |job| job.buffer.time_passes(FIRST),
        ],
    );
    ensure(job.fence.result().is_some(), "a fence was not signalled");
}

/// The job is done, a program dequeues the buffer for a next job, and the timeout is over.
fn done_dequeue() {
    let job = share(
        Job::running(),
        &[
            |job| {
                if job.buffer.dequeue() {
                    let pending = job.fence.is_pending();
                    ensure(!pending, "a dequeued buffer has a pending fence");
                    job.buffer.attach(NEXT);
                }
            },
            |job| job.buffer.job_done(Err(EIO)),
            |job| job.buffer.time_passes(FIRST),
        ],
    );
    let ended = [Some(Err(EIO)), Some(Err(ETIMEDOUT))].contains(&job.fence.result());
    ensure(ended, "a fence has not the result of its job");
    if job.buffer.resv.lock().unwrap().len() > 1 {
        job.check_next(NEXT);
    }
}

/// A program that has seen the fence signalled dequeues the buffer.
fn signalled_dequeue() {
    share(
        Job::running(),
        &[
            |job| job.buffer.job_done(Ok(())),
            |job| {
                if !job.fence.is_pending() {
                    let dequeued = job.buffer.dequeue();
                    ensure(dequeued, "the fence says done, DQBUF says EAGAIN");
                }
            },
        ],
    );
}

/// The next job is armed when the timer of the last one expires late.
fn attach_late_timer() {
    let job = share(
        Job::ended(),
        &[Job::attach_next, |job| job.buffer.time_passes(FIRST)],
    );
    job.check_next(NEXT);
    let fence = job.buffer.slot.pending();
    job.buffer.time_passes(NEXT);
    let result = fence.and_then(|fence| fence.result());
    ensure(result == Some(Err(ETIMEDOUT)), "a timeout was lost");
}

/// The same with a job in between, and a timeout that has been made shorter since.
///
/// `timer_reduce()` may read that the timer is pending again, and for when it was pending before.
/// Then it expires when it would for the job in between: late, not never.
fn attach_shorter_timeout() {
    const SHORTER: Jiffies = NEXT - 1;

    let job = share(
        Job::ended(),
        &[
            |job| {
                job.buffer.attach(NEXT);
                job.buffer.job_done(Ok(()));
                job.buffer.attach(SHORTER);
            },
            |job| job.buffer.time_passes(FIRST),
        ],
    );
    job.check_next(NEXT);
}

/// The next job puts the only reference to a fence that others have found pending.
fn store_get() {
    let Job { buffer, fence } = Job::running();
    drop(fence);
    buffer.resv.lock().unwrap().clear();
    share(
        buffer,
        &[
            |buffer| {
                buffer.end_pending();
                // SAFETY: No other thread stores one.
                unsafe { buffer.slot.store(JobFence::new(NEXT)) };
            },
            |buffer| buffer.time_passes(FIRST),
        ],
    );
}

/// The same, and a program asks for the last fence, which may have been signalled.
fn store_ask() {
    let Job { buffer, fence } = Job::ended();
    drop(fence);
    buffer.resv.lock().unwrap().clear();
    share(
        buffer,
        &[
            |buffer| {
                // SAFETY: No other thread stores one.
                unsafe { buffer.slot.store(JobFence::new(NEXT)) };
            },
            |buffer| {
                let fence = buffer.slot.last();
                ensure(
                    fence.is_some_and(|fence| fence.noted().is_err()),
                    "a fence is lost",
                );
            },
        ],
    );
}

/// Two exports take an object each into use when a job is armed.
fn export_arm() {
    let plane = share(
        Plane::new(),
        &[|plane| plane.arm(1), Plane::export, Plane::export],
    );
    for obj in &plane.objs[..plane.count.load(Ordering::Relaxed)] {
        let shown = obj.lock().unwrap().contains(&1);
        ensure(shown, "an export does not show the job's fence");
    }
    let exports = plane.exports.map(|exports| exports.into_inner());
    ensure(exports == [1; 3], "two exports share an object");
}

/// For each model a test that it holds, and one that it fails for each way to break it.
macro_rules! protocols {
    ($($model:ident, $preemptions:expr $(, $broken:ident: $failure:literal)*;)*) => {$(
        // As in `Broken`
        #[allow(non_snake_case)]
        mod $model {
            use super::*;

            #[test]
            fn holds() {
                run($preemptions, None, super::$model);
            }

            $(
                #[test]
                #[should_panic(expected = $failure)]
                fn $broken() {
                    run($preemptions, Some(Broken::$broken), super::$model);
                }
            )*
        }
    )*};
}

protocols! {
    attach_attach, Some(3),
        AddUnlocked: "an attach returned before its fence was visible",
        NoLook: "two fences were published",
        NoRelease: "Causality violation";
    end_end_timeout, Some(3),
        NoLock: "a fence was signalled twice",
        NoWait: "one who ended a fence returned before the signal";
    done_dequeue, Some(3),
        NoEndInDqbuf: "a dequeued buffer has a pending fence",
        NoteLate: "a fence has not the result of its job",
        EndBySlot: "the next job's fence was ended";
    signalled_dequeue, None,
        SignalFirst: "the fence says done, DQBUF says EAGAIN";
    attach_late_timer, Some(5),
        NoBarrierInArm: "a fence was left without a timer",
        NoBarrierInCallback: "a fence was left without a timer",
        TimerFirst: "a fence was left without a timer",
        NoExpiry: "a job was taken for lost before its time";
    attach_shorter_timeout, Some(3),
        NoBarrierInArm: "a fence was left without a timer";
    store_get, None,
        GetZero: "a fence was used after its release";
    store_ask, None,
        GetZero: "a fence was used after its release";
    export_arm, None,
        CountReadOnce: "an export does not show the job's fence",
        CopyUnlocked: "an export does not show the job's fence";
}

/// `dma_fence_get_rcu_safe()` looks twice for users whose fences do not wait for a grace period
/// before their memory becomes another fence. Ours do: what was in the slot is as good.
#[test]
fn recheck_is_not_needed() {
    for model in [attach_attach, done_dequeue, attach_late_timer, store_get] {
        run(Some(2), Some(Broken::NoRecheck), model);
    }
}
