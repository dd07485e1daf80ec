// SPDX-License-Identifier: GPL-2.0-only

//! A driver's switch for release fences: its module parameter `release_fences`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};

use crate::hint;

/// The switch. Dropped, it puts the value back that it found.
#[derive(Debug)]
pub struct Switch {
    path: PathBuf,
    found: bool,
}

impl Switch {
    /// The switch of a driver, by its V4L2 name; `None` if this kernel's driver has none.
    pub fn of_driver(driver: &str) -> Result<Option<Self>> {
        let path = Self::path(driver);
        match fs::exists(&path) {
            Ok(true) => Self::at(path).map(Some),
            Ok(false) => Ok(None),
            Err(err) => Err(err).with_context(|| format!("cannot look for {}", path.display())),
        }
    }

    /// Where the switch of a driver lies.
    pub fn path(driver: &str) -> PathBuf {
        let module = driver.replace('-', "_");
        Path::new("/sys/module")
            .join(module)
            .join("parameters/release_fences")
    }

    fn at(path: PathBuf) -> Result<Self> {
        let found = read(&path)?;
        Ok(Self { path, found })
    }

    /// Whether release fences were on when the switch was made.
    pub fn found(&self) -> bool {
        self.found
    }

    /// Turns release fences off or on for nodes that are opened from now on.
    pub fn set(&self, on: bool) -> Result<()> {
        fs::write(&self.path, if on { "1" } else { "0" })
            .with_context(|| format!("cannot set {} (are you root?)", self.path.display()))?;
        let now = read(&self.path)?;
        ensure!(
            now == on,
            "{} did not take the value {}",
            self.path.display(),
            u8::from(on)
        );
        Ok(())
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        // What may not be set was not changed either.
        if read(&self.path).is_ok_and(|now| now == self.found) {
            return;
        }
        if let Err(err) = self.set(self.found) {
            hint::warn(&format!("the switch could not be put back: {err:#}"));
        }
    }
}

/// Reads a parameter of the kernel's kinds int and bool.
pub fn read(path: &Path) -> Result<bool> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    match text.trim() {
        "0" | "N" => Ok(false),
        "1" | "Y" => Ok(true),
        other => anyhow::bail!("{}: {other:?} is neither 0 nor 1", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str, content: &str) -> Self {
            let name = format!("vb2-fence-test-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::write(&path, content).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    #[test]
    fn puts_back_what_it_found() {
        for found in ["Y\n", "1\n"] {
            let file = Scratch::new("back", found);
            let switch = Switch::at(file.0.clone()).unwrap();
            switch.set(false).unwrap();
            assert!(!read(&file.0).unwrap());
            drop(switch);
            assert!(read(&file.0).unwrap());
        }
    }

    #[test]
    fn leaves_alone_what_it_did_not_change() {
        let file = Scratch::new("alone", "Y\n");
        let switch = Switch::at(file.0.clone()).unwrap();
        drop(switch);
        assert_eq!(fs::read_to_string(&file.0).unwrap(), "Y\n");
    }

    #[test]
    fn refuses_other_values() {
        let file = Scratch::new("other", "auto\n");
        assert!(Switch::at(file.0.clone()).is_err());
    }

    #[test]
    fn no_driver_no_switch() {
        assert!(Switch::of_driver("no-such-driver").unwrap().is_none());
        assert!(Switch::path("rockchip-rga").ends_with("rockchip_rga/parameters/release_fences"));
    }
}
