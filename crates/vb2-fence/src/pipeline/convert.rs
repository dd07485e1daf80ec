// SPDX-License-Identifier: GPL-2.0-only

//! The second device: rockchip-rga, which reads the source's dma-bufs and writes the display's.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{ensure, Result};
use v4l2r::memory::MemoryType;

use crate::pipeline::args::Way;
use crate::pipeline::source::{Setup, Source};
use crate::scene::node::{find, set_format};
use uapi::clock::{self, Ns, MS};
use uapi::device::{Node, Queue};
use uapi::explicit::QbufFences;
use uapi::mapping::Mapping;
use uapi::queue_fences::QueueFences;
use uapi::rkemu::Block;
use uapi::stream::{Returned, Stream};

/// How long the input of a job may come after its picture.
const INPUT_PATIENCE: Ns = 10_000 * MS;

/// Of the pictures: that of the display.
const FOURCC: [u8; 4] = *b"XR24";

/// rockchip-rga, streaming.
#[derive(Debug)]
pub struct Converter {
    /// Bytes from line to line of a picture.
    pub pitch: u32,
    /// Its node, open.
    pub stream: Stream,
    pictures: Vec<Mapping>,
    _block: Option<Block>,
}

impl Converter {
    /// Opens it, for the pictures of `source`.
    pub fn open(source: &Source, setup: &Setup) -> Result<Self> {
        let node = find("rockchip-rga")?;
        let mut stream = Stream::open(&node.path)?;
        hear_of_starts(&node, &stream, Queue::Output, setup.way)?;
        hear_of_starts(&node, &stream, Queue::Capture, setup.way)?;
        let block = Block::find("rga")?;
        if let Some(block) = &block {
            block.set_job_ms(setup.job_ms)?;
        }
        let input = set_format(&mut stream, Queue::Output, source.fourcc, source.size, 0)?;
        ensure!(
            input.bytesperline == source.plane.bytesperline
                && input.sizeimage <= source.plane.sizeimage,
            "rockchip-rga reads other pictures than {} writes",
            source.node.driver
        );
        let pitch = set_format(&mut stream, Queue::Capture, FOURCC, source.size, 0)?.bytesperline;
        stream.request_buffers(Queue::Output, MemoryType::DmaBuf, setup.buffers)?;
        let pictures = stream.allocate(Queue::Capture, setup.buffers)?;
        stream.stream_on(Queue::Output)?;
        stream.stream_on(Queue::Capture)?;
        Ok(Self {
            pitch,
            stream,
            pictures,
            _block: block,
        })
    }

    /// A picture's dma-buf.
    pub fn picture(&self, slot: u32) -> BorrowedFd<'_> {
        self.pictures[slot as usize].as_fd()
    }

    /// Queues a job: `dmabuf`, which always is in the same `slot`, into picture `into`. It waits
    /// for the fence of each, if there is one.
    pub fn queue(
        &self,
        (slot, dmabuf, made): (u32, BorrowedFd<'_>, Option<BorrowedFd<'_>>),
        (into, free): (u32, Option<BorrowedFd<'_>>),
    ) -> Result<()> {
        self.stream
            .queue_fenced(Queue::Capture, into, QbufFences::wait(free))?;
        self.stream
            .queue_import_fenced(Queue::Output, slot, &[dmabuf], QbufFences::wait(made))?;
        Ok(())
    }

    /// Takes a picture back that is done, and its input.
    pub fn dequeue(&self) -> Result<Option<Returned>> {
        dequeue_job(&self.stream)
    }
}

impl AsFd for Converter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Takes the picture of a job back that is done, and then its input: a driver returns one after the
/// other.
pub fn dequeue_job(stream: &Stream) -> Result<Option<Returned>> {
    let picture = stream.dequeue(Queue::Capture)?;
    let limit = clock::now() + INPUT_PATIENCE;
    while picture.is_some() && stream.dequeue(Queue::Output)?.is_none() {
        ensure!(
            clock::now() < limit,
            "a picture came back without its input"
        );
        std::thread::yield_now();
    }
    Ok(picture)
}

/// Has the queue tell when a job starts, if pictures are handed on early then. Without the fences
/// of that way nothing would keep the order, so a program asks the queue whether it has them.
pub fn hear_of_starts(node: &Node, stream: &Stream, queue: Queue, way: Way) -> Result<()> {
    let fences = QueueFences::ask(stream.file(), node.queues.queue_type(queue));
    let fences = fences.unwrap_or_default();
    let (right, lacks) = match way {
        Way::Dqbuf => return Ok(()),
        Way::Implicit => (fences.acquire, "release or acquire fences"),
        Way::Explicit => (fences.in_fences, "release fences or in-fences"),
    };
    ensure!(
        fences.release && right,
        "the {queue:?} queue of {} lacks {lacks}, without which nothing can be handed on early: \
         `vb2-fence list` says why, and --way dqbuf needs none",
        node.driver
    );
    stream.subscribe_starts(queue)
}
