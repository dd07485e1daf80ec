// SPDX-License-Identifier: GPL-2.0-only

//! How a model is run, how it fails, and what can be broken in it.

use crate::fence;
use std::{cell::Cell, sync::Arc};

/// What is left out of a protocol, or changed in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// No `smp_mb()` between the slot and the timer.
    NoBarrierInArm,
    /// No `smp_mb()` between a timer that is not pending any more and the slot.
    NoBarrierInCallback,
    /// The slot is exchanged without a release.
    NoRelease,
    /// The timer is started before the fence is in the slot.
    TimerFirst,
    /// The timer's callback takes any fence for expired.
    NoExpiry,
    /// An attach does not look whether the buffer is armed when it has the lock.
    NoLook,
    /// `pending_in()` gets a reference to a fence that has none left.
    GetZero,
    /// `pending_in()` does not look again whether the fence is still in the slot.
    NoRecheck,
    /// A fence is signalled without its lock.
    NoLock,
    /// The one who comes second does not wait for the fence's lock.
    NoWait,
    /// An attach lets go of the reservation object between the slot and the add.
    AddUnlocked,
    /// DQBUF leaves the fence to the one who has put the buffer on the done list.
    NoEndInDqbuf,
    /// `vb2_buffer_done()` notes the result when the buffer is on the done list.
    NoteLate,
    /// `vb2_buffer_done()` looks into the slot when the buffer is on the done list.
    EndBySlot,
    /// `vb2_buffer_done()` signals before the buffer is on the done list.
    SignalFirst,
    /// The number of objects is not read again under the first one's lock.
    CountReadOnce,
    /// The first object is copied, and then not locked when the copy comes into use.
    CopyUnlocked,
}

// For each test one: the threads of its model take turns in the test's thread.
thread_local! {
    static BROKEN: Cell<Option<Broken>> = const { Cell::new(None) };
    static FAILURE: Cell<Option<&'static str>> = const { Cell::new(None) };
    static RUNS: Cell<usize> = const { Cell::new(0) };
}

pub(crate) fn is_broken(what: Broken) -> bool {
    BROKEN.get() == Some(what)
}

/// Has the model fail unless `ok`, after this run: loom aborts when a thread panics with a lock.
pub(crate) fn ensure(ok: bool, failure: &'static str) {
    if !ok && FAILURE.get().is_none() {
        FAILURE.set(Some(failure));
    }
}

/// Runs a model in all interleavings up to a bound. Panics when it fails, as it has to if something
/// is `broken`.
///
/// `preemptions` leaves out those in which more threads than that are interrupted while they could
/// go on: there are millions of them. `LOOM_MAX_PREEMPTIONS` may raise the bound.
pub(crate) fn run(preemptions: Option<usize>, broken: Option<Broken>, model: fn()) {
    BROKEN.set(broken);
    let mut loom = loom::model::Builder::new();
    loom.preemption_bound = preemptions.map(|bound| loom.preemption_bound.unwrap_or(0).max(bound));
    loom.check(move || {
        RUNS.set(RUNS.get() + 1);
        fence::forget_all();
        model();
        fence::free_all();
        if let Some(failure) = FAILURE.take() {
            panic!("{failure}");
        }
    });
    println!("{} runs", RUNS.take());
}

/// Runs threads that share `value`, the first one as the caller, and returns it.
pub(crate) fn share<T: Send + Sync + 'static>(value: T, threads: &[fn(&T)]) -> T {
    let value = Arc::new(value);
    let others: Vec<_> = threads[1..]
        .iter()
        .map(|&thread| {
            let value = value.clone();
            loom::thread::spawn(move || thread(&value))
        })
        .collect();
    threads[0](&value);
    for other in others {
        other.join().unwrap();
    }
    // All others are gone, so that it is dropped by this thread.
    Arc::into_inner(value).unwrap()
}
