// SPDX-License-Identifier: GPL-2.0-only

//! Says whether a device waits for those who use a buffer when it is queued.
//!
//! One job of each kind is enough: one that ends before the fence is signalled proves that it does
//! not wait, and one that does not end in several times its own time waits.

use serde::Serialize;

use crate::observation::acquire::Held;
use crate::observation::Dequeued;
use uapi::clock::{ms_between, Ns};
use uapi::device::Queue;
use uapi::dmabuf::Access;

/// So many times what a job takes the fence is held, if nothing is in the way of that.
const JOBS: u64 = 5;

/// With fewer it shows nothing that a job does not end: it may still be running.
const LEAST_JOBS: f64 = 2.0;

/// The fence cannot be held for long enough.
pub const TOO_LONG: &str =
    "the timeout of acquire fences is too short for a job that takes so long";

/// A job is given so much at least, in nanoseconds: a machine can be busy.
const LEAST_NS: Ns = 100_000_000;

/// The fence is not held for longer, in nanoseconds: one of vgem ends by itself after 10 s.
const MOST_NS: Ns = 8_000_000_000;

/// How long to hold the fence, from when the job is started: before the kernel gives it up.
///
/// `job` is what a job takes, `timeout` that of the kernel, if it has one.
pub fn hold_for(job: Ns, timeout: Option<Ns>) -> Ns {
    let wanted = (job * JOBS).clamp(LEAST_NS, MOST_NS);
    timeout.map_or(wanted, |timeout| wanted.min(timeout / 4 * 3))
}

/// What one job shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// The job ended after the fence.
    Waits,
    /// It ended before.
    DoesNotWait,
    /// Neither could be seen.
    Unseen,
    /// A call returned after the fence only.
    Blocks,
    /// The job did not end after the fence either.
    NeverEnds,
}

impl Finding {
    /// The name in the text.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Waits => "waits",
            Self::DoesNotWait => "does not wait",
            Self::Unseen => "could not be seen",
            Self::Blocks => "a call WAITS",
            Self::NeverEnds => "NEVER goes on",
        }
    }

    /// Whether it is what the job has to do, which is to wait, or not.
    pub fn is_right(self, has_to_wait: bool) -> bool {
        match self {
            Self::Waits => has_to_wait,
            Self::DoesNotWait => !has_to_wait,
            Self::Unseen | Self::Blocks | Self::NeverEnds => false,
        }
    }
}

impl Held {
    /// What the job shows, and why; `job` and `timeout` as for [`hold_for`].
    pub fn judge(&self, job: Ns, timeout: Option<Ns>) -> (Finding, String) {
        let held = ms_between(self.began_ns, self.signalled_ns);
        let Some(returned) = self.returned_ns else {
            let text =
                format!("a call did not return in {held:.0} ms, while the fence was pending");
            return (Finding::Blocks, text);
        };
        let Some(ended) = self.ended_ns else {
            return (Finding::NeverEnds, "the job did not end".into());
        };
        if let Dequeued::Failed(err) = &self.dequeued {
            return (Finding::Unseen, err.clone());
        }
        if ended < self.signalled_ns {
            let after = ms_between(self.began_ns, ended);
            let timed_out = timeout.is_some_and(|timeout| ended - self.began_ns >= timeout);
            return if timed_out {
                let text = "the timeout of acquire fences came before the fence";
                (Finding::Unseen, text.into())
            } else {
                let text =
                    format!("the job ended after {after:.1} ms, while the fence was pending");
                (Finding::DoesNotWait, text)
            };
        }
        if ms_between(returned, self.signalled_ns) < LEAST_JOBS * ms_between(0, job) {
            return (Finding::Unseen, TOO_LONG.into());
        }
        let later = ms_between(self.signalled_ns, ended);
        let text =
            format!("the job ended {later:.1} ms after the fence, which came after {held:.0} ms");
        (Finding::Waits, text)
    }
}

