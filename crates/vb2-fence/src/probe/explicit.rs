// SPDX-License-Identifier: GPL-2.0-only

//! The explicit part of a probe: does V4L2_EVENT_RELEASE_FENCE come while a job runs, and does the
//! fence that VIDIOC_EXPFENCE gives then end with the job?

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::observation::Dequeued;
use crate::observe::probe::{dequeue, Prepared, PATIENCE_MS};
use crate::words::status;
use uapi::clock::{self, ms_between, Ns, MS};
use uapi::device::Queue;
use uapi::explicit::{JobFence, Started};
use uapi::poll;
use uapi::stream::Stream;
use uapi::sync_file::{self, FenceStatus};

/// Between two questions.
const PAUSE: Duration = Duration::from_micros(500);

/// How long after the buffer the fence may end.
const END_PATIENCE_MS: u64 = 3_000;

/// What is wrong with an event that was sent too early, or too late.
const NOT_MEANWHILE: &str = "the event did not come while the job ran";

/// What the device is found to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It tells that a job has started, and gives its fence.
    Tells,
    /// Kernel, driver or queue do not have this.
    NotSupported,
    /// The job was over before the event could be read.
    Unseen,
    /// The event did not come, or what the fence says is not what happened.
    Wrong,
}

impl Verdict {
    /// The name in the text.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Tells => "tells of jobs",
            Self::NotSupported => "not supported",
            Self::Unseen => "could not be seen",
            Self::Wrong => "tells WRONG things of jobs",
        }
    }
}

/// What the command shows of explicit fences; its JSON has the same fields.
#[derive(Debug, Serialize)]
pub struct Explicit {
    /// What the device is found to do.
    pub verdict: Verdict,
    /// What the job showed.
    pub reason: String,
    /// The job.
    pub seen: Option<Seen>,
}

/// What was seen of a job. Times are CLOCK_MONOTONIC in nanoseconds.
#[derive(Debug, Serialize)]
pub struct Seen {
    /// Just before the call that started it.
    pub started_ns: Ns,
    /// When the event was sent.
    pub event_ns: Option<Ns>,
    /// The event was read only after the buffer was dequeued, and its fence was not asked for.
    pub read_late: bool,
    /// The fence had the event's number.
    pub same_number: bool,
    /// The fence at its end.
    pub fence: Option<FenceStatus>,
    /// When it was signalled.
    pub signalled_ns: Option<Ns>,
    /// It was over, and the device still had the buffer.
    pub early: bool,
    /// When the buffer was dequeued.
    pub ended_ns: Ns,
    /// How.
    pub dequeued: Dequeued,
}

impl Explicit {
    /// Runs a job.
    pub fn ask(prepared: &Prepared) -> Result<Self> {
        if let Err(err) = prepared.stream.subscribe_starts(Queue::Capture) {
            return Ok(Self {
                verdict: Verdict::NotSupported,
                reason: format!("{err:#}"),
                seen: None,
            });
        }
        let seen = run(prepared)?;
        let (verdict, reason) = seen.judge();
        Ok(Self {
            verdict,
            reason,
            seen: Some(seen),
        })
    }
}

/// Runs the job. The call that starts it may last until its end, so it has a thread of its own.
fn run(prepared: &Prepared) -> Result<Seen> {
    let started_ns = clock::now();
    let returned = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (stream, start) = (&prepared.stream, &prepared.start);
        let start = scope.spawn(|| {
            let called = start.call(stream);
            returned.store(true, Ordering::Release);
            called
        });
        let seen = watch(prepared, started_ns, &returned);
        match start.join() {
            Ok(called) => called.context("the job could not be started")?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        seen
    })
}

/// Hears of the job, takes its fence, and waits for the end of both. `returned`: the call that starts
/// it has.
fn watch(prepared: &Prepared, started_ns: Ns, returned: &AtomicBool) -> Result<Seen> {
    let (stream, target) = (&prepared.stream, prepared.target);
    let give_up = clock::now() + PATIENCE_MS * MS;
    let (mut heard, mut fence, mut early) = (None, None, false);
    let dequeued = loop {
        if heard.is_none() {
            heard = next_start_of(stream, target)?;
            if heard.is_some() {
                fence = stream.export_fence(Queue::Capture, target)?;
            }
        }
        if let Some(fence) = &fence {
            let over = sync_file::info(&fence.fence)?.status != FenceStatus::Pending;
            early |= over && stream.is_underway(Queue::Capture, target)?;
        }
        // A queue that does not stream yet has no buffer to wait for, and says that this is wrong.
        let begun = heard.is_some() || returned.load(Ordering::Acquire);
        match begun.then(|| dequeue(stream, target)).flatten() {
            Some(dequeued) => break dequeued,
            None if clock::now() > give_up => break Dequeued::Failed("no buffer was done".into()),
            None => std::thread::sleep(PAUSE),
        }
    };
    let ended_ns = clock::now();
    // A short job may be over between the question for the event and that for the buffer.
    let late = match heard {
        None => next_start_of(stream, target)?,
        Some(_) => None,
    };
    let mut seen = Seen {
        started_ns,
        event_ns: heard.or(late).map(|job| job.at_ns),
        read_late: late.is_some(),
        same_number: false,
        fence: None,
        signalled_ns: None,
        early,
        ended_ns,
        dequeued,
    };
    if let (Some(job), Some(JobFence { fence, number })) = (heard, fence) {
        seen.same_number = number == job.number;
        poll::wait(fence.as_fd(), ended_ns + END_PATIENCE_MS * MS).context("wait for the fence")?;
        let info = sync_file::info(&fence)?;
        seen.fence = Some(info.status);
        let times = info.fences.iter().map(|fence| fence.timestamp_ns);
        seen.signalled_ns = times.max().filter(|&at_ns| at_ns > 0);
    }
    Ok(seen)
}

