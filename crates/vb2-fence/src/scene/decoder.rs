// SPDX-License-Identifier: GPL-2.0-only

//! hantro, as far as it is emulated (Documentation/admin-guide/media/rkemu.rst): its picture does
//! not show what is in the bitstream, but names the job. What consumes it waits by poll().

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{ensure, Context, Result};

use crate::scene::node::{find, PICTURES};
use uapi::clock::Ns;
use uapi::device::Queue;
use uapi::mapping::Mapping;
use uapi::picture::{Picture, Size};
use uapi::poll;
use uapi::rkemu::Block;
use uapi::stateless::{key_frames, KeyFrames};
use uapi::stream::Stream;

/// The squares that name the job, and how wide they are in pictures that are not tiny.
const SQUARES: u32 = 64;
const SIDE: u32 = 8;

/// When hantro's watchdog ends a job.
const WATCHDOG_MS: u32 = 2_000;

/// The decoder, streaming.
#[derive(Debug)]
pub struct Decoder {
    stream: Stream,
    frames: KeyFrames,
    block: Block,
    size: Size,
    inputs: Vec<Mapping>,
    pictures: Vec<Mapping>,
    completed: u64,
}

impl Decoder {
    /// Opens it. Its jobs take `job_ms`.
    pub fn open(size: Size, job_ms: u32) -> Result<Self> {
        let tiny = size.width % 16 != 0 || size.height % 16 != 0 || size.pixels() < 128 * 64;
        ensure!(!tiny, "the decoder's pictures are whole macroblocks");
        ensure!(
            job_ms < WATCHDOG_MS,
            "hantro gives jobs up after {WATCHDOG_MS} ms, and the decoder's would take {job_ms} ms: \
             try a --job-ms of no more than {}",
            WATCHDOG_MS / 2
        );
        let node = find("hantro-vpu")?;
        let block = Block::find("vpu")?;
        let block = block.context("only the emulated decoder says what its picture has to be")?;
        block.set_job_ms(job_ms)?;
        let mut stream = Stream::open(&node.path)?;
        let dimensions = (size.width, size.height);
        let (frames, inputs) = KeyFrames::new(&node.path, &mut stream, dimensions, PICTURES)?;
        let pictures = stream.allocate(Queue::Capture, PICTURES)?;
        stream.stream_on(Queue::Output)?;
        stream.stream_on(Queue::Capture)?;
        Ok(Self {
            stream,
            frames,
            block,
            size,
            inputs,
            pictures,
            completed: 0,
        })
    }

    /// The picture of job `number`, after the blitter.
    pub fn expected(&self, number: u32) -> Picture {
        picture(self.size, number)
    }

    /// The decoder's pictures, for the blitter.
    pub fn picture(&self, slot: u32) -> BorrowedFd<'_> {
        self.pictures[slot as usize].as_fd()
    }

    /// Starts the job of a frame on an empty picture, and waits until the picture is said to be
    /// ready: not at all without release fences.
    pub fn decode(&mut self, slot: u32, number: u32, limit: Ns) -> Result<()> {
        let index = slot as usize;
        let empty = vec![0; self.size.pixels() * 3 / 2];
        self.pictures[index].write(&empty)?;
        self.inputs[index].write(&key_frames::bitstream(number))?;
        self.completed = self.block.completed()?;
        let jobs = self.block.jobs()?;
        self.block.set_frame(number)?;

        self.stream.queue(Queue::Capture, slot)?;
        self.frames.queue(&self.stream, slot)?;
        self.block.wait_jobs(jobs + 1, limit)?;

        let ready = poll::wait(self.picture(slot), limit)?;
        ensure!(ready.is_some(), "the decoder's picture never gets ready");
        Ok(())
    }

    /// Waits for the end of the job and takes its buffers back.
    pub fn finish(&mut self, limit: Ns) -> Result<()> {
        self.block.wait_completed(self.completed + 1, limit)?;
        let woken = poll::wait(self.stream.as_fd(), limit)?;
        ensure!(woken.is_some(), "the decoder's job does not end");
        let picture = self.stream.take(Queue::Capture)?;
        ensure!(!picture.error, "the decoder's job failed");
        self.stream.take(Queue::Output)?;
        Ok(())
    }
}

/// The picture of job `number`, after the blitter.
pub fn picture(size: Size, number: u32) -> Picture {
    expected(size, number, checksum(number))
}

/// That of what the device looks at.
fn checksum(number: u32) -> u32 {
    crc32fast::hash(key_frames::coefficients(&key_frames::bitstream(number)))
}

fn expected(size: Size, number: u32, checksum: u32) -> Picture {
    let name = u64::from(number) << 32 | u64::from(checksum);
    let luma = 16 + number % 220 * 37 % 220;
    let cb = 16 + (number % 225 * 53 + 80) % 225;
    let cr = 16 + (number % 225 * 97 + 160) % 225;
    let columns = size.width / SIDE;
    let pixel = |i: u32| {
        let bit = i / size.width / SIDE * columns + i % size.width / SIDE;
        let luma = match bit < SQUARES {
            true if name >> (SQUARES - 1 - bit) & 1 == 1 => 235,
            true => 16,
            false => luma,
        };
        rgb(luma, cb, cr)
    };
    Picture {
        size,
        pixels: (0..size.width * size.height).map(pixel).collect(),
    }
}

/// What the emulated blitter makes of a pixel: BT.601, in 1/16384.
fn rgb(luma: u32, cb: u32, cr: u32) -> u32 {
    let (y, cb, cr) = (luma as i32 - 16, cb as i32 - 128, cr as i32 - 128);
    let channel = |of_cb: i32, of_cr: i32| {
        let sum = 19077 * y + of_cb * cb + of_cr * cr;
        ((sum + (1 << 13)) >> 14).clamp(0, 255) as u32
    };
    channel(0, 26149) << 16 | channel(-6419, -13320) << 8 | channel(33050, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uapi::picture::GREEN;

    #[test]
    fn an_empty_picture_is_green() {
        assert_eq!(rgb(0, 0, 0), GREEN);
        assert_eq!(rgb(235, 128, 128), 0xff_ff_ff);
        assert_eq!(rgb(16, 128, 128), 0);
    }

    #[test]
    fn jobs_end_before_the_watchdog() {
        let size = Size::new(320, 240);
        let err = Decoder::open(size, WATCHDOG_MS).unwrap_err();
        assert!(format!("{err:#}").contains("--job-ms"), "{err:#}");
    }

    #[test]
    fn pictures_name_their_job() {
        let size = Size::new(128, 96);
        let (one, two) = (expected(size, 5, 0), expected(size, 6, 0));
        assert_ne!(one.pixels[SIZE_BELOW], two.pixels[SIZE_BELOW]);
        // 5 is ...0101, and 32 more squares follow.
        let square = |bit: usize| one.pixels[bit / 16 * 8 * 128 + bit % 16 * 8];
        assert_eq!(square(31), square(29));
        assert_ne!(square(31), square(30));
    }

    /// A pixel that is not of the name.
    const SIZE_BELOW: usize = 128 * 90;
}
