// SPDX-License-Identifier: GPL-2.0-only

//! Synthetic observations: what is right, and what has to be found wrong, each for its own reason.

use super::*;
use uapi::clock::MS;
use uapi::sync_file::{Fence, SyncInfo};

const JOB_MS: u32 = 400;
const START: u64 = 1_000_000 * MS;

fn at(ms: u64) -> Option<Woken> {
    Some(Woken {
        at_ns: START + ms * MS,
        readiness: Readiness::Ready,
    })
}

fn fences(driver: &str, timeline: &str, status: FenceStatus) -> SyncInfo {
    SyncInfo {
        status,
        fences: vec![Fence {
            driver: driver.into(),
            timeline: timeline.into(),
            status,
            timestamp_ns: 0,
        }],
    }
}

fn view_on(handle: Handle) -> View {
    View {
        handle,
        mid_dmabuf: Readiness::NotReady,
        mid_fences: fences("videobuf2", "cap-1", FenceStatus::Pending),
        end_dmabuf: at(403),
        end_sync_file: at(403),
        end_fences: fences("videobuf2", "cap-1", FenceStatus::Signalled),
    }
}

fn view_off(handle: Handle) -> View {
    View {
        handle,
        mid_dmabuf: Readiness::Ready,
        mid_fences: fences("stub", "stub", FenceStatus::Signalled),
        end_dmabuf: at(101),
        end_sync_file: at(101),
        end_fences: fences("stub", "stub", FenceStatus::Signalled),
    }
}

fn round(views: Vec<View>) -> Round {
    Round {
        started_ns: START,
        start_returned_ns: START + MS,
        look_began_ns: START + 100 * MS,
        look_ended_ns: START + 101 * MS,
        mid_video: Readiness::NotReady,
        end_video: at(404),
        views,
        dequeued: Dequeued::Done,
    }
}

fn round_on() -> Round {
    round(vec![
        view_on(Handle::ExportedBefore),
        view_on(Handle::ExportedDuring),
    ])
}

fn round_off() -> Round {
    round(vec![
        view_off(Handle::ExportedBefore),
        view_off(Handle::ExportedDuring),
    ])
}

fn results(rounds: Vec<Round>) -> Option<Vec<RoundResult>> {
    let seen = |round| RoundResult::Seen(Box::new(round));
    Some(rounds.into_iter().map(seen).collect())
}

fn runs(off: Option<Vec<RoundResult>>, on: Option<Vec<RoundResult>>) -> CaseRuns {
    CaseRuns {
        case: Case::ExportedDuring,
        off,
        on,
    }
}

/// The lines that are wrong, with their first reason.
fn wrong(runs: &CaseRuns) -> Vec<(What, String)> {
    let lines = judge(runs, JOB_MS).into_iter();
    lines
        .filter_map(|line| match line.judgement {
            Judgement::Wrong(reasons) => Some((line.what, reasons[0].clone())),
            _ => None,
        })
        .collect()
}

/// Breaks the second of three good rounds with the feature on; gives what is found wrong.
fn broken_on(breakage: impl Fn(&mut Round)) -> Vec<(What, String)> {
    let mut bad = round_on();
    breakage(&mut bad);
    wrong(&runs(
        results(vec![round_off()]),
        results(vec![round_on(), bad, round_on()]),
    ))
}

#[track_caller]
fn expect(found: Vec<(What, String)>, wanted: &[(What, &str)]) {
    assert_eq!(found.len(), wanted.len(), "{found:?}");
    for ((what, reason), (wanted_what, part)) in found.iter().zip(wanted) {
        assert_eq!(what, wanted_what, "{found:?}");
        assert!(reason.contains(part), "{reason:?} does not say {part:?}");
    }
}

