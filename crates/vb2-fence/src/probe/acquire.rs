// SPDX-License-Identifier: GPL-2.0-only

//! Asks a device whether its jobs wait for those who use a buffer when it is queued.

use anyhow::{Context, Result};
use serde::Serialize;

use super::feed::{Feeder, Setup};
use crate::judge::acquire::{has_to_wait, hold_for, overall, queue_does, Finding, Verdict};
use crate::observation::acquire::Held;
use crate::observation::Case;
use crate::observe::acquire::{self, User};
use uapi::clock::{Ns, MS};
use uapi::device::Queue;
use uapi::dmabuf::Access;
use uapi::held_fence::{HeldFence, Source};
use uapi::interrupt::Interrupt;
use uapi::publishing::Support;

/// How often a job is run again that shows nothing, or what it must not: a machine can be busy.
const RETRIES: u32 = 2;

/// What the command shows of acquire fences; its JSON has the same fields.
#[derive(Debug, Serialize)]
pub struct Acquire {
    /// What queue and sysfs say.
    pub acquiring: Support,
    /// What the device is found to do.
    pub verdict: Verdict,
    /// Why it was not asked.
    pub reason: Option<String>,
    /// Where the fences come from.
    pub source: Option<Source>,
    /// What each queue does.
    pub queues: Vec<QueueResult>,
}

/// A queue.
#[derive(Debug, Serialize)]
pub struct QueueResult {
    /// Which one.
    pub queue: Queue,
    /// What it is found to do.
    pub verdict: Verdict,
    /// A job for each kind of user.
    pub jobs: Vec<JobResult>,
}

/// A job.
#[derive(Debug, Serialize)]
pub struct JobResult {
    /// What it shows.
    pub finding: Finding,
    /// Whether that is what it has to do.
    pub right: bool,
    /// Why.
    pub reason: String,
    /// What was seen.
    #[serde(flatten)]
    pub seen: Held,
}

/// What all jobs have in common.
pub struct Asked<'a> {
    /// The device, and what it needs.
    pub setup: &'a Setup,
    /// Prepares the jobs.
    pub feeder: &'a dyn Feeder,
    /// What a job takes; `None` if none has ended.
    pub job: Option<Ns>,
    /// The kernel's timeout of acquire fences, if it has one.
    pub timeout_ms: Option<u64>,
    /// Ctrl-C.
    pub interrupt: &'a Interrupt,
}

impl Acquire {
    /// Asks all queues.
    pub fn ask(asked: &Asked<'_>, acquiring: Support) -> Result<Self> {
        let not_asked = |reason: String| Self {
            acquiring,
            verdict: Verdict::NotAsked,
            reason: Some(reason),
            source: None,
            queues: Vec::new(),
        };
        let Some(job) = asked.job else {
            return Ok(not_asked("no job has ended".into()));
        };
        let source = match HeldFence::new() {
            Ok(fence) => fence.source(),
            Err(err) => return Ok(not_asked(format!("{err:#}"))),
        };
        let mut queues = Vec::new();
        for queue in asked.queues() {
            queues.push(asked.queue(queue, job)?);
        }
        Ok(Self {
            acquiring,
            verdict: overall(queues.iter().map(|queue| queue.verdict)),
            reason: None,
            source: Some(source),
            queues,
        })
    }
}

impl Asked<'_> {
    fn queues(&self) -> impl Iterator<Item = Queue> {
        let queues = self.setup.node.queues;
        let each = [
            (Queue::Capture, queues.capture),
            (Queue::Output, queues.m2m),
        ];
        each.into_iter()
            .filter_map(|(queue, has)| has.then_some(queue))
    }

    fn queue(&self, queue: Queue, job: Ns) -> Result<QueueResult> {
        let reader = self.job(queue, Access::Read, job)?;
        let writer = self.job(queue, Access::Write, job)?;
        Ok(QueueResult {
            queue,
            verdict: queue_does(queue, reader.finding, writer.finding),
            jobs: vec![reader, writer],
        })
    }

    fn job(&self, queue: Queue, access: Access, job: Ns) -> Result<JobResult> {
        let timeout = self.timeout_ms.map(|ms| ms * MS);
        let mut retries = RETRIES;
        loop {
            self.interrupt.check()?;
            let fence = HeldFence::new()?;
            let user = User {
                queue,
                access,
                fence: &fence,
            };
            let prepare = || {
                let feeder = self.feeder;
                feeder.prepare(self.setup, Case::ExportedBefore, Some(&user))
            };
            let hold = hold_for(job, timeout);
            let seen = acquire::run(prepare, &user, job, hold, self.interrupt);
            let seen = seen.with_context(|| format!("{}", self.setup.node.path.display()))?;
            let (finding, reason) = seen.judge(job, timeout);
            let right = finding.is_right(has_to_wait(queue, access));
            // That a job does not wait is proved by one.
            if !right && finding != Finding::DoesNotWait && retries > 0 {
                retries -= 1;
                continue;
            }
            return Ok(JobResult {
                finding,
                right,
                reason,
                seen,
            });
        }
    }
}
