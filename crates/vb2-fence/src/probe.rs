// SPDX-License-Identifier: GPL-2.0-only

//! `vb2-fence probe`: runs jobs on a device and says what a consumer of its buffers saw, whether
//! the device tells when a job starts, and whether a job waits for those who use its buffers.

pub mod acquire;
pub mod codec;
mod decoder;
pub mod explicit;
pub mod feed;
pub mod show;

use std::path::{Path, PathBuf};

use anyhow::{bail, ensure, Context, Result};
use clap::Args;
use v4l2r::PixelFormat;

use self::acquire::{Acquire, Asked};
use self::decoder::Decoder;
use self::explicit::Explicit;
use self::feed::{Camera, Feeder, Raw, Setup};
use self::show::{CaseResult, Probe, RoundResult};
use crate::json::{self, Head};
use crate::judge::acquire::Finding;
use crate::judge::probe::{most, overall, Verdict};
use crate::list::fences_of;
use crate::observation::Case;
use crate::observe;
use uapi::clock::Ns;
use uapi::device::{Node, Queue};
use uapi::heap::{self, Heap};
use uapi::interrupt::Interrupt;
use uapi::publishing::{Support, Sysfs};
use uapi::stream::Stream;

/// How often a round is run again when the job was over before it could be looked at.
const RETRIES: u32 = 3;

/// What `--help` and the man page say of the command.
pub const LONG: &str = "\
Run jobs on a device and say what a consumer of its CAPTURE buffers saw, whether the device tells
when a job starts, and whether it waits for others who use its buffers.

Release fences: while a job runs, and at its end, the program asks the buffer's dma-buf (poll,
EXPORT_SYNC_FILE) whether the picture is ready: for a buffer exported before the job, for a second
export made while it runs, and for a buffer imported from a dma-heap. Devices that convert or encode raw pictures and
those that capture need nothing more; a stateless decoder needs a stream, of which the first key
picture is decoded again and again (H.264 in Annex B form, MPEG-2, VP8 in an IVF file).

A case \"publishes\" if a fence is pending while the job runs and is signalled at its end; it \"does
not publish\" if there is none, so that consumers are told \"ready\" at once; it is \"stale\" if there
is a fence and a consumer is told \"ready\" before the job's end all the same; it is \"wrong\" if the
fence does not end, or does not say what happened to the buffer. What counts is what most rounds
show.

Explicit fences: V4L2_EVENT_RELEASE_FENCE has to come while a job runs, with the number of the fence
that VIDIOC_EXPFENCE gives, and that fence has to end with the job, and to say how. Kernels, drivers
and queues that do not have these are not supported, which is no error.

Acquire fences: a fence that the program holds is put into the dma-buf of a buffer before that is
queued, as that of a reader, and as that of a writer. It is held for five times as long as a job
takes, but not beyond the kernel's timeout of acquire fences, and then signalled. A queue \"waits\"
if jobs end after it: CAPTURE buffers, which the device writes, for readers and writers, OUTPUT
buffers, which it reads, for writers only. Otherwise it waits for too little, or for too much. No
call may wait for the fence, and the job has to go on when it is signalled. The fence is one of sw_sync (CONFIG_SW_SYNC=y, debugfs,
and root), or of vgem (modprobe vgem); without either, the device is not asked.";

/// Arguments of `vb2-fence probe`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  vb2-fence probe /dev/video3
  vb2-fence probe /dev/video0 --stream film.h264
  vb2-fence probe /dev/video1 --size 1920x1080 --json

Exit status: 0 the device publishes, and waits if it was asked; 1 it does not, or something is
wrong; 2 it could not be probed.")]
pub struct ProbeArgs {
    /// The video node.
    #[arg(value_name = "DEVICE")]
    pub device: PathBuf,

    /// What a decoder is to decode.
    #[arg(long, value_name = "FILE")]
    pub stream: Option<PathBuf>,

    /// How often each case is run.
    #[arg(long, value_name = "N", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,

    /// How long a job takes in milliseconds, of a driver that can be told (vim2m).
    #[arg(long, value_name = "MS", default_value_t = 200,
          value_parser = clap::value_parser!(u32).range(10..=10_000))]
    pub job_ms: u32,

    /// The size of the picture; a larger one makes a job longer [default: 1280x720].
    #[arg(long, value_name = "WxH", value_parser = parse_size)]
    pub size: Option<(u32, u32)>,

    /// The format of the pictures, by its four characters [default: the first that fits].
    #[arg(long, value_name = "FOURCC", value_parser = parse_fourcc)]
    pub format: Option<PixelFormat>,

    /// Which dma-heap buffers are imported from.
    #[arg(long, value_name = "NAME", default_value = heap::SYSTEM)]
    pub heap: String,

    /// Write JSON.
    #[arg(long)]
    pub json: bool,
}

