// SPDX-License-Identifier: GPL-2.0-only

//! Calls of video nodes and requests.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;
use std::time::Duration;

use rustix::ioctl::opcode;
use v4l2r::bindings::{
    v4l2_buffer, v4l2_create_buffers, v4l2_decoder_cmd, v4l2_exportbuffer, v4l2_ext_controls,
    v4l2_format, v4l2_requestbuffers,
};

use crate::abi::{self, Buffer, Picture, DMABUF, MMAP, USERPTR};
use crate::calls::{How, VideoCall};
use crate::controls;
use crate::grammar::{Place, Side, Slot, Value};
use crate::sys::{self, Map};
use crate::world::{Actor, Queue, Video};

pub(crate) const S_FMT: u32 = opcode::read_write::<v4l2_format>(b'V', 5);
const REQBUFS: u32 = opcode::read_write::<v4l2_requestbuffers>(b'V', 8);
pub(crate) const QUERYBUF: u32 = opcode::read_write::<v4l2_buffer>(b'V', 9);
pub(crate) const QBUF: u32 = opcode::read_write::<v4l2_buffer>(b'V', 15);
const EXPBUF: u32 = opcode::read_write::<v4l2_exportbuffer>(b'V', 16);
pub(crate) const DQBUF: u32 = opcode::read_write::<v4l2_buffer>(b'V', 17);
const STREAMON: u32 = opcode::write::<u32>(b'V', 18);
const STREAMOFF: u32 = opcode::write::<u32>(b'V', 19);
const S_CTRL: u32 = opcode::read_write::<[u32; 2]>(b'V', 28);
const TRY_FMT: u32 = opcode::read_write::<v4l2_format>(b'V', 64);
pub(crate) const S_EXT_CTRLS: u32 = opcode::read_write::<v4l2_ext_controls>(b'V', 72);
const CREATE_BUFS: u32 = opcode::read_write::<v4l2_create_buffers>(b'V', 92);
const PREPARE_BUF: u32 = opcode::read_write::<v4l2_buffer>(b'V', 93);
const DECODER_CMD: u32 = opcode::read_write::<v4l2_decoder_cmd>(b'V', 96);
/// Newer than the header of Debian 12: `struct v4l2_remove_buffers` is 16 numbers.
const REMOVE_BUFS: u32 = opcode::read_write::<[u32; 16]>(b'V', 104);
const REQUEST_ALLOC: u32 = opcode::read::<i32>(b'|', 5);
const REQUEST_QUEUE: u32 = opcode::none(b'|', 0x80);
const REQUEST_REINIT: u32 = opcode::none(b'|', 0x81);

/// V4L2_BUF_FLAG_REQUEST_FD.
pub(crate) const REQUEST_FD: u32 = 0x0080_0000;
/// V4L2_BUF_FLAG_M2M_HOLD_CAPTURE_BUF, _IN_REQUEST, _NO_CACHE_INVALIDATE.
const FLAGS: [u32; 4] = [0, 0, 0x200, 0x800];

/// Small ones: the time goes into calls, and not into pixels.
pub(crate) const SIZES: [(u32, u32); 4] = [(64, 64), (64, 48), (128, 96), (48, 64)];
const BROKEN_SIZES: [(u32, u32); 5] = [(0, 0), (1, 1), (17, 3), (1000, 16), (u32::MAX, 1)];
/// A bitstream's buffer.
pub(crate) const BITSTREAM: u32 = 512;
/// How long a job of vim2m takes, in ms.
const JOB_MS: u32 = 4;

/// How long one waits now and then for a buffer.
fn soon(value: Value) -> Duration {
    Duration::from_millis(value.pick(&[0, 1, 5, 10], &[]))
}

