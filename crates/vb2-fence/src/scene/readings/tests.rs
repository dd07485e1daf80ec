// SPDX-License-Identifier: GPL-2.0-only

use super::*;
use uapi::clock::{Ns, MS};
use uapi::picture::Picture;
use uapi::sync_file::{Fence, SyncInfo};

const SIZE: Size = Size::new(64, 48);

/// The reading ends here.
const READ: Ns = 1_000 * MS;

fn frame(number: u32) -> Picture {
    Picture::frame(SIZE, number)
}

/// A reading as it has to be with the feature on.
fn good_on() -> Half {
    let status = FenceStatus::Pending;
    Half {
        reading: Reading {
            number: 1,
            source: Source::ImportSyncFile,
            begun_ns: 0,
            qbuf_ns: 250 * MS,
            queued_ns: 251 * MS,
            fences: SyncInfo {
                status,
                fences: vec![Fence {
                    driver: "sw_sync".into(),
                    timeline: "t".into(),
                    status,
                    timestamp_ns: 0,
                }],
            },
            job_begun_ns: Some(READ),
            job_over_ns: READ + 250 * MS,
            read_ns: READ,
            saw: Saw::Whole,
            written: true,
            flagged: false,
            pictures: (frame(1), frame(1)),
        },
        import_sync_file: tally(0),
        vgem: Some(tally(0)),
    }
}

/// And with the feature off.
fn good_off() -> Half {
    let on = good_on();
    Half {
        reading: Reading {
            job_begun_ns: Some(252 * MS),
            job_over_ns: 502 * MS,
            saw: Saw::Torn { next_pixels: 1000 },
            ..on.reading
        },
        import_sync_file: tally(10),
        vgem: Some(tally(9)),
    }
}

fn tally(torn: u32) -> Tally {
    Tally {
        pictures: 10,
        torn,
        ..Tally::default()
    }
}

fn wrong(half: &Half, on: bool) -> Vec<&'static str> {
    let lines = lines(half, on).into_iter();
    let wrong = lines.filter(|(_, seen)| seen.wrong.is_some());
    wrong.map(|(title, _)| title).collect()
}

/// What is wrong if the reading is another one.
fn changed(on: bool, change: impl Fn(&mut Reading)) -> Vec<&'static str> {
    let mut half = if on { good_on() } else { good_off() };
    change(&mut half.reading);
    wrong(&half, on)
}

#[test]
fn good_readings_are_right() {
    assert_eq!(wrong(&good_on(), true), Vec::<&str>::new());
    assert_eq!(wrong(&good_off(), false), Vec::<&str>::new());
}

#[test]
fn the_halves_are_not_the_same() {
    let differ = [
        "job began",
        "job ended",
        "picture that was read",
        "torn, IMPORT_SYNC_FILE",
        "torn, fence of vgem",
    ];
    assert_eq!(wrong(&good_off(), true), differ);
    assert_eq!(wrong(&good_on(), false), differ);
}

#[test]
fn only_its_own_picture_is_whole() {
    let titles = ["picture that was read"];
    for saw in [
        Saw::Torn { next_pixels: 1 },
        Saw::Next,
        Saw::Strange { pixels: 1 },
    ] {
        assert_eq!(changed(true, |reading| reading.saw = saw), titles);
    }
    assert!(changed(false, |reading| reading.saw = Saw::Next).is_empty());
    let strange = Saw::Strange { pixels: 1 };
    assert_eq!(changed(false, |reading| reading.saw = strange), titles);
}

#[test]
fn a_call_that_waits_is_wrong() {
    let titles = changed(true, |reading| reading.queued_ns = READ + MS);
    assert_eq!(titles, ["QBUF returned"]);
}

#[test]
fn a_job_beside_the_reader_is_wrong() {
    let titles = changed(true, |reading| reading.job_begun_ns = Some(READ - MS));
    assert_eq!(titles, ["job began"]);
    let titles = changed(true, |reading| reading.job_over_ns = READ - MS);
    assert_eq!(titles, ["job ended"]);
    assert!(changed(true, |reading| reading.job_begun_ns = None).is_empty());
}

#[test]
fn a_machine_can_be_too_slow() {
    let reading = good_on().reading;
    assert!(reading.is_in_time(JOB_MS) && !reading.is_in_time(JOB_MS / 4));
}

#[test]
fn without_a_fence_nothing_is_shown() {
    for on in [false, true] {
        let signalled = FenceStatus::Signalled;
        let titles = changed(on, |reading| reading.fences.status = signalled);
        assert_eq!(titles, ["reader's fence at QBUF"]);
        let titles = changed(on, |reading| reading.written = false);
        assert_eq!(titles, ["buffer dequeued"]);
        let titles = changed(on, |reading| reading.flagged = true);
        assert_eq!(titles, ["buffer dequeued"]);
    }
}

#[test]
fn torn_pictures_are_counted() {
    let right = |tally: Tally, on| tally.judge(on).wrong.is_none();
    assert!(right(tally(0), true) && !right(tally(1), true));
    assert!(right(tally(6), false) && !right(tally(5), false) && !right(tally(0), false));
    for on in [false, true] {
        let torn = if on { 0 } else { 10 };
        let strange = Tally {
            strange: 1,
            ..tally(torn)
        };
        let failed = Tally {
            failed: 1,
            ..tally(torn)
        };
        assert!(!right(strange, on) && !right(failed, on));
        assert!(of_vgem(None, on).wrong.is_none());
    }
    let mut tally = Tally::default();
    tally.add(&good_off().reading);
    tally.add(&good_on().reading);
    assert_eq!((tally.pictures, tally.torn, tally.strange), (2, 1, 0));
    let seen = tally.judge(false);
    assert_eq!(seen.text, "1 of 2");
}
