// SPDX-License-Identifier: GPL-2.0-only

//! The gate of the kernel's log: no report of the kernel's own checks, and nothing said of a fence
//! that did not end as it had to.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;

use super::gate::{Gate, Outcome};

/// How a report begins. In a line it is no more than a word.
const BEGINNINGS: [&str; 2] = ["WARNING: ", "BUG: "];

/// What only a report says.
const REPORTS: [&str; 22] = [
    "kernel BUG at ",
    "Oops",
    "Internal error: ",
    "Unable to handle kernel ",
    "unable to handle page fault",
    "general protection fault",
    "Kernel panic",
    "possible circular lock",
    "possible recursive lock",
    "inconsistent lock state",
    "bad unlock balance",
    "suspicious RCU usage",
    "held lock freed",
    "lock held when returning",
    "Invalid wait context",
    "blocked for more than",
    "rcu: INFO: ",
    "soft lockup",
    "refcount_t: ",
    "list_add corruption",
    "list_del corruption",
    "rust_kernel: panicked at",
];

/// A program's own crash, which the kernel reports and survives.
const CRASH: &str = "general protection fault ip:";

/// What the drivers and videobuf2 say of a job or a fence that did not end.
const COMPLAINTS: [&str; 4] = [
    "a fence was dropped before it was signalled",
    "frame processing timed out",
    "frame decode timed out",
    "job timed out",
];

/// Other lines that a reader wants to see.
const OURS: [&str; 6] = [
    "videobuf2",
    "hantro",
    "-rga",
    ".rga",
    "panfrost",
    "rust_kernel",
];

/// How many lines are shown.
const SHOWN: usize = 60;

/// The kernel's log.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// What the kernel said, and not programs, with the seconds since the boot.
    lines: Vec<String>,
    /// Its beginning is still there.
    complete: bool,
}

impl Log {
    /// Reads /dev/kmsg.
    fn read() -> std::io::Result<Self> {
        let nonblock = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .custom_flags(nonblock)
            .open("/dev/kmsg")?;
        Ok(Self::of(&records(file)?))
    }

    /// Of the records of /dev/kmsg.
    fn of(records: &[String]) -> Self {
        let number = |record: &String| record.split(',').nth(1)?.parse::<u64>().ok();
        Self {
            lines: records.iter().filter_map(|record| line(record)).collect(),
            complete: records.first().and_then(number) == Some(0),
        }
    }

    fn complaints(&self) -> Vec<&str> {
        let lines = self.lines.iter().map(String::as_str);
        lines.filter(|line| is_complaint(line)).collect()
    }

    fn judge(&self, lockdep: Lockdep) -> Outcome {
        let complaints = self.complaints();
        if let Some(first) = complaints.first() {
            return Outcome::Fail(format!(
                "lines that report a fault: {}; the first: {first}",
                complaints.len()
            ));
        }
        let lost = if self.complete {
            ""
        } else {
            "; its beginning is lost (boot with log_buf_len=4M)"
        };
        match lockdep {
            Lockdep::Off => Outcome::Fail(
                "lockdep has switched itself off (debug_locks: 0 in /proc/lockdep_stats)".into(),
            ),
            Lockdep::On => Outcome::Pass(format!("no report, and lockdep is on{lost}")),
            Lockdep::Missing => {
                Outcome::Pass(format!("no report; this kernel has no lockdep{lost}"))
            }
        }
    }

    fn shown(&self) -> String {
        let ours = |line: &&String| is_complaint(line) || OURS.iter().any(|us| line.contains(us));
        let lines: Vec<&String> = self.lines.iter().filter(ours).collect();
        let newest = &lines[lines.len().saturating_sub(SHOWN)..];
        newest.iter().map(|line| format!("{line}\n")).collect()
    }
}

/// One record a read; those that were overwritten meanwhile are left out.
fn records(mut file: File) -> std::io::Result<Vec<String>> {
    let mut records = Vec::new();
    let mut record = [0; 8_192];
    loop {
        match file.read(&mut record) {
            Ok(0) => break,
            Ok(len) => records.push(String::from_utf8_lossy(&record[..len]).into_owned()),
            Err(err) if err.kind() == ErrorKind::WouldBlock => break,
            Err(err) if [ErrorKind::BrokenPipe, ErrorKind::Interrupted].contains(&err.kind()) => {}
            Err(err) => return Err(err),
        }
    }
    Ok(records)
}

