// SPDX-License-Identifier: GPL-2.0-only

//! The knobs of an emulated block (Documentation/admin-guide/media/rkemu.rst).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{ensure, Context, Result};

use crate::clock::{self, Ns};
use crate::feature;
use crate::hint;

/// Where the blocks' directories are.
const BLOCKS: &str = "/sys/kernel/debug/rkemu";

/// Whether there are any.
const ENABLE: &str = "/sys/module/rkemu/parameters/enable";

/// One block. Dropped, it puts the time of a job back; faults are the user's and stay.
#[derive(Debug)]
pub struct Block {
    dir: PathBuf,
    delay_us: u64,
}

impl Block {
    /// The block of that name, or `None`: real hardware has no knobs.
    pub fn find(name: &str) -> Result<Option<Self>> {
        let block = Self::at(&Path::new(BLOCKS).join(name))?;
        let emulated = feature::read(Path::new(ENABLE)).unwrap_or(false);
        ensure!(
            block.is_some() || !emulated,
            "the hardware is emulated, but {BLOCKS} cannot be read: be root, and mount debugfs \
             (mount -t debugfs none /sys/kernel/debug)"
        );
        Ok(block)
    }

    fn at(dir: &Path) -> Result<Option<Self>> {
        if !dir.join("delay_us").exists() {
            return Ok(None);
        }
        let mut block = Self {
            dir: dir.to_owned(),
            delay_us: 0,
        };
        block.delay_us = block.get("delay_us")?;
        Ok(Some(block))
    }

    /// Sets how long jobs take.
    pub fn set_job_ms(&self, ms: u32) -> Result<()> {
        self.set("delay_us", u64::from(ms) * 1000)
    }

    /// Jobs started.
    pub fn jobs(&self) -> Result<u64> {
        self.get("jobs")
    }

    /// Jobs that ended well: counted before the interrupt.
    pub fn completed(&self) -> Result<u64> {
        self.get("completed")
    }

    /// Sets the number of the decoder's next job.
    pub fn set_frame(&self, number: u32) -> Result<()> {
        self.set("frame", u64::from(number))
    }

    /// Waits until at least so many jobs were started.
    pub fn wait_jobs(&self, count: u64, limit: Ns) -> Result<()> {
        self.wait("jobs", count, limit)
    }

    /// Waits until at least so many jobs ended well.
    pub fn wait_completed(&self, count: u64, limit: Ns) -> Result<()> {
        self.wait("completed", count, limit)
    }

    fn wait(&self, knob: &str, count: u64, limit: Ns) -> Result<()> {
        while self.get(knob)? < count {
            ensure!(
                clock::now() < limit,
                "{}/{knob} does not get to {count}",
                self.dir.display()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn get(&self, knob: &str) -> Result<u64> {
        let path = self.dir.join(knob);
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let value = text.trim().parse();
        value.with_context(|| format!("{}: {text:?} is not a number", path.display()))
    }

    fn set(&self, knob: &str, value: u64) -> Result<()> {
        let path = self.dir.join(knob);
        fs::write(&path, value.to_string())
            .with_context(|| format!("cannot set {}", path.display()))
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Err(err) = self.set("delay_us", self.delay_us) {
            hint::warn(&format!("the job's time could not be put back: {err:#}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MS;

    #[test]
    fn counts_and_puts_back() {
        let dir = std::env::temp_dir().join(format!("vb2-fence-rkemu-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        assert!(Block::at(&dir).unwrap().is_none());
        fs::write(dir.join("delay_us"), "10000\n").unwrap();
        fs::write(dir.join("jobs"), "3\n").unwrap();
        fs::write(dir.join("errors"), "many\n").unwrap();
        let block = Block::at(&dir).unwrap().unwrap();
        block.set_job_ms(25).unwrap();
        assert_eq!(block.get("delay_us").unwrap(), 25_000);
        let soon = clock::now() + 20 * MS;
        block.wait_jobs(3, soon).unwrap();
        assert!(block.wait_jobs(4, soon).is_err());
        assert!(block.get("errors").is_err());
        drop(block);
        assert_eq!(fs::read_to_string(dir.join("delay_us")).unwrap(), "10000");
        fs::remove_dir_all(&dir).unwrap();
    }
}
