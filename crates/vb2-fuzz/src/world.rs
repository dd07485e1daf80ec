// SPDX-License-Identifier: GPL-2.0-only

//! The descriptors of one input, by kind, and the threads that use them.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Result;
use uapi::kms::Display;

use crate::count::{lock, Counts, Part};
use crate::found::{Everything, Node};
use crate::grammar::{Place, Side, Slot};
use crate::sys::{self, Answer, Map};

/// How many entries a table has at most; the oldest one goes then.
const ROOM: usize = 12;

/// Descriptors, or whatever has a number, of one kind.
#[derive(Debug)]
pub struct Table<T>(Mutex<Vec<T>>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<T> Table<T> {
    /// Adds an entry; gives back the one that has no room any more.
    #[must_use]
    pub fn add(&self, entry: T) -> Option<T> {
        let mut entries = lock(&self.0);
        entries.push(entry);
        (entries.len() > ROOM).then(|| entries.remove(0))
    }

    /// Takes an entry out, so that one thread can end it.
    pub fn take(&self, slot: Slot) -> Option<T> {
        let mut entries = lock(&self.0);
        match slot.place(entries.len()) {
            Place::At(index) => Some(entries.remove(index)),
            Place::Odd(_) => None,
        }
    }

    /// Takes the newest one out.
    pub fn pop(&self) -> Option<T> {
        lock(&self.0).pop()
    }
}

impl<T: Clone> Table<T> {
    /// An entry, or what is odd instead.
    pub fn get(&self, slot: Slot) -> Result<T, usize> {
        let entries = lock(&self.0);
        match slot.place(entries.len()) {
            Place::At(index) => Ok(entries[index].clone()),
            Place::Odd(number) => Err(number),
        }
    }

    /// All entries.
    pub fn all(&self) -> Vec<T> {
        lock(&self.0).clone()
    }
}

/// One queue of an open video node, as far as its user remembers.
#[derive(Debug, Default)]
pub struct Queue {
    /// V4L2_MEMORY_.
    pub memory: AtomicU32,
    /// How many buffers.
    pub count: AtomicU32,
    /// Which one is the next.
    pub next: AtomicU32,
    /// How large they are.
    pub size: AtomicU32,
    /// Which format they have.
    pub format: AtomicU32,
    /// It streams.
    pub streaming: AtomicBool,
    /// What is imported.
    pub imports: Mutex<Vec<RawFd>>,
}

/// An open video node.
#[derive(Debug)]
pub struct Video {
    /// Its descriptor.
    pub fd: RawFd,
    /// What it is a node of.
    pub node: &'static Node,
    /// Its queues.
    pub queues: [Queue; 2],
}

impl Video {
    /// One of the queues.
    pub fn queue(&self, side: Side) -> &Queue {
        &self.queues[side as usize]
    }

    /// Its V4L2 type.
    pub fn kind(&self, side: Side) -> u32 {
        self.node.types[side as usize]
    }

    /// What makes the same answer of the same call another one.
    pub fn state(&self) -> u32 {
        let mut state = self.node.driver.len() as u32;
        for queue in &self.queues {
            let has_buffers = u32::from(queue.count.load(Ordering::Relaxed) > 0);
            let streaming = u32::from(queue.streaming.load(Ordering::Relaxed));
            let memory = queue.memory.load(Ordering::Relaxed) & 7;
            state = state << 5 | memory << 2 | has_buffers << 1 | streaming;
        }
        state
    }
}

/// Everything that an input has open.
#[derive(Debug)]
pub struct World<'a> {
    /// What there is.
    pub found: &'static Everything,
    /// The display's numbers.
    pub screen: &'a ScreenNumbers,
    /// The counts of all calls.
    pub counts: &'a Counts,
    /// Nothing is to be begun any more.
    pub ending: AtomicBool,
    /// Video nodes.
    pub videos: Table<Arc<Video>>,
    /// Requests.
    pub requests: Table<RawFd>,
    /// dma-bufs.
    pub buffers: Table<RawFd>,
    /// sync_files.
    pub fences: Table<RawFd>,
    /// Timelines of sw_sync.
    pub timelines: Table<RawFd>,
    /// Mappings.
    pub maps: Table<Map>,
    /// GEM handles of vkms.
    pub handles: Table<u32>,
    /// GEM handles of vgem, which go with its file.
    pub vgem_handles: Table<u32>,
    /// The display may show something of this input.
    pub shown: AtomicBool,
    /// Framebuffers.
    pub framebuffers: Table<u32>,
    /// vgem, opened when it is needed.
    pub vgem: Mutex<Option<RawFd>>,
    /// The first answer that was wrong.
    pub wrong: Mutex<Option<String>>,
}

