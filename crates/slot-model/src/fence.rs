// SPDX-License-Identifier: GPL-2.0-only

//! A fence and its references, as the kernel crate's `JobFence` and `ARef`.

use crate::{
    check::{ensure, is_broken, Broken},
    platform::{AtomicPtr, Error, Jiffies, Ordering, Result, ECANCELED},
};
use loom::{
    cell::UnsafeCell,
    sync::{
        atomic::{fence, AtomicBool, AtomicI32, AtomicUsize},
        Mutex,
    },
    thread,
};
use std::{
    cell::RefCell,
    ops::Deref,
    ptr::{self, NonNull},
    sync::atomic::AtomicBool as Flag,
};

/// A fence, until its last reference is put: a use after that makes the model fail.
///
/// The memory stays until [`free_all`]: no grace period ends during a run.
pub(crate) struct JobFence {
    /// Ordered as a `refcount_t`: a put releases, the last one acquires, a get does neither.
    count: AtomicUsize,
    /// Read by each use, and written by the release: loom fails if one is not before the other.
    memory: UnsafeCell<()>,
    /// `fence->lock`.
    lock: Mutex<()>,
    /// `DMA_FENCE_FLAG_SIGNALED_BIT`.
    signalled: AtomicBool,
    /// 0 or a negative errno.
    noted: AtomicI32,
    expires: Jiffies,
    // What the model remembers. Not loom's: orders nothing.
    released: Flag,
    results: std::sync::Mutex<Vec<Result>>,
}

// SAFETY: There is nothing in `memory`.
unsafe impl Sync for JobFence {}

thread_local! {
    /// The fences of a run.
    static ALL: RefCell<Vec<NonNull<JobFence>>> = const { RefCell::new(Vec::new()) };
}

/// Begins a run. One that failed has left its fences, which cannot be dropped any more.
pub(crate) fn forget_all() {
    ALL.take();
}

/// Ends a run, which has put all references.
pub(crate) fn free_all() {
    for fence in ALL.take() {
        // SAFETY: Made by `Box::leak()`; nothing uses it any more.
        let fence = unsafe { Box::from_raw(fence.as_ptr()) };
        let signals = fence.results.lock().unwrap().len();
        ensure(signals <= 1, "a fence was signalled twice");
        let released = fence.released.load(Ordering::Relaxed);
        ensure(released, "a reference was not put");
    }
}

impl JobFence {
    /// Makes a fence that nothing can find yet.
    pub(crate) fn new(expires: Jiffies) -> ARef<Self> {
        let fence = NonNull::from(Box::leak(Box::new(Self {
            count: AtomicUsize::new(1),
            memory: UnsafeCell::new(()),
            lock: Mutex::new(()),
            signalled: AtomicBool::new(false),
            noted: AtomicI32::new(ECANCELED.0),
            expires,
            released: Flag::new(false),
            results: std::sync::Mutex::default(),
        })));
        ALL.with_borrow_mut(|all| all.push(fence));
        // SAFETY: The first reference.
        unsafe { ARef::from_raw(fence) }
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.used();
        !self.signalled.load(Ordering::Relaxed)
    }

    pub(crate) fn expires(&self) -> Jiffies {
        self.used();
        if is_broken(Broken::NoExpiry) {
            return 0;
        }
        self.expires
    }

    pub(crate) fn note(&self, result: Result) {
        self.used();
        let errno = result.map_or_else(|error| error.0, |()| 0);
        self.noted.store(errno, Ordering::Release);
    }

    pub(crate) fn noted(&self) -> Result {
        self.used();
        match self.noted.load(Ordering::Acquire) {
            0 => Ok(()),
            errno => Err(Error(errno)),
        }
    }

    /// As `dma_fence_end()`.
    pub(crate) fn end(&self, result: Result) -> bool {
        self.used();
        let _lock = if is_broken(Broken::NoLock) {
            None
        } else if is_broken(Broken::NoWait) {
            let Ok(lock) = self.lock.try_lock() else {
                return false;
            };
            Some(lock)
        } else {
            Some(self.lock.lock().unwrap())
        };
        let first = !self.signalled.load(Ordering::Relaxed);
        if first {
            self.results.lock().unwrap().push(result);
            self.signalled.store(true, Ordering::Relaxed);
        }
        first
    }

    /// Returns the result with which the fence was signalled.
    pub(crate) fn result(&self) -> Option<Result> {
        self.results.lock().unwrap().first().copied()
    }

