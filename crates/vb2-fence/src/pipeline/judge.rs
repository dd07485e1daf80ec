// SPDX-License-Identifier: GPL-2.0-only

//! What was seen of the pictures, in numbers, and what is wrong with it. Never touches a device.

use serde::Serialize;

use crate::pipeline::args::{SourceKind, Way};
use uapi::clock::{ms_between, Ns};
use uapi::picture::Shown;

/// What was seen of one picture. Times are CLOCK_MONOTONIC in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Shot {
    /// Its number.
    pub number: u32,
    /// Just before it was queued to the first device.
    pub queued_ns: Ns,
    /// The time of the vertical blank that shows it.
    pub flipped_ns: Ns,
    /// The number of that.
    pub vblank: u32,
    /// It was queued to rockchip-rga while the source worked on it.
    pub converted_early: bool,
    /// It was committed to the display while rockchip-rga worked on it.
    pub shown_early: bool,
    /// Its buffer went back to the source while rockchip-rga read it. Without rockchip-rga: that of
    /// the picture before, while the display showed it.
    pub given_back_early: bool,
    /// It was shown, and a device still worked on it.
    pub unfinished: bool,
    /// A device returned its buffer with an error.
    pub flagged: bool,
    /// What the display showed, if that was looked at.
    pub pixels: Option<Shown>,
}

/// The pictures which one that came too early or too late can be, if so many are on the way.
pub fn neighbours(number: u32, on_the_way: usize) -> impl Iterator<Item = u32> {
    let reach = 2 * on_the_way as u32 + 1;
    let all = number.saturating_sub(reach)..=number + reach;
    all.filter(move |&other| other != number)
}

/// What a checksum of the display means, by the checksums of the pictures.
pub fn name(seen: u32, wanted: Option<u32>, others: impl IntoIterator<Item = (u32, u32)>) -> Shown {
    if wanted == Some(seen) {
        return Shown::Wanted;
    }
    let mut others = others.into_iter();
    match others.find(|&(_, checksum)| checksum == seen) {
        Some((number, _)) => Shown::Other(number),
        None => Shown::Torn,
    }
}

/// What the pictures of one way came to.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Numbers {
    /// Pictures that were shown.
    pub frames: usize,
    /// Of these, in a second.
    pub frames_per_second: f64,
    /// From QBUF to the flip, in milliseconds.
    pub median_ms: f64,
    /// 99 of 100 took no longer.
    pub percentile_99_ms: f64,
    /// None took longer.
    pub longest_ms: f64,
    /// Vertical blanks that came with no new picture.
    pub missed_vblanks: u64,
    /// System calls of the program for one picture; `None` if they could not be counted.
    pub system_calls_per_frame: Option<f64>,
    /// Pictures that were queued to rockchip-rga before they were done.
    pub converted_early: usize,
    /// Those that were committed to the display before they were done.
    pub shown_early: usize,
    /// Those whose buffers went back to the source before they were read.
    pub given_back_early: usize,
    /// Those whose pixels were looked at.
    pub checked: usize,
    /// Of these, those that were another picture.
    pub stale: usize,
    /// Those with parts of several, or with anything else.
    pub torn: usize,
    /// Pictures that the display did not wait for.
    pub unfinished: usize,
    /// Pictures that did not come after the one before, or came before they were queued.
    pub out_of_order: usize,
    /// Buffers that came back with an error.
    pub flagged: usize,
}

