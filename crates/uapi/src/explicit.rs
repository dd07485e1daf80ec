// SPDX-License-Identifier: GPL-2.0-only

//! Explicit fences of V4L2: that of a job that has started (VIDIOC_EXPFENCE), the event that tells
//! of it (V4L2_EVENT_RELEASE_FENCE), and those that go with QBUF. The headers of the system have
//! none of this.

use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use anyhow::{bail, ensure, Context, Result};
use rustix::io::Errno;
use rustix::ioctl::{opcode, Opcode, Setter, Updater};
use v4l2r::bindings::{v4l2_buffer, v4l2_event, v4l2_event_subscription};
use v4l2r::ioctl::{self, DqEventError};
use v4l2r::QueueType;

use crate::clock::Ns;
use crate::queue_fences::QueueFences;
use crate::queues::Queue;

/// `V4L2_BUF_FLAG_IN_FENCE`.
const IN_FENCE: u32 = 0x0020_0000;
/// `V4L2_BUF_FLAG_OUT_FENCE`.
const OUT_FENCE: u32 = 0x0040_0000;
/// `V4L2_EVENT_RELEASE_FENCE`.
const EVENT: u32 = 7;

/// `struct v4l2_exportfence`.
#[derive(Debug, Default)]
#[repr(C)]
struct ExportFence {
    kind: u32,
    index: u32,
    flags: u32,
    fd: i32,
    sequence: u32,
    reserved: [u32; 3],
}

/// `VIDIOC_EXPFENCE`.
const EXPFENCE: Opcode = opcode::read_write::<ExportFence>(b'V', 105);
/// `VIDIOC_SUBSCRIBE_EVENT`.
const SUBSCRIBE: Opcode = opcode::write::<v4l2_event_subscription>(b'V', 90);

/// The fence of a buffer's job.
#[derive(Debug)]
pub struct JobFence {
    /// As a sync_file.
    pub fence: OwnedFd,
    /// Its number, which increases from job to job of the buffer.
    pub number: u32,
}

/// Takes the fence of the job that the last QBUF of a buffer led to; `None` before it has started.
pub fn export_fence(file: &File, queue: QueueType, index: u32) -> Result<Option<JobFence>> {
    let mut arg = ExportFence {
        kind: queue as u32,
        index,
        flags: rustix::fs::OFlags::CLOEXEC.bits(),
        fd: -1,
        ..ExportFence::default()
    };
    // SAFETY: the opcode is VIDIOC_EXPFENCE, and `ExportFence` has the layout of its structure.
    let request = unsafe { Updater::<EXPFENCE, ExportFence>::new(&mut arg) };
    // SAFETY: the request reads and writes `arg` only, and makes a new descriptor.
    match unsafe { rustix::ioctl::ioctl(file, request) } {
        Err(Errno::AGAIN) => return Ok(None),
        Err(Errno::NOTTY) => bail!("VIDIOC_EXPFENCE: not supported by this kernel or driver"),
        other => other.context("VIDIOC_EXPFENCE")?,
    }
    Ok(Some(JobFence {
        // SAFETY: the ioctl succeeded, so this is a new descriptor that nothing else owns.
        fence: unsafe { OwnedFd::from_raw_fd(arg.fd) },
        number: arg.sequence,
    }))
}

/// A job that has started: its buffer has a fence now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// The queue of the buffer.
    pub queue: Queue,
    /// Which one.
    pub index: u32,
    /// The fence's number, see [`JobFence::number`].
    pub number: u32,
    /// When the event was sent.
    pub at_ns: Ns,
}

impl TryFrom<v4l2_event> for Started {
    type Error = ();