    /// Returns whether the job may be taken for lost.
    pub(crate) fn is_expired(&self, now: Jiffies) -> bool {
        now >= self.expires
    }

    /// As `dma_fence_get_pending()`.
    ///
    /// # Safety
    ///
    /// As in the kernel crate.
    pub(crate) unsafe fn pending_in(slot: &AtomicPtr<Self>) -> Option<ARef<Self>> {
        let fence = NonNull::new(slot.load(Ordering::Acquire))?;
        // SAFETY: A fence's memory stays.
        if unsafe { fence.as_ref() }.signalled.load(Ordering::Relaxed) {
            return None;
        }
        // SAFETY: As for this function.
        unsafe { Self::last_in(slot) }
    }

    /// As `dma_fence_get_last()`, which is `dma_fence_get_rcu_safe()`.
    ///
    /// # Safety
    ///
    /// As in the kernel crate.
    pub(crate) unsafe fn last_in(slot: &AtomicPtr<Self>) -> Option<ARef<Self>> {
        loop {
            // `rcu_dereference()` orders by the dependency what comes next.
            let fence = NonNull::new(slot.load(Ordering::Acquire))?;
            // SAFETY: A fence's memory stays.
            if !unsafe { fence.as_ref() }.get_unless_zero() {
                // It is not in the slot any more: loom has to return another value next time.
                thread::yield_now();
                continue;
            }
            // SAFETY: The reference that was just counted.
            let fence = unsafe { ARef::from_raw(fence) };
            let found = slot.load(Ordering::Relaxed);
            if ptr::eq(found, &*fence) || is_broken(Broken::NoRecheck) {
                return Some(fence);
            }
        }
    }

    fn get_unless_zero(&self) -> bool {
        // A guess, which the exchange corrects.
        let mut count = 1usize;
        while count > 0 || is_broken(Broken::GetZero) {
            let (relaxed, to) = (Ordering::Relaxed, count.wrapping_add(1));
            match self.count.compare_exchange(count, to, relaxed, relaxed) {
                Ok(_) => return true,
                Err(newer) => count = newer,
            }
        }
        false
    }

    fn used(&self) {
        let released = self.released.load(Ordering::Relaxed);
        ensure(!released, "a fence was used after its release");
        if !released {
            self.memory.with(|_| ());
        }
    }

    fn put(&self) {
        match self.count.fetch_sub(1, Ordering::Release) {
            0 => ensure(false, "a reference was put twice"),
            1 => {
                fence(Ordering::Acquire);
                let released = self.released.swap(true, Ordering::Relaxed);
                ensure(!released, "a fence was released twice");
                if !released {
                    self.memory.with_mut(|_| ());
                }
            }
            _ => {}
        }
    }
}

/// A reference to a fence.
pub(crate) struct ARef<T: AlwaysRefCounted>(NonNull<T>);

/// What counts references.
pub(crate) trait AlwaysRefCounted {
    fn inc_ref(&self);

    /// # Safety
    ///
    /// The caller owns a reference, and gives it up.
    unsafe fn dec_ref(obj: NonNull<Self>);
}

impl AlwaysRefCounted for JobFence {
    fn inc_ref(&self) {
        self.used();
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: A fence's memory stays.
        unsafe { obj.as_ref() }.put();
    }
}

// SAFETY: The count is atomic, and any thread may put the last reference.
unsafe impl<T: AlwaysRefCounted + Sync> Send for ARef<T> {}

// SAFETY: As above.
unsafe impl<T: AlwaysRefCounted + Sync> Sync for ARef<T> {}

impl<T: AlwaysRefCounted> ARef<T> {
    /// # Safety
    ///
    /// Stands for a reference, which is handed over.
    pub(crate) unsafe fn from_raw(obj: NonNull<T>) -> Self {
        Self(obj)
    }

    pub(crate) fn into_raw(self) -> NonNull<T> {
        let obj = self.0;
        std::mem::forget(self);
        obj
    }
}

impl<T: AlwaysRefCounted> Clone for ARef<T> {
    fn clone(&self) -> Self {
        self.inc_ref();
        Self(self.0)
    }
}

impl<T: AlwaysRefCounted> Deref for ARef<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: A reference is held.
        unsafe { self.0.as_ref() }
    }
}

impl<T: AlwaysRefCounted> Drop for ARef<T> {
    fn drop(&mut self) {
        // SAFETY: The reference is given up.
        unsafe { T::dec_ref(self.0) };
    }
}
