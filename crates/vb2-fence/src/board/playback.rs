// SPDX-License-Identifier: GPL-2.0-only

//! The gates of playback and of system calls: the same film, with release fences off and on.

use std::path::Path;

use anyhow::{bail, Context, Result};

use super::gate::{Gate, Outcome};
use super::player::{is_installed, Played, Player, Scratch};
use uapi::feature::Switch;
use uapi::interrupt::Interrupt;
use uapi::publishing::Kind;

const PLAYBACK: &str = "playback";
const CALLS: &str = "system calls";

/// So much more may a picture take: a program polls once more on a busy machine.
const NOISE: f64 = 0.5;

/// What both gates need.
pub struct Asked<'a> {
    /// A decoder's node, and its driver.
    pub decoder: Option<(&'a Path, &'a str)>,
    /// What to decode, or why there is nothing.
    pub film: &'a std::result::Result<std::path::PathBuf, String>,
    /// For files in between.
    pub scratch: &'a Scratch,
    /// Ctrl-C.
    pub interrupt: &'a Interrupt,
}

/// With release fences off, and on.
struct Halves {
    off: Result<Played>,
    on: Result<Played>,
}

impl Asked<'_> {
    /// Both gates.
    pub fn gates(&self) -> Result<Vec<Gate>> {
        let not_asked = |why: String| {
            [PLAYBACK, CALLS].map(|name| Gate::new(name, Outcome::NotAsked(why.clone())))
        };
        let (player, switch) = match self.prepare() {
            Ok(prepared) => prepared,
            Err(err) => return Ok(not_asked(format!("{err:#}")).to_vec()),
        };
        let played = self.halves(&player, &switch, false)?;
        let playback = Gate::new(PLAYBACK, judge_playback(&played));
        let mut gates = vec![playback.with(show(&player, &played))];
        gates.push(if is_installed("strace") {
            let played = self.halves(&player, &switch, true)?;
            Gate::new(CALLS, judge_calls(&played)).with(show(&player, &played))
        } else {
            let why = "no strace: apt-get install strace";
            Gate::new(CALLS, Outcome::NotAsked(why.into()))
        });
        Ok(gates)
    }

    fn prepare(&self) -> Result<(Player<'_>, Switch)> {
        let Some((node, driver)) = self.decoder else {
            bail!("no decoder was probed with a film");
        };
        let film = self.film.as_ref().map_err(|why| anyhow::anyhow!("{why}"))?;
        let player = Player::new(node, film, self.scratch, self.interrupt)?;
        let switch = Switch::of_driver(driver, Kind::Release)?;
        let switch = switch.with_context(|| format!("{driver} has no parameter release_fences"))?;
        // Whether it may be set.
        switch.set(switch.found())?;
        Ok((player, switch))
    }

    fn halves(&self, player: &Player<'_>, switch: &Switch, counted: bool) -> Result<Halves> {
        let half = |on: bool| {
            switch.set(on)?;
            player.play(counted)
        };
        let halves = Halves {
            off: half(false),
            on: half(true),
        };
        self.interrupt.check()?;
        Ok(halves)
    }
}

/// Whether both halves could be played; else why not.
fn both(halves: &Halves) -> std::result::Result<(&Played, &Played), Outcome> {
    match (&halves.off, &halves.on) {
        (Ok(off), Ok(on)) => Ok((off, on)),
        (_, Err(err)) => Err(Outcome::Fail(format!("with release fences: {err:#}"))),
        (Err(err), _) => Err(Outcome::Fail(format!("without release fences: {err:#}"))),
    }
}

fn judge_playback(halves: &Halves) -> Outcome {
    let (off, on) = match both(halves) {
        Ok(both) => both,
        Err(outcome) => return outcome,
    };
    let fences = &on.fences;
    if (off.pictures, &off.checksum) != (on.pictures, &on.checksum) {
        return Outcome::Fail(format!(
            "{} pictures without release fences, {} with them, and not the same",
            off.pictures, on.pictures
        ));
    }
    if on.pictures == 0 {
        return Outcome::Fail("no pictures, with or without release fences".into());
    }
    let ended = fences.signalled == fences.armed || fences.lost > 0;
    if fences.armed < on.pictures && fences.lost == 0 || fences.failed > 0 || !ended {
        return Outcome::Fail(format!(
            "{} pictures, and {} fences, of which {} were signalled, {} with an error",
            on.pictures, fences.armed, fences.signalled, fences.failed
        ));
    }
    Outcome::Pass(format!(
        "{} pictures, the same without release fences and with them; {} fences, all signalled",
        on.pictures, fences.armed
    ))
}

