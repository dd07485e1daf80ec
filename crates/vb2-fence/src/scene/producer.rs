// SPDX-License-Identifier: GPL-2.0-only

//! The producer: a device with two pictures that it writes in turn.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{ensure, Context, Result};
use v4l2r::memory::MemoryType;

use crate::scene::args::ProducerKind;
use crate::scene::decoder::Decoder;
use crate::scene::node::{find, set_format, PATIENCE_MS, PICTURES};
use uapi::clock::{self, Ns, MS};
use uapi::crc;
use uapi::device::{Node, Queue};
use uapi::feature::Switch;
use uapi::mapping::Mapping;
use uapi::picture::{Layout, Picture, Shown, Size, GREEN};
use uapi::poll;
use uapi::poll::Readiness;
use uapi::publishing::Kind;
use uapi::rkemu::Block;
use uapi::stateless::KeyFrames;
use uapi::stream::Stream;
use uapi::sync_file;

/// How long a picture may take that comes after its job's end.
const LATE_MS: u32 = 1_000;

/// The drivers whose fences a producer is about, by their V4L2 names.
fn drivers(kind: ProducerKind) -> &'static [&'static str] {
    match kind {
        ProducerKind::Rga => &["rockchip-rga"],
        ProducerKind::Vpu => &["hantro-vpu", "rockchip-rga"],
        ProducerKind::Vim2m => &["vim2m"],
    }
}

/// The switches of a producer's drivers for fences of a kind. Fails if a driver has none at all.
pub fn switches(producer: ProducerKind, kind: Kind) -> Result<Vec<Switch>> {
    let of_driver = |driver: &&str| -> Result<Switch> {
        Switch::of_driver(driver, kind)?.with_context(|| {
            format!(
                "no {driver} with {} (there is no {}): it needs the driver, and a kernel with \
                 CONFIG_VIDEOBUF2_RELEASE_FENCES=y",
                kind.describe(),
                Switch::path(driver, kind).display()
            )
        })
    };
    drivers(producer).iter().map(of_driver).collect()
}

/// Turns the fences of all of a producer's drivers off or on.
pub fn set_all(switches: &[Switch], on: bool) -> Result<()> {
    switches.iter().try_for_each(|switch| switch.set(on))
}

/// What a device needs to say of itself.
struct Profile {
    driver: &'static str,
    block: Option<&'static str>,
    fourcc: [u8; 4],
    layout: Layout,
}

const RGA: Profile = Profile {
    driver: "rockchip-rga",
    block: Some("rga"),
    fourcc: *b"XR24",
    layout: Layout::Xrgb8888,
};

const VIM2M: Profile = Profile {
    driver: "vim2m",
    block: None,
    fourcc: *b"RGBP",
    layout: Layout::Rgb565,
};

/// The device, streaming. Dropped, it stops.
#[derive(Debug)]
pub struct Producer {
    /// The node of the device that writes the display's picture.
    pub node: Node,
    /// How its pixels lie in memory.
    pub layout: Layout,
    stream: Stream,
    pitch: u32,
    size: Size,
    job_ms: u32,
    block: Option<Block>,
    inputs: Vec<Mapping>,
    pictures: Vec<Mapping>,
    decoder: Option<Decoder>,
    /// Of the block, when the last job was queued.
    jobs: u64,
    completed: u64,
}

impl Producer {
    /// Opens the device. Its switch counts as it is now.
    pub fn open(kind: ProducerKind, size: Size, job_ms: u32) -> Result<Self> {
        Self::with_buffers(kind, size, job_ms, PICTURES)
    }

