// SPDX-License-Identifier: GPL-2.0-only

//! What programs see of the cost: frames a second, wake-ups, calls.

mod device;
mod frames;
mod wakeup;

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{anyhow, Context, Result};
use clap::Args;
use serde::{Deserialize, Serialize};

use self::device::Device;

/// How many contexts are open at once.
const CONTEXTS: [u32; 4] = [1, 4, 16, 64];

/// How often frames are counted in each state of the release fences, and how long.
const ROUNDS: u32 = 10;
const ROUND_MS: u64 = 700;

/// How long wake-ups are measured, and how long their jobs take, where that can be told: long enough
/// for the waiters to wait before a job is over.
const WAKEUPS_MS: u64 = 3000;
const WAKEUP_JOB_MS: u32 = 5;

/// Any number: the same orders in each run.
const SEED: u64 = 1;

/// Arguments of `vb2-bench user`.
#[derive(Args, Debug)]
pub struct UserArgs {
    /// How many contexts are open at once.
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = CONTEXTS)]
    pub contexts: Vec<u32>,
}

/// The state of the release fences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fences {
    /// The kernel does not have them.
    NotBuilt,
    /// The driver's parameter is off.
    Off,
    /// The driver publishes them.
    On,
}

/// What was measured, a line of the output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    pub measure: String,
    pub unit: String,
    pub driver: String,
    pub contexts: u32,
    /// How long a job takes, in words.
    pub job: String,
    pub fences: Fences,
    pub samples: Vec<f64>,
}

/// The samples of a measure in a state.
type Samples = BTreeMap<(&'static str, Fences), Vec<f64>>;

/// Runs the command.
pub fn run(args: &UserArgs) -> Result<()> {
    let mut random = fastrand::Rng::with_seed(SEED);
    for (driver, block) in device::DRIVERS {
        let device = Device::find((driver, block))?;
        for &contexts in &args.contexts {
            let name = || format!("{driver}, {contexts} contexts");
            let job = device.set_job_ms(0)?;
            let rates = count_frames(&device, contexts, &mut random).with_context(name)?;
            print(driver, contexts, "frames/s", &job, rates)?;
            let job = device.set_job_ms(WAKEUP_JOB_MS)?;
            let times = measure_wakeups(&device, contexts).with_context(name)?;
            print(driver, contexts, "ns", &job, times)?;
        }
    }
    Ok(())
}

/// The states take turns, in an order that changes.
fn count_frames(device: &Device, contexts: u32, random: &mut fastrand::Rng) -> Result<Samples> {
    let mut rates = Samples::new();
    let mut states = device.states();
    for _ in 0..ROUNDS {
        random.shuffle(&mut states);
        for &state in &states {
            device.set(state)?;
            let rate = frames::per_second(device, contexts, ROUND_MS)?;
            rates.entry(("frames", state)).or_default().push(rate);
        }
    }
    Ok(rates)
}

fn measure_wakeups(device: &Device, contexts: u32) -> Result<Samples> {
    let mut times = Samples::new();
    for state in device.states() {
        device.set(state)?;
        let measured = wakeup::measure(device, contexts, WAKEUPS_MS, state == Fences::On)?;
        times.extend(measured.map(|(measure, samples)| ((measure, state), samples)));
    }
    Ok(times)
}

/// Prints a line for each measure and state, if there are samples.
fn print(driver: &str, contexts: u32, unit: &str, job: &str, all: Samples) -> Result<()> {
    for ((measure, fences), samples) in all.into_iter().filter(|(_, samples)| !samples.is_empty()) {
        let line = Line {
            measure: measure.into(),
            unit: unit.into(),
            driver: driver.into(),
            contexts,
            job: job.into(),
            fences,
            samples,
        };
        let text = serde_json::to_string(&line)?;
        writeln!(std::io::stdout(), "{text}").context("cannot write")?;
    }
    Ok(())
}

/// Runs a thread for each of some contexts; what all of them have to say in the end.
fn in_threads<C: Sync, T: Send>(
    contexts: &[C],
    run: impl Fn(usize, &C) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let run = &run;
    std::thread::scope(|scope| {
        let threads = contexts.iter().enumerate();
        let threads: Vec<_> = threads
            .map(|(at, context)| scope.spawn(move || run(at, context)))
            .collect();
        let results = threads.into_iter().map(|thread| {
            let result = thread.join();
            result.unwrap_or_else(|_| Err(anyhow!("a context panicked")))
        });
        results.collect()
    })
}