fn judge_calls(halves: &Halves) -> Outcome {
    let (off, on) = match both(halves) {
        Ok(both) => both,
        Err(outcome) => return outcome,
    };
    // Only these are of the device: of others, a program has more or fewer as it is scheduled.
    let (Some(without), Some(with)) = (ioctls(off), ioctls(on)) else {
        return Outcome::Fail("strace has counted no ioctl".into());
    };
    let text =
        format!("a picture takes {without:.1} ioctls without release fences, {with:.1} with");
    if with > without + NOISE {
        Outcome::Fail(text)
    } else {
        Outcome::Pass(text)
    }
}

/// Each picture takes so many.
fn ioctls(played: &Played) -> Option<f64> {
    let (_, count) = played.calls.iter().find(|(name, _)| name == "ioctl")?;
    (played.pictures > 0).then(|| *count as f64 / played.pictures as f64)
}

fn show(player: &Player<'_>, halves: &Halves) -> String {
    let halves = [("off", &halves.off), ("on", &halves.on)].map(|(name, half)| match half {
        Ok(played) => show_half(name, played),
        Err(err) => format!("release fences {name}: {err:#}\n"),
    });
    format!("{}\n{}", player.describe(), halves.concat())
}

fn show_half(name: &str, played: &Played) -> String {
    let Played {
        pictures, checksum, ..
    } = played;
    let fences = &played.fences;
    let mut out = format!(
        "release fences {name}: {pictures} pictures, MD5 {checksum}; {} fences, {} signalled, {} with \
         an error, {} events lost\n",
        fences.armed, fences.signalled, fences.failed, fences.lost
    );
    for (call, count) in &played.calls {
        out += &format!("  {call:<20} {count:>8}\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::player::Fences;
    use super::*;

    fn played(pictures: u64, checksum: &str, fences: u64, ioctls: u64) -> Played {
        Played {
            pictures,
            checksum: checksum.into(),
            fences: Fences {
                armed: fences,
                signalled: fences,
                failed: 0,
                lost: 0,
            },
            calls: vec![("ioctl".into(), ioctls)],
        }
    }

    fn halves(off: Played, on: Played) -> Halves {
        Halves {
            off: Ok(off),
            on: Ok(on),
        }
    }

    fn fails(outcome: Outcome, text: &str) {
        match outcome {
            Outcome::Fail(why) => assert!(why.contains(text), "{why}"),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn the_same_pictures() {
        let right = halves(played(60, "a", 0, 0), played(60, "a", 120, 0));
        let text = "60 pictures, the same without release fences and with them; 120 fences, all \
                    signalled";
        assert_eq!(judge_playback(&right), Outcome::Pass(text.into()));
    }

    #[test]
    fn other_pictures() {
        let off = || played(60, "a", 0, 0);
        let judge = |on| judge_playback(&halves(off(), on));
        fails(judge(played(60, "b", 120, 0)), "not the same");
        fails(judge(played(59, "a", 120, 0)), "59 with them");
        fails(judge(played(60, "a", 0, 0)), "0 fences");
        let mut on = played(60, "a", 120, 0);
        on.fences.signalled = 119;
        fails(judge(on.clone()), "119 were signalled");
        // Nobody has seen whether the last one was.
        on.fences.lost = 1;
        assert!(matches!(judge(on.clone()), Outcome::Pass(_)));
        on.fences.failed = 1;
        fails(judge(on), "1 with an error");
        let none = || played(0, "a", 0, 0);
        fails(judge_playback(&halves(none(), none())), "no pictures");
    }

    #[test]
    fn what_cannot_be_played() {
        let err = || Err(anyhow::anyhow!("not negotiated"));
        let on = Halves {
            off: Ok(played(1, "a", 0, 1)),
            on: err(),
        };
        fails(judge_playback(&on), "with release fences: not negotiated");
        let off = Halves {
            off: err(),
            on: Ok(played(1, "a", 2, 1)),
        };
        fails(judge_calls(&off), "without release fences: not negotiated");
    }

    #[test]
    fn no_more_calls() {
        let judge = |on| judge_calls(&halves(played(60, "a", 0, 720), played(60, "a", 120, on)));
        let text = "a picture takes 12.0 ioctls without release fences, 12.1 with";
        assert_eq!(judge(725), Outcome::Pass(text.into()));
        fails(judge(780), "13.0 with");
        let mut uncounted = played(60, "a", 0, 0);
        uncounted.calls.clear();
        fails(
            judge_calls(&halves(uncounted.clone(), uncounted)),
            "no ioctl",
        );
    }
}