impl Numbers {
    /// Of the pictures, in the order in which they were shown, and how many system calls they took.
    pub fn of(shots: &[Shot], system_calls: Option<u64>) -> Self {
        let count = |is: fn(&Shot) -> bool| shots.iter().filter(|&shot| is(shot)).count();
        let took = |shot: &Shot| ms_between(shot.queued_ns, shot.flipped_ns);
        let mut times: Vec<f64> = shots.iter().map(took).collect();
        times.sort_by(f64::total_cmp);
        let pairs = || shots.windows(2).map(|pair| (&pair[0], &pair[1]));
        let vblanks = |(one, two): (&Shot, &Shot)| two.vblank.wrapping_sub(one.vblank);
        let follows =
            |&(one, two): &(&Shot, &Shot)| two.number == one.number + 1 && vblanks((one, two)) >= 1;
        let seconds = match shots {
            [first, .., last] => ms_between(first.flipped_ns, last.flipped_ns) / 1000.0,
            _ => 0.0,
        };
        Self {
            frames: shots.len(),
            frames_per_second: ratio((shots.len().max(1) - 1) as f64, seconds),
            median_ms: percentile(&times, 50),
            percentile_99_ms: percentile(&times, 99),
            longest_ms: percentile(&times, 100),
            missed_vblanks: pairs()
                .filter(follows)
                .map(|pair| u64::from(vblanks(pair)) - 1)
                .sum(),
            system_calls_per_frame: system_calls
                .filter(|_| !shots.is_empty())
                .map(|calls| calls as f64 / shots.len() as f64),
            converted_early: count(|shot| shot.converted_early),
            shown_early: count(|shot| shot.shown_early),
            given_back_early: count(|shot| shot.given_back_early),
            checked: count(|shot| shot.pixels.is_some()),
            stale: count(|shot| matches!(shot.pixels, Some(Shown::Other(_)))),
            torn: count(|shot| {
                !matches!(shot.pixels, None | Some(Shown::Wanted | Shown::Other(_)))
            }),
            unfinished: count(|shot| shot.unfinished),
            out_of_order: pairs().filter(|pair| !follows(pair)).count()
                + count(|shot| shot.flipped_ns < shot.queued_ns),
            flagged: count(|shot| shot.flagged),
        }
    }

    /// Why this is not as it has to be, if `frames` pictures were to be shown.
    pub fn complaints(&self, way: Way, source: SourceKind, frames: u32) -> Vec<String> {
        let early = way != Way::Dqbuf;
        // A camera writes its picture at once: its fence is seldom seen. In a circle its buffer goes back
        // before the display is done with it.
        let proves = match source {
            SourceKind::Capture => {
                way != Way::Explicit || self.shown_early + self.given_back_early > 0
            }
            SourceKind::Vivid => self.shown_early > 0,
            _ => self.shown_early > 0 && self.converted_early > 0,
        };
        let wrong = [
            (self.frames < frames as usize, "the pipeline has stopped"),
            (
                self.checked == 0,
                "no picture was checked: try a smaller --check",
            ),
            (self.stale > 0, "the display showed another picture"),
            (self.torn > 0, "the display showed a picture that is none"),
            (
                self.unfinished > 0,
                "the display did not wait for the picture",
            ),
            (self.out_of_order > 0, "pictures came out of order"),
            (self.flagged > 0, "a job failed"),
            (
                early && !proves,
                "nothing was handed on early, so this proves nothing: try a longer --job-ms",
            ),
            (
                !early && self.shown_early + self.converted_early + self.given_back_early > 0,
                "pictures were handed on early",
            ),
        ];
        let wrong = wrong.into_iter().filter(|&(is, _)| is);
        wrong
            .map(|(_, why)| format!("{}: {why}", way.name()))
            .collect()
    }
}

/// `one / other`, or 0 if there is none.
pub fn ratio(one: f64, other: f64) -> f64 {
    if other > 0.0 {
        one / other
    } else {
        0.0
    }
}

