// SPDX-License-Identifier: GPL-2.0

//! The fences that a reservation object has.
//!
//! C header: [`include/linux/dma-resv.h`](srctree/include/linux/dma-resv.h)

use super::{DmaResvUsage, Fence, Reservation};
use crate::bindings;
use core::{mem::MaybeUninit, ops::ControlFlow};

impl Reservation {
    /// Calls `f` with each fence of the kinds that `usage` stands for that is not signalled, in the
    /// order in which the object has them, until `f` breaks.
    ///
    /// They are looked at without the object's lock: one that is added meanwhile may be missing,
    /// and one that is there may be signalled by the time `f` looks at it. `f` is told with `true`
    /// that the list begins, or begins anew, since it has got room for more: what came before that
    /// does not count.
    ///
    /// Does not sleep; `f` may. Takes no lock but those of the fences.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::ops::ControlFlow;
    /// use kernel::dma_buf::{
    ///     DmaResvUsage, DriverFenceAllocation, FenceContext, Reservation, Status, Usage,
    /// };
    /// use kernel::{c_str, stack_pin_init};
    ///
    /// fn count(buffer: &Reservation, usage: DmaResvUsage) -> usize {
    ///     let mut count = 0;
    ///     let _ = buffer.for_each_pending(usage, |fence, begins| {
    ///         assert_eq!(fence.status(), Status::Pending);
    ///         count = if begins { 1 } else { count + 1 };
    ///         ControlFlow::Continue(())
    ///     });
    ///     count
    /// }
    ///
    /// stack_pin_init!(let buffer = Reservation::new());
    /// assert_eq!(count(&buffer, DmaResvUsage::Bookkeep), 0);
    ///
    /// let timeline = FenceContext::new(c_str!("codec"), c_str!("output"));
    /// let alloc = DriverFenceAllocation::new(&timeline, GFP_KERNEL)?;
    /// let mut locked = buffer.lock();
    /// let [slots] = locked.reserve()?;
    /// let (job, _) = alloc.publish(&timeline, slots, Usage::Read);
    /// drop(locked);
    ///
    /// // A writer finds the job that reads, another reader does not.
    /// assert_eq!(count(&buffer, DmaResvUsage::rw(true)), 1);
    /// assert_eq!(count(&buffer, DmaResvUsage::rw(false)), 0);
    ///
    /// job.signal(Ok(()));
    /// assert_eq!(count(&buffer, DmaResvUsage::rw(true)), 0);
    /// # Ok::<(), Error>(())
    /// ```
    #[inline]
    pub fn for_each_pending(
        &self,
        usage: DmaResvUsage,
        mut f: impl FnMut(&Fence, bool) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut cursor = MaybeUninit::uninit();
        let cursor: *mut bindings::dma_resv_iter = cursor.as_mut_ptr();
        // SAFETY: `self` is an initialised object by its invariants, and `cursor` memory.
        unsafe { bindings::dma_resv_iter_begin(cursor, self.as_raw(), usage.as_raw()) };
        let mut result = ControlFlow::Continue(());
        // SAFETY: Begun just now.
        let mut next = unsafe { bindings::dma_resv_iter_first_unlocked(cursor) };
        while !next.is_null() {
            // SAFETY: The cursor has a reference to it until the next call.
            let fence = unsafe { Fence::from_raw(next) };
            // SAFETY: Written by the last call.
            result = f(fence, unsafe { (*cursor).is_restarted });
            if result.is_break() {
                break;
            }
            // SAFETY: Begun, and the first fence was looked for.
            next = unsafe { bindings::dma_resv_iter_next_unlocked(cursor) };
        }
        // SAFETY: Begun above, and not used again.
        unsafe { bindings::dma_resv_iter_end(cursor) };
        result
    }
}
