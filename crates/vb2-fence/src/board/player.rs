// SPDX-License-Identifier: GPL-2.0-only

//! GStreamer, as other programs use the decoder: plays a film without a display, and counts.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};

use crate::probe::codec::Codec;
use crate::watch::counter::Counter;
use uapi::interrupt::Interrupt;

const LAUNCH: &str = "gst-launch-1.0";
const INSPECT: &str = "gst-inspect-1.0";
/// What says that a picture has come, a line each.
const COUNTER: &str = "identity";
/// The sink, which adds up what can be seen of the pictures.
const SINK: &str = "videocodectestsink";

/// The film that is made if none is given: three kinds of pictures, two seconds.
const FILM: &str =
    "videotestsrc num-buffers=60 ! video/x-raw,width=1280,height=720,framerate=30/1 \
                    ! x264enc key-int-max=30 bframes=2 bitrate=4000 \
                    ! video/x-h264,profile=main,stream-format=byte-stream ! filesink";

/// What a program may take, so that a film that hangs is a finding.
const PATIENCE: Duration = Duration::from_secs(300);
const TICK: Duration = Duration::from_millis(50);
/// The end of what a program said that has failed.
const LAST_LINES: usize = 6;

/// A directory for files in between, which nobody else can read. Dropped, it is removed.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new one.
    pub fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("vb2-fence-board-{}", std::process::id()));
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(err) = fs::remove_dir_all(&self.0) {
            uapi::hint::warn(&format!("{} stays: {err}", self.0.display()));
        }
    }
}

/// Makes a film.
pub fn make_film(scratch: &Scratch, interrupt: &Interrupt) -> Result<PathBuf> {
    let film = scratch.file("film.h264");
    let mut command = Command::new(LAUNCH);
    command.arg("-q").args(FILM.split_whitespace());
    command.arg(format!("location={}", film.display()));
    run(command, scratch, interrupt)?;
    ensure!(
        fs::metadata(&film)?.len() > 0,
        "{LAUNCH} made an empty film"
    );
    Ok(film)
}

/// What plays a film.
#[derive(Debug)]
pub struct Player<'a> {
    parser: &'static str,
    decoder: String,
    film: &'a Path,
    scratch: &'a Scratch,
    interrupt: &'a Interrupt,
}

/// What was seen of a film that was played.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Played {
    /// How many pictures.
    pub pictures: u64,
    /// Of all of them.
    pub checksum: String,
    /// Of the device, while it was played.
    pub fences: Fences,
    /// Calls by name, if they were counted.
    pub calls: Vec<(String, u64)>,
}

/// How many fences there were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fences {
    /// Made visible.
    pub armed: u64,
    /// Signalled.
    pub signalled: u64,
    /// With an error.
    pub failed: u64,
    /// Events that were dropped.
    pub lost: u64,
}

impl<'a> Player<'a> {
    /// For a decoder's node and a film. What is missing is an error that says what to install.
    pub fn new(
        node: &Path,
        film: &'a Path,
        scratch: &'a Scratch,
        interrupt: &'a Interrupt,
    ) -> Result<Self> {
        let mut data = vec![0; 64];
        let read = io::Read::read(&mut File::open(film)?, &mut data)?;
        let (parser, name) = match Codec::detect(&data[..read]) {
            Some(Codec::H264) => ("h264parse", "h264"),
            Some(Codec::Mpeg2) => ("mpegvideoparse", "mpeg2"),
            Some(Codec::Vp8) => ("ivfparse", "vp8"),
            None => {
                bail!("the film is neither H.264 in Annex B form, MPEG-2, nor VP8 in an IVF file")
            }
        };
        // GStreamer names the first decoder by its codec only, and others also by their nodes.
        let node = node.file_name().unwrap_or_default().to_string_lossy();
        let names = [format!("v4l2sl{node}{name}dec"), format!("v4l2sl{name}dec")];
        let decoder = names.into_iter().find(|name| exists(name));
        for needed in [parser, SINK] {
            ensure!(exists(needed), "{}", no_element(needed));
        }
        Ok(Self {
            parser,
            decoder: decoder.with_context(|| no_element(&format!("v4l2sl{name}dec")))?,
            film,
            scratch,
            interrupt,
        })
    }

    /// The pipeline, with a name for the film.
    pub fn describe(&self) -> String {
        format!(
            "filesrc location=FILM ! {} ! {} ! {COUNTER} silent=false ! {SINK}",
            self.parser, self.decoder
        )
    }

    /// Plays the film once; with `counted` under strace.
    pub fn play(&self, counted: bool) -> Result<Played> {
        let calls = self.scratch.file("calls");
        let mut command = if counted {
            let mut strace = Command::new("strace");
            strace.args(["-f", "-c", "-U", "name,calls", "-o"]);
            strace.arg(&calls).arg(LAUNCH);
            strace
        } else {
            Command::new(LAUNCH)
        };
        command.args(["-v", "-m", "filesrc"]);
        command.arg(format!("location={}", self.film.display()));
        command.args(["!", self.parser, "!", &self.decoder]);
        command.args(["!", COUNTER, "silent=false", "!", SINK]);
        let mut counter = Counter::start()?;
        let said = run_with(command, self.scratch, self.interrupt, || counter.step())?;
        counter.step()?;
        let (pictures, checksum) =
            pictures(&said).with_context(|| format!("{SINK} says nothing of pictures"))?;
        Ok(Played {
            pictures,
            checksum,
            fences: fences(&counter),
            calls: if counted {
                parse_calls(&fs::read_to_string(&calls)?)
            } else {
                Vec::new()
            },
        })
    }
}

