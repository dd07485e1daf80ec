// SPDX-License-Identifier: GPL-2.0-only

//! Says what the jobs of a probe show of the device.

use serde::Serialize;

use crate::observation::probe::{Seen, View, Writes};
use crate::observation::Dequeued;
use uapi::clock::{ms_between, Ns};
use uapi::sync_file::FenceStatus;

/// Looks without a fence show something only if the job ran meanwhile: so long after the call that
/// starts it has returned, it did.
const UNFENCED_MS: f64 = 5.0;

/// A fence that is over before the video node is ready is early if that takes longer than a quarter
/// of the job from the fence on, within these limits: both are told one after the other, and a
/// machine can be busy.
const EARLY_MS: (f64, f64) = (4.0, 40.0);

/// The job has the lock that poll() of the node takes: without a fence nothing shows that it runs.
pub const LOCKED: &str = "no fence was seen, and poll() of the node waited until the job was over";

/// What a job, a case or a device is found to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// A fence while the job runs, signalled at its end, through every descriptor.
    Publishes,
    /// Nothing could be seen: the job was over too soon, or could not be run.
    Unseen,
    /// No fence: consumers are told "ready" while the device writes.
    DoesNotPublish,
    /// There is a fence, and it does not say what happened to the buffer.
    Wrong,
    /// There is a fence, and a consumer was told "ready" before the job's end all the same.
    Stale,
}

impl Verdict {
    /// The name in the text.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Publishes => "publishes",
            Self::Unseen => "could not be seen",
            Self::DoesNotPublish => "does not publish",
            Self::Wrong => "WRONG",
            Self::Stale => "STALE",
        }
    }
}

impl Seen {
    /// What the job shows, and why; `claimed` if the driver's parameter says that it publishes.
    pub fn judge(&self, claimed: bool) -> (Verdict, String) {
        let Some(ended) = self.ended_ns else {
            return (Verdict::Unseen, "the job did not end".into());
        };
        if let Dequeued::Failed(err) = &self.dequeued {
            return (Verdict::Unseen, err.clone());
        }
        if self.views.is_empty() || self.views.iter().any(|view| view.looks() == 0) {
            let locked = self.longest_poll_ns > (ended - self.started_ns) / 2;
            let text = if locked {
                LOCKED
            } else {
                "the job was over before it was looked at"
            };
            return (Verdict::Unseen, text.into());
        }
        if self.views.iter().all(|view| view.pending == 0) {
            return self.judge_unfenced(claimed);
        }
        let verdicts = self.views.iter().map(|view| self.judge_view(view, ended));
        let worst = verdicts.max_by_key(|(verdict, _)| *verdict);
        worst.unwrap_or((Verdict::Unseen, String::new()))
    }

    fn judge_unfenced(&self, claimed: bool) -> (Verdict, String) {
        let looks = self.views.iter().filter_map(|view| view.last_unfenced_ns);
        let last = looks.max().unwrap_or(self.started_ns);
        match self.writes {
            Writes::SinceStart => {}
            Writes::Unfenced(1..) => return unfenced(),
            Writes::Unfenced(0) => {
                let text = "no fence was seen, nor that the device wrote: it takes too little time";
                return (Verdict::Unseen, text.into());
            }
        }
        // Where the call lasts as long as the job, most of it may be spent before the start.
        if self.start_returned_ns.is_none() && claimed {
            let text =
                "no fence was seen, though the driver's parameter is on: the job is too short";
            return (Verdict::Unseen, text.into());
        }
        let (from, needed) = match (self.start_returned_ns, self.ended_ns) {
            (Some(returned), _) => (returned, UNFENCED_MS),
            (None, Some(ended)) => {
                let half = ms_between(self.started_ns, ended) / 2.0;
                (self.started_ns, half.max(UNFENCED_MS))
            }
            (None, None) => (self.started_ns, UNFENCED_MS),
        };
        if ms_between(from, last) < needed {
            return (
                Verdict::Unseen,
                "the job was over before it was looked at".into(),
            );
        }
        unfenced()
    }

    fn judge_view(&self, view: &View, ended: Ns) -> (Verdict, String) {
        let name = view.name();
        let Some(fenced) = view.first_pending_ns else {
            // A look through another descriptor may have come later, and the end after it.
            let others = self.views.iter().filter_map(|view| view.first_pending_ns);
            let (fenced, last) = (others.min(), view.last_unfenced_ns);
            return if last > fenced {
                let text = format!("{name}: no fence, though others see one");
                (Verdict::Stale, text)
            } else {
                let text = format!("{name}: the job was over before it was looked at");
                (Verdict::Unseen, text)
            };
        };
        let quarter = ms_between(fenced, ended) / 4.0;
        let tolerance = quarter.clamp(EARLY_MS.0, EARLY_MS.1);
        let early = view
            .first_over_ns
            .map_or(0.0, |over| ms_between(over, ended));
        if early > tolerance {
            return (
                Verdict::Stale,
                format!("{name}: ready {early:.1} ms before the job's end"),
            );
        }
        match (view.end_dmabuf, view.kept) {
            (None, _) => (Verdict::Wrong, format!("{name}: never became ready")),
            (_, None | Some(FenceStatus::Pending)) => (
                Verdict::Wrong,
                format!("{name}: the fence was never signalled"),
            ),
            (_, Some(FenceStatus::Failed(errno))) if self.dequeued == Dequeued::Done => (
                Verdict::Wrong,
                format!("{name}: error {errno} in the fence of a good buffer"),
            ),
            (_, Some(FenceStatus::Signalled)) if self.dequeued == Dequeued::Flagged => (
                Verdict::Wrong,
                format!("{name}: success in the fence of a buffer with an error"),
            ),
            (_, Some(FenceStatus::Failed(errno))) => (
                Verdict::Publishes,
                format!("the job failed, and the fence says so ({errno})"),
            ),
            (_, Some(FenceStatus::Signalled)) => (Verdict::Publishes, String::new()),
        }
    }
}

fn unfenced() -> (Verdict, String) {
    let text = "no fence: the dma-buf says ready while the device writes";
    (Verdict::DoesNotPublish, text.into())
}

/// What several rounds show: what most of them do, and of equals the worst. One round alone may be
/// a machine that was held up.
pub fn most(verdicts: &[Verdict]) -> Verdict {
    let count = |of: Verdict| verdicts.iter().filter(|&&verdict| verdict == of).count();
    let seen = verdicts
        .iter()
        .copied()
        .filter(|&verdict| verdict != Verdict::Unseen);
    seen.max_by_key(|&verdict| (count(verdict), verdict))
        .unwrap_or(Verdict::Unseen)
}

/// What the cases show of the device; those that could not be tried are left out.
pub fn overall(cases: impl IntoIterator<Item = Option<Verdict>>) -> Verdict {
    cases.into_iter().flatten().max().unwrap_or(Verdict::Unseen)
}

#[cfg(test)]
mod tests;
