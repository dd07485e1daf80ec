// SPDX-License-Identifier: GPL-2.0-only

//! Which queues a video node has, from the capabilities that VIDIOC_QUERYCAP gives.

use serde::Serialize;
use v4l2r::ioctl::Capabilities;
use v4l2r::QueueType;

/// The two queues of a memory-to-memory node, by what the program uses them for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Queue {
    /// What the device reads.
    Output,
    /// What it writes.
    Capture,
}

impl Queue {
    /// As people know it.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Output => "OUTPUT",
            Self::Capture => "CAPTURE",
        }
    }
}

/// The queues of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Queues {
    /// It has a CAPTURE queue of pictures.
    pub capture: bool,
    /// It has an OUTPUT queue of pictures.
    pub output: bool,
    /// Both belong together: a job takes a buffer of each.
    pub m2m: bool,
    /// The multi-planar interface.
    pub mplane: bool,
    /// It streams by buffers; without this there is nothing to share.
    pub streaming: bool,
}

impl Queues {
    /// Decodes the capabilities of a node (not those of its whole device).
    pub fn decode(caps: Capabilities) -> Self {
        let has = |flags: Capabilities| caps.intersects(flags);
        let m2m = has(Capabilities::VIDEO_M2M | Capabilities::VIDEO_M2M_MPLANE);
        let capture = Capabilities::VIDEO_CAPTURE | Capabilities::VIDEO_CAPTURE_MPLANE;
        let output = Capabilities::VIDEO_OUTPUT | Capabilities::VIDEO_OUTPUT_MPLANE;
        Self {
            capture: m2m || has(capture),
            output: m2m || has(output),
            m2m,
            mplane: has(Capabilities::VIDEO_M2M_MPLANE
                | Capabilities::VIDEO_CAPTURE_MPLANE
                | Capabilities::VIDEO_OUTPUT_MPLANE),
            streaming: has(Capabilities::STREAMING),
        }
    }

    /// Those that there are, with buffers.
    pub fn with_buffers(&self) -> impl Iterator<Item = Queue> + '_ {
        let queues = [(Queue::Output, self.output), (Queue::Capture, self.capture)];
        queues
            .into_iter()
            .filter(|&(_, present)| present && self.streaming)
            .map(|(queue, _)| queue)
    }

    /// The V4L2 type of a queue.
    pub fn queue_type(&self, queue: Queue) -> QueueType {
        match (queue, self.mplane) {
            (Queue::Output, false) => QueueType::VideoOutput,
            (Queue::Output, true) => QueueType::VideoOutputMplane,
            (Queue::Capture, false) => QueueType::VideoCapture,
            (Queue::Capture, true) => QueueType::VideoCaptureMplane,
        }
    }

    /// For people.
    pub fn describe(&self) -> String {
        let queues = match (self.output, self.capture) {
            _ if self.m2m => "OUTPUT+CAPTURE, m2m",
            (true, true) => "OUTPUT, CAPTURE",
            (true, false) => "OUTPUT",
            (false, true) => "CAPTURE",
            (false, false) => return "no pictures".into(),
        };
        let mplane = if self.mplane { ", mplane" } else { "" };
        let streaming = if self.streaming { "" } else { ", no buffers" };
        format!("{queues}{mplane}{streaming}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bits: u32) -> Queues {
        Queues::decode(Capabilities::from_bits_truncate(bits))
    }

    #[test]
    fn memory_to_memory() {
        // vim2m's and hantro's, as VIDIOC_QUERYCAP gives them.
        let vim2m = decode(0x0420_8000);
        assert!(vim2m.m2m && vim2m.capture && vim2m.output && vim2m.streaming && !vim2m.mplane);
        assert_eq!(vim2m.queue_type(Queue::Capture), QueueType::VideoCapture);
        let hantro = decode(0x0420_4000);
        assert!(hantro.m2m && hantro.mplane);
        assert_eq!(
            hantro.queue_type(Queue::Output),
            QueueType::VideoOutputMplane
        );
        assert_eq!(hantro.describe(), "OUTPUT+CAPTURE, m2m, mplane");
        assert_eq!(hantro.with_buffers().count(), 2);
    }

    #[test]
    fn one_queue() {
        let vivid = decode(0x0523_0001);
        assert!(vivid.capture && !vivid.output && !vivid.m2m);
        assert_eq!(vivid.describe(), "CAPTURE");
        assert!(vivid.with_buffers().eq([Queue::Capture]));
        assert_eq!(decode(0x0420_0002).describe(), "OUTPUT");
    }

    #[test]
    fn metadata_is_no_picture() {
        let meta = decode(0x04a0_0000);
        assert!(!meta.capture && !meta.output);
        assert_eq!(meta.describe(), "no pictures");
    }

    #[test]
    fn without_streaming() {
        assert_eq!(decode(1).describe(), "CAPTURE, no buffers");
        assert_eq!(decode(1).with_buffers().count(), 0);
    }
}
