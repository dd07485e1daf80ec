// SPDX-License-Identifier: GPL-2.0

//! Reservation objects: where the fences of a buffer are kept.
//!
//! C header: [`include/linux/dma-resv.h`](srctree/include/linux/dma-resv.h)

use super::{JobFence, SignallingGuard};
use crate::{
    bindings,
    error::{Error, Result},
    init::PinInit,
    prelude::*,
    types::Opaque,
};
use core::{marker::PhantomData, ops::Range, slice};

/// What a fence's job does with the buffer, and so which consumers wait for it.
///
/// # Examples
///
/// ```
/// use kernel::dma_buf::{DriverFenceAllocation, FenceContext, Reservation, Usage};
/// use kernel::{c_str, stack_pin_init};
///
/// stack_pin_init!(let buffer = Reservation::new());
/// let timeline = FenceContext::new(c_str!("codec"), c_str!("output"));
/// let alloc = DriverFenceAllocation::new(&timeline, GFP_KERNEL)?;
/// let mut locked = buffer.lock();
/// let [slots] = locked.reserve()?;
/// let (job, _) = alloc.publish(&timeline, slots, Usage::Read);
/// drop(locked);
///
/// // While the device reads, others may read as well, but not write.
/// assert!(buffer.is_signaled(Usage::Write));
/// assert!(!buffer.is_signaled(Usage::Read));
/// job.signal(Ok(()));
/// assert!(buffer.is_signaled(Usage::Read));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// The job writes: readers and writers wait for it.
    Write,
    /// The job reads: writers wait for it.
    Read,
}

impl Usage {
    #[inline]
    fn as_raw(self) -> bindings::dma_resv_usage {
        match self {
            Usage::Write => bindings::dma_resv_usage_DMA_RESV_USAGE_WRITE,
            Usage::Read => bindings::dma_resv_usage_DMA_RESV_USAGE_READ,
        }
    }
}

/// A reservation object.
///
/// # Invariants
///
/// `self.obj` is an initialised `struct dma_resv` for as long as `self` is borrowed.
///
/// # Examples
///
/// ```
/// use kernel::{dma_buf::{Reservation, Usage}, stack_pin_init};
///
/// stack_pin_init!(let buffer = Reservation::new());
/// // No job uses it.
/// assert!(buffer.is_signaled(Usage::Read));
/// ```
#[pin_data(PinnedDrop)]
#[repr(transparent)]
pub struct Reservation {
    #[pin]
    obj: Opaque<bindings::dma_resv>,
}

// SAFETY: A `dma_resv` may be used and destroyed by any thread.
unsafe impl Send for Reservation {}

// SAFETY: All methods take `&self`, and call C functions that lock or use RCU.
unsafe impl Sync for Reservation {}

impl Reservation {
    /// The most objects that [`lock_all`](Self::lock_all) takes.
    pub const MAX_LOCKED: usize = u64::BITS as usize;

