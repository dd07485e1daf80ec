// SPDX-License-Identifier: GPL-2.0

//! The producer's side of a fence.
//!
//! C header: [`include/linux/dma-fence.h`](srctree/include/linux/dma-fence.h)

use super::{
    context::{FenceContext, Name},
    Fence, FenceSlots, SignallingGuard, Usage,
};
use crate::{
    alloc::{Flags, KBox},
    bindings, c_str,
    error::{Error, Result},
    ffi::{c_char, c_int},
    prelude::*,
    time::Jiffies,
    types::{ARef, AlwaysRefCounted, Opaque},
};
use core::{
    ptr::NonNull,
    sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicUsize, Ordering},
};

/// The one allocation that holds everything that a fence needs, until its last reference is put.
///
/// `dma_fence_free()`, the default release, frees it by `kfree_rcu()`. So nothing in it may need
/// to be dropped, and `base` comes first: its address is the address that is freed.
#[repr(C)]
pub(super) struct FenceData {
    base: Opaque<bindings::dma_fence>,
    lock: Opaque<bindings::spinlock_t>,
    driver: Name,
    timeline: Name,
    /// What [`JobFence::noted`] returns, as 0 or a negative errno.
    noted: AtomicI32,
    /// What [`JobFence::expires`] returns.
    expires: AtomicUsize,
    /// Whether it is in all of its reservation objects.
    published: AtomicBool,
}

const _: () = assert!(!core::mem::needs_drop::<FenceData>());
const _: () = assert!(core::mem::offset_of!(FenceData, base) == 0);

/// The operations of every [`DriverFence`].
///
/// It is neither generic nor in a module: the kernel crate is built in, so that the table is there
/// for as long as a fence exists. No `release` and no `wait`: the defaults need no driver.
static OPS: bindings::dma_fence_ops = bindings::dma_fence_ops {
    use_64bit_seqno: true,
    get_driver_name: Some(driver_name),
    get_timeline_name: Some(timeline_name),
    // SAFETY: All other members are function pointers, for which zero means "not there".
    ..unsafe { core::mem::MaybeUninit::zeroed().assume_init() }
};

/// # Safety
///
/// `fence` must point to the `base` of a [`FenceData`]. The dma-fence core calls this for fences
/// with [`OPS`] only, and those are made by [`DriverFenceAllocation::init`] only.
unsafe extern "C" fn driver_name(fence: *mut bindings::dma_fence) -> *const c_char {
    // SAFETY: By the safety requirements this stays inside one allocation.
    unsafe { core::ptr::addr_of!((*fence.cast::<FenceData>()).driver) }.cast()
}

/// # Safety
///
/// As for [`driver_name`].
unsafe extern "C" fn timeline_name(fence: *mut bindings::dma_fence) -> *const c_char {
    // SAFETY: By the safety requirements this stays inside one allocation.
    unsafe { core::ptr::addr_of!((*fence.cast::<FenceData>()).timeline) }.cast()
}

/// Memory for a fence, with its names, that is not a fence yet.
///
/// It is made where sleeping and failing are fine, so that nothing can fail later. Dropping it
/// frees the memory: nothing else has seen it.
///
/// # Examples
///
/// ```
/// use kernel::{c_str, dma_buf::{DriverFenceAllocation, FenceContext}};
///
/// let timeline = FenceContext::new(c_str!("camera"), c_str!("capture"));
/// let unused = DriverFenceAllocation::new(&timeline, GFP_KERNEL)?;
/// drop(unused);
/// # Ok::<(), Error>(())
/// ```
#[must_use = "memory that is not published is freed again"]
pub struct DriverFenceAllocation(pub(super) KBox<FenceData>);

// SAFETY: Plain memory, which nothing else has a pointer to.
unsafe impl Send for DriverFenceAllocation {}

