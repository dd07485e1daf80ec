// SPDX-License-Identifier: GPL-2.0-only

//! What `videobuf2-release-fence.c` calls. Converts pointers to references, and results to errno.
//!
//! Whatever is declared on both sides comes from bindgen.
//!
//! C header: `videobuf2-release-fence-internal.h` beside this file.

use super::{
    arm_job, end, errno,
    explicit_fence::{publish_at_qbuf, OutFence},
    ReleaseFence,
};
use core::ptr::{self, NonNull};
use kernel::{
    bindings,
    dma_buf::{Fence, JobFence, Usage},
    ffi::{c_char, c_int, c_uint},
    prelude::*,
    str::CStr,
    types::ARef,
};

/// Makes the fence state of a buffer, which jobs read if it is an `output` buffer, and write
/// otherwise. Sleeps. Returns NULL if there is no memory.
///
/// # Safety
///
/// `vb` must point to a `struct vb2_buffer` that outlives what is returned, and `queue` must be a C
/// string.
#[no_mangle]
unsafe extern "C" fn vb2_release_fence_new(
    vb: *mut bindings::vb2_buffer,
    output: bool,
    queue: *const c_char,
) -> *const ReleaseFence {
    let usage = if output { Usage::Read } else { Usage::Write };
    // SAFETY: A C string by the safety requirements.
    let queue = unsafe { CStr::from_char_ptr(queue) };
    match KBox::pin_init(ReleaseFence::new(vb, usage, queue), GFP_KERNEL) {
        // SAFETY: It is pinned in its allocation until `vb2_release_fence_free()`.
        Ok(fence) => KBox::into_raw(unsafe { Pin::into_inner_unchecked(fence) }),
        Err(_) => ptr::null(),
    }
}

/// Frees the fence state of a buffer, cancelling the fence if it is pending. Sleeps.
///
/// # Safety
///
/// `this` must come from [`vb2_release_fence_new`]; nothing may use it any more.
#[no_mangle]
unsafe extern "C" fn vb2_release_fence_free(this: *mut ReleaseFence) {
    // SAFETY: Made by `KBox::into_raw()`, and ours alone, by the safety requirements.
    drop(unsafe { Pin::new_unchecked(KBox::from_raw(this)) });
}

/// Allocates what arming needs. Sleeps.
///
/// # Safety
///
/// `this` must come from [`vb2_release_fence_new`].
#[no_mangle]
unsafe extern "C" fn vb2_release_fence_prepare(this: &ReleaseFence) -> c_int {
    errno(this.prepare())
}

/// Publishes the fences of the buffers of a job. Sleeps. Returns 1 if it published one, 0 if not,
/// or a negative errno.
///
/// # Safety
///
/// Both must be NULL, which is `None`, or come from [`vb2_release_fence_new`], of a buffer that is
/// active during the call.
#[no_mangle]
unsafe extern "C" fn vb2_release_fence_arm(
    dst: Option<&ReleaseFence>,
    src: Option<&ReleaseFence>,
) -> c_int {
    arm_job([dst, src]).map_or_else(|error| error.to_errno(), c_int::from)
}

/// Returns a reference to the buffer's fence, if consumers may be waiting for it, with the result
/// noted, for [`vb2_release_fence_end`]; or NULL. Any context.
///
/// `state` is the one that the buffer is returned with; `cancelled` tells whether the queue is
/// being cancelled.
///
/// # Safety
///
/// `this` must come from [`vb2_release_fence_new`].
#[no_mangle]
unsafe extern "C" fn vb2_release_fence_job_ends(
    this: &ReleaseFence,
    state: bindings::vb2_buffer_state,
    cancelled: bool,
) -> *mut bindings::dma_fence {
    this.job_ends(state, cancelled)
        .map_or(ptr::null_mut(), |fence| {
            ARef::into_raw(fence).as_ptr().cast()
        })
}

