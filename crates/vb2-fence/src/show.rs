// SPDX-License-Identifier: GPL-2.0-only

//! What was seen, in words: the cells of the table.

use crate::judge::{distance_to_node, seen, What};
use crate::observation::{Dequeued, Round, RoundResult};
use uapi::clock::ms_between;
use uapi::poll::Readiness;
use uapi::sync_file::{FenceStatus, SyncInfo};

/// The kernel's name for the fence that it gives when there is none.
const STUB: &str = "stub";

/// Median and extremes of some numbers.
pub(crate) struct Spread {
    low: f64,
    pub(crate) median: f64,
    high: f64,
}

impl Spread {
    /// Of some numbers; `None` of none.
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            (values[middle - 1] + values[middle]) / 2.0
        };
        Some(Self { low, median, high })
    }

    pub(crate) fn show(&self) -> String {
        let Self { low, median, high } = self;
        if low == high {
            format!("{median:+.1} ms")
        } else {
            format!("{median:+.1} ms ({low:+.1} .. {high:+.1})")
        }
    }
}

/// One cell: what the rounds of a half showed.
pub(crate) fn cell(what: What, rounds: &[RoundResult], job_ms: u32) -> String {
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

pub(crate) fn readiness(seen: Readiness) -> &'static str {
    match seen {
        Readiness::NotReady => "not ready",
        Readiness::Ready => "ready",
        Readiness::Error => "a poll error",
    }
}

pub(crate) fn status(status: FenceStatus) -> String {
    match status {
        FenceStatus::Pending => "pending".into(),
        FenceStatus::Signalled => "signalled".into(),
        FenceStatus::Failed(errno) => {
            let errno = i32::try_from(errno).unwrap_or(i32::MAX);
            format!("failed: {}", std::io::Error::from_raw_os_error(errno))
        }
    }
}

pub(crate) fn dequeued(seen: &Dequeued) -> String {
    match seen {
        Dequeued::Done => "done".into(),
        Dequeued::Flagged => "flagged as an error".into(),
        Dequeued::Failed(err) => err.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_of_numbers() {
        let show = |values: &[f64]| Spread::of(values.iter().copied()).map(|s| s.show());
        assert_eq!(show(&[]), None);
        assert_eq!(show(&[1.0]).unwrap(), "+1.0 ms");
        assert_eq!(show(&[3.0, -1.0]).unwrap(), "+1.0 ms (-1.0 .. +3.0)");
        assert_eq!(show(&[9.0, 2.0, 1.0]).unwrap(), "+2.0 ms (+1.0 .. +9.0)");
    }

    #[test]
    fn descriptors_that_agree_are_one() {
        let join = |all: &[&str]| views(all.iter().map(|s| s.to_string()));
        assert_eq!(join(&["pending", "pending"]), "pending");
        assert_eq!(join(&["pending", "ready"]), "pending | ready");
        assert_eq!(join(&[]), "");
    }

    #[test]
    fn errors_are_named() {
        assert!(status(FenceStatus::Failed(110)).contains("timed out"));
        assert!(status(FenceStatus::Failed(u32::MAX)).starts_with("failed"));
    }
}