impl DriverFenceAllocation {
    /// Allocates a fence with copies of the names of `timeline`, on which it has to be published.
    ///
    /// Sleeps if `flags` allow it. Fails with `ENOMEM`.
    pub fn new(timeline: &FenceContext, flags: Flags) -> Result<Self> {
        // Written in place: `base` is initialised when it becomes a fence.
        let data = init!(FenceData {
            base: Opaque::uninit(),
            lock: Opaque::uninit(),
            driver: timeline.driver,
            timeline: timeline.name,
            noted: AtomicI32::new(ECANCELED.to_errno()),
            expires: AtomicUsize::new(0),
            published: AtomicBool::new(false),
        });
        let data = KBox::init(data, flags)?;
        // SAFETY: `lock` is memory for a spinlock that nothing else uses yet, and stays where it
        // is; name and key are static.
        unsafe {
            bindings::__spin_lock_init(
                data.lock.get(),
                c_str!("DriverFence").as_char_ptr(),
                crate::static_lock_class!().as_ptr(),
            )
        };
        Ok(Self(data))
    }

    /// Makes the fence, which no consumer can find yet: [`FenceSlots::add`] publishes it.
    ///
    /// Cannot fail, does not sleep, allocates nothing.
    pub fn init(self, timeline: &FenceContext) -> ARef<JobFence> {
        let seqno = timeline.next();
        let data = NonNull::from(KBox::leak(self.0));
        // SAFETY: `data` was just leaked, so that this is the only reference to it.
        let (base, lock) = unsafe { (data.as_ref().base.get(), data.as_ref().lock.get()) };

        // SAFETY: `base` is memory for a fence that nothing else uses yet. The lock, and the names
        // that `OPS` returns, live in the same allocation; `OPS` is static and built in.
        unsafe { bindings::dma_fence_init(base, &OPS, lock, timeline.id(), seqno) };

        // SAFETY: The first reference is handed over. INVARIANT: `base` of a `FenceData`,
        // initialised just now.
        unsafe { ARef::from_raw(data.cast()) }
    }

    /// Makes the fence and adds it to every reservation object that `slots` stands for.
    ///
    /// From here on consumers wait for the job, so it must be certain to end, and until then its
    /// path may not wait for memory or for reservation objects. The guard that comes back tells
    /// lockdep so; keep it beyond the unlock of the objects, until the hardware runs.
    ///
    /// Cannot fail, does not sleep, allocates nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::dma_buf::{DriverFenceAllocation, FenceContext, Reservation, Status, Usage};
    /// use kernel::{c_str, stack_pin_init};
    ///
    /// stack_pin_init!(let buffer = Reservation::new());
    /// let timeline = FenceContext::new(c_str!("camera"), c_str!("capture"));
    /// let alloc = DriverFenceAllocation::new(&timeline, GFP_KERNEL)?;
    ///
    /// let mut locked = buffer.lock();
    /// let [slots] = locked.reserve()?;
    /// let (job, signalling) = alloc.publish(&timeline, slots, Usage::Write);
    /// drop(locked);
    /// drop(signalling);
    ///
    /// // A consumer that reads waits for the writer ...
    /// let seen = job.fence();
    /// assert_eq!(seen.status(), Status::Pending);
    /// assert!(!buffer.is_signaled(Usage::Write));
    ///
    /// // ... until the job ends.
    /// job.signal(Err(EIO));
    /// assert_eq!(seen.status(), Status::Complete(Err(EIO)));
    /// assert!(buffer.is_signaled(Usage::Write));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn publish(
        self,
        timeline: &FenceContext,
        slots: FenceSlots<'_>,
        usage: Usage,
    ) -> (DriverFence, SignallingGuard) {
        let fence = self.init(timeline);
        let signalling = slots.add(&fence, usage);
        // INVARIANT: Nothing else has it as a `JobFence`.
        (DriverFence(fence), signalling)
    }
}

