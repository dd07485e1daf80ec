// SPDX-License-Identifier: GPL-2.0-only

//! Whether kernel and driver have release and acquire fences, as far as sysfs and the queues tell.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::feature;

/// One of the two kinds of fences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The device publishes them.
    Release,
    /// It waits for them.
    Acquire,
}

impl Kind {
    /// The name of the drivers' parameter.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Release => "release_fences",
            Self::Acquire => "acquire_fences",
        }
    }

    /// For people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Release => "release fences",
            Self::Acquire => "acquire fences",
        }
    }
}

/// What is known of one kind of fences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Support {
    /// The kernel does not have the option.
    NoKernel,
    /// The node has no queue of buffers, so there is nothing to have a fence for.
    NoQueue,
    /// The driver has not opted in: it has no parameter for it.
    NotOptedIn,
    /// The driver can, but its parameter is, or was, off.
    Off,
    /// The driver does, for files opened from now on.
    On,
    /// Neither the queue nor sysfs tells: only a job shows it.
    Unknown,
}

impl Support {
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
    /// The same for acquire fences.
    pub acquire_parameter: Option<PathBuf>,
    /// The value of that.
    pub acquire_value: Option<bool>,
}

impl Module {
    fn switch(&self, kind: Kind) -> (&Option<PathBuf>, Option<bool>) {
        match kind {
            Kind::Release => (&self.parameter, self.value),
            Kind::Acquire => (&self.acquire_parameter, self.acquire_value),
        }
    }
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
        self.parameter_of_vb2("release_fence_timeout_ms")
    }

    /// That of acquire fences.
    pub fn acquire_timeout_ms(&self) -> Option<u64> {
        self.parameter_of_vb2("acquire_fence_timeout_ms")
    }

    fn parameter_of_vb2(&self, name: &str) -> Option<u64> {
        let path = Path::new("module/videobuf2_common/parameters").join(name);
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
        let find = |kind: Kind| find_parameter(&dir.join("parameters"), kind.parameter());
        let (parameter, acquire_parameter) = (find(Kind::Release), find(Kind::Acquire));
        Module {
            name: Some(name),
            out_of_tree: taint.contains('O'),
            value: value_of(&parameter),
            parameter,
            acquire_value: value_of(&acquire_parameter),
            acquire_parameter,
        }
    }

    fn class(&self, node: &Path) -> Option<PathBuf> {
        let real = fs::canonicalize(node).unwrap_or_else(|_| node.to_owned());
        Some(self.0.join("class/video4linux").join(real.file_name()?))
    }
}

/// The parameter of this name, or one with a prefix, as visl's.
fn find_parameter(dir: &Path, wanted: &str) -> Option<PathBuf> {
    let prefixed = format!("_{wanted}");
    let mut found: Vec<PathBuf> = fs::read_dir(dir)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name == wanted || name.ends_with(&prefixed))
        })
        .collect();
    found.sort();
    found.into_iter().next()
}

fn value_of(parameter: &Option<PathBuf>) -> Option<bool> {
    feature::read(parameter.as_deref()?).ok()
}

/// What follows from it; `says` is what a queue says of itself, if it can be asked.
pub fn decide(
    kernel: bool,
    has_queue: bool,
    module: &Module,
    kind: Kind,
    says: Option<bool>,
) -> Support {
    if !kernel {
        return Support::NoKernel;
    }
    if !has_queue {
        return Support::NoQueue;
    }
    match (says, module.switch(kind)) {
        (Some(true), _) | (None, (Some(_), Some(true))) => Support::On,
        (Some(false), (Some(_), _)) | (None, (Some(_), Some(false))) => Support::Off,
        (Some(false), (None, _)) => Support::NotOptedIn,
        (None, (Some(_), None)) => Support::Unknown,
        // Every driver of the kernel that opts in has the parameter; others may do without.
        (None, (None, _)) if module.name.is_some() && !module.out_of_tree => Support::NotOptedIn,
        (None, (None, _)) => Support::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn module(value: Option<bool>) -> Module {
        Module {
            name: Some("vim2m".into()),
            parameter: Some("release_fences".into()),
            value,
            ..Default::default()
        }
    }

    fn release(kernel: bool, has_queue: bool, module: &Module, says: Option<bool>) -> Support {
        decide(kernel, has_queue, module, Kind::Release, says)
    }

    #[test]
    fn tells_the_reasons_apart() {
        let on = module(Some(true));
        assert_eq!(release(true, true, &on, None), Support::On);
        let off = module(Some(false));
        assert_eq!(release(true, true, &off, None), Support::Off);
        assert_eq!(release(true, true, &module(None), None), Support::Unknown);
        assert_eq!(release(false, true, &on, None), Support::NoKernel);
        assert_eq!(release(true, false, &on, None), Support::NoQueue);
    }

    #[test]
    fn without_a_parameter() {
        let mut module = module(None);
        module.parameter = None;
        assert_eq!(release(true, true, &module, None), Support::NotOptedIn);
        module.out_of_tree = true;
        assert_eq!(release(true, true, &module, None), Support::Unknown);
        let module = Module::default();
        assert_eq!(release(true, true, &module, None), Support::Unknown);
    }

    #[test]
    fn the_queue_knows_better() {
        // vivid looks at its parameters when it is bound.
        let (on, off) = (module(Some(true)), module(Some(false)));
        assert_eq!(release(true, true, &on, Some(false)), Support::Off);
        assert_eq!(release(true, true, &off, Some(true)), Support::On);
        let foreign = Module::default();
        assert_eq!(release(true, true, &foreign, Some(true)), Support::On);
        assert_eq!(
            release(true, true, &foreign, Some(false)),
            Support::NotOptedIn
        );
        // The other kind has a parameter of its own.
        let acquire = |says| decide(true, true, &on, Kind::Acquire, says);
        assert_eq!(acquire(Some(false)), Support::NotOptedIn);
        assert_eq!(acquire(Some(true)), Support::On);
        assert_eq!(acquire(None), Support::NotOptedIn);
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
        fs::write(visl.join("parameters/visl_acquire_fences"), "N\n").unwrap();
        fs::write(visl.join("taint"), "OE\n").unwrap();
        let found = sysfs.module(node, "x");
        assert_eq!(found.name.as_deref(), Some("visl"));
        assert_eq!((found.value, found.out_of_tree), (Some(true), true));
        assert_eq!(found.acquire_value, Some(false));
        assert!(!sysfs.kernel_has_fences());
        let common = root.join("module/videobuf2_common/parameters");
        fs::create_dir_all(&common).unwrap();
        fs::write(common.join("release_fence_timeout_ms"), "3000\n").unwrap();
        fs::write(common.join("acquire_fence_timeout_ms"), "2000\n").unwrap();
        assert_eq!(sysfs.timeout_ms(), Some(3_000));
        assert_eq!(sysfs.acquire_timeout_ms(), Some(2_000));
        fs::remove_dir_all(root).unwrap();
    }
}
