// SPDX-License-Identifier: GPL-2.0-only

//! The first device: what makes the pictures. Its CAPTURE buffers are the dma-bufs that go on.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{ensure, Context, Result};
use v4l2r::{PixelFormat, PlaneLayout};

use crate::pipeline::args::{SourceKind, Way};
use crate::pipeline::convert::{dequeue_job, hear_of_starts};
use crate::scene::decoder;
use crate::scene::node::{find, set_format};
use uapi::crc;
use uapi::device::{video_nodes, Node, Queue};
use uapi::explicit::QbufFences;
use uapi::frame_rate;
use uapi::mapping::Mapping;
use uapi::picture::{Layout, Picture, Size};
use uapi::rkemu::Block;
use uapi::stateless::{key_frames, KeyFrames};
use uapi::stream::{Returned, Stream, Wanted};

/// The driver of samples/release_fence/capture_out_fence.c: each pixel is the picture's number.
const SAMPLE: &str = "out-fence";

/// The smallest of vivid's camera, and one that has whole macroblocks.
const CAMERA: Size = Size::new(320, 180);
const SMALL: Size = Size::new(128, 96);

/// How it is set up.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Buffers of each queue.
    pub buffers: u32,
    /// How long a job takes.
    pub job_ms: u32,
    /// Pictures a second, of a camera.
    pub rate: u32,
    /// How pictures are handed on.
    pub way: Way,
}

/// The device, streaming.
#[derive(Debug)]
pub struct Source {
    /// Its node.
    pub node: Node,
    /// The size of its pictures.
    pub size: Size,
    /// Their format.
    pub fourcc: [u8; 4],
    /// How they lie in memory.
    pub plane: PlaneLayout,
    /// Its node, open.
    pub stream: Stream,
    kind: SourceKind,
    /// A decoder's.
    requests: Option<KeyFrames>,
    inputs: Vec<Mapping>,
    pictures: Vec<Mapping>,
    /// QBUF gives the fence of the picture.
    out_fences: bool,
    _block: Option<Block>,
}

impl SourceKind {
    /// What is there. Of a real decoder nothing is known that its picture must be.
    pub fn detect() -> Result<Self> {
        let emulated = Block::find("vpu")?.is_some();
        Ok(if emulated { Self::Hantro } else { Self::Vim2m })
    }
}

impl Source {
    /// Opens the device.
    pub fn open(kind: SourceKind, setup: &Setup) -> Result<Self> {
        let (node, mut size, fourcc) = match kind {
            SourceKind::Hantro => (find("hantro-vpu")?, SMALL, KeyFrames::PICTURE),
            SourceKind::Vim2m => (find("vim2m")?, SMALL, *b"RGB3"),
            SourceKind::Vivid => (find_vivid()?, CAMERA, *b"XR24"),
            SourceKind::Capture => (find_camera()?, CAMERA, *b"XR24"),
        };
        let mut stream = Stream::open(&node.path)?;
        let out_fences = setup.way == Way::Explicit && gives_out_fences(&node);
        // The event would tell what QBUF has told.
        if !out_fences {
            hear_of_starts(&node, &stream, Queue::Capture, setup.way)?;
        }
        let (mut requests, mut inputs, mut block) = (None, Vec::new(), None);
        match kind {
            SourceKind::Hantro => {
                let found = Block::find("vpu")?;
                let found = found.context("--source hantro is for the emulated decoder")?;
                found.set_job_ms(setup.job_ms)?;
                // Each job counts it up.
                found.set_frame(1)?;
                block = Some(found);
                let dimensions = (size.width, size.height);
                let count = setup.buffers;
                let made = KeyFrames::new(&node.path, &mut stream, dimensions, count)?;
                (requests, inputs) = (Some(made.0), made.1);
            }
            SourceKind::Vim2m => {
                set_format(&mut stream, Queue::Output, fourcc, size, 0)?;
                stream.set_job_ms(setup.job_ms)?;
            }
            SourceKind::Capture if node.driver != "vivid" => {
                let wanted = Wanted {
                    fourcc: PixelFormat::from(&fourcc),
                    size: (size.width, size.height),
                    bytes: 0,
                };
                let nearest = stream.set_format(Queue::Capture, &wanted)?;
                size = Size::new(nearest.width, nearest.height);
            }
            SourceKind::Vivid | SourceKind::Capture => {
                let queue = node.queues.queue_type(Queue::Capture);
                frame_rate::set(stream.file(), queue, setup.rate)?;
            }
        }
        let plane = set_format(&mut stream, Queue::Capture, fourcc, size, 0)?;
        if kind == SourceKind::Vim2m {
            inputs = stream.allocate(Queue::Output, setup.buffers)?;
        }
        let pictures = stream.allocate(Queue::Capture, setup.buffers)?;
        if node.queues.output {
            stream.stream_on(Queue::Output)?;
        }
        stream.stream_on(Queue::Capture)?;
        Ok(Self {
            node,
            size,
            fourcc,
            plane,
            kind,
            stream,
            requests,
            inputs,
            pictures,
            out_fences,
            _block: block,
        })
    }

