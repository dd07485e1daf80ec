// SPDX-License-Identifier: GPL-2.0-only

//! One job of a probe whose buffer another user has when it is queued: does it end before that user
//! has finished?

use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::{bail, Context, Result};

use crate::observation::acquire::Held;
use crate::observation::Dequeued;
use crate::observe::probe::{dequeue, Prepared, PATIENCE_MS};
use uapi::clock::{self, Ns, MS};
use uapi::device::Queue;
use uapi::dmabuf::{self, Access};
use uapi::held_fence::HeldFence;
use uapi::interrupt::Interrupt;
use uapi::poll::{self, Readiness};
use uapi::stream::Stream;

/// How long the calls may take that queue the buffers and start the job, on a busy machine too.
const CALLS_MS: u64 = 2_000;

/// So often Ctrl-C is looked for.
const STEP_MS: u64 = 50;

/// Another user of a buffer, who has not finished when the buffer is queued.
#[derive(Debug)]
pub struct User<'a> {
    /// Whose buffer it is.
    pub queue: Queue,
    /// What that user does with it.
    pub access: Access,
    /// What is signalled when that user has finished.
    pub fence: &'a HeldFence,
}

impl User<'_> {
    /// Begins to use a buffer, if it is of that queue: its last plane, which a device that looks at
    /// the first plane only does not find.
    pub fn begin<T: AsFd>(&self, queue: Queue, planes: &[T]) -> Result<()> {
        match planes.last() {
            Some(plane) if queue == self.queue => {
                dmabuf::import_sync_file(plane, self.access, self.fence.as_fd())
            }
            _ => Ok(()),
        }
    }

    /// The same for an OUTPUT buffer that was not exported before; keeps what it exports.
    pub fn begin_output(&self, stream: &Stream, index: u32) -> Result<Vec<OwnedFd>> {
        if self.queue != Queue::Output {
            return Ok(Vec::new());
        }
        let planes = stream.export(Queue::Output, index)?;
        self.begin(Queue::Output, &planes)?;
        Ok(planes)
    }
}

/// What the thread that makes the calls gives when all have returned.
type Started = Result<(Prepared, Ns)>;

/// Runs a job that `prepare` prepares, with this other user. The fence is signalled when the job
/// ends, or has been held for `hold` nanoseconds after the start, or a call does not return.
///
/// `job` is what a job takes: some devices run it in the call that starts it.
pub fn run(
    prepare: impl FnOnce() -> Result<Prepared> + Send,
    user: &User<'_>,
    job: Ns,
    hold: Ns,
    interrupt: &Interrupt,
) -> Result<Held> {
    let (sender, receiver) = mpsc::channel();
    let began_ns = clock::now();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // The receiver is gone if all is given up.
            let _ = sender.send(start(prepare));
        });
        let mut fence = Fence {
            fence: user.fence,
            signalled_ns: None,
        };
        let seen = watch(&receiver, &mut fence, job, hold, interrupt);
        // Whatever came: a call that waits for the fence must return.
        let signalled_ns = fence.signal()?;
        let seen = seen?;
        Ok(Held {
            queue: user.queue,
            access: user.access,
            began_ns,
            returned_ns: seen.returned_ns,
            signalled_ns,
            ended_ns: seen.ended_ns,
            dequeued: seen.dequeued,
        })
    })
}

fn start(prepare: impl FnOnce() -> Result<Prepared>) -> Started {
    let prepared = prepare()?;
    let started = prepared.start.call(&prepared.stream);
    started.context("the job could not be started")?;
    Ok((prepared, clock::now()))
}

/// The fence, signalled once.
struct Fence<'a> {
    fence: &'a HeldFence,
    signalled_ns: Option<Ns>,
}