    /// The same with so many buffers on each side.
    pub fn with_buffers(kind: ProducerKind, size: Size, job_ms: u32, count: u32) -> Result<Self> {
        let profile = match kind {
            ProducerKind::Rga | ProducerKind::Vpu => RGA,
            ProducerKind::Vim2m => VIM2M,
        };
        let node = find(profile.driver)?;
        // Longer than the blitter's, which reads its input at the end: else it might come in time.
        let decoder = (kind == ProducerKind::Vpu)
            .then(|| Decoder::open(size, job_ms * 3 / 2))
            .transpose()?;
        let mut stream = Stream::open(&node.path)?;
        let input = decoder
            .as_ref()
            .map_or(profile.fourcc, |_| KeyFrames::PICTURE);
        set_format(&mut stream, Queue::Output, input, size, 0)?;
        let picture = set_format(&mut stream, Queue::Capture, profile.fourcc, size, 0)?;
        let pitch = picture.bytesperline;
        ensure!(
            pitch == size.width * profile.layout.bytes(),
            "{}: lines of {pitch} bytes",
            profile.driver,
        );
        let block = profile.block.map(Block::find).transpose()?.flatten();
        match &block {
            Some(block) => block.set_job_ms(job_ms)?,
            None if kind == ProducerKind::Vim2m => stream.set_job_ms(job_ms)?,
            // Real hardware takes as long as it takes.
            None => {}
        }
        let inputs = match &decoder {
            Some(_) => {
                stream.request_buffers(Queue::Output, MemoryType::DmaBuf, count)?;
                Vec::new()
            }
            None => stream.allocate(Queue::Output, count)?,
        };
        let pictures = stream.allocate(Queue::Capture, count)?;
        stream.stream_on(Queue::Output)?;
        stream.stream_on(Queue::Capture)?;
        Ok(Self {
            node,
            layout: profile.layout,
            stream,
            pitch,
            size,
            job_ms,
            block,
            inputs,
            pictures,
            decoder,
            jobs: 0,
            completed: 0,
        })
    }