impl Actor<'_> {
    /// Makes a call of a video node.
    pub fn video(&self, call: &VideoCall) {
        use VideoCall as V;
        let with = |slot: Slot| self.world.videos.get(slot).ok();
        match *call {
            V::Open { node } => drop(self.open(node)),
            V::Close { video } => {
                if let Some(video) = self.world.videos.take(video) {
                    self.close(video.fd);
                }
            }
            V::SetUp(ref how) => self.set_up(how),
            V::AllocateRequest { video } => drop(with(video).map(|video| self.new_request(&video))),
            V::QueueRequest { request } => {
                self.queue_request(self.world.fd(&self.world.requests, request));
            }
            V::ReinitRequest { request } => self.request("REQUEST_REINIT", REQUEST_REINIT, request),
            V::PollRequest { request, ms } => {
                let fd = self.world.fd(&self.world.requests, request);
                let _ = self.call("poll request", 0, || sys::poll(fd, libc::POLLPRI, soon(ms)));
            }
            V::CloseRequest { request } => {
                if let Some(fd) = self.world.requests.take(request) {
                    self.close(fd);
                }
            }
            V::Job { video, .. }
            | V::Reap { video }
            | V::SetFormat { video, .. }
            | V::RequestBuffers { video, .. }
            | V::CreateBuffers { video, .. }
            | V::RemoveBuffers { video, .. }
            | V::Queue { video, .. }
            | V::Prepare { video, .. }
            | V::Dequeue { video, .. }
            | V::QueryBuffer { video, .. }
            | V::Stream { video, .. }
            | V::Export { video, .. }
            | V::Map { video, .. }
            | V::ExportFence { video, .. }
            | V::Subscribe { video, .. }
            | V::Event { video }
            | V::Controls { video, .. }
            | V::Decoder { video, .. }
            | V::Poll { video, .. } => {
                if let Some(video) = with(video) {
                    self.of_video(&video, call);
                }
            }
        }
    }

    fn of_video(&self, video: &Video, call: &VideoCall) {
        use VideoCall as V;
        let memories = [MMAP, MMAP, DMABUF];
        match *call {
            V::Job { ref fences, .. } => self.job(video, Some(fences)),
            V::Reap { .. } => self.reap(video),
            V::SetFormat {
                side,
                format,
                size,
                only_try,
                ..
            } => {
                let size = size.pick(&SIZES, &BROKEN_SIZES);
                let request = if only_try { TRY_FMT } else { S_FMT };
                self.format(video, request, side, format, size);
            }
            V::RequestBuffers {
                side,
                memory,
                count,
                ..
            } => {
                let count = count.pick(&[2, 1, 3, 0], &[33, 1000]);
                self.request_buffers(video, side, memory.pick(&memories, &[USERPTR, 0, 9]), count);
            }
            V::CreateBuffers {
                side,
                memory,
                count,
                ..
            } => {
                let count = count.pick(&[1, 2], &[0, 100]);
                self.create_buffers(video, side, memory.pick(&memories, &[USERPTR, 7]), count);
            }
            V::RemoveBuffers {
                side, index, count, ..
            } => {
                let mut arg = [0; 16];
                arg[0] = index.pick(&[0, 1, 2], &[31, u32::MAX]);
                arg[1] = count.pick(&[1, 2], &[0, u32::MAX]);
                arg[2] = video.kind(side);
                let _ = self.call("REMOVE_BUFS", video.state(), || {
                    sys::ioctl(video.fd, REMOVE_BUFS, &mut arg)
                });
            }
            V::Queue { side, ref how, .. } => {
                self.queue(QBUF, video, self.buffer(video, side, how));
            }
            V::Prepare { side, ref how, .. } => {
                self.queue(PREPARE_BUF, video, self.buffer(video, side, how));
            }
            V::Dequeue { side, memory, .. } => {
                let own = video.queue(side).memory.load(Relaxed);
                self.dequeue(video, side, memory.pick(&[own], &memories));
            }
            V::QueryBuffer { side, index, .. } => {
                let _ = self.query(video, side, index.pick(&[0, 1, 2], &[40, u32::MAX]));
            }
            V::Stream { side, on, .. } => self.stream(video, side, on),
            V::Export {
                side,
                index,
                plane,
                flags,
                ..
            } => {
                let index = index.pick(&[0, 1, 2], &[32]);
                let flags = flags.pick(&[libc::O_RDWR, libc::O_RDONLY], &[libc::O_WRONLY, -1]);
                self.export(video, side, index, plane.pick(&[0], &[1, 8]), flags as u32);
            }
            V::Map { side, index, .. } => self.map(video, side, index.pick(&[0, 1, 2], &[32])),
            V::Controls {
                request,
                current,
                preset,
                ..
            } => {
                let request = self.world.fd(&self.world.requests, request);
                self.set_controls(video, (!current).then_some(request), preset);
            }
            V::Decoder { command, .. } => {
                let mut arg = v4l2_decoder_cmd {
                    cmd: command.pick(&[1, 0, 4], &[2, 77]),
                    ..v4l2_decoder_cmd::default()
                };
                let _ = self.call("DECODER_CMD", video.state(), || {
                    sys::ioctl(video.fd, DECODER_CMD, &mut arg)
                });
            }
            V::Poll { events, ms, .. } => {
                let all = libc::POLLIN | libc::POLLOUT | libc::POLLPRI;
                let events = events.pick(&[all, libc::POLLIN, libc::POLLOUT], &[0, -1]);
                let _ = self.call("poll video", video.state(), || {
                    sys::poll(video.fd, events, soon(ms))
                });
            }
            _ => self.explicit(video, call),
        }
    }

    pub(crate) fn queue_request(&self, fd: i32) {
        let _ = self.call("REQUEST_QUEUE", 0, || {
            sys::ioctl_number(fd, REQUEST_QUEUE, 0)
        });
    }

    pub(crate) fn open(&self, node: Slot) -> Option<Arc<Video>> {
        let nodes = &self.world.found.nodes;
        let index = match node.place(nodes.len()) {
            Place::At(index) | Place::Odd(index) => index % nodes.len(),
        };
        let node = &nodes[index];
        let flags = libc::O_RDWR | libc::O_NONBLOCK;
        let fd = self
            .call("open video", index as u32, || sys::open(&node.path, flags))
            .ok()?;
        let video = Arc::new(Video {
            fd,
            node,
            queues: Default::default(),
        });
        if let Some(old) = self.world.videos.add(Arc::clone(&video)) {
            self.close(old.fd);
        }
        if let Some(control) = node.job_time {
            let mut arg = [control, JOB_MS];
            let _ = self.call("S_CTRL", 0, || sys::ioctl(fd, S_CTRL, &mut arg));
        }
        Some(video)
    }

    pub(crate) fn format(
        &self,
        video: &Video,
        request: u32,
        side: Side,
        format: Value,
        size: (u32, u32),
    ) {
        let queue = video.queue(side);
        let formats = &video.node.formats[side as usize];
        let wanted = Picture {
            kind: video.kind(side),
            mplane: video.node.mplane,
            format: format.pick(formats, &[0, u32::from_le_bytes(*b"FUZZ")]),
            size,
            bytes: if video.node.decoder && side == Side::Output {
                BITSTREAM
            } else {
                0
            },
        };
        let mut raw = wanted.raw();
        let name = if request == S_FMT { "S_FMT" } else { "TRY_FMT" };
        let answer = self.call(name, video.state(), || {
            sys::ioctl(video.fd, request, &mut raw)
        });
        if answer.is_ok() && request == S_FMT {
            queue
                .size
                .store(abi::size_image(&raw, video.node.mplane), Relaxed);
            queue.format.store(wanted.format, Relaxed);
        }
    }

    pub(crate) fn request_buffers(&self, video: &Video, side: Side, memory: u32, count: u32) {
        let queue = video.queue(side);
        let mut arg = v4l2_requestbuffers {
            count,
            type_: video.kind(side),
            memory,
            ..v4l2_requestbuffers::default()
        };
        let answer = self.call("REQBUFS", video.state(), || {
            sys::ioctl(video.fd, REQBUFS, &mut arg)
        });
        if answer.is_ok() {
            queue.memory.store(memory, Relaxed);
            queue.count.store(arg.count, Relaxed);
        }
    }

    pub(crate) fn create_buffers(&self, video: &Video, side: Side, memory: u32, count: u32) {
        let queue = video.queue(side);
        let format = Picture {
            kind: video.kind(side),
            mplane: video.node.mplane,
            format: queue.format.load(Relaxed),
            size: SIZES[0],
            bytes: queue.size.load(Relaxed),
        };
        let mut arg = v4l2_create_buffers {
            count,
            memory,
            format: format.raw(),
            ..v4l2_create_buffers::default()
        };
        let answer = self.call("CREATE_BUFS", video.state(), || {
            sys::ioctl(video.fd, CREATE_BUFS, &mut arg)
        });
        if answer.is_ok() {
            queue.memory.store(memory, Relaxed);
            queue.count.fetch_add(arg.count, Relaxed);
        }
    }

    pub(crate) fn buffer(&self, video: &Video, side: Side, how: &How) -> Buffer {
        let queue = video.queue(side);
        let own = queue.memory.load(Relaxed);
        let next = queue.next.load(Relaxed);
        let request = how
            .request
            .map(|slot| self.world.fd(&self.world.requests, slot));
        let flags = how.flags.pick(&FLAGS, &[u32::MAX, 0x80]);
        let (fence_flags, fence) = self.fences(video, &how.fences);
        Buffer {
            kind: video.kind(side),
            mplane: video.node.mplane,
            index: how.index.pick(&[next, 0, 1, 2], &[31, u32::MAX]),
            memory: how.memory.pick(&[own], &[MMAP, DMABUF, USERPTR, 0]),
            dmabuf: self.world.fd(&self.world.buffers, how.buffer),
            flags: flags | fence_flags | if request.is_some() { REQUEST_FD } else { 0 },
            request: request.unwrap_or(0),
            used: how
                .used
                .pick(&[BITSTREAM, 0, queue.size.load(Relaxed)], &[u32::MAX, 1]),
            len: how
                .used
                .pick(&[queue.size.load(Relaxed)], &[0, 1, u32::MAX]),
            fence,
        }
    }

    pub(crate) fn queue(&self, ioctl: u32, video: &Video, buffer: Buffer) {
        let _ = self.of_buffer(ioctl, video, buffer);
    }

    pub(crate) fn dequeue(&self, video: &Video, side: Side, memory: u32) {
        let mut buffer = self.next_buffer(video, side);
        buffer.memory = memory;
        let queue: &Queue = video.queue(side);
        match self.of_buffer(DQBUF, video, buffer) {
            Ok(returned) => queue.next.store(returned.index, Relaxed),
            // Nothing was used up.
            Err(_) => queue.next.store(buffer.index, Relaxed),
        }
    }

    fn query(&self, video: &Video, side: Side, index: u32) -> Option<u32> {
        let mut buffer = self.next_buffer(video, side);
        buffer.index = index;
        Some(self.of_buffer(QUERYBUF, video, buffer).ok()?.offset)
    }

    fn map(&self, video: &Video, side: Side, index: u32) {
        let Some(offset) = self.query(video, side, index) else {
            return;
        };
        let len = video.queue(side).size.load(Relaxed).max(1) as usize;
        let map = self.call("mmap video", 0, || Map::new(video.fd, offset.into(), len));
        if let Ok(map) = map {
            drop(self.world.maps.add(map));
        }
    }

    pub(crate) fn stream(&self, video: &Video, side: Side, on: bool) {
        let (name, request) = if on {
            ("STREAMON", STREAMON)
        } else {
            ("STREAMOFF", STREAMOFF)
        };
        let mut kind = video.kind(side);
        let answer = self.call(name, video.state(), || {
            sys::ioctl(video.fd, request, &mut kind)
        });
        if answer.is_ok() {
            video.queue(side).streaming.store(on, Relaxed);
        }
    }

    pub(crate) fn export(&self, video: &Video, side: Side, index: u32, plane: u32, flags: u32) {
        let mut arg = v4l2_exportbuffer {
            type_: video.kind(side),
            index,
            plane,
            flags,
            ..v4l2_exportbuffer::default()
        };
        let answer = self.call("EXPBUF", video.state(), || {
            sys::ioctl(video.fd, EXPBUF, &mut arg)
        });
        if answer.is_ok() {
            self.keep(&self.world.buffers, arg.fd);
        }
    }

    fn set_controls(&self, video: &Video, request: Option<i32>, preset: Value) {
        let codec = video.queue(Side::Output).format.load(Relaxed);
        let mut controls = if preset.pick(&[true], &[false]) {
            controls::valid(codec)
        } else {
            controls::broken(codec)
        };
        let _ = self.call("S_EXT_CTRLS", video.state(), || {
            abi::set_controls(video.fd, S_EXT_CTRLS, request, &mut controls)
        });
    }

    pub(crate) fn new_request(&self, video: &Video) -> Option<i32> {
        let media = video.node.media.as_deref()?;
        let node = self
            .call("open media", 0, || sys::open(media, libc::O_RDWR))
            .ok()?;
        let mut fd = -1;
        let answer = self.call("REQUEST_ALLOC", 0, || {
            sys::ioctl(node, REQUEST_ALLOC, &mut fd)
        });
        self.close(node);
        answer.ok()?;
        self.keep(&self.world.requests, fd);
        Some(fd)
    }

    fn request(&self, name: &'static str, ioctl: u32, request: Slot) {
        let fd = self.world.fd(&self.world.requests, request);
        let _ = self.call(name, 0, || sys::ioctl_number(fd, ioctl, 0));
    }
}