impl Fence<'_> {
    /// Signals it, if that has not been done; says when.
    fn signal(&mut self) -> Result<Ns> {
        if let Some(at_ns) = self.signalled_ns {
            return Ok(at_ns);
        }
        let at_ns = clock::now();
        self.signalled_ns = Some(at_ns);
        self.fence.signal()?;
        Ok(at_ns)
    }
}

/// How a job ended.
struct Ending {
    returned_ns: Option<Ns>,
    ended_ns: Option<Ns>,
    dequeued: Dequeued,
}

fn watch(
    receiver: &Receiver<Started>,
    fence: &mut Fence<'_>,
    job: Ns,
    hold: Ns,
    interrupt: &Interrupt,
) -> Result<Ending> {
    let limit = clock::now() + CALLS_MS * MS + 2 * job;
    let Some(started) = receive(receiver, limit, interrupt)? else {
        fence.signal()?;
        let limit = clock::now() + PATIENCE_MS * MS;
        let started = receive(receiver, limit, interrupt)?;
        started.context("a call does not return, though the fence is signalled")??;
        return Ok(Ending {
            returned_ns: None,
            ended_ns: None,
            dequeued: Dequeued::Failed("not looked for".into()),
        });
    };
    let (prepared, returned_ns) = started?;
    let mut ended = end(&prepared, returned_ns + hold, interrupt)?;
    if ended.is_none() {
        let signalled_ns = fence.signal()?;
        ended = end(&prepared, signalled_ns + PATIENCE_MS * MS, interrupt)?;
    }
    let (ended_ns, dequeued) = ended.unzip();
    Ok(Ending {
        returned_ns: Some(returned_ns),
        ended_ns,
        dequeued: dequeued.unwrap_or_else(|| Dequeued::Failed("no buffer was done".into())),
    })
}

/// What the thread gives; `None` if that is nothing by `limit`.
fn receive(
    receiver: &Receiver<Started>,
    limit: Ns,
    interrupt: &Interrupt,
) -> Result<Option<Started>> {
    loop {
        match receiver.recv_timeout(Duration::from_millis(STEP_MS)) {
            Ok(started) => return Ok(Some(started)),
            Err(RecvTimeoutError::Disconnected) => bail!("the thread that starts the job is gone"),
            Err(RecvTimeoutError::Timeout) => interrupt.check()?,
        }
        if clock::now() >= limit {
            return Ok(None);
        }
    }
}

/// When the observed buffer was done, and how it came back; `None` if it was not by `limit`.
fn end(prepared: &Prepared, limit: Ns, interrupt: &Interrupt) -> Result<Option<(Ns, Dequeued)>> {
    let stream = &prepared.stream;
    while clock::now() < limit {
        interrupt.check()?;
        let step = limit.min(clock::now() + STEP_MS * MS);
        let woken = poll::wait(stream.as_fd(), step).context("poll of the video node")?;
        let Some(woken) = woken else { continue };
        match dequeue(stream, prepared.target) {
            Some(dequeued) => return Ok(Some((woken.at_ns, dequeued))),
            None if woken.readiness == Readiness::Error => {
                let lost = Dequeued::Failed("poll of the video node says: error".into());
                return Ok(Some((woken.at_ns, lost)));
            }
            None => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_the_thread_up_to_a_limit() {
        let (sender, receiver) = mpsc::channel();
        let interrupt = Interrupt::default();
        let none = receive(&receiver, clock::now(), &interrupt).unwrap();
        assert!(none.is_none());
        sender.send(Err(anyhow::anyhow!("refused"))).unwrap();
        let refused = receive(&receiver, 0, &interrupt).unwrap().unwrap();
        assert_eq!(refused.unwrap_err().to_string(), "refused");
        interrupt.raise();
        let limit = clock::now() + PATIENCE_MS * MS;
        let err = receive(&receiver, limit, &interrupt).unwrap_err();
        assert_eq!(err.to_string(), "interrupted");
        drop(sender);
        assert!(receive(&receiver, limit, &Interrupt::default()).is_err());
    }
}
