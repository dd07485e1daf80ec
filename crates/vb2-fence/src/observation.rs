// SPDX-License-Identifier: GPL-2.0-only

//! What was seen, as plain data: made by the module observe, judged by the module judge, and
//! written out as JSON. All times are CLOCK_MONOTONIC in nanoseconds.

pub mod acquire;
pub mod probe;
pub mod report;

use serde::Serialize;

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
