// SPDX-License-Identifier: GPL-2.0-only

//! Which calls there are, and what is chosen in each.

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::grammar::{Side, Slot, Value};

/// A context with both queues streaming and jobs in it.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct SetUp {
    /// On which device.
    pub node: Slot,
    /// The formats.
    pub formats: [Value; 2],
    /// The size of the pictures.
    pub size: Value,
    /// The kinds of memory.
    pub memory: [Value; 2],
    /// How many buffers.
    pub count: [Value; 2],
    /// By CREATE_BUFS.
    pub create: bool,
    /// Which side streams first.
    pub first: Side,
    /// How many jobs.
    pub jobs: Value,
    /// Whether buffers are exported before.
    pub export: bool,
    /// Whether it wants to hear of jobs that start.
    pub events: bool,
}

/// A call.
#[derive(Clone, Debug)]
pub enum Call {
    /// Of a video node, or a request.
    Video(VideoCall),
    /// Of what is shared.
    Share(ShareCall),
    /// Of vkms.
    Display(DisplayCall),
    /// What an administrator does.
    Knob(KnobCall),
}

/// Calls of video nodes, and of requests.
#[allow(missing_docs)]
#[derive(Arbitrary, Clone, Debug)]
pub enum VideoCall {
    Open {
        node: Slot,
    },
    Close {
        video: Slot,
    },
    SetUp(SetUp),
    Job {
        video: Slot,
        fences: Fences,
    },
    Reap {
        video: Slot,
    },
    SetFormat {
        video: Slot,
        side: Side,
        format: Value,
        size: Value,
        only_try: bool,
    },
    RequestBuffers {
        video: Slot,
        side: Side,
        memory: Value,
        count: Value,
    },
    CreateBuffers {
        video: Slot,
        side: Side,
        memory: Value,
        count: Value,
    },
    RemoveBuffers {
        video: Slot,
        side: Side,
        index: Value,
        count: Value,
    },
    Queue {
        video: Slot,
        side: Side,
        how: How,
    },
    Prepare {
        video: Slot,
        side: Side,
        how: How,
    },
    Dequeue {
        video: Slot,
        side: Side,
        memory: Value,
    },
    QueryBuffer {
        video: Slot,
        side: Side,
        index: Value,
    },
    Stream {
        video: Slot,
        side: Side,
        on: bool,
    },
    Export {
        video: Slot,
        side: Side,
        index: Value,
        plane: Value,
        flags: Value,
    },
    Map {
        video: Slot,
        side: Side,
        index: Value,
    },
    ExportFence {
        video: Slot,
        side: Side,
        kind: Value,
        index: Value,
        flags: Value,
        room: Value,
    },
    Subscribe {
        video: Slot,
        side: Side,
        kind: Value,
        event: Value,
        flags: Value,
        on: bool,
    },
    Event {
        video: Slot,
    },
    Controls {
        video: Slot,
        request: Slot,
        current: bool,
        preset: Value,
    },
    Decoder {
        video: Slot,
        command: Value,
    },
    Poll {
        video: Slot,
        events: Value,
        ms: Value,
    },
    AllocateRequest {
        video: Slot,
    },
    QueueRequest {
        request: Slot,
    },
    ReinitRequest {
        request: Slot,
    },
    PollRequest {
        request: Slot,
        ms: Value,
    },
    CloseRequest {
        request: Slot,
    },
}

/// What QBUF and PREPARE_BUF say of a buffer.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct How {
    /// Which buffer of the queue.
    pub index: Value,
    /// The kind of its memory; mostly that of the queue.
    pub memory: Value,
    /// The dma-buf to import.
    pub buffer: Slot,
    /// The request to be part of, where it is `Some`.
    pub request: Option<Slot>,
    /// V4L2_BUF_FLAG_.
    pub flags: Value,
    /// How many bytes are in use.
    pub used: Value,
    /// The fences.
    pub fences: Fences,
}

