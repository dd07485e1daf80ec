// SPDX-License-Identifier: GPL-2.0-only

//! What the queued buffers of a queue wait for: whose fences, and how long.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::stats::{Spread, Times};
use uapi::clock::{ms_between, Ns};
use uapi::trace::{FenceId, Outcome, User};

/// The waits for the fences of one user.
#[derive(Clone, Debug, Default)]
struct UserStats {
    begun: u64,
    given_up: u64,
    let_go: u64,
    times: Times,
}

/// The same, for JSON and for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UserReport {
    /// The driver that made the fences.
    pub driver: String,
    /// Their timeline.
    pub timeline: String,
    /// Fences that a buffer had to wait for when it was queued.
    pub fences: u64,
    /// Of these, waited for now.
    pub waiting: usize,
    /// For how long, of the one that is waited for longest, in ms.
    pub waiting_ms: Option<f64>,
    /// Not waited for any longer, since they did not end in time.
    pub given_up: u64,
    /// Not waited for any longer, since the queue was stopped.
    pub let_go: u64,
    /// How long buffers waited for those that were signalled or given up, in ms.
    pub wait_ms: Option<Spread>,
}

/// Of one queue.
#[derive(Clone, Debug, Default)]
pub struct Waits {
    users: BTreeMap<User, UserStats>,
    /// Since when, by the buffer's number and the fence.
    now: HashMap<(u32, FenceId), (User, Ns)>,
}

impl Waits {
    /// A buffer begins to wait.
    pub fn begin(&mut self, at_ns: Ns, index: u32, fence: FenceId, user: &User) {
        self.users.entry(user.clone()).or_default().begun += 1;
        self.now.insert((index, fence), (user.clone(), at_ns));
    }

    /// It does not wait for this fence any longer. What began before the watch is not counted: it
    /// is not known whose fence it was.
    pub fn end(&mut self, at_ns: Ns, index: u32, fence: FenceId, outcome: Outcome) {
        let Some((user, since)) = self.now.remove(&(index, fence)) else {
            return;
        };
        let stats = self.users.entry(user).or_default();
        match outcome {
            Outcome::Signalled => {}
            Outcome::GivenUp => stats.given_up += 1,
            Outcome::LetGo => {
                stats.let_go += 1;
                return;
            }
        }
        stats.times.add(ms_between(since, at_ns));
    }

    /// How it stands.
    pub fn report(&self, now_ns: Ns) -> Vec<UserReport> {
        let users = self.users.iter();
        users
            .map(|(user, stats)| {
                let since = self.now.values().filter(|(of, _)| of == user);
                let since = since.map(|&(_, since)| since);
                UserReport {
                    driver: user.driver.clone(),
                    timeline: user.timeline.clone(),
                    fences: stats.begun,
                    waiting: since.clone().count(),
                    waiting_ms: since.min().map(|since| ms_between(since, now_ns)),
                    given_up: stats.given_up,
                    let_go: stats.let_go,
                    wait_ms: stats.times.spread(),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uapi::clock::MS;

    fn user(timeline: &str) -> User {
        User {
            driver: "panfrost".into(),
            timeline: timeline.into(),
        }
    }

    fn fence(seqno: u32) -> FenceId {
        FenceId { context: 7, seqno }
    }

    #[test]
    fn counts_each_user() {
        let mut waits = Waits::default();
        for (seqno, timeline) in [(1, "a"), (2, "a"), (3, "a"), (4, "b")] {
            waits.begin(10 * MS, 0, fence(seqno), &user(timeline));
        }
        waits.end(30 * MS, 0, fence(1), Outcome::Signalled);
        waits.end(50 * MS, 0, fence(2), Outcome::GivenUp);
        waits.end(90 * MS, 0, fence(4), Outcome::LetGo);
        let report = waits.report(70 * MS);
        let (a, b) = (&report[0], &report[1]);
        assert_eq!((&*a.timeline, &*b.timeline), ("a", "b"));
        assert_eq!((a.fences, a.waiting, a.given_up, a.let_go), (3, 1, 1, 0));
        assert_eq!(a.waiting_ms, Some(60.0));
        let times = a.wait_ms.unwrap();
        assert_eq!((times.count, times.low, times.high), (2, 20.0, 40.0));
        assert_eq!((b.fences, b.waiting, b.let_go), (1, 0, 1));
        assert!(b.waiting_ms.is_none() && b.wait_ms.is_none());
    }

    #[test]
    fn buffers_wait_by_themselves() {
        let mut waits = Waits::default();
        waits.begin(10 * MS, 0, fence(1), &user("a"));
        waits.begin(20 * MS, 1, fence(1), &user("a"));
        waits.end(30 * MS, 1, fence(1), Outcome::Signalled);
        let report = waits.report(40 * MS).remove(0);
        assert_eq!((report.fences, report.waiting), (2, 1));
        assert_eq!(report.waiting_ms, Some(30.0));
        assert_eq!(report.wait_ms.unwrap().high, 10.0);
    }

    #[test]
    fn what_began_before_the_watch() {
        let mut waits = Waits::default();
        waits.end(30 * MS, 0, fence(1), Outcome::Signalled);
        assert!(waits.report(40 * MS).is_empty());
    }
}
