// SPDX-License-Identifier: GPL-2.0-only

//! Consumers that wait: the processor, an event loop, a display.

use anyhow::{ensure, Context, Result};
use rustix::event::{epoll, Timespec};

use crate::consumers::job::{Half, Lines, ATTEMPTS, SIZE};
use crate::judge::Seen;
use crate::scene::args::ProducerKind;
use crate::scene::flip::{Flip, Stage};
use crate::scene::producer::Producer;
use uapi::clock::{ms_between, MS};
use uapi::dmabuf::{self, Access};
use uapi::kms::Display;
use uapi::poll;
use uapi::poll::Readiness;
use uapi::sync_file::{self, FenceStatus};

/// Buffers of each queue in the event loop: videobuf2 has no more.
const BUFFERS: u32 = 32;

/// Vertical blanks per second of the display.
const REFRESH: u32 = 25;

/// DMA_BUF_IOCTL_SYNC, what the processor says before it reads.
pub fn cpu_access(half: &Half) -> Result<Lines> {
    // Looking means waiting here, so whether the job still runs says how the wait ended.
    let mut producer = Producer::open(ProducerKind::Rga, SIZE, half.job_ms)?;
    producer.start(0, 2)?;
    let fence = dmabuf::export_read_sync_file(producer.picture(0))?;
    dmabuf::begin(producer.picture(0), Access::Read)?;
    let signalled = sync_file::info(&fence)?.status == FenceStatus::Signalled;
    let ready = poll::ready_now(producer.video()).context("poll of the video node")?;
    let written = producer.has(0, 2)?;
    dmabuf::end(producer.picture(0), Access::Read)?;
    let woken = poll::wait(producer.video(), producer.time_limit())?;
    ensure!(woken.is_some(), "the job does not end");
    producer.finish(0)?;
    let seen = match (half.on, written) {
        (true, true) => Seen::judge(signalled, "waits, new picture", "before the signal"),
        (true, false) => Seen::wrong("OLD picture (stale)", half.complaint()),
        (false, false) => Seen::judge(
            ready == Readiness::NotReady,
            "OLD picture (stale)",
            "the job is over and its picture is not there",
        ),
        (false, true) => Seen::wrong("new picture", "the machine is too slow: longer --job-ms"),
    };
    Ok(vec![("DMA_BUF_IOCTL_SYNC", seen)])
}

/// What an event loop saw.
#[derive(Clone, Copy, Debug, Default)]
struct Wakes {
    jobs: u32,
    wakes: u32,
    /// Before the job was over.
    early: u32,
    /// For another dma-buf than the two that were waited for.
    strange: u32,
}

/// An event loop over the 64 dma-bufs of 32 jobs: pictures by EPOLLIN, inputs by EPOLLOUT.
pub fn epoll(half: &Half) -> Result<Lines> {
    let job_ms = (half.job_ms / 10).max(10);
    let mut producer = Producer::with_buffers(ProducerKind::Rga, SIZE, job_ms, BUFFERS)?;
    let set = epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll_create")?;
    for slot in 0..BUFFERS {
        let idle = epoll::EventFlags::empty();
        for (fd, data) in watched(&producer, slot)? {
            epoll::add(&set, fd, epoll::EventData::new_u64(data), idle).context("EPOLL_CTL_ADD")?;
        }
    }
    let mut wakes = Wakes::default();
    for slot in 0..BUFFERS {
        producer.start(slot, slot + 1)?;
        for (fd, data) in watched(&producer, slot)? {
            let flags = match data % 2 {
                0 => epoll::EventFlags::IN,
                _ => epoll::EventFlags::OUT,
            };
            let flags = flags | epoll::EventFlags::ONESHOT;
            epoll::modify(&set, fd, epoll::EventData::new_u64(data), flags)
                .context("EPOLL_CTL_MOD")?;
        }
        wakes.jobs += 1;
        let mut left = 2;
        while left > 0 {
            let mut events = Vec::with_capacity(2 * BUFFERS as usize);
            let limit = Timespec {
                tv_sec: 10,
                tv_nsec: 0,
            };
            let count = rustix::io::retry_on_intr(|| {
                epoll::wait(
                    &set,
                    rustix::buffer::spare_capacity(&mut events),
                    Some(&limit),
                )
            });
            ensure!(count.context("epoll_wait")? > 0, "the event loop hangs");
            let over = producer.is_over()?;
            for event in &events {
                let data = event.data.u64();
                wakes.wakes += 1;
                wakes.strange += u32::from(data / 2 != u64::from(slot));
                wakes.early += u32::from(!over);
                left -= 1;
            }
        }
        let woken = poll::wait(producer.video(), producer.time_limit())?;
        ensure!(woken.is_some(), "the job does not end");
        producer.finish(slot)?;
    }
    Ok(vec![("epoll, 64 dma-bufs", judge_epoll(half.on, &wakes))])
}

