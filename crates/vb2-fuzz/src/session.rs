// SPDX-License-Identifier: GPL-2.0-only

//! A whole run: all inputs, and the summary.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::os::fd::{AsFd, RawFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{ensure, Context, Result};
use rustix::fs::{fcntl_setfl, OFlags};
use uapi::kms::Display;
use uapi::trace::{Event, FenceId};
use uapi::tracefs::Instance;

use crate::count::{feature, Counts, Part};
use crate::found::Everything;
use crate::grammar::Program;
use crate::knobs;
use crate::options::{Mistake, Options};
use crate::run;
use crate::sys;
use crate::world::{ScreenNumbers, World};

/// How often a run says how far it is.
const TELL: Duration = Duration::from_secs(60);

/// What is needed to make calls.
struct Machine {
    found: &'static Everything,
    /// Stays open until the end: its file keeps the display on.
    _screen: Display,
    numbers: ScreenNumbers,
    trace: Instance,
    save: Option<File>,
    taint: String,
}

/// What the trace events said.
#[derive(Debug, Default)]
struct Fences {
    armed: u64,
    signalled: u64,
    failed: u64,
    pending: HashSet<FenceId>,
}

/// A run.
pub struct Session {
    options: Options,
    counts: Arc<Counts>,
    machine: Option<Machine>,
    fences: Fences,
    inputs: u64,
    digest: DefaultHasher,
    started: Instant,
    told: Instant,
}

impl Session {
    /// Finds all that is to be called, and begins.
    pub fn new(options: Options) -> Result<Self> {
        let counts = Arc::new(Counts::default());
        let machine = if options.dry {
            None
        } else {
            sys::catch_interrupts();
            watch(Arc::clone(&counts));
            Some(Machine::new(&options)?)
        };
        Ok(Self {
            options,
            counts,
            machine,
            fences: Fences::default(),
            inputs: 0,
            digest: DefaultHasher::new(),
            started: Instant::now(),
            told: Instant::now(),
        })
    }

    /// Tries one input. Says what was wrong.
    pub fn input(&mut self, bytes: &[u8]) -> Result<()> {
        self.inputs += 1;
        bytes.hash(&mut self.digest);
        let program = Program::parse(bytes);
        let Some(machine) = &mut self.machine else {
            for step in &program.steps {
                // Any answer, as long as it is always the same.
                feature(format!("{:?}", step.call).split(' ').next());
            }
            return Ok(());
        };
        machine.save(bytes).context("the input cannot be saved")?;
        if self.options.mistake == Some(Mistake::NoFences) {
            machine.without_fences()?;
        }
        let before = sys::descriptors()?;
        let world = World::new(machine.found, &machine.numbers, &self.counts);
        let ended = run::run(&world, &program, self.options.mistake);
        knobs::reset(machine.found)?;
        self.fences.add(&mut machine.trace)?;
        ended.map_err(anyhow::Error::msg)?;
        self.fences.check()?;
        check_descriptors(&before, &sys::descriptors()?)?;
        machine.check_taint()?;
        self.tell();
        Ok(())
    }

    /// A long run is not to look as if it hung.
    fn tell(&mut self) {
        if self.told.elapsed() < TELL {
            return;
        }
        self.told = Instant::now();
        eprintln!(
            "vb2-fuzz: {} of {} calls after {} s, {} fences",
            self.counts.of_programs(),
            self.options.calls,
            self.started.elapsed().as_secs(),
            self.fences.signalled
        );
    }

    /// Whether it was enough.
    pub fn is_over(&self) -> bool {
        let called = if self.options.dry {
            0
        } else {
            self.counts.of_programs()
        };
        // A program without any calls counts as one, or to replay it would never end.
        called.max(self.inputs) >= self.options.calls
    }

    /// Ends it: the summary, and whether all is right. `made` is of the inputs that the seed makes.
    pub fn finish(self, made: u64) -> Result<()> {
        let (good, bad, kinds) = self.counts.summary(Part::Program);
        let (turned, refused, knobs) = self.counts.summary(Part::Knob);
        let (ended, odd, clean_up) = self.counts.summary(Part::CleanUp);
        println!(
            "vb2-fuzz: seed {}: {} calls ({good} ok, {bad} errors) in {} inputs \
             (digest {:016x}, of the seed {made:016x}), \
             {} s; fences {} armed, {} signalled, {} of these with an error; \
             beside them {} knobs and {} calls of clean-up; ok/errors: {kinds}; \
             of knobs: {knobs}; of clean-up: {clean_up}",
            self.options.seed,
            good + bad,
            self.inputs,
            self.digest.finish(),
            self.started.elapsed().as_secs(),
            self.fences.armed,
            self.fences.signalled,
            self.fences.failed,
            turned + refused,
            ended + odd,
        );
        let mut operations = self.counts.operations();
        operations.insert("armed", self.fences.armed);
        operations.insert("failed", self.fences.failed);
        let counts = serde_json::json!({
            "suite": "fuzz",
            "operations": operations,
            "fences": {"made": self.fences.armed, "left": self.fences.pending.len()},
        });
        println!("# counts: {counts}");
        if self.options.errors {
            println!("{}", self.counts.errors().join("\n"));
        }
        let counted = self.options.dry || self.options.replay;
        ensure!(
            counted || self.fences.armed > 0,
            "no fence was armed: nothing was tried"
        );
        Ok(())
    }
}