/// What a queue, or a device, is found to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// There was nothing to ask with.
    NotAsked,
    /// It waits for those that it has to wait for, and for no others.
    Waits,
    /// It could not be seen.
    Unseen,
    /// It waits for nothing: a buffer is written while others read it.
    DoesNotWait,
    /// An OUTPUT buffer waits for readers, though the device only reads it.
    TooMuch,
    /// A CAPTURE buffer waits for readers only, or for writers only.
    TooLittle,
    /// The job does not go on.
    NeverEnds,
    /// A call of the program waits.
    Blocks,
}

impl Verdict {
    /// The name in the text.
    pub fn describe(self) -> &'static str {
        match self {
            Self::NotAsked => "not asked whether it waits",
            Self::Waits => "waits",
            Self::Unseen => "could not be seen to wait",
            Self::DoesNotWait => "does not wait",
            Self::TooMuch => "waits for TOO MUCH",
            Self::TooLittle => "waits for TOO LITTLE",
            Self::NeverEnds => "NEVER goes on",
            Self::Blocks => "a call WAITS",
        }
    }

    /// Whether nothing is wrong with that, as far as it was asked.
    pub fn is_right(self) -> bool {
        matches!(self, Self::Waits | Self::NotAsked)
    }
}

/// Whether a buffer of this queue has to wait for such a user: the device writes CAPTURE buffers,
/// and reads OUTPUT buffers.
pub fn has_to_wait(queue: Queue, access: Access) -> bool {
    queue == Queue::Capture || access == Access::Write
}

/// What the jobs of a queue show, one with a reader and one with a writer.
pub fn queue_does(queue: Queue, reader: Finding, writer: Finding) -> Verdict {
    use Finding::{Blocks, DoesNotWait, NeverEnds, Unseen, Waits};
    match (queue, reader, writer) {
        (_, Blocks, _) | (_, _, Blocks) => Verdict::Blocks,
        (_, NeverEnds, _) | (_, _, NeverEnds) => Verdict::NeverEnds,
        (_, Unseen, _) | (_, _, Unseen) => Verdict::Unseen,
        (_, DoesNotWait, DoesNotWait) => Verdict::DoesNotWait,
        (Queue::Capture, Waits, Waits) | (Queue::Output, DoesNotWait, Waits) => Verdict::Waits,
        (Queue::Capture, ..) => Verdict::TooLittle,
        (Queue::Output, ..) => Verdict::TooMuch,
    }
}

