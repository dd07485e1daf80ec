// SPDX-License-Identifier: GPL-2.0

//! What lockdep knows of those who have to signal.
//!
//! C header: [`include/linux/dma-fence.h`](srctree/include/linux/dma-fence.h)

#[cfg(CONFIG_LOCKDEP)]
use crate::bindings;
use core::marker::PhantomData;

/// The fence signalling critical section, for lockdep.
///
/// While it exists, the thread is one that waits for a fence depend on: to allocate memory
/// that may need reclaim, or to take a reservation lock, is reported as the deadlock that it is.
/// Sections nest. Costs nothing without lockdep.
///
/// # Examples
///
/// ```
/// use kernel::dma_buf::SignallingGuard;
///
/// let section = SignallingGuard::new();
/// // Here a fence is completed.
/// drop(section);
/// ```
#[must_use = "the section ends when the guard is dropped"]
pub struct SignallingGuard {
    #[cfg(CONFIG_LOCKDEP)]
    cookie: bool,
    _not_send: PhantomData<*mut ()>,
}

impl Default for SignallingGuard {
    fn default() -> Self {
        Self::new()
    }
}

impl SignallingGuard {
    /// Begins a section. Any context.
    #[inline]
    pub fn new() -> Self {
        Self {
            #[cfg(CONFIG_LOCKDEP)]
            // SAFETY: Has no preconditions; `drop()` ends the section, in the same thread.
            cookie: unsafe { bindings::dma_fence_begin_signalling() },
            _not_send: PhantomData,
        }
    }
}

impl Drop for SignallingGuard {
    #[inline]
    fn drop(&mut self) {
        #[cfg(CONFIG_LOCKDEP)]
        // SAFETY: The cookie of the section that `new()` began; the guard cannot change threads.
        unsafe {
            bindings::dma_fence_end_signalling(self.cookie)
        };
    }
}