/// A fence whose job can end in several ways at the same time.
///
/// The first one that ends it signals it, and one that comes second returns after the signal. It
/// has a note for the result that the job had, for those who end the fence but not the job.
///
/// Unlike [`DriverFence`] it does not know who has to signal it: its owners have to see to that.
///
/// # Invariants
///
/// `self.0` is the `base` of a [`FenceData`], initialised, for as long as `self` is borrowed.
///
/// # Examples
///
/// ```
/// use kernel::dma_buf::{DriverFenceAllocation, FenceContext, Reservation, Status, Usage};
/// use kernel::{c_str, stack_pin_init};
///
/// stack_pin_init!(let buffer = Reservation::new());
/// let timeline = FenceContext::new(c_str!("camera"), c_str!("capture"));
/// let alloc = DriverFenceAllocation::new(&timeline, GFP_KERNEL)?;
/// let mut locked = buffer.lock();
/// let [slots] = locked.reserve()?;
/// let job = alloc.init(&timeline);
/// let signalling = slots.add(&job, Usage::Write);
/// drop(locked);
/// drop(signalling);
/// assert!(job.is_pending());
///
/// job.note(Err(EIO));
/// assert!(job.end(job.noted()));
/// // A timeout that comes at the same moment changes nothing.
/// assert!(!job.end(Err(ETIMEDOUT)));
/// assert_eq!(job.as_fence().status(), Status::Complete(Err(EIO)));
/// # Ok::<(), Error>(())
/// ```
#[repr(transparent)]
pub struct JobFence(Opaque<bindings::dma_fence>);

// SAFETY: As for `Fence`, which it is; what else is in the allocation is atomic, or never changes.
unsafe impl Send for JobFence {}

// SAFETY: As above.
unsafe impl Sync for JobFence {}

impl JobFence {
    /// Returns what consumers may have of it.
    #[inline]
    pub fn as_fence(&self) -> &Fence {
        // SAFETY: By the invariants the fence is initialised, and the borrow implies a reference.
        unsafe { Fence::from_raw(self.0.get()) }
    }

    /// Returns whether the fence is not signalled yet. Any context, no lock.
    #[inline]
    pub fn is_pending(&self) -> bool {
        // SAFETY: An initialised fence by the invariants.
        !unsafe { bindings::dma_fence_is_signaled(self.0.get()) }
    }

    /// Returns when the job is to be taken for lost, in jiffies.
    #[inline]
    pub fn expires(&self) -> Jiffies {
        self.data().expires.load(Ordering::Relaxed)
    }

    /// Sets when the job is to be taken for lost, in jiffies. Any context.
    ///
    /// It orders nothing: the owners see to it that their timer looks again.
    #[inline]
    pub fn set_expires(&self, expires: Jiffies) {
        self.data().expires.store(expires, Ordering::Relaxed);
    }

    /// Returns whether it was published: consumers can find it. Any context, no lock.
    #[inline]
    pub fn is_published(&self) -> bool {
        self.data().published.load(Ordering::Acquire)
    }

    /// Says that it is in all of its reservation objects.
    #[inline]
    pub(super) fn set_published(&self) {
        self.data().published.store(true, Ordering::Release);
    }

    /// Notes the result that the job had. Any context.
    #[inline]
    pub fn note(&self, result: Result) {
        let errno = result.map_or_else(|error| error.to_errno(), |()| 0);
        self.data().noted.store(errno, Ordering::Release);
    }

    /// Returns the result that was noted, or that the job was cancelled. Any context.
    #[inline]
    pub fn noted(&self) -> Result {
        // Not `to_result()`, which is a call.
        match self.data().noted.load(Ordering::Acquire) {
            0 => Ok(()),
            errno => Err(Error::from_errno(errno)),
        }
    }

    /// Signals the fence with `result`, unless it is signalled. Returns whether it was not.
    ///
    /// Any context, interrupts on or off; does not sleep. Callbacks of consumers run in it, with
    /// the fence's lock held, so the caller must not hold a lock that they could want.
    #[inline]
    pub fn end(&self, result: Result) -> bool {
        let _signalling = SignallingGuard::new();
        let error: c_int = result.map_or_else(|error| error.to_errno(), |()| 0);
        // SAFETY: An initialised fence by the invariants; `error` is 0 or in the allowed range.
        unsafe { bindings::dma_fence_end(self.0.get(), error) }
    }