/// What a commit needs to know of the display, for all threads.
#[derive(Clone, Debug)]
pub struct ScreenNumbers {
    /// The descriptor.
    pub fd: RawFd,
    /// The CRTC.
    pub crtc: u32,
    /// The plane.
    pub plane: u32,
    /// FB_ID and IN_FENCE_FD.
    pub plane_properties: [u32; 2],
    /// OUT_FENCE_PTR.
    pub out_fence: u32,
    /// What is shown between inputs.
    pub base: u32,
}

impl ScreenNumbers {
    /// Asks a display for them.
    pub fn of(display: &Display) -> Result<Self> {
        Ok(Self {
            fd: display.as_fd().as_raw_fd(),
            crtc: display.crtc(),
            plane: display.plane(),
            plane_properties: [
                display.plane_property("FB_ID")?,
                display.plane_property("IN_FENCE_FD")?,
            ],
            out_fence: display.crtc_property("OUT_FENCE_PTR")?,
            base: display.base(),
        })
    }
}

impl<'a> World<'a> {
    /// Nothing is open.
    pub fn new(found: &'static Everything, screen: &'a ScreenNumbers, counts: &'a Counts) -> Self {
        Self {
            found,
            screen,
            counts,
            ending: AtomicBool::new(false),
            videos: Table::default(),
            requests: Table::default(),
            buffers: Table::default(),
            fences: Table::default(),
            timelines: Table::default(),
            maps: Table::default(),
            handles: Table::default(),
            vgem_handles: Table::default(),
            shown: AtomicBool::new(false),
            framebuffers: Table::default(),
            vgem: Mutex::new(None),
            wrong: Mutex::new(None),
        }
    }

    /// A descriptor of that table, or an odd one: of another table, or none.
    pub fn fd(&self, table: &Table<RawFd>, slot: Slot) -> RawFd {
        table.get(slot).unwrap_or_else(|number| {
            let others = [&self.buffers, &self.fences, &self.requests, &self.timelines];
            let entries = others[number % others.len()].all();
            entries.first().copied().unwrap_or(-1)
        })
    }
}

/// One of the threads.
#[derive(Clone, Copy, Debug)]
pub struct Actor<'a> {
    /// What it works on.
    pub world: &'a World<'a>,
    /// Which one; 0 is the one that begins and ends.
    pub number: usize,
    /// What its calls are a part of.
    pub part: Part,
}

impl Actor<'_> {
    /// Makes a call.
    pub fn call<T>(
        &self,
        name: &'static str,
        state: u32,
        call: impl FnOnce() -> Answer<T>,
    ) -> Answer<T> {
        if self.number != 0 && self.world.ending.load(Ordering::Relaxed) {
            return Err(libc::ECANCELED);
        }
        let (thread, part) = (self.number, self.part);
        self.world.counts.call(thread, part, name, state, call)
    }

    /// Adds a descriptor, and closes the one that has no room any more.
    pub fn keep(&self, table: &Table<RawFd>, fd: RawFd) {
        if let Some(old) = table.add(fd) {
            self.close(old);
        }
    }

    /// Closes a descriptor that is in no table any more. Also at the end.
    pub fn close(&self, fd: RawFd) {
        // What close() says does not matter: the descriptor is gone.
        let (thread, part) = (self.number, self.part);
        let counts = self.world.counts;
        let _ = counts.call(thread, part, "close", 0, || sys::close(fd));
    }
}
