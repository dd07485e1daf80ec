// SPDX-License-Identifier: GPL-2.0-only

//! Synthetic jobs: what each verdict needs, and what must not be taken for it.

use super::*;
use crate::observation::Handle;
use uapi::clock::MS;
use uapi::poll::{Readiness, Woken};
use uapi::sync_file::{Fence, SyncInfo, FENCE_DRIVER};

const START: Ns = 1_000_000 * MS;

fn at(ms: u64) -> Ns {
    START + ms * MS
}

fn fences(driver: &str, status: FenceStatus) -> SyncInfo {
    SyncInfo {
        status,
        fences: vec![Fence {
            driver: driver.into(),
            timeline: "cap-1".into(),
            status,
            timestamp_ns: 0,
        }],
    }
}

fn pending() -> SyncInfo {
    fences(FENCE_DRIVER, FenceStatus::Pending)
}

fn stub() -> SyncInfo {
    fences("stub", FenceStatus::Signalled)
}

/// A view of a job that starts at 2 ms and ends at 200 ms, every 2 ms.
fn good_view(handle: Handle) -> View {
    let mut view = View::new(handle, 0);
    view.add(at(1), Readiness::Ready, &stub());
    for ms in (2..200).step_by(2) {
        view.add(at(ms), Readiness::NotReady, &pending());
    }
    view.end_dmabuf = Some(Woken {
        at_ns: at(200),
        readiness: Readiness::Ready,
    });
    view.kept = Some(FenceStatus::Signalled);
    view
}

fn seen(views: Vec<View>) -> Seen {
    Seen {
        started_ns: START,
        writes: Writes::SinceStart,
        start_returned_ns: Some(at(2)),
        ended_ns: Some(at(200)),
        longest_poll_ns: 0,
        views,
        dequeued: Dequeued::Done,
    }
}

fn unfenced_view(until_ms: u64) -> View {
    let mut view = View::new(Handle::Imported, 0);
    for ms in 0..until_ms {
        view.add(at(ms), Readiness::Ready, &stub());
    }
    view
}

#[track_caller]
fn expect(seen: &Seen, verdict: Verdict, part: &str) {
    let (got, reason) = seen.judge(false);
    assert_eq!(got, verdict, "{reason}");
    assert!(reason.contains(part), "{reason:?} does not say {part:?}");
}

#[test]
fn publishes() {
    let view = good_view(Handle::ExportedBefore);
    assert_eq!((view.unfenced, view.over), (1, 0));
    assert_eq!(view.first_pending_ns, Some(at(2)));
    assert_eq!(view.timeline.as_deref(), Some("cap-1"));
    expect(&seen(vec![view]), Verdict::Publishes, "");
}

#[test]
fn no_fence_at_all() {
    expect(
        &seen(vec![unfenced_view(150)]),
        Verdict::DoesNotPublish,
        "no fence",
    );
    // A fence of another driver is not ours.
    let mut view = View::new(Handle::Imported, 0);
    for ms in 0..100 {
        view.add(
            at(ms),
            Readiness::NotReady,
            &fences("panfrost", FenceStatus::Pending),
        );
    }
    expect(&seen(vec![view]), Verdict::DoesNotPublish, "no fence");
}

#[test]
fn too_short_to_see() {
    expect(
        &seen(vec![unfenced_view(3)]),
        Verdict::Unseen,
        "over before",
    );
    expect(
        &seen(vec![View::new(Handle::Imported, 0)]),
        Verdict::Unseen,
        "over before",
    );
    expect(&seen(Vec::new()), Verdict::Unseen, "over before");
    let mut endless = seen(vec![good_view(Handle::Imported)]);
    endless.ended_ns = None;
    expect(&endless, Verdict::Unseen, "did not end");
}

#[test]
fn a_start_that_takes_long_is_no_job() {
    // Looks from before the job do not count, whether the call has returned or is the job itself.
    let mut late = seen(vec![unfenced_view(150)]);
    late.start_returned_ns = Some(at(148));
    expect(&late, Verdict::Unseen, "over before");
    let mut blocking = seen(vec![unfenced_view(90)]);
    blocking.start_returned_ns = None;
    expect(&blocking, Verdict::Unseen, "over before");
    blocking.views = vec![unfenced_view(150)];
    expect(&blocking, Verdict::DoesNotPublish, "no fence");
    assert_eq!(blocking.judge(true).0, Verdict::Unseen);
    let fast = seen(vec![unfenced_view(150)]);
    assert_eq!(fast.judge(true).0, Verdict::DoesNotPublish);
}

#[test]
fn a_driver_that_keeps_its_lock() {
    let mut locked = seen(vec![View::new(Handle::ExportedBefore, 0)]);
    locked.start_returned_ns = None;
    expect(&locked, Verdict::Unseen, "over before");
    locked.longest_poll_ns = 190 * MS;
    expect(&locked, Verdict::Unseen, LOCKED);
}

