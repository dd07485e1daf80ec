// SPDX-License-Identifier: GPL-2.0-only

use super::*;
use uapi::clock::{Ns, MS};
use uapi::sync_file::FENCE_DRIVER;
use uapi::sync_file::{Fence, SyncInfo};

const END: Ns = 1000 * MS;

fn info(driver: &str, status: FenceStatus, timestamp_ns: Ns) -> SyncInfo {
    SyncInfo {
        status,
        fences: vec![Fence {
            driver: driver.into(),
            timeline: "t".into(),
            status,
            timestamp_ns,
        }],
    }
}

fn woken(at_ns: Ns) -> Option<Woken> {
    Some(Woken {
        at_ns,
        readiness: Readiness::Ready,
    })
}

/// A flip as it has to be with the feature on.
fn good_on() -> Flip {
    Flip {
        number: 1,
        started_ns: 0,
        commit_ns: 10 * MS,
        committed_ns: 11 * MS,
        in_flight: true,
        fence_at_commit: info(FENCE_DRIVER, FenceStatus::Pending, 0),
        fence_at_end: info(FENCE_DRIVER, FenceStatus::Signalled, END - MS),
        video: woken(END),
        dmabuf: woken(END),
        sync_file: woken(END),
        event: woken(END + 20 * MS),
        event_ns: END + 19 * MS,
        scanned_out_ns: END + 29 * MS,
        crc: 1,
        shown: Shown::Wanted,
        written: true,
        flagged: false,
        in_snapshot: Some(Shown::Wanted),
        snapshot: None,
    }
}

/// And with the feature off.
fn good_off() -> Flip {
    Flip {
        fence_at_commit: info("stub", FenceStatus::Signalled, 1),
        fence_at_end: info("stub", FenceStatus::Signalled, 1),
        dmabuf: woken(12 * MS),
        sync_file: woken(12 * MS),
        event: woken(20 * MS),
        event_ns: 19 * MS,
        scanned_out_ns: 29 * MS,
        shown: Shown::Before,
        in_snapshot: Some(Shown::Before),
        ..good_on()
    }
}

fn wrong(flip: &Flip, on: bool) -> Vec<&'static str> {
    let lines = lines(flip, on, ProducerKind::Rga).into_iter();
    let wrong = lines.filter(|(_, seen)| seen.wrong.is_some());
    wrong.map(|(title, _)| title).collect()
}

#[test]
fn good_flips_are_right() {
    assert_eq!(wrong(&good_on(), true), Vec::<&str>::new());
    assert_eq!(wrong(&good_off(), false), Vec::<&str>::new());
}

#[test]
fn the_halves_are_not_the_same() {
    assert!(wrong(&good_off(), true).contains(&"scanned out"));
    assert!(wrong(&good_off(), true).contains(&"scanned out at"));
    assert!(wrong(&good_on(), false).contains(&"scanned out"));
    assert!(wrong(&good_on(), false).contains(&"flip's event"));
}

#[test]
fn an_old_or_torn_picture_is_wrong() {
    for shown in [Shown::Before, Shown::Other(0), Shown::Torn, Shown::Nothing] {
        let in_snapshot = Some(shown);
        let flip = Flip {
            shown,
            in_snapshot,
            ..good_on()
        };
        assert_eq!(wrong(&flip, true), ["scanned out"]);
        let flip = Flip { shown, ..good_on() };
        assert!(!in_time(&flip, true));
    }
}

#[test]
fn a_machine_can_be_too_slow() {
    assert!(in_time(&good_on(), true) && in_time(&good_off(), false));
    let late = Flip {
        scanned_out_ns: END + MS,
        ..good_off()
    };
    assert!(!in_time(&late, false) && in_time(&late, true));
}

#[test]
fn a_flip_before_the_fence_is_wrong() {
    let flip = Flip {
        scanned_out_ns: END - 2 * MS,
        event: woken(END - 3 * MS),
        ..good_on()
    };
    assert_eq!(wrong(&flip, true), ["flip's event", "scanned out at"]);
}

#[test]
fn a_job_that_was_over_is_not_overtaken() {
    assert!(!good_on().is_early());
    assert!(good_off().is_early());
    // The poll for the job's end returns after the display has flipped.
    let over = Flip {
        in_flight: false,
        scanned_out_ns: END - 80 * MS,
        ..good_off()
    };
    assert!(!over.is_early());
    let runs = Flip {
        in_flight: true,
        ..over
    };
    assert!(runs.is_early());
}

#[test]
fn what_is_not_seen_is_not_right() {
    let late = Flip {
        in_flight: false,
        ..good_on()
    };
    assert_eq!(wrong(&late, true), ["job runs at the commit"]);
    let never = Flip {
        dmabuf: None,
        ..good_on()
    };
    assert_eq!(wrong(&never, true), ["dma-buf ready"]);
    let unsignalled = Flip {
        fence_at_end: info(FENCE_DRIVER, FenceStatus::Pending, 0),
        ..good_on()
    };
    assert!(wrong(&unsignalled, true).contains(&"scanned out at"));
}

#[test]
fn a_device_that_writes_first_never_shows_the_old_picture() {
    let off = Flip {
        shown: Shown::Wanted,
        in_snapshot: Some(Shown::Wanted),
        ..good_off()
    };
    let lines = lines(&off, false, ProducerKind::Vim2m);
    assert!(
        lines.iter().all(|(_, seen)| seen.wrong.is_none()),
        "{lines:?}"
    );
}

#[test]
fn what_the_decoder_had_not_written_stays_away() {
    let off = Flip {
        written: false,
        ..good_off()
    };
    let wrong = |flip: &Flip, on| dequeued(flip, on, ProducerKind::Vpu).wrong.is_some();
    assert!(!wrong(&off, false) && wrong(&off, true));
    assert!(wrong(&good_off(), false) && !wrong(&good_on(), true));
}
