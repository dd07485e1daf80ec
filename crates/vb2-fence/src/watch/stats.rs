// SPDX-License-Identifier: GPL-2.0-only

//! Counting fences, queue by queue.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::Serialize;

use super::waits::{UserReport, Waits};
use uapi::clock::{self, ms_between, Ns, MS};
use uapi::trace::{Event, FenceId, Line};

/// How many of the newest times the median is of.
const SAMPLES: usize = 10_000;

/// How many signals are remembered for tasks that wake up late.
const SIGNALS: usize = 4_096;

/// Times in milliseconds.
#[derive(Clone, Debug, Default)]
pub struct Times {
    count: u64,
    low: f64,
    high: f64,
    newest: VecDeque<f64>,
}

/// The same, in short.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// How many there were.
    pub count: u64,
    /// The shortest.
    pub low: f64,
    /// Of the newest.
    pub median: f64,
    /// The longest.
    pub high: f64,
}

impl Times {
    /// Takes one in.
    pub fn add(&mut self, ms: f64) {
        self.low = if self.count == 0 {
            ms
        } else {
            self.low.min(ms)
        };
        self.high = if self.count == 0 {
            ms
        } else {
            self.high.max(ms)
        };
        self.count += 1;
        if self.newest.len() == SAMPLES {
            self.newest.pop_front();
        }
        self.newest.push_back(ms);
    }

    /// `None` of none.
    pub fn spread(&self) -> Option<Spread> {
        let mut sorted: Vec<f64> = self.newest.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        Some(Spread {
            count: self.count,
            low: self.low,
            median: *sorted.get(sorted.len() / 2)?,
            high: self.high,
        })
    }
}

/// What happened on a queue.
#[derive(Clone, Debug, Default)]
pub struct QueueStats {
    armed: u64,
    signalled: u64,
    errors: BTreeMap<i32, u64>,
    pending: HashMap<FenceId, Ns>,
    latency: Times,
    wakeup: Times,
    waits: Waits,
}

/// The same, for JSON and for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QueueReport {
    /// The queue's name, which is also that of its fences' timeline.
    pub queue: String,
    /// Fences that became visible.
    pub armed: u64,
    /// Of these, not signalled yet.
    pub pending: usize,
    /// Fences signalled, with errors or without.
    pub signalled: u64,
    /// Of these, with this error (a negative errno).
    pub errors: BTreeMap<i32, u64>,
    /// From armed to signalled, in ms.
    pub latency_ms: Option<Spread>,
    /// From signalled to a waiter that runs again, in ms.
    pub wakeup_ms: Option<Spread>,
    /// Whose fences the queue's buffers had to wait for.
    pub waits_for: Vec<UserReport>,
}

/// All queues.
#[derive(Debug, Default)]
pub struct Stats {
    queues: BTreeMap<String, QueueStats>,
    /// Tasks that wait, by fence.
    waiting: HashMap<FenceId, Vec<u32>>,
    signals: VecDeque<(FenceId, String, Ns)>,
    /// Events that were dropped.
    pub lost: u64,
}

impl Stats {
    /// Takes an event in.
    pub fn see(&mut self, line: &Line) {
        match &line.event {
            Event::Armed { queue, fence, .. } => {
                let stats = self.queues.entry(queue.clone()).or_default();
                stats.armed += 1;
                stats.pending.insert(*fence, line.at_ns);
            }
            Event::Signalled {
                queue,
                fence,
                result,
                ..
            } => self.signal(line.at_ns, queue, *fence, *result),
            Event::WaitStart(fence) => self.waiting.entry(*fence).or_default().push(line.pid),
            Event::WaitEnd(fence) => self.end_wait(line.at_ns, line.pid, *fence),
            Event::WaitBegun {
                queue,
                index,
                fence,
                user,
            } => self.waits(queue).begin(line.at_ns, *index, *fence, user),
            Event::WaitOver {
                queue,
                index,
                fence,
                outcome,
            } => self.waits(queue).end(line.at_ns, *index, *fence, *outcome),
            Event::Lost(count) => self.lost += count,
            Event::Given { .. }
            | Event::BufferDone { .. }
            | Event::Core { .. }
            | Event::Ioctl { .. } => {}
        }
    }

    fn waits(&mut self, queue: &str) -> &mut Waits {
        &mut self.queues.entry(queue.to_owned()).or_default().waits
    }

    fn signal(&mut self, at_ns: Ns, queue: &str, fence: FenceId, result: i32) {
        let stats = self.queues.entry(queue.to_owned()).or_default();
        // Armed before the watch began, or lost: there is no time to tell, and it was not counted.
        match stats.pending.remove(&fence) {
            Some(armed) => stats.latency.add(ms_between(armed, at_ns)),
            None => stats.armed += 1,
        }
        stats.signalled += 1;
        if result != 0 {
            *stats.errors.entry(result).or_default() += 1;
        }
        if self.waiting.contains_key(&fence) {
            if self.signals.len() == SIGNALS {
                self.signals.pop_front();
            }
            self.signals.push_back((fence, queue.to_owned(), at_ns));
        }
    }

    fn end_wait(&mut self, at_ns: Ns, pid: u32, fence: FenceId) {
        let Some(tasks) = self.waiting.get_mut(&fence) else {
            return;
        };
        let before = tasks.len();
        tasks.retain(|&task| task != pid);
        let waited = tasks.len() < before;
        if tasks.is_empty() {
            self.waiting.remove(&fence);
        }
        let signal = self.signals.iter().rev().find(|(of, _, _)| *of == fence);
        if let (true, Some((_, queue, signalled))) = (waited, signal) {
            let ms = ms_between(*signalled, at_ns);
            self.queues.entry(queue.clone()).or_default().wakeup.add(ms);
        }
    }

