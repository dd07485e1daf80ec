// SPDX-License-Identifier: GPL-2.0-only

//! The monotonic clock, which is also the one behind fence timestamps.

use std::time::Duration;

use rustix::time::{clock_getres, clock_gettime, ClockId, Timespec};

/// A point on CLOCK_MONOTONIC, in nanoseconds.
pub type Ns = u64;

/// Nanoseconds in a millisecond.
pub const MS: u64 = 1_000_000;

/// The time now.
pub fn now() -> Ns {
    // The monotonic clock starts at 0, so neither part is ever negative.
    to_ns(clock_gettime(ClockId::Monotonic))
}

/// How long the kernel's tick is: the coarse clock goes on with each.
pub fn tick() -> Ns {
    to_ns(clock_getres(ClockId::MonotonicCoarse))
}

fn to_ns(time: Timespec) -> Ns {
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// Sleeps until `when`, or not at all if that is past.
pub fn sleep_until(when: Ns) {
    std::thread::sleep(Duration::from_nanos(when.saturating_sub(now())));
}

/// `later - earlier` in milliseconds; negative if it is the other way round.
pub fn ms_between(earlier: Ns, later: Ns) -> f64 {
    let size = earlier.abs_diff(later) as f64 / MS as f64;
    if later < earlier {
        -size
    } else {
        size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_forward() {
        let start = now();
        sleep_until(start + 2 * MS);
        assert!(now() >= start + 2 * MS);
        sleep_until(start);
    }

    #[test]
    fn ticks_are_those_of_100_to_1000_hz() {
        assert!((MS..=10 * MS).contains(&tick()), "{}", tick());
    }

    #[test]
    fn differences_have_a_sign() {
        assert_eq!(ms_between(5 * MS, 8 * MS), 3.0);
        assert_eq!(ms_between(8 * MS, 5 * MS), -3.0);
    }
}