    fn try_from(event: v4l2_event) -> Result<Self, ()> {
        // SAFETY: every pattern of bits is valid for bytes, and the union was made of zeroes.
        let data = unsafe { event.u.data };
        let word = |at: usize| u32::from_ne_bytes([0, 1, 2, 3].map(|byte| data[4 * at + byte]));
        let queue = match QueueType::n(word(0)) {
            _ if event.type_ != EVENT => return Err(()),
            Some(QueueType::VideoOutput | QueueType::VideoOutputMplane) => Queue::Output,
            Some(QueueType::VideoCapture | QueueType::VideoCaptureMplane) => Queue::Capture,
            _ => return Err(()),
        };
        Ok(Self {
            queue,
            index: word(1),
            number: word(2),
            at_ns: event.timestamp.tv_sec as Ns * 1_000_000_000 + event.timestamp.tv_nsec as Ns,
        })
    }
}

/// Has the kernel tell of each job of a queue that starts. The file is then ready for POLLPRI.
pub fn subscribe(file: &File, queue: QueueType) -> Result<()> {
    let arg = v4l2_event_subscription {
        type_: EVENT,
        id: queue as u32,
        ..Default::default()
    };
    // SAFETY: the opcode is VIDIOC_SUBSCRIBE_EVENT, and the argument is its structure.
    let request = unsafe { Setter::<SUBSCRIBE, v4l2_event_subscription>::new(arg) };
    // SAFETY: the request reads its own argument only.
    match unsafe { rustix::ioctl::ioctl(file, request) } {
        Err(Errno::INVAL | Errno::NOTTY) => {
            bail!("V4L2_EVENT_RELEASE_FENCE: not supported by this kernel or queue")
        }
        other => other.context("VIDIOC_SUBSCRIBE_EVENT"),
    }
}

/// The next job that has started, if there is one that was not told of yet.
pub fn next_start(file: &File) -> Result<Option<Started>> {
    match ioctl::dqevent(file) {
        Ok(started) => Ok(Some(started)),
        Err(DqEventError::NotReady) => Ok(None),
        Err(err) => Err(err).context("VIDIOC_DQEVENT"),
    }
}

/// The fences that go with QBUF. By default none: then the dma-bufs' own fences count.
#[derive(Clone, Copy, Debug, Default)]
pub struct QbufFences<'a> {
    /// In-fence: what the device waits for, instead of the fences in the buffer's dma-bufs. The
    /// descriptor stays the caller's.
    pub wait: Option<BorrowedFd<'a>>,
    /// Whether to ask for an out-fence, that of the job.
    pub out: bool,
}

impl<'a> QbufFences<'a> {
    /// An in-fence, if there is one, and no out-fence.
    pub fn wait(fence: Option<BorrowedFd<'a>>) -> Self {
        Self {
            wait: fence,
            out: false,
        }
    }

    /// Puts them into the argument of QBUF, for a queue that has these fences.
    ///
    /// One that has not would ignore them, and use the buffer too early.
    pub(crate) fn put(&self, buffer: &mut v4l2_buffer, has: QueueFences) -> Result<()> {
        if let Some(wait) = self.wait {
            ensure!(
                has.in_fences,
                "this queue takes no in-fences: `vb2-fence list` shows those that do"
            );
            buffer.flags |= IN_FENCE;
            buffer.reserved2 = wait.as_raw_fd() as u32;
        }
        if self.out {
            ensure!(
                has.out_fences,
                "this queue gives no out-fences: `vb2-fence list` shows those that do, and \
                 VIDIOC_EXPFENCE gives the fence of a job that has started"
            );
            buffer.flags |= OUT_FENCE;
        }
        Ok(())
    }

