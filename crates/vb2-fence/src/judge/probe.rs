// SPDX-License-Identifier: GPL-2.0-only

//! What was seen of a job through one buffer, and what that is worth. Touches no device.

use serde::Serialize;

use crate::observation::{Dequeued, Handle};
use uapi::clock::{ms_between, Ns};
use uapi::poll::{Readiness, Woken};
use uapi::sync_file::{FenceStatus, SyncInfo};

/// Looks without a fence show something only if the job ran meanwhile: so long after the call that
/// starts it has returned, it did.
const UNFENCED_MS: f64 = 5.0;

/// A fence that is over before the video node is ready is early if that takes longer than a quarter
/// of the job, within these limits: both are told one after the other, and a machine can be busy.
const EARLY_MS: (f64, f64) = (4.0, 40.0);

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

/// What was seen through one descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// Where it comes from.
    pub handle: Handle,
    /// Which plane of the buffer.
    pub plane: usize,
    /// Looks during the job that found the dma-buf ready, before any fence.
    pub unfenced: u32,
    /// Looks that found a pending fence.
    pub pending: u32,
    /// Looks that found the fence over, or the dma-buf ready in spite of it.
    pub over: u32,
    /// When the fence was seen first.
    pub first_pending_ns: Option<Ns>,
    /// When it was found over first, while the video node was not ready.
    pub first_over_ns: Option<Ns>,
    /// When a look without a fence ended that was the last one.
    pub last_unfenced_ns: Option<Ns>,
    /// The fence's timeline.
    pub timeline: Option<String>,
    /// When the dma-buf became ready after all.
    pub end_dmabuf: Option<Woken>,
    /// The fence that was kept since the middle of the job, at the end.
    pub kept: Option<FenceStatus>,
}

impl View {
    /// Nothing seen yet.
    pub fn new(handle: Handle, plane: usize) -> Self {
        Self {
            handle,
            plane,
            unfenced: 0,
            pending: 0,
            over: 0,
            first_pending_ns: None,
            first_over_ns: None,
            last_unfenced_ns: None,
            timeline: None,
            end_dmabuf: None,
            kept: None,
        }
    }

    /// Takes a look in that was complete before the video node was ready: poll first, fences then.
    pub fn add(&mut self, at_ns: Ns, dmabuf: Readiness, fences: &SyncInfo) {
        let ours = fences
            .ours()
            .find(|fence| fence.status == FenceStatus::Pending);
        match ours {
            // The poll may have come just before the fence, but only before the first one.
            Some(_) if dmabuf == Readiness::Ready && self.pending > 0 => self.add_over(at_ns),
            Some(fence) => {
                self.pending += 1;
                self.first_pending_ns.get_or_insert(at_ns);
                self.timeline.get_or_insert_with(|| fence.timeline.clone());
            }
            None if self.pending > 0 => self.add_over(at_ns),
            None => {
                self.unfenced += 1;
                self.last_unfenced_ns = Some(at_ns);
            }
        }
    }

    fn add_over(&mut self, at_ns: Ns) {
        self.over += 1;
        self.first_over_ns.get_or_insert(at_ns);
    }

    fn looks(&self) -> u32 {
        self.unfenced + self.pending + self.over
    }

    fn name(&self) -> String {
        let handle = match self.handle {
            Handle::ExportedBefore => "export",
            Handle::ExportedDuring => "second export",
            Handle::Imported => "imported dma-buf",
        };
        match self.plane {
            0 => handle.into(),
            plane => format!("{handle}, plane {plane}"),
        }
    }
}

/// One job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Just before the call that started it.
    pub started_ns: Ns,
    /// When that call returned, if it did so before the job's end: some drivers run the job in it.
    pub start_returned_ns: Option<Ns>,
    /// When the video node was ready; `None` if it never was.
    pub ended_ns: Option<Ns>,
    /// The buffer, through each descriptor.
    pub views: Vec<View>,
    /// How the buffer came back.
    pub dequeued: Dequeued,
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
            return (
                Verdict::Unseen,
                "the job was over before it was looked at".into(),
            );
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
        let text = "no fence: the dma-buf says ready while the device writes";
        (Verdict::DoesNotPublish, text.into())
    }

    fn judge_view(&self, view: &View, ended: Ns) -> (Verdict, String) {
        let name = view.name();
        if view.pending == 0 {
            return (
                Verdict::Stale,
                format!("{name}: no fence, though others see one"),
            );
        }
        let quarter = ms_between(self.started_ns, ended) / 4.0;
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