/// Signals a fence with the result that was noted, and puts the reference. Any context.
///
/// # Safety
///
/// - `fence` must come from [`vb2_release_fence_job_ends`], for buffer `index` of `q`, and must be
///   given back once.
/// - `q` must be alive; the buffer need not be.
#[no_mangle]
unsafe extern "C" fn vb2_release_fence_end(
    fence: NonNull<bindings::dma_fence>,
    q: *mut bindings::vb2_queue,
    index: c_uint,
) {
    // SAFETY: The reference that `vb2_release_fence_job_ends()` returned.
    let fence: ARef<JobFence> = unsafe { ARef::from_raw(fence.cast()) };
    end(&fence, q, index);
}

/// Returns whether the buffer's fence is pending. Any context.
///
/// # Safety
///
/// `this` must come from [`vb2_release_fence_new`].
#[no_mangle]
unsafe extern "C" fn vb2_release_fence_is_pending(this: &ReleaseFence) -> bool {
    this.slot.pending().is_some()
}

/// Signals the buffer's fence, if it is pending: the buffer is being dequeued. Any context.
///
/// # Safety
///
/// `this` must come from [`vb2_release_fence_new`].
#[no_mangle]
unsafe extern "C" fn vb2_release_fence_end_pending(this: &ReleaseFence) {
    this.end_pending();
}

/// Begins a turn of the buffer: QBUF is about to hand it over, with `out`, or NULL, for its
/// out-fence. Any context.
///
/// # Safety
///
/// `this` must come from [`vb2_release_fence_new`], `out` from [`vb2_release_fence_new_out`] for
/// the same buffer, and the caller must hold the lock of the queue.
#[no_mangle]
unsafe extern "C" fn vb2_release_fence_begin_turn(this: &ReleaseFence, out: Option<&Fence>) {
    let last = out.map_or_else(|| this.context.last(), OutFence::before);
    // SAFETY: By the safety requirements.
    unsafe { this.turn.begin(last) };
}

/// Goes back to the turn before: QBUF has failed. Any context.
///
/// # Safety
///
/// As for [`vb2_release_fence_begin_turn`], which was called before.
#[no_mangle]
unsafe extern "C" fn vb2_release_fence_take_back_turn(this: &ReleaseFence) {
    // SAFETY: By the safety requirements.
    unsafe { this.turn.take_back() };
}

/// Returns a reference to the fence of the buffer's turn, or `ERR_PTR()`. Sleeps.
///
/// # Safety
///
/// As for [`vb2_release_fence_begin_turn`]; `state` must have been read under `done_lock`.
#[no_mangle]
unsafe extern "C" fn vb2_release_fence_of_turn(
    this: &ReleaseFence,
    state: bindings::vb2_buffer_state,
) -> *mut bindings::dma_fence {
    // SAFETY: By the safety requirements.
    match unsafe { this.turn.fence(&this.slot, &this.context, state) } {
        Ok(fence) => ARef::into_raw(fence).as_ptr().cast(),
        Err(error) => error.to_ptr(),
    }
}

/// Makes an out-fence for the buffer, which is not published. Sleeps. Returns a reference, or
/// `ERR_PTR()`.
///
/// # Safety
///
/// `this` must come from [`vb2_release_fence_new`].
#[no_mangle]
unsafe extern "C" fn vb2_release_fence_new_out(this: &ReleaseFence) -> *mut bindings::dma_fence {
    OutFence::new(this).map_or_else(|error| error.to_ptr(), OutFence::into_raw)
}

/// Publishes the fence of a buffer that is prepared, and not handed over: `out`, or a new one if
/// that is NULL. Sleeps. Returns 0 or a negative errno.
///
/// # Safety
///
/// `this` must come from [`vb2_release_fence_new`], and `out` from [`vb2_release_fence_new_out`]
/// for the same buffer; it must not have been published. The buffer must stay prepared.
#[no_mangle]
unsafe extern "C" fn vb2_release_fence_publish_out(
    this: &ReleaseFence,
    out: Option<&Fence>,
) -> c_int {
    // SAFETY: By the safety requirements.
    let out = out.map(|out| unsafe { OutFence::from_raw(out) });
    errno(publish_at_qbuf(this, out))
}

/// The driver is about to get a buffer that has an out-fence. Any context.
///
/// # Safety
///
/// `this` must come from [`vb2_release_fence_new`].
#[no_mangle]
unsafe extern "C" fn vb2_release_fence_handed_over(this: &ReleaseFence) {
    this.handed_over();
}
