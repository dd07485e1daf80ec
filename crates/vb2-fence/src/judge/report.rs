// SPDX-License-Identifier: GPL-2.0-only

//! Says of each line of the report whether it is right. Works on what was written down only.
//!
//! With the feature on every line is judged, in every round. With it off one is: the dma-buf has to
//! say "ready" while the job runs. If it does not, the comparison shows nothing.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::observation::report::{Round, RoundResult, View};
use crate::observation::{Case, Dequeued, Handle};
use crate::words::{dequeued, readiness, status, Spread};
use uapi::clock::ms_between;
use uapi::poll::{Readiness, Woken};
use uapi::sync_file::{FenceStatus, SyncInfo, FENCE_DRIVER};

/// The dma-buf may be seen this much before the job's end: one event wakes both the video node and
/// the dma-buf, and the program sees them one after the other.
pub const EARLY_TOLERANCE_MS: f64 = 4.0;

/// The dma-buf and the video node become ready within this time of each other.
pub const NODE_LIMIT_MS: f64 = 20.0;

/// The kernel's name for the fence that it gives when there is none.
const STUB: &str = "stub";

/// What a line of the report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// While the job runs: poll on the video node.
    MidVideo,
    /// While the job runs: poll on the dma-buf.
    MidDmabuf,
    /// While the job runs: the fence behind the dma-buf.
    MidFence,
    /// Its driver and timeline names.
    MidName,
    /// When the dma-buf became ready, counted from the end of the job.
    EndTime,
    /// The same, counted from when the video node became ready.
    EndToNode,
    /// The fence that was kept, at the end.
    EndFence,
    /// The buffer that was dequeued.
    EndBuffer,
}

impl What {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 8] = [
        Self::MidVideo,
        Self::MidDmabuf,
        Self::MidFence,
        Self::MidName,
        Self::EndTime,
        Self::EndToNode,
        Self::EndFence,
        Self::EndBuffer,
    ];

    /// The title of its line.
    pub fn title(self) -> &'static str {
        match self {
            Self::MidVideo => "mid  video node",
            Self::MidDmabuf => "mid  dma-buf",
            Self::MidFence => "mid  fence",
            Self::MidName => "mid  fence's names",
            Self::EndTime => "end  dma-buf vs job's end",
            Self::EndToNode => "end  dma-buf vs video node",
            Self::EndFence => "end  fence kept since mid",
            Self::EndBuffer => "end  buffer dequeued",
        }
    }
}

/// Whether a line is as it has to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "verdict", content = "reasons")]
pub enum Judgement {
    /// It is.
    Right,
    /// It is not, for these reasons.
    Wrong(Vec<String>),
    /// There is nothing to judge in the halves that were run.
    NotJudged,
}

/// A line of the report.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// What it is about.
    pub what: What,
    /// With the feature off; `None` if that half was not run.
    pub off: Option<String>,
    /// With the feature on.
    pub on: Option<String>,
    /// Right or wrong.
    pub judgement: Judgement,
}

/// The rounds of a case.
#[derive(Clone, Debug, Serialize)]
pub struct CaseRuns {
    /// Which one.
    pub case: Case,
    /// With the feature off; `None` if that half was not run.
    pub off: Option<Vec<RoundResult>>,
    /// With the feature on.
    pub on: Option<Vec<RoundResult>>,
}

/// Makes the lines of a case.
pub fn judge(runs: &CaseRuns, job_ms: u32) -> Vec<Line> {
    What::ALL
        .into_iter()
        .map(|what| Line {
            what,
            off: runs.off.as_deref().map(|rounds| cell(what, rounds, job_ms)),
            on: runs.on.as_deref().map(|rounds| cell(what, rounds, job_ms)),
            judgement: judge_line(what, runs, job_ms),
        })
        .collect()
}

/// How many lines are right, of how many that are judged.
pub fn score<'a>(lines: impl IntoIterator<Item = &'a Line>) -> (usize, usize) {
    lines
        .into_iter()
        .fold((0, 0), |(right, total), line| match line.judgement {
            Judgement::Right => (right + 1, total + 1),
            Judgement::Wrong(_) => (right, total + 1),
            Judgement::NotJudged => (right, total),
        })
}