    /// Makes an empty reservation object.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: `obj` is memory for a `dma_resv`, which stays where it is.
            obj <- Opaque::ffi_init(|obj| unsafe { bindings::dma_resv_init(obj) }),
        })
    }

    /// Borrows a reservation object from its C pointer.
    ///
    /// # Safety
    ///
    /// `ptr` must point to an initialised `struct dma_resv` that lives for all of `'a`.
    pub unsafe fn from_raw<'a>(ptr: *mut bindings::dma_resv) -> &'a Self {
        // SAFETY: By the safety requirements `ptr` is valid for `'a`; `Reservation` is transparent
        // over `dma_resv`. INVARIANT: So is the object initialised.
        unsafe { &*ptr.cast() }
    }

    /// Returns the C pointer, valid for as long as `self` is.
    #[inline]
    pub fn as_raw(&self) -> *mut bindings::dma_resv {
        self.obj.get()
    }

    /// Returns whether a new user of the buffer has no fence to wait for.
    ///
    /// [`Usage::Write`] is for a reader, which waits for writers; [`Usage::Read`] is for a
    /// writer, which waits for all. Any context; takes no lock but those of the fences.
    pub fn is_signaled(&self, usage: Usage) -> bool {
        // SAFETY: `self` is an initialised object by its invariants.
        unsafe { bindings::dma_resv_test_signaled(self.as_raw(), usage.as_raw()) }
    }

    /// Locks this object alone. Sleeps.
    ///
    /// A thread that has to hold several at once uses [`lock_all`](Self::lock_all).
    pub fn lock(&self) -> ReservationGuard<'_> {
        // SAFETY: `self` is an initialised object by its invariants. Without an acquire context
        // the lock is an uninterruptible mutex, so that the result is 0.
        unsafe { bindings::dma_resv_lock(self.as_raw(), core::ptr::null_mut()) };
        // INVARIANT: Locked just now, and unlocked by `drop()` only.
        ReservationGuard {
            obj: self,
            _not_send: PhantomData,
        }
    }

    /// Locks all of `objs`, runs `f`, and unlocks them. Sleeps.
    ///
    /// The order does not matter, and an object may be named more than once: threads that lock
    /// each other's objects in another order back off and try again.
    ///
    /// Fails if `f` does, and with `EINVAL` for more than [`MAX_LOCKED`](Self::MAX_LOCKED) objects:
    /// then nothing was locked and `f` did not run.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::dma_buf::{DriverFenceAllocation, FenceContext, Reservation, Usage};
    /// use kernel::{c_str, stack_pin_init};
    ///
    /// // Two planes in one buffer, a third one in another.
    /// stack_pin_init!(let luma = Reservation::new());
    /// stack_pin_init!(let alpha = Reservation::new());
    /// let planes = [&*luma, &*luma, &*alpha];
    ///
    /// let timeline = FenceContext::new(c_str!("camera"), c_str!("capture"));
    /// let alloc = DriverFenceAllocation::new(&timeline, GFP_KERNEL)?;
    /// let (job, _) = Reservation::lock_all(&planes, |locked| {
    ///     let [slots] = locked.reserve()?;
    ///     Ok(alloc.publish(&timeline, slots, Usage::Write))
    /// })?;
    /// assert!(!luma.is_signaled(Usage::Write));
    /// assert!(!alpha.is_signaled(Usage::Write));
    ///
    /// job.signal(Ok(()));
    /// assert!(luma.is_signaled(Usage::Write));
    /// assert!(alpha.is_signaled(Usage::Write));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn lock_all<R>(
        objs: &[&Reservation],
        f: impl FnOnce(&mut LockedReservations<'_>) -> Result<R>,
    ) -> Result<R> {
        if objs.len() > Self::MAX_LOCKED {
            return Err(EINVAL);
        }
        // The ticket by which threads that wait for each other's locks decide which one backs off.
        // A single lock needs none.
        let ticket = Opaque::uninit();
        let acquire = if objs.len() > 1 {
            // SAFETY: Memory for a `ww_acquire_ctx`, which does not move before `fini`.
            unsafe { bindings::ww_acquire_init(ticket.get()) };
            ticket.get()
        } else {
            core::ptr::null_mut()
        };

        // INVARIANT: `acquire` was initialised, and nothing is held.
        let mut locked = LockedReservations {
            objs,
            held: 0,
            acquire,
        };
        let result = locked.lock().and_then(|()| f(&mut locked));
        drop(locked);

        if !acquire.is_null() {
            // SAFETY: Initialised above; `locked` has unlocked everything.
            unsafe { bindings::ww_acquire_fini(acquire) };
        }
        result
    }
}

#[pinned_drop]
impl PinnedDrop for Reservation {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Initialised by the invariants. All borrows have ended, and a value that is
        // dropped was made by `new()`: a borrow from C is never dropped.
        unsafe { bindings::dma_resv_fini(self.as_raw()) };
    }
}

/// One locked reservation object.
///
/// # Invariants
///
/// `obj` is locked by this thread, without an acquire context.
///
/// # Examples
///
/// ```
/// use kernel::{dma_buf::Reservation, stack_pin_init};
///
/// stack_pin_init!(let buffer = Reservation::new());
/// drop(buffer.lock());
/// drop(buffer.lock()); // It was unlocked.
/// ```
#[must_use = "the object is unlocked when the guard is dropped"]
pub struct ReservationGuard<'a> {
    obj: &'a Reservation,
    // The thread that locked must unlock.
    _not_send: PhantomData<*mut ()>,
}

