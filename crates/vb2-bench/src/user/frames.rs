// SPDX-License-Identifier: GPL-2.0-only

//! Frames a second, with buffers queued all the time.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{ensure, Context, Result};
use v4l2r::memory::MemoryType;

use super::{join, Device};
use uapi::clock::{self, Ns, MS};
use uapi::device::Queue;
use uapi::poll;
use uapi::stream::Stream;

/// On each queue.
const BUFFERS: u32 = 4;

/// Frames that were ready before the contexts began to take them do not count.
const BEFORE_MS: u64 = 200;

/// When frames count.
#[derive(Clone, Copy, Debug)]
struct Window {
    begin: Ns,
    end: Ns,
}

/// Of all contexts together, for so long.
pub fn per_second(device: &Device, contexts: u32, ms: u64) -> Result<f64> {
    let streams = (0..contexts)
        .map(|_| start(device))
        .collect::<Result<Vec<Stream>>>()?;
    let frames = AtomicU64::new(0);
    let begin = clock::now() + BEFORE_MS * MS;
    let window = Window {
        begin,
        end: begin + ms * MS,
    };
    std::thread::scope(|scope| {
        let frames = &frames;
        let threads: Vec<_> = streams
            .iter()
            .map(|stream| scope.spawn(move || drive(stream, window, frames)))
            .collect();
        threads.into_iter().try_for_each(join)
    })?;
    let frames = frames.into_inner();
    ensure!(frames > 0, "no frame in {ms} ms");
    Ok(frames as f64 * 1000.0 / ms as f64)
}

/// A context with all buffers queued.
fn start(device: &Device) -> Result<Stream> {
    let mut stream = device.open()?;
    for queue in [Queue::Output, Queue::Capture] {
        let count = stream.request_buffers(queue, MemoryType::Mmap, BUFFERS)?;
        for index in 0..count {
            stream.queue(queue, index)?;
        }
    }
    stream.stream_on(Queue::Output)?;
    stream.stream_on(Queue::Capture)?;
    Ok(stream)
}

fn drive(stream: &Stream, window: Window, frames: &AtomicU64) -> Result<()> {
    while clock::now() < window.end {
        poll::wait(stream.as_fd(), window.end).context("poll of the node")?;
        while let Some(buffer) = stream.dequeue(Queue::Output)? {
            stream.queue(Queue::Output, buffer.index)?;
        }
        while let Some(buffer) = stream.dequeue(Queue::Capture)? {
            ensure!(!buffer.error, "a job failed");
            if (window.begin..window.end).contains(&clock::now()) {
                frames.fetch_add(1, Ordering::Relaxed);
            }
            stream.queue(Queue::Capture, buffer.index)?;
        }
    }
    Ok(())
}
