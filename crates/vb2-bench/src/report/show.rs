// SPDX-License-Identifier: GPL-2.0-only

//! The tables.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Bench, Both, Measured};
use crate::row::{ACQUIRE, HOOKS, OTHERS, VARIANTS};
use crate::stats::{median, quantile, ratio_interval};
use crate::table;
use crate::user::{Fences, Line};

/// Frames a second, of what a device may be asked for.
const MODES: [(&str, f64); 2] = [("1080p60", 60.0), ("4K120", 120.0)];

/// All of them.
pub fn render(bench: &Bench) -> String {
    let machine = &bench.machine;
    let mut out = format!(
        "Linux {}, on {} (Linux {}), {} processors\n",
        machine.kernel.as_deref().unwrap_or("of an unknown version"),
        machine.processor,
        machine.host_kernel,
        machine.processors
    );
    let title = "Instructions for a buffer, QEMU -icount shift=0, one processor: medians";
    out += &section(title, &bench.rows, false, |row| row.instructions.as_ref());
    out += &hooks(&bench.rows);
    out += &acquire(&bench.rows);
    if let Some(time_by) = machine.time_by {
        let title = match time_by {
            "kvm" => "Nanoseconds for a buffer, KVM: medians, and 95 % intervals of ratios",
            _ => {
                "Nanoseconds for a buffer, User Mode Linux: medians, and 95 % intervals of ratios.\n\
                 For information only: it has no SMP, so that spinlocks are empty, and atomic\n\
                 operations have no lock prefix."
            }
        };
        out += &section(title, &bench.rows, true, |row| row.time.as_ref());
        out += &shares(&bench.rows);
    }
    out += &memory(bench.memory.as_ref());
    out += &sizes(bench.sizes.as_ref());
    out += &user(&bench.user);
    out
}

/// The cycles, and all steps of the base case.
fn section(
    title: &str,
    rows: &[Both],
    intervals: bool,
    pick: impl Fn(&Both) -> Option<&BTreeMap<String, Measured>>,
) -> String {
    let mut lines = Vec::new();
    for both in rows {
        let shown = both.row.is_cycle() || both.row.is_base_but("");
        let Some(measured) = pick(both).filter(|of| shown && of.contains_key(VARIANTS[0])) else {
            continue;
        };
        let mut cells = vec![both.row.to_string()];
        for name in VARIANTS {
            cells.push(format!("{:.0}", measured[name].median));
        }
        for name in OTHERS {
            let ratio = measured[name].ours_to;
            let [low, high] = measured[name].ours_to_interval;
            cells.push(match intervals {
                true => format!("{ratio:.3} ({low:.3} .. {high:.3})"),
                false => format!("{ratio:.4}"),
            });
        }
        lines.push(cells);
    }
    let ratios = OTHERS.map(|name| format!("ours/{name}"));
    let ratios = ratios.iter().map(String::as_str);
    let columns: Vec<&str> = [""].into_iter().chain(VARIANTS).chain(ratios).collect();
    table::render(title, &columns, &lines)
}

/// What a queue pays that did not opt in.
fn hooks(rows: &[Both]) -> String {
    let lines = rows.iter().filter_map(|both| {
        let measured = both.instructions.as_ref()?;
        let medians = HOOKS.map(|name| measured.get(name).map(|of| of.median));
        let [Some(off), Some(on)] = medians else {
            return None;
        };
        let numbers = [off, on, on - off].map(|number| format!("{number:.1}"));
        Some([vec![both.row.case.clone()], numbers.to_vec()].concat())
    });
    let lines: Vec<_> = lines.collect();
    let title =
        "Instructions of a queue that did not opt in, with videobuf2-core.c built without the\n\
                 hooks (off) and with them (on): medians";
    table::render(title, &["", "off", "on", "more"], &lines)
}

/// What QBUF and DQBUF of a queue take that waits for the fences of others.
fn acquire(rows: &[Both]) -> String {
    let lines = rows.iter().filter_map(|both| {
        let measured = both.instructions.as_ref()?;
        let [c, ours] = ACQUIRE;
        let of_c = measured.get(c)?;
        let medians = [of_c.median, measured[ours].median].map(|number| format!("{number:.0}"));
        let ratio = format!("{:.4}", of_c.ours_to);
        Some([vec![both.row.to_string()], medians.to_vec(), vec![ratio]].concat())
    });
    let lines: Vec<_> = lines.collect();
    let title = "Instructions of acquire fences, of the hook of QBUF (acquire) and that of DQBUF\n\
                 (let_go), with so many fences of others: medians";
    table::render(title, &["", ACQUIRE[0], ACQUIRE[1], "ours/c"], &lines)
}

/// What a job is of a frame's time; how large the picture is does not matter.
fn shares(rows: &[Both]) -> String {
    let mut cycles = rows.iter().filter(|both| both.row.is_cycle());
    let base = cycles.find(|both| both.row.is_base_but(""));
    let Some(time) = base.and_then(|both| both.time.as_ref()) else {
        return String::new();
    };
    let job = 2.0 * time["ours"].median;
    let mut out = format!("\nA job with two buffers of one plane each: {job:.0} ns");
    for (mode, rate) in MODES {
        let share = 100.0 * job * rate / 1e9;
        out += &format!(", {share:.4} % of the time of a frame at {mode}");
    }
    out + "\n"
}

