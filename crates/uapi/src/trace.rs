// SPDX-License-Identifier: GPL-2.0-only

//! A line of trace_pipe, taken apart.

use crate::clock::Ns;

/// A buffer in an event of videobuf2 or V4L2.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Buffer {
    /// Which buffer of its queue.
    pub index: u32,
    /// It is of a CAPTURE queue.
    pub capture: bool,
}

/// A fence, as the events name it. The events of dma_fence have 32 bits of each number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FenceId {
    /// The timeline's number.
    pub context: u32,
    /// The number on the timeline.
    pub seqno: u32,
}

/// Whose fence a buffer waits for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct User {
    /// The driver that made the fence.
    pub driver: String,
    /// Its timeline.
    pub timeline: String,
}

/// Why a buffer does not wait for a fence any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The fence was signalled.
    Signalled,
    /// It was not, before the timeout.
    GivenUp,
    /// The buffer is not queued any more.
    LetGo,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A fence became visible.
    Armed {
        /// The queue's name.
        queue: String,
        /// The buffer's number.
        index: u32,
        /// Which fence.
        fence: FenceId,
    },
    /// It was signalled.
    Signalled {
        /// The queue's name.
        queue: String,
        /// The buffer's number.
        index: u32,
        /// Which fence.
        fence: FenceId,
        /// 0, or a negative errno.
        result: i32,
    },
    /// A buffer is being queued, and has to wait for a fence.
    WaitBegun {
        /// The queue's name.
        queue: String,
        /// The buffer's number.
        index: u32,
        /// Which fence.
        fence: FenceId,
        /// Whose it is.
        user: User,
    },
    /// It does not wait for this fence any longer.
    WaitOver {
        /// The queue's name.
        queue: String,
        /// The buffer's number.
        index: u32,
        /// Which fence.
        fence: FenceId,
        /// Why.
        outcome: Outcome,
    },
    /// videobuf2 gave a buffer to the driver; the owner is the file that has the queue.
    Given {
        /// A name for the file.
        owner: String,
        /// Which buffer.
        buffer: Buffer,
    },
    /// videobuf2 was told that a buffer is done; the owner is the file that has the queue.
    BufferDone {
        /// A name for the file.
        owner: String,
        /// Which buffer.
        buffer: Buffer,
    },
    /// A buffer went into or out of videobuf2.
    Core {
        /// Out of it.
        dequeued: bool,
        /// A name for the file.
        owner: String,
        /// Which buffer.
        buffer: Buffer,
    },
    /// The ioctl around it returned.
    Ioctl {
        /// It was DQBUF.
        dequeued: bool,
        /// The video node's minor number.
        minor: u32,
        /// Which buffer.
        buffer: Buffer,
    },
    /// A task began to wait for a fence.
    WaitStart(FenceId),
    /// And ended.
    WaitEnd(FenceId),
    /// So many events were dropped, since they were not read in time.
    Lost(u64),
}

/// An event, and where and when it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The task that ran.
    pub pid: u32,
    /// The processor that it ran on.
    pub cpu: u32,
    /// When.
    pub at_ns: Ns,
    /// What.
    pub event: Event,
}

/// Takes a line apart; `None` for one that is of no interest.
pub fn parse(line: &str) -> Option<Line> {
    if let Some(lost) = parse_lost(line) {
        return Some(lost);
    }
    // "  comm-pid  [cpu] flags seconds.micros: event: fields"; a comm can have blanks.
    let (task, rest) = split_at_cpu(line)?;
    let pid = task.rsplit_once('-')?.1.trim().parse().ok()?;
    let (cpu, rest) = rest.split_once(']')?;
    let (head, rest) = rest.split_once(": ")?;
    let at_ns = parse_time(head.split_whitespace().last()?)?;
    let (name, fields) = rest.split_once(':')?;
    Some(Line {
        pid,
        cpu: cpu.parse().ok()?,
        at_ns,
        event: parse_event(name.trim(), fields)?,
    })
}

/// At the first " [" that is followed by digits and "]": what is before it, and from the digits on.
fn split_at_cpu(line: &str) -> Option<(&str, &str)> {
    line.match_indices(" [").find_map(|(at, _)| {
        let rest = &line[at + 2..];
        let (cpu, _) = rest.split_once(']')?;
        let digits = !cpu.is_empty() && cpu.bytes().all(|byte| byte.is_ascii_digit());
        digits.then_some((&line[..at], rest))
    })
}

fn parse_lost(line: &str) -> Option<Line> {
    let (cpu, rest) = line.trim().strip_prefix("CPU:")?.split_once(' ')?;
    let count = rest.strip_prefix("[LOST ")?.strip_suffix(" EVENTS]")?;
    Some(Line {
        pid: 0,
        cpu: cpu.parse().ok()?,
        at_ns: 0,
        event: Event::Lost(count.parse().ok()?),
    })
}

