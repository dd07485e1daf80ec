// SPDX-License-Identifier: GPL-2.0-only

//! What an input says: a short program for a few threads.
//!
//! All choices are small numbers that are taken modulo the length of a table, so that each input is a
//! program, and most values make sense.

use arbitrary::{Arbitrary, Result, Unstructured};

/// At most so many calls; a set-up or a job is one, and makes several.
pub const MAX_STEPS: usize = 48;

/// A program.
#[derive(Clone, Debug)]
pub struct Program {
    /// How many threads.
    pub threads: u8,
    /// There are fences, dma-bufs and timelines from the start.
    pub shares: bool,
    /// There are framebuffers from the start.
    pub shows: bool,
    /// Done first, one after the other: what makes jobs run.
    pub setups: Vec<SetUp>,
    /// What the threads do.
    pub steps: Vec<Step>,
}

/// A call, and the thread that makes it.
#[derive(Clone, Debug)]
pub struct Step {
    /// The thread.
    pub thread: u8,
    /// The call.
    pub call: Call,
}

/// An entry of a table that grows and shrinks.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Slot(u8);

/// What a slot stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// An entry.
    At(usize),
    /// None, or one of another table.
    Odd(usize),
}

impl Slot {
    /// The oldest entry.
    pub const FIRST: Self = Self(0);

    /// The entry, of so many.
    pub fn place(self, len: usize) -> Place {
        match usize::from(self.0) {
            number if number >= 248 || len == 0 => Place::Odd(number),
            number => Place::At(number % len),
        }
    }
}

/// A value: mostly a valid one.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Value(u8);

impl Value {
    /// The first of the valid ones.
    pub const FIRST: Self = Self(0);

    /// One of the valid, or now and then of the broken ones.
    pub fn pick<T: Copy>(self, valid: &[T], broken: &[T]) -> T {
        let number = usize::from(self.0);
        if number < 224 || broken.is_empty() {
            valid[number % valid.len()]
        } else {
            broken[number % broken.len()]
        }
    }
}

/// One of the two queues.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What the device reads.
    Output,
    /// What it writes.
    Capture,
}

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
    Timeout { ms: Value },
    Switch { node: Slot, on: bool },
}

impl<'a> Arbitrary<'a> for Call {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match u.int_in_range(0..=31)? {
            // The loop of every player, without which nothing goes on.
            0..=4 => Self::Video(VideoCall::Job {
                video: u.arbitrary()?,
            }),
            5..=8 => Self::Video(VideoCall::Reap {
                video: u.arbitrary()?,
            }),
            9..=17 => Self::Video(u.arbitrary()?),
            18..=26 => Self::Share(u.arbitrary()?),
            27..=30 => Self::Display(u.arbitrary()?),
            _ => Self::Knob(u.arbitrary()?),
        })
    }
}

impl<'a> Arbitrary<'a> for Program {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let threads = u.int_in_range(2..=3)?;
        let shares = u.ratio(3, 4)?;
        let shows = u.ratio(1, 2)?;
        let count = if u.ratio(15, 16)? {
            u.int_in_range(1..=2)?
        } else {
            0
        };
        let setups = (0..count).map(|_| u.arbitrary()).collect::<Result<_>>()?;
        let mut steps = Vec::new();
        while steps.len() < MAX_STEPS && !u.is_empty() {
            let thread = u.int_in_range(0..=threads - 1)?;
            let call = u.arbitrary()?;
            steps.push(Step { thread, call });
        }
        Ok(Self {
            threads,
            shares,
            shows,
            setups,
            steps,
        })
    }
}

impl Program {
    /// What some bytes say; anything says something.
    pub fn parse(bytes: &[u8]) -> Self {
        Unstructured::new(bytes).arbitrary().unwrap_or(Self {
            threads: 2,
            shares: false,
            shows: false,
            setups: Vec::new(),
            steps: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maker::Maker;

    #[test]
    fn everything_is_a_program() {
        assert!(Program::parse(&[]).steps.is_empty());
        let mut room = [0; 512];
        let mut steps = 0;
        let mut jobs = 0;
        let mut maker = Maker::new(7);
        for _ in 0..200 {
            let len = maker.make(&mut room);
            let program = Program::parse(&room[..len]);
            assert!((2..=3).contains(&program.threads));
            assert!(program
                .steps
                .iter()
                .all(|step| step.thread < program.threads));
            steps += program.steps.len();
            jobs += program.setups.len();
        }
        assert!(steps > 200 * 20, "{steps} steps");
        assert!(jobs > 200, "{jobs} set-ups");
    }

    #[test]
    fn slots_and_values() {
        assert_eq!(Slot(7).place(4), Place::At(3));
        assert_eq!(Slot(250).place(4), Place::Odd(250));
        assert_eq!(Slot(0).place(0), Place::Odd(0));
        assert_eq!(Value(3).pick(&[1, 2], &[9]), 2);
        assert_eq!(Value(255).pick(&[1, 2], &[9]), 9);
        assert_eq!(Value(255).pick(&[1, 2], &[]), 2);
    }
}