#[test]
fn good_halves_are_right() {
    let runs = runs(
        results(vec![round_off(), round_off()]),
        results(vec![round_on(), round_on()]),
    );
    let lines = judge(&runs, JOB_MS);
    assert_eq!(score(&lines), (8, 8), "{lines:?}");
    assert_eq!(lines[1].off.as_deref(), Some("READY (stale)"));
    assert_eq!(lines[1].on.as_deref(), Some("not ready"));
    assert_eq!(lines[2].off.as_deref(), Some("none (stub, signalled)"));
    assert_eq!(lines[3].on.as_deref(), Some("videobuf2 / cap-1"));
    assert_eq!(lines[4].off.as_deref(), Some("-299.0 ms"));
    assert_eq!(lines[4].on.as_deref(), Some("+3.0 ms"));
    assert_eq!(lines[5].on.as_deref(), Some("-1.0 ms"));
}

#[test]
fn one_half_alone() {
    let off = judge(&runs(results(vec![round_off()]), None), JOB_MS);
    assert_eq!(score(&off), (1, 1));
    let on = judge(&runs(None, results(vec![round_on()])), JOB_MS);
    assert_eq!(score(&on), (8, 8));
    assert_eq!(score(&judge(&runs(None, None), JOB_MS)), (0, 0));
}

#[test]
fn nothing_seen_is_not_right() {
    assert_eq!(wrong(&runs(None, Some(Vec::new()))).len(), 8);
    assert_eq!(wrong(&runs(Some(Vec::new()), None)).len(), 1);
    expect(
        broken_on(|r| r.views.clear())[..1].to_vec(),
        &[(What::MidDmabuf, "not every descriptor")],
    );
}

#[test]
fn a_kernel_that_does_nothing_is_wrong_with_the_feature_on() {
    let found = wrong(&runs(
        results(vec![round_off()]),
        results(vec![round_off()]),
    ));
    expect(
        found,
        &[
            (What::MidDmabuf, "on, round 1: ready while the job runs"),
            (What::MidFence, "signalled while the job runs"),
            (What::MidName, "no fence of the driver"),
            (What::EndTime, "before the job's end"),
            (What::EndToNode, "303.0 ms apart"),
            (What::EndFence, "before the job's end"),
        ],
    );
}

#[test]
fn the_problem_has_to_show_with_the_feature_off() {
    for broken in [round_on(), {
        let mut second_only = round_off();
        second_only.views[1].mid_dmabuf = Readiness::NotReady;
        second_only
    }] {
        expect(
            wrong(&runs(results(vec![round_off(), broken]), None)),
            &[(What::MidDmabuf, "proves nothing")],
        );
    }
    let mut over = round_off();
    over.mid_video = Readiness::Ready;
    expect(
        wrong(&runs(results(vec![over]), None)),
        &[(What::MidDmabuf, "off, round 1: the video node is ready")],
    );
}

/// Each breaks one of three rounds with the feature on, and is found for its own reason.
#[test]
fn each_breakage_is_found() {
    type Breakage = (fn(&mut Round), &'static [(What, &'static str)]);
    let breakages: [Breakage; 16] = [
        (
            |r| r.mid_video = Readiness::Ready,
            &[(What::MidVideo, "on, round 2: ready while the job runs")],
        ),
        (
            |r| {
                r.views[1] = View {
                    end_dmabuf: at(403),
                    ..view_off(Handle::ExportedDuring)
                }
            },
            &[
                (What::MidDmabuf, "second export: ready"),
                (What::MidFence, "second export: the fence is signalled"),
                (What::MidName, "second export: no fence of the driver"),
                (What::EndFence, "second export: ready before the job's end"),
            ],
        ),
        (
            |r| r.views[0].mid_dmabuf = Readiness::Error,
            &[(What::MidDmabuf, "a poll error while the job runs")],
        ),
        (
            |r| r.views[0].mid_fences = fences("vgem", "x", FenceStatus::Pending),
            &[
                (What::MidFence, "no pending fence of videobuf2"),
                (What::MidName, "no fence of the driver"),
            ],
        ),
        // A fence of videobuf2 among others is enough.
        (
            |r| {
                let foreign = fences("vgem", "x", FenceStatus::Pending).fences;
                r.views[0].mid_fences.fences.splice(0..0, foreign);
            },
            &[],
        ),
        // It is signalled, and the other is pending.
        (
            |r| {
                r.views[0].mid_fences.fences[0].status = FenceStatus::Signalled;
                let foreign = fences("vgem", "x", FenceStatus::Pending).fences;
                r.views[0].mid_fences.fences.extend(foreign);
            },
            &[(What::MidFence, "no pending fence of videobuf2")],
        ),
        (
            |r| r.views[0].mid_fences.fences[0].timeline.clear(),
            &[(What::MidName, "no name")],
        ),
        (
            |r| r.views[1].mid_fences.fences[0].timeline = "cap-2".into(),
            &[(What::MidName, "different timelines: cap-1, cap-2")],
        ),
        (
            |r| r.views[1].end_dmabuf = at(380),
            &[(What::EndTime, "second export: ready before the job's end")],
        ),
        (
            |r| r.views[0].end_sync_file = at(380),
            &[(What::EndFence, "before the job's end")],
        ),
        (
            |r| r.views[0].end_dmabuf = None,
            &[
                (What::EndTime, "never became ready"),
                (What::EndToNode, "never became ready"),
            ],
        ),
        (
            |r| r.end_video = None,
            &[(What::EndToNode, "never became ready")],
        ),
        (
            |r| r.views[0].end_fences.status = FenceStatus::Failed(110),
            &[(What::EndFence, "timed out")],
        ),
        (
            |r| r.views[0].end_fences.status = FenceStatus::Pending,
            &[(What::EndFence, "pending")],
        ),
        (
            |r| r.dequeued = Dequeued::Flagged,
            &[(What::EndBuffer, "flagged as an error")],
        ),
        (
            |r| r.dequeued = Dequeued::Failed("EAGAIN".into()),
            &[(What::EndBuffer, "EAGAIN")],
        ),
    ];
    for (breakage, wanted) in breakages {
        expect(broken_on(breakage), wanted);
    }
}

