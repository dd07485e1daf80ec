// SPDX-License-Identifier: GPL-2.0-only

//! Which video node a queue belongs to.
//!
//! The fences' events name the queue only. The rest follows from what comes right beside them:
//! videobuf2's own event of the buffer, which names the file that has the queue, follows the
//! fence's signal; and V4L2's event of the ioctl, which names the node, follows videobuf2's event of
//! a buffer that is dequeued. (It does so for a buffer that is queued as well, but not in a request,
//! as OUTPUT buffers are.)
//!
//! A buffer that has to wait for others says so in the call that queues it, and videobuf2's event
//! of that follows in the same task.
//!
//! A fence that has timed out has no such event beside it. So, as long as nothing better is
//! known of a queue, a fence belongs to the only file whose driver has a buffer of that number, if
//! there is one only.

use std::collections::{HashMap, HashSet};

use uapi::trace::{Buffer, Event, Line};

/// What is known so far.
#[derive(Debug, Default)]
pub struct Owners {
    /// The last signal on a processor, until something else happens there.
    signalled: HashMap<(u32, u32), (String, u32)>,
    /// The last buffer that had to wait, until its task has queued it.
    waiting: HashMap<u32, (String, u32)>,
    /// The last buffer that a task queued or dequeued, until its ioctl returns.
    core: HashMap<u32, (bool, String, Buffer)>,
    /// Buffers that drivers have, with their files.
    given: HashMap<Buffer, HashSet<String>>,
    file_of_queue: HashMap<String, String>,
    guessed_file: HashMap<String, String>,
    minor_of_file: HashMap<String, u32>,
}

impl Owners {
    /// Learns from an event.
    pub fn see(&mut self, line: &Line) {
        let place = (line.cpu, line.pid);
        match &line.event {
            Event::Given { owner, buffer } => {
                let files = self.given.entry(buffer.clone()).or_default();
                files.insert(owner.clone());
            }
            Event::Armed { queue, index, .. } => self.guess(queue, *index),
            Event::Signalled { queue, index, .. } => {
                self.signalled.insert(place, (queue.clone(), *index));
            }
            Event::BufferDone { owner, buffer } => {
                if let Some(files) = self.given.get_mut(buffer) {
                    files.remove(owner);
                }
                if let Some((queue, index)) = self.signalled.remove(&place) {
                    if index == buffer.index {
                        self.file_of_queue.insert(queue, owner.clone());
                    }
                }
            }
            Event::Core {
                dequeued,
                owner,
                buffer,
            } => {
                if let Some((queue, index)) = self.waiting.remove(&line.pid) {
                    if !dequeued && index == buffer.index {
                        self.file_of_queue.insert(queue, owner.clone());
                    }
                }
                let seen = (*dequeued, owner.clone(), buffer.clone());
                self.core.insert(line.pid, seen);
            }
            Event::Ioctl {
                dequeued,
                minor,
                buffer,
            } => {
                let Some((was_dequeued, owner, core)) = self.core.remove(&line.pid) else {
                    return;
                };
                let pair = was_dequeued == *dequeued && core == *buffer;
                if pair && (*dequeued || buffer.capture) {
                    self.minor_of_file.insert(owner, *minor);
                }
            }
            Event::WaitBegun { queue, index, .. } => {
                self.waiting.insert(line.pid, (queue.clone(), *index));
            }
            Event::WaitOver { .. } | Event::WaitStart(_) | Event::WaitEnd(_) => {}
            // What is missing may have been in between.
            Event::Lost(_) => {
                self.signalled.clear();
                self.waiting.clear();
                self.core.clear();
                self.given.clear();
            }
        }
    }

    fn guess(&mut self, queue: &str, index: u32) {
        let capture = queue.starts_with("cap-");
        let files = self.given.get(&Buffer { index, capture });
        let mut files = files.into_iter().flatten();
        if let (Some(only), None) = (files.next(), files.next()) {
            self.guessed_file.insert(queue.to_owned(), only.clone());
        }
    }

