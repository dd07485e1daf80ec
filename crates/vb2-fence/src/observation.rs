// SPDX-License-Identifier: GPL-2.0-only

//! What was seen, as plain data: made by the module observe, judged by the module judge, and
//! written out as JSON. All times are CLOCK_MONOTONIC in nanoseconds.

use serde::Serialize;

use uapi::clock::{Ns, MS};
use uapi::poll::{Readiness, Woken};
use uapi::sync_file::SyncInfo;

/// How a consumer got its dma-buf of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Handle {
    /// VIDIOC_EXPBUF before the job.
    ExportedBefore,
    /// VIDIOC_EXPBUF while the job ran.
    ExportedDuring,
    /// Not from V4L2: the dma-buf that was imported.
    Imported,
}

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

/// How the buffer came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dequeued {
    /// Without an error.
    Done,
    /// With V4L2_BUF_FLAG_ERROR.
    Flagged,
    /// It did not: VIDIOC_DQBUF failed.
    Failed(String),
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

/// The situations that are observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Case {
    /// A CAPTURE buffer of the driver, exported before the job.
    ExportedBefore,
    /// The same with a second export made while the job runs.
    ExportedDuring,
    /// A CAPTURE buffer from the system dma-heap, imported.
    Imported,
}

impl Case {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 3] = [Self::ExportedBefore, Self::ExportedDuring, Self::Imported];

    /// The heading in the text.
    pub fn title(self) -> &'static str {
        match self {
            Self::ExportedBefore => "MMAP buffer, EXPBUF before the job",
            Self::ExportedDuring => "MMAP buffer, a second EXPBUF while the job runs",
            Self::Imported => "buffer imported from the system dma-heap",
        }
    }
}