    /// How large the pictures are.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The pictures' dma-bufs.
    pub fn picture(&self, slot: u32) -> BorrowedFd<'_> {
        self.pictures[slot as usize].as_fd()
    }

    /// The memory of a picture.
    pub fn memory(&self, slot: u32) -> &Mapping {
        &self.pictures[slot as usize]
    }

    /// The inputs' dma-bufs, if they are the device's own.
    pub fn input(&self, slot: u32) -> Option<BorrowedFd<'_>> {
        let input = self.inputs.get(slot as usize)?;
        Some(input.as_fd())
    }

    /// Bytes from line to line.
    pub fn pitch(&self) -> u32 {
        self.pitch
    }

    /// Bytes of a picture's buffer.
    pub fn picture_bytes(&self) -> u32 {
        let planes = self.stream.planes(Queue::Capture);
        planes.iter().map(|plane| plane.sizeimage).sum()
    }

    /// What frame `number` has to look like.
    pub fn expected(&self, number: u32) -> Picture {
        match &self.decoder {
            Some(decoder) => decoder.expected(number),
            None => Picture::frame(self.size, number),
        }
    }

    /// Whether the buffer has frame `number`, or gets it soon: a block that raised its interrupt too
    /// early is still to write, and to read its input.
    pub fn is_written(&self, slot: u32, number: u32) -> Result<bool> {
        let limit = clock::now() + u64::from(3 * self.job_ms + LATE_MS) * MS;
        loop {
            if self.has(slot, number)? {
                return Ok(true);
            }
            if clock::now() >= limit {
                return Ok(false);
            }
            clock::sleep_until(clock::now() + 5 * MS);
        }
    }

    /// Whether the buffer has frame `number` now. Waits for its fences.
    pub fn has(&self, slot: u32, number: u32) -> Result<bool> {
        let wanted = self.expected(number).bytes(self.layout);
        let bytes = self.pictures[slot as usize].read(wanted.len())?;
        Ok(self.layout.same(&bytes, &wanted))
    }

    /// What the checksum of a scan-out means, if frame `number` was to be shown.
    pub fn shown(&self, number: u32, crc: u32) -> Shown {
        let is = |picture: &Picture| crc::of(picture, self.layout) == crc;
        let last = number.wrapping_sub(1);
        if is(&self.expected(number)) {
            Shown::Wanted
        } else if is(&self.before()) {
            Shown::Before
        } else if is(&self.expected(last)) {
            Shown::Other(last)
        } else {
            Shown::Torn
        }
    }

    /// What a snapshot of the display is, if frame `number` was to be shown.
    pub fn in_snapshot(&self, number: u32, snapshot: &Picture) -> Shown {
        snapshot.compare(&self.expected(number), &self.before())
    }

    fn before(&self) -> Picture {
        Picture::uniform(self.size, GREEN)
    }

    /// The device's node says when a job is over.
    pub fn video(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// When a job that is started now has to be over.
    pub fn time_limit(&self) -> Ns {
        clock::now() + (u64::from(self.job_ms) + PATIENCE_MS) * MS
    }

    /// Makes a picture green, and starts the job that is to replace it by frame `number`. Returns
    /// when the job runs; says when it can have begun at the earliest.
    pub fn start(&mut self, slot: u32, number: u32) -> Result<Ns> {
        let limit = self.time_limit();
        self.pictures[slot as usize].write(&self.before().bytes(self.layout))?;
        self.prepare(slot, number)?;
        let started = self.queue(slot)?;
        match &self.block {
            Some(block) => block.wait_jobs(self.jobs + 1, limit)?,
            // The start of a job has nothing to wait for if the device is idle.
            None => clock::sleep_until(started + 2 * MS),
        }
        Ok(started)
    }

    /// Gets the input of the job of frame `number` ready.
    pub fn prepare(&mut self, slot: u32, number: u32) -> Result<()> {
        let limit = self.time_limit();
        match &mut self.decoder {
            Some(decoder) => decoder.decode(slot, number, limit),
            None => {
                let frame = Picture::frame(self.size, number).bytes(self.layout);
                self.inputs[slot as usize].write(&frame)
            }
        }
    }

    /// Queues the buffers of a job whose input is ready; says when it can have begun at the
    /// earliest.
    pub fn queue(&mut self, slot: u32) -> Result<Ns> {
        if let Some(block) = &self.block {
            self.completed = block.completed()?;
            self.jobs = block.jobs()?;
        }
        let stream = &self.stream;
        stream.queue(Queue::Capture, slot)?;
        let queued = clock::now();
        match &self.decoder {
            Some(decoder) => stream.queue_import(Queue::Output, slot, &[decoder.picture(slot)])?,
            None => stream.queue(Queue::Output, slot)?,
        }
        Ok(queued)
    }

    /// Whether the job that was queued last, to this slot, has begun. Without an emulated block it
    /// is known by its release fence, or by its end.
    pub fn has_begun(&self, slot: u32) -> Result<bool> {
        match &self.block {
            Some(block) => Ok(block.jobs()? > self.jobs),
            None => {
                let (_, fences) = sync_file::of(self.picture(slot))?;
                Ok(fences.ours().next().is_some() || self.is_over()?)
            }
        }
    }

    /// Gives all buffers back, whatever they wait for.
    pub fn stop(&self) -> Result<()> {
        self.stream.stream_off(Queue::Capture)?;
        self.stream.stream_off(Queue::Output)
    }

    /// Whether the job that was queued last is over. An emulated block knows it before the driver.
    pub fn is_over(&self) -> Result<bool> {
        match &self.block {
            Some(block) => Ok(block.completed()? > self.completed),
            None => Ok(poll::ready_now(self.video())? != Readiness::NotReady),
        }
    }

    /// Takes the buffers of the job back, which is over; says whether the picture has an error.
    pub fn finish(&mut self, slot: u32) -> Result<bool> {
        let limit = self.time_limit();
        let picture = self.stream.take(Queue::Capture)?;
        let index = picture.index;
        ensure!(index == slot, "buffer {index} came back instead of {slot}");
        self.stream.take(Queue::Output)?;
        if let Some(decoder) = &mut self.decoder {
            decoder.finish(limit)?;
        }
        Ok(picture.error)
    }
}