/// "12.345678", in seconds.
fn parse_time(text: &str) -> Option<Ns> {
    let (seconds, micros) = text.split_once('.')?;
    if micros.len() != 6 {
        return None;
    }
    let (seconds, micros): (u64, u64) = (seconds.parse().ok()?, micros.parse().ok()?);
    Some(seconds * 1_000_000_000 + micros * 1_000)
}

fn parse_event(name: &str, fields: &str) -> Option<Event> {
    match name {
        "vb2_release_fence_armed" => Some(Event::Armed {
            queue: field(fields, "queue")?.into(),
            index: number(fields, "index")?,
            fence: fence(fields)?,
        }),
        "vb2_release_fence_signalled" => Some(Event::Signalled {
            queue: field(fields, "queue")?.into(),
            index: number(fields, "index")?,
            fence: fence(fields)?,
            result: number(fields, "result")?,
        }),
        "vb2_acquire_fence_waiting" => Some(Event::WaitBegun {
            queue: field(fields, "queue")?.into(),
            index: number(fields, "index")?,
            fence: fence(fields)?,
            user: user(fields)?,
        }),
        "vb2_acquire_fence_ended" => Some(Event::WaitOver {
            queue: field(fields, "queue")?.into(),
            index: number(fields, "index")?,
            fence: fence(fields)?,
            outcome: match field(fields, "outcome")? {
                "signalled" => Outcome::Signalled,
                "given-up" => Outcome::GivenUp,
                "let-go" => Outcome::LetGo,
                _ => return None,
            },
        }),
        "vb2_buf_queue" => Some(Event::Given {
            owner: owner(fields)?,
            buffer: buffer(fields)?,
        }),
        "vb2_buf_done" => Some(Event::BufferDone {
            owner: owner(fields)?,
            buffer: buffer(fields)?,
        }),
        "vb2_qbuf" | "vb2_dqbuf" => Some(Event::Core {
            dequeued: name == "vb2_dqbuf",
            owner: owner(fields)?,
            buffer: buffer(fields)?,
        }),
        "v4l2_qbuf" | "v4l2_dqbuf" => Some(Event::Ioctl {
            dequeued: name == "v4l2_dqbuf",
            minor: number(fields, "minor")?,
            buffer: buffer(fields)?,
        }),
        "dma_fence_wait_start" => Some(Event::WaitStart(fence(fields)?)),
        "dma_fence_wait_end" => Some(Event::WaitEnd(fence(fields)?)),
        _ => None,
    }
}

/// The value behind "key=" or "key = ", up to a blank or comma.
fn field<'a>(fields: &'a str, key: &str) -> Option<&'a str> {
    let mut words = fields.split([' ', ',']).filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        match word.split_once('=') {
            Some((name, value)) if name == key && !value.is_empty() => return Some(value),
            _ if word == key => {
                return (words.next()? == "=").then(|| words.next()).flatten();
            }
            _ => {}
        }
    }
    None
}

fn number<T: std::str::FromStr>(fields: &str, key: &str) -> Option<T> {
    field(fields, key)?.parse().ok()
}

/// Their lower 32 bits, which is all that the events of dma_fence have.
fn fence(fields: &str) -> Option<FenceId> {
    Some(FenceId {
        context: number::<u64>(fields, "context")? as u32,
        seqno: number::<u64>(fields, "seqno")? as u32,
    })
}

/// The names are last: other drivers' can have blanks.
fn user(fields: &str) -> Option<User> {
    let (_, names) = fields.split_once(" driver=")?;
    let (driver, timeline) = names.split_once(" timeline=")?;
    Some(User {
        driver: driver.into(),
        timeline: timeline.into(),
    })
}

/// A queue has no owner before buffers are allocated.
fn owner(fields: &str) -> Option<String> {
    let owner = field(fields, "owner")?;
    (owner != "(null)" && owner.bytes().any(|digit| digit != b'0')).then(|| owner.into())
}

