// SPDX-License-Identifier: GPL-2.0-only

//! Consumers that have a fence on a buffer when it is queued: what the job of the device does then.

use anyhow::{ensure, Context, Result};

use crate::consumers::job::{Half, Lines, SIZE};
use crate::judge::Seen;
use crate::scene::args::ProducerKind;
use crate::scene::foreign::{ForeignFence, Source};
use crate::scene::producer::Producer;
use uapi::clock::{self, ms_between, MS};
use uapi::dmabuf::Access;
use uapi::feature::AcquireTimeout;
use uapi::poll;

/// How long a job takes.
const JOB_MS: u32 = 50;

/// So long a job is watched that should not begin.
const WATCH_MS: u64 = 300;

/// So long one that should.
const PATIENCE_MS: u64 = 10_000;

/// When a fence is given up here.
const TIMEOUT_MS: u32 = 1_000;

/// And where nothing is to be given up.
const LONG_TIMEOUT_MS: u32 = 10_000;

/// What the kernel's timers round by.
const ROUNDING_MS: f64 = 20.0;

/// The buffer of a job that a consumer has a fence on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Buffer {
    /// What the device writes.
    Picture,
    /// What it reads.
    Input,
}

/// A job that is queued beside a fence.
struct Queued {
    producer: Producer,
    fence: ForeignFence,
    at_ns: clock::Ns,
}

impl Queued {
    fn new(source: Source, buffer: Buffer, access: Access) -> Result<Self> {
        let mut producer = Producer::open(ProducerKind::Rga, SIZE, JOB_MS)?;
        producer.prepare(0, 1)?;
        let dmabuf = match buffer {
            Buffer::Picture => producer.picture(0),
            Buffer::Input => producer.input(0).context("a job without an input")?,
        };
        let fence = ForeignFence::add(source, dmabuf, access)?;
        let at_ns = clock::now();
        producer.queue(0)?;
        Ok(Self {
            producer,
            fence,
            at_ns,
        })
    }

    /// When the job begins, in milliseconds after it was queued; `None` if it does not within so
    /// long.
    fn begins_ms(&self, watch_ms: u64) -> Result<Option<f64>> {
        let limit = clock::now() + watch_ms * MS;
        while !self.producer.has_begun(0)? {
            if clock::now() >= limit {
                return Ok(None);
            }
            clock::sleep_until(clock::now() + MS);
        }
        Ok(Some(ms_between(self.at_ns, clock::now())))
    }

    /// Whether the job begins while the fence is pending. One that should gets more time.
    fn begins(&self, should: bool) -> Result<bool> {
        let watch_ms = if should { PATIENCE_MS } else { WATCH_MS };
        Ok(self.begins_ms(watch_ms)?.is_some())
    }

    /// Whether the job has come to its end, with its picture.
    fn succeeds(mut producer: Producer) -> Result<bool> {
        let woken = poll::wait(producer.video(), producer.time_limit())?;
        ensure!(woken.is_some(), "the job does not end");
        Ok(!producer.finish(0)? && producer.is_written(0, 1)?)
    }
}

/// Readers and writers of the picture and of the input.
pub fn users(half: &Half) -> Result<Lines> {
    use Buffer::{Input, Picture};
    let import = Source::ImportSyncFile;
    let of = |source, buffer, access| -> Result<Seen> {
        let waits = half.on && waits(buffer, access);
        let queued = Queued::new(source, buffer, access)?;
        let begun = queued.begins(!waits)?;
        queued.fence.signal()?;
        let good = Queued::succeeds(queued.producer)?;
        Ok(judge(begun, waits, good))
    };
    let of_vgem = || of(Source::Vgem, Picture, Access::Read);
    let vgem = Source::Vgem.is_there().then(of_vgem).transpose()?;
    Ok(vec![
        ("job: picture is read", of(import, Picture, Access::Read)?),
        (
            "job: picture is read, vgem",
            vgem.unwrap_or(Seen::right("not tried: no vgem")),
        ),
        (
            "job: picture is written",
            of(import, Picture, Access::Write)?,
        ),
        ("job: input is read", of(import, Input, Access::Read)?),
        ("job: input is written", of(import, Input, Access::Write)?),
    ])
}

/// A fence that ends with an error.
pub fn errors(half: &Half) -> Result<Lines> {
    let queued = Queued::new(Source::ImportSyncFile, Buffer::Picture, Access::Read)?;
    let begun = queued.begins(!half.on)?;
    // sw_sync signals what its file leaves pending with an error.
    drop(queued.fence);
    let good = Queued::succeeds(queued.producer)?;
    Ok(vec![(
        "job: fence has an error",
        judge(begun, half.on, good),
    )])
}

