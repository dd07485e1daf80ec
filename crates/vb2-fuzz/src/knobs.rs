// SPDX-License-Identifier: GPL-2.0-only

//! What an administrator can set, and between inputs, what it is.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::calls::KnobCall;
use crate::count::Part;
use crate::found::Everything;
use crate::grammar::Place;
use crate::sys;
use crate::world::Actor;

const RKEMU: &str = "/sys/kernel/debug/rkemu";
/// Of release and of acquire fences.
const TIMEOUTS: [&str; 2] = [
    "/sys/module/videobuf2_common/parameters/release_fence_timeout_ms",
    "/sys/module/videobuf2_common/parameters/acquire_fence_timeout_ms",
];
/// How long a block of the emulated hardware works, in microseconds.
const JOB_US: u32 = 2000;
/// Of a driver, in ms: it is what a job that hangs costs.
const WATCHDOG_MS: u32 = 150;
/// Of both kinds of fences, in ms.
const TIMEOUTS_MS: [u32; 2] = [10_000, 3_000];

/// Without interrupt-before-write and interrupt-twice, whose second one may be taken for the end of the
/// next job: the block uses memory that has another owner by then. That is a fault of that hardware, and
/// everything can follow from it.
const FAULTS: [&str; 4] = ["none", "error", "slow", "never-completes"];

/// Sets what does not change from input to input.
pub fn begin() -> Result<()> {
    // vkms of 6.12 can deadlock when it switches vertical blanks off: do not, not even when idle.
    set("/sys/module/drm/parameters/vblankoffdelay", 0)?;
    for module in ["hantro_vpu", "rockchip_rga"] {
        let path = format!("/sys/module/{module}/parameters/watchdog_ms");
        if Path::new(&path).exists() {
            set(&path, WATCHDOG_MS)?;
        }
    }
    Ok(())
}

/// Sets everything that an input may have changed.
pub fn reset(found: &Everything) -> Result<()> {
    for block in ["vpu", "rga"] {
        if Path::new(RKEMU).join(block).exists() {
            set(&format!("{RKEMU}/{block}/delay_us"), JOB_US)?;
            write(&format!("{RKEMU}/{block}/fault"), "none")?;
        }
    }
    for (path, ms) in TIMEOUTS.into_iter().zip(TIMEOUTS_MS) {
        set(path, ms)?;
    }
    for switch in found.nodes.iter().flat_map(|node| &node.switches) {
        fs::write(switch, "1").with_context(|| format!("{}", switch.display()))?;
    }
    Ok(())
}

fn set(path: &str, value: u32) -> Result<()> {
    write(path, &value.to_string())
}

fn write(path: &str, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {text} to {path}"))
}

impl Actor<'_> {
    /// Turns a knob.
    pub fn knob(&self, call: &KnobCall) {
        let block = |vpu: bool| if vpu { "vpu" } else { "rga" };
        match *call {
            KnobCall::Fault { vpu, fault } => {
                let dir = format!("{RKEMU}/{}", block(vpu));
                // The number first.
                self.turn("fault_jobs", &format!("{dir}/fault_jobs"), "1");
                self.turn(
                    "fault",
                    &format!("{dir}/fault"),
                    fault.pick(&FAULTS, &["fuzz"]),
                );
            }
            KnobCall::JobTime { vpu, time } => {
                let time = time.pick(&["100", "2000", "20000"], &[]);
                self.turn(
                    "delay_us",
                    &format!("{RKEMU}/{}/delay_us", block(vpu)),
                    time,
                );
            }
            KnobCall::Timeout { acquire, ms } => {
                self.turn(
                    ["timeout", "acquire timeout"][usize::from(acquire)],
                    TIMEOUTS[usize::from(acquire)],
                    ms.pick(&["1", "10", "100"], &["0", "fuzz"]),
                );
            }
            KnobCall::Switch { node, acquire, on } => {
                let nodes = &self.world.found.nodes;
                if let Place::At(index) = node.place(nodes.len()) {
                    let kind = usize::from(acquire);
                    let path = nodes[index].switches[kind].display().to_string();
                    let name = ["switch", "acquire switch"][kind];
                    self.turn(name, &path, if on { "1" } else { "0" });
                }
            }
        }
    }

    fn turn(&self, name: &'static str, path: &str, text: &str) {
        let knob = Actor {
            part: Part::Knob,
            ..*self
        };
        let _ = knob.call(name, 0, || fs::write(path, text).map_err(sys::errno_of));
    }
}