    /// Returns a reference to the fence in `slot`, if there is one that is pending. Any context.
    ///
    /// # Safety
    ///
    /// What is in `slot` must be NULL or a `JobFence`; a reference to it that `slot` stands for
    /// must not be put before `slot` has got another value.
    #[inline]
    pub unsafe fn pending_in(slot: &AtomicPtr<JobFence>) -> Option<ARef<JobFence>> {
        // SAFETY: By the safety requirements; the memory of a fence is freed after a grace period.
        let fence = unsafe { bindings::dma_fence_get_pending(slot.as_ptr().cast()) };
        // SAFETY: The reference is handed over.
        NonNull::new(fence).map(|fence| unsafe { ARef::from_raw(fence.cast()) })
    }

    /// Returns a reference to the fence in `slot`, pending or not, if there is one. Any context.
    ///
    /// # Safety
    ///
    /// As for [`Self::pending_in`].
    pub unsafe fn last_in(slot: &AtomicPtr<JobFence>) -> Option<ARef<JobFence>> {
        // SAFETY: By the safety requirements; the memory of a fence is freed after a grace period.
        let fence = unsafe { bindings::dma_fence_get_last(slot.as_ptr().cast()) };
        // SAFETY: The reference is handed over.
        NonNull::new(fence).map(|fence| unsafe { ARef::from_raw(fence.cast()) })
    }

    #[inline]
    fn data(&self) -> &FenceData {
        // SAFETY: By the invariants `self` is at the begin of a `FenceData`, which lives as long.
        unsafe { &*self.0.get().cast() }
    }
}

// SAFETY: As for `Fence`, which it is.
unsafe impl AlwaysRefCounted for JobFence {
    #[inline]
    fn inc_ref(&self) {
        self.as_fence().inc_ref();
    }

    #[inline]
    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: By the safety requirements the caller owns the reference that is put.
        unsafe { Fence::dec_ref(obj.cast()) };
    }
}

/// A published fence, as its producer owns it, which will signal it.
///
/// It is not `Clone`, and [`signal`](Self::signal) takes it by value: a fence is signalled exactly
/// once. One that is dropped is signalled with `ECANCELED`, and the log says so: consumers
/// must not wait for a job that has lost its owner. Only one that is leaked on purpose, by
/// `mem::forget`, stays pending.
///
/// # Invariants
///
/// Nothing else can end `self.0`.
///
/// # Examples
///
/// ```
/// use kernel::dma_buf::{DriverFenceAllocation, FenceContext, Reservation, Status, Usage};
/// use kernel::{c_str, stack_pin_init};
///
/// stack_pin_init!(let buffer = Reservation::new());
/// let timeline = FenceContext::new(c_str!("camera"), c_str!("capture"));
/// let alloc = DriverFenceAllocation::new(&timeline, GFP_KERNEL)?;
/// let mut locked = buffer.lock();
/// let [slots] = locked.reserve()?;
/// let (job, _) = alloc.publish(&timeline, slots, Usage::Write);
/// drop(locked);
///
/// let seen = job.fence();
/// drop(job); // Forgotten.
/// assert_eq!(seen.status(), Status::Complete(Err(ECANCELED)));
/// # Ok::<(), Error>(())
/// ```
#[must_use = "dropping a fence cancels it: signal it when its job ends"]
pub struct DriverFence(ARef<JobFence>);

impl DriverFence {
    /// Signals the fence: the job has ended, well or with an error.
    ///
    /// Context as [`JobFence::end`].
    pub fn signal(self, result: Result) {
        self.0.end(result);
    }

    /// Returns what consumers may have of it.
    pub fn as_fence(&self) -> &Fence {
        self.0.as_fence()
    }

    /// Returns a reference for a consumer, which may outlive `self`.
    pub fn fence(&self) -> ARef<Fence> {
        self.as_fence().into()
    }
}

impl Drop for DriverFence {
    fn drop(&mut self) {
        static SAID: AtomicBool = AtomicBool::new(false);

        if self.0.end(Err(ECANCELED)) && !SAID.swap(true, Ordering::Relaxed) {
            pr_warn!("a fence was dropped before it was signalled: it is cancelled\n");
        }
    }
}