fn judge_line(what: What, runs: &CaseRuns, job_ms: u32) -> Judgement {
    let mut reasons = Vec::new();
    let mut judged = false;
    if let (What::MidDmabuf, Some(rounds)) = (what, &runs.off) {
        judged = true;
        reasons.extend(each_round("off", rounds, |r| shows_the_problem(r, job_ms)));
    }
    if let Some(rounds) = &runs.on {
        judged = true;
        reasons.extend(each_round("on", rounds, |r| {
            check(what, r, runs.case, job_ms)
        }));
        if what == What::EndToNode {
            reasons.extend(too_far_from_node(rounds));
        }
    }
    match (judged, reasons.is_empty()) {
        (false, _) => Judgement::NotJudged,
        (true, true) => Judgement::Right,
        (true, false) => Judgement::Wrong(reasons),
    }
}

/// Applies a check to every round; equal complaints become one that names the rounds.
fn each_round(
    half: &str,
    rounds: &[RoundResult],
    check: impl Fn(&Round) -> Result<(), String>,
) -> Vec<String> {
    if rounds.is_empty() {
        return vec![format!("{half}: no round was run")];
    }
    let mut complaints: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (number, round) in (1..).zip(rounds) {
        let outcome = match round {
            RoundResult::Seen(round) => check(round),
            RoundResult::Failed(err) => Err(format!("could not be seen: {err}")),
        };
        if let Err(complaint) = outcome {
            let numbers = complaints.entry(complaint).or_default();
            numbers.push(format!("{number}"));
        }
    }
    complaints
        .into_iter()
        .map(|(complaint, numbers)| format!("{half}, round {}: {complaint}", numbers.join(", ")))
        .collect()
}

/// With the feature off: the dma-buf says ready while the video node says it is not.
fn shows_the_problem(round: &Round, job_ms: u32) -> Result<(), String> {
    in_time(round, job_ms)?;
    match round.mid_video {
        Readiness::NotReady => {}
        other => return Err(format!("the video node is {} mid-job", readiness(other))),
    }
    every_view(round, |view| match view.mid_dmabuf {
        Readiness::Ready => Ok(()),
        other => Err(format!(
            "the problem does not show: {}, so the comparison proves nothing",
            readiness(other)
        )),
    })
}

/// With the feature on: what one round has to look like.
fn check(what: What, round: &Round, case: Case, job_ms: u32) -> Result<(), String> {
    match what {
        What::MidVideo => {
            in_time(round, job_ms)?;
            expect_not_ready(round.mid_video)
        }
        What::MidDmabuf => {
            in_time(round, job_ms)?;
            all_views_there(round, case)?;
            every_view(round, |view| expect_not_ready(view.mid_dmabuf))
        }
        What::MidFence => {
            in_time(round, job_ms)?;
            every_view(round, expect_pending_fence)
        }
        What::MidName => expect_one_name(round),
        What::EndTime => every_view(round, |view| {
            expect_not_early(view.end_dmabuf, round, job_ms)
        }),
        What::EndToNode => match distance_to_node(round) {
            Some(_) => Ok(()),
            None => Err("the video node or the dma-buf never became ready".into()),
        },
        What::EndFence => every_view(round, |view| {
            if view.end_fences.status != FenceStatus::Signalled {
                return Err(format!("the fence is {}", status(view.end_fences.status)));
            }
            expect_not_early(view.end_sync_file, round, job_ms)
        }),
        What::EndBuffer => match &round.dequeued {
            Dequeued::Done => Ok(()),
            other => Err(dequeued(other)),
        },
    }
}

/// The look while the job runs has to be over before the job can be.
fn in_time(round: &Round, job_ms: u32) -> Result<(), String> {
    if round.looked_too_late(job_ms) {
        return Err(
            "the machine was too slow to look while the job ran: try a longer --job-ms".into(),
        );
    }
    Ok(())
}

