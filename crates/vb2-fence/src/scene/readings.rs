// SPDX-License-Identifier: GPL-2.0-only

//! The slow reader: one reading with acquire fences off and one with them on, as files, and more of
//! them to be counted.

use std::fs;
use std::path::Path;

use anyhow::{bail, Context, Result};
use serde::Serialize;

use crate::json::Head;
use crate::judge::{self, Seen};
use crate::scene::args::{ProducerKind, SceneArgs};
use crate::scene::foreign::Source;
use crate::scene::producer::{set_all, switches};
use crate::scene::reading::{Reading, ReadingRoom};
use crate::scene::saw::Saw;
use crate::scene::{image, timeline, Report};
use crate::table;
use uapi::clock::ms_between;
use uapi::device::Node;
use uapi::interrupt::Interrupt;
use uapi::picture::Size;
use uapi::publishing::Kind;
use uapi::sync_file::FenceStatus;

/// The size of the picture that one looks at.
const SIZE: Size = Size::new(320, 240);

/// The size of those that are counted: the least that the decoder has.
const SMALL: Size = Size::new(128, 96);

/// How long a job takes by default; reading takes four times as long.
const JOB_MS: u32 = 250;

/// The same where readings are counted.
const SHORT_JOB_MS: u32 = 30;

/// How often a picture is read at most, if the machine is too slow for the first time.
const ATTEMPTS: u32 = 4;

/// The frame that is read.
const NUMBER: u32 = 2026;

/// What some readings came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Tally {
    /// Pictures that were read.
    pictures: u32,
    /// Of these, pictures that were not whole when they were read.
    torn: u32,
    /// Those with pixels of neither picture.
    strange: u32,
    /// Jobs after which the next picture was not there, or that came back with an error.
    failed: u32,
}

impl Tally {
    fn add(&mut self, reading: &Reading) {
        self.pictures += 1;
        self.torn += u32::from(reading.saw.is_torn());
        self.strange += u32::from(matches!(reading.saw, Saw::Strange { .. }));
        self.failed += u32::from(!reading.written || reading.flagged);
    }

    fn judge(self, on: bool) -> Seen {
        let text = format!("{} of {}", self.torn, self.pictures);
        if (self.strange, self.failed) != (0, 0) {
            let Self {
                strange, failed, ..
            } = self;
            let why = format!("{strange} of neither picture, {failed} not written afterwards");
            return Seen::wrong(text, why);
        }
        match on {
            true => Seen::judge(self.torn == 0, text, "the device did not wait"),
            // A slow machine can be late.
            false => Seen::judge(
                2 * self.torn > self.pictures,
                text,
                "less than half, so the comparison proves nothing",
            ),
        }
    }
}

/// The readings of a half.
#[derive(Debug, Serialize)]
struct Half {
    reading: Reading,
    import_sync_file: Tally,
    /// `None` without vgem.
    vgem: Option<Tally>,
}

/// Reads off and on; says whether every line is right.
pub fn run(args: &SceneArgs, dir: &Path) -> Result<bool> {
    // As long as a job of the other scene is, a picture is read.
    let job_ms = args.job_ms.map_or(JOB_MS, |ms| (ms / 4).max(1));
    let switches = switches(args.producer, Kind::Acquire)?;
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let interrupt = Interrupt::catch()?;
    let mut halves = Vec::new();
    let mut node = None;
    for on in [false, true] {
        set_all(&switches, on)?;
        let (reading, of) = read_one(args.producer, job_ms, on, &interrupt)?;
        node = Some(of);
        let count = |source| count(args.producer, source, args.readings, &interrupt);
        let vgem = Source::Vgem.is_there().then(|| count(Source::Vgem));
        halves.push(Half {
            reading,
            import_sync_file: count(Source::ImportSyncFile)?,
            vgem: vgem.transpose()?,
        });
    }
    drop(switches);
    let (on, off) = (halves.pop(), halves.pop());
    let (Some(off), Some(on), Some(node)) = (off, on, node) else {
        bail!("nothing was read");
    };

    let rows = judge::join(Some(lines(&off, false)), Some(lines(&on, true)));
    let right = judge::all_right(&rows);
    let head = Head::with_program();
    let text = format!(
        "A slow reader of a buffer that {} writes next, Linux {}\nA job takes {job_ms} ms, reading \
         four times as long. Times are from QBUF.\n\n{}{}\n",
        node.driver,
        head.kernel,
        table::render(Kind::Acquire.describe(), &rows),
        verdict(right)
    );
    for (half, name) in [(&off, "reader-off.png"), (&on, "reader-on.png")] {
        let (first, seen) = &half.reading.pictures;
        image::write(&first.beside(seen), &dir.join(name))?;
    }
    let plots = [
        timeline::of_reading(&off.reading, "acquire fences off"),
        timeline::of_reading(&on.reading, "acquire fences on"),
    ];
    let x = "milliseconds from the beginning of the reading";
    let report = Report {
        head,
        driver: &node.driver,
        device: node.path.display().to_string(),
        job_ms,
        right,
        rows: &rows,
        off: &off,
        on: &on,
    };
    report.write(dir, "reader", &plots, x, &text)?;
    Ok(right)
}

