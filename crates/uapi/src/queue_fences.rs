// SPDX-License-Identifier: GPL-2.0-only

//! Which fences a queue of buffers has, as VIDIOC_CREATE_BUFS and VIDIOC_REQBUFS say it.

use std::fs::File;

use serde::Serialize;
use v4l2r::bindings::{v4l2_create_buffers, v4l2_format, v4l2_requestbuffers};
use v4l2r::ioctl;
use v4l2r::memory::MemoryType;
use v4l2r::QueueType;

use crate::queues::Queue;

/// `V4L2_BUF_CAP_SUPPORTS_RELEASE_FENCES`; the headers of the system do not have it.
const SUPPORTS_RELEASE_FENCES: u32 = 1 << 9;
/// `V4L2_BUF_CAP_SUPPORTS_ACQUIRE_FENCES`, as above.
const SUPPORTS_ACQUIRE_FENCES: u32 = 1 << 10;
/// `V4L2_BUF_CAP_SUPPORTS_IN_FENCES`, as above.
const SUPPORTS_IN_FENCES: u32 = 1 << 11;
/// `V4L2_BUF_CAP_SUPPORTS_OUT_FENCES`, as above.
const SUPPORTS_OUT_FENCES: u32 = 1 << 12;

/// The fences of a queue, or of any of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueFences {
    /// Those who import a buffer can wait until the device has finished with it.
    pub release: bool,
    /// The device waits until those who have imported a buffer have finished with it.
    pub acquire: bool,
    /// QBUF takes a fence that the device waits for.
    pub in_fences: bool,
    /// QBUF gives the fence of the job.
    pub out_fences: bool,
}

impl QueueFences {
    /// Asks for the queue of this type. Makes no buffers, and does not disturb those who stream.
    ///
    /// `None` if the driver does not have the call.
    pub fn ask(file: &File, queue: QueueType) -> Option<Self> {
        let format = v4l2_format {
            type_: queue as u32,
            ..Default::default()
        };
        ioctl::create_bufs(file, 0, MemoryType::Mmap, format).ok()
    }
}

impl From<u32> for QueueFences {
    /// From the capabilities of a queue's buffers.
    fn from(capabilities: u32) -> Self {
        let has = |flag| capabilities & flag != 0;
        Self {
            release: has(SUPPORTS_RELEASE_FENCES),
            acquire: has(SUPPORTS_ACQUIRE_FENCES),
            in_fences: has(SUPPORTS_IN_FENCES),
            out_fences: has(SUPPORTS_OUT_FENCES),
        }
    }
}

impl From<v4l2_create_buffers> for QueueFences {
    fn from(created: v4l2_create_buffers) -> Self {
        created.capabilities.into()
    }
}

/// The fences of one queue of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FencesOf {
    /// Which one.
    pub queue: Queue,
    /// Its fences.
    #[serde(flatten)]
    pub fences: QueueFences,
}

/// What VIDIOC_REQBUFS gave.
#[derive(Clone, Copy, Debug)]
pub struct Requested {
    /// How many buffers there are.
    pub count: u32,
    /// The fences of the queue.
    pub fences: QueueFences,
}

impl From<v4l2_requestbuffers> for Requested {
    fn from(requested: v4l2_requestbuffers) -> Self {
        Self {
            count: requested.count,
            fences: requested.capabilities.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_the_capabilities() {
        let fences = |capabilities| {
            QueueFences::from(v4l2_create_buffers {
                capabilities,
                ..Default::default()
            })
        };
        let has = |capabilities| {
            let of = fences(capabilities);
            [of.release, of.acquire, of.in_fences, of.out_fences]
        };
        assert_eq!(has(!0x1e00), [false; 4]);
        assert_eq!(has(0x215), [true, false, false, false]);
        assert_eq!(has(0x415), [false, true, false, false]);
        assert_eq!(has(0x815), [false, false, true, false]);
        assert_eq!(has(0x1015), [false, false, false, true]);
        let requested = Requested::from(v4l2_requestbuffers {
            count: 3,
            capabilities: 0xe15,
            ..Default::default()
        });
        assert_eq!((requested.count, requested.fences), (3, fences(0xe00)));
    }

    #[test]
    fn a_file_that_is_no_node() {
        let null = File::open("/dev/null").unwrap();
        assert_eq!(QueueFences::ask(&null, QueueType::VideoCapture), None);
    }
}
