// SPDX-License-Identifier: GPL-2.0-only

//! `vb2-fence report --board`: the gates of a board, and one text file with all that was seen.
//!
//! [`gate`] is what they have in common. [`kernel`] and [`log`] look at the kernel, [`playback`] has
//! [`player`] play a film, and [`private`] takes out what is nobody else's business.

mod gate;
mod kernel;
mod log;
mod playback;
mod player;
mod private;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, Context, Result};

use self::gate::{Gate, Outcome};
use self::playback::Asked;
use self::player::Scratch;
use self::private::{Private, LEFT_OUT};
use crate::json;
use crate::list::{self, Listing};
use crate::probe::{self, show, ProbeArgs, Probing};
use crate::report::ReportArgs;
use uapi::heap;
use uapi::interrupt::Interrupt;

/// Where the gates are described that no program on the board can go through.
const PAGE: &str = "docs/board.md of vb2-release-fences";

/// How long a job of vim2m is.
const JOB_MS: u32 = 200;

/// Runs the command; says whether no gate failed.
pub fn run(args: &ReportArgs) -> Result<bool> {
    if let Some(film) = &args.stream {
        let opened = std::fs::File::open(film);
        opened.with_context(|| format!("cannot read {}", film.display()))?;
    }
    let path = std::path::absolute(&args.out)?;
    let mut file = create(&path)?;
    let made = go_through(args).and_then(|(text, right)| {
        let written = file.write_all(text.as_bytes());
        written.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(right)
    });
    if made.is_err() {
        // Half a report says nothing, and would be in the way of the next one.
        std::fs::remove_file(&path)?;
    }
    let right = made?;
    json::print_text(&format!("{}\n", path.display()))?;
    Ok(right)
}

/// An older report stays as it is.
fn create(path: &Path) -> Result<std::fs::File> {
    let made = OpenOptions::new().write(true).create_new(true).open(path);
    let path = path.display();
    made.map_err(|err| match err.kind() {
        std::io::ErrorKind::AlreadyExists => {
            anyhow!("{path} is there already: move it, or name another file with --out")
        }
        _ => anyhow!("cannot create {path}: {err}"),
    })
}

/// The text, and whether no gate failed. Each gate is told when it has been gone through.
fn go_through(args: &ReportArgs) -> Result<(String, bool)> {
    let interrupt = Interrupt::catch()?;
    let private = Private::of_this_machine();
    let mut gates = Vec::new();
    let mut tell = |gate: Gate| -> Result<()> {
        json::print_text(&private.strip(&gate.line()))?;
        gates.push(gate);
        interrupt.check()
    };

    let elsewhere = |what: &str| Outcome::NotAsked(format!("{what}: see {PAGE}"));
    tell(Gate::new(
        "compile",
        elsewhere("on the machine that builds"),
    ))?;
    let listing = Listing::look()?;
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let config = kernel::config(&release);
    let outcome = kernel::judge(&release, listing.kernel_has_fences(), config.as_ref());
    let options = config.map(|(_, text)| kernel::shown(&text));
    tell(Gate::new("kernel", outcome).with(options.unwrap_or_default()))?;
    let drivers = kernel::judge_drivers(&listing);
    tell(Gate::new("drivers", drivers).with(list::render(&listing)))?;

    let scratch = Scratch::new()?;
    let film = film(args, &listing, &scratch, &interrupt);
    let mut decoders = Vec::new();
    for (node, driver) in listing.publishers() {
        let (outcome, details, decodes) = probe_node(args, node, film.as_ref());
        if decodes {
            decoders.push((node, driver));
        }
        let name = format!("probe {} ({driver})", node.display());
        tell(Gate::new(name, outcome).with(details))?;
    }
    // Test drivers decode, too.
    decoders.sort_by_key(|(_, driver)| *driver != "hantro-vpu");
    let asked = Asked {
        decoder: decoders.first().copied(),
        film: &film,
        scratch: &scratch,
        interrupt: &interrupt,
    };
    for gate in asked.gates()? {
        tell(gate)?;
    }
    tell(log::gate())?;
    tell(Gate::new("desktop", elsewhere("it is for the eye")))?;

    let text = private.strip(&render(&gates));
    Ok((text, !gates.iter().any(Gate::failed)))
}

