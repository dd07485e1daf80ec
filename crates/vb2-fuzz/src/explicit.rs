// SPDX-License-Identifier: GPL-2.0-only

//! Calls of the explicit interface: VIDIOC_EXPFENCE, the event that a job has started, and the
//! fences of VIDIOC_QBUF.

use rustix::ioctl::opcode;

use crate::abi::{Buffer, Returned};
use crate::calls::{Fences, VideoCall};
use crate::count::lock;
use crate::grammar::Side;
use crate::sys::{self, Answer};
use crate::video::{DQBUF, QBUF, QUERYBUF};
use crate::world::{Actor, Video};

/// `struct v4l2_event`: type, what it tells from the second number on, and what all events have.
const DQEVENT: u32 = opcode::read::<[u64; 17]>(b'V', 89);
/// `struct v4l2_event_subscription`: type, id, flags, nothing.
const SUBSCRIBE_EVENT: u32 = opcode::write::<[u32; 8]>(b'V', 90);
const UNSUBSCRIBE_EVENT: u32 = opcode::write::<[u32; 8]>(b'V', 91);
/// `struct v4l2_exportfence`: type, index, flags, fd, sequence, nothing.
const EXPFENCE: u32 = opcode::read_write::<[u32; 8]>(b'V', 105);

/// V4L2_EVENT_RELEASE_FENCE.
const RELEASE_FENCE: u32 = 7;
/// V4L2_EVENT_ALL, _CTRL, and one that there is not.
const OTHER_EVENTS: [u32; 3] = [0, 3, 99];
/// Types that the queue does not have.
const BROKEN_KINDS: [u32; 4] = [0, 3, 99, u32::MAX];
/// What is ignored, or written.
pub(crate) const GARBAGE: u32 = 0x5a5a_5a5a;

/// V4L2_BUF_FLAG_IN_FENCE.
const IN: u32 = 0x0020_0000;
/// V4L2_BUF_FLAG_OUT_FENCE, which no queue of a mem2mem device knows.
const OUT: u32 = 0x0040_0000;

/// Whether `fence_fd` is what it has to be, whichever fences the queue has. `asked` are the flags.
fn is_right(ioctl: u32, asked: u32, fence: i32) -> bool {
    match (ioctl, asked & IN != 0, asked & OUT != 0) {
        (QBUF, _, true) => fence >= 0,
        (QBUF, true, false) => fence == 0 || fence == -1,
        _ => fence == 0,
    }
}

