// SPDX-License-Identifier: GPL-2.0-only

//! What the C shim calls. Raw pointers end here.
//!
//! C header: `videobuf2-release-fence.h` beside this file.

use super::{arm, errno, Arming, End, ReleaseFence, Timeline};
use core::ptr;
use kernel::{
    bindings,
    dma_buf::{Reservation, Usage},
    error::to_result,
    ffi::{c_char, c_int, c_uint, c_void},
    prelude::*,
    str::CStr,
};

/// Initialises a queue's timeline. Any context.
///
/// # Safety
///
/// `timeline` must point to a `struct vb2_release_timeline` that nobody else uses yet.
#[no_mangle]
unsafe extern "C" fn vb2_release_timeline_init(timeline: *mut Timeline) {
    // SAFETY: Valid for writes by the safety requirements; size and alignment are checked above.
    unsafe { timeline.write(Timeline::new()) };
}

/// Makes the fence state of a buffer. Sleeps. Returns NULL if there is no memory.
///
/// # Safety
///
/// `vb` must point to a `struct vb2_buffer` that outlives what is returned.
#[no_mangle]
unsafe extern "C" fn vb2_release_fence_new(vb: *mut c_void) -> *const ReleaseFence {
    match KBox::pin_init(ReleaseFence::new(vb), GFP_KERNEL) {
        // SAFETY: It is pinned in its allocation until `vb2_release_fence_free()`.
        Ok(this) => KBox::into_raw(unsafe { Pin::into_inner_unchecked(this) }),
        Err(_) => ptr::null(),
    }
}

/// Frees the fence state of a buffer, cancelling the fence if it is armed. Sleeps.
///
/// # Safety
///
/// `this` must come from [`vb2_release_fence_new`]; nobody may use it any more.
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

/// What the shim knows of one buffer of a job: `struct vb2_release_fence_request`.
#[repr(C)]
struct Request {
    fence: *const ReleaseFence,
    timeline: *const Timeline,
    queue: *const c_char,
    objs: c_uint,
    write: bool,
}

impl Request {
    /// Gets everything that can fail or sleep, but for locks and slots. Sleeps.
    ///
    /// `first` is where the buffer's objects begin in the list of the job. Returns `None` for a
    /// buffer that has its fence already.
    ///
    /// # Safety
    ///
    /// The pointers must be as [`vb2_release_fence_arm`] wants them for all of `'a`.
    unsafe fn begin<'a>(&self, first: usize, timeout_ms: c_uint) -> Result<Option<Arming<'a>>> {
        // SAFETY: Alive by the safety requirements.
        let fence = unsafe { &*self.fence };
        // SAFETY: NULL or initialised, by the safety requirements.
        let timeline = unsafe { self.timeline.as_ref() };
        // SAFETY: A C string by the safety requirements.
        let queue = unsafe { CStr::from_char_ptr(self.queue) };

        if !fence.armed.is_idle() {
            return Ok(None);
        }
        // A watch over the buffer's last fence that goes off late must not see this one.
        fence.stop_deadline_sync();
        let alloc = fence.take_prepared(queue)?;
        let Some(slot) = fence.armed.begin() else {
            return Ok(None);
        };
        Ok(Some(Arming {
            fence,
            slot,
            alloc,
            objs: first..first + self.objs as usize,
            usage: if self.write {
                Usage::Write
            } else {
                Usage::Read
            },
            timeline,
            timeout_ms,
        }))
    }
}

/// Publishes the fences of the buffers of a job. Sleeps.
///
/// # Safety
///
/// - `requests` must point to two requests, of which the second may have a NULL `fence`: no buffer.
/// - Each `fence` must come from [`vb2_release_fence_new`], each `queue` must be a C string, each
///   `timeline` must be NULL or initialised by [`vb2_release_timeline_init`], all during the call.
/// - `objs` must point to as many pointers to reservation objects as the requests add up to, those
///   of the first one first, all valid during the call.
#[no_mangle]
unsafe extern "C" fn vb2_release_fence_arm(
    requests: *const [Request; 2],
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

    let armed = || -> Result {
        // SAFETY: The requirements are those of this function.
        let one = unsafe { one.begin(0, timeout_ms) }?;
        let other = if other.fence.is_null() {
            None
        } else {
            // SAFETY: The requirements are those of this function.
            unsafe { other.begin(first, timeout_ms) }?
        };
        match (one, other) {
            (Some(one), Some(other)) => arm([one, other], objs),
            (Some(buffer), None) | (None, Some(buffer)) => arm([buffer], objs),
            (None, None) => Ok(()),
        }
    };
    errno(armed())
}

/// Returns whether the buffer has a fence that somebody may be waiting for. Any context.
///
/// # Safety
///
/// `this` must come from [`vb2_release_fence_new`].
#[no_mangle]
unsafe extern "C" fn vb2_release_fence_is_armed(this: *const ReleaseFence) -> bool {
    // SAFETY: Alive by the safety requirements.
    let this = unsafe { &*this };
    !this.armed.is_idle()
}

/// Signals the buffer's fence, if it has one, with 0 or a negative error code. Any context.
///
/// Returns 0 if it had none, 1 if it was signalled, 2 if it was but a later one of `timeline`,
/// which was said to complete in order, had been before.
///
/// # Safety
///
/// - `this` must come from [`vb2_release_fence_new`].
/// - `timeline` must be what the buffer was armed with.
#[no_mangle]
unsafe extern "C" fn vb2_release_fence_end(
    this: *const ReleaseFence,
    result: c_int,
    timeline: *const Timeline,
) -> c_int {
    // SAFETY: Alive by the safety requirements.
    let this = unsafe { &*this };
    // SAFETY: NULL or initialised, by the safety requirements.
    let timeline = unsafe { timeline.as_ref() };
    let result = to_result(result);

    match this.end(result) {
        End::NotArmed => 0,
        End::Signalled { seqno } => {
            let in_turn = timeline.map_or(true, |timeline| timeline.end(seqno));
            // Buffers that fail, or are cancelled, may come back in any order.
            if in_turn || result.is_err() {
                1
            } else {
                2
            }
        }
    }
}
