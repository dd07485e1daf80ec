// SPDX-License-Identifier: GPL-2.0

//! Being told when a fence is signalled.
//!
//! C header: [`include/linux/dma-fence.h`](srctree/include/linux/dma-fence.h)

use super::{Fence, Status};
use crate::{
    bindings,
    error::to_result,
    init::pin_init_from_closure,
    prelude::*,
    types::{ARef, Opaque},
};
use core::{
    ptr,
    sync::atomic::{AtomicBool, Ordering},
};

/// What is called when a fence is signalled.
///
/// It is called with the lock of a foreign fence held and interrupts off, while a whole system may
/// wait for what comes after the signal. So it counts down, wakes up, or queues work. It must not
/// sleep, allocate memory, take a lock that is ever held around a call for a fence, or ask this or
/// another fence anything, nor drop its own registration or what owns that: that takes the fence's
/// lock again.
pub trait FenceCb: Send + Sync + 'static {
    /// The fence was signalled, by a job that ended well or with an error.
    fn called(&self, result: Result);
}

/// Why there is no callback to wait for: the fence was signalled before, with this result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlreadySignalled(pub Result);

/// A callback that is registered with a fence.
///
/// It exists only in a place where it is pinned, and is called at most once. Dropping it removes it
/// first: when the drop is over the callback has run, or never will, and it is not running. One
/// that is leaked keeps its memory, its fence and its data.
///
/// # Invariants
///
/// - `link` was added to `fence`, once, with `called::<T>`, when all other fields had their values.
///   From then on the fence's lock protects it: it is in the fence's list until the callback is
///   about to be called, or until it is removed.
/// - If `over` is set, `link` is not in the list, and the callback uses `self` no more, if it has
///   been called.
///
/// # Examples
///
/// ```
/// use core::sync::atomic::{AtomicI32, Ordering};
/// use kernel::c_str;
/// use kernel::dma_buf::{
///     AlreadySignalled, DriverFenceAllocation, Fence, FenceCb, FenceCbRegistration, FenceContext,
/// };
///
/// struct Seen(AtomicI32);
///
/// impl Seen {
///     fn new() -> Self {
///         Self(AtomicI32::new(1))
///     }
/// }
///
/// impl FenceCb for Seen {
///     fn called(&self, result: Result) {
///         let errno = result.map_or_else(|error| error.to_errno(), |()| 0);
///         self.0.store(errno, Ordering::Relaxed);
///     }
/// }
///
/// type Waits = Pin<KBox<FenceCbRegistration<Seen>>>;
///
/// fn register(fence: &Fence) -> Result<Result<Waits, AlreadySignalled>> {
///     let room = KBox::new_uninit(GFP_KERNEL)?;
///     Ok(room.write_pin_init(FenceCbRegistration::new(fence.into(), Seen::new())))
/// }
///
/// let timeline = FenceContext::new(c_str!("camera"), c_str!("capture"));
/// let job = DriverFenceAllocation::new(&timeline, GFP_KERNEL)?.init(&timeline);
///
/// let waits = register(job.as_fence())?.map_err(|_| EINVAL)?;
/// let removed = register(job.as_fence())?.map_err(|_| EINVAL)?;
/// assert_eq!(waits.data().0.load(Ordering::Relaxed), 1);
/// assert!(removed.remove());
///
/// job.end(Err(EIO));
/// assert_eq!(waits.data().0.load(Ordering::Relaxed), EIO.to_errno());
/// assert!(!waits.remove());
/// // One that was removed is not called, and one that comes too late is told the result.
/// assert_eq!(removed.data().0.load(Ordering::Relaxed), 1);
/// assert_eq!(register(job.as_fence())?.err(), Some(AlreadySignalled(Err(EIO))));
/// assert_eq!(register(&Fence::signalled_stub())?.err(), Some(AlreadySignalled(Ok(()))));
///
/// // One that is dropped is not called either.
/// let next = DriverFenceAllocation::new(&timeline, GFP_KERNEL)?.init(&timeline);
/// drop(register(next.as_fence())?);
/// next.end(Ok(()));
/// # Ok::<(), Error>(())
/// ```
#[pin_data(PinnedDrop)]
pub struct FenceCbRegistration<T: FenceCb> {
    fence: ARef<Fence>,
    data: T,
    over: AtomicBool,
    #[pin]
    link: Opaque<bindings::dma_fence_cb>,
}

// SAFETY: The fence's lock protects `link`, in any thread, and the rest is `Send`.
unsafe impl<T: FenceCb> Send for FenceCbRegistration<T> {}