impl Machine {
    fn new(options: &Options) -> Result<Self> {
        let found: &'static Everything = Box::leak(Box::new(Everything::find()?));
        knobs::begin()?;
        knobs::reset(found)?;
        let screen = Everything::screen()?;
        fcntl_setfl(screen.as_fd(), OFlags::RDWR | OFlags::NONBLOCK)?;
        let drivers: Vec<_> = found
            .nodes
            .iter()
            .map(|node| node.driver.as_str())
            .collect();
        println!(
            "vb2-fuzz: seed {}, on {}, vkms and vgem",
            options.seed,
            drivers.join(", ")
        );
        std::io::stdout().flush()?;
        let save = options.save.as_ref().map(|path| {
            let opened = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .open(path);
            opened.with_context(|| format!("{}", path.display()))
        });
        Ok(Self {
            numbers: ScreenNumbers::of(&screen)?,
            _screen: screen,
            trace: Instance::new(false)?,
            save: save.transpose()?,
            taint: taint()?,
            found,
        })
    }

    /// Where it survives this machine.
    fn save(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        use std::os::unix::fs::FileExt;
        let Some(file) = &self.save else {
            return Ok(());
        };
        file.set_len(bytes.len() as u64)?;
        file.write_all_at(bytes, 0)?;
        file.sync_data()
    }

    /// Not all reports taint the kernel, but those do that are worth stopping for.
    fn check_taint(&self) -> Result<()> {
        let now = taint()?;
        ensure!(
            now == self.taint,
            "the kernel has made a report: see its log (taint {now}, before {})",
            self.taint
        );
        Ok(())
    }

    fn without_fences(&self) -> Result<()> {
        for node in &self.found.nodes {
            fs::write(&node.switches[0], "0").context("the switch")?;
        }
        Ok(())
    }
}

impl Fences {
    fn add(&mut self, trace: &mut Instance) -> Result<()> {
        let before = (self.armed, self.failed);
        for line in trace.read()? {
            match line.event {
                Event::Armed { fence, .. } => {
                    self.armed += 1;
                    ensure!(self.pending.insert(fence), "{fence:?} was armed twice");
                }
                Event::Signalled { fence, result, .. } => {
                    self.signalled += 1;
                    self.failed += u64::from(result != 0);
                    feature(("signalled", result));
                    ensure!(
                        self.pending.remove(&fence),
                        "{fence:?} was signalled, but not armed"
                    );
                }
                Event::Lost(count) => anyhow::bail!("{count} events of the trace were lost"),
                _ => {}
            }
        }
        feature((
            "armed",
            (self.armed - before.0).min(16),
            (self.failed - before.1).min(4),
        ));
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let pending = self.pending.iter().next();
        ensure!(
            pending.is_none(),
            "{} fences were not signalled when everything was closed: {pending:?}",
            self.pending.len()
        );
        Ok(())
    }
}

/// All that a program was given were in a table, and are closed.
fn check_descriptors(
    before: &BTreeMap<RawFd, PathBuf>,
    now: &BTreeMap<RawFd, PathBuf>,
) -> Result<()> {
    let left = now.iter().filter(|&(fd, _)| !before.contains_key(fd));
    let named: Vec<_> = left
        .map(|(fd, of)| format!("{fd} of {}", of.display()))
        .collect();
    ensure!(
        named.is_empty(),
        "descriptors are open when everything was closed: {}",
        named.join(", ")
    );
    Ok(())
}

fn taint() -> Result<String> {
    let path = "/proc/sys/kernel/tainted";
    let text = fs::read_to_string(path).context(path)?;
    Ok(text.trim().to_owned())
}

/// Ends the program if a call does not return.
fn watch(counts: Arc<Counts>) {
    thread::spawn(move || loop {
        thread::sleep(Duration::from_secs(1));
        if let Some((name, time)) = counts.stuck() {
            eprintln!(
                "vb2-fuzz: FAILED: {name} has not returned for {} s",
                time.as_secs()
            );
            std::process::abort();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_that_stays_is_named() {
        let before = BTreeMap::from([(0, PathBuf::from("/dev/null"))]);
        check_descriptors(&before, &before).unwrap();
        let mut now = before.clone();
        now.insert(7, "sync_file".into());
        now.insert(9, "/dmabuf:".into());
        let err = check_descriptors(&before, &now).unwrap_err();
        assert_eq!(
            format!("{err}"),
            "descriptors are open when everything was closed: 7 of sync_file, 9 of /dmabuf:"
        );
    }
}