    /// The minor number of a queue's video node, once it is known.
    pub fn minor(&self, queue: &str) -> Option<u32> {
        let known = self.file_of_queue.get(queue);
        let file = known.or_else(|| self.guessed_file.get(queue))?;
        self.minor_of_file.get(file).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of trace_pipe.
    fn line(pid: u32, event: &str) -> Line {
        uapi::trace::parse(&format!(" x-{pid} [000] ..... 0.000000: {event}")).unwrap()
    }

    fn armed(queue: &str) -> Line {
        let fence = "index=0 context=1 seqno=1";
        line(
            0,
            &format!("vb2_release_fence_armed: queue={queue} {fence}"),
        )
    }

    fn signalled(pid: u32, queue: &str) -> Line {
        let fence = "index=0 context=1 seqno=1 result=0";
        line(
            pid,
            &format!("vb2_release_fence_signalled: queue={queue} {fence}"),
        )
    }

    fn given(owner: &str) -> Line {
        line(
            7,
            &format!("vb2_buf_queue: owner = {owner}, index = 0, type = 1"),
        )
    }

    fn done(pid: u32, owner: &str, index: u32) -> Line {
        line(
            pid,
            &format!("vb2_buf_done: owner = {owner}, index = {index}, type = 1"),
        )
    }

    fn ioctl(pid: u32, owner: &str, minor: u32, dequeued: bool, capture: bool) -> [Line; 2] {
        let name = if dequeued { "dqbuf" } else { "qbuf" };
        let buffer = format!("index = 0, type = {}", if capture { 1 } else { 2 });
        let side = if capture { "CAPTURE" } else { "OUTPUT" };
        [
            line(pid, &format!("vb2_{name}: owner = {owner}, {buffer}")),
            line(
                pid,
                &format!("v4l2_{name}: minor = {minor}, index = 0, type = VIDEO_{side}"),
            ),
        ]
    }

    fn owners(lines: impl IntoIterator<Item = Line>) -> Owners {
        let mut owners = Owners::default();
        lines.into_iter().for_each(|line| owners.see(&line));
        owners
    }

    #[test]
    fn by_way_of_the_file() {
        let mut lines = vec![signalled(0, "cap-1"), done(0, "f1", 0)];
        lines.extend(ioctl(7, "f1", 3, true, false));
        assert_eq!(owners(lines).minor("cap-1"), Some(3));
    }

    #[test]
    fn tasks_do_not_mix() {
        let mut lines = vec![signalled(0, "cap-1"), signalled(5, "cap-2")];
        lines.extend([done(5, "f2", 0), done(0, "f1", 0)]);
        lines.extend(ioctl(7, "f1", 3, true, true));
        lines.extend(ioctl(8, "f2", 4, false, true));
        let owners = owners(lines);
        assert_eq!(owners.minor("cap-1"), Some(3));
        assert_eq!(owners.minor("cap-2"), Some(4));
        assert_eq!(owners.minor("cap-3"), None);
    }

    #[test]
    fn another_buffer_is_no_match() {
        let mut lines = vec![signalled(0, "cap-1"), done(0, "f1", 1)];
        lines.extend(ioctl(7, "f1", 3, true, true));
        assert_eq!(owners(lines).minor("cap-1"), None);
    }

    #[test]
    fn a_queue_that_waits() {
        let waiting = |pid, queue: &str, index| {
            let fence = format!("index={index} context=1 seqno=1 driver=d timeline=t");
            line(
                pid,
                &format!("vb2_acquire_fence_waiting: queue={queue} {fence}"),
            )
        };
        let mut lines = vec![waiting(7, "cap-1", 0), waiting(8, "cap-2", 0)];
        lines.extend(ioctl(7, "f1", 3, false, true));
        lines.extend(ioctl(8, "f2", 4, false, true));
        // Of another buffer, and of one that is dequeued.
        lines.push(waiting(7, "cap-3", 1));
        lines.extend(ioctl(7, "f1", 3, false, true));
        lines.push(waiting(7, "cap-4", 0));
        lines.extend(ioctl(7, "f1", 3, true, true));
        let owners = owners(lines);
        assert_eq!(owners.minor("cap-1"), Some(3));
        assert_eq!(owners.minor("cap-2"), Some(4));
        assert_eq!((owners.minor("cap-3"), owners.minor("cap-4")), (None, None));
    }

    #[test]
    fn a_fence_that_times_out() {
        let mut lines = vec![given("f1"), armed("cap-1"), signalled(5, "cap-1")];
        lines.extend([armed("out-1"), done(0, "f1", 0)]);
        lines.extend(ioctl(7, "f1", 3, false, true));
        let owners = owners(lines);
        assert_eq!(owners.minor("cap-1"), Some(3));
        assert_eq!(owners.minor("out-1"), None);
    }

    #[test]
    fn two_files_are_no_guess() {
        let mut lines = vec![given("f1"), given("f2"), armed("cap-1")];
        lines.extend(ioctl(7, "f1", 3, false, true));
        assert_eq!(owners(lines).minor("cap-1"), None);
        // And what is known is better.
        let mut lines = vec![given("f1"), armed("cap-1"), given("f2")];
        lines.extend([signalled(0, "cap-1"), done(0, "f2", 0)]);
        lines.extend(ioctl(7, "f1", 3, false, true));
        lines.extend(ioctl(7, "f2", 4, false, true));
        assert_eq!(owners(lines).minor("cap-1"), Some(4));
    }

    #[test]
    fn queueing_in_a_request_proves_nothing() {
        let mut lines = vec![signalled(0, "out-1"), done(0, "f1", 0)];
        lines.extend(ioctl(7, "f1", 3, false, false));
        assert_eq!(owners(lines).minor("out-1"), None);
    }

    #[test]
    fn lost_events_break_pairs() {
        let lost = uapi::trace::parse("CPU:0 [LOST 1 EVENTS]").unwrap();
        let mut lines = vec![signalled(0, "cap-1"), lost, done(0, "f1", 0)];
        lines.extend(ioctl(7, "f1", 3, true, true));
        assert_eq!(owners(lines).minor("cap-1"), None);
    }
}
