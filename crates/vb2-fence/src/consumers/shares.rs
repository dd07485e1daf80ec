// SPDX-License-Identifier: GPL-2.0-only

//! Consumers that add fences of their own to the buffer.

use std::os::fd::AsFd;

use anyhow::{ensure, Result};
use rustix::event::PollFlags;
use v4l2r::memory::MemoryType;

use crate::consumers::job::{Half, Job, Lines, SIZE};
use crate::judge::Seen;
use crate::scene::node::{find, set_format, PATIENCE_MS};
use uapi::clock::{self, MS};
use uapi::device::Queue;
use uapi::dmabuf::{export_sync_file as export, import_sync_file as import, Access};
use uapi::poll;
use uapi::poll::says as polls;
use uapi::stream::Stream;
use uapi::sw_sync::Timeline;
use uapi::sync_file::{info, SyncInfo};

/// IMPORT_SYNC_FILE: a foreign fence beside ours, signalled later.
pub fn import_sync_file(half: &Half) -> Result<Lines> {
    let ((timeline, mid), job) = half.during(|job| {
        let timeline = Timeline::new()?;
        import(job.picture(), Access::Write, timeline.fence()?.as_fd())?;
        Ok((timeline, info(&export(job.picture(), Access::Read)?)?))
    })?;
    job.wait()?;
    let after_job = polls(job.picture(), PollFlags::IN)?;
    timeline.advance()?;
    let at_end = polls(job.picture(), PollFlags::IN)?;
    job.end()?;
    let (ours, text) = (mid.ours().count(), fences(&mid));
    let theirs = mid.fences.len() - ours;
    let why = "not the fences of both";
    let order = match (after_job, at_end) {
        (false, true) => Seen::right("ready after both"),
        other => Seen::wrong(format!("{other:?}"), "not ready exactly after both"),
    };
    Ok(vec![
        (
            "IMPORT_SYNC_FILE: fences",
            Seen::judge(theirs == 1 && ours == usize::from(half.on), text, why),
        ),
        ("IMPORT_SYNC_FILE: POLLIN", order),
    ])
}

/// In words: how many are whose.
fn fences(info: &SyncInfo) -> String {
    let ours = info.ours().count();
    format!("{ours} ours, {} other", info.fences.len() - ours)
}

/// vim2m takes the picture as its OUTPUT buffer while the blitter writes it. With acquire fences
/// its job, and so its release fence, comes when the blitter has finished.
pub fn import_into_vim2m(half: &Half) -> Result<Lines> {
    let node = find("vim2m")?;
    let open = || -> Result<Stream> {
        let mut importer = Stream::open(&node.path)?;
        for queue in [Queue::Output, Queue::Capture] {
            set_format(&mut importer, queue, *b"RGBP", SIZE, 0)?;
        }
        // Longer than what is left of the other job.
        importer.set_job_ms(2 * half.job_ms)?;
        importer.request_buffers(Queue::Output, MemoryType::DmaBuf, 1)?;
        importer.request_buffers(Queue::Capture, MemoryType::Mmap, 1)?;
        importer.stream_on(Queue::Output)?;
        importer.stream_on(Queue::Capture)?;
        importer.queue(Queue::Capture, 0)?;
        Ok(importer)
    };
    let look = |job: &Job| -> Result<(Stream, SyncInfo, SyncInfo, bool)> {
        let importer = open()?;
        let picture = job.picture();
        importer.queue_import(Queue::Output, 0, &[picture])?;
        let readers = info(&export(picture, Access::Read)?)?;
        let writers = info(&export(picture, Access::Write)?)?;
        let ready = polls(picture, PollFlags::IN)?;
        Ok((importer, readers, writers, ready))
    };
    let ((importer, readers, writers, ready), job) = half.during(look)?;
    job.wait()?;
    let limit = clock::now() + PATIENCE_MS * MS;
    // Now vim2m begins, if it has waited.
    let begins = |importer: &Stream| -> Result<bool> {
        let pending = !polls(job.picture(), PollFlags::OUT)?;
        Ok(pending || poll::ready_now(importer.as_fd())? != poll::Readiness::NotReady)
    };
    while half.on && !begins(&importer)? && clock::now() < limit {
        clock::sleep_until(clock::now() + MS);
    }
    let read_after = polls(job.picture(), PollFlags::IN)?;
    let write_after = polls(job.picture(), PollFlags::OUT)?;
    let runs = poll::ready_now(importer.as_fd())? == poll::Readiness::NotReady;
    let limit = clock::now() + PATIENCE_MS * MS;
    let woken = poll::wait(importer.as_fd(), limit)?;
    ensure!(woken.is_some(), "vim2m does not end");
    let flagged = importer.take(Queue::Capture)?.error;
    importer.take(Queue::Output)?;
    let free = polls(job.picture(), PollFlags::OUT)?;
    job.end()?;

    let one = usize::from(half.on);
    let counts = (readers.ours().count(), writers.ours().count());
    let text = format!("{} for readers, {} for writers", counts.0, counts.1);
    let good = counts == (one, one) && ready != half.on;
    // Between the two ends: readers may go on, writers have to wait for vim2m.
    let between = read_after && (!half.on || !runs || !write_after);
    let text_between = match (read_after, write_after) {
        (true, false) => "POLLIN, no POLLOUT",
        (true, true) => "POLLIN, POLLOUT",
        (false, _) => "not ready",
    };
    let end = !flagged && free;
    Ok(vec![
        (
            "vim2m imports: fences",
            Seen::judge(good, text, half.complaint()),
        ),
        (
            "vim2m imports: one ended",
            Seen::judge(between, text_between, "not free for readers only"),
        ),
        (
            "vim2m imports: both ended",
            Seen::judge(
                end,
                if end { "ready" } else { "not ready" },
                "it should be free",
            ),
        ),
    ])
}