impl ReservationGuard<'_> {
    /// Reserves slots for `N` fences. Sleeps; fails with `ENOMEM`.
    pub fn reserve<const N: usize>(&mut self) -> Result<[FenceSlots<'_>; N]> {
        // SAFETY: `obj` is locked by the invariants, and stays so, and unreachable for others,
        // while `self` is borrowed.
        unsafe { FenceSlots::reserve(slice::from_ref(&self.obj)) }
    }
}

impl Drop for ReservationGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: Locked by this thread, by the invariants.
        unsafe { bindings::dma_resv_unlock(self.obj.as_raw()) };
    }
}

/// Several locked reservation objects.
///
/// It exists in [`Reservation::lock_all`] only, which drops it before the acquire context; no
/// other code can own one, and so forget it.
///
/// # Invariants
///
/// - `acquire` is initialised, or NULL if there is one object at most.
/// - Bit `i` of `held` is set if and only if locking `objs[i]` locked it, with `acquire`, and it
///   was not unlocked since.
///
/// # Examples
///
/// ```
/// use kernel::{dma_buf::Reservation, stack_pin_init};
///
/// stack_pin_init!(let buffer = Reservation::new());
/// // The same object in every place.
/// let most = [&*buffer; Reservation::MAX_LOCKED];
/// Reservation::lock_all(&most, |locked| locked.reserve::<2>().map(drop))?;
///
/// let too_many = [&*buffer; Reservation::MAX_LOCKED + 1];
/// assert_eq!(Reservation::lock_all(&too_many, |_| Ok(())), Err(EINVAL));
/// # Ok::<(), Error>(())
/// ```
pub struct LockedReservations<'a> {
    objs: &'a [&'a Reservation],
    held: u64,
    acquire: *mut bindings::ww_acquire_ctx,
}

impl LockedReservations<'_> {
    /// Reserves slots for `N` fences, for each one in every object. Sleeps; fails with `ENOMEM`.
    ///
    /// Fences that depend on the same start of the hardware are reserved for, and published,
    /// under one lock: once the first one is out, nothing may wait for another lock or for memory.
    #[inline]
    pub fn reserve<const N: usize>(&mut self) -> Result<[FenceSlots<'_>; N]> {
        // SAFETY: `f` of `lock_all()` runs between `lock()` and `drop()` only, so all are locked,
        // and stay so, and unreachable for others, while `self` is borrowed.
        unsafe { FenceSlots::reserve(self.objs) }
    }

    /// Locks all objects, backing off as often as it takes.
    #[inline]
    fn lock(&mut self) -> Result {
        const EALREADY: i32 = -(bindings::EALREADY as i32);
        const EDEADLK: i32 = -(bindings::EDEADLK as i32);

        if let [obj] = self.objs {
            // SAFETY: The object is initialised by the invariants. As in `Reservation::lock()`,
            // the result is 0.
            unsafe { bindings::dma_resv_lock(obj.as_raw(), core::ptr::null_mut()) };
            // INVARIANT: Locked just now; `acquire` is NULL.
            self.held = 1;
            return Ok(());
        }
        let mut i = 0;
        while let Some(obj) = self.objs.get(i) {
            // `lock_all()` has seen that there are not more objects than bits.
            let bit = 1u64.wrapping_shl(i as u32);
            if self.held & bit == 0 {
                // SAFETY: The object and `acquire` are initialised by the invariants.
                match unsafe { bindings::dma_resv_lock(obj.as_raw(), self.acquire) } {
                    // INVARIANT: Locked just now.
                    0 => self.held |= bit,
                    // The same object stands elsewhere in the list, and is held for that place.
                    EALREADY => {}
                    EDEADLK => {
                        self.unlock();
                        // SAFETY: The object is initialised; nothing is held with `acquire`, as
                        // is required after `-EDEADLK`.
                        unsafe { bindings::dma_resv_lock_slow(obj.as_raw(), self.acquire) };
                        // INVARIANT: Locked just now, and nothing else is held.
                        self.held = bit;
                        i = 0;
                        continue;
                    }
                    error => return Err(Error::from_errno(error)),
                }
            }
            i += 1;
        }
        Ok(())
    }

    #[inline]
    fn unlock(&mut self) {
        while self.held != 0 {
            let i = self.held.trailing_zeros() as usize;
            // SAFETY: Held, by the invariants.
            unsafe { bindings::dma_resv_unlock(self.objs[i].as_raw()) };
            // INVARIANT: Not held any more.
            self.held &= self.held - 1;
        }
    }
}

