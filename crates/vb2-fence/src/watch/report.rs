// SPDX-License-Identifier: GPL-2.0-only

//! What a watch writes.

use std::path::PathBuf;

use serde::Serialize;

use super::stats::QueueReport;

/// What an interval or the end shows; its JSON has the same fields. All numbers are from the start.
#[derive(Debug, Serialize)]
pub struct Report {
    /// That of all documents.
    pub schema_version: u32,
    /// "interval" or "summary".
    pub kind: &'static str,
    /// The node.
    pub device: PathBuf,
    /// Since the start.
    pub seconds: f64,
    /// The kernel tells what buffers wait for; without that, no queue waits for anything here.
    pub acquire_events: bool,
    /// The queues of the device.
    pub queues: Vec<QueueReport>,
    /// Fences of queues that are not known to belong to a node.
    pub unknown: u64,
    /// Events that were dropped.
    pub lost_events: u64,
}