/// What the queues show of the device.
pub fn overall(queues: impl IntoIterator<Item = Verdict>) -> Verdict {
    queues.into_iter().max().unwrap_or(Verdict::NotAsked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uapi::clock::MS;

    const START: Ns = 1_000_000 * MS;
    const JOB: Ns = 100 * MS;
    const TIMEOUT: Option<Ns> = Some(3_000 * MS);

    fn at(ms: u64) -> Ns {
        START + ms * MS
    }

    /// The fence is signalled after 500 ms, and the job ends 100 ms later.
    fn good() -> Held {
        Held {
            queue: Queue::Capture,
            access: Access::Read,
            began_ns: START,
            returned_ns: Some(at(2)),
            signalled_ns: at(500),
            ended_ns: Some(at(600)),
            dequeued: Dequeued::Done,
        }
    }

    #[track_caller]
    fn expect(change: impl FnOnce(&mut Held), finding: Finding, words: &str) {
        let mut held = good();
        change(&mut held);
        let (found, why) = held.judge(JOB, TIMEOUT);
        assert_eq!(found, finding, "{why}");
        assert!(why.contains(words), "{why}");
    }

    #[test]
    fn which_comes_first() {
        expect(|_| {}, Finding::Waits, "ended 100.0 ms after the fence");
        let early = |held: &mut Held| held.ended_ns = Some(at(499));
        expect(early, Finding::DoesNotWait, "after 499.0 ms, while");
        // A job that fails has waited, or has not.
        let failed = |held: &mut Held| held.dequeued = Dequeued::Flagged;
        expect(failed, Finding::Waits, "");
    }

    #[test]
    fn what_shows_nothing() {
        let lost = |held: &mut Held| held.dequeued = Dequeued::Failed("DQBUF".into());
        expect(lost, Finding::Unseen, "DQBUF");
        // A job of that length would not have ended in any case.
        let long = |held: &mut Held| held.signalled_ns = at(201);
        expect(long, Finding::Unseen, "too short");
        let enough = |held: &mut Held| held.signalled_ns = at(202);
        expect(enough, Finding::Waits, "");
        // The kernel has given the fence up.
        let late =
            |held: &mut Held| (held.signalled_ns, held.ended_ns) = (at(4_000), Some(at(3_000)));
        expect(late, Finding::Unseen, "the timeout");
        let soon =
            |held: &mut Held| (held.signalled_ns, held.ended_ns) = (at(4_000), Some(at(2_999)));
        expect(soon, Finding::DoesNotWait, "");
        let mut held = good();
        late(&mut held);
        assert_eq!(held.judge(JOB, None).0, Finding::DoesNotWait);
    }

    #[test]
    fn what_hangs() {
        let blocked = |held: &mut Held| held.returned_ns = None;
        expect(blocked, Finding::Blocks, "a call did not return in 500 ms");
        let endless = |held: &mut Held| held.ended_ns = None;
        expect(endless, Finding::NeverEnds, "did not end");
    }

    #[test]
    fn the_fence_is_held_for_several_jobs() {
        assert_eq!(hold_for(JOB, None), 500 * MS);
        assert_eq!(hold_for(JOB, TIMEOUT), 500 * MS);
        assert_eq!(hold_for(MS, TIMEOUT), 100 * MS);
        assert_eq!(hold_for(1_000 * MS, TIMEOUT), 2_250 * MS);
        assert_eq!(hold_for(9_000 * MS, None), 8_000 * MS);
    }

    #[test]
    fn queues_differ() {
        use Finding::{Blocks, DoesNotWait, NeverEnds, Unseen, Waits};
        for (reader, writer, capture, output) in [
            (Waits, Waits, Verdict::Waits, Verdict::TooMuch),
            (DoesNotWait, Waits, Verdict::TooLittle, Verdict::Waits),
            (Waits, DoesNotWait, Verdict::TooLittle, Verdict::TooMuch),
            (
                DoesNotWait,
                DoesNotWait,
                Verdict::DoesNotWait,
                Verdict::DoesNotWait,
            ),
            (Unseen, Waits, Verdict::Unseen, Verdict::Unseen),
            (NeverEnds, Unseen, Verdict::NeverEnds, Verdict::NeverEnds),
            (NeverEnds, Blocks, Verdict::Blocks, Verdict::Blocks),
        ] {
            assert_eq!(queue_does(Queue::Capture, reader, writer), capture);
            assert_eq!(queue_does(Queue::Output, reader, writer), output);
        }
        for access in [Access::Read, Access::Write] {
            assert!(has_to_wait(Queue::Capture, access));
            assert_eq!(has_to_wait(Queue::Output, access), access == Access::Write);
        }
        assert!(Waits.is_right(true) && DoesNotWait.is_right(false));
        for (finding, has_to_wait) in [(Waits, false), (DoesNotWait, true), (Unseen, true)] {
            assert!(!finding.is_right(has_to_wait), "{finding:?}");
        }
    }

    #[test]
    fn devices() {
        use Verdict::{DoesNotWait, NotAsked, Unseen, Waits};
        assert_eq!(overall([Waits, NotAsked]), Waits);
        assert_eq!(overall([Waits, Unseen]), Unseen);
        assert_eq!(overall([DoesNotWait, Unseen]), DoesNotWait);
        assert_eq!(overall([]), NotAsked);
        assert!(Waits.is_right() && NotAsked.is_right() && !DoesNotWait.is_right());
    }
}