    /// A picture's dma-buf.
    pub fn picture(&self, slot: u32) -> BorrowedFd<'_> {
        self.pictures[slot as usize].as_fd()
    }

    /// Queues a buffer for picture `number`, and what it is made of. The device waits for the fence
    /// of who used the buffer last, if there is one. Gives the fence of the picture, if QBUF does.
    pub fn queue(
        &self,
        slot: u32,
        number: u32,
        free: Option<BorrowedFd<'_>>,
    ) -> Result<Option<OwnedFd>> {
        let fences = QbufFences {
            wait: free,
            out: self.out_fences,
        };
        let out = self.stream.queue_fenced(Queue::Capture, slot, fences)?;
        let Some(input) = self.inputs.get(slot as usize) else {
            return Ok(out);
        };
        match &self.requests {
            Some(requests) => {
                input.write(&key_frames::bitstream(number))?;
                requests.queue(&self.stream, slot)?;
            }
            None => {
                input.write(&rgb24(&Picture::frame(self.size, number)))?;
                self.stream.queue(Queue::Output, slot)?;
            }
        }
        Ok(out)
    }

    /// Takes a picture back that is done, and its input.
    pub fn dequeue(&self) -> Result<Option<Returned>> {
        match self.inputs.is_empty() {
            true => self.stream.dequeue(Queue::Capture),
            false => dequeue_job(&self.stream),
        }
    }

    /// The checksum that the display gives of picture `number`, which is the sequence number of a
    /// camera's; `None` if that cannot be known.
    pub fn checksum(&self, number: u32) -> Option<u32> {
        let picture = match self.kind {
            SourceKind::Hantro => decoder::picture(self.size, number),
            SourceKind::Vim2m => Picture::frame(self.size, number),
            SourceKind::Capture if self.node.driver == SAMPLE => {
                Picture::uniform(self.size, number & 0xff_ff_ff)
            }
            SourceKind::Vivid | SourceKind::Capture => return None,
        };
        Some(crc::of(&picture, Layout::Xrgb8888))
    }

    /// The same of the picture in a buffer that was dequeued, and not queued again.
    pub fn checksum_of(&self, slot: u32, number: u32) -> Result<u32> {
        if let Some(known) = self.checksum(number) {
            return Ok(known);
        }
        ensure!(
            self.plane.bytesperline == self.size.width * 4,
            "the camera's lines have {} bytes",
            self.plane.bytesperline
        );
        let bytes = self.pictures[slot as usize].read(self.size.pixels() * 4)?;
        let pixels = bytes.chunks_exact(4);
        let pixels = pixels.map(|pixel| u32::from_le_bytes([pixel[0], pixel[1], pixel[2], 0]));
        let picture = Picture {
            size: self.size,
            pixels: pixels.collect(),
        };
        Ok(crc::of(&picture, Layout::Xrgb8888))
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// The nodes of cameras.
fn cameras() -> Result<impl Iterator<Item = Node>> {
    let nodes = video_nodes()?.into_iter();
    let nodes = nodes.filter_map(|path| Node::at(&path).ok());
    Ok(nodes.filter(|node| node.queues.capture && !node.queues.m2m))
}

/// vivid has several nodes.
fn find_vivid() -> Result<Node> {
    let found = cameras()?.find(|node| node.driver == "vivid");
    found.context("no camera of vivid that can be opened: modprobe vivid, as root")
}

/// The first camera whose queue gives out-fences, else vivid's.
pub fn find_camera() -> Result<Node> {
    cameras()?
        .find(gives_out_fences)
        .map_or_else(find_vivid, Ok)
}

fn gives_out_fences(node: &Node) -> bool {
    let mut queues = node.fences.iter();
    queues.any(|of| of.queue == Queue::Capture && of.fences.out_fences)
}

fn rgb24(picture: &Picture) -> Vec<u8> {
    let pixels = picture.pixels.iter();
    let channels = pixels.flat_map(|pixel| {
        let [blue, green, red, _] = pixel.to_le_bytes();
        [red, green, blue]
    });
    channels.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn red_is_first() {
        let picture = Picture::uniform(Size::new(2, 1), 0x01_02_03);
        assert_eq!(rgb24(&picture), [1, 2, 3, 1, 2, 3]);
    }
}