// SAFETY: As above; of the rest, which is `Sync`, only references are given out.
unsafe impl<T: FenceCb> Sync for FenceCbRegistration<T> {}

impl<T: FenceCb> FenceCbRegistration<T> {
    /// Registers `data` with `fence`, to be called when that is signalled.
    ///
    /// It may be called before this returns. If the fence is signalled already, it is not called,
    /// and the error tells the result; `data` is dropped then.
    ///
    /// Does not sleep. Takes the fence's lock, and asks its producer to signal it.
    pub fn new(fence: ARef<Fence>, data: T) -> impl PinInit<Self, AlreadySignalled> {
        let raw = fence.as_raw();
        try_pin_init!(Self {
            fence,
            data,
            over: AtomicBool::new(false),
            link <- {
                // SAFETY: `fence` keeps its reference. The fields before this one have their
                // values, and all of them stay where they are. INVARIANT: It is added here only.
                let add = move |link| unsafe { Self::add(raw, link) };
                // SAFETY: An `Opaque` needs no initialisation, and no cleanup after an error.
                unsafe { pin_init_from_closure(add) }
            },
        }? AlreadySignalled)
    }

    /// # Safety
    ///
    /// `fence` must be an initialised fence to which there is a reference, and `link` the field of
    /// a pinned [`FenceCbRegistration`] of this type, whose other fields are initialised.
    unsafe fn add(
        fence: *mut bindings::dma_fence,
        link: *mut Opaque<bindings::dma_fence_cb>,
    ) -> Result<(), AlreadySignalled> {
        let link = Opaque::raw_get(link);
        // SAFETY: By the safety requirements; `link` is initialised by the call.
        let error = unsafe { bindings::dma_fence_add_callback(fence, link, Some(called::<T>)) };
        if error == 0 {
            return Ok(());
        }
        // SAFETY: By the safety requirements.
        Err(AlreadySignalled(
            match unsafe { Fence::from_raw(fence) }.status() {
                Status::Complete(result) => result,
                // Not so: it is refused only if it is signalled.
                Status::Pending => to_result(error),
            },
        ))
    }

    /// Removes the callback. Returns whether this call has: it had not been called, and never will
    /// be.
    ///
    /// If not, it has been called, or was removed before. When this returns, it is not running.
    ///
    /// Any context but the callbacks of this fence. Takes the fence's lock, unless the callback is
    /// known to be over: the lock need not be part of the fence, and may go with its driver.
    pub fn remove(&self) -> bool {
        // Pairs with the release in `called()`, or below.
        if self.over.load(Ordering::Acquire) {
            return false;
        }
        // SAFETY: Added to this fence, by the invariants.
        let removed =
            unsafe { bindings::dma_fence_remove_callback(self.fence.as_raw(), self.link.get()) };
        // INVARIANT: It was removed from the list now or before; if it was called, it has returned,
        // since the fence's lock is held around it.
        self.over.store(true, Ordering::Release);
        removed
    }

    /// Returns the fence that it is registered with.
    #[inline]
    pub fn fence(&self) -> &Fence {
        &self.fence
    }

    /// Returns what is called.
    #[inline]
    pub fn data(&self) -> &T {
        &self.data
    }
}

#[pinned_drop]
impl<T: FenceCb> PinnedDrop for FenceCbRegistration<T> {
    fn drop(self: Pin<&mut Self>) {
        self.remove();
    }
}

/// # Safety
///
/// The dma-fence core calls this once, with a fence that is being signalled and locked, and
/// with the `link` of a [`FenceCbRegistration<T>`] that was added to it.
unsafe extern "C" fn called<T: FenceCb>(
    fence: *mut bindings::dma_fence,
    link: *mut bindings::dma_fence_cb,
) {
    let link: *const Opaque<bindings::dma_fence_cb> = link.cast();
    // SAFETY: By the safety requirements it is a field of a registration.
    let this = unsafe { crate::container_of!(link, FenceCbRegistration<T>, link) };
    // SAFETY: Inside of the registration. Until `over` is set its drop begins with the lock of the
    // fence, which is held.
    let data = unsafe { &*ptr::addr_of!((*this).data) };
    // SAFETY: The fence is alive; its error does not change from the signal on.
    data.called(to_result(unsafe { (*fence).error }));
    // SAFETY: As for `data`.
    let over = unsafe { &*ptr::addr_of!((*this).over) };
    // From here on the registration can be freed: the dma-fence core has read before where the next
    // one is. The code of a module cannot: `free_module()` waits for a grace period, and so for
    // those who hold a spinlock.
    // INVARIANT: The core took `link` out of the list, and nothing of `self` is used any more.
    over.store(true, Ordering::Release);
}
