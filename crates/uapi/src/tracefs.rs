// SPDX-License-Identifier: GPL-2.0-only

//! A trace instance of one's own: what others trace is left alone.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context, Result};

use crate::hint;
use crate::trace::{self, Line};

/// Where tracefs is; the second one is that of old systems.
const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Instances of this program are called so, and by its number.
const NAME: &str = "vb2-fence-";

/// What makes the program worth running.
const NEEDED: [&str; 2] = [
    "vb2/vb2_release_fence_armed",
    "vb2/vb2_release_fence_signalled",
];

/// What buffers wait for. Kernels without acquire fences do not have them.
const ACQUIRES: [&str; 2] = [
    "vb2/vb2_acquire_fence_waiting",
    "vb2/vb2_acquire_fence_ended",
];

/// What tells queues and nodes apart.
const OWNERS: [&str; 6] = [
    "vb2/vb2_buf_queue",
    "vb2/vb2_buf_done",
    "vb2/vb2_qbuf",
    "vb2/vb2_dqbuf",
    "v4l2/v4l2_qbuf",
    "v4l2/v4l2_dqbuf",
];

/// Tasks that wait in the kernel.
const WAITS: [&str; 2] = [
    "dma_fence/dma_fence_wait_start",
    "dma_fence/dma_fence_wait_end",
];

/// Kilobytes for each processor.
const BUFFER_KB: &str = "4096";

/// The instance. Dropping it removes it.
#[derive(Debug)]
pub struct Instance {
    path: PathBuf,
    pipe: Option<File>,
    /// It has the events of acquire fences.
    acquires: bool,
    /// The beginning of a line that is not complete yet.
    rest: Vec<u8>,
}

impl Instance {
    /// Makes an instance with the events switched on; with `owners` also those that tell which node
    /// a queue belongs to.
    pub fn new(owners: bool) -> Result<Self> {
        let root = find_tracefs()?;
        let missing = NEEDED
            .iter()
            .find(|event| !root.join("events").join(event).exists());
        if let Some(event) = missing {
            bail!(
                "this kernel has no trace event {}: it lacks CONFIG_VIDEOBUF2_RELEASE_FENCES, or \
                 videobuf2 is not loaded (modprobe vim2m)",
                event.replace('/', ":")
            );
        }
        let mut instance = Self::make(&root)?;
        // First what others are understood by.
        instance.enable(if owners { &OWNERS[..] } else { &[] })?;
        for event in WAITS {
            instance.write(&format!("events/{event}/filter"), "driver == \"videobuf2\"")?;
        }
        instance.enable(&WAITS)?;
        instance.enable(&NEEDED)?;
        let has = |event: &&str| root.join("events").join(event).exists();
        if owners && ACQUIRES.iter().all(has) {
            instance.enable(&ACQUIRES)?;
            instance.acquires = true;
        }
        Ok(instance)
    }

    /// Whether it has the events of acquire fences, too: with the owners, if the kernel has them.
    pub fn acquires(&self) -> bool {
        self.acquires
    }

    /// Makes an instance with these events switched on, each as "system/event".
    pub fn of(events: &[&str]) -> Result<Self> {
        let instance = Self::make(&find_tracefs()?)?;
        instance.enable(events)?;
        Ok(instance)
    }

    fn make(root: &Path) -> Result<Self> {
        let instances = root.join("instances");
        remove_leftovers(&instances);
        let path = instances.join(format!("{NAME}{}", std::process::id()));
        fs::create_dir(&path).map_err(|err| hint::tracefs_failed(&path, &err))?;
        let mut instance = Self {
            path,
            pipe: None,
            acquires: false,
            rest: Vec::new(),
        };
        instance.open()?;
        Ok(instance)
    }

    fn open(&mut self) -> Result<()> {
        self.write("buffer_size_kb", BUFFER_KB)?;
        // The clock of fences and of this program.
        self.write("trace_clock", "mono")?;
        let pipe = self.path.join("trace_pipe");
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
            .open(&pipe);
        self.pipe = Some(opened.map_err(|err| hint::tracefs_failed(&pipe, &err))?);
        Ok(())
    }

    fn enable(&self, events: &[&str]) -> Result<()> {
        for event in events {
            self.write(&format!("events/{event}/enable"), "1")?;
        }
        Ok(())
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.path.join(file);
        fs::write(&path, text).map_err(|err| hint::tracefs_failed(&path, &err))
    }

    /// The events that have come since the last time.
    pub fn read(&mut self) -> Result<Vec<Line>> {
        let Some(pipe) = &mut self.pipe else {
            return Ok(Vec::new());
        };
        let mut lines = Vec::new();
        let mut chunk = [0; 16_384];
        loop {
            match pipe.read(&mut chunk) {
                Ok(0) => break,
                Ok(len) => self.rest.extend_from_slice(&chunk[..len]),
                Err(err) if err.kind() == ErrorKind::WouldBlock => break,
                Err(err) if err.kind() == ErrorKind::Interrupted => continue,
                Err(err) => return Err(err).context("cannot read trace_pipe"),
            }
            lines.extend(complete_lines(&mut self.rest));
        }
        Ok(lines)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Open files would keep it.
        self.pipe = None;
        if let Err(err) = fs::remove_dir(&self.path) {
            hint::warn(&format!(
                "{} could not be removed: {err}",
                self.path.display()
            ));
        }
    }
}

/// Where tracefs is mounted.
pub(crate) fn find_tracefs() -> Result<PathBuf> {
    let mut failed = None;
    for place in PLACES {
        let path = Path::new(place);
        match fs::metadata(path.join("instances")) {
            Ok(_) => return Ok(path.to_owned()),
            Err(err) if err.kind() == ErrorKind::PermissionDenied => {
                return Err(hint::tracefs_failed(path, &err));
            }
            Err(err) => {
                failed = failed.or(Some(hint::tracefs_failed(&path.join("instances"), &err)))
            }
        }
    }
    Err(failed.unwrap_or_else(|| anyhow::anyhow!("there is no tracefs")))
}

/// A program that was killed by force has left its instance.
fn remove_leftovers(instances: &Path) {
    let Ok(entries) = fs::read_dir(instances) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(NAME));
        let gone = pid.is_some_and(|pid| {
            pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists()
        });
        if gone {
            // It stays while another program has it open.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// Takes the complete lines from the front.
fn complete_lines(rest: &mut Vec<u8>) -> Vec<Line> {
    let Some(end) = rest.iter().rposition(|&byte| byte == b'\n') else {
        return Vec::new();
    };
    let done: Vec<u8> = rest.drain(..=end).collect();
    let text = String::from_utf8_lossy(&done);
    text.lines().filter_map(trace::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_in_pieces() {
        let line =
            b" x-9  [000] ..... 1.000000: vb2_release_fence_armed: queue=c index=0 context=1 \
                     seqno=1\n";
        let mut rest = line[..40].to_vec();
        assert!(complete_lines(&mut rest).is_empty());
        rest.extend(&line[40..]);
        rest.extend(b"CPU:0 [LO");
        assert_eq!(complete_lines(&mut rest).len(), 1);
        assert_eq!(rest, b"CPU:0 [LO");
    }
}
