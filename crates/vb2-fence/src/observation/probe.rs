// SPDX-License-Identifier: GPL-2.0-only

//! What a probe saw of a job: all looks while it ran, and its end.

use serde::Serialize;

use crate::observation::{Dequeued, Handle};
use uapi::clock::Ns;
use uapi::poll::{Readiness, Woken};
use uapi::sync_file::{FenceStatus, SyncInfo};

/// What was seen through one descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// Where it comes from.
    pub handle: Handle,
    /// Which plane of the buffer.
    pub plane: usize,
    /// Looks during the job that found the dma-buf ready, before any fence.
    pub unfenced: u32,
    /// Looks that found a pending fence.
    pub pending: u32,
    /// Looks that found the fence over, or the dma-buf ready in spite of it.
    pub over: u32,
    /// When the fence was seen first.
    pub first_pending_ns: Option<Ns>,
    /// When it was found over first, while the video node was not ready.
    pub first_over_ns: Option<Ns>,
    /// When a look without a fence ended that was the last one.
    pub last_unfenced_ns: Option<Ns>,
    /// The fence's timeline.
    pub timeline: Option<String>,
    /// When the dma-buf became ready after all.
    pub end_dmabuf: Option<Woken>,
    /// The fence that was kept since the middle of the job, at the end.
    pub kept: Option<FenceStatus>,
}

impl View {
    /// Nothing seen yet.
    pub fn new(handle: Handle, plane: usize) -> Self {
        Self {
            handle,
            plane,
            unfenced: 0,
            pending: 0,
            over: 0,
            first_pending_ns: None,
            first_over_ns: None,
            last_unfenced_ns: None,
            timeline: None,
            end_dmabuf: None,
            kept: None,
        }
    }

    /// Takes a look in that was complete before the job's end, or found a pending fence: poll first,
    /// fences then.
    pub fn add(&mut self, at_ns: Ns, dmabuf: Readiness, fences: &SyncInfo) {
        let ours = fences
            .ours()
            .find(|fence| fence.status == FenceStatus::Pending);
        match ours {
            // The poll may have come just before the fence, but only before the first one.
            Some(_) if dmabuf == Readiness::Ready && self.pending > 0 => self.add_over(at_ns),
            Some(fence) => {
                self.pending += 1;
                self.first_pending_ns.get_or_insert(at_ns);
                self.timeline.get_or_insert_with(|| fence.timeline.clone());
            }
            None if self.pending > 0 => self.add_over(at_ns),
            None => {
                self.unfenced += 1;
                self.last_unfenced_ns = Some(at_ns);
            }
        }
    }

    fn add_over(&mut self, at_ns: Ns) {
        self.over += 1;
        self.first_over_ns.get_or_insert(at_ns);
    }

    /// How often it was asked.
    pub fn looks(&self) -> u32 {
        self.unfenced + self.pending + self.over
    }

    /// In messages.
    pub fn name(&self) -> String {
        let handle = match self.handle {
            Handle::ExportedBefore => "export",
            Handle::ExportedDuring => "second export",
            Handle::Imported => "imported dma-buf",
        };
        match self.plane {
            0 => handle.into(),
            plane => format!("{handle}, plane {plane}"),
        }
    }
}

/// What tells that the device writes the buffer at a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Writes {
    /// It begins with the call that starts the job, and ends when the video node is ready.
    SinceStart,
    /// A device that captures takes a buffer when it likes. Of the looks while the buffer's memory
    /// was being changed, so many found no fence.
    Unfenced(u32),
}

/// One job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Just before the call that started it.
    pub started_ns: Ns,
    /// What tells that it runs.
    pub writes: Writes,
    /// When that call returned, if it did so before the job's end: some drivers run the job in it.
    pub start_returned_ns: Option<Ns>,
    /// When the video node was ready; `None` if it never was.
    pub ended_ns: Option<Ns>,
    /// How long poll() of the node took at most, which is asked not to wait.
    pub longest_poll_ns: Ns,
    /// The buffer, through each descriptor.
    pub views: Vec<View>,
    /// How the buffer came back.
    pub dequeued: Dequeued,
}