/// What QBUF and PREPARE_BUF say of fences.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Fences {
    /// V4L2_BUF_FLAG_IN_FENCE and _OUT_FENCE; mostly neither of them.
    pub flags: Value,
    /// The in-fence.
    pub fence: Slot,
    /// Whether it is that, and not something that is no descriptor of a sync_file.
    pub fd: Value,
}

/// Calls of dma-bufs, sync_files, sw_sync and vgem.
#[allow(missing_docs)]
#[derive(Arbitrary, Clone, Debug)]
pub enum ShareCall {
    Heap {
        size: Value,
    },
    CloseBuffer {
        buffer: Slot,
    },
    Duplicate {
        buffer: Slot,
    },
    Sync {
        buffer: Slot,
        flags: Value,
    },
    ExportFence {
        buffer: Slot,
        access: Value,
    },
    ImportFence {
        buffer: Slot,
        fence: Slot,
        access: Value,
    },
    PollBuffer {
        buffer: Slot,
        events: Value,
        ms: Value,
    },
    NameBuffer {
        buffer: Slot,
    },
    MapBuffer {
        buffer: Slot,
    },
    SeekBuffer {
        buffer: Slot,
    },
    Unmap {
        map: Slot,
    },
    Merge {
        one: Slot,
        two: Slot,
    },
    FenceInfo {
        fence: Slot,
        room: Value,
    },
    FenceDeadline {
        fence: Slot,
        at: Value,
    },
    PollFence {
        fence: Slot,
        ms: Value,
    },
    CloseFence {
        fence: Slot,
    },
    Timeline,
    CreateFence {
        timeline: Slot,
        value: Value,
    },
    Advance {
        timeline: Slot,
        value: Value,
    },
    CloseTimeline {
        timeline: Slot,
    },
    VgemCreate {
        size: Value,
    },
    VgemExport {
        handle: Slot,
    },
    VgemImport {
        buffer: Slot,
    },
    VgemAttach {
        handle: Slot,
        write: bool,
    },
    VgemSignal {
        fence: Value,
    },
}

/// Calls of vkms.
#[allow(missing_docs)]
#[derive(Arbitrary, Clone, Debug)]
pub enum DisplayCall {
    Dumb {
        size: Value,
    },
    Import {
        buffer: Slot,
    },
    Export {
        handle: Slot,
    },
    AddFramebuffer {
        handle: Slot,
        format: Value,
    },
    CloseFramebuffer {
        framebuffer: Slot,
    },
    Flip {
        framebuffer: Slot,
        flags: Value,
    },
    Commit {
        framebuffer: Slot,
        flags: Value,
        fence: Option<Slot>,
        out_fence: bool,
    },
    SetPlane {
        framebuffer: Slot,
    },
    CloseHandle {
        handle: Slot,
    },
    ReadEvents,
}

/// What an administrator does meanwhile.
#[allow(missing_docs)]
#[derive(Arbitrary, Clone, Debug)]
pub enum KnobCall {
    Fault { vpu: bool, fault: Value },
    JobTime { vpu: bool, time: Value },
    Timeout { acquire: bool, ms: Value },
    Switch { node: Slot, acquire: bool, on: bool },
}

impl<'a> Arbitrary<'a> for Call {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match u.int_in_range(0..=31)? {
            // The loop of every player, without which nothing goes on.
            0..=4 => Self::Video(VideoCall::Job {
                video: u.arbitrary()?,
                fences: u.arbitrary()?,
            }),
            5..=7 => Self::Video(VideoCall::Reap {
                video: u.arbitrary()?,
            }),
            8 => Self::Video(VideoCall::Event {
                video: u.arbitrary()?,
            }),
            9..=17 => Self::Video(u.arbitrary()?),
            18..=26 => Self::Share(u.arbitrary()?),
            27..=30 => Self::Display(u.arbitrary()?),
            _ => Self::Knob(u.arbitrary()?),
        })
    }
}
