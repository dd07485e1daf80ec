// SPDX-License-Identifier: GPL-2.0-only

//! The reservation objects of a plane's exports: the protocol of `videobuf2-plane-resv.c` and of
//! `arm_job()`.
//!
//! One is C, and the other needs the kernel's reservation objects: this is a second version of
//! them, which has to be kept like the first. A fence is a number here. All objects are locked in
//! one order; the kernel has an acquire context instead.

use crate::{
    check::{ensure, is_broken, Broken},
    platform::Ordering,
};
use loom::sync::{
    atomic::{AtomicBool, AtomicUsize},
    Mutex,
};
use std::sync::atomic::AtomicUsize as Counter;

/// `VB2_PLANE_RESVS`. As many exports are there.
const OBJS: usize = 3;

pub(crate) struct Plane {
    pub(crate) objs: [Mutex<Vec<u32>>; OBJS],
    users: [AtomicBool; OBJS],
    pub(crate) count: AtomicUsize,
    // How many exports use each object. What the model remembers: orders nothing.
    pub(crate) exports: [Counter; OBJS],
}

impl Plane {
    /// Makes a plane that has one export.
    pub(crate) fn new() -> Self {
        Self {
            objs: Default::default(),
            users: [0, 1, 2].map(|i| AtomicBool::new(i == 0)),
            count: AtomicUsize::new(1),
            exports: [1, 0, 0].map(Counter::new),
        }
    }

    /// As `arm_job()`.
    pub(crate) fn arm(&self, fence: u32) {
        loop {
            let count = self.count.load(Ordering::Relaxed);
            let objs = self.objs[..count].iter().map(|obj| obj.lock().unwrap());
            let objs: Vec<_> = objs.collect();
            let grew = self.count.load(Ordering::Relaxed) != count;
            if !grew || is_broken(Broken::CountReadOnce) {
                objs.into_iter().for_each(|mut obj| obj.push(fence));
                return;
            }
        }
    }

    /// As `vb2_plane_resv_export()`.
    pub(crate) fn export(&self) {
        loop {
            let count = self.count.load(Ordering::Relaxed);
            for (i, user) in self.users[..count].iter().enumerate() {
                let (full, failure) = (Ordering::AcqRel, Ordering::Relaxed);
                if user.compare_exchange(false, true, full, failure).is_ok() {
                    self.exports[i].fetch_add(1, Ordering::Relaxed);
                    return;
                }
            }
            if count == OBJS {
                return ensure(false, "there were too few objects for the exports");
            }
            self.use_one_more(count);
        }
    }

    /// As `use_one_more()`.
    fn use_one_more(&self, n: usize) {
        let first = self.objs[0].lock().unwrap();
        let fences = first.clone();
        let _first = (!is_broken(Broken::CopyUnlocked)).then_some(first);
        if self.count.load(Ordering::Relaxed) == n {
            let Ok(mut obj) = self.objs[n].try_lock() else {
                return ensure(false, "an object was locked before it was in use");
            };
            *obj = fences;
            drop(obj);
            self.count.store(n + 1, Ordering::Relaxed);
        }
    }
}
