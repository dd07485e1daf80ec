// SPDX-License-Identifier: GPL-2.0-only

//! What `videobuf2-acquire-fence.c` calls. Converts pointers to references, and results to errno.
//!
//! C header: `videobuf2-acquire-fence-internal.h` beside this file.

use super::{hand_over::HandOver, AcquireFences};
use core::ptr;
use kernel::{
    bindings,
    dma_buf::{DmaResvUsage, Fence},
    ffi::c_int,
    prelude::*,
    sync::{Arc, ArcBorrow},
};

/// Makes the state of a buffer, which waits for writers if it is an `output` buffer, that is read,
/// and for all others as well if it is written. Sleeps. Returns NULL if there is no memory.
///
/// # Safety
///
/// `vb` must point to a `struct vb2_buffer` that outlives what is returned.
#[no_mangle]
unsafe extern "C" fn vb2_acquire_fences_new(
    vb: *mut bindings::vb2_buffer,
    output: bool,
) -> *const AcquireFences {
    Arc::pin_init(
        AcquireFences::new(vb, DmaResvUsage::rw(!output)),
        GFP_KERNEL,
    )
    .map_or(ptr::null(), Arc::into_raw)
}

/// Frees the state of a buffer, which waits no more. Sleeps.
///
/// # Safety
///
/// `this` must come from [`vb2_acquire_fences_new`]; nothing may use it any more.
#[no_mangle]
unsafe extern "C" fn vb2_acquire_fences_free(this: *const AcquireFences) {
    // SAFETY: Made by `Arc::into_raw()`, and not used any more, by the safety requirements.
    drop(unsafe { Arc::from_raw(this) });
}

/// Takes a snapshot of the fences that a buffer, which is prepared, has to wait for, with the
/// program's in-fence, or NULL, in place of implicit ones; and starts the timeout if the buffer is
/// about to be `queued`. Sleeps. Returns 0 or -ENOMEM.
///
/// # Safety
///
/// `this` must come from [`vb2_acquire_fences_new`], and to the fence there must be a reference. Of
/// this function, [`vb2_acquire_fences_start_timeout`] and [`vb2_acquire_fences_let_go`] no two may
/// run at the same time for the same buffer.
#[no_mangle]
unsafe extern "C" fn vb2_acquire_fences_acquire(
    this: &AcquireFences,
    in_fence: Option<&Fence>,
    queued: bool,
) -> c_int {
    // SAFETY: By the safety requirements.
    if let Err(error) = unsafe { this.acquire(in_fence) } {
        return error.to_errno();
    }
    if queued {
        // SAFETY: By the safety requirements.
        unsafe { this.start_timeout() };
    }
    0
}

/// Starts the timeout: the buffer is queued. Any context.
///
/// # Safety
///
/// As for [`vb2_acquire_fences_acquire`], which has returned 0.
#[no_mangle]
unsafe extern "C" fn vb2_acquire_fences_start_timeout(this: &AcquireFences) {
    // SAFETY: By the safety requirements.
    unsafe { this.start_timeout() };
}

/// Lets go of all fences: the buffer is not queued any more. Sleeps.
///
/// # Safety
///
/// As for [`vb2_acquire_fences_acquire`].
#[no_mangle]
unsafe extern "C" fn vb2_acquire_fences_let_go(this: &AcquireFences) {
    // SAFETY: By the safety requirements.
    unsafe { this.let_go() };
}

/// The buffer is returned with `state`, and cannot be dequeued yet. Any context.
///
/// # Safety
///
/// `this` must come from [`vb2_acquire_fences_new`].
#[no_mangle]
unsafe extern "C" fn vb2_acquire_fences_buffer_done(
    this: &AcquireFences,
    state: bindings::vb2_buffer_state,
) {
    this.buffer_done(state);
}

/// Returns whether the buffer has nothing left to wait for. Any context.
///
/// # Safety
///
/// `this` must come from [`vb2_acquire_fences_new`].
#[no_mangle]
unsafe extern "C" fn vb2_acquire_fences_are_over(this: &AcquireFences) -> bool {
    this.are_over()
}

/// Returns whether the program's in-fence has failed, and with it the buffer, which waits for
/// nothing any more. Any context.
///
/// # Safety
///
/// `this` must come from [`vb2_acquire_fences_new`].
#[no_mangle]
unsafe extern "C" fn vb2_acquire_fences_have_failed(this: &AcquireFences) -> bool {
    this.have_failed()
}

/// Makes what hands over the buffers of a queue. Sleeps. Returns NULL if there is no memory.
#[no_mangle]
extern "C" fn vb2_hand_over_new() -> *const HandOver {
    HandOver::new().map_or(ptr::null(), Arc::into_raw)
}

/// Frees it: the queue has no buffers any more. Any context.
///
/// # Safety
///
/// `this` must come from [`vb2_hand_over_new`]; nothing may use it any more.
#[no_mangle]
unsafe extern "C" fn vb2_hand_over_free(this: *const HandOver) {
    // SAFETY: Made by `Arc::into_raw()`, and not used any more, by the safety requirements.
    drop(unsafe { Arc::from_raw(this) });
}

/// Hands over a buffer, which is queued, or keeps it until that can be done. Sleeps.
///
/// # Safety
///
/// `this` must come from [`vb2_hand_over_new`], and `fences` from [`vb2_acquire_fences_new`], for a
/// buffer of that queue. The buffer may not be freed before [`vb2_hand_over_stop`], unless it was
/// dequeued, and [`vb2_hand_over_wait`] called before that.
#[no_mangle]
unsafe extern "C" fn vb2_hand_over_queue(this: &HandOver, fences: *const AcquireFences) {
    // SAFETY: Made by `Arc::into_raw()`, and alive; there is never a `UniqueArc`.
    this.queue(unsafe { ArcBorrow::from_raw(fences) });
}

/// The queue is streaming. Sleeps.
///
/// # Safety
///
/// `this` must come from [`vb2_hand_over_new`].
#[no_mangle]
unsafe extern "C" fn vb2_hand_over_start(this: &HandOver) {
    this.start();
}

/// The driver is to stop: nothing is handed over after this. Sleeps.
///
/// # Safety
///
/// `this` must come from [`vb2_hand_over_new`].
#[no_mangle]
unsafe extern "C" fn vb2_hand_over_stop(this: &HandOver) {
    this.stop();
}

/// Waits until a buffer that is being handed over has been. Sleeps.
///
/// # Safety
///
/// `this` must come from [`vb2_hand_over_new`].
#[no_mangle]
unsafe extern "C" fn vb2_hand_over_wait(this: &HandOver) {
    this.wait();
}

/// A buffer has nothing left to wait for. Any context.
///
/// # Safety
///
/// `this` must come from [`vb2_hand_over_new`].
#[no_mangle]
unsafe extern "C" fn vb2_hand_over_buffer_acquired(this: *const HandOver) {
    // SAFETY: Made by `Arc::into_raw()`, and alive; there is never a `UniqueArc`.
    HandOver::buffer_acquired(unsafe { ArcBorrow::from_raw(this) });
}