/// Applies a check to each view; a complaint names the descriptor.
fn every_view(round: &Round, check: impl Fn(&View) -> Result<(), String>) -> Result<(), String> {
    if round.views.is_empty() {
        return Err("no dma-buf was observed".into());
    }
    round.views.iter().try_for_each(|view| {
        check(view).map_err(|complaint| match view.handle {
            Handle::ExportedDuring => format!("second export: {complaint}"),
            Handle::ExportedBefore | Handle::Imported => complaint,
        })
    })
}

fn all_views_there(round: &Round, case: Case) -> Result<(), String> {
    let wanted: &[Handle] = match case {
        Case::ExportedBefore => &[Handle::ExportedBefore],
        Case::ExportedDuring => &[Handle::ExportedBefore, Handle::ExportedDuring],
        Case::Imported => &[Handle::Imported],
    };
    if !round
        .views
        .iter()
        .map(|v| v.handle)
        .eq(wanted.iter().copied())
    {
        return Err("not every descriptor of the case was observed".into());
    }
    Ok(())
}

fn expect_not_ready(seen: Readiness) -> Result<(), String> {
    match seen {
        Readiness::NotReady => Ok(()),
        other => Err(format!("{} while the job runs", readiness(other))),
    }
}

fn expect_pending_fence(view: &View) -> Result<(), String> {
    if view.mid_fences.status != FenceStatus::Pending {
        let status = status(view.mid_fences.status);
        return Err(format!("the fence is {status} while the job runs"));
    }
    let ours = view.mid_fences.fences.iter();
    if !ours
        .clone()
        .any(|f| f.driver == FENCE_DRIVER && f.status == FenceStatus::Pending)
    {
        return Err(format!(
            "no pending fence of {FENCE_DRIVER} while the job runs"
        ));
    }
    Ok(())
}

/// All descriptors of a queue's buffer show the same queue's name.
fn expect_one_name(round: &Round) -> Result<(), String> {
    let mut names = Vec::new();
    every_view(round, |view| {
        let ours = view.mid_fences.ours().next();
        match ours {
            None => Err(format!("no fence of the driver {FENCE_DRIVER:?}")),
            Some(fence) if fence.timeline.is_empty() => Err("the timeline has no name".into()),
            Some(_) => Ok(()),
        }
    })?;
    for view in &round.views {
        let ours = view.mid_fences.ours();
        names.extend(ours.map(|fence| fence.timeline.as_str()));
    }
    names.sort_unstable();
    names.dedup();
    if names.len() > 1 {
        return Err(format!("different timelines: {}", names.join(", ")));
    }
    Ok(())
}

fn expect_not_early(woken: Option<Woken>, round: &Round, job_ms: u32) -> Result<(), String> {
    match woken {
        None => Err("it never became ready".into()),
        Some(Woken {
            readiness: Readiness::Ready,
            at_ns,
        }) => {
            if ms_between(round.job_end_ns(job_ms), at_ns) < -EARLY_TOLERANCE_MS {
                return Err("ready before the job's end".into());
            }
            Ok(())
        }
        Some(other) => Err(format!(
            "the wait ended with {}",
            readiness(other.readiness)
        )),
    }
}

/// How far the dma-buf is from the video node in time; of several views the farthest.
fn distance_to_node(round: &Round) -> Option<f64> {
    let node = round.end_video?.at_ns;
    let distances = round
        .views
        .iter()
        .map(|view| Some(ms_between(node, view.end_dmabuf?.at_ns)));
    let distances: Option<Vec<f64>> = distances.collect();
    distances?
        .into_iter()
        .max_by(|a, b| a.abs().total_cmp(&b.abs()))
}

fn too_far_from_node(rounds: &[RoundResult]) -> Option<String> {
    let distances = seen(rounds).filter_map(distance_to_node).map(f64::abs);
    let middle = Spread::of(distances)?.median;
    (middle > NODE_LIMIT_MS)
        .then(|| format!("on: {middle:.1} ms apart in the median, more than {NODE_LIMIT_MS:.0} ms"))
}