/// "PRIORITY,NUMBER,MICROSECONDS,FLAGS;TEXT", if it is the kernel's own.
fn line(record: &str) -> Option<String> {
    let (head, text) = record.lines().next()?.split_once(';')?;
    let mut fields = head.split(',');
    let facility = fields.next()?.parse::<u32>().ok()? >> 3;
    let microseconds: u64 = fields.nth(1)?.parse().ok()?;
    let (seconds, rest) = (microseconds / 1_000_000, microseconds % 1_000_000);
    (facility == 0).then(|| format!("[{seconds:5}.{rest:06}] {text}"))
}

fn is_complaint(line: &str) -> bool {
    let text = line.split_once("] ").map_or(line, |(_time, text)| text);
    let begins = BEGINNINGS.iter().any(|word| text.starts_with(word));
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let report = begins || says(&REPORTS) && !text.contains(CRASH);
    let of_fences = text.starts_with("videobuf2: ") && text.contains("fence");
    report || of_fences || says(&COMPLAINTS)
}

/// What checks the kernel's locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lockdep {
    Missing,
    On,
    Off,
}

impl Lockdep {
    /// Of /proc/lockdep_stats.
    fn of(stats: Option<&str>) -> Self {
        let line = |stats: &str| {
            let mut lines = stats.lines();
            lines.find_map(|line| Some(line.trim().strip_prefix("debug_locks:")?.trim() == "1"))
        };
        match stats.and_then(line) {
            None => Self::Missing,
            Some(true) => Self::On,
            Some(false) => Self::Off,
        }
    }
}

/// The gate. It goes last, since the others run jobs.
pub fn gate() -> Gate {
    let stats = fs::read_to_string("/proc/lockdep_stats").ok();
    match Log::read() {
        Ok(log) => {
            let outcome = log.judge(Lockdep::of(stats.as_deref()));
            Gate::new("kernel log", outcome).with(log.shown())
        }
        Err(err) => Gate::new(
            "kernel log",
            Outcome::NotAsked(format!("/dev/kmsg: {err}: be root")),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(texts: &[&str]) -> Log {
        let records = texts.iter().enumerate();
        let records: Vec<String> = records
            .map(|(number, text)| format!("4,{number},1500000,-;{text}\n SUBSYSTEM=x\n"))
            .collect();
        Log::of(&records)
    }

    #[test]
    fn quiet() {
        let log = log(&[
            "Linux version",
            "DEBUG: y",
            "Speculative Return Stack Overflow: WARNING: See the documents",
            "hantro-vpu fdea0400.video-codec: registered",
            "traps: player[12] general protection fault ip:0",
        ]);
        assert_eq!(
            log.lines[3],
            "[    1.500000] hantro-vpu fdea0400.video-codec: registered"
        );
        let pass = Outcome::Pass("no report; this kernel has no lockdep".into());
        assert_eq!(log.judge(Lockdep::Missing), pass);
        assert!(matches!(log.judge(Lockdep::Off), Outcome::Fail(_)));
        assert_eq!(log.shown().lines().count(), 1);
    }

    #[test]
    fn complaints() {
        for text in [
            "WARNING: CPU: 1 PID: 2 at drivers/media/x.c:1 y+0x1/0x2",
            "WARNING: possible circular locking dependency detected",
            "INFO: task kwin_wayland:12 blocked for more than 122 seconds.",
            "videobuf2: vim2m: queue cap-1: buffer 0: the job did not end in time, its release fence \
             is signalled with -ETIMEDOUT",
            "rust_kernel: a fence was dropped before it was signalled: it is cancelled",
            "rockchip-rga: job timed out",
        ] {
            let Outcome::Fail(why) = log(&["x", text]).judge(Lockdep::On) else {
                panic!("{text}");
            };
            assert_eq!(why, format!("lines that report a fault: 1; the first: [    1.500000] {text}"));
        }
    }

    #[test]
    fn programs_say_what_they_like() {
        // Facility 3 is that of daemons.
        let records = ["30,0,1,-;systemd[1]: BUG: x\n".to_owned()];
        assert_eq!(Log::of(&records).lines, [""; 0]);
    }

    #[test]
    fn a_log_without_its_beginning() {
        let log = Log::of(&["6,200,1,-;x\n".to_owned()]);
        let Outcome::Pass(text) = log.judge(Lockdep::On) else {
            panic!("no report");
        };
        assert!(
            text.contains("lockdep is on; its beginning is lost"),
            "{text}"
        );
    }

    #[test]
    fn lockdep() {
        assert_eq!(Lockdep::of(None), Lockdep::Missing);
        let stats = " lock-classes: 1\n debug_locks:                  1\n";
        assert_eq!(Lockdep::of(Some(stats)), Lockdep::On);
        assert_eq!(Lockdep::of(Some("debug_locks: 0\n")), Lockdep::Off);
    }
}