/// A device that captures takes a buffer long after it was queued.
#[test]
fn a_buffer_that_is_not_taken_yet() {
    let mut captured = seen(vec![unfenced_view(150)]);
    captured.writes = Writes::Unfenced(0);
    expect(&captured, Verdict::Unseen, "nor that the device wrote");
    captured.writes = Writes::Unfenced(1);
    expect(&captured, Verdict::DoesNotPublish, "no fence");
    // The driver's parameter is no reason to doubt what was seen.
    assert_eq!(captured.judge(true).0, Verdict::DoesNotPublish);
    // A fence is a fence, whether or not it was seen that the device wrote.
    captured.views = vec![good_view(Handle::ExportedBefore)];
    captured.writes = Writes::Unfenced(0);
    expect(&captured, Verdict::Publishes, "");
}

/// The fence came between the looks through two descriptors, and the end before the next ones.
#[test]
fn a_fence_that_is_seen_once() {
    let mut first = unfenced_view(101);
    let mut second = View::new(Handle::ExportedDuring, 0);
    second.add(at(101), Readiness::NotReady, &pending());
    second.end_dmabuf = good_view(Handle::Imported).end_dmabuf;
    second.kept = Some(FenceStatus::Signalled);
    let both = seen(vec![first.clone(), second.clone()]);
    expect(&both, Verdict::Unseen, "imported dma-buf: the job was over");
    first.add(at(102), Readiness::Ready, &stub());
    expect(&seen(vec![first, second]), Verdict::Stale, "others see one");
}

/// How much too early is too early depends on how long there was a fence, not on the wait for it.
#[test]
fn over_too_soon_after_a_long_wait() {
    let mut view = unfenced_view(180);
    view.add(at(180), Readiness::NotReady, &pending());
    view.add(at(190), Readiness::Ready, &stub());
    let good = good_view(Handle::Imported);
    (view.end_dmabuf, view.kept) = (good.end_dmabuf, good.kept);
    expect(&seen(vec![view]), Verdict::Stale, "ready 10.0 ms before");
}

#[test]
fn one_descriptor_without() {
    let mut second = unfenced_view(190);
    second.handle = Handle::ExportedDuring;
    let views = vec![good_view(Handle::ExportedBefore), second];
    expect(&seen(views), Verdict::Stale, "second export: no fence");
}

#[test]
fn over_too_soon() {
    let mut view = View::new(Handle::ExportedBefore, 1);
    view.add(at(2), Readiness::NotReady, &pending());
    view.add(at(100), Readiness::Ready, &stub());
    expect(
        &seen(vec![view]),
        Verdict::Stale,
        "plane 1: ready 100.0 ms before",
    );
    // The video node is told a moment later; a busy machine makes it a long one.
    let mut view = good_view(Handle::ExportedBefore);
    view.add(at(190), Readiness::Ready, &stub());
    assert_eq!(view.over, 1);
    expect(&seen(vec![view]), Verdict::Publishes, "");
}

#[test]
fn poll_disagrees_with_the_fence() {
    let mut view = View::new(Handle::ExportedBefore, 0);
    view.add(at(2), Readiness::Ready, &pending());
    assert_eq!(
        (view.pending, view.over),
        (1, 0),
        "the fence may come after the poll"
    );
    view.add(at(4), Readiness::Ready, &pending());
    assert_eq!(view.over, 1);
    expect(&seen(vec![view]), Verdict::Stale, "before the job's end");
}

#[test]
fn endings() {
    let with = |change: fn(&mut Seen)| {
        let mut seen = seen(vec![good_view(Handle::ExportedBefore)]);
        change(&mut seen);
        seen
    };
    let never = with(|s| s.views[0].end_dmabuf = None);
    expect(&never, Verdict::Wrong, "never became ready");
    let pending = with(|s| s.views[0].kept = Some(FenceStatus::Pending));
    expect(&pending, Verdict::Wrong, "never signalled");
    let failed = with(|s| s.views[0].kept = Some(FenceStatus::Failed(5)));
    expect(&failed, Verdict::Wrong, "error 5");
    let hidden = with(|s| s.dequeued = Dequeued::Flagged);
    expect(&hidden, Verdict::Wrong, "success");
    let told = with(|s| {
        s.dequeued = Dequeued::Flagged;
        s.views[0].kept = Some(FenceStatus::Failed(5));
    });
    expect(&told, Verdict::Publishes, "the job failed");
    let lost = with(|s| s.dequeued = Dequeued::Failed("DQBUF".into()));
    expect(&lost, Verdict::Unseen, "DQBUF");
}

#[test]
fn rounds_and_cases() {
    use Verdict::*;
    assert_eq!(most(&[Publishes, Stale, Publishes]), Publishes);
    assert_eq!(most(&[Publishes, Stale]), Stale);
    assert_eq!(most(&[Unseen, Unseen, DoesNotPublish]), DoesNotPublish);
    assert_eq!(most(&[Unseen]), Unseen);
    assert_eq!(most(&[]), Unseen);
    assert_eq!(
        overall([Some(Publishes), None, Some(DoesNotPublish)]),
        DoesNotPublish
    );
    assert_eq!(overall([Some(Publishes), Some(Unseen)]), Unseen);
    assert_eq!(overall([Some(Stale), Some(DoesNotPublish)]), Stale);
    assert_eq!(overall([None]), Unseen);
}