/// Why there is no film, or no player.
fn no_element(name: &str) -> String {
    format!("GStreamer has no {name}: apt-get install gstreamer1.0-tools gstreamer1.0-plugins-bad")
}

fn exists(element: &str) -> bool {
    let mut command = Command::new(INSPECT);
    command.args(["--exists", element]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Whether a program can be started.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

fn run(command: Command, scratch: &Scratch, interrupt: &Interrupt) -> Result<String> {
    run_with(command, scratch, interrupt, || Ok(()))
}

/// Runs a program and gives what it said; `step` is called now and then.
fn run_with(
    mut command: Command,
    scratch: &Scratch,
    interrupt: &Interrupt,
    mut step: impl FnMut() -> Result<()>,
) -> Result<String> {
    let program = command.get_program().to_owned();
    let program = Path::new(OsStr::new(&program)).display().to_string();
    let path = scratch.file("said");
    let said = File::create(&path)?;
    command.stdin(Stdio::null()).env("LC_ALL", "C");
    command.stdout(said.try_clone()?).stderr(said);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        let watched = step().and_then(|()| interrupt.check());
        let over = started.elapsed() > PATIENCE;
        if over || watched.is_err() {
            child.kill()?;
            child.wait()?;
            watched?;
            bail!("{program} did not end within {} s", PATIENCE.as_secs());
        }
        std::thread::sleep(TICK);
    };
    let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
    ensure!(status.success(), "{program}: {status}: {}", last(&text));
    Ok(text)
}

/// The last lines, as one.
fn last(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join(" / ")
}

/// How many pictures there were, and their checksum.
fn pictures(said: &str) -> Option<(u64, String)> {
    let (_, rest) = said
        .split_once("conformance/checksum")?
        .1
        .split_once(", checksum=")?;
    let value = rest.split([',', ';']).next()?;
    // "(string)abc"
    let checksum = value.rsplit(')').next()?.to_owned();
    let count = said.matches(": last-message = chain").count();
    Some((count as u64, checksum))
}

fn fences(counter: &Counter) -> Fences {
    let (queues, lost) = counter.report(|_| true);
    let mut sum = Fences {
        lost,
        ..Fences::default()
    };
    for queue in queues {
        sum.armed += queue.armed;
        sum.signalled += queue.signalled;
        sum.failed += queue.errors.values().sum::<u64>();
    }
    sum
}

/// What strace -c counted: of each line the first word and the number.
fn parse_calls(text: &str) -> Vec<(String, u64)> {
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (name, number) = (words.next()?, words.next()?.parse().ok()?);
        (name != "total" && words.next().is_none()).then(|| (name.to_owned(), number))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gstreamer_says() {
        let of_a_picture = "/GstPipeline:pipeline0/GstIdentity:identity0: last-message = chain   \
            ******* (identity0:sink) (115200 bytes, dts: none, pts: 0:00:01.966666667)\n";
        let said = format!(
            "Setting pipeline to PLAYING ...\n\
             /GstPipeline:pipeline0/GstIdentity:identity0: last-message = event   ******* E\n\
             {of_a_picture}{of_a_picture}\
             Got message #116 from element \"videocodectestsink0\" (element): conformance/checksum, \
             checksum-type=(string)MD5, checksum=(string)1d9ee3da9592e81090e6f19c3d19e8d3;\n"
        );
        let checksum = "1d9ee3da9592e81090e6f19c3d19e8d3".to_owned();
        assert_eq!(pictures(&said), Some((2, checksum)));
        assert_eq!(pictures("Got EOS\n"), None);
    }

    #[test]
    fn calls() {
        let text = "syscall                 calls\n---------------- ------------\n\
                    ioctl                     720\npoll                      61\n\
                    ---------------- ------------\ntotal                     781\n";
        let calls = parse_calls(text);
        assert_eq!(calls, [("ioctl".into(), 720), ("poll".into(), 61)]);
    }

    #[test]
    fn programs() {
        let (scratch, interrupt) = (Scratch::new().unwrap(), Interrupt::default());
        let shell = |text: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", text]);
            run(command, &scratch, &interrupt)
        };
        assert_eq!(shell("echo a; echo b >&2").unwrap(), "a\nb\n");
        let err = shell("echo why; exit 3").unwrap_err().to_string();
        assert!(err.contains("sh: exit status: 3: why"), "{err}");
        interrupt.raise();
        let err = shell("sleep 10").unwrap_err().to_string();
        assert!(err.contains("interrupted"), "{err}");
        assert!(is_installed("sh") && !is_installed("no-such-program"));
        let path = scratch.0.clone();
        drop(scratch);
        assert!(!path.exists());
    }
}
