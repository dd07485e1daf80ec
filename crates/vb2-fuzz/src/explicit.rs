// SPDX-License-Identifier: GPL-2.0-only

//! Calls of the explicit interface: VIDIOC_EXPFENCE, and the event that a job has started.

use rustix::ioctl::opcode;

use crate::calls::VideoCall;
use crate::grammar::Side;
use crate::sys;
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
const GARBAGE: u32 = 0x5a5a_5a5a;

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
    use std::path::PathBuf;

    use super::*;
    use crate::calls::Call;
    use crate::count::{Counts, Part};
    use crate::found::{Everything, Node};
    use crate::grammar::{Program, Slot};
    use crate::maker::Maker;
    use crate::world::{ScreenNumbers, World};

    /// Makes the calls of video nodes that a seed asks for, of which a machine without any refuses all.
    fn calls_of(world: &World<'_>, seed: u64, count: u64) {
        let actor = Actor {
            world,
            number: 1,
            part: Part::Program,
        };
        let mut room = [0; 512];
        let mut maker = Maker::new(seed);
        while world.counts.of_programs() < count {
            let len = maker.make(&mut room);
            drop(actor.open(Slot::FIRST));
            for step in Program::parse(&room[..len]).steps {
                match step.call {
                    // A set-up may need memory of this machine.
                    Call::Video(VideoCall::SetUp(_)) => {}
                    Call::Video(call) => actor.video(&call),
                    _ => {}
                }
            }
        }
        while let Some(video) = world.videos.pop() {
            actor.close(video.fd);
        }
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
            switch: PathBuf::new(),
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
        calls_of(&world, 1, 2000);
        let made = counts.operations();
        for name in [
            "EXPFENCE",
            "EXPFENCE read-only",
            "SUBSCRIBE_EVENT",
            "UNSUBSCRIBE_EVENT",
            "DQEVENT",
        ] {
            assert!(made.contains_key(name), "{name}: {made:?}");
        }
    }
}
