// SPDX-License-Identifier: GPL-2.0-only

//! Parameters of modules, which are put back: a driver's switches for release and acquire fences,
//! and the timeout of videobuf2's acquire fences.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};

use crate::hint;
use crate::publishing::Kind;

/// The switch of a kind of fences. Dropped, it puts the value back that it found.
#[derive(Debug)]
pub struct Switch {
    path: PathBuf,
    found: bool,
}

impl Switch {
    /// The switch of a driver, by its V4L2 name; `None` if this kernel's driver has none.
    pub fn of_driver(driver: &str, kind: Kind) -> Result<Option<Self>> {
        let path = Self::path(driver, kind);
        match fs::exists(&path) {
            Ok(true) => Self::at(path).map(Some),
            Ok(false) => Ok(None),
            Err(err) => Err(err).with_context(|| format!("cannot look for {}", path.display())),
        }
    }

    /// Where the switch of a driver lies.
    pub fn path(driver: &str, kind: Kind) -> PathBuf {
        let module = driver.replace('-', "_");
        let parameters = Path::new("/sys/module").join(module).join("parameters");
        parameters.join(kind.parameter())
    }

    fn at(path: PathBuf) -> Result<Self> {
        let found = read(&path)?;
        Ok(Self { path, found })
    }

    /// Whether these fences were on when the switch was made.
    pub fn found(&self) -> bool {
        self.found
    }

    /// Turns them off or on for nodes that are opened from now on.
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

/// The time after which a fence that a buffer waits for is given up. Dropped, it puts the value
/// back that it found.
#[derive(Debug)]
pub struct AcquireTimeout {
    path: PathBuf,
    found: String,
}

impl AcquireTimeout {
    /// That of videobuf2.
    pub fn find() -> Result<Self> {
        Self::at("/sys/module/videobuf2_common/parameters/acquire_fence_timeout_ms".into())
    }

    fn at(path: PathBuf) -> Result<Self> {
        let found = fs::read_to_string(&path);
        let found = found.with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { path, found })
    }

    /// Sets it for buffers that are queued from now on.
    pub fn set_ms(&self, ms: u32) -> Result<()> {
        self.write(&ms.to_string())
    }

    fn write(&self, text: &str) -> Result<()> {
        fs::write(&self.path, text)
            .with_context(|| format!("cannot set {} (are you root?)", self.path.display()))
    }
}

impl Drop for AcquireTimeout {
    fn drop(&mut self) {
        if let Err(err) = self.write(&self.found) {
            hint::warn(&format!("the timeout could not be put back: {err:#}"));
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
        let switch = Switch::of_driver("no-such-driver", Kind::Release);
        assert!(switch.unwrap().is_none());
        for (kind, name) in [
            (Kind::Release, "release_fences"),
            (Kind::Acquire, "acquire_fences"),
        ] {
            let path = Switch::path("rockchip-rga", kind);
            assert!(path.ends_with(format!("rockchip_rga/parameters/{name}")));
        }
    }

    #[test]
    fn the_timeout_is_put_back() {
        let file = Scratch::new("timeout", "3000\n");
        let timeout = AcquireTimeout::at(file.0.clone()).unwrap();
        timeout.set_ms(1000).unwrap();
        assert_eq!(fs::read_to_string(&file.0).unwrap(), "1000");
        drop(timeout);
        assert_eq!(fs::read_to_string(&file.0).unwrap(), "3000\n");
        assert!(AcquireTimeout::at("/nonexistent/x".into()).is_err());
    }
}
