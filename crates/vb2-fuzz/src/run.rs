// SPDX-License-Identifier: GPL-2.0-only

//! One input: its threads, its end, and what has to be true after it.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::calls::Call;
use crate::count::{lock, Part, THREADS};
use crate::grammar::{Program, Step};
use crate::kcov;
use crate::options::Mistake;
use crate::sys;
use crate::world::{Actor, World};

/// When all threads that still run have been in one call for so long, they wait for each other, or for
/// a fence that is not signalled.
const STUCK: Duration = Duration::from_millis(150);
/// Between two looks at the threads.
const TICK: Duration = Duration::from_millis(2);
/// The timeout of release fences, and time to be late.
const PATIENCE: Duration = Duration::from_secs(12);

impl Actor<'_> {
    fn step(&self, call: &Call) {
        match call {
            Call::Video(call) => self.video(call),
            Call::Share(call) => self.share(call),
            Call::Display(call) => self.display(call),
            Call::Knob(call) => self.knob(call),
        }
    }

    fn close_timelines(&self) {
        while let Some(fd) = self.world.timelines.pop() {
            self.close(fd);
        }
        // Its fences end with the file.
        let vgem = lock(&self.world.vgem).take();
        self.end(vgem);
    }
}

/// Runs a program and ends what it began; `Err` says what was wrong after it.
pub fn run(world: &World<'_>, program: &Program, mistake: Option<Mistake>) -> Result<(), String> {
    let first = Actor {
        world,
        number: 0,
        part: Part::Program,
    };
    let last = Actor {
        part: Part::CleanUp,
        ..first
    };
    if program.shares {
        first.begin_sharing();
    }
    for how in &program.setups {
        first.set_up(how);
    }
    if program.shows {
        first.begin_showing();
    }
    run_threads(&last, program);
    last.close_timelines();
    while let Some(map) = world.maps.pop() {
        drop(map);
    }
    while let Some(video) = world.videos.pop() {
        last.close(video.fd);
    }
    last.show_base();
    let held = (mistake == Some(Mistake::FenceStays)).then(|| last.unknown_fence());
    if mistake == Some(Mistake::BufferStays) {
        last.lend_buffer();
    }
    if mistake == Some(Mistake::DescriptorStays) {
        let _ = sys::open("/dev/null", libc::O_RDWR);
    }
    let ready = all_ready(world);
    last.end(held.flatten());
    close_all(&last);
    lock(&world.wrong).take().map_or(ready, Err)
}

fn run_threads(last: &Actor<'_>, program: &Program) {
    let world = last.world;
    let numbers = [const { AtomicI32::new(0) }; THREADS];
    let running = AtomicUsize::new(program.threads.into());
    thread::scope(|scope| {
        for (index, thread_number) in numbers.iter().enumerate().take(program.threads.into()) {
            let running = &running;
            let actor = Actor {
                world,
                number: index + 1,
                part: Part::Program,
            };
            scope.spawn(move || {
                let _trace = kcov::Trace::begin();
                thread_number.store(sys::thread_id(), Ordering::Relaxed);
                let mine = |step: &&Step| usize::from(step.thread) == index;
                for step in program.steps.iter().filter(mine) {
                    if world.ending.load(Ordering::Relaxed) {
                        break;
                    }
                    actor.step(&step.call);
                }
                // Only a thread in the loop above is interrupted.
                thread_number.store(0, Ordering::Relaxed);
                running.fetch_sub(1, Ordering::Relaxed);
            });
        }
        loop {
            let left = running.load(Ordering::Relaxed);
            if left == 0 {
                break;
            }
            thread::sleep(TICK);
            if world.counts.waiting(STUCK) >= left {
                world.ending.store(true, Ordering::Relaxed);
            }
            if world.ending.load(Ordering::Relaxed) {
                last.close_timelines();
                let threads = numbers.iter().map(|number| number.load(Ordering::Relaxed));
                threads
                    .filter(|&number| number != 0)
                    .for_each(sys::interrupt);
            }
        }
    });
}

/// What a user of the buffers relies on: when no video node and no timeline is open, there is
/// nothing to wait for.
fn all_ready(world: &World<'_>) -> Result<(), String> {
    for (what, table, events) in [
        ("dma-buf", &world.buffers, libc::POLLIN | libc::POLLOUT),
        ("sync_file", &world.fences, libc::POLLIN),
    ] {
        for (number, fd) in table.all().into_iter().enumerate() {
            let late = wait_ready(fd, events).map_err(|missing| {
                format!(
                    "{what} {number} is not ready {} s after everything was closed \
                     (POLLIN {}, POLLOUT {})",
                    PATIENCE.as_secs(),
                    missing & libc::POLLIN == 0,
                    missing & libc::POLLOUT == 0,
                )
            })?;
            if let Some(late) = late {
                return Err(format!(
                    "{what} {number} was ready {} ms after everything was closed, and not at once",
                    late.as_millis()
                ));
            }
        }
    }
    Ok(())
}

/// How late it was ready, if it was; or what it was never ready for.
fn wait_ready(fd: RawFd, events: i16) -> Result<Option<Duration>, i16> {
    let started = Instant::now();
    let mut missing = events;
    let mut asked = 0;
    while started.elapsed() < PATIENCE {
        let wait = if asked == 0 {
            Duration::ZERO
        } else {
            Duration::from_millis(100)
        };
        // An error of poll() is that of a signal, which comes again.
        missing &= !sys::poll(fd, missing, wait).unwrap_or(0);
        if missing == 0 {
            return Ok((asked > 1).then(|| started.elapsed()));
        }
        asked += 1;
    }
    Err(missing)
}

fn close_all(last: &Actor<'_>) {
    let world = last.world;
    for table in [
        &world.fences,
        &world.buffers,
        &world.requests,
        &world.timelines,
    ] {
        while let Some(fd) = table.pop() {
            last.close(fd);
        }
    }
    while let Some(framebuffer) = world.framebuffers.pop() {
        last.close_framebuffer(framebuffer);
    }
    while let Some(handle) = world.handles.pop() {
        last.close_handle(handle);
    }
    // Events that are not read take the room of others.
    while last
        .call("read events", 0, || sys::read(world.screen.fd))
        .is_ok()
    {}
}
