// SPDX-License-Identifier: GPL-2.0-only

//! The work of a device on a buffer, as far as who hands the buffer on has to know of it.

use std::os::fd::OwnedFd;

use anyhow::Result;

use crate::pipeline::args::Way;
use uapi::explicit::Started;
use uapi::stream::Stream;

/// A device's work on a buffer.
#[derive(Debug, Default)]
pub struct Work {
    /// It has started, so that it ends whatever the program does, and its fence is there. Not known
    /// if nothing is handed on early.
    pub started: bool,
    /// That fence, if it is handed on explicitly, until it was.
    pub fence: Option<OwnedFd>,
    /// The buffer was dequeued: the program needs the fence no more.
    pub over: bool,
}

impl Work {
    /// Whether the next device may be given the buffer. Until the fence ends that device waits, not
    /// the program.
    pub fn lets_go_on(&self) -> bool {
        self.over || self.started
    }

    /// The buffer was dequeued.
    pub fn end(&mut self) {
        (self.over, self.fence) = (true, None);
    }
}

/// A buffer that may be queued again. Its last user has a fence, or does not need it any more.
#[derive(Debug)]
pub struct Free {
    /// Which one.
    pub index: u32,
    /// The last user's.
    pub fence: Option<OwnedFd>,
}

impl Free {
    /// One that no consumer uses.
    pub fn now(index: u32) -> Self {
        Self { index, fence: None }
    }
}

/// The next job of a device that has started, with its fence if that is handed on explicitly.
pub fn next_start(way: Way, stream: &Stream) -> Result<Option<(Started, Option<OwnedFd>)>> {
    while let Some(job) = stream.next_start()? {
        if way == Way::Implicit {
            return Ok(Some((job, None)));
        }
        match stream.export_fence(job.queue, job.index)? {
            Some(fence) if fence.number == job.number => {
                return Ok(Some((job, Some(fence.fence))));
            }
            // The event was about an earlier job of the buffer.
            _ => {}
        }
    }
    Ok(None)
}

/// Of the works on a buffer, the next one has started.
pub fn begin<'a>(mut works: impl Iterator<Item = &'a mut Work>, fence: Option<OwnedFd>) {
    if let Some(work) = works.find(|work| !work.lets_go_on()) {
        (work.started, work.fence) = (true, fence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_about_the_next_job() {
        let mut works = [(); 3].map(|()| Work::default());
        works[0].end();
        begin(works.iter_mut(), None);
        assert_eq!(
            works.each_ref().map(|work| work.started),
            [false, true, false]
        );
        assert_eq!(works.each_ref().map(Work::lets_go_on), [true, true, false]);
    }
}
