// SPDX-License-Identifier: GPL-2.0

//! Timelines, and the names of fences.
//!
//! C header: [`include/linux/dma-fence.h`](srctree/include/linux/dma-fence.h)

use crate::{bindings, str::CStr};
use core::sync::atomic::{AtomicU64, Ordering};

/// The longest name that a fence keeps, in bytes, with the terminating NUL.
const NAME_LEN: usize = 32;

/// A name that lives in the fence, since consumers may read it when its driver is gone.
///
/// # Invariants
///
/// The last byte is NUL.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(super) struct Name([u8; NAME_LEN]);

impl Name {
    /// Copies `name`, cut to what fits.
    fn new(name: &CStr) -> Self {
        let mut bytes = [0; NAME_LEN];
        for (to, from) in bytes[..NAME_LEN - 1].iter_mut().zip(name.as_bytes()) {
            *to = *from;
        }
        // INVARIANT: The loop leaves the last byte alone.
        Self(bytes)
    }
}

/// A timeline: fences of one context signal in the order of their sequence numbers, and have the
/// same names.
///
/// Its users have to keep that order: a later fence replaces an earlier one of the same
/// context in a reservation object, signalled or not, and consumers then miss the earlier one. A
/// producer whose jobs can end in any order gives each fence a context of its own.
///
/// # Examples
///
/// ```
/// use kernel::{c_str, dma_buf::FenceContext};
///
/// let timeline = FenceContext::new(c_str!("camera"), c_str!("capture"));
/// let other = FenceContext::new(c_str!("camera"), c_str!("capture"));
/// assert_ne!(timeline.id(), other.id());
/// ```
#[derive(Debug)]
pub struct FenceContext {
    id: u64,
    last: AtomicU64,
    pub(super) driver: Name,
    pub(super) name: Name,
}

impl FenceContext {
    /// Makes a new timeline, whose fences have copies of the two names, cut to 31 bytes each. Any
    /// context.
    pub fn new(driver: &CStr, name: &CStr) -> Self {
        Self {
            // SAFETY: Has no preconditions.
            id: unsafe { bindings::dma_fence_context_alloc(1) },
            last: AtomicU64::new(0),
            driver: Name::new(driver),
            name: Name::new(name),
        }
    }

    /// Returns the number that tells this timeline from all others.
    #[inline]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Returns the sequence number of the fence that was made last, or 0. Any context.
    ///
    /// A fence that is made later has a greater one.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::{c_str, dma_buf::{DriverFenceAllocation, FenceContext}};
    ///
    /// let timeline = FenceContext::new(c_str!("camera"), c_str!("capture"));
    /// assert_eq!(timeline.last(), 0);
    /// let job = DriverFenceAllocation::new(&timeline, GFP_KERNEL)?.init(&timeline);
    /// assert_eq!(timeline.last(), job.as_fence().seqno());
    /// job.end(Ok(()));
    /// # Ok::<(), Error>(())
    /// ```
    #[inline]
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// Takes the next sequence number; the first one is 1.
    #[inline]
    pub(super) fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }
}
