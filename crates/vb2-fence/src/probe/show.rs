// SPDX-License-Identifier: GPL-2.0-only

//! What a probe found, as JSON and as text.

use std::path::PathBuf;

use serde::Serialize;

use super::acquire::{Acquire, QueueResult};
use super::explicit::{self, Explicit};
use crate::json::Head;
use crate::judge::acquire::Finding;
use crate::judge::probe::Verdict;
use crate::observation::probe::Seen;
use crate::observation::Case;
use crate::observe::probe::PATIENCE_MS;
use crate::words::{dequeued, status};
use uapi::clock::ms_between;
use uapi::dmabuf::Access;
use uapi::publishing::Support;
use uapi::sync_file::FenceStatus;

/// What the command shows; its JSON has the same fields.
#[derive(Debug, Serialize)]
pub struct Probe {
    /// What it begins with.
    #[serde(flatten)]
    pub head: Head,
    /// The video node.
    pub device: PathBuf,
    /// Its driver.
    pub driver: String,
    /// Its card.
    pub card: String,
    /// What queue and sysfs say.
    pub publishing: Support,
    /// What a job is.
    pub jobs: String,
    /// What it is found to do.
    pub verdict: Verdict,
    /// What each case showed.
    pub cases: Vec<CaseResult>,
    /// Whether it tells that a job has started, and gives its fence.
    pub explicit: Explicit,
    /// Whether it waits for acquire fences.
    pub acquire: Acquire,
}

impl Probe {
    /// Whether the device publishes, and nothing is wrong.
    pub fn is_right(&self) -> bool {
        let told = self.explicit.verdict != explicit::Verdict::Wrong;
        self.verdict == Verdict::Publishes && told && self.acquire.verdict.is_right()
    }

    /// In a line: whether it publishes, waits, and tells of jobs.
    pub fn describe(&self) -> String {
        let (publishes, waits) = (self.verdict.describe(), self.acquire.verdict.describe());
        let tells = match self.explicit.verdict {
            explicit::Verdict::NotSupported => "",
            told => &format!(", {}", told.describe()),
        };
        format!("{publishes}, {waits}{tells}")
    }
}

/// One case, through all its rounds.
#[derive(Debug, Serialize)]
pub struct CaseResult {
    /// Which one.
    pub case: Case,
    /// `None` if it could not be tried.
    pub verdict: Option<Verdict>,
    /// Why, in the first round with that verdict; or why it could not be tried.
    pub reason: String,
    /// All of them.
    pub rounds: Vec<RoundResult>,
}

/// One round of a case.
#[derive(Debug, Serialize)]
pub struct RoundResult {
    /// What it shows.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// What was seen.
    #[serde(flatten)]
    pub seen: Seen,
}

/// The whole probe as text.
pub fn render(probe: &Probe) -> String {
    let device = probe.device.display();
    let mut out = format!(
        "{device} ({}, {}), Linux {}: {}\nrelease fences: {}\n",
        probe.driver,
        probe.card,
        probe.head.kernel,
        probe.jobs,
        probe.publishing.describe()
    );
    out.extend(probe.cases.iter().map(render_case));
    out += &render_explicit(&probe.explicit);
    out += &render_acquire(&probe.acquire);
    out + &format!("{device}: {}\n", probe.describe())
}

fn render_explicit(explicit: &Explicit) -> String {
    let (verdict, reason) = (explicit.verdict.describe(), &explicit.reason);
    format!("explicit fences: {verdict}\n  {reason}\n")
}

fn render_acquire(acquire: &Acquire) -> String {
    let mut out = format!("acquire fences: {}", acquire.acquiring.describe());
    if let Some(source) = acquire.source {
        out += &format!("; asked with fences of {}", source.describe());
    }
    out += "\n";
    if let Some(reason) = &acquire.reason {
        out += &format!("{}: {reason}\n", acquire.verdict.describe());
    }
    out.extend(acquire.queues.iter().map(render_queue));
    out
}

fn render_queue(queue: &QueueResult) -> String {
    let (name, verdict) = (queue.queue.describe(), queue.verdict.describe());
    let mut out = format!("{name} buffer: {verdict}\n");
    for job in &queue.jobs {
        let user = match job.seen.access {
            Access::Read => "read",
            Access::Write => "written",
        };
        let finding = job.finding.describe();
        let comment = match (job.finding, job.right) {
            (Finding::Waits, false) => ", and need not",
            (Finding::DoesNotWait, true) => ", and need not",
            (Finding::DoesNotWait, false) => ", and would have to",
            _ => "",
        };
        out += &format!("  {user} by others: {finding}{comment}; {}\n", job.reason);
    }
    out
}

