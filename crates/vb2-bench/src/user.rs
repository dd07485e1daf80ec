// SPDX-License-Identifier: GPL-2.0-only

//! What programs see of the cost: frames a second, wake-ups, calls.

mod frames;
mod wakeup;

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{anyhow, Context, Result};
use clap::Args;
use serde::{Deserialize, Serialize};
use v4l2r::PixelFormat;

use uapi::clock;
use uapi::device::{video_nodes, Node, Queue};
use uapi::feature::Switch;
use uapi::rkemu::Block;
use uapi::stream::{choose_raw, Stream, Wanted};

/// A test driver whose job takes as long as it is told to, and the driver of an emulated device.
const VIM2M: &str = "vim2m";
const RGA: &str = "rockchip-rga";

/// How many contexts are open at once.
const CONTEXTS: [u32; 4] = [1, 4, 16, 64];

/// How often frames are counted in each state of the release fences, and how long.
const ROUNDS: u32 = 10;
const ROUND_MS: u64 = 1000;

/// How long wake-ups are measured.
const WAKEUPS_MS: u64 = 4000;

/// Small, so that drawing it takes little.
const SIZE: (u32, u32) = (64, 64);

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

/// A memory-to-memory device, with jobs that are as short as can be.
#[derive(Debug)]
pub struct Device {
    node: Node,
    output: PixelFormat,
    capture: PixelFormat,
    switch: Option<Switch>,
    /// The emulated hardware, whose job time is put back at the end.
    _block: Option<Block>,
    job: String,
}

impl Device {
    /// The device of a driver, if there is one.
    fn find(driver: &str) -> Result<Option<Self>> {
        let mut found = None;
        for path in video_nodes()? {
            let node = Node::at(&path)?;
            if node.driver == driver {
                found = Some(node);
                break;
            }
        }
        let Some(node) = found else {
            return Ok(None);
        };
        let stream = Stream::open(&node.path)?;
        let (output, capture) = choose_raw(
            &stream.offers(Queue::Output),
            &stream.offers(Queue::Capture),
        )
        .with_context(|| format!("{driver} has no raw format"))?;
        let block = match driver {
            RGA => Block::find("rga")?,
            _ => None,
        };
        let job = match &block {
            Some(block) => {
                block.set_job_ms(0)?;
                "delay_us = 0".to_owned()
            }
            // 1 ms is the least that it takes, and it counts ticks.
            None if driver == VIM2M => {
                format!("1 tick, {} ms", clock::tick() as f64 / clock::MS as f64)
            }
            None => "the hardware's".to_owned(),
        };
        Ok(Some(Self {
            switch: Switch::of_driver(driver)?,
            node,
            output,
            capture,
            _block: block,
            job,
        }))
    }

    /// The states that its release fences can have.
    fn states(&self) -> Vec<Fences> {
        match self.switch {
            Some(_) => vec![Fences::Off, Fences::On],
            None => vec![Fences::NotBuilt],
        }
    }

    /// Sets the state, for contexts that are opened from now on.
    fn set(&self, fences: Fences) -> Result<()> {
        match &self.switch {
            Some(switch) => switch.set(fences == Fences::On),
            None => Ok(()),
        }
    }

    /// Opens a context, with its formats set.
    fn open(&self) -> Result<Stream> {
        let mut stream = Stream::open(&self.node.path)?;
        if self.node.driver == VIM2M {
            stream.set_job_ms(1)?;
        }
        let wanted = |fourcc| Wanted {
            fourcc,
            size: SIZE,
            bytes: 0,
        };
        stream.set_format(Queue::Output, &wanted(self.output))?;
        stream.set_format(Queue::Capture, &wanted(self.capture))?;
        Ok(stream)
    }

    /// Prints a line.
    fn print(&self, of: (&str, &str, u32, Fences), samples: Vec<f64>) -> Result<()> {
        let (measure, unit, contexts, fences) = of;
        let line = Line {
            measure: measure.into(),
            unit: unit.into(),
            driver: self.node.driver.clone(),
            contexts,
            job: self.job.clone(),
            fences,
            samples,
        };
        let text = serde_json::to_string(&line)?;
        writeln!(std::io::stdout(), "{text}").context("cannot write")
    }

    /// The states take turns, in an order that changes.
    fn count_frames(&self, contexts: u32, random: &mut fastrand::Rng) -> Result<()> {
        let mut rates: BTreeMap<Fences, Vec<f64>> = BTreeMap::new();
        let mut states = self.states();
        for _ in 0..ROUNDS {
            random.shuffle(&mut states);
            for &state in &states {
                self.set(state)?;
                let rate = frames::per_second(self, contexts, ROUND_MS)?;
                rates.entry(state).or_default().push(rate);
            }
        }
        for (state, rates) in rates {
            self.print(("frames", "frames/s", contexts, state), rates)?;
        }
        Ok(())
    }

    fn measure_wakeups(&self, contexts: u32) -> Result<()> {
        for state in self.states() {
            self.set(state)?;
            let fences = state == Fences::On;
            let times = wakeup::measure(self, contexts, WAKEUPS_MS, fences)?;
            self.print(("wake-up: video node", "ns", contexts, state), times.node)?;
            if fences {
                self.print(("wake-up: dma-buf", "ns", contexts, state), times.dmabuf)?;
            }
            self.print(("QBUF", "ns", contexts, state), times.qbuf)?;
            self.print(("EXPBUF", "ns", contexts, state), times.expbuf)?;
        }
        Ok(())
    }
}

/// Runs the command.
pub fn run(args: &UserArgs) -> Result<()> {
    let mut random = fastrand::Rng::with_seed(SEED);
    for driver in [VIM2M, RGA] {
        let Some(device) = Device::find(driver)? else {
            eprintln!("vb2-bench: there is no node of {driver}, which is not measured");
            continue;
        };
        for &contexts in &args.contexts {
            let name = || format!("{driver}, {contexts} contexts");
            device
                .count_frames(contexts, &mut random)
                .with_context(name)?;
            // The job of another driver may be over before its waiters wait.
            if driver == VIM2M {
                device.measure_wakeups(contexts).with_context(name)?;
            }
        }
    }
    Ok(())
}

/// What a thread has to say in the end.
fn join<T>(thread: std::thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread
        .join()
        .unwrap_or_else(|_| Err(anyhow!("a context panicked")))
}