/// A fence that never ends: it is given up, and STREAMOFF does not wait for that.
pub fn never_ends(half: &Half) -> Result<Lines> {
    let timeout = AcquireTimeout::find()?;
    let queued = || Queued::new(Source::ImportSyncFile, Buffer::Picture, Access::Read);
    timeout.set_ms(TIMEOUT_MS)?;
    let job = queued()?;
    let begun_ms = job.begins_ms(PATIENCE_MS)?;
    let good = Queued::succeeds(job.producer)?;
    drop(job.fence);

    timeout.set_ms(LONG_TIMEOUT_MS)?;
    let job = queued()?;
    let stopped_ns = clock::now();
    job.producer.stop()?;
    let stop_ms = ms_between(stopped_ns, clock::now());
    Ok(vec![
        (
            "job: fence never ends",
            judge_given_up(half.on, begun_ms, good),
        ),
        ("STREAMOFF beside it", judge_stop(stop_ms)),
    ])
}

/// Whether a device with acquire fences waits.
fn waits(buffer: Buffer, access: Access) -> bool {
    buffer == Buffer::Picture || access == Access::Write
}

/// A job that has begun while the fence was pending, or has not, and afterwards was good, or was
/// not.
fn judge(begun: bool, waits: bool, good: bool) -> Seen {
    let text = if begun { "starts" } else { "waits" };
    match (begun == waits, good) {
        (_, false) => Seen::wrong(format!("{text}, no picture"), "the job failed"),
        (false, true) => Seen::right(text),
        (true, true) if waits => Seen::wrong(text, "the job does not wait"),
        (true, true) => Seen::wrong(text, "there is nothing to wait for"),
    }
}

fn judge_given_up(on: bool, begun_ms: Option<f64>, good: bool) -> Seen {
    let Some(begun_ms) = begun_ms else {
        return Seen::wrong("waits", "the fence is not given up");
    };
    let timeout_ms = f64::from(TIMEOUT_MS);
    let (text, right) = match on {
        true => (
            format!("given up after {begun_ms:.0} ms"),
            (timeout_ms - ROUNDING_MS..3.0 * timeout_ms).contains(&begun_ms),
        ),
        false => ("starts".into(), begun_ms < timeout_ms),
    };
    if !good {
        return Seen::wrong(format!("{text}, no picture"), "the job failed");
    }
    let why = format!("not after the timeout of {TIMEOUT_MS} ms, but after {begun_ms:.0} ms");
    Seen::judge(right, text, why)
}

fn judge_stop(stop_ms: f64) -> Seen {
    let at_once = stop_ms < f64::from(LONG_TIMEOUT_MS) / 3.0;
    Seen::judge(
        at_once,
        format!("{stop_ms:.1} ms"),
        "it waits for the fence",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(seen: &Seen) -> bool {
        seen.wrong.is_none()
    }

    #[test]
    fn only_a_reader_of_the_input_is_not_waited_for() {
        assert!(waits(Buffer::Picture, Access::Read) && waits(Buffer::Picture, Access::Write));
        assert!(waits(Buffer::Input, Access::Write) && !waits(Buffer::Input, Access::Read));
    }

    #[test]
    fn a_job_waits_if_it_has_to() {
        assert!(right(&judge(false, true, true)) && right(&judge(true, false, true)));
        assert!(!right(&judge(true, true, true)) && !right(&judge(false, false, true)));
        assert!(!right(&judge(false, true, false)) && !right(&judge(true, false, false)));
    }

    #[test]
    fn a_fence_is_given_up_after_the_timeout() {
        let given_up = |on, ms| right(&judge_given_up(on, ms, true));
        assert!(given_up(true, Some(990.0)) && given_up(true, Some(1_300.0)));
        assert!(!given_up(true, Some(5.0)) && !given_up(true, Some(4_000.0)));
        assert!(given_up(false, Some(5.0)) && !given_up(false, Some(1_000.0)));
        assert!(!given_up(true, None) && !given_up(false, None));
        assert!(!right(&judge_given_up(true, Some(1_000.0), false)));
    }

    #[test]
    fn streamoff_does_not_wait() {
        assert!(right(&judge_stop(3.0)) && !right(&judge_stop(9_999.0)));
    }
}