fn seen(rounds: &[RoundResult]) -> impl Iterator<Item = &Round> {
    rounds.iter().filter_map(|round| match round {
        RoundResult::Seen(round) => Some(round.as_ref()),
        RoundResult::Failed(_) => None,
    })
}

/// One cell: what the rounds of a half showed.
fn cell(what: What, rounds: &[RoundResult], job_ms: u32) -> String {
    match what {
        What::MidVideo => states(rounds, |r| readiness(r.mid_video).into()),
        What::MidDmabuf => states(rounds, |r| {
            views(
                r.views
                    .iter()
                    .map(|v| mid_dmabuf(r.mid_video, v.mid_dmabuf)),
            )
        }),
        What::MidFence => states(rounds, |r| {
            views(r.views.iter().map(|v| mid_fence(&v.mid_fences)))
        }),
        // Each round has a queue of its own, with its own name: one is enough.
        What::MidName => match seen(rounds).next() {
            Some(round) => views(round.views.iter().map(|v| names(&v.mid_fences))),
            None => states(rounds, |_| String::new()),
        },
        What::EndTime => times(rounds, |r| earliest(r, job_ms)),
        What::EndToNode => times(rounds, distance_to_node),
        What::EndFence => states(rounds, |r| {
            views(r.views.iter().map(|v| status(v.end_fences.status)))
        }),
        What::EndBuffer => states(rounds, |r| dequeued(&r.dequeued)),
    }
}

/// When the dma-buf became ready, from the earliest possible end of the job.
fn earliest(round: &Round, job_ms: u32) -> Option<f64> {
    let end = round.job_end_ns(job_ms);
    let times = round.views.iter().map(|view| Some(view.end_dmabuf?.at_ns));
    let times: Option<Vec<u64>> = times.collect();
    Some(ms_between(end, times?.into_iter().min()?))
}

/// The state in each round; if they differ, how often each was seen.
fn states(rounds: &[RoundResult], of: impl Fn(&Round) -> String) -> String {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for round in rounds {
        let state = match round {
            RoundResult::Seen(round) => of(round),
            RoundResult::Failed(_) => "failed".into(),
        };
        match counts.iter_mut().find(|(known, _)| *known == state) {
            Some((_, count)) => *count += 1,
            None => counts.push((state, 1)),
        }
    }
    match counts.as_slice() {
        [(state, _)] => state.clone(),
        _ => {
            let all = counts
                .iter()
                .map(|(state, count)| format!("{count}x {state}"));
            all.collect::<Vec<_>>().join(", ")
        }
    }
}

/// A number of each round that was seen.
fn times(rounds: &[RoundResult], of: impl Fn(&Round) -> Option<f64>) -> String {
    let values: Option<Vec<f64>> = seen(rounds).map(of).collect();
    match values.and_then(|values| Spread::of(values.into_iter())) {
        Some(spread) => spread.show(),
        None if seen(rounds).next().is_none() => "failed".into(),
        None => "never".into(),
    }
}

/// The same through every descriptor, or what it is through each.
fn views(of_each: impl Iterator<Item = String>) -> String {
    let mut all: Vec<String> = of_each.collect();
    all.dedup();
    all.join(" | ")
}

fn mid_dmabuf(video: Readiness, dmabuf: Readiness) -> String {
    match (video, dmabuf) {
        (Readiness::NotReady, Readiness::Ready) => "READY (stale)".into(),
        _ => readiness(dmabuf).into(),
    }
}

fn mid_fence(info: &SyncInfo) -> String {
    match info.fences.as_slice() {
        [only] if only.driver == STUB => format!("none (stub, {})", status(only.status)),
        [_] => status(info.status),
        many => format!("{} ({} fences)", status(info.status), many.len()),
    }
}

fn names(info: &SyncInfo) -> String {
    let fences = info.fences.iter();
    let names = fences.map(|fence| format!("{} / {}", fence.driver, fence.timeline));
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
