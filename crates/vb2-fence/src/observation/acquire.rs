// SPDX-License-Identifier: GPL-2.0-only

//! What a probe saw of a job whose buffer another user had when it was queued.

use serde::Serialize;

use crate::observation::Dequeued;
use uapi::clock::Ns;
use uapi::device::Queue;
use uapi::dmabuf::Access;

/// One job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Held {
    /// Whose buffer had the fence.
    pub queue: Queue,
    /// What the other user does with the buffer.
    pub access: Access,
    /// Before the buffer was queued.
    pub began_ns: Ns,
    /// When all calls had returned that queue the buffers and start the job; `None` if they had not
    /// when the fence was signalled.
    pub returned_ns: Option<Ns>,
    /// Just before the fence was signalled.
    pub signalled_ns: Ns,
    /// When the CAPTURE buffer of the job was done; `None` if it never was.
    pub ended_ns: Option<Ns>,
    /// How it came back.
    pub dequeued: Dequeued,
}