/// Reads "1280x720".
pub fn parse_size(text: &str) -> Result<(u32, u32), String> {
    let size = text.split_once('x').and_then(|(width, height)| {
        let size: (u32, u32) = (width.parse().ok()?, height.parse().ok()?);
        (size.0 > 0 && size.1 > 0).then_some(size)
    });
    size.ok_or_else(|| "a size is WIDTHxHEIGHT, such as 1280x720".into())
}

/// Reads "NV12"; V4L2 fills shorter names with blanks.
pub fn parse_fourcc(text: &str) -> Result<PixelFormat, String> {
    let mut name = [b' '; 4];
    if text.is_empty() || text.len() > 4 || !text.is_ascii() {
        return Err("a format has four characters, such as NV12".into());
    }
    name[..text.len()].copy_from_slice(text.as_bytes());
    Ok(PixelFormat::from(&name))
}

/// What all rounds have in common.
struct Run<'a> {
    setup: &'a Setup,
    feeder: &'a dyn Feeder,
    /// The driver's parameter says that it publishes.
    claimed: bool,
    interrupt: &'a Interrupt,
}

/// Runs the command; says whether the device publishes and all is right.
pub fn run(args: &ProbeArgs) -> Result<bool> {
    let probe = Probing::prepare(args)?.run()?;
    if args.json {
        json::print(&probe)?;
    } else {
        json::print_text(&show::render(&probe))?;
    }
    if let Some(advice) = unseen_advice(&probe) {
        bail!(advice);
    }
    Ok(probe.is_right())
}

/// A device that can be probed.
pub struct Probing<'a> {
    args: &'a ProbeArgs,
    setup: Setup,
    feeder: Box<dyn Feeder>,
}

impl<'a> Probing<'a> {
    /// Looks whether it can be; runs no job.
    pub fn prepare(args: &'a ProbeArgs) -> Result<Self> {
        let node = Node::at(&args.device)?;
        let heap = match Heap::named(&args.heap) {
            Ok(heap) => Ok(heap),
            // Without the usual one there is no import to try; a wish has to be granted.
            Err(err) if args.heap == heap::SYSTEM => Err(format!("{err:#}")),
            Err(err) => return Err(err),
        };
        let setup = Setup {
            node,
            heap,
            job_ms: args.job_ms,
            size: args.size,
            format: args.format,
        };
        let feeder = choose_feeder(args, &setup)?;
        Ok(Self {
            args,
            setup,
            feeder,
        })
    }

    /// Runs the jobs.
    pub fn run(self) -> Result<Probe> {
        let Self {
            args,
            setup,
            feeder,
        } = self;
        let interrupt = Interrupt::catch()?;
        let sysfs = Sysfs::default();
        let (publishing, acquiring) = fences_of(&sysfs, &setup.node);
        let run = Run {
            setup: &setup,
            feeder: feeder.as_ref(),
            claimed: publishing == Support::On,
            interrupt: &interrupt,
        };
        let mut cases = Vec::new();
        for case in Case::ALL {
            cases.push(run_case(args, &run, case)?);
        }
        let verdict = overall(cases.iter().map(|case| case.verdict));
        interrupt.check()?;
        let prepared = feeder.prepare(&setup, Case::ExportedBefore, None)?;
        let explicit = Explicit::ask(&prepared);
        let explicit = explicit.with_context(|| format!("{}", setup.node.path.display()))?;
        drop(prepared);
        let asked = Asked {
            setup: &setup,
            feeder: feeder.as_ref(),
            job: longest_job(&cases),
            timeout_ms: sysfs.acquire_timeout_ms(),
            interrupt: &interrupt,
        };
        let acquire = Acquire::ask(&asked, acquiring)?;
        Ok(Probe {
            head: Head::new(),
            device: setup.node.path,
            driver: setup.node.driver,
            card: setup.node.card,
            publishing,
            jobs: feeder.describe(),
            verdict,
            cases,
            explicit,
            acquire,
        })
    }
}

/// What a job took that ended.
fn longest_job(cases: &[CaseResult]) -> Option<Ns> {
    let rounds = cases.iter().flat_map(|case| &case.rounds);
    let times = rounds.filter_map(|round| Some(round.seen.ended_ns? - round.seen.started_ns));
    times.max()
}

/// Whether a node decodes, so that a probe needs a stream.
pub fn is_decoder(path: &Path) -> Result<bool> {
    Ok(Node::at(path)?.queues.m2m && takes_streams(&Stream::open(path)?))
}

fn takes_streams(stream: &Stream) -> bool {
    let offers = stream.offers(Queue::Output);
    !offers.is_empty() && offers.iter().all(|offer| offer.compressed)
}

fn choose_feeder(args: &ProbeArgs, setup: &Setup) -> Result<Box<dyn Feeder>> {
    let path = setup.node.path.display();
    let queues = &setup.node.queues;
    ensure!(
        queues.streaming,
        "{path} has no buffers to share (it does not stream)"
    );
    ensure!(
        queues.capture,
        "{path} has no CAPTURE queue of pictures, so there is nothing to consume"
    );
    let stream = Stream::open(&setup.node.path)?;
    let is_decoder = queues.m2m && takes_streams(&stream);
    ensure!(
        is_decoder || args.stream.is_none(),
        "{path} is not a decoder: it needs no --stream"
    );
    Ok(match (queues.m2m, is_decoder) {
        (true, true) => Box::new(Decoder::new(setup, &stream, args.stream.as_deref())?),
        (true, false) => Box::new(Raw::new(setup, &stream)?),
        (false, _) => Box::new(Camera),
    })
}

