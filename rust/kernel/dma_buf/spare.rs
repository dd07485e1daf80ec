// SPDX-License-Identifier: GPL-2.0

//! Where the memory for the next fence is kept.

use super::{driver_fence::FenceData, DriverFenceAllocation};
use crate::alloc::KBox;
use core::{
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

/// At most one [`DriverFenceAllocation`], which any thread can put in or take out, without a lock.
///
/// # Invariants
///
/// The pointer is NULL, or comes from a `KBox` that `self` owns.
///
/// # Examples
///
/// ```
/// use kernel::{c_str, dma_buf::{DriverFenceAllocation, FenceContext, SpareAllocation}};
///
/// let timeline = FenceContext::new(c_str!("camera"), c_str!("capture"));
/// let spare = SpareAllocation::new();
/// assert!(spare.replace(Some(DriverFenceAllocation::new(&timeline, GFP_KERNEL)?)).is_none());
/// assert!(!spare.is_empty());
/// assert!(spare.replace(None).is_some());
/// assert!(spare.is_empty());
/// # Ok::<(), Error>(())
/// ```
pub struct SpareAllocation(AtomicPtr<FenceData>);

impl Default for SpareAllocation {
    fn default() -> Self {
        Self::new()
    }
}

impl SpareAllocation {
    /// Makes one that is empty.
    #[inline]
    pub const fn new() -> Self {
        // INVARIANT: NULL.
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Returns whether there is none. Any context.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed).is_null()
    }

    /// Puts `alloc` in, and returns what there was. Any context.
    #[inline]
    pub fn replace(&self, alloc: Option<DriverFenceAllocation>) -> Option<DriverFenceAllocation> {
        let new = alloc.map_or(ptr::null_mut(), |alloc| KBox::into_raw(alloc.0));
        // INVARIANT: `new` is owned from here on, and `old` is not any more.
        let old = self.0.swap(new, Ordering::AcqRel);
        // SAFETY: By the invariants; the exchange has handed it to this thread alone.
        (!old.is_null()).then(|| DriverFenceAllocation(unsafe { KBox::from_raw(old) }))
    }
}

impl Drop for SpareAllocation {
    fn drop(&mut self) {
        drop(self.replace(None));
    }
}
