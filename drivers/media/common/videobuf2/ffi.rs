// SPDX-License-Identifier: GPL-2.0-only

//! What `videobuf2-release-fence.c` calls. Converts pointers to references, and results to errno.
//!
//! Whatever is declared on both sides comes from bindgen.
//!
//! C header: `videobuf2-release-fence-internal.h` beside this file.

use super::{arm_job, errno, End, JobBuffer, ReleaseFence, Timeline};
use core::ptr;
use kernel::{
    bindings,
    dma_buf::Reservation,
    ffi::{c_char, c_int, c_uint},
    prelude::*,
    str::CStr,
};

impl End {
    fn as_raw(&self) -> bindings::vb2_release_fence_ended {
        match self {
            End::NotArmed => bindings::vb2_release_fence_ended_VB2_RELEASE_FENCE_NOT_ARMED,
            End::Signalled => bindings::vb2_release_fence_ended_VB2_RELEASE_FENCE_SIGNALLED,
            End::OutOfOrder => bindings::vb2_release_fence_ended_VB2_RELEASE_FENCE_OUT_OF_ORDER,
            End::ReturnedQueued => {
                bindings::vb2_release_fence_ended_VB2_RELEASE_FENCE_RETURNED_QUEUED
            }
        }
    }
}

impl<'a> JobBuffer<'a> {
    /// Converts a request, unless it is for no buffer.
    ///
    /// `first` is where the buffer's objects begin in the list of the job.
    ///
    /// # Safety
    ///
    /// The pointers must be as [`vb2_release_fence_arm`] requires them for all of `'a`.
    unsafe fn from_raw(
        request: &bindings::vb2_release_fence_request,
        first: usize,
    ) -> Option<Self> {
        // SAFETY: NULL or alive, by the safety requirements.
        let fence = unsafe { request.fence.cast::<ReleaseFence>().as_ref() }?;
        // SAFETY: NULL or initialised, by the safety requirements.
        let timeline = unsafe { request.timeline.cast::<Timeline>().as_ref() };
        // SAFETY: A C string by the safety requirements.
        let queue = unsafe { CStr::from_char_ptr(request.queue) };
        Some(JobBuffer {
            fence,
            timeline,
            queue,
            objs: first..first + request.objs as usize,
            write: request.write,
        })
    }
}

/// Initialises a queue's timeline. Any context.
///
/// # Safety
///
/// `timeline` must be valid for writes, and nothing else may use it yet.
#[no_mangle]
unsafe extern "C" fn vb2_release_timeline_init(timeline: *mut bindings::vb2_release_timeline) {
    // SAFETY: Valid for writes by the safety requirements; size and alignment are asserted where
    // `Timeline` is defined.
    unsafe { timeline.cast::<Timeline>().write(Timeline::new()) };
}

/// Makes the fence state of a buffer. Sleeps. Returns NULL if there is no memory.
///
/// # Safety
///
/// `vb` must point to a `struct vb2_buffer` that outlives what is returned.
#[no_mangle]
unsafe extern "C" fn vb2_release_fence_new(vb: *mut bindings::vb2_buffer) -> *const ReleaseFence {
    match KBox::pin_init(ReleaseFence::new(vb), GFP_KERNEL) {
        // SAFETY: It is pinned in its allocation until `vb2_release_fence_free()`.
        Ok(fence) => KBox::into_raw(unsafe { Pin::into_inner_unchecked(fence) }),
        Err(_) => ptr::null(),
    }
}

/// Frees the fence state of a buffer, cancelling the fence if it is armed. Sleeps.
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
/// `this` must come from [`vb2_release_fence_new`], and `queue` must be a C string.
#[no_mangle]
unsafe extern "C" fn vb2_release_fence_prepare(
    this: *const ReleaseFence,
    queue: *const c_char,
) -> c_int {
    // SAFETY: Alive by the safety requirements.
    let this = unsafe { &*this };
    // SAFETY: A C string by the safety requirements.
    let queue = unsafe { CStr::from_char_ptr(queue) };
    errno(this.prepare(queue))
}

/// Publishes the fences of the buffers of a job. Sleeps.
///
/// # Safety
///
/// - `requests` must point to two requests; a NULL `fence` stands for no buffer.
/// - Each `fence` must come from [`vb2_release_fence_new`], each `queue` must be a C string, each
///   `timeline` must be NULL or initialised by [`vb2_release_timeline_init`], all during the call.
/// - `objs` must point to as many pointers to reservation objects as the requests add up to, those
///   of the first one first, all valid during the call.
#[no_mangle]
unsafe extern "C" fn vb2_release_fence_arm(
    requests: *const [bindings::vb2_release_fence_request; 2],
    objs: *const *mut bindings::dma_resv,
    timeout_ms: c_uint,
) -> c_int {
    // SAFETY: Two requests, by the safety requirements.
    let [one, other] = unsafe { &*requests };
    let first = one.objs as usize;
    let count = first + other.objs as usize;
    // SAFETY: `count` valid pointers by the safety requirements; `&Reservation` has the layout of a
    // pointer to a `dma_resv`.
    let objs = unsafe { core::slice::from_raw_parts(objs.cast::<&Reservation>(), count) };
    // SAFETY: The requirements are those of this function.
    let one = unsafe { JobBuffer::from_raw(one, 0) };
    // SAFETY: The requirements are those of this function.
    let other = unsafe { JobBuffer::from_raw(other, first) };
    errno(arm_job([one, other], objs, timeout_ms))
}

/// Returns whether consumers may be waiting for a fence of the buffer. Any context.
///
/// # Safety
///
/// `this` must come from [`vb2_release_fence_new`].
#[no_mangle]
unsafe extern "C" fn vb2_release_fence_is_armed(this: *const ReleaseFence) -> bool {
    // SAFETY: Alive by the safety requirements.
    let this = unsafe { &*this };
    this.is_armed()
}

/// Signals the buffer's fence, if it has one. Any context.
///
/// `state` is the one that the buffer is returned with; `cancelled` tells whether the queue is
/// being cancelled.
///
/// # Safety
///
/// - `this` must come from [`vb2_release_fence_new`].
/// - `timeline` must be what the buffer was armed with.
#[no_mangle]
unsafe extern "C" fn vb2_release_fence_end(
    this: *const ReleaseFence,
    state: bindings::vb2_buffer_state,
    cancelled: bool,
    timeline: *const bindings::vb2_release_timeline,
) -> bindings::vb2_release_fence_ended {
    // SAFETY: Alive by the safety requirements.
    let this = unsafe { &*this };
    // SAFETY: NULL or initialised, by the safety requirements.
    let timeline = unsafe { timeline.cast::<Timeline>().as_ref() };
    this.end_job(state, cancelled, timeline).as_raw()
}
