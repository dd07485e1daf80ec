// SPDX-License-Identifier: GPL-2.0-only

//! What was called, with which result, and what is being called: for libFuzzer, for the summary, and
//! for the watch over calls that do not return.

use std::collections::hash_map::DefaultHasher;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::sys::Answer;

/// How many threads there are at most: those of a program, and the one that ends it.
pub const THREADS: usize = 4;

/// How long a call may take. A release fence may take 10 s, if a driver forgets it.
const PATIENCE: Duration = Duration::from_secs(30);

/// libFuzzer looks at it after each input: what is not zero for the first time makes an input worth
/// keeping.
#[link_section = "__libfuzzer_extra_counters"]
static FEATURES: [AtomicU8; 1 << 16] = [const { AtomicU8::new(0) }; 1 << 16];

/// Notes something that happened.
pub fn feature(what: impl Hash) {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    let counter = &FEATURES[hasher.finish() as usize % FEATURES.len()];
    // Not atomic as a whole: a lost count is no loss.
    counter.store(
        counter.load(Ordering::Relaxed).saturating_add(1),
        Ordering::Relaxed,
    );
}

/// A lock whose content is right even if a thread panicked with it held.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a call is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// An input's program.
    Program,
    /// A program, too, but a file that an administrator writes.
    Knob,
    /// What ends all that a program began.
    CleanUp,
}

/// What a thread does.
#[derive(Clone, Copy, Debug)]
struct Underway {
    name: &'static str,
    since: Instant,
}

/// All counts of a run.
#[derive(Debug, Default)]
pub struct Counts {
    of_programs: AtomicU64,
    by_kind: Mutex<BTreeMap<(Part, &'static str, i32), u64>>,
    underway: [Mutex<Option<Underway>>; THREADS],
}

impl Counts {
    /// Calls of programs so far, without knobs.
    pub fn of_programs(&self) -> u64 {
        self.of_programs.load(Ordering::Relaxed)
    }

    /// Makes a call. `state` is what makes the same answer another one.
    pub fn call<T>(
        &self,
        thread: usize,
        part: Part,
        name: &'static str,
        state: u32,
        call: impl FnOnce() -> Answer<T>,
    ) -> Answer<T> {
        *lock(&self.underway[thread]) = Some(Underway {
            name,
            since: Instant::now(),
        });
        let answer = call();
        *lock(&self.underway[thread]) = None;
        let errno = answer.as_ref().err().copied().unwrap_or(0);
        if part == Part::Program {
            self.of_programs.fetch_add(1, Ordering::Relaxed);
        }
        *lock(&self.by_kind).entry((part, name, errno)).or_default() += 1;
        feature((name, errno, state));
        answer
    }

    /// Which call does not return.
    pub fn stuck(&self) -> Option<(&'static str, Duration)> {
        self.longest().filter(|&(_, time)| time > PATIENCE)
    }

    /// How many threads, but for the first, have been in a call for that long.
    pub fn waiting(&self, time: Duration) -> usize {
        let others = self.underway[1..].iter().filter_map(|slot| *lock(slot));
        others.filter(|call| call.since.elapsed() > time).count()
    }

    fn longest(&self) -> Option<(&'static str, Duration)> {
        let underway = self.underway.iter().filter_map(|slot| *lock(slot));
        let calls = underway.map(|call| (call.name, call.since.elapsed()));
        calls.max_by_key(|&(_, time)| time)
    }

    /// How many calls of a part succeeded and failed, and which, as text.
    pub fn summary(&self, of: Part) -> (u64, u64, String) {
        let mut kinds: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
        let mut sums = [0; 2];
        for (&(part, name, errno), count) in lock(&self.by_kind).iter() {
            if part != of {
                continue;
            }
            let failed = usize::from(errno != 0);
            kinds.entry(name).or_default()[failed] += count;
            sums[failed] += count;
        }
        let kinds: Vec<_> = kinds
            .iter()
            .map(|(name, [good, bad])| format!("{name} {good}/{bad}"))
            .collect();
        (sums[0], sums[1], kinds.join(", "))
    }

    /// How often each call of programs was made, whatever came of it.
    pub fn operations(&self) -> BTreeMap<&'static str, u64> {
        let mut operations = BTreeMap::new();
        for (&(part, name, _), count) in lock(&self.by_kind).iter() {
            if part == Part::Program {
                *operations.entry(name).or_default() += count;
            }
        }
        operations
    }

    /// One line for each part, kind of call and errno.
    pub fn errors(&self) -> Vec<String> {
        let counts = lock(&self.by_kind);
        let lines = counts.iter().map(|(&(part, name, errno), count)| {
            let error = std::io::Error::from_raw_os_error(errno);
            let text = if errno == 0 {
                "ok".into()
            } else {
                error.to_string()
            };
            format!("{count:8} {part:?} {name}: {text}")
        });
        lines.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_kind() {
        let counts = Counts::default();
        let call = |part, name, answer: Answer<()>| {
            assert_eq!(counts.call(1, part, name, 0, || answer), answer);
        };
        call(Part::Program, "QBUF", Ok(()));
        call(Part::Program, "QBUF", Err(22));
        call(Part::Program, "close", Ok(()));
        call(Part::Knob, "fault", Err(22));
        for _ in 0..2 {
            call(Part::CleanUp, "close", Ok(()));
        }
        assert_eq!(counts.of_programs(), 3);
        let summary = |part| {
            let (good, bad, kinds) = counts.summary(part);
            format!("{good}, {bad}: {kinds}")
        };
        assert_eq!(summary(Part::Program), "2, 1: QBUF 1/1, close 1/0");
        assert_eq!(summary(Part::Knob), "0, 1: fault 0/1");
        assert_eq!(summary(Part::CleanUp), "2, 0: close 2/0");
        let operations = BTreeMap::from([("QBUF", 2), ("close", 1)]);
        assert_eq!(counts.operations(), operations);
        assert_eq!(counts.errors().len(), 5);
    }

    #[test]
    fn a_call_that_takes_long_is_named() {
        let counts = Counts::default();
        assert!(counts.longest().is_none());
        let seen = counts.call(2, Part::CleanUp, "SYNC", 0, || {
            Ok(counts.longest().map(|call| call.0))
        });
        assert_eq!(seen, Ok(Some("SYNC")));
        assert!(counts.stuck().is_none());
    }

    #[test]
    fn features_are_for_libfuzzer() {
        let set = || {
            FEATURES
                .iter()
                .filter(|one| one.load(Ordering::Relaxed) != 0)
                .count()
        };
        let before = set();
        for number in 0..20 {
            feature(("nothing else", number));
        }
        assert!(set() > before);
    }
}