/// The event that the job of a buffer has started, if it has come.
fn next_start_of(stream: &Stream, target: u32) -> Result<Option<Started>> {
    while let Some(job) = stream.next_start()? {
        if job.index == target {
            return Ok(Some(job));
        }
    }
    Ok(None)
}

impl Seen {
    fn judge(&self) -> (Verdict, String) {
        let wrong = |why: String| (Verdict::Wrong, why);
        if let Dequeued::Failed(err) = &self.dequeued {
            return wrong(err.clone());
        }
        if let (Some(event_ns), true) = (self.event_ns, self.read_late) {
            // When it was sent is known, but not whether its fence could have been had in time.
            if !(self.started_ns..=self.ended_ns).contains(&event_ns) {
                return wrong(NOT_MEANWHILE.into());
            }
            let text = "the job was over before the event could be read";
            return (Verdict::Unseen, text.into());
        }
        let (Some(event_ns), true) = (self.event_ns, self.same_number) else {
            return wrong(match (self.event_ns, self.fence) {
                (None, _) => "no event before the buffer came back".into(),
                (_, None) => "the event came, and the buffer had no fence".into(),
                _ => "the event names another fence".into(),
            });
        };
        let (Some(fence), Some(signalled_ns)) = (self.fence, self.signalled_ns) else {
            return wrong("the fence did not end".into());
        };
        if event_ns < self.started_ns || event_ns > signalled_ns {
            return wrong(NOT_MEANWHILE.into());
        }
        if self.early {
            return wrong("the fence ended before the job".into());
        }
        let failed = matches!(fence, FenceStatus::Failed(_));
        if failed != (self.dequeued == Dequeued::Flagged) {
            let text = status(fence);
            return wrong(format!(
                "the fence is {text}, and the buffer says otherwise"
            ));
        }
        let since = |at_ns| ms_between(self.started_ns, at_ns);
        let (event, end) = (since(event_ns), since(signalled_ns));
        let text = status(fence);
        let text = format!("event after {event:.1} ms, its fence {text} after {end:.1} ms");
        (Verdict::Tells, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Seen {
        Seen {
            started_ns: 100 * MS,
            event_ns: Some(101 * MS),
            read_late: false,
            same_number: true,
            fence: Some(FenceStatus::Signalled),
            signalled_ns: Some(300 * MS),
            early: false,
            ended_ns: 301 * MS,
            dequeued: Dequeued::Done,
        }
    }

    /// What is said if `change` is done to what is right.
    #[track_caller]
    fn wrong(change: impl Fn(&mut Seen), why: &str) {
        let mut seen = seen();
        change(&mut seen);
        let (verdict, reason) = seen.judge();
        assert_eq!(verdict, Verdict::Wrong);
        assert!(reason.contains(why), "{reason}");
    }

    #[test]
    fn what_is_right() {
        let (verdict, reason) = seen().judge();
        assert_eq!(verdict, Verdict::Tells);
        let text = "event after 1.0 ms, its fence signalled after 200.0 ms";
        assert_eq!(reason, text);
        let failed = Seen {
            fence: Some(FenceStatus::Failed(5)),
            dequeued: Dequeued::Flagged,
            ..seen()
        };
        assert_eq!(failed.judge().0, Verdict::Tells);
    }

    #[test]
    fn an_event_that_was_read_late() {
        let late = |event_ms: u64| Seen {
            event_ns: Some(event_ms * MS),
            read_late: true,
            same_number: false,
            fence: None,
            signalled_ns: None,
            ..seen()
        };
        let text = "the job was over before the event could be read";
        for event_ms in [100, 101, 301] {
            assert_eq!(late(event_ms).judge(), (Verdict::Unseen, text.into()));
        }
        // When it was sent is known all the same.
        for event_ms in [99, 302] {
            let (verdict, reason) = late(event_ms).judge();
            assert_eq!(verdict, Verdict::Wrong);
            assert!(reason.contains("while the job ran"), "{reason}");
        }
        let failed = Seen {
            dequeued: Dequeued::Failed("no buffer".into()),
            ..late(101)
        };
        assert_eq!(failed.judge(), (Verdict::Wrong, "no buffer".into()));
    }

    #[test]
    fn what_is_wrong_is_said() {
        wrong(|seen| seen.event_ns = None, "no event");
        wrong(|seen| seen.event_ns = Some(99 * MS), "while the job ran");
        wrong(|seen| seen.event_ns = Some(301 * MS), "while the job ran");
        wrong(|seen| seen.same_number = false, "another fence");
        wrong(|seen| seen.signalled_ns = None, "did not end");
        wrong(|seen| seen.early = true, "before the job");
        wrong(
            |seen| seen.fence = Some(FenceStatus::Failed(5)),
            "otherwise",
        );
        wrong(|seen| seen.dequeued = Dequeued::Flagged, "otherwise");
        wrong(
            |seen| seen.dequeued = Dequeued::Failed("no buffer".into()),
            "no buffer",
        );
        wrong(
            |seen| (seen.same_number, seen.fence) = (false, None),
            "had no fence",
        );
    }
}