/// The two dma-bufs of a job, with what the loop knows them by.
fn watched(producer: &Producer, slot: u32) -> Result<[(std::os::fd::BorrowedFd<'_>, u64); 2]> {
    let input = producer.input(slot).context("a job without an input")?;
    let data = 2 * u64::from(slot);
    Ok([(producer.picture(slot), data), (input, data + 1)])
}

fn judge_epoll(on: bool, seen: &Wakes) -> Seen {
    let text = format!("{} of {} wakes early", seen.early, seen.wakes);
    if seen.wakes != 2 * seen.jobs || seen.strange != 0 {
        return Seen::wrong(text, format!("not one wake for each dma-buf: {seen:?}"));
    }
    match on {
        true => Seen::judge(seen.early == 0, text, "woken before the job was over"),
        // Some jobs are over before a slow machine looks.
        false => Seen::judge(
            seen.early >= seen.jobs,
            text,
            "less than half are early, so the comparison proves nothing",
        ),
    }
}

/// An atomic commit, in order with the job.
pub fn flip(half: &Half) -> Result<Lines> {
    let producer = Producer::open(ProducerKind::Rga, SIZE, half.job_ms)?;
    let mut stage = Stage::new(producer, Display::open(SIZE, REFRESH)?)?;
    let mut seen = judge_flip(half, &stage.flip(1, false)?);
    for number in 2..=ATTEMPTS {
        // Without fences, a slow machine flips only when the job is over.
        if half.on || seen.wrong.is_none() {
            break;
        }
        seen = judge_flip(half, &stage.flip(number, false)?);
    }
    Ok(vec![("atomic flip's event", seen)])
}

fn judge_flip(half: &Half, flip: &Flip) -> Seen {
    let (Some(event), Some(end)) = (flip.event, flip.job_end_ns()) else {
        return Seen::wrong("never", "no event");
    };
    match (half.on, flip.fence_signalled_ns().filter(|&at| at != 0)) {
        (true, None) => Seen::wrong("no fence", half.complaint()),
        (true, Some(at)) => {
            let text = format!("{:+.1} ms after the fence", ms_between(at, event.at_ns));
            // The event's own time is that of the vertical blank, before its interrupt.
            let frame = u64::from(1000 / REFRESH) * MS;
            let good = event.at_ns >= at && flip.event_ns + frame >= at;
            Seen::judge(good, text, "before the fence was signalled")
        }
        (false, _) => {
            let text = format!("{:+.1} ms from job's end", ms_between(end, event.at_ns));
            Seen::judge(event.at_ns < end, text, "not before the job's end")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_loops_are_judged() {
        let good = Wakes {
            jobs: 32,
            wakes: 64,
            early: 0,
            strange: 0,
        };
        let right = |on, wakes: Wakes| judge_epoll(on, &wakes).wrong.is_none();
        assert!(right(true, good) && !right(false, good));
        let early = |early| Wakes { early, ..good };
        assert!(right(false, early(60)) && !right(false, early(31)) && !right(true, early(1)));
        assert!(!right(true, Wakes { strange: 1, ..good }));
        assert!(!right(true, Wakes { wakes: 63, ..good }));
        assert!(!right(
            false,
            Wakes {
                wakes: 65,
                early: 60,
                ..good
            }
        ));
    }
}
