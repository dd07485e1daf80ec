// SPDX-License-Identifier: GPL-2.0-only

//! Which fences a queue of buffers has, as VIDIOC_CREATE_BUFS says it.

use std::fs::File;
use std::ops::BitOr;

use serde::Serialize;
use v4l2r::bindings::{v4l2_create_buffers, v4l2_format};
use v4l2r::ioctl;
use v4l2r::memory::MemoryType;
use v4l2r::QueueType;

/// `V4L2_BUF_CAP_SUPPORTS_RELEASE_FENCES`; the headers of the system do not have it.
const SUPPORTS_RELEASE_FENCES: u32 = 1 << 9;
/// `V4L2_BUF_CAP_SUPPORTS_ACQUIRE_FENCES`, as above.
const SUPPORTS_ACQUIRE_FENCES: u32 = 1 << 10;

/// The fences of a queue, or of any of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueFences {
    /// Those who import a buffer can wait until the device has finished with it.
    pub release: bool,
    /// The device waits until those who have imported a buffer have finished with it.
    pub acquire: bool,
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

impl From<v4l2_create_buffers> for QueueFences {
    fn from(created: v4l2_create_buffers) -> Self {
        let has = |flag| created.capabilities & flag != 0;
        Self {
            release: has(SUPPORTS_RELEASE_FENCES),
            acquire: has(SUPPORTS_ACQUIRE_FENCES),
        }
    }
}

impl BitOr for QueueFences {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self {
            release: self.release | other.release,
            acquire: self.acquire | other.acquire,
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
        let release = QueueFences {
            release: true,
            acquire: false,
        };
        let acquire = QueueFences {
            release: false,
            acquire: true,
        };
        assert_eq!(fences(0x1ff), QueueFences::default());
        assert_eq!(fences(0x215), release);
        assert_eq!(fences(0x415), acquire);
        assert_eq!(fences(0x600), release | acquire);
    }

    #[test]
    fn a_file_that_is_no_node() {
        let null = File::open("/dev/null").unwrap();
        assert_eq!(QueueFences::ask(&null, QueueType::VideoCapture), None);
    }
}
