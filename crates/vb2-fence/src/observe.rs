// SPDX-License-Identifier: GPL-2.0-only

//! Runs jobs and writes down what a consumer of the CAPTURE buffer sees. Judges nothing.

pub mod acquire;
pub mod mark;
pub mod probe;
pub mod report;

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use v4l2r::memory::MemoryType;

use crate::observation::{Case, Handle};
use uapi::device::Queue;
use uapi::heap::Heap;
use uapi::poll::{self, Readiness};
use uapi::stream::Stream;
use uapi::sync_file::{self, FenceStatus, SyncInfo};

/// What a dma-buf says of itself at one moment.
#[derive(Debug)]
pub struct Look {
    /// poll(POLLIN).
    pub ready: Readiness,
    /// The fences behind it.
    pub fences: SyncInfo,
    /// The same as a descriptor, to be asked again later.
    pub sync_file: OwnedFd,
}

impl Look {
    /// Asks a dma-buf.
    pub fn at(dmabuf: &OwnedFd) -> Result<Self> {
        let ready = poll::ready_now(dmabuf.as_fd()).context("poll of the dma-buf")?;
        let (sync_file, fences) = sync_file::of(dmabuf)?;
        Ok(Self {
            ready,
            fences,
            sync_file,
        })
    }

    /// Whether one of videobuf2's fences is pending.
    pub fn is_fenced(&self) -> bool {
        let mut ours = self.fences.ours();
        ours.any(|fence| fence.status == FenceStatus::Pending)
    }
}

/// Makes CAPTURE buffers for a case and queues them all; gives the dma-bufs of the `target`, one for
/// each plane, to `before_queueing`, and to the caller.
pub fn capture_buffers(
    stream: &mut Stream,
    case: Case,
    heap: Result<&Heap>,
    count: u32,
    target: u32,
    mut before_queueing: impl FnMut(&Stream, &[OwnedFd]) -> Result<()>,
) -> Result<(Handle, Vec<OwnedFd>)> {
    let (handle, memory, heap) = match case {
        Case::Imported => (Handle::Imported, MemoryType::DmaBuf, Some(heap?)),
        _ => (Handle::ExportedBefore, MemoryType::Mmap, None),
    };
    let mut wanted = None;
    for index in 0..stream.request_buffers(Queue::Capture, memory, count)? {
        let dmabufs = match heap {
            None => stream.export(Queue::Capture, index)?,
            Some(heap) => {
                let planes = stream.planes(Queue::Capture).iter();
                planes
                    .map(|plane| heap.allocate(plane.sizeimage as usize))
                    .collect::<Result<Vec<_>>>()?
            }
        };
        if index == target {
            before_queueing(stream, &dmabufs)?;
        }
        match heap {
            None => stream.queue(Queue::Capture, index)?,
            Some(heap) => {
                let queued = stream.queue_import(Queue::Capture, index, &dmabufs);
                queued.with_context(|| {
                    format!("the driver refuses buffers of {}", heap.path().display())
                })?;
            }
        }
        if index == target {
            wanted = Some(dmabufs);
        }
    }
    Ok((handle, wanted.context("the driver gave too few buffers")?))
}
