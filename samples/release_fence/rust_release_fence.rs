// SPDX-License-Identifier: GPL-2.0

//! A producer and a consumer of one buffer, in a module: the way of a fence from memory to signal.
//!
//! Loading it prints what the consumer sees before, during and after the job.

use kernel::{
    c_str,
    dma_buf::{DriverFenceAllocation, FenceContext, Reservation, Usage},
    prelude::*,
};

module! {
    type: ReleaseFenceSample,
    name: "rust_release_fence",
    author: "the authors of the release fence series",
    description: "Rust sample: publishes and signals a fence",
    license: "GPL",
}

struct ReleaseFenceSample;

/// What a compositor would ask before it reads the picture.
fn look(when: &str, buffer: &Reservation) {
    let ready = buffer.is_signaled(Usage::Write);
    pr_info!(
        "{when}: the buffer is {}ready\n",
        if ready { "" } else { "not " }
    );
}

impl kernel::Module for ReleaseFenceSample {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let buffer = KBox::pin_init(Reservation::new(), GFP_KERNEL)?;
        let timeline = FenceContext::new(c_str!("sample"), c_str!("capture"));

        // Where failing is fine.
        let alloc = DriverFenceAllocation::new(&timeline, GFP_KERNEL)?;
        look("before the job", &buffer);

        // The job is certain to run: lock, reserve, publish.
        let mut locked = buffer.lock();
        let [slots] = locked.reserve()?;
        let (fence, signalling) = alloc.publish(&timeline, slots, Usage::Write);
        drop(locked);
        // A driver starts its hardware here.
        drop(signalling);
        look("during the job", &buffer);

        // A driver does this in its interrupt handler.
        fence.signal(Ok(()));
        look("after the job", &buffer);
        Ok(Self)
    }
}