#[test]
fn a_job_that_came_out_short_is_not_early() {
    let short = |video, dmabuf| {
        broken_on(move |r| {
            r.end_video = at(video);
            for view in &mut r.views {
                (view.end_dmabuf, view.end_sync_file) = (at(dmabuf), at(dmabuf));
            }
        })
    };
    expect(short(390, 389), &[]);
    // Within the video node's time, but far before it.
    assert_eq!(short(390, 380)[0].0, What::EndTime);
    // No tick is that late: the job was not the one that was asked for.
    assert_eq!(short(300, 300)[0].0, What::EndTime);
}

#[test]
fn far_from_the_video_node() {
    let slow = || {
        let mut round = round_on();
        round.views[0].end_dmabuf = at(450);
        round
    };
    // One slow round of three is the machine's, two are the kernel's.
    let once = runs(None, results(vec![round_on(), slow(), round_on()]));
    expect(wrong(&once), &[]);
    let twice = runs(None, results(vec![slow(), slow(), round_on()]));
    expect(wrong(&twice), &[(What::EndToNode, "46.0 ms apart")]);
}

#[test]
fn a_look_that_came_too_late_proves_nothing() {
    let found = broken_on(|r| r.look_ended_ns = START + 390 * MS);
    let lines: Vec<What> = found.iter().map(|(what, _)| *what).collect();
    assert_eq!(lines, [What::MidVideo, What::MidDmabuf, What::MidFence]);
    assert!(found[0].1.contains("--job-ms"));
}

#[test]
fn a_round_that_failed_makes_every_line_wrong() {
    let mut on = results(vec![round_on()]).unwrap();
    on.push(RoundResult::Failed("EXPBUF: EBUSY".into()));
    let found = wrong(&runs(None, Some(on)));
    assert_eq!(found.len(), 8);
    assert!(found[0]
        .1
        .contains("round 2: could not be seen: EXPBUF: EBUSY"));
}

#[test]
fn equal_complaints_are_one() {
    let rounds = results(vec![round_off(), round_on(), round_off()]);
    let found = wrong(&runs(None, rounds));
    assert!(found[0].1.contains("on, round 1, 3: ready"), "{found:?}");
}

#[test]
fn descriptors_that_agree_are_one() {
    let join = |all: &[&str]| views(all.iter().map(|s| s.to_string()));
    assert_eq!(join(&["pending", "pending"]), "pending");
    assert_eq!(join(&["pending", "ready"]), "pending | ready");
    assert_eq!(join(&[]), "");
}
