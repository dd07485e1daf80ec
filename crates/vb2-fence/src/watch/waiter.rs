// SPDX-License-Identifier: GPL-2.0-only

//! A consumer of our own: a thread that waits for the fences of another program's dma-buf, and says
//! how long after each signal it runs again.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::process::{pidfd_getfd, pidfd_open, Pid, PidfdFlags, PidfdGetfdFlags};

use uapi::clock::{self, Ns, MS};
use uapi::dmabuf;
use uapi::poll;
use uapi::sync_file;
use uapi::sync_file::{FenceStatus, FENCE_DRIVER};

/// Between two looks for the next fence.
const PAUSE: Duration = Duration::from_millis(1);

/// A descriptor of another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// The process.
    pub pid: i32,
    /// Its descriptor.
    pub fd: i32,
}

impl Foreign {
    /// Reads "1234:17".
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split_once(':').and_then(|(pid, fd)| {
            let (pid, fd) = (pid.parse().ok()?, fd.parse().ok()?);
            (pid > 0 && fd >= 0).then_some(Self { pid, fd })
        });
        parts.ok_or_else(|| {
            "a descriptor is PID:FD; ls -l /proc/PID/fd shows a program's dma-bufs".into()
        })
    }

    /// Takes the descriptor over.
    fn take(self) -> Result<OwnedFd> {
        let Self { pid, fd } = self;
        let process = Pid::from_raw(pid).context("a process number is positive")?;
        let pidfd = pidfd_open(process, PidfdFlags::empty())
            .with_context(|| format!("there is no process {pid}"))?;
        pidfd_getfd(pidfd, fd, PidfdGetfdFlags::empty()).map_err(|errno| match errno {
            Errno::PERM => {
                anyhow::anyhow!("no permission to take descriptor {fd} of process {pid}; be root")
            }
            Errno::BADF => anyhow::anyhow!("process {pid} has no descriptor {fd}"),
            other => anyhow::anyhow!("descriptor {fd} of process {pid}: {other}"),
        })
    }
}

/// When a waiter ran again.
#[derive(Clone, Debug)]
pub struct Wakeup {
    /// The fence's timeline, which is the queue's name.
    pub queue: String,
    /// How long after the signal.
    pub took: Ns,
}

/// The thread. Dropping it ends it.
#[derive(Debug)]
pub struct Waiter {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    wakeups: Receiver<Wakeup>,
}

impl Waiter {
    /// Starts it.
    pub fn start(foreign: Foreign) -> Result<Self> {
        let dmabuf = foreign.take()?;
        dmabuf::export_read_sync_file(&dmabuf).with_context(|| {
            format!(
                "descriptor {} of process {} is not a dma-buf",
                foreign.fd, foreign.pid
            )
        })?;
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, wakeups) = mpsc::channel();
        let flag = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("waiter".into())
            .spawn(move || {
                while !flag.load(Ordering::Relaxed) {
                    // What fails once may work for the next fence.
                    let _ = wait_once(&dmabuf, &sender);
                    std::thread::sleep(PAUSE);
                }
            })
            .context("cannot start a thread")?;
        Ok(Self {
            stop,
            thread: Some(thread),
            wakeups,
        })
    }

    /// The wake-ups since the last time.
    pub fn take(&self) -> Vec<Wakeup> {
        self.wakeups.try_iter().collect()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It does not panic, and nothing could be done if it did.
            let _ = thread.join();
        }
    }
}

/// Waits for the fence that is pending, if one is; not for long, so that the thread can be ended.
fn wait_once(dmabuf: &OwnedFd, sender: &Sender<Wakeup>) -> Result<()> {
    let sync_file = dmabuf::export_read_sync_file(dmabuf)?;
    if sync_file::info(&sync_file)?.status != FenceStatus::Pending {
        return Ok(());
    }
    let limit = clock::now() + 500 * MS;
    let woken = poll::wait(sync_file.as_fd(), limit)?;
    let Some(woken) = woken else {
        return Ok(());
    };
    let last = sync_file::info(&sync_file)?
        .fences
        .into_iter()
        .filter(|fence| fence.driver == FENCE_DRIVER && fence.timestamp_ns != 0)
        .max_by_key(|fence| fence.timestamp_ns);
    if let Some(fence) = last {
        let took = woken.at_ns.saturating_sub(fence.timestamp_ns);
        // The receiver is gone when the watch ends.
        let _ = sender.send(Wakeup {
            queue: fence.timeline,
            took,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_of_others() {
        assert_eq!(Foreign::parse("12:3"), Ok(Foreign { pid: 12, fd: 3 }));
        for bad in ["", "12", "0:3", "12:-1", "a:b", "12:3:4"] {
            assert!(Foreign::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn takes_only_dmabufs() {
        let pid = std::process::id() as i32;
        let err = Waiter::start(Foreign { pid, fd: 1_000_000 }).unwrap_err();
        assert!(format!("{err:#}").contains("1000000"), "{err:#}");
    }
}