/// The smallest of the sorted numbers than which so many percent are no larger; 0 of none.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.max(1) - 1).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uapi::clock::MS;

    /// One picture each 40 ms and vertical blank, each 50 ms after its QBUF.
    fn shots(count: u32) -> Vec<Shot> {
        let shot = |number: u32| Shot {
            number,
            queued_ns: u64::from(number) * 40 * MS,
            flipped_ns: u64::from(number) * 40 * MS + 50 * MS,
            vblank: (u32::MAX - 5).wrapping_add(number),
            converted_early: true,
            shown_early: true,
            given_back_early: true,
            unfinished: false,
            flagged: false,
            pixels: (number % 2 == 0).then_some(Shown::Wanted),
        };
        (1..=count).map(shot).collect()
    }

    fn complaints(way: Way, shots: &[Shot]) -> Vec<String> {
        Numbers::of(shots, None).complaints(way, SourceKind::Hantro, 10)
    }

    /// The one thing that is wrong if `change` is done to the fourth picture.
    #[track_caller]
    fn wrong(change: impl Fn(&mut Shot), why: &str) {
        let mut shots = shots(10);
        change(&mut shots[3]);
        let found = complaints(Way::Implicit, &shots);
        assert!(found.len() == 1 && found[0].contains(why), "{found:?}");
    }

    #[test]
    fn numbers_of_what_is_right() {
        let numbers = Numbers::of(&shots(10), Some(125));
        assert_eq!(numbers.system_calls_per_frame, Some(12.5));
        assert_eq!(Numbers::of(&[], Some(125)), Numbers::default());
        assert_eq!((numbers.frames, numbers.checked), (10, 5));
        assert!((numbers.frames_per_second - 25.0).abs() < 1e-6);
        assert_eq!((numbers.median_ms, numbers.longest_ms), (50.0, 50.0));
        assert_eq!((numbers.missed_vblanks, numbers.out_of_order), (0, 0));
        assert!(complaints(Way::Implicit, &shots(10)).is_empty());
    }

    #[test]
    fn a_picture_that_came_late() {
        let mut late = shots(10);
        for shot in &mut late[6..] {
            shot.vblank = shot.vblank.wrapping_add(2);
            shot.flipped_ns += 80 * MS;
        }
        let numbers = Numbers::of(&late, None);
        assert_eq!((numbers.missed_vblanks, numbers.out_of_order), (2, 0));
        assert_eq!((numbers.median_ms, numbers.percentile_99_ms), (50.0, 130.0));
        assert!(complaints(Way::Implicit, &late).is_empty());
    }

    #[test]
    fn what_is_wrong_is_said() {
        wrong(
            |shot| shot.pixels = Some(Shown::Other(2)),
            "another picture",
        );
        wrong(|shot| shot.pixels = Some(Shown::Torn), "that is none");
        wrong(|shot| shot.unfinished = true, "did not wait");
        wrong(|shot| shot.flagged = true, "a job failed");
        wrong(|shot| shot.vblank -= 1, "out of order");
        wrong(|shot| shot.queued_ns = shot.flipped_ns + 1, "out of order");
        wrong(|shot| shot.number = 2, "out of order");
        let few = complaints(Way::Implicit, &shots(9));
        assert!(few.len() == 1 && few[0].contains("stopped"), "{few:?}");
        let none = complaints(Way::Implicit, &[]);
        assert!(none[0].contains("stopped") && none[1].contains("--check"));
    }

    #[test]
    fn the_ways_differ_in_what_is_early() {
        let mut shots = shots(10);
        let found = complaints(Way::Dqbuf, &shots);
        assert_eq!(found, ["dqbuf: pictures were handed on early"]);
        for shot in &mut shots {
            shot.converted_early = false;
        }
        for way in [Way::Implicit, Way::Explicit] {
            let found = complaints(way, &shots);
            assert!(
                found[0].contains("nothing was handed on early"),
                "{found:?}"
            );
        }
        for camera in [SourceKind::Vivid, SourceKind::Capture] {
            let found = Numbers::of(&shots, None).complaints(Way::Implicit, camera, 10);
            assert!(found.is_empty(), "{found:?}");
        }
        for shot in &mut shots {
            (shot.shown_early, shot.given_back_early) = (false, false);
        }
        assert!(complaints(Way::Dqbuf, &shots).is_empty());
    }

    #[test]
    fn checksums_name_pictures() {
        let others: Vec<(u32, u32)> = neighbours(5, 1).map(|other| (other, other * 10)).collect();
        assert_eq!(others.len(), 6);
        let name = |seen, wanted| name(seen, wanted, others.clone());
        assert_eq!(name(50, Some(50)), Shown::Wanted);
        assert_eq!(name(40, Some(50)), Shown::Other(4));
        assert_eq!(name(99, Some(50)), Shown::Torn);
        assert_eq!(name(50, None), Shown::Torn);
    }

    #[test]
    fn percentiles_by_rank() {
        let sorted: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!(percentile(&sorted, 50), 100.0);
        assert_eq!(percentile(&sorted, 99), 198.0);
        assert_eq!(percentile(&sorted, 100), 200.0);
        assert_eq!((percentile(&[7.0], 1), percentile(&[], 99)), (7.0, 0.0));
        assert_eq!(ratio(1.0, 0.0), 0.0);
    }
}
