// SPDX-License-Identifier: GPL-2.0-only

//! poll(POLLIN): is it ready now, and when did each become ready?
//!
//! POLLIN only: on a memory-to-memory node POLLOUT is about the OUTPUT queue, on a dma-buf about
//! readers too.

use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use serde::Serialize;

use crate::clock::{self, Ns};

/// The answer of poll(POLLIN).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Readiness {
    /// Not readable: the content is not there yet.
    NotReady,
    /// Readable: the content may be used.
    Ready,
    /// POLLERR, POLLHUP or POLLNVAL.
    Error,
}

/// When a wait for a descriptor ended, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Woken {
    /// The time.
    pub at_ns: Ns,
    /// Ready, or an error.
    pub readiness: Readiness,
}

/// What `poll` said of one descriptor; `None` if it said nothing.
fn readiness(revents: PollFlags) -> Option<Readiness> {
    if revents.is_empty() {
        None
    } else if revents == PollFlags::IN {
        Some(Readiness::Ready)
    } else {
        Some(Readiness::Error)
    }
}

/// Asks without waiting.
pub fn ready_now(fd: BorrowedFd<'_>) -> rustix::io::Result<Readiness> {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    poll_until(&mut fds, 0)?;
    Ok(readiness(fds[0].revents()).unwrap_or(Readiness::NotReady))
}

/// Whether poll() says all of `flags` now.
pub fn says(fd: BorrowedFd<'_>, flags: PollFlags) -> rustix::io::Result<bool> {
    let mut fds = [PollFd::from_borrowed_fd(fd, flags)];
    poll_until(&mut fds, 0)?;
    Ok(fds[0].revents().contains(flags))
}

/// Waits for one descriptor; `None` if it was not ready by `limit`.
pub fn wait(fd: BorrowedFd<'_>, limit: Ns) -> rustix::io::Result<Option<Woken>> {
    Ok(wait_each(&[fd], limit)?.pop().flatten())
}

/// Waits for all descriptors together; says when each one became ready, `None` for those that
/// were not by `limit`.
pub fn wait_each(fds: &[BorrowedFd<'_>], limit: Ns) -> rustix::io::Result<Vec<Option<Woken>>> {
    let mut woken: Vec<Option<Woken>> = vec![None; fds.len()];
    loop {
        let waiting: Vec<usize> = (0..fds.len()).filter(|&i| woken[i].is_none()).collect();
        if waiting.is_empty() {
            return Ok(woken);
        }
        let mut set: Vec<PollFd<'_>> = waiting
            .iter()
            .map(|&i| PollFd::from_borrowed_fd(fds[i], PollFlags::IN))
            .collect();
        let count = poll_until(&mut set, limit)?;
        let at_ns = clock::now();
        if count == 0 {
            return Ok(woken);
        }
        for (&i, fd) in waiting.iter().zip(&set) {
            woken[i] = readiness(fd.revents()).map(|readiness| Woken { at_ns, readiness });
        }
    }
}

/// Waits until poll() says something of one of the descriptors that it was asked for; gives what it
/// says of each. It says nothing if it is `limit` first.
pub fn wait_any<const N: usize>(
    fds: [(BorrowedFd<'_>, PollFlags); N],
    limit: Ns,
) -> rustix::io::Result<[PollFlags; N]> {
    let mut set = fds.map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags));
    poll_until(&mut set, limit)?;
    Ok(set.map(|fd| fd.revents()))
}

/// `poll` with an absolute time limit, carried on after a signal.
fn poll_until(fds: &mut [PollFd<'_>], limit: Ns) -> rustix::io::Result<usize> {
    loop {
        let left = limit.saturating_sub(clock::now());
        let timeout = Timespec {
            tv_sec: (left / 1_000_000_000).try_into().unwrap_or(i64::MAX),
            tv_nsec: (left % 1_000_000_000) as _,
        };
        match rustix::event::poll(fds, Some(&timeout)) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MS;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn tells_ready_from_not_ready() {
        let (reader, mut writer) = UnixStream::pair().unwrap();
        assert_eq!(ready_now(reader.as_fd()).unwrap(), Readiness::NotReady);
        writer.write_all(b"x").unwrap();
        assert_eq!(ready_now(reader.as_fd()).unwrap(), Readiness::Ready);
    }

    #[test]
    fn hang_up_is_not_readiness() {
        let (reader, writer) = UnixStream::pair().unwrap();
        drop(writer);
        assert_eq!(ready_now(reader.as_fd()).unwrap(), Readiness::Error);
    }

    #[test]
    fn what_is_not_ready_is_not_waited_for_after_the_limit() {
        let (ready, mut writer) = UnixStream::pair().unwrap();
        let (never, _never_writer) = UnixStream::pair().unwrap();
        writer.write_all(b"x").unwrap();
        let limit = clock::now() + 20 * MS;
        let woken = wait_each(&[never.as_fd(), ready.as_fd()], limit).unwrap();
        assert!(clock::now() >= limit);
        assert_eq!(woken[0], None);
        assert_eq!(woken[1].unwrap().readiness, Readiness::Ready);
        assert_eq!(wait(never.as_fd(), 0).unwrap(), None);
        let both = PollFlags::IN | PollFlags::OUT;
        let asked = [(never.as_fd(), PollFlags::IN), (ready.as_fd(), both)];
        assert_eq!(wait_any(asked, Ns::MAX), Ok([PollFlags::empty(), both]));
        assert!(says(ready.as_fd(), both).unwrap());
        assert!(!says(never.as_fd(), PollFlags::IN).unwrap());
    }

    /// Whether the one that is written first has a time before the second one is written, if so much
    /// passes in between. The second one's time never is before it is written.
    fn each_has_its_own_time(pause: u64) -> bool {
        let (early, mut early_writer) = UnixStream::pair().unwrap();
        let (late, mut late_writer) = UnixStream::pair().unwrap();
        let writer = std::thread::spawn(move || {
            early_writer.write_all(b"x").unwrap();
            clock::sleep_until(clock::now() + pause);
            let written = clock::now();
            late_writer.write_all(b"x").unwrap();
            (written, early_writer, late_writer)
        });
        let woken = wait_each(&[late.as_fd(), early.as_fd()], Ns::MAX).unwrap();
        let (written, ..) = writer.join().unwrap();
        let (late, early) = (woken[0].unwrap(), woken[1].unwrap());
        assert!(late.at_ns >= written);
        assert!(early.at_ns <= late.at_ns);
        early.at_ns < written
    }

    #[test]
    fn waits_for_each_by_itself() {
        // A machine that is held up needs a longer pause; without times of their own none is enough.
        let mut pauses = [1, 10, 100, 1_000, 10_000].into_iter();
        assert!(pauses.any(|ms| each_has_its_own_time(ms * MS)));
    }
}
