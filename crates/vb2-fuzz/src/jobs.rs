// SPDX-License-Identifier: GPL-2.0-only

//! What makes jobs run: whole contexts, and the loop of a player.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::abi::{self, Buffer, DMABUF, MMAP, USERPTR};
use crate::calls::{Fences, SetUp};
use crate::controls;
use crate::count::lock;
use crate::explicit::GARBAGE;
use crate::grammar::Side;
use crate::sys;
use crate::video::{BITSTREAM, QBUF, REQUEST_FD, SIZES, S_EXT_CTRLS, S_FMT};
use crate::world::{Actor, Video};

impl Actor<'_> {
    /// All that a context needs for jobs to run.
    pub fn set_up(&self, how: &SetUp) {
        let Some(video) = self.open(how.node) else {
            return;
        };
        let size = how.size.pick(&SIZES, &[]);
        if how.events {
            self.subscribe_to_jobs(&video);
        }
        for (side, format) in [Side::Output, Side::Capture].into_iter().zip(how.formats) {
            self.format(&video, S_FMT, side, format, size);
        }
        for side in [Side::Output, Side::Capture] {
            let memory = how.memory[side as usize].pick(&[MMAP, MMAP, DMABUF], &[USERPTR]);
            let count = how.count[side as usize].pick(&[2, 1, 3], &[]);
            if how.create {
                self.create_buffers(&video, side, memory, count);
            } else {
                self.request_buffers(&video, side, memory, count);
            }
            self.fill(&video, side, memory, count);
            if how.export && memory == MMAP {
                for index in 0..count {
                    self.export(&video, side, index, 0, libc::O_RDWR as u32);
                }
            }
        }
        for _ in 0..how.jobs.pick(&[1, 2, 3], &[]) {
            self.job(&video, None);
        }
        let second = match how.first {
            Side::Output => Side::Capture,
            Side::Capture => Side::Output,
        };
        self.stream(&video, how.first, true);
        self.stream(&video, second, true);
    }

    /// Something to import: what others have, or new memory.
    fn fill(&self, video: &Video, side: Side, memory: u32, count: u32) {
        if memory != DMABUF {
            return;
        }
        let queue = video.queue(side);
        let mut imports = self.world.buffers.all();
        imports.truncate(1);
        while imports.len() < count as usize {
            let Some(fd) = self.heap(u64::from(queue.size.load(Relaxed).max(1))) else {
                break;
            };
            imports.push(fd);
        }
        *lock(&queue.imports) = imports;
    }

    /// What is right for the next job.
    pub(crate) fn next_buffer(&self, video: &Video, side: Side) -> Buffer {
        let queue = video.queue(side);
        let index = queue.next.fetch_add(1, Relaxed) % queue.count.load(Relaxed).max(1);
        let imports = lock(&queue.imports);
        let dmabuf = imports.get(index as usize).copied().unwrap_or(-1);
        let size = queue.size.load(Relaxed);
        let bitstream = video.node.decoder && side == Side::Output;
        Buffer {
            kind: video.kind(side),
            mplane: video.node.mplane,
            index,
            memory: queue.memory.load(Relaxed),
            dmabuf,
            flags: 0,
            request: 0,
            used: if bitstream { BITSTREAM } else { size },
            len: size,
            fence: GARBAGE as i32,
        }
    }

    /// Queues a buffer on both sides, in a request if the device needs one.
    pub(crate) fn job(&self, video: &Video, fences: Option<&Fences>) {
        let mut output = self.next_buffer(video, Side::Output);
        let mut capture = self.next_buffer(video, Side::Capture);
        if let Some(fences) = fences {
            let (flags, fence) = self.fences_of_job(video, fences);
            (output.flags, capture.flags) = (flags[0], flags[1]);
            (output.fence, capture.fence) = (fence, fence);
        }
        self.queue(QBUF, video, capture);
        if !video.node.decoder {
            return self.queue(QBUF, video, output);
        }
        let Some(request) = self.new_request(video) else {
            return;
        };
        let mut controls = controls::valid(video.queue(Side::Output).format.load(Relaxed));
        if !controls.is_empty() {
            let _ = self.call("S_EXT_CTRLS", video.state(), || {
                abi::set_controls(video.fd, S_EXT_CTRLS, Some(request), &mut controls)
            });
        }
        output.flags |= REQUEST_FD;
        output.request = request;
        self.queue(QBUF, video, output);
        self.queue_request(request);
    }

    /// Waits a little, and takes back what is done.
    pub(crate) fn reap(&self, video: &Video) {
        let wait = Duration::from_millis(10);
        let events = libc::POLLIN;
        let _ = self.call("poll video", video.state(), || {
            sys::poll(video.fd, events, wait)
        });
        for side in [Side::Capture, Side::Output] {
            self.dequeue(video, side, video.queue(side).memory.load(Relaxed));
        }
    }
}
