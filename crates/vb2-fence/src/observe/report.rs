// SPDX-License-Identifier: GPL-2.0-only

//! One job of the report: looks once while it runs, and at its end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use v4l2r::memory::MemoryType;
use v4l2r::PixelFormat;

use crate::observation::report::{Round, View};
use crate::observation::{Case, Dequeued, Handle};
use crate::observe::{capture_buffers, Look};
use uapi::clock::{self, MS};
use uapi::device::Queue;
use uapi::heap::Heap;
use uapi::poll;
use uapi::stream::{Stream, Wanted};
use uapi::sync_file;

/// A small picture, so that vim2m's copying, which is part of starting a job, takes no time, in the
/// format that vim2m takes on both sides.
const PICTURE: Wanted = Wanted {
    fourcc: PixelFormat::from_fourcc(b"RGBP"),
    size: (160, 120),
    bytes: 0,
};

/// Which part of the job has passed when the consumer looks: one in so many.
pub const LOOK_FRACTION: u32 = 4;

/// How long after its time a job may end before the wait is given up.
const PATIENCE_MS: u32 = 5_000;

/// What the rounds have in common.
#[derive(Debug)]
pub struct Observer<'a> {
    /// The memory-to-memory node.
    pub node: &'a Path,
    /// Where imported buffers come from.
    pub heap: &'a Heap,
    /// How long a job takes.
    pub job_ms: u32,
}

/// One descriptor, and what was seen through it while the job ran.
struct MidView {
    handle: Handle,
    dmabuf: OwnedFd,
    look: Look,
}

impl MidView {
    fn of_planes(handle: Handle, dmabufs: Vec<OwnedFd>) -> Result<Vec<Self>> {
        let views = dmabufs.into_iter().map(|dmabuf| {
            let look = Look::at(&dmabuf)?;
            Ok(Self {
                handle,
                dmabuf,
                look,
            })
        });
        views.collect()
    }
}

impl Observer<'_> {
    /// Runs one job on a node of its own and watches it to its end.
    pub fn round(&self, case: Case) -> Result<Round> {
        let mut stream = open(self.node, self.job_ms)?;
        stream.request_buffers(Queue::Output, MemoryType::Mmap, 1)?;
        stream.queue(Queue::Output, 0)?;
        let (handle, dmabufs) =
            capture_buffers(&mut stream, case, Ok(self.heap), 1, 0, |_, _| Ok(()))?;

        stream.stream_on(Queue::Output)?;
        let started_ns = clock::now();
        stream.stream_on(Queue::Capture)?;
        let start_returned_ns = clock::now();

        clock::sleep_until(started_ns + u64::from(self.job_ms / LOOK_FRACTION) * MS);
        let look_began_ns = clock::now();
        let mid_video = poll::ready_now(stream.as_fd()).context("poll of the video node")?;
        let mut views = MidView::of_planes(handle, dmabufs)?;
        if case == Case::ExportedDuring {
            let second = stream.export(Queue::Capture, 0);
            let second = second.context("while the job runs")?;
            views.extend(MidView::of_planes(Handle::ExportedDuring, second)?);
        }
        let look_ended_ns = clock::now();

        let mut fds: Vec<BorrowedFd<'_>> = vec![stream.as_fd()];
        for view in &views {
            fds.extend([view.dmabuf.as_fd(), view.look.sync_file.as_fd()]);
        }
        let give_up = started_ns + u64::from(self.job_ms + PATIENCE_MS) * MS;
        let woken = poll::wait_each(&fds, give_up).context("wait for the end of the job")?;

        let views = views
            .iter()
            .zip(woken[1..].chunks_exact(2))
            .map(|(view, woken)| {
                Ok(View {
                    handle: view.handle,
                    mid_dmabuf: view.look.ready,
                    mid_fences: view.look.fences.clone(),
                    end_dmabuf: woken[0],
                    end_sync_file: woken[1],
                    end_fences: sync_file::info(&view.look.sync_file).context("at the end")?,
                })
            })
            .collect::<Result<_>>()?;
        let dequeued = match stream.take(Queue::Capture) {
            Ok(buffer) if buffer.error => Dequeued::Flagged,
            Ok(_) => Dequeued::Done,
            Err(err) => Dequeued::Failed(format!("{err:#}")),
        };
        Ok(Round {
            started_ns,
            start_returned_ns,
            look_began_ns,
            look_ended_ns,
            mid_video,
            end_video: woken[0],
            views,
            dequeued,
        })
    }
}

/// Opens the node and prepares jobs that take `job_ms`.
pub fn open(node: &Path, job_ms: u32) -> Result<Stream> {
    let mut stream = Stream::open(node)?;
    let set = stream.set_job_ms(job_ms);
    set.with_context(|| node.display().to_string())?;
    for queue in [Queue::Output, Queue::Capture] {
        stream.set_format(queue, &PICTURE)?;
    }
    Ok(stream)
}
