// SPDX-License-Identifier: GPL-2.0-only

//! The ioctls that the example is about, raw: v4l2r does not know them, nor does the system's
//! <linux/videodev2.h>, which its bindings are made from.

use std::fs::File;
use std::os::fd::{FromRawFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::ioctl::{ioctl, opcode, Opcode, Setter, Updater};
use v4l2r::bindings::{v4l2_event, v4l2_event_subscription, v4l2_requestbuffers};
use v4l2r::ioctl::{dqevent, qbuf, UncheckedV4l2Buffer};
use v4l2r::{memory::MemoryType, QueueType::VideoCapture};

/// `V4L2_BUF_CAP_SUPPORTS_OUT_FENCES`.
const SUPPORTS_OUT_FENCES: u32 = 1 << 12;
/// `V4L2_BUF_FLAG_OUT_FENCE`.
const OUT_FENCE: u32 = 0x0040_0000;
/// `V4L2_EVENT_RELEASE_FENCE`.
const RELEASE_FENCE: u32 = 7;

/// `struct v4l2_exportfence`.
#[derive(Default)]
#[repr(C)]
struct ExportFence {
    buffer_type: u32,
    index: u32,
    flags: u32,
    fd: i32,
    sequence: u32,
    reserved: [u32; 3],
}

const SUBSCRIBE_EVENT: Opcode = opcode::write::<v4l2_event_subscription>(b'V', 90);
const EXPFENCE: Opcode = opcode::read_write::<ExportFence>(b'V', 105);

/// What VIDIOC_REQBUFS says.
pub struct Buffers {
    pub count: u32,
    pub have_out_fences: bool,
}

impl From<v4l2_requestbuffers> for Buffers {
    fn from(buffers: v4l2_requestbuffers) -> Self {
        Self {
            count: buffers.count,
            have_out_fences: buffers.capabilities & SUPPORTS_OUT_FENCES != 0,
        }
    }
}

impl Buffers {
    /// Queues one of them, and returns its out-fence if they have any.
    pub fn queue(&self, video: &File, index: u32) -> Result<Option<OwnedFd>> {
        let mut buffer = UncheckedV4l2Buffer::new_for_querybuf(VideoCapture, Some(index));
        buffer.0.memory = MemoryType::Mmap as u32;
        buffer.0.flags = OUT_FENCE * u32::from(self.have_out_fences);
        let buffer: UncheckedV4l2Buffer = qbuf(video, buffer).context("QBUF")?;
        let fd = buffer.0.reserved2 as i32;
        // SAFETY: A queue with out-fences returns a new descriptor here, which nothing else owns.
        Ok((self.have_out_fences).then(|| unsafe { OwnedFd::from_raw_fd(fd) }))
    }
}

/// Subscribes to the event that the device has begun to write a picture.
pub fn subscribe(video: &File) -> Result<()> {
    let subscription = v4l2_event_subscription {
        type_: RELEASE_FENCE,
        id: VideoCapture as u32,
        ..Default::default()
    };
    // SAFETY: The opcode is VIDIOC_SUBSCRIBE_EVENT, whose structure this is.
    let request = unsafe { Setter::<SUBSCRIBE_EVENT, _>::new(subscription) };
    // SAFETY: The request reads its own argument only.
    unsafe { ioctl(video, request) }.context("the driver has no release fences")
}

/// Takes the event, and returns the number of the buffer.
pub fn next_job(video: &File) -> Result<u32> {
    let event: v4l2_event = dqevent(video).context("DQEVENT")?;
    // SAFETY: The union has plain bytes. They are a `struct v4l2_event_release_fence`.
    let [_, _, _, _, a, b, c, d, ..] = unsafe { event.u.data };
    Ok(u32::from_ne_bytes([a, b, c, d]))
}

/// Returns the fence of the job that writes a buffer.
pub fn export_fence(video: &File, index: u32) -> Result<OwnedFd> {
    let mut arg = ExportFence {
        buffer_type: VideoCapture as u32,
        index,
        ..Default::default()
    };
    // SAFETY: The opcode is VIDIOC_EXPFENCE, and `ExportFence` is laid out as its structure.
    let request = unsafe { Updater::<EXPFENCE, _>::new(&mut arg) };
    // SAFETY: The request accesses `arg` only, and makes a descriptor.
    unsafe { ioctl(video, request) }.context("EXPFENCE")?;
    // SAFETY: The ioctl succeeded: this is a new descriptor, which nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(arg.fd) })
}
