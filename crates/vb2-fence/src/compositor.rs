// SPDX-License-Identifier: GPL-2.0-only

//! `vb2-fence compositor`: the loop of a compositor, for strace.
//!
//! The pictures come from `client`. The loop itself is in the program's first thread and
//! makes no system call but those that a compositor makes.

pub mod args;
mod client;

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use anyhow::{anyhow, ensure, Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use serde::Serialize;

use crate::compositor::args::{CompositorArgs, Wait};
use crate::compositor::client::{Client, Counts, REFRESH};
use crate::json::{self, Head};
use crate::scene::args::ProducerKind;
use crate::scene::{node::PICTURES, producer::Producer};
use uapi::dmabuf;
use uapi::framebuffer::Framebuffer;
use uapi::interrupt::Interrupt;
use uapi::kms::Display;
use uapi::picture::Size;

/// Small pictures: what is of interest is the loop.
const SIZE: Size = Size::new(64, 48);

/// How long anything may take, in seconds.
const PATIENCE: i64 = 20;

/// What came of it.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    head: Head,
    right: bool,
    job_ms: u32,
    wait: Wait,
    #[serde(flatten)]
    counts: Counts,
}

/// One of the client's pictures.
struct Surface {
    dmabuf: OwnedFd,
    framebuffer: Framebuffer,
}

/// Runs the command; says whether no picture was shown too early.
pub fn run(args: &CompositorArgs) -> Result<bool> {
    let interrupt = Interrupt::catch()?;
    // The display first: a job whose picture cannot be shown is not worth its time.
    let display = Display::without_checksums(SIZE, REFRESH)?;
    let producer = Producer::open(ProducerKind::Rga, SIZE, args.job_ms)?;
    let mut surfaces = Vec::new();
    for slot in 0..PICTURES {
        let dmabuf = producer.picture(slot);
        surfaces.push(Surface {
            framebuffer: display.import(dmabuf, producer.layout, producer.pitch())?,
            dmabuf: dmabuf.try_clone_to_owned().context("dup of a dma-buf")?,
        });
    }
    let (socket, peer) = UnixStream::pair().context("socketpair")?;
    let client = Client::new(producer, peer, args.wait, interrupt);
    let counts = std::thread::scope(|scope| -> Result<_> {
        let client = scope.spawn(|| client.run(args.frames));
        let composed = compose(&display, &surfaces, socket, args.wait);
        let counts = client.join().map_err(|_| anyhow!("the client panicked"))?;
        // The client goes when the compositor has gone, so the compositor's reason comes first.
        composed.and(counts)
    })?;
    let report = Report {
        head: Head::new(),
        right: counts.shown_early == 0,
        job_ms: args.job_ms,
        wait: args.wait,
        counts,
    };
    match args.json {
        true => json::print(&report)?,
        false => json::print_text(&render(&report))?,
    }
    Ok(report.right)
}

fn render(report: &Report) -> String {
    let counts = &report.counts;
    format!(
        "{} pictures of rockchip-rga, shown by vkms; a job takes {} ms.\n{} had a release fence; {} \
         {} shown before the job was over: {}\n",
        counts.frames,
        report.job_ms,
        counts.with_fence,
        counts.shown_early,
        if counts.shown_early == 1 { "was" } else { "were" },
        if report.right { "RIGHT" } else { "WRONG" }
    )
}

/// The loop. Ends when the client has closed its end of the socket.
fn compose(
    display: &Display,
    surfaces: &[Surface],
    mut socket: UnixStream,
    wait: Wait,
) -> Result<()> {
    let mut slot = [0];
    while socket.read(&mut slot).context("the client's message")? != 0 {
        let surface = surfaces.get(usize::from(slot[0]));
        let surface = surface.context("a picture that the client has not")?;
        match wait {
            Wait::Client | Wait::Kernel => {}
            Wait::SyncFile => {
                let fences = dmabuf::export_read_sync_file(&surface.dmabuf);
                wait_readable(fences?.as_fd())?;
            }
            Wait::DmaBuf => wait_readable(surface.dmabuf.as_fd())?,
        }
        display.commit(&surface.framebuffer)?;
        wait_readable(display.as_fd())?;
        let shown_ns = display.flip_event()?.at_ns;
        socket
            .write_all(&shown_ns.to_ne_bytes())
            .context("the answer to the client")?;
    }
    Ok(())
}

/// Waits without looking at a clock, which can be a system call.
fn wait_readable(fd: BorrowedFd<'_>) -> Result<()> {
    let patience = Timespec {
        tv_sec: PATIENCE,
        tv_nsec: 0,
    };
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    let ready = loop {
        match rustix::event::poll(&mut fds, Some(&patience)) {
            Err(Errno::INTR) => {}
            other => break other.context("poll")?,
        }
    };
    ensure!(ready != 0, "not ready within {PATIENCE} s");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(shown_early: u32) -> Report {
        Report {
            head: Head::new(),
            right: shown_early == 0,
            job_ms: 150,
            wait: Wait::SyncFile,
            counts: Counts {
                frames: 7,
                with_fence: 5,
                shown_early,
            },
        }
    }

    #[test]
    fn shows_what_was_seen() {
        let text = render(&report(0));
        assert!(text.contains("7 pictures") && text.contains("5 had a release fence"));
        assert!(text.ends_with("0 were shown before the job was over: RIGHT\n"));
        assert!(render(&report(1)).ends_with("1 was shown before the job was over: WRONG\n"));
    }

    #[test]
    fn json_is_flat() {
        let value = serde_json::to_value(report(2)).unwrap();
        assert_eq!(value["wait"], "sync-file");
        assert_eq!(value["shown_early"], 2);
    }

    #[test]
    fn hang_up_ends_a_wait() {
        let (reader, writer) = UnixStream::pair().unwrap();
        drop(writer);
        wait_readable(reader.as_fd()).unwrap();
    }
}