fn render_case(case: &CaseResult) -> String {
    let verdict = case.verdict.map_or("not tried", Verdict::describe);
    let mut out = format!("{}: {verdict}\n", case.case.title());
    if !case.reason.is_empty() {
        out += &format!("  {}\n", case.reason);
    }
    let mut rounds = case.rounds.iter();
    if let Some(round) = rounds.find(|round| Some(round.verdict) == case.verdict) {
        let (mid, end) = (mid(&round.seen), end(&round.seen));
        out += &format!("  mid-job: {mid}\n  end:     {end}\n");
    }
    out
}

/// What consumers saw while the job ran.
fn mid(seen: &Seen) -> String {
    let views = seen.views.iter().map(|view| {
        if view.pending == 0 {
            return format!("no fence, ready in {} looks", view.unfenced);
        }
        let after = view
            .first_pending_ns
            .map_or(0.0, |at| ms_between(seen.started_ns, at));
        let timeline = view.timeline.as_deref().unwrap_or("?");
        let over = match view.over {
            0 => String::new(),
            over => format!(", over in {over}"),
        };
        format!(
            "fence {timeline} pending in {} looks, from {after:.1} ms on{over}",
            view.pending
        )
    });
    let mut views: Vec<String> = views.collect();
    views.dedup();
    views.join(" | ")
}

/// What they saw at its end.
fn end(seen: &Seen) -> String {
    let Some(ended) = seen.ended_ns else {
        return format!("none within {} s", PATIENCE_MS / 1000);
    };
    let job = ms_between(seen.started_ns, ended);
    let views = seen.views.iter().map(|view| {
        let ready = match view.end_dmabuf {
            Some(woken) => format!("ready {:+.1} ms", ms_between(ended, woken.at_ns)),
            None => "never ready".into(),
        };
        match view.kept {
            Some(FenceStatus::Signalled) => format!("fence signalled, {ready}"),
            Some(other) => format!("fence {}, {ready}", status(other)),
            None => ready,
        }
    });
    let mut views: Vec<String> = views.collect();
    views.dedup();
    format!(
        "after {job:.1} ms the buffer is {}; {}",
        dequeued(&seen.dequeued),
        views.join(" | ")
    )
}

#[cfg(test)]
mod tests {
    use super::super::acquire::JobResult;
    use super::*;
    use crate::judge::acquire::Verdict;
    use crate::observation::acquire::Held;
    use crate::observation::Dequeued;
    use uapi::device::Queue;
    use uapi::held_fence::Source;

    fn job(access: Access, finding: Finding, right: bool) -> JobResult {
        JobResult {
            finding,
            right,
            reason: "why".into(),
            seen: Held {
                queue: Queue::Output,
                access,
                began_ns: 0,
                returned_ns: None,
                signalled_ns: 0,
                ended_ns: None,
                dequeued: Dequeued::Done,
            },
        }
    }

    #[test]
    fn what_waits_for_whom() {
        let queue = |verdict, reader, writer| QueueResult {
            queue: Queue::Output,
            verdict,
            jobs: vec![reader, writer],
        };
        let (read, write) = (Access::Read, Access::Write);
        let (waits, not) = (Finding::Waits, Finding::DoesNotWait);
        let acquire = Acquire {
            acquiring: Support::On,
            verdict: Verdict::Waits,
            reason: None,
            source: Some(Source::Vgem),
            queues: vec![
                queue(
                    Verdict::Waits,
                    job(read, not, true),
                    job(write, waits, true),
                ),
                queue(
                    Verdict::TooMuch,
                    job(read, waits, false),
                    job(write, not, false),
                ),
            ],
        };
        let text = render_acquire(&acquire);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "acquire fences: on; asked with fences of vgem",
                "OUTPUT buffer: waits",
                "  read by others: does not wait, and need not; why",
                "  written by others: waits; why",
                "OUTPUT buffer: waits for TOO MUCH",
                "  read by others: waits, and need not; why",
                "  written by others: does not wait, and would have to; why",
            ]
        );
    }

    #[test]
    fn why_it_was_not_asked() {
        let acquire = Acquire {
            acquiring: Support::Off,
            verdict: Verdict::NotAsked,
            reason: Some("no fence".into()),
            source: None,
            queues: Vec::new(),
        };
        let text = render_acquire(&acquire);
        assert!(
            text.ends_with("parameter\nnot asked whether it waits: no fence\n"),
            "{text}"
        );
    }
}