fn buffer(fields: &str) -> Option<Buffer> {
    let capture = match field(fields, "type")? {
        // videobuf2 has the numbers, V4L2 the names.
        "1" | "9" | "VIDEO_CAPTURE" | "VIDEO_CAPTURE_MPLANE" => true,
        "2" | "10" | "VIDEO_OUTPUT" | "VIDEO_OUTPUT_MPLANE" => false,
        _ => return None,
    };
    Some(Buffer {
        index: number(fields, "index")?,
        capture,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FENCE: FenceId = FenceId {
        context: 12,
        seqno: 1,
    };

    #[test]
    fn armed_and_signalled() {
        let line = "     kworker/1:2-57      [001] .....    12.345678: vb2_release_fence_armed: \
                    queue=cap-00000000ad282b00 index=3 context=12 seqno=1";
        let parsed = parse(line).unwrap();
        assert_eq!(
            (parsed.pid, parsed.cpu, parsed.at_ns),
            (57, 1, 12_345_678_000)
        );
        let queue = "cap-00000000ad282b00".to_owned();
        assert_eq!(
            parsed.event,
            Event::Armed {
                queue: queue.clone(),
                index: 3,
                fence: FENCE
            }
        );
        let line = " <idle>-0       [000] d.h2.     2.000001: vb2_release_fence_signalled: \
                    queue=cap-00000000ad282b00 index=3 context=4294967308 seqno=1 result=-110";
        assert_eq!(
            parse(line).unwrap().event,
            Event::Signalled {
                queue,
                index: 3,
                fence: FENCE,
                result: -110
            }
        );
    }

    #[test]
    fn buffers() {
        let line =
            " a [b] c-9  [000] ..... 1.000000: vb2_dqbuf: owner = 00000000a1b2c3d4, queued = \
                    0, owned_by_drv = 0, index = 2, type = 9, bytesused = 5, timestamp = 7";
        let parsed = parse(line).unwrap();
        assert_eq!(parsed.pid, 9);
        let buffer = Buffer {
            index: 2,
            capture: true,
        };
        assert_eq!(
            parsed.event,
            Event::Core {
                dequeued: true,
                owner: "00000000a1b2c3d4".into(),
                buffer: buffer.clone()
            }
        );
        let line = " x-9  [000] ..... 1.000000: v4l2_dqbuf: minor = 5, index = 2, type = \
                    VIDEO_CAPTURE_MPLANE, bytesused = 0, flags = 0x1 | MAPPED, field = NONE";
        assert_eq!(
            parse(line).unwrap().event,
            Event::Ioctl {
                dequeued: true,
                minor: 5,
                buffer
            }
        );
    }

    #[test]
    fn waits() {
        let line = " kwin-9  [000] ..... 1.000000: dma_fence_wait_end: driver=videobuf2 \
                    timeline=cap-1 context=12 seqno=1";
        assert_eq!(parse(line).unwrap().event, Event::WaitEnd(FENCE));
    }

    #[test]
    fn buffers_that_wait() {
        let line = " gst-9  [000] ..... 1.000000: vb2_acquire_fence_waiting: queue=cap-1 index=3 \
                    context=12 seqno=1 driver=sw_sync timeline=a program, or two";
        let queue = "cap-1".to_owned();
        let user = User {
            driver: "sw_sync".into(),
            timeline: "a program, or two".into(),
        };
        let begun = Event::WaitBegun {
            queue: queue.clone(),
            index: 3,
            fence: FENCE,
            user,
        };
        assert_eq!(parse(line).unwrap().event, begun);
        for (name, outcome) in [
            ("signalled", Outcome::Signalled),
            ("given-up", Outcome::GivenUp),
            ("let-go", Outcome::LetGo),
        ] {
            let line = format!(
                " <idle>-0 [000] d.h2. 2.000000: vb2_acquire_fence_ended: queue=cap-1 index=3 \
                 context=12 seqno=1 outcome={name}"
            );
            let over = Event::WaitOver {
                queue: queue.clone(),
                index: 3,
                fence: FENCE,
                outcome,
            };
            assert_eq!(parse(&line).unwrap().event, over);
        }
    }

    #[test]
    fn lost_events() {
        assert_eq!(
            parse("CPU:1 [LOST 17 EVENTS]").unwrap().event,
            Event::Lost(17)
        );
    }

    #[test]
    fn what_is_no_event() {
        for line in [
            "",
            "# tracer: nop",
            " x-9  [000] ..... 1.000000: sched_switch: prev=1",
            " x-9  [000] ..... 1.0: vb2_release_fence_armed: queue=c index=0 context=1 seqno=1",
            " x-9  [000] ..... 1.000000: vb2_release_fence_armed: queue=c index=0 context=1",
            " x-9 [000] . 1.000000: vb2_acquire_fence_waiting: queue=c index=0 context=1 seqno=1",
            " x-9 [000] . 1.000000: vb2_acquire_fence_ended: queue=c index=0 context=1 seqno=1 \
             outcome=else",
            " x-9  [000] ..... 1.000000: vb2_qbuf: owner = 0000000000000000, index = 1, type = 1",
            " x-9  [000] ..... 1.000000: vb2_qbuf: owner = 000000001, index = 1, type = 13",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