impl Actor<'_> {
    /// Makes a call of the explicit interface.
    pub(crate) fn explicit(&self, video: &Video, call: &VideoCall) {
        match *call {
            VideoCall::ExportFence {
                side,
                kind,
                index,
                flags,
                room,
                ..
            } => self.export_fence(
                video,
                kind.pick(&[video.kind(side)], &BROKEN_KINDS),
                index.pick(&[0, 1, 2], &[31, u32::MAX]),
                flags.pick(&[libc::O_CLOEXEC, 0], &[libc::O_RDWR, -1]) as u32,
                room.pick(&[true], &[false]),
            ),
            VideoCall::Subscribe {
                side,
                kind,
                event,
                flags,
                on,
                ..
            } => {
                // V4L2_EVENT_SUB_FL_SEND_INITIAL, _ALLOW_FEEDBACK
                let flags = flags.pick(&[0, 1, 2], &[u32::MAX]);
                let event = event.pick(&[RELEASE_FENCE], &OTHER_EVENTS);
                let kind = kind.pick(&[video.kind(side)], &BROKEN_KINDS);
                self.subscribe(video, [event, kind, flags], on);
            }
            VideoCall::Event { .. } => self.event(video),
            // Not of the explicit interface
            _ => {}
        }
    }

    fn export_fence(&self, video: &Video, kind: u32, index: u32, flags: u32, room: bool) {
        let mut arg = [GARBAGE; 8];
        arg[..3].copy_from_slice(&[kind, index, flags]);
        if room {
            let answer = self.call("EXPFENCE", video.state(), || {
                sys::ioctl(video.fd, EXPFENCE, &mut arg)
            });
            self.keep_fence(answer, arg[3]);
        } else {
            // Nothing says which descriptor it is: it has to be given back.
            let _ = self.call("EXPFENCE read-only", video.state(), || {
                sys::ioctl_sealed(video.fd, EXPFENCE, arg)
            });
        }
    }

    fn subscribe(&self, video: &Video, what: [u32; 3], on: bool) {
        let (name, request) = if on {
            ("SUBSCRIBE_EVENT", SUBSCRIBE_EVENT)
        } else {
            ("UNSUBSCRIBE_EVENT", UNSUBSCRIBE_EVENT)
        };
        let mut arg = [0; 8];
        arg[..3].copy_from_slice(&what);
        let _ = self.call(name, video.state(), || {
            sys::ioctl(video.fd, request, &mut arg)
        });
    }

    /// Hears of the jobs of both queues.
    pub(crate) fn subscribe_to_jobs(&self, video: &Video) {
        for side in [Side::Output, Side::Capture] {
            self.subscribe(video, [RELEASE_FENCE, video.kind(side), 0], true);
        }
    }

    /// The flags, and the in-fence or what else is in its place.
    pub(crate) fn fences(&self, video: &Video, fences: &Fences) -> (u32, i32) {
        let flags = fences.flags.pick(&[0, 0, IN], &[OUT, IN | OUT]);
        (flags, self.in_fence(video, fences))
    }

    /// The flags of both sides of a job, and the in-fence. Most jobs do not wait for it: they are
    /// what makes fences end.
    pub(crate) fn fences_of_job(&self, video: &Video, fences: &Fences) -> ([u32; 2], i32) {
        const NONE: [u32; 2] = [0, 0];
        let flags = fences.flags.pick(
            &[NONE, NONE, NONE, NONE, NONE, [IN, 0], [0, IN], [IN, IN]],
            &[[OUT, 0], [0, OUT], [IN | OUT, IN]],
        );
        (flags, self.in_fence(video, fences))
    }

    fn in_fence(&self, video: &Video, fences: &Fences) -> i32 {
        let sync_file = self.world.fd(&self.world.fences, fences.fence);
        let dma_buf = self.world.fd(&self.world.buffers, fences.fence);
        // That is open, and is no sync_file, or is not open.
        let broken = [dma_buf, video.fd, i32::MAX, -1, i32::MIN];
        fences.fd.pick(&[sync_file], &broken)
    }

    /// Makes a call of a buffer, and looks at what it says of fences.
    pub(crate) fn of_buffer(&self, ioctl: u32, video: &Video, buffer: Buffer) -> Answer<Returned> {
        let name = match (ioctl, buffer.flags) {
            (DQBUF, _) => "DQBUF",
            (QUERYBUF, _) => "QUERYBUF",
            (QBUF, flags) if flags & OUT != 0 => "QBUF OUT_FENCE",
            (QBUF, flags) if flags & IN != 0 => "QBUF IN_FENCE",
            (QBUF, _) => "QBUF",
            (_, flags) if flags & (IN | OUT) != 0 => "PREPARE_BUF with fences",
            _ => "PREPARE_BUF",
        };
        let answer = self.call(name, video.state(), || buffer.call(video.fd, ioctl));
        let Ok(Returned { fence, .. }) = answer else {
            return answer;
        };
        if !is_right(ioctl, buffer.flags, fence) {
            let mut wrong = lock(&self.world.wrong);
            wrong.get_or_insert_with(|| {
                let flags = buffer.flags;
                format!("{name} with flags {flags:#x} has returned {fence} as fence_fd")
            });
        } else if fence > 0 {
            self.keep(&self.world.fences, fence);
        }
        answer
    }

    /// What a program does that hands a picture on when its job has started.
    fn event(&self, video: &Video) {
        let mut event = [0_u64; 17];
        let answer = self.call("DQEVENT", video.state(), || {
            sys::ioctl(video.fd, DQEVENT, &mut event)
        });
        if answer.is_ok() && event[0] as u32 == RELEASE_FENCE {
            let (kind, index) = (event[1] as u32, (event[1] >> 32) as u32);
            self.export_fence(video, kind, index, libc::O_CLOEXEC as u32, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;
    use crate::abi::DMABUF;
    use crate::calls::Call;
    use crate::count::{Counts, Part};
    use crate::found::{Everything, Node};
    use crate::grammar::{Program, Slot, Step};
    use crate::maker::Maker;
    use crate::world::{ScreenNumbers, World};

    fn actor<'a>(world: &'a World<'a>) -> Actor<'a> {
        Actor {
            world,
            number: 1,
            part: Part::Program,
        }
    }

    /// What the programs of a seed do.
    fn steps(seed: u64) -> impl Iterator<Item = Step> {
        let mut room = [0; 512];
        let mut maker = Maker::new(seed);
        std::iter::repeat_with(move || {
            let len = maker.make(&mut room);
            Program::parse(&room[..len]).steps
        })
        .flatten()
    }

    fn nothing_to_call() -> &'static Everything {
        let node = Node {
            path: "/dev/null".into(),
            driver: "null".into(),
            mplane: true,
            decoder: false,
            types: [10, 9],
            formats: [vec![1], vec![1]],
            media: None,
            switches: [PathBuf::new(), PathBuf::new()],
            job_time: None,
        };
        Box::leak(Box::new(Everything {
            nodes: vec![node],
            vgem: String::new(),
        }))
    }

    const NO_SCREEN: ScreenNumbers = ScreenNumbers {
        fd: -1,
        crtc: 0,
        plane: 0,
        plane_properties: [0; 2],
        out_fence: 0,
        base: 0,
    };

    #[test]
    fn each_call_is_reached() {
        let counts = Counts::default();
        let world = World::new(nothing_to_call(), &NO_SCREEN, &counts);
        let actor = actor(&world);
        for step in steps(1) {
            match step.call {
                // A set-up may need memory of this machine, and without it no node is open.
                Call::Video(VideoCall::SetUp(_)) => drop(actor.open(Slot::FIRST)),
                Call::Video(call) => actor.video(&call),
                _ => {}
            }
            if counts.of_programs() >= 2000 {
                break;
            }
        }
        while let Some(video) = world.videos.pop() {
            actor.close(video.fd);
        }
        let made = counts.operations();
        for name in [
            "QBUF",
            "QBUF IN_FENCE",
            "QBUF OUT_FENCE",
            "PREPARE_BUF with fences",
            "EXPFENCE",
            "EXPFENCE read-only",
            "SUBSCRIBE_EVENT",
            "UNSUBSCRIBE_EVENT",
            "DQEVENT",
        ] {
            assert!(made.contains_key(name), "{name}: {made:?}");
        }
    }

    #[test]
    fn buffers_have_fences_of_all_kinds() {
        const NODE: i32 = 1000;
        const DMA_BUF: i32 = 1001;
        const SYNC_FILE: i32 = 1002;
        let counts = Counts::default();
        let world = World::new(nothing_to_call(), &NO_SCREEN, &counts);
        assert!(world.buffers.add(DMA_BUF).is_none());
        assert!(world.fences.add(SYNC_FILE).is_none());
        let actor = actor(&world);
        let video = Video {
            fd: NODE,
            node: &world.found.nodes[0],
            queues: Default::default(),
        };
        video.queue(Side::Capture).memory.store(DMABUF, Relaxed);
        let (mut queued, mut of_jobs) = (BTreeSet::new(), BTreeSet::new());
        let mut imports = 0;
        for step in steps(1).take(100_000) {
            match step.call {
                Call::Video(VideoCall::Queue { side, how, .. }) => {
                    let buffer = actor.buffer(&video, side, &how);
                    queued.insert((buffer.flags & (IN | OUT), buffer.fence));
                    imports += u32::from(buffer.memory == DMABUF && buffer.dmabuf == DMA_BUF);
                }
                Call::Video(VideoCall::Job { fences, .. }) => {
                    let (flags, fence) = actor.fences_of_job(&video, &fences);
                    of_jobs.extend(flags.map(|flags| (flags, fence)));
                }
                _ => {}
            }
        }
        assert!(imports > 100, "{imports} imports");
        for (of, made) in [("QBUF", queued), ("jobs", of_jobs)] {
            for flags in [0, IN, OUT, IN | OUT] {
                let some = (flags, SYNC_FILE);
                assert!(made.contains(&some), "{of}: {some:x?} is not in {made:x?}");
            }
            for fence in [DMA_BUF, NODE, -1, i32::MIN, i32::MAX] {
                let some = (IN, fence);
                assert!(made.contains(&some), "{of}: {some:x?} is not in {made:x?}");
            }
        }
    }

    #[test]
    fn what_is_returned_is_judged() {
        for (ioctl, flags, right, wrong) in [
            (QBUF, 0, vec![0], vec![-1, 7]),
            (QBUF, IN, vec![0, -1], vec![7, -2]),
            (QBUF, OUT, vec![0, 7], vec![-1]),
            (QBUF, IN | OUT, vec![0, 7], vec![-1]),
            (DQBUF, IN | OUT, vec![0], vec![-1, 7]),
        ] {
            let judged = |fence: &i32| is_right(ioctl, flags, *fence);
            assert!(right.iter().all(judged), "{flags:#x}");
            assert!(!wrong.iter().any(judged), "{flags:#x}");
        }
    }
}
