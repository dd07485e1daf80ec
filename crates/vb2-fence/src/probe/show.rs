// SPDX-License-Identifier: GPL-2.0-only

//! What a probe found, as JSON and as text.

use std::path::PathBuf;

use serde::Serialize;

use crate::json::Head;
use crate::judge::probe::Verdict;
use crate::observation::probe::Seen;
use crate::observation::Case;
use crate::observe::probe::PATIENCE_MS;
use crate::words::{dequeued, status};
use uapi::clock::ms_between;
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
    out + &format!("{device}: {}\n", probe.verdict.describe())
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
