// SPDX-License-Identifier: GPL-2.0-only

//! Frames a second, with buffers queued all the time.

use std::os::fd::AsFd;

use anyhow::{ensure, Context as _, Result};

use super::device::{Context, Device};
use super::in_threads;
use uapi::clock::{self, Ns, MS};
use uapi::device::Queue;
use uapi::poll;

/// On each queue.
const BUFFERS: u32 = 4;

/// Frames that were ready before the contexts began to take them do not count.
const BEFORE_MS: u64 = 200;

/// Of all contexts together, for so long.
pub fn per_second(device: &Device, contexts: u32, ms: u64) -> Result<f64> {
    let contexts = (0..contexts)
        .map(|_| start(device))
        .collect::<Result<Vec<_>>>()?;
    let begin = clock::now() + BEFORE_MS * MS;
    let end = begin + ms * MS;
    let counts = in_threads(&contexts, |_, context| drive(context, begin, end))?;
    let frames: u32 = counts.iter().sum();
    ensure!(frames > 0, "no frame in {ms} ms");
    Ok(f64::from(frames) * 1000.0 / ms as f64)
}

/// A context with all buffers queued.
fn start(device: &Device) -> Result<Context> {
    let context = Context::open(device, BUFFERS)?;
    for index in 0..BUFFERS {
        context.feed(index)?;
        context.stream.queue(Queue::Capture, index)?;
    }
    context.start()?;
    Ok(context)
}

/// Counts the frames from `begin` to `end`.
fn drive(context: &Context, begin: Ns, end: Ns) -> Result<u32> {
    let stream = &context.stream;
    let mut frames = 0;
    while clock::now() < end {
        poll::wait(stream.as_fd(), end).context("poll of the node")?;
        while let Some(buffer) = stream.dequeue(Queue::Output)? {
            context.feed(buffer.index)?;
        }
        while let Some(buffer) = stream.dequeue(Queue::Capture)? {
            ensure!(!buffer.error, "a job failed");
            frames += u32::from((begin..end).contains(&clock::now()));
            stream.queue(Queue::Capture, buffer.index)?;
        }
    }
    Ok(frames)
}
