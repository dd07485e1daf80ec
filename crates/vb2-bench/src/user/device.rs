// SPDX-License-Identifier: GPL-2.0-only

//! The memory-to-memory devices that are measured.

use anyhow::{Context as _, Result};
use v4l2r::memory::MemoryType;
use v4l2r::PixelFormat;

use super::Fences;
use uapi::clock;
use uapi::device::{Node, Queue};
use uapi::feature::Switch;
use uapi::publishing::Kind;
use uapi::rkemu::Block;
use uapi::stateless::KeyFrames;
use uapi::stream::{choose_raw, Stream};

/// Small, so that drawing it takes little.
const SIZE: (u32, u32) = (64, 64);

/// The drivers, and their emulated blocks; vim2m, a test driver, has none.
pub const DRIVERS: [(&str, Option<&str>); 3] = [
    ("vim2m", None),
    ("rockchip-rga", Some("rga")),
    ("hantro-vpu", Some("vpu")),
];

/// A device.
#[derive(Debug)]
pub struct Device {
    node: Node,
    /// Of OUTPUT and CAPTURE; a decoder has none.
    raw: Option<(PixelFormat, PixelFormat)>,
    switch: Option<Switch>,
    /// Its job time is put back at the end.
    block: Option<Block>,
}

impl Device {
    /// That of a driver, with its block.
    pub fn find((driver, block): (&str, Option<&str>)) -> Result<Self> {
        let node = Node::find(driver)?;
        let stream = Stream::open(&node.path)?;
        let outputs = stream.offers(Queue::Output);
        let emulated = |block| Block::find(block)?.context("only emulated hardware is measured");
        Ok(Self {
            raw: choose_raw(&outputs, &stream.offers(Queue::Capture)),
            switch: Switch::of_driver(driver, Kind::Release)?,
            block: block.map(emulated).transpose()?,
            node,
        })
    }

    /// Sets how long jobs take, where that can be told; says how long they take.
    pub fn set_job_ms(&self, ms: u32) -> Result<String> {
        let Some(block) = &self.block else {
            // vim2m: 1 ms is the least that it takes, and it counts ticks.
            let tick = clock::tick() as f64 / clock::MS as f64;
            return Ok(format!("1 tick, {tick} ms"));
        };
        block.set_job_ms(ms)?;
        Ok(format!("{ms} ms"))
    }

    /// The states that its release fences can have.
    pub fn states(&self) -> Vec<Fences> {
        match self.switch {
            Some(_) => vec![Fences::Off, Fences::On],
            None => vec![Fences::NotBuilt],
        }
    }

    /// Sets the state, for contexts that are opened from now on.
    pub fn set(&self, fences: Fences) -> Result<()> {
        match &self.switch {
            Some(switch) => switch.set(fences == Fences::On),
            None => Ok(()),
        }
    }
}

/// An open context, with so many buffers on each queue.
#[derive(Debug)]
pub struct Context {
    pub stream: Stream,
    /// Of a decoder.
    key_frames: Option<KeyFrames>,
}

impl Context {
    /// Opens one, with shortest jobs if that is up to the context.
    pub fn open(device: &Device, buffers: u32) -> Result<Self> {
        let path = &device.node.path;
        let mut stream = Stream::open(path)?;
        let key_frames = match device.raw {
            Some(formats) => {
                if device.block.is_none() {
                    stream.set_job_ms(1)?;
                }
                stream.set_raw(formats, SIZE)?;
                stream.request_buffers(Queue::Output, MemoryType::Mmap, buffers)?;
                None
            }
            // The emulated decoder takes memory of zeroes for a bitstream.
            None => Some(KeyFrames::new(path, &mut stream, SIZE, buffers)?.0),
        };
        stream.request_buffers(Queue::Capture, MemoryType::Mmap, buffers)?;
        Ok(Self { stream, key_frames })
    }

    /// Starts both queues.
    pub fn start(&self) -> Result<()> {
        self.stream.stream_on(Queue::Output)?;
        self.stream.stream_on(Queue::Capture)
    }

    /// Queues an OUTPUT buffer: a job, if there is a CAPTURE buffer for it.
    pub fn feed(&self, index: u32) -> Result<()> {
        match &self.key_frames {
            Some(key_frames) => key_frames.queue(&self.stream, index),
            None => self.stream.queue(Queue::Output, index),
        }
    }
}
