// SPDX-License-Identifier: GPL-2.0-only

//! Runs one job and writes down what a consumer of its CAPTURE buffer sees. Judges nothing.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use v4l2r::memory::MemoryType;

use crate::observation::{Case, Dequeued, Handle, Round, View};
use uapi::clock::{self, MS};
use uapi::device::{M2m, Queue};
use uapi::dmabuf;
use uapi::heap::Heap;
use uapi::poll;
use uapi::poll::Readiness;
use uapi::sync_file;
use uapi::sync_file::SyncInfo;

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

/// What was seen through one descriptor while the job ran.
struct MidView {
    handle: Handle,
    dmabuf: OwnedFd,
    ready: Readiness,
    sync_file: OwnedFd,
    fences: SyncInfo,
}

impl MidView {
    fn look(handle: Handle, dmabuf: OwnedFd) -> Result<Self> {
        let ready = poll::ready_now(dmabuf.as_fd()).context("poll of the dma-buf")?;
        let sync_file = dmabuf::export_read_sync_file(&dmabuf).context("EXPORT_SYNC_FILE")?;
        let fences = sync_file::info(&sync_file).context("SYNC_IOC_FILE_INFO")?;
        Ok(Self {
            handle,
            dmabuf,
            ready,
            sync_file,
            fences,
        })
    }
}

impl Observer<'_> {
    /// Runs one job on a node of its own and watches it to its end.
    pub fn round(&self, case: Case) -> Result<Round> {
        let m2m = M2m::open(self.node, self.job_ms)?;
        m2m.request_buffer(Queue::Output, MemoryType::Mmap)?;
        m2m.queue_output()?;
        let (handle, dmabuf) = self.prepare_capture(&m2m, case)?;

        m2m.stream_on(Queue::Output)?;
        let started_ns = clock::now();
        m2m.stream_on(Queue::Capture)?;
        let start_returned_ns = clock::now();

        clock::sleep_until(started_ns + u64::from(self.job_ms / LOOK_FRACTION) * MS);
        let look_began_ns = clock::now();
        let mid_video = poll::ready_now(m2m.as_fd()).context("poll of the video node")?;
        let mut views = vec![MidView::look(handle, dmabuf)?];
        if case == Case::ExportedDuring {
            let second = m2m.export_capture().context("while the job runs")?;
            views.push(MidView::look(Handle::ExportedDuring, second)?);
        }
        let look_ended_ns = clock::now();

        let mut fds: Vec<BorrowedFd<'_>> = vec![m2m.as_fd()];
        for view in &views {
            fds.extend([view.dmabuf.as_fd(), view.sync_file.as_fd()]);
        }
        let give_up = started_ns + u64::from(self.job_ms + PATIENCE_MS) * MS;
        let woken = poll::wait_each(&fds, give_up).context("wait for the end of the job")?;

        let views = views
            .iter()
            .zip(woken[1..].chunks_exact(2))
            .map(|(view, woken)| {
                Ok(View {
                    handle: view.handle,
                    mid_dmabuf: view.ready,
                    mid_fences: view.fences.clone(),
                    end_dmabuf: woken[0],
                    end_sync_file: woken[1],
                    end_fences: sync_file::info(&view.sync_file)
                        .context("SYNC_IOC_FILE_INFO at the end")?,
                })
            })
            .collect::<Result<_>>()?;
        let dequeued = match m2m.dequeue_capture() {
            Ok(false) => Dequeued::Done,
            Ok(true) => Dequeued::Flagged,
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

    /// Makes the CAPTURE buffer and queues it; gives the descriptor that exists before the job.
    fn prepare_capture(&self, m2m: &M2m, case: Case) -> Result<(Handle, OwnedFd)> {
        match case {
            Case::ExportedBefore | Case::ExportedDuring => {
                m2m.request_buffer(Queue::Capture, MemoryType::Mmap)?;
                let dmabuf = m2m.export_capture()?;
                m2m.queue_capture()?;
                Ok((Handle::ExportedBefore, dmabuf))
            }
            Case::Imported => {
                m2m.request_buffer(Queue::Capture, MemoryType::DmaBuf)?;
                let dmabuf = self.heap.allocate(m2m.capture_size() as usize)?;
                m2m.queue_capture_import(dmabuf.as_fd())?;
                Ok((Handle::Imported, dmabuf))
            }
        }
    }
}
