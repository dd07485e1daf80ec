// SPDX-License-Identifier: GPL-2.0-only

//! How many system calls a thread makes, as the kernel counts them: perf's counter of the
//! tracepoint raw_syscalls:sys_enter. What a program counts in its own wrappers misses those of its
//! libraries.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::FromRawFd;

use anyhow::{Context, Result};
use rustix::ioctl::{opcode, NoArg, Opcode};
use v4l2r::nix::libc;

use crate::tracefs::find_tracefs;

/// The first version of `struct perf_event_attr`, which all kernels take.
#[derive(Debug, Default)]
#[repr(C)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    breakpoint: u32,
    config1: u64,
}

/// `PERF_TYPE_TRACEPOINT`.
const TRACEPOINT: u32 = 2;
/// `PERF_FLAG_FD_CLOEXEC`.
const CLOEXEC: libc::c_ulong = 1 << 3;
/// `PERF_EVENT_IOC_ENABLE`.
const ENABLE: Opcode = opcode::none(b'$', 0);
/// `PERF_EVENT_IOC_DISABLE`.
const DISABLE: Opcode = opcode::none(b'$', 1);

/// The counter of the thread that makes it.
#[derive(Debug)]
pub struct SystemCalls {
    counter: File,
    /// Those that the counter itself needed.
    own: Cell<u64>,
}

impl SystemCalls {
    /// Counts from now on. It is for root, and needs tracefs.
    pub fn count() -> Result<Self> {
        let event = find_tracefs()?.join("events/raw_syscalls/sys_enter/id");
        let id = fs::read_to_string(&event);
        let id = id.with_context(|| format!("{}", event.display()))?;
        let attributes = Attributes {
            kind: TRACEPOINT,
            size: size_of::<Attributes>() as u32,
            config: id.trim().parse()?,
            ..Attributes::default()
        };
        let (this_thread, any_cpu, no_group) = (0, -1, -1);
        // SAFETY: the call reads `attributes`, whose size they say, and makes a new descriptor.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_perf_event_open,
                &raw const attributes,
                this_thread,
                any_cpu,
                no_group,
                CLOEXEC,
            )
        };
        let fd = i32::try_from(fd).ok().filter(|&fd| fd >= 0);
        let fd = fd.with_context(|| format!("perf_event_open: {}", io::Error::last_os_error()))?;
        Ok(Self {
            // SAFETY: the call succeeded, so this is a new descriptor that nothing else owns.
            counter: unsafe { File::from_raw_fd(fd) },
            own: Cell::new(0),
        })
    }

    /// Does something that is not counted.
    pub fn leave_out<T>(&self, work: impl FnOnce() -> T) -> Result<T> {
        // SAFETY: the opcode is PERF_EVENT_IOC_DISABLE, which takes no argument.
        let disable = unsafe { NoArg::<DISABLE>::new() };
        // SAFETY: the request touches no memory.
        unsafe { rustix::ioctl::ioctl(&self.counter, disable) }.context("cannot stop counting")?;
        self.own.set(self.own.get() + 1);
        let result = work();
        // SAFETY: the opcode is PERF_EVENT_IOC_ENABLE, which takes no argument.
        let enable = unsafe { NoArg::<ENABLE>::new() };
        // SAFETY: the request touches no memory.
        unsafe { rustix::ioctl::ioctl(&self.counter, enable) }.context("cannot go on counting")?;
        Ok(result)
    }

    /// How many there were until now.
    pub fn so_far(&self) -> Result<u64> {
        let mut count = [0; 8];
        let read = self.leave_out(|| (&self.counter).read_exact(&mut count))?;
        read.context("cannot read the counter of system calls")?;
        Ok(u64::from_ne_bytes(count).saturating_sub(self.own.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_the_kernels() {
        assert_eq!(size_of::<Attributes>(), 64);
        assert_eq!((ENABLE, DISABLE), (0x2400, 0x2401));
    }

    #[test]
    fn counts_all_but_what_is_left_out() {
        // Not everyone may count, nor has every machine tracefs.
        let Ok(calls) = SystemCalls::count() else {
            return;
        };
        let call = || drop(fs::metadata("/"));
        let before = calls.so_far().unwrap();
        (0..10).for_each(|_| call());
        let after = calls.so_far().unwrap();
        assert_eq!(after - before, 10);
        calls.leave_out(|| (0..10).for_each(|_| call())).unwrap();
        assert_eq!(calls.so_far().unwrap(), after);
    }
}
