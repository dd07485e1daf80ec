// SPDX-License-Identifier: GPL-2.0-only

//! What was seen, in words: states, and numbers of several rounds.

use crate::observation::Dequeued;
use uapi::poll::Readiness;
use uapi::sync_file::FenceStatus;

/// Median and extremes of some numbers.
pub struct Spread {
    low: f64,
    /// The number in the middle.
    pub median: f64,
    high: f64,
}

impl Spread {
    /// Of some numbers; `None` of none.
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
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

    /// In milliseconds: the median, and the extremes if there are any.
    pub fn show(&self) -> String {
        let Self { low, median, high } = self;
        if low == high {
            format!("{median:+.1} ms")
        } else {
            format!("{median:+.1} ms ({low:+.1} .. {high:+.1})")
        }
    }
}

/// The answer of poll.
pub fn readiness(seen: Readiness) -> &'static str {
    match seen {
        Readiness::NotReady => "not ready",
        Readiness::Ready => "ready",
        Readiness::Error => "a poll error",
    }
}

/// The state of a fence.
pub fn status(status: FenceStatus) -> String {
    match status {
        FenceStatus::Pending => "pending".into(),
        FenceStatus::Signalled => "signalled".into(),
        FenceStatus::Failed(errno) => {
            let errno = i32::try_from(errno).unwrap_or(i32::MAX);
            format!("failed: {}", std::io::Error::from_raw_os_error(errno))
        }
    }
}

/// How a buffer came back.
pub fn dequeued(seen: &Dequeued) -> String {
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
    fn errors_are_named() {
        assert!(status(FenceStatus::Failed(110)).contains("timed out"));
        assert!(status(FenceStatus::Failed(u32::MAX)).starts_with("failed"));
    }
}
