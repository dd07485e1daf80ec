// SPDX-License-Identifier: GPL-2.0-only

//! A job of rockchip-rga that a consumer looks at.

use std::os::fd::BorrowedFd;

use anyhow::{ensure, Context, Result};

use crate::judge::Seen;
use crate::scene::args::ProducerKind;
use crate::scene::{node::PICTURES, producer::Producer};
use uapi::picture::Size;
use uapi::poll;
use uapi::sync_file::{FenceStatus, SyncInfo};

/// The lines of one consumer.
pub type Lines = Vec<(&'static str, Seen)>;

/// Small pictures: nothing is looked at here.
pub const SIZE: Size = Size::new(64, 48);

/// How often a job is run at most, if the machine is too slow to look while it runs.
pub const ATTEMPTS: u32 = 4;

/// One half of the table.
#[derive(Clone, Copy, Debug)]
pub struct Half {
    /// Whether fences are on.
    pub on: bool,
    /// How long a job takes.
    pub job_ms: u32,
}

/// A running job, as its consumers have it.
#[derive(Debug)]
pub struct Job {
    producer: Producer,
    slot: u32,
    number: u32,
}

impl Half {
    /// Starts a job and looks while it runs. If it was over by then, once more.
    pub fn during<T>(&self, look: impl Fn(&Job) -> Result<T>) -> Result<(T, Job)> {
        let mut producer = Producer::open(ProducerKind::Rga, SIZE, self.job_ms)?;
        for number in 1..=ATTEMPTS {
            let slot = number % PICTURES;
            producer.start(slot, number)?;
            let job = Job {
                producer,
                slot,
                number,
            };
            let seen = look(&job)?;
            if job.runs()? {
                return Ok((seen, job));
            }
            // A fence of ours that was not signalled yet, say, would keep the end from being seen.
            drop(seen);
            producer = job.end()?;
        }
        anyhow::bail!("the machine is too slow to look while a job runs: try a longer --job-ms");
    }

    /// What is expected of a question whether the picture is ready: only without fences.
    pub fn expect_ready(&self, ready: bool) -> Seen {
        self.expect(ready, "READY (stale)")
    }

    /// The same of the question whether the input can be overwritten.
    pub fn expect_free(&self, ready: bool) -> Seen {
        self.expect(ready, "READY (in use)")
    }

    fn expect(&self, ready: bool, too_early: &str) -> Seen {
        let text = if ready { too_early } else { "not ready" };
        Seen::judge(ready != self.on, text, self.complaint())
    }

    /// What is expected of a sync_file: a pending fence of videobuf2, but only with the feature on.
    pub fn expect_fence(&self, info: &SyncInfo) -> Seen {
        let ours = info.ours().count();
        let text = match (ours, info.status) {
            (0, FenceStatus::Signalled) => "none (signalled)".to_owned(),
            (0, other) => format!("none ({other:?})"),
            (_, FenceStatus::Pending) => "pending".to_owned(),
            (_, other) => format!("{other:?}"),
        };
        let right = match self.on {
            true => ours == 1 && info.status == FenceStatus::Pending,
            false => ours == 0 && info.status == FenceStatus::Signalled,
        };
        Seen::judge(right, text, self.complaint())
    }

    /// What to say of a line that is not as it should be.
    pub fn complaint(&self) -> &'static str {
        match self.on {
            true => "the consumer is not told to wait for the job",
            false => "there is a fence although the feature is off",
        }
    }
}

impl Job {
    /// The CAPTURE buffer, which the device writes.
    pub fn picture(&self) -> BorrowedFd<'_> {
        self.producer.picture(self.slot)
    }

    /// The OUTPUT buffer, which it reads.
    pub fn input(&self) -> Result<BorrowedFd<'_>> {
        self.producer
            .input(self.slot)
            .context("a job without an input of its own")
    }

    /// Whether the job is not over.
    fn runs(&self) -> Result<bool> {
        Ok(!self.producer.is_over()?)
    }

    /// Waits until the job is over.
    pub fn wait(&self) -> Result<()> {
        let woken = poll::wait(self.producer.video(), self.producer.time_limit())?;
        ensure!(woken.is_some(), "the job does not end");
        Ok(())
    }

    /// Waits for the end and takes the buffers back. The picture has to be there.
    pub fn end(mut self) -> Result<Producer> {
        self.wait()?;
        let flagged = self.producer.finish(self.slot)?;
        ensure!(!flagged, "the job failed");
        let written = self.producer.is_written(self.slot, self.number)?;
        ensure!(written, "the job's picture is not there");
        Ok(self.producer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uapi::sync_file::{Fence, FENCE_DRIVER};

    fn half(on: bool) -> Half {
        Half { on, job_ms: 100 }
    }

    fn info(driver: &str, status: FenceStatus) -> SyncInfo {
        SyncInfo {
            status,
            fences: vec![Fence {
                driver: driver.into(),
                timeline: "cap".into(),
                status,
                timestamp_ns: 0,
            }],
        }
    }

    #[test]
    fn readiness_is_expected_without_fences_only() {
        for (on, ready, right) in [
            (false, true, true),
            (false, false, false),
            (true, true, false),
            (true, false, true),
        ] {
            let seen = half(on).expect_ready(ready);
            assert_eq!(seen.wrong.is_none(), right, "{on} {ready}");
        }
    }

    #[test]
    fn one_pending_fence_is_expected_with_fences_only() {
        let right = |on: bool, info: &SyncInfo| half(on).expect_fence(info).wrong.is_none();
        let none = info("stub", FenceStatus::Signalled);
        let ours = info(FENCE_DRIVER, FenceStatus::Pending);
        let over = info(FENCE_DRIVER, FenceStatus::Signalled);
        assert!(right(false, &none) && right(true, &ours));
        assert!(!right(true, &none) && !right(false, &ours));
        assert!(!right(true, &over) && !right(false, &over));
        assert!(!right(true, &info("sw_sync", FenceStatus::Pending)));
    }
}
