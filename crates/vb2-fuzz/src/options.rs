// SPDX-License-Identifier: GPL-2.0-only

//! What the program is asked for, by its environment: the arguments are libFuzzer's.

use std::path::PathBuf;

use anyhow::{bail, Context, Result};

/// A mistake that is made on purpose, so that a test sees that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// A dma-buf has a fence that is not signalled, and the oracle is not told of it.
    FenceStays,
    /// A process that goes on after the program has a dma-buf.
    BufferStays,
    /// All drivers have release fences off.
    NoFences,
    /// A descriptor is in no table.
    DescriptorStays,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Options {
    /// VB2_FUZZ_CALLS: after how many calls of programs it is enough.
    pub calls: u64,
    /// VB2_FUZZ_SEED: of every other input, and to be printed.
    pub seed: u64,
    /// VB2_FUZZ_SEEDED=1: of all inputs, so that each run tries the same ones.
    pub seeded: bool,
    /// VB2_FUZZ_SAVE: where each input is written to before it is tried.
    pub save: Option<PathBuf>,
    /// VB2_FUZZ_REPLAY=1: one input, which need not arm a fence.
    pub replay: bool,
    /// VB2_FUZZ_DRY=1: no calls, as many inputs as there would be calls.
    pub dry: bool,
    /// VB2_FUZZ_ERRORS=1: at the end, how often each call gave each errno.
    pub errors: bool,
    /// VB2_FUZZ_MISTAKE: for the test of this program.
    pub mistake: Option<Mistake>,
}

impl Options {
    /// Reads the environment.
    pub fn from_environment() -> Result<Self> {
        Self::parse(|name| std::env::var(format!("VB2_FUZZ_{name}")).ok())
    }

    fn parse(get: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let number = |name: &str, default: u64| match get(name) {
            None => Ok(default),
            Some(text) => text
                .parse()
                .with_context(|| format!("VB2_FUZZ_{name}={text}: not a number")),
        };
        let mistake = match get("MISTAKE").as_deref() {
            None => None,
            Some("fence-stays") => Some(Mistake::FenceStays),
            Some("buffer-stays") => Some(Mistake::BufferStays),
            Some("no-fences") => Some(Mistake::NoFences),
            Some("descriptor-stays") => Some(Mistake::DescriptorStays),
            Some(other) => bail!(
                "VB2_FUZZ_MISTAKE={other}: known are fence-stays, buffer-stays, no-fences and \
                 descriptor-stays"
            ),
        };
        Ok(Self {
            calls: number("CALLS", 50_000)?,
            seed: number("SEED", 1)?,
            seeded: number("SEEDED", 0)? != 0,
            save: get("SAVE").map(PathBuf::from),
            replay: number("REPLAY", 0)? != 0,
            dry: number("DRY", 0)? != 0,
            errors: number("ERRORS", 0)? != 0,
            mistake,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_wrong() {
        let options = Options::parse(|_| None).unwrap();
        assert_eq!(
            (options.calls, options.seed, options.dry),
            (50_000, 1, false)
        );
        let set = |name: &'static str, value: &'static str| {
            Options::parse(move |asked| (asked == name).then(|| value.to_owned()))
        };
        assert_eq!(
            set("MISTAKE", "fence-stays").unwrap().mistake,
            Some(Mistake::FenceStays)
        );
        let err = set("CALLS", "many").unwrap_err();
        assert!(format!("{err:#}").starts_with("VB2_FUZZ_CALLS=many: not a number"));
        let err = set("MISTAKE", "x").unwrap_err();
        assert!(format!("{err:#}").contains("known are"));
    }
}