    /// Takes the out-fence from what QBUF gave back for what [`Self::put`] made.
    ///
    /// # Safety
    ///
    /// QBUF succeeded, and nothing else has taken its out-fence.
    pub(crate) unsafe fn take(&self, back: &v4l2_buffer) -> Result<Option<OwnedFd>> {
        if !self.out {
            return Ok(None);
        }
        let fd = back.reserved2 as i32;
        ensure!(fd >= 0, "QBUF gave no out-fence, but {fd}");
        // SAFETY: `put` saw that the queue gives out-fences, so this is a new descriptor, and by
        // the contract of this function nothing else owns it.
        Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{AsFd, IntoRawFd};

    fn null() -> File {
        File::open("/dev/null").unwrap()
    }

    #[test]
    fn layout_is_the_kernels() {
        assert_eq!(size_of::<ExportFence>(), 32);
        assert_eq!(EXPFENCE, 0xc020_5669);
        assert_eq!(SUBSCRIBE, 0x4020_565a);
        assert_eq!(std::mem::offset_of!(ExportFence, fd), 12);
        assert_eq!(std::mem::offset_of!(ExportFence, sequence), 16);
        // fence_fd is in a union with it.
        let at = std::mem::offset_of!(v4l2_buffer, reserved2);
        assert_eq!(at, std::mem::offset_of!(v4l2_buffer, length) + 4);
    }

    #[test]
    fn events_of_other_types_and_queues_are_refused() {
        let started = |type_, kind: u32| {
            let mut data = [0; 64];
            for (at, word) in [kind, 3, 77].into_iter().enumerate() {
                data[4 * at..][..4].copy_from_slice(&word.to_ne_bytes());
            }
            let mut event = v4l2_event {
                type_,
                ..Default::default()
            };
            event.u.data = data;
            (event.timestamp.tv_sec, event.timestamp.tv_nsec) = (2, 5);
            Started::try_from(event).map(|job| (job.queue, job.index, job.number, job.at_ns))
        };
        for (kind, queue) in [
            (1, Queue::Capture),
            (2, Queue::Output),
            (9, Queue::Capture),
            (10, Queue::Output),
        ] {
            assert_eq!(started(7, kind), Ok((queue, 3, 77, 2_000_000_005)));
        }
        assert!(started(5, 9).is_err());
        assert!(started(7, 13).is_err() && started(7, 99).is_err());
    }

    #[test]
    fn fences_of_a_qbuf() {
        let file = null();
        let has = QueueFences {
            in_fences: true,
            out_fences: true,
            ..QueueFences::default()
        };
        let put = |fences: QbufFences<'_>, has| {
            let mut buffer = v4l2_buffer::default();
            let put = fences.put(&mut buffer, has);
            put.map(|()| (buffer.flags, buffer.reserved2))
        };
        let none = QbufFences::default();
        let wait = QbufFences::wait(Some(file.as_fd()));
        let out = QbufFences {
            wait: None,
            out: true,
        };
        let number = file.as_raw_fd() as u32;
        assert_eq!(put(none, QueueFences::default()).unwrap(), (0, 0));
        assert_eq!(put(wait, has).unwrap(), (0x20_0000, number));
        assert_eq!(put(out, has).unwrap(), (0x40_0000, 0));
        let both = QbufFences { out: true, ..wait };
        assert_eq!(put(both, has).unwrap(), (0x60_0000, number));
        // A queue without them would ignore the flags, so it is not asked.
        let err = |fences| format!("{:#}", put(fences, QueueFences::default()).unwrap_err());
        assert!(err(wait).contains("no in-fences"));
        assert!(err(out).contains("no out-fences"));
    }

    #[test]
    fn the_out_fence_is_taken_if_it_was_asked_for() {
        let mut back = v4l2_buffer::default();
        let take = |out, back: &v4l2_buffer| {
            let fences = QbufFences { wait: None, out };
            // SAFETY: `back` has a descriptor that nothing else owns, or none.
            unsafe { fences.take(back) }
        };
        assert!(take(false, &back).unwrap().is_none());
        back.reserved2 = -1_i32 as u32;
        assert!(take(true, &back).is_err());
        let given = OwnedFd::from(null()).into_raw_fd();
        back.reserved2 = given as u32;
        let taken = take(true, &back).unwrap().unwrap();
        assert_eq!(taken.as_raw_fd(), given);
    }

    #[test]
    fn other_files_are_refused() {
        let (file, queue) = (null(), QueueType::VideoCapture);
        let err = |result: Result<()>| format!("{:#}", result.unwrap_err());
        let fence = export_fence(&file, queue, 0).map(drop);
        assert!(err(fence).starts_with("VIDIOC_EXPFENCE: not supported"));
        assert!(err(subscribe(&file, queue)).contains("not supported"));
        assert!(err(next_start(&file).map(drop)).starts_with("VIDIOC_DQEVENT: "));
    }
}
