// SPDX-License-Identifier: GPL-2.0-only

//! What the report saw of a job: one look while it ran, and its end.

use serde::Serialize;

use crate::observation::{Dequeued, Handle};
use uapi::clock::{Ns, MS};
use uapi::poll::{Readiness, Woken};
use uapi::sync_file::SyncInfo;

/// What was seen through one descriptor of the buffer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// Which descriptor.
    pub handle: Handle,
    /// While the job ran: poll on the dma-buf.
    pub mid_dmabuf: Readiness,
    /// While the job ran: the fences behind the dma-buf.
    pub mid_fences: SyncInfo,
    /// When the dma-buf became ready, if it did.
    pub end_dmabuf: Option<Woken>,
    /// When the sync_file taken while the job ran became ready, if it did.
    pub end_sync_file: Option<Woken>,
    /// The fences of that same sync_file at the end.
    pub end_fences: SyncInfo,
}

/// One job, watched from its start to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Round {
    /// Just before the ioctl that started the job: the job cannot have begun earlier.
    pub started_ns: Ns,
    /// When that ioctl returned: the job cannot have begun later.
    pub start_returned_ns: Ns,
    /// When the look while the job runs began.
    pub look_began_ns: Ns,
    /// When it was complete.
    pub look_ended_ns: Ns,
    /// poll on the video node during that look.
    pub mid_video: Readiness,
    /// When the video node became ready, if it did.
    pub end_video: Option<Woken>,
    /// The buffer's dma-buf, through each descriptor that the case has.
    pub views: Vec<View>,
    /// The CAPTURE buffer, after everything else.
    pub dequeued: Dequeued,
}

/// How much too short a job may come out. The kernel counts its time in ticks, from the last tick
/// that it has handled; on a virtual machine whose processor was held up that is some ticks ago. A busy
/// machine was seen to be 50 ms behind.
pub const TICK_STALL_MS: u64 = 80;

impl Round {
    /// The end of a job that takes `job_ms`, as early as it can have been: that time after the
    /// start or, if the device was ready a little earlier, that moment.
    pub fn job_end_ns(&self, job_ms: u32) -> Ns {
        let planned = self.started_ns + u64::from(job_ms) * MS;
        let seen = self.end_video.map_or(planned, |woken| woken.at_ns);
        seen.clamp(planned - TICK_STALL_MS * MS, planned)
    }

    /// Whether the look was complete only when the job may have been over: it shows nothing then.
    pub fn looked_too_late(&self, job_ms: u32) -> bool {
        let planned = self.started_ns + u64::from(job_ms) * MS;
        self.look_ended_ns + TICK_STALL_MS * MS >= planned
    }
}

/// A round, or why it could not be seen to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoundResult {
    /// It ran.
    Seen(Box<Round>),
    /// A system call of the round failed.
    Failed(String),
}
