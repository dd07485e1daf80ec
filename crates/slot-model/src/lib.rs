// SPDX-License-Identifier: GPL-2.0-only

//! The protocols of a buffer's release fence, tried by loom in all interleavings, most of them up
//! to a number of preemptions. Tests only.
//!
//! [`slot`] is the kernel's own file; all else is a model, which has to be kept like the kernel's
//! code: no test compares them. [`platform`] gives the slot loom's atomics, and models of what the
//! kernel has: [`fence`], a fence and its references, and [`timer`]. [`buffer`] does what
//! `release_fence.rs` and `videobuf2-core.c` do with a slot, [`plane`] what is done with the
//! reservation objects of exports. [`tests`] has the protocols, and breaks each of them.
//!
//! An atomic access is ordered as in the kernel, or less. A full barrier is `fence(SeqCst)`: to loom
//! a sequentially consistent access is no more than an acquire or a release.

#![cfg(test)]

mod buffer;
mod check;
mod fence;
mod plane;
mod tests;
mod timer;

#[path = "../../../drivers/media/common/videobuf2/slot.rs"]
mod slot;

/// What `slot.rs` needs.
mod platform {
    use crate::{
        buffer::in_callback,
        check::{is_broken, Broken},
    };
    use std::ffi::{c_int, c_ulong};

    pub(crate) use crate::fence::{ARef, JobFence};
    pub(crate) use loom::sync::atomic::Ordering;

    pub(crate) type Jiffies = c_ulong;

    /// A negative errno.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Error(pub(crate) c_int);

    pub(crate) type Result = std::result::Result<(), Error>;

    pub(crate) const EIO: Error = Error(-5);
    pub(crate) const ETIMEDOUT: Error = Error(-110);
    pub(crate) const ECANCELED: Error = Error(-125);

    pub(crate) fn smp_mb() {
        let broken = if in_callback() {
            Broken::NoBarrierInCallback
        } else {
            Broken::NoBarrierInArm
        };
        if !is_broken(broken) {
            loom::sync::atomic::fence(Ordering::SeqCst);
        }
    }

    /// That of loom.
    pub(crate) struct AtomicPtr<T>(loom::sync::atomic::AtomicPtr<T>);

    impl<T> AtomicPtr<T> {
        pub(crate) fn new(ptr: *mut T) -> Self {
            Self(loom::sync::atomic::AtomicPtr::new(ptr))
        }

        pub(crate) fn load(&self, order: Ordering) -> *mut T {
            self.0.load(order)
        }

        pub(crate) fn swap(&self, to: *mut T, order: Ordering) -> *mut T {
            let order = match order {
                _ if is_broken(Broken::NoRelease) => Ordering::Relaxed,
                _ => order,
            };
            self.0.swap(to, order)
        }
    }
}