/// The picture that one looks at.
fn read_one(
    kind: ProducerKind,
    job_ms: u32,
    on: bool,
    interrupt: &Interrupt,
) -> Result<(Reading, Node)> {
    let mut attempt = 1;
    loop {
        interrupt.check()?;
        let mut room = ReadingRoom::open(kind, SIZE, job_ms, NUMBER)?;
        let reading = room.read(Source::ImportSyncFile)?;
        let usable = reading.is_in_time(job_ms) && (on || reading.saw != Saw::Whole);
        if usable || attempt == ATTEMPTS {
            return Ok((reading, room.producer.node.clone()));
        }
        attempt += 1;
    }
}

fn count(
    kind: ProducerKind,
    source: Source,
    readings: u32,
    interrupt: &Interrupt,
) -> Result<Tally> {
    let mut room = ReadingRoom::open(kind, SMALL, SHORT_JOB_MS, 1)?;
    let mut tally = Tally::default();
    while tally.pictures < readings {
        interrupt.check()?;
        tally.add(&room.read(source)?);
    }
    Ok(tally)
}

fn verdict(right: bool) -> &'static str {
    match right {
        true => {
            "RIGHT: without acquire fences the reader gets parts of two pictures, with them its own"
        }
        false => "WRONG: see above",
    }
}

/// The lines of one half.
fn lines(half: &Half, on: bool) -> Vec<(&'static str, Seen)> {
    let reading = &half.reading;
    vec![
        ("reader's fence at QBUF", fence(reading)),
        ("QBUF returned", queued(reading)),
        (
            "reader's fence ended",
            Seen::right(at(reading, reading.read_ns)),
        ),
        ("job began", begun(reading, on)),
        ("job ended", over(reading, on)),
        ("picture that was read", saw(reading, on)),
        ("buffer dequeued", dequeued(reading)),
        ("torn, IMPORT_SYNC_FILE", half.import_sync_file.judge(on)),
        ("torn, fence of vgem", of_vgem(half.vgem, on)),
    ]
}

fn at(reading: &Reading, ns: uapi::clock::Ns) -> String {
    format!("{:+.1} ms", ms_between(reading.qbuf_ns, ns))
}

fn fence(reading: &Reading) -> Seen {
    match reading.fences.status {
        FenceStatus::Pending => Seen::right("pending"),
        other => Seen::wrong(format!("{other:?}"), "the reader has no pending fence"),
    }
}

fn queued(reading: &Reading) -> Seen {
    let text = at(reading, reading.queued_ns);
    Seen::judge(
        reading.queued_ns < reading.read_ns,
        text,
        "it waited for the reader",
    )
}

fn begun(reading: &Reading, on: bool) -> Seen {
    let Some(begun) = reading.job_begun_ns else {
        // What the job did is judged by its end, and by the picture.
        return Seen::right("not seen");
    };
    let text = at(reading, begun);
    match on {
        true => Seen::judge(begun >= reading.read_ns, text, "while the picture was read"),
        false => Seen::judge(begun < reading.read_ns, text, LATE),
    }
}

fn over(reading: &Reading, on: bool) -> Seen {
    let text = at(reading, reading.job_over_ns);
    match on {
        true => Seen::judge(
            reading.job_over_ns >= reading.read_ns,
            text,
            "while the picture was read",
        ),
        false => Seen::judge(reading.job_over_ns < reading.read_ns, text, LATE),
    }
}

const LATE: &str = "the job waited, or the machine was too slow: try a longer --job-ms";

fn saw(reading: &Reading, on: bool) -> Seen {
    let text = reading.saw.describe(reading.pictures.0.size.pixels());
    match on {
        true => Seen::judge(
            reading.saw == Saw::Whole,
            text,
            "not the picture that was there",
        ),
        false => Seen::judge(
            reading.saw.is_torn(),
            text,
            "the problem does not show, so the comparison proves nothing",
        ),
    }
}

fn dequeued(reading: &Reading) -> Seen {
    match (reading.flagged, reading.written) {
        (true, _) => Seen::wrong("with an error", "the job failed"),
        (false, true) => Seen::right("with the next picture"),
        (false, false) => Seen::wrong("without the picture", "the device wrote something else"),
    }
}

fn of_vgem(tally: Option<Tally>, on: bool) -> Seen {
    tally.map_or(Seen::right("not tried: no vgem"), |tally| tally.judge(on))
}

#[cfg(test)]
mod tests;