    /// Takes in how long a waiter of our own took to run again.
    pub fn add_wakeup(&mut self, queue: &str, took: Ns) {
        let stats = self.queues.entry(queue.to_owned()).or_default();
        stats.wakeup.add(took as f64 / MS as f64);
    }

    /// The queues for which `wanted` holds.
    pub fn report(&self, wanted: impl Fn(&str) -> bool) -> Vec<QueueReport> {
        let queues = self.queues.iter().filter(|(queue, _)| wanted(queue));
        let now_ns = clock::now();
        queues
            .map(|(queue, stats)| QueueReport {
                queue: queue.clone(),
                armed: stats.armed,
                pending: stats.pending.len(),
                signalled: stats.signalled,
                errors: stats.errors.clone(),
                latency_ms: stats.latency.spread(),
                wakeup_ms: stats.wakeup.spread(),
                waits_for: stats.waits.report(now_ns),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of trace_pipe.
    fn line(ms: u64, event: &str) -> Line {
        uapi::trace::parse(&format!(" x-9 [000] ..... 0.{ms:03}000: {event}")).unwrap()
    }

    fn armed(ms: u64, seqno: u32) -> Line {
        let fence = format!("queue=cap-1 index=0 context=1 seqno={seqno}");
        line(ms, &format!("vb2_release_fence_armed: {fence}"))
    }

    fn signalled(ms: u64, seqno: u32, result: i32) -> Line {
        let fence = format!("queue=cap-1 index=0 context=1 seqno={seqno}");
        line(
            ms,
            &format!("vb2_release_fence_signalled: {fence} result={result}"),
        )
    }

    fn stats(lines: &[Line]) -> Stats {
        let mut stats = Stats::default();
        lines.iter().for_each(|line| stats.see(line));
        stats
    }

    #[test]
    fn counts_and_times() {
        let stats = stats(&[
            armed(10, 1),
            armed(20, 2),
            signalled(30, 1, 0),
            armed(40, 3),
            signalled(60, 2, -110),
        ]);
        let report = &stats.report(|_| true)[0];
        assert_eq!((report.armed, report.signalled, report.pending), (3, 2, 1));
        assert_eq!(report.errors, BTreeMap::from([(-110, 1)]));
        let latency = report.latency_ms.unwrap();
        assert_eq!((latency.count, latency.low, latency.high), (2, 20.0, 40.0));
        assert!(report.wakeup_ms.is_none());
        assert!(stats.report(|queue| queue == "cap-2").is_empty());
    }

    #[test]
    fn queues_that_wait() {
        let fence = "index=0 context=7 seqno=1";
        let waiting =
            format!("vb2_acquire_fence_waiting: queue=cap-1 {fence} driver=panfrost timeline=gpu");
        let ended = format!("vb2_acquire_fence_ended: queue=cap-1 {fence} outcome=given-up");
        let stats = stats(&[line(10, &waiting), line(40, &ended), armed(50, 1)]);
        let report = stats.report(|_| true).remove(0);
        let user = &report.waits_for[0];
        assert_eq!((user.fences, user.given_up, user.waiting), (1, 1, 0));
        assert_eq!(user.wait_ms.unwrap().high, 30.0);
        assert_eq!(report.armed, 1);
    }

    #[test]
    fn armed_before_the_watch() {
        let report = stats(&[signalled(60, 2, 0)]).report(|_| true).remove(0);
        assert_eq!((report.armed, report.signalled, report.pending), (1, 1, 0));
        assert!(report.latency_ms.is_none());
    }

    #[test]
    fn waiters_that_slept() {
        let start = line(15, "dma_fence_wait_start: context=1 seqno=1");
        let end = line(33, "dma_fence_wait_end: context=1 seqno=1");
        let slept = [
            armed(10, 1),
            start.clone(),
            signalled(30, 1, 0),
            end.clone(),
        ];
        let wakeup = stats(&slept).report(|_| true)[0].wakeup_ms.unwrap();
        assert_eq!((wakeup.count, wakeup.median), (1, 3.0));
        // A task that comes later does not sleep, and a time limit is no signal.
        let late = [
            armed(10, 1),
            signalled(12, 1, 0),
            start.clone(),
            end.clone(),
        ];
        assert!(stats(&late).report(|_| true)[0].wakeup_ms.is_none());
        let mut other = end.clone();
        other.pid = 10;
        let another_task = [armed(10, 1), start.clone(), signalled(30, 1, 0), other];
        assert!(stats(&another_task).report(|_| true)[0].wakeup_ms.is_none());
        let gave_up = [armed(10, 1), start, end, signalled(50, 1, 0)];
        assert!(stats(&gave_up).report(|_| true)[0].wakeup_ms.is_none());
    }

    #[test]
    fn own_waiters_and_losses() {
        let mut stats = stats(&[]);
        for lost in ["CPU:0 [LOST 3 EVENTS]", "CPU:1 [LOST 4 EVENTS]"] {
            stats.see(&uapi::trace::parse(lost).unwrap());
        }
        assert_eq!(stats.lost, 7);
        stats.add_wakeup("cap-1", 2 * MS);
        assert_eq!(stats.report(|_| true)[0].wakeup_ms.unwrap().high, 2.0);
    }

    #[test]
    fn medians() {
        let mut times = Times::default();
        assert_eq!(times.spread(), None);
        [9.0, 1.0, 2.0].into_iter().for_each(|ms| times.add(ms));
        let spread = times.spread().unwrap();
        assert_eq!((spread.low, spread.median, spread.high), (1.0, 2.0, 9.0));
    }
}