fn run_case(args: &ProbeArgs, run: &Run<'_>, case: Case) -> Result<CaseResult> {
    let mut rounds = Vec::new();
    for _ in 0..args.rounds {
        match run_round(run, case) {
            Ok(round) => rounds.push(round),
            // A buffer that cannot be imported is no finding, and neither is a missing heap.
            Err(err) if case == Case::Imported && !run.interrupt.came() => {
                return Ok(CaseResult {
                    case,
                    verdict: None,
                    reason: format!("{err:#}"),
                    rounds,
                });
            }
            Err(err) => {
                return Err(err).with_context(|| format!("{}", run.setup.node.path.display()))
            }
        }
    }
    let verdicts: Vec<Verdict> = rounds.iter().map(|round| round.verdict).collect();
    let verdict = most(&verdicts);
    let reason = rounds.iter().find(|round| round.verdict == verdict);
    Ok(CaseResult {
        case,
        verdict: Some(verdict),
        reason: reason.map(|round| round.reason.clone()).unwrap_or_default(),
        rounds,
    })
}

fn run_round(run: &Run<'_>, case: Case) -> Result<RoundResult> {
    let mut retries = RETRIES;
    loop {
        run.interrupt.check()?;
        let seen = observe::probe::run(run.feeder.prepare(run.setup, case, None)?, case)?;
        let (verdict, reason) = seen.judge(run.claimed);
        if verdict == Verdict::Unseen && seen.ended_ns.is_some() && retries > 0 {
            retries -= 1;
            continue;
        }
        return Ok(RoundResult {
            verdict,
            reason,
            seen,
        });
    }
}

/// What can be done if it was not seen what the device does.
pub fn unseen_advice(probe: &Probe) -> Option<String> {
    let device = probe.device.display();
    if probe.verdict != Verdict::Unseen {
        let mut jobs = probe.acquire.queues.iter().flat_map(|queue| &queue.jobs);
        let unseen = jobs.find(|job| job.finding == Finding::Unseen)?;
        return Some(format!("{device}: acquire fences: {}", unseen.reason));
    }
    let case = probe
        .cases
        .iter()
        .find(|case| case.verdict != Some(Verdict::Publishes));
    let reason = case.map_or("", |case| case.reason.as_str());
    Some(format!(
        "{device}: {reason}; make a job longer (a larger --size; of visl: echo 200 \
         >/sys/module/visl/parameters/visl_transtime_ms)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("1280x720"), Ok((1280, 720)));
        for bad in ["", "1280", "0x720", "1280x", "axb", "1x2x3"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    /// A device whose buffers cannot even be made.
    struct Refusing;

    impl Feeder for Refusing {
        fn describe(&self) -> String {
            "nothing".into()
        }

        fn prepare(
            &self,
            _: &Setup,
            _: Case,
            _: Option<&observe::acquire::User<'_>>,
        ) -> Result<observe::probe::Prepared> {
            bail!("refused")
        }
    }

    #[test]
    fn only_imports_may_be_refused() {
        let cli = ["vb2-fence", "probe", "/dev/video0"];
        let cli = <crate::cli::Cli as clap::Parser>::parse_from(cli);
        let crate::cli::Command::Probe(args) = cli.command else {
            panic!("not the probe");
        };
        let setup = Setup {
            node: Node {
                path: "/dev/video0".into(),
                driver: "vim2m".into(),
                card: "vim2m".into(),
                queues: uapi::queues::Queues::decode(v4l2r::ioctl::Capabilities::empty()),
                fences: Vec::new(),
            },
            heap: Err("none".into()),
            job_ms: 10,
            size: None,
            format: None,
        };
        let interrupt = Interrupt::default();
        let run = Run {
            setup: &setup,
            feeder: &Refusing,
            claimed: false,
            interrupt: &interrupt,
        };
        let imported = run_case(&args, &run, Case::Imported).unwrap();
        assert_eq!((imported.verdict, &*imported.reason), (None, "refused"));
        assert!(run_case(&args, &run, Case::ExportedBefore).is_err());
        interrupt.raise();
        let err = run_case(&args, &run, Case::Imported).unwrap_err();
        assert!(format!("{err:#}").contains("interrupted"), "{err:#}");
    }

    #[test]
    fn formats() {
        assert_eq!(parse_fourcc("NV12"), Ok(PixelFormat::from(b"NV12")));
        assert_eq!(parse_fourcc("Y16"), Ok(PixelFormat::from(b"Y16 ")));
        for bad in ["", "NV12M", "\u{e4}b"] {
            assert!(parse_fourcc(bad).is_err(), "{bad}");
        }
    }
}
