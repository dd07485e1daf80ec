// SPDX-License-Identifier: GPL-2.0-only

//! Consumers that ask: poll(), and fences as sync_files.

use anyhow::Result;
use rustix::event::PollFlags;

use crate::consumers::job::{Half, Lines};
use crate::judge::Seen;
use uapi::dmabuf::{export_sync_file as export, Access};
use uapi::poll::says as polls;
use uapi::sw_sync::Timeline;
use uapi::sync_file::{info, merge, FenceStatus};

/// Both directions of poll() and of EXPORT_SYNC_FILE, on both buffers of a job.
pub fn poll_and_export(half: &Half) -> Result<Lines> {
    let (seen, job) = half.during(|job| {
        let (picture, input) = (job.picture(), job.input()?);
        let polls = [
            polls(picture, PollFlags::IN)?,
            polls(picture, PollFlags::OUT)?,
            polls(input, PollFlags::IN)?,
            polls(input, PollFlags::OUT)?,
        ];
        let fences = [
            info(&export(picture, Access::Read)?)?,
            info(&export(picture, Access::Write)?)?,
            info(&export(input, Access::Read)?)?,
            info(&export(input, Access::Write)?)?,
        ];
        Ok((polls, fences))
    })?;
    job.wait()?;
    let at_end = info(&export(job.picture(), Access::Write)?)?.status;
    let ready = polls(job.picture(), PollFlags::IN | PollFlags::OUT)?;
    job.end()?;

    let (polls, fences) = seen;
    // The device only reads its input, and so may others.
    let free = "those who only read need not wait for a reader";
    let reader = if polls[2] { "ready" } else { "not ready" };
    let readers = fences[2].ours().count();
    let end = at_end == FenceStatus::Signalled && ready;
    let text = if end { "ready" } else { "not ready" };
    Ok(vec![
        ("picture: POLLIN", half.expect_ready(polls[0])),
        ("picture: POLLOUT", half.expect_ready(polls[1])),
        ("picture: EXPORT, READ", half.expect_fence(&fences[0])),
        ("picture: EXPORT, WRITE", half.expect_fence(&fences[1])),
        (
            "picture: at the end",
            Seen::judge(end, text, "nothing is left to wait for"),
        ),
        ("input: POLLIN", Seen::judge(polls[2], reader, free)),
        ("input: POLLOUT", half.expect_free(polls[3])),
        (
            "input: EXPORT, READ",
            Seen::judge(readers == 0, format!("{readers} of videobuf2"), free),
        ),
        ("input: EXPORT, WRITE", half.expect_fence(&fences[3])),
    ])
}

/// SYNC_IOC_FILE_INFO: whose fence it is, and when it was signalled.
pub fn file_info(half: &Half) -> Result<Lines> {
    let ((fence, mid), job) = half.during(|job| {
        let fence = export(job.picture(), Access::Read)?;
        let mid = info(&fence)?;
        Ok((fence, mid))
    })?;
    job.wait()?;
    let end = info(&fence)?;
    job.end()?;
    let ours = end.ours().next();
    let (names, times) = match ours {
        None => {
            let seen = Seen::judge(!half.on, "no fence", half.complaint());
            (seen.clone(), seen)
        }
        Some(fence) => {
            let text = format!("{} / {}", fence.driver, fence.timeline);
            let good = half.on && fence.timeline.starts_with("cap-");
            let names = Seen::judge(good, text, "not the name of the queue");
            let status = (mid.status, end.status);
            let good = status == (FenceStatus::Pending, FenceStatus::Signalled);
            let good = half.on && good && fence.timestamp_ns != 0;
            let text = format!("{:?}, then {:?}", status.0, status.1).to_lowercase();
            (
                names,
                Seen::judge(good, text, "not signalled once, at the end"),
            )
        }
    };
    Ok(vec![
        ("FILE_INFO: names", names),
        ("FILE_INFO: status", times),
    ])
}

/// A fence of ours together with one that is signalled later, by us.
fn merge_states(half: &Half) -> Result<(Vec<FenceStatus>, usize)> {
    let timeline = Timeline::new()?;
    let software = timeline.fence()?;
    let ((merged, mid), job) = half.during(|job| {
        let ours = export(job.picture(), Access::Read)?;
        let merged = merge(&ours, &software)?;
        let mid = info(&merged)?;
        Ok((merged, mid))
    })?;
    job.wait()?;
    let after_job = info(&merged)?;
    timeline.advance()?;
    let end = info(&merged)?;
    job.end()?;
    let states = vec![mid.status, after_job.status, end.status];
    Ok((states, mid.ours().count()))
}

/// SYNC_IOC_MERGE: pending until both are signalled.
fn merge_lines(half: &Half, states: &[FenceStatus], ours: usize) -> Lines {
    use FenceStatus::{Pending, Signalled};
    let wanted = usize::from(half.on);
    let text = match ours {
        0 => "only that of sw_sync",
        _ => "both fences",
    };
    let good = states == [Pending, Pending, Signalled];
    let spelled: Vec<String> = states.iter().map(|state| format!("{state:?}")).collect();
    vec![
        (
            "MERGE with sw_sync: has",
            Seen::judge(ours == wanted, text, half.complaint()),
        ),
        (
            "MERGE with sw_sync: status",
            Seen::judge(
                good,
                spelled.join(", ").to_lowercase(),
                "not pending until both are signalled",
            ),
        ),
    ]
}

/// The lines of a merge.
pub fn merge_with_software(half: &Half) -> Result<Lines> {
    let (states, ours) = merge_states(half)?;
    Ok(merge_lines(half, &states, ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merged_fence_is_signalled_last() {
        use FenceStatus::{Pending, Signalled};
        let half = Half {
            on: true,
            job_ms: 100,
        };
        let right = |states: &[FenceStatus], ours| {
            let lines = merge_lines(&half, states, ours);
            lines.iter().all(|(_, seen)| seen.wrong.is_none())
        };
        assert!(right(&[Pending, Pending, Signalled], 1));
        assert!(!right(&[Pending, Pending, Signalled], 0));
        assert!(!right(&[Pending, Signalled, Signalled], 1));
        assert!(!right(&[Pending, Pending, Pending], 1));
    }
}