/// What decoders decode: a file that was given, or one that is made; else why there is none.
fn film(
    args: &ReportArgs,
    listing: &Listing,
    scratch: &Scratch,
    interrupt: &Interrupt,
) -> Result<PathBuf, String> {
    if let Some(path) = &args.stream {
        return Ok(path.clone());
    }
    let decodes = |(node, _): &(&Path, &str)| probe::is_decoder(node).unwrap_or(false);
    if !listing.publishers().iter().any(decodes) {
        return Err("there is no decoder that publishes release fences".into());
    }
    player::make_film(scratch, interrupt).map_err(|err| {
        format!(
            "no film ({err:#}): name one with --stream, or apt-get install gstreamer1.0-tools \
             gstreamer1.0-plugins-base gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly"
        )
    })
}

/// What a probe shows, all that it saw, and whether the device has decoded the film.
fn probe_node(
    args: &ReportArgs,
    node: &Path,
    film: Result<&PathBuf, &String>,
) -> (Outcome, String, bool) {
    let decodes = match probe::is_decoder(node) {
        Ok(decodes) => decodes,
        Err(err) => return (Outcome::NotAsked(format!("{err:#}")), String::new(), false),
    };
    let stream = match (decodes, film) {
        (false, _) => None,
        (true, Ok(film)) => Some(film.clone()),
        (true, Err(why)) => return (Outcome::NotAsked(why.clone()), String::new(), false),
    };
    let probe_args = ProbeArgs {
        device: node.to_owned(),
        stream,
        rounds: args.rounds,
        job_ms: JOB_MS,
        size: None,
        format: None,
        heap: heap::SYSTEM.into(),
        json: false,
    };
    let probing = match Probing::prepare(&probe_args) {
        Ok(probing) => probing,
        Err(err) => return (Outcome::NotAsked(format!("{err:#}")), String::new(), false),
    };
    match probing.run() {
        Ok(probe) => (judge_probe(&probe), show::render(&probe), decodes),
        Err(err) => (Outcome::Fail(format!("{err:#}")), String::new(), false),
    }
}

fn judge_probe(probe: &show::Probe) -> Outcome {
    if let Some(advice) = probe::unseen_advice(probe) {
        return Outcome::NotAsked(advice);
    }
    if probe.is_right() {
        return Outcome::Pass(probe.describe());
    }
    let (publishing, acquiring) = (probe.publishing, probe.acquire.acquiring);
    Outcome::Fail(format!(
        "{} (release fences: {}, acquire fences: {})",
        probe.describe(),
        publishing.describe(),
        acquiring.describe()
    ))
}

/// The file.
fn render(gates: &[Gate]) -> String {
    let name = rustix::system::uname();
    let part = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let (board, system) = kernel::names();
    let lines: String = gates.iter().map(Gate::line).collect();
    format!(
        "vb2-fence {}: the gates of a board\n\
         board: {board}\n\
         kernel: Linux {} {} {}\n\
         system: {system}\n\
         Names of hosts and users, serial numbers and addresses are not in this file: {LEFT_OUT} is in \
         their place.\n\n\
         {lines}{}{}",
        env!("CARGO_PKG_VERSION"),
        part(name.release()),
        part(name.version()),
        part(name.machine()),
        gate::count(gates),
        gate::details(gates)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_report_stays() {
        let path = std::env::temp_dir().join(format!("vb2-fence-old-{}", std::process::id()));
        std::fs::write(&path, "old").unwrap();
        let err = create(&path).unwrap_err().to_string();
        assert!(err.contains("is there already: move it"), "{err}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        std::fs::remove_file(&path).unwrap();
        let err = create(Path::new("/nonexistent/x")).unwrap_err().to_string();
        assert!(err.contains("cannot create /nonexistent/x"), "{err}");
    }

    #[test]
    fn the_file_says_all() {
        let gates = [
            Gate::new("kernel", Outcome::Pass("Linux".into())).with("A=y"),
            Gate::new("playback", Outcome::NotAsked("no film".into())),
        ];
        let text = render(&gates);
        for part in [
            "board: ",
            "kernel: Linux ",
            "system: ",
            "\n\nkernel: pass: Linux\nplayback: not asked: no film\n1 passed, 0 failed, 1 not asked\n",
            "\n== kernel\nA=y\n",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
