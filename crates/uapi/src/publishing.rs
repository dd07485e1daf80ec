// SPDX-License-Identifier: GPL-2.0-only

//! Whether kernel and driver publish release fences, as far as sysfs tells.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::feature;

/// What sysfs tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Publishing {
    /// The kernel does not have the option.
    NoKernel,
    /// The node has no queue of buffers, so there is nothing to publish a fence for.
    NoQueue,
    /// The driver has not opted in: it has no parameter for it.
    NotOptedIn,
    /// The driver can, but its parameter is off.
    Off,
    /// The driver does, for files opened from now on.
    On,
    /// sysfs does not tell: only a job shows it.
    Unknown,
}

impl Publishing {
    /// For people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::NoKernel => "no: this kernel lacks CONFIG_VIDEOBUF2_RELEASE_FENCES",
            Self::NoQueue => "no: it has no queue of buffers",
            Self::NotOptedIn => "no: the driver has not opted in",
            Self::Off => "off: the driver's parameter",
            Self::On => "on",
            Self::Unknown => "unknown: probe it",
        }
    }
}

/// What is known of a driver's module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Module {
    /// Its name; `None` if sysfs does not say which module the driver belongs to.
    pub name: Option<String>,
    /// It does not come with the kernel, so it may do what no driver there does.
    pub out_of_tree: bool,
    /// Where its switch for release fences is.
    pub parameter: Option<PathBuf>,
    /// The value of that.
    pub value: Option<bool>,
}

/// A kernel's sysfs: the real one, or one made for a test.
#[derive(Clone, Debug)]
pub struct Sysfs(PathBuf);

impl Default for Sysfs {
    fn default() -> Self {
        Self("/sys".into())
    }
}

impl Sysfs {
    /// The timeout of release fences in ms, which only a kernel with them has.
    pub fn timeout_ms(&self) -> Option<u64> {
        let path = "module/videobuf2_common/parameters/release_fence_timeout_ms";
        let text = fs::read_to_string(self.0.join(path)).ok()?;
        text.trim().parse().ok()
    }

    /// Whether this kernel has the option.
    pub fn kernel_has_fences(&self) -> bool {
        self.timeout_ms().is_some()
    }

    /// The name that the driver gave to a node, which sysfs tells to everyone.
    pub fn card(&self, node: &Path) -> Option<String> {
        let path = self.class(node)?.join("name");
        Some(fs::read_to_string(path).ok()?.trim().to_owned())
    }

    /// The module of the driver behind a node; `driver` is its V4L2 name.
    pub fn module(&self, node: &Path, driver: &str) -> Module {
        let linked = self.class(node).and_then(|class| {
            let link = fs::read_link(class.join("device/driver/module")).ok()?;
            Some(link.file_name()?.to_str()?.to_owned())
        });
        // A driver that is built in may have no such link, but still the directory of parameters.
        let named = driver.replace('-', "_");
        let name = linked.or_else(|| self.0.join("module").join(&named).is_dir().then_some(named));
        let Some(name) = name else {
            return Module::default();
        };
        let dir = self.0.join("module").join(&name);
        let taint = fs::read_to_string(dir.join("taint")).unwrap_or_default();
        let parameter = find_parameter(&dir.join("parameters"));
        let value = parameter
            .as_deref()
            .and_then(|path| feature::read(path).ok());
        Module {
            name: Some(name),
            out_of_tree: taint.contains('O'),
            parameter,
            value,
        }
    }

    fn class(&self, node: &Path) -> Option<PathBuf> {
        let real = fs::canonicalize(node).unwrap_or_else(|_| node.to_owned());
        Some(self.0.join("class/video4linux").join(real.file_name()?))
    }
}

/// The parameter "release_fences", or one with a prefix, as visl's.
fn find_parameter(dir: &Path) -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name == "release_fences" || name.ends_with("_release_fences"))
        })
        .collect();
    found.sort();
    found.into_iter().next()
}

/// What follows from it.
pub fn decide(kernel: bool, has_queue: bool, module: &Module) -> Publishing {
    if !kernel {
        return Publishing::NoKernel;
    }
    if !has_queue {
        return Publishing::NoQueue;
    }
    match (&module.parameter, module.value) {
        (Some(_), Some(true)) => Publishing::On,
        (Some(_), Some(false)) => Publishing::Off,
        (Some(_), None) => Publishing::Unknown,
        // Every driver of the kernel that opts in has the parameter; others may do without.
        (None, _) if module.name.is_some() && !module.out_of_tree => Publishing::NotOptedIn,
        (None, _) => Publishing::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn module(value: Option<bool>) -> Module {
        Module {
            name: Some("vim2m".into()),
            out_of_tree: false,
            parameter: Some("release_fences".into()),
            value,
        }
    }

    #[test]
    fn tells_the_reasons_apart() {
        assert_eq!(decide(true, true, &module(Some(true))), Publishing::On);
        assert_eq!(decide(true, true, &module(Some(false))), Publishing::Off);
        assert_eq!(decide(true, true, &module(None)), Publishing::Unknown);
        assert_eq!(
            decide(false, true, &module(Some(true))),
            Publishing::NoKernel
        );
        assert_eq!(
            decide(true, false, &module(Some(true))),
            Publishing::NoQueue
        );
    }

    #[test]
    fn without_a_parameter() {
        let mut module = module(None);
        module.parameter = None;
        assert_eq!(decide(true, true, &module), Publishing::NotOptedIn);
        module.out_of_tree = true;
        assert_eq!(decide(true, true, &module), Publishing::Unknown);
        assert_eq!(decide(true, true, &Module::default()), Publishing::Unknown);
    }

    #[test]
    fn reads_sysfs() {
        let root = std::env::temp_dir().join(format!("vb2-fence-sysfs-{}", std::process::id()));
        let class = root.join("class/video4linux/video7");
        let visl = root.join("module/visl");
        fs::create_dir_all(class.join("device/driver")).unwrap();
        fs::create_dir_all(visl.join("parameters")).unwrap();
        symlink(&visl, class.join("device/driver/module")).unwrap();
        fs::write(class.join("name"), "visl\n").unwrap();
        fs::write(visl.join("taint"), "\n").unwrap();
        fs::write(visl.join("parameters/visl_debug"), "0\n").unwrap();
        let sysfs = Sysfs(root.clone());
        let node = Path::new("/dev/video7");

        assert_eq!(sysfs.card(node).unwrap(), "visl");
        assert_eq!(sysfs.module(node, "x").parameter, None);
        fs::write(visl.join("parameters/visl_release_fences"), "Y\n").unwrap();
        fs::write(visl.join("taint"), "OE\n").unwrap();
        let found = sysfs.module(node, "x");
        assert_eq!(found.name.as_deref(), Some("visl"));
        assert_eq!((found.value, found.out_of_tree), (Some(true), true));
        assert!(!sysfs.kernel_has_fences());
        let common = root.join("module/videobuf2_common/parameters");
        fs::create_dir_all(&common).unwrap();
        fs::write(common.join("release_fence_timeout_ms"), "3000\n").unwrap();
        assert_eq!(sysfs.timeout_ms(), Some(3_000));
        fs::remove_dir_all(root).unwrap();
    }
}
