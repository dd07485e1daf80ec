// SPDX-License-Identifier: GPL-2.0

//! The consumer's side of a fence.
//!
//! C header: [`include/linux/dma-fence.h`](srctree/include/linux/dma-fence.h)

use crate::{
    bindings,
    error::{to_result, Result},
    types::{ARef, AlwaysRefCounted, Opaque},
};
use core::ptr::NonNull;

/// The status of a [`Fence`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The job has not ended yet.
    Pending,
    /// The job has ended: well, or with the error that its producer set.
    Complete(Result),
}

/// A fence as its consumers see it: it can be queried and kept, not signalled.
///
/// Its producer, which signals it, holds a [`DriverFence`](super::DriverFence), or is a C driver.
///
/// # Invariants
///
/// `self.0` is an initialised `struct dma_fence` for as long as `self` is borrowed.
///
/// # Examples
///
/// ```
/// use kernel::dma_buf::{Fence, Status};
///
/// // What an empty reservation object hands out.
/// let fence = Fence::signalled_stub();
/// assert_eq!(fence.status(), Status::Complete(Ok(())));
/// ```
#[repr(transparent)]
pub struct Fence(Opaque<bindings::dma_fence>);

// SAFETY: The reference count of a `dma_fence` is atomic, and the last reference may be dropped in
// any context: the release is a `kfree_rcu()` or made for it by the producer.
unsafe impl Send for Fence {}

// SAFETY: All methods take `&self` and call C functions that may be called concurrently.
unsafe impl Sync for Fence {}

impl Fence {
    /// Borrows a fence from its C pointer.
    ///
    /// # Safety
    ///
    /// `ptr` must point to an initialised `struct dma_fence`, and a reference to it must be held
    /// for all of `'a`.
    #[inline]
    pub unsafe fn from_raw<'a>(ptr: *mut bindings::dma_fence) -> &'a Self {
        // SAFETY: By the safety requirements `ptr` is valid for `'a`; `Fence` is transparent over
        // `Opaque<dma_fence>`, which has the layout of `dma_fence`.
        unsafe { &*ptr.cast() }
    }

    /// Returns the C pointer, valid for as long as `self` is.
    #[inline]
    pub fn as_raw(&self) -> *mut bindings::dma_fence {
        self.0.get()
    }

    /// Returns the fence that has always been signalled.
    ///
    /// It stands for "nothing to wait for". Any context.
    pub fn signalled_stub() -> ARef<Self> {
        // SAFETY: Has no preconditions; returns a new reference to a fence that is never freed.
        let ptr = unsafe { bindings::dma_fence_get_stub() };

        // SAFETY: `dma_fence_get_stub()` never returns NULL.
        let ptr = unsafe { NonNull::new_unchecked(ptr) };

        // SAFETY: The reference that was just taken is handed over to the `ARef`.
        unsafe { ARef::from_raw(ptr.cast()) }
    }

    /// Returns whether the job has ended, and how.
    ///
    /// Any context. Takes the fence's lock.
    pub fn status(&self) -> Status {
        // SAFETY: `self` is an initialised fence by its invariants.
        match unsafe { bindings::dma_fence_get_status(self.as_raw()) } {
            0 => Status::Pending,
            status if status < 0 => Status::Complete(to_result(status)),
            _ => Status::Complete(Ok(())),
        }
    }

    /// Returns the number of the timeline that the fence is on.
    #[inline]
    pub fn context(&self) -> u64 {
        // SAFETY: `self` is an initialised fence by its invariants; `context` never changes.
        unsafe { (*self.as_raw()).context }
    }

    /// Returns the position of the fence on its timeline.
    #[inline]
    pub fn seqno(&self) -> u64 {
        // SAFETY: `self` is an initialised fence by its invariants; `seqno` never changes.
        unsafe { (*self.as_raw()).seqno }
    }
}

// SAFETY: `dma_fence_get()` and `dma_fence_put()` count references; the fence lives until the last
// one is put.
unsafe impl AlwaysRefCounted for Fence {
    #[inline]
    fn inc_ref(&self) {
        // SAFETY: `self` is an initialised fence, and the caller's borrow implies a reference.
        unsafe { bindings::dma_fence_get(self.as_raw()) };
    }

    #[inline]
    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: By the safety requirements the caller owns the reference that is put.
        unsafe { bindings::dma_fence_put(obj.as_ptr().cast()) };
    }
}
