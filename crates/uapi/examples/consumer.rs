// SPDX-License-Identifier: GPL-2.0-only

//! Takes pictures from a capture device, and has the fence of each before the picture:
//!
//!     consumer /dev/videoN [PICTURES]
//!
//! The fence comes from VIDIOC_QBUF if the queue gives it there. Else an event says that the device
//! has begun to write, and the fence comes from VIDIOC_EXPFENCE. With it a program hands the
//! picture on at once, to a display as IN_FENCE_FD, say. This one waits for it, and dequeues then.
//! `samples/release_fence/consumer.c` is the same in C.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::{env, io, process};

use anyhow::{ensure, Context, Result};
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use uapi::explicit::QbufFences;
use uapi::queues::Queue::Capture;
use uapi::stream::Stream;
use uapi::sync_file::{self, FenceStatus};
use v4l2r::memory::MemoryType;

const USAGE: &str = "usage: consumer /dev/videoN [PICTURES]";

/// No release fence takes more than 10 s.
const TIMEOUT: Timespec = Timespec {
    tv_sec: 11,
    tv_nsec: 0,
};

fn wait_for(fd: impl AsFd, events: PollFlags, what: &str) -> Result<()> {
    let mut fds = [PollFd::new(&fd, events)];
    poll(&mut fds, Some(&TIMEOUT)).context("poll")?;
    ensure!(
        fds[0].revents() == events,
        "no {what} in 11 s: does the device get pictures?"
    );
    Ok(())
}

fn state(fence: &OwnedFd) -> Result<String> {
    Ok(match sync_file::info(fence)?.status {
        FenceStatus::Pending => "pending".into(),
        FenceStatus::Signalled => "signalled".into(),
        FenceStatus::Failed(errno) => io::Error::from_raw_os_error(errno as i32).to_string(),
    })
}

fn run() -> Result<()> {
    let mut args = env::args().skip(1);
    let path = args.next().context(USAGE)?;
    let pictures: u32 = args.next().map_or(Ok(10), |n| n.parse()).context(USAGE)?;

    // No call blocks: a buffer whose fence is signalled can be dequeued.
    let mut video = Stream::open(Path::new(&path))?;
    let count = video.request_buffers(Capture, MemoryType::Mmap, 4)?;
    let from_qbuf = video.fences(Capture).out_fences;
    if !from_qbuf {
        video.subscribe_starts(Capture)?;
    }
    // Before the buffers: a queue that has not started gives no out-fences.
    video.stream_on(Capture)?;
    let with = QbufFences {
        wait: None,
        out: from_qbuf,
    };
    let queue = |index| video.queue_fenced(Capture, index, with);
    let mut fences = (0..count).map(queue).collect::<Result<Vec<_>>>()?;

    let mut in_turn = (0..count).cycle();
    for _ in 0..pictures {
        let index = if from_qbuf {
            in_turn.next().context("REQBUFS gave no buffers")?
        } else {
            wait_for(&video, PollFlags::PRI, "event")?;
            let index = video.next_start()?.context("no event")?.index;
            let job = video.export_fence(Capture, index)?;
            fences[index as usize] = job.map(|job| job.fence);
            index
        };
        let fence = fences[index as usize].as_ref().context("no fence")?;
        let (source, before) = (if from_qbuf { "QBUF" } else { "EXPFENCE" }, state(fence)?);
        wait_for(fence, PollFlags::IN, "end of a fence")?;
        let after = state(fence)?;
        let picture = video.take(Capture)?;
        let sequence = picture.sequence;
        println!("buffer {index}, {source}: fence {before}, then {after}; picture {sequence}");
        // The fence of the buffer that came back is closed.
        fences[picture.index as usize] = queue(picture.index)?;
    }
    Ok(())
}

fn main() {
    if let Err(err) = run() {
        eprintln!("consumer: {err:#}");
        process::exit(1);
    }
}