fn memory(memory: Option<&Value>) -> String {
    let Some(sizes) = memory.and_then(Value::as_object) else {
        return String::new();
    };
    let lines: Vec<Vec<String>> = sizes
        .iter()
        .map(|(name, size)| vec![name.clone(), size.to_string()])
        .collect();
    let title =
        "Memory. A buffer has its state and the objects of each plane; from QBUF to the start\n\
                 of a job it has two fences, the last one and the memory of the next.";
    table::render(title, &["", "bytes"], &lines)
}

fn sizes(sizes: Option<&Value>) -> String {
    let Some(off) = sizes.and_then(|sizes| sizes["off"].as_object()) else {
        return String::new();
    };
    let on = sizes.map_or(&Value::Null, |sizes| &sizes["on"]);
    let mut lines = Vec::new();
    for (name, off) in off {
        let mut cells = vec![name.clone()];
        for section in ["text", "data"] {
            let bytes = |sizes: &Value| sizes[section].as_i64().unwrap_or(0);
            let (without, with) = (bytes(off), bytes(&on[name]));
            cells.extend([without.to_string(), with.to_string()]);
            cells.push(format!("{:+}", with - without));
        }
        lines.push(cells);
    }
    let title = "Bytes of text and data, CONFIG_VIDEOBUF2_RELEASE_FENCES=n and =y";
    let columns = ["", "text =n", "=y", "", "data =n", "=y", ""];
    table::render(title, &columns, &lines)
}

/// A line for each measure, with a column for each state of the release fences.
fn user(measured: &[Line]) -> String {
    if measured.is_empty() {
        return String::new();
    }
    let mut rows: BTreeMap<_, BTreeMap<Fences, &Line>> = BTreeMap::new();
    for line in measured {
        let row = (&line.measure, &line.driver, line.contexts, &line.job);
        rows.entry(row).or_default().insert(line.fences, line);
    }
    let mut lines = Vec::new();
    for ((measure, driver, contexts, job), states) in rows {
        let mut cells = vec![measure.clone(), driver.clone()];
        cells.extend([contexts.to_string(), job.clone()]);
        for state in [Fences::NotBuilt, Fences::Off, Fences::On] {
            let line = states.get(&state);
            cells.push(line.map_or(String::new(), |line| cell(line)));
        }
        cells.push(match (states.get(&Fences::On), states.get(&Fences::Off)) {
            (Some(on), Some(off)) if on.samples.len() == off.samples.len() => {
                let ratio = median(&on.samples) / median(&off.samples);
                let [low, high] = ratio_interval(&on.samples, &off.samples);
                format!("{ratio:.3} ({low:.3} .. {high:.3})")
            }
            _ => String::new(),
        });
        lines.push(cells);
    }
    let title = "From user space: frames a second, medians; of the rest, the median and the 99th\n\
                 percentile in microseconds.";
    let columns = [
        "", "driver", "contexts", "a job", "=n", "=y, off", "=y, on", "on/off",
    ];
    table::render(title, &columns, &lines)
}

fn cell(line: &Line) -> String {
    let middle = median(&line.samples);
    match line.unit.as_str() {
        "ns" => {
            let late = quantile(&line.samples, 0.99);
            format!("{:.1} / {:.1}", middle / 1000.0, late / 1000.0)
        }
        _ => format!("{middle:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn words(line: &str) -> String {
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn sizes_are_side_by_side() {
        let text = sizes(Some(&json!({
            "off": {"vim2m": {"text": 100, "data": 20, "bss": 0}},
            "on": {"vim2m": {"text": 140, "data": 20, "bss": 0}},
        })));
        let last = text.lines().last().unwrap();
        assert_eq!(words(last), "vim2m 100 140 +40 20 20 +0");
        assert_eq!(sizes(None), "");
    }

    #[test]
    fn user_space_is_side_by_side() {
        let line = |measure: &str, unit: &str, fences, samples: &[f64]| Line {
            measure: measure.into(),
            unit: unit.into(),
            driver: "vim2m".into(),
            contexts: 4,
            job: "1 ms".into(),
            fences,
            samples: samples.to_vec(),
        };
        let text = user(&[
            line("frames", "frames/s", Fences::NotBuilt, &[101.0]),
            line("frames", "frames/s", Fences::Off, &[100.0, 100.0]),
            line("frames", "frames/s", Fences::On, &[99.0, 99.0]),
            line("qbuf", "ns", Fences::On, &[1000.0, 2000.0, 9000.0]),
        ]);
        let mut last = text.lines().rev();
        assert_eq!(words(last.next().unwrap()), "qbuf vim2m 4 1 ms 2.0 / 9.0");
        let frames = "frames vim2m 4 1 ms 101.0 100.0 99.0 0.990 (0.990 .. 0.990)";
        assert_eq!(words(last.next().unwrap()), frames);
    }
}
