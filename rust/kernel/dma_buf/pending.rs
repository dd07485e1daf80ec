// SPDX-License-Identifier: GPL-2.0

//! The fences that a reservation object has.
//!
//! C header: [`include/linux/dma-resv.h`](srctree/include/linux/dma-resv.h)

use super::{DmaResvUsage, Fence, Reservation};
use crate::{
    bindings,
    error::{to_result, Result},
    ffi::c_uint,
    types::ARef,
};
use core::ptr::{self, NonNull};

impl Reservation {
    /// Returns the fences of the kinds that `usage` stands for that are not signalled.
    ///
    /// They are gathered without the object's lock: one that is added meanwhile may be missing, and
    /// one that is there may be signalled by the time the caller looks at it.
    ///
    /// Sleeps; fails with `ENOMEM`. Takes no lock but those of the fences.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::dma_buf::{
    ///     DmaResvUsage, DriverFenceAllocation, FenceContext, Reservation, Status, Usage,
    /// };
    /// use kernel::{c_str, stack_pin_init};
    ///
    /// stack_pin_init!(let buffer = Reservation::new());
    /// assert_eq!(buffer.fences(DmaResvUsage::Bookkeep)?.len(), 0);
    ///
    /// let timeline = FenceContext::new(c_str!("codec"), c_str!("output"));
    /// let alloc = DriverFenceAllocation::new(&timeline, GFP_KERNEL)?;
    /// let mut locked = buffer.lock();
    /// let [slots] = locked.reserve()?;
    /// let (job, _) = alloc.publish(&timeline, slots, Usage::Read);
    /// drop(locked);
    ///
    /// // A writer finds the job that reads, another reader does not.
    /// let mut found = buffer.fences(DmaResvUsage::rw(true))?;
    /// assert_eq!(found.len(), 1);
    /// assert_eq!(buffer.fences(DmaResvUsage::rw(false))?.len(), 0);
    /// let seen = found.next().ok_or(ENOENT)?;
    /// assert_eq!(seen.status(), Status::Pending);
    ///
    /// job.signal(Ok(()));
    /// assert_eq!(seen.status(), Status::Complete(Ok(())));
    /// assert_eq!(buffer.fences(DmaResvUsage::rw(true))?.len(), 0);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn fences(&self, usage: DmaResvUsage) -> Result<PendingFences> {
        let (mut count, mut array): (c_uint, _) = (0, ptr::null_mut());
        // SAFETY: `self` is an initialised object by its invariants; the other two are for results.
        to_result(unsafe {
            bindings::dma_resv_get_fences(self.as_raw(), usage.as_raw(), &mut count, &mut array)
        })?;
        // INVARIANT: What it returned.
        Ok(PendingFences {
            array,
            count: count as usize,
            next: 0,
        })
    }
}

/// What [`Reservation::fences`] has found, in the order in which the object has them.
///
/// # Invariants
///
/// `array` is NULL or from `kmalloc()`, and has `count` pointers to fences. `next` is not more than
/// `count`. The pointers from `next` on stand for a reference each.
pub struct PendingFences {
    array: *mut *mut bindings::dma_fence,
    count: usize,
    next: usize,
}

impl Iterator for PendingFences {
    type Item = ARef<Fence>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.count {
            return None;
        }
        // SAFETY: In the array, by the invariants.
        let slot = unsafe { self.array.add(self.next) };
        // SAFETY: As above.
        let fence = unsafe { *slot };
        // INVARIANT: The reference is handed over.
        self.next += 1;
        // SAFETY: Not NULL: `dma_resv_get_fences()` took a reference to it.
        let fence = unsafe { NonNull::new_unchecked(fence) };
        // SAFETY: By the invariants, it stands for a reference, and the pointer is not used again.
        Some(unsafe { ARef::from_raw(fence.cast()) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.count - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for PendingFences {}

impl Drop for PendingFences {
    fn drop(&mut self) {
        self.for_each(drop);
        // SAFETY: NULL or from `kmalloc()` by the invariants, and not used again.
        unsafe { bindings::kfree(self.array.cast()) };
    }
}