impl Drop for LockedReservations<'_> {
    #[inline]
    fn drop(&mut self) {
        self.unlock();
    }
}

/// The proof that there is room for one fence in each of some locked reservation objects.
///
/// It borrows the lock, and publishing uses it up: room that was reserved is gone once the lock
/// is, or a fence has taken it.
///
/// # Invariants
///
/// Each of `objs` is locked by this thread and has, since it was locked, got a slot reserved that
/// belongs to no other value.
///
/// # Examples
///
/// A job that reads one buffer and writes another, with a fence for each:
///
/// ```
/// use kernel::dma_buf::{DriverFenceAllocation, FenceContext, Reservation, Usage};
/// use kernel::{c_str, stack_pin_init};
///
/// stack_pin_init!(let input = Reservation::new());
/// stack_pin_init!(let output = Reservation::new());
/// let reads = FenceContext::new(c_str!("codec"), c_str!("output"));
/// let writes = FenceContext::new(c_str!("codec"), c_str!("capture"));
/// let read = DriverFenceAllocation::new(&reads, GFP_KERNEL)?;
/// let write = DriverFenceAllocation::new(&writes, GFP_KERNEL)?;
///
/// let (reading, writing) = Reservation::lock_all(&[&*input, &*output], |locked| {
///     let [first, second] = locked.reserve()?;
///     let (reading, _) = read.publish(&reads, first.only(0..1), Usage::Read);
///     let (writing, _) = write.publish(&writes, second.only(1..2), Usage::Write);
///     Ok((reading, writing))
/// })?;
/// assert!(input.is_signaled(Usage::Write));
/// assert!(!output.is_signaled(Usage::Write));
///
/// writing.signal(Ok(()));
/// assert!(output.is_signaled(Usage::Read));
/// assert!(!input.is_signaled(Usage::Read));
/// reading.signal(Ok(()));
/// # Ok::<(), Error>(())
/// ```
#[must_use = "slots that are not used are given up with the lock"]
pub struct FenceSlots<'guard> {
    objs: &'guard [&'guard Reservation],
    _not_send: PhantomData<*mut ()>,
}

impl<'guard> FenceSlots<'guard> {
    /// # Safety
    ///
    /// Each of `objs` must be locked by this thread for all of `'guard`, and no other code may
    /// reserve or add under these locks during `'guard`.
    #[inline]
    unsafe fn reserve<const N: usize>(objs: &'guard [&'guard Reservation]) -> Result<[Self; N]> {
        let fences = u32::try_from(N)?;

        for obj in objs.iter().filter(|_| fences > 0) {
            // SAFETY: Initialised by the type's invariants, locked by the safety requirements.
            let ret = unsafe { bindings::dma_resv_reserve_fences(obj.as_raw(), fences) };
            // Not `to_result()`: that is a call for each object.
            if ret != 0 {
                return Err(Error::from_errno(ret));
            }
        }
        // INVARIANT: Locked by the safety requirements; `N` slots were reserved in each just now.
        Ok(core::array::from_fn(|_| Self {
            objs,
            _not_send: PhantomData,
        }))
    }

    /// Leaves out all objects but those in `range` of the list that was locked.
    ///
    /// What of it is beyond the end of the list is ignored.
    #[inline]
    pub fn only(self, range: Range<usize>) -> Self {
        let end = range.end.min(self.objs.len());
        let start = range.start.min(end);

        // INVARIANT: A part of what has slots.
        Self {
            objs: &self.objs[start..end],
            ..self
        }
    }

    /// Publishes `fence`: adds it to every object.
    ///
    /// From here on consumers wait for the job; see [`DriverFenceAllocation::publish`]. An object
    /// that is listed twice needs one slot: a fence replaces itself.
    ///
    /// [`DriverFenceAllocation::publish`]: super::DriverFenceAllocation::publish
    #[inline]
    pub fn add(self, fence: &JobFence, usage: Usage) -> SignallingGuard {
        // The section starts with the first reader that can find the fence.
        let signalling = SignallingGuard::new();
        let raw = fence.as_fence().as_raw();
        for obj in self.objs {
            // SAFETY: Locked, and with a slot, by the invariants; the object takes a reference of
            // its own.
            unsafe { bindings::dma_resv_add_fence(obj.as_raw(), raw, usage.as_raw()) };
        }
        fence.set_published();
        signalling
    }
}
