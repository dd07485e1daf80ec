// SPDX-License-Identifier: GPL-2.0-only

//! `vb2-fence list`: every video node, and which fences it has.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::json::{self, Head};
use uapi::device::{video_nodes, Node};
use uapi::publishing::{decide, Kind, Module, Support, Sysfs};
use uapi::queue_fences::{FencesOf, QueueFences};
use uapi::queues::Queues;

/// What `--help` and the man page say of the command.
pub const LONG: &str = "\
List the video nodes, their drivers and queues, whether they publish release fences and wait for
acquire fences, and the queues whose QBUF takes an in-fence, or gives an out-fence.

VIDIOC_CREATE_BUFS, of no buffers, and sysfs are all that is asked: no job is run. A kernel without the
option, a driver that has not opted in, and one whose parameter is off are told apart.";

/// Arguments of `vb2-fence list`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  vb2-fence list
  vb2-fence list --json | jq -r '.nodes[] | select(.publishing == \"on\") | .path'

Exit status: 0, or 2 if the nodes could not be listed.")]
pub struct ListArgs {
    /// Write JSON.
    #[arg(long)]
    pub json: bool,
}

/// What the command shows; its JSON has the same fields.
#[derive(Debug, Serialize)]
pub struct Listing {
    #[serde(flatten)]
    head: Head,
    kernel_has_release_fences: bool,
    release_fence_timeout_ms: Option<u64>,
    acquire_fence_timeout_ms: Option<u64>,
    nodes: Vec<Row>,
}

/// One node.
#[derive(Debug, Serialize)]
pub struct Row {
    path: PathBuf,
    driver: Option<String>,
    card: Option<String>,
    queues: Option<Queues>,
    module: Option<Module>,
    publishing: Support,
    acquiring: Support,
    /// Of each queue that could be asked.
    fences: Vec<FencesOf>,
    /// Why it could not be asked.
    error: Option<String>,
}

impl Listing {
    /// Asks all nodes.
    pub fn look() -> Result<Self> {
        let sysfs = Sysfs::default();
        let nodes = video_nodes()?;
        Ok(Self {
            head: Head::new(),
            kernel_has_release_fences: sysfs.kernel_has_fences(),
            release_fence_timeout_ms: sysfs.timeout_ms(),
            acquire_fence_timeout_ms: sysfs.acquire_timeout_ms(),
            nodes: nodes.iter().map(|path| row(&sysfs, path)).collect(),
        })
    }

    /// Whether the kernel has the option.
    pub fn kernel_has_fences(&self) -> bool {
        self.kernel_has_release_fences
    }

    /// The nodes of a driver.
    pub fn nodes_of(&self, driver: &str) -> Vec<String> {
        let nodes = self.nodes.iter();
        let nodes = nodes.filter(|row| row.driver.as_deref() == Some(driver));
        nodes.map(|row| row.path.display().to_string()).collect()
    }

    /// The nodes with pictures for consumers whose drivers can publish, with the drivers.
    pub fn publishers(&self) -> Vec<(&Path, &str)> {
        let nodes = self.nodes.iter().filter(|row| {
            let can = [Support::On, Support::Off, Support::Unknown].contains(&row.publishing);
            can && row.queues.is_some_and(|queues| queues.capture)
        });
        nodes
            .filter_map(|row| Some((row.path.as_path(), row.driver.as_deref()?)))
            .collect()
    }
}

/// Runs the command.
pub fn run(args: &ListArgs) -> Result<bool> {
    let listing = Listing::look()?;
    if args.json {
        json::print(&listing)?;
    } else {
        json::print_text(&render(&listing))?;
    }
    Ok(true)
}

/// Whether a node publishes release fences, and waits for acquire fences; used by `probe`, to say
/// why nothing was seen.
pub fn fences_of(sysfs: &Sysfs, node: &Node) -> (Support, Support) {
    let module = sysfs.module(&node.path, &node.driver);
    let of = |kind| support(sysfs, node, &module, kind);
    (of(Kind::Release), of(Kind::Acquire))
}

fn support(sysfs: &Sysfs, node: &Node, module: &Module, kind: Kind) -> Support {
    let has_queue = node.queues.with_buffers().next().is_some();
    let of_queues = node.fences.iter().map(|of| match kind {
        Kind::Release => of.fences.release,
        Kind::Acquire => of.fences.acquire,
    });
    let says = of_queues.reduce(|one, other| one || other);
    decide(sysfs.kernel_has_fences(), has_queue, module, kind, says)
}

fn row(sysfs: &Sysfs, path: &Path) -> Row {
    match Node::at(path) {
        Ok(node) => {
            let module = sysfs.module(&node.path, &node.driver);
            Row {
                publishing: support(sysfs, &node, &module, Kind::Release),
                acquiring: support(sysfs, &node, &module, Kind::Acquire),
                fences: node.fences,
                path: node.path,
                driver: Some(node.driver),
                card: Some(node.card),
                queues: Some(node.queues),
                module: Some(module),
                error: None,
            }
        }
        Err(err) => Row {
            path: path.to_owned(),
            driver: None,
            card: sysfs.card(path),
            queues: None,
            module: None,
            publishing: Support::Unknown,
            acquiring: Support::Unknown,
            fences: Vec::new(),
            error: Some(format!("{err:#}")),
        },
    }
}

/// The listing as text.
pub fn render(listing: &Listing) -> String {
    let mut fences = match listing.release_fence_timeout_ms {
        Some(ms) => format!("with release fences, timeout {ms} ms"),
        None => "without release fences (or videobuf2 is not loaded)".to_owned(),
    };
    if let Some(ms) = listing.acquire_fence_timeout_ms {
        fences += &format!(", and acquire fences, timeout {ms} ms");
    }
    let mut out = format!("Linux {} {fences}\n", listing.head.kernel);
    if listing.nodes.is_empty() {
        return out + "no video nodes: load a driver (modprobe vim2m)\n";
    }
    let header = [
        "node",
        "driver",
        "card",
        "queues",
        "release fences",
        "acquire fences",
        "in-fences",
        "out-fences",
    ];
    let mut rows = vec![header.map(String::from)];
    rows.extend(listing.nodes.iter().map(cells));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..7).map(|column| width(column).unwrap_or(0)).collect();
    for row in &rows {
        for (cell, width) in row.iter().zip(&widths) {
            out += &format!("{cell:width$}  ");
        }
        out += &row[7];
        out += "\n";
    }
    out
}

fn cells(row: &Row) -> [String; 8] {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".into());
    [
        row.path.display().to_string(),
        or_none(&row.driver),
        or_none(&row.card),
        row.queues
            .map_or_else(|| "?".into(), |queues| queues.describe()),
        match &row.error {
            Some(error) => error.clone(),
            None => row.publishing.describe().into(),
        },
        row.acquiring.describe().into(),
        queues_with(&row.fences, |fences| fences.in_fences),
        queues_with(&row.fences, |fences| fences.out_fences),
    ]
}

/// The queues that have it.
fn queues_with(fences: &[FencesOf], has: fn(&QueueFences) -> bool) -> String {
    let those = fences.iter().filter(|of| has(&of.fences));
    let names: Vec<&str> = those.map(|of| of.queue.describe()).collect();
    match (fences, names.as_slice()) {
        ([], _) => "?".into(),
        (_, []) => "no".into(),
        (_, names) => names.join("+"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uapi::device::Queue;

    fn listing(nodes: Vec<Row>) -> Listing {
        Listing {
            head: Head::new(),
            kernel_has_release_fences: true,
            release_fence_timeout_ms: Some(3_000),
            acquire_fence_timeout_ms: Some(2_000),
            nodes,
        }
    }

    fn row(path: &str, publishing: Support, acquiring: Support) -> Row {
        Row {
            path: path.into(),
            driver: Some("vim2m".into()),
            card: Some("a card".into()),
            queues: None,
            module: None,
            publishing,
            acquiring,
            fences: Vec::new(),
            error: None,
        }
    }

    impl Listing {
        /// Of nodes and their drivers, for the tests of others.
        pub fn of_drivers(drivers: &[(&str, &str)]) -> Self {
            let rows = drivers.iter().map(|&(path, driver)| Row {
                driver: Some(driver.into()),
                ..row(path, Support::On, Support::On)
            });
            listing(rows.collect())
        }
    }

    #[test]
    fn publishers_have_pictures() {
        let queues = Queues::decode(v4l2r::ioctl::Capabilities::VIDEO_M2M);
        let with = |path, publishing, queues| Row {
            queues,
            ..row(path, publishing, Support::On)
        };
        let listing = listing(vec![
            with("/dev/video0", Support::On, Some(queues)),
            with("/dev/video1", Support::NotOptedIn, Some(queues)),
            with("/dev/video2", Support::Off, Some(queues)),
            with("/dev/video3", Support::On, None),
        ]);
        let paths: Vec<&Path> = listing.publishers().iter().map(|(path, _)| *path).collect();
        assert_eq!(paths, [Path::new("/dev/video0"), Path::new("/dev/video2")]);
        assert_eq!(listing.nodes_of("vim2m").len(), 4);
        assert!(listing.nodes_of("visl").is_empty());
    }

    #[test]
    fn columns_line_up() {
        let nodes = vec![
            row("/dev/video0", Support::On, Support::Off),
            row("/dev/video10", Support::Unknown, Support::Unknown),
        ];
        let text = render(&listing(nodes));
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].ends_with("and acquire fences, timeout 2000 ms"),
            "{text}"
        );
        let at = lines[1].find("driver");
        assert_eq!(lines[2].find("vim2m"), at);
        assert_eq!(lines[3].find("vim2m"), at);
        assert!(
            lines[3].contains("  unknown: probe it  unknown: probe it  "),
            "{text}"
        );
        let at = lines[1].find("acquire fences");
        assert_eq!(lines[2].find("off: the"), at);
    }

    #[test]
    fn queues_are_named() {
        let of = |queue, in_fences, out_fences| FencesOf {
            queue,
            fences: QueueFences {
                in_fences,
                out_fences,
                ..QueueFences::default()
            },
        };
        let (output, capture) = (Queue::Output, Queue::Capture);
        let m2m = [of(output, true, false), of(capture, true, false)];
        let camera = [of(capture, true, true)];
        let taking = |fences: &[FencesOf]| queues_with(fences, |fences| fences.in_fences);
        let giving = |fences: &[FencesOf]| queues_with(fences, |fences| fences.out_fences);
        assert_eq!((&*taking(&m2m), &*giving(&m2m)), ("OUTPUT+CAPTURE", "no"));
        assert_eq!(
            (&*taking(&camera), &*giving(&camera)),
            ("CAPTURE", "CAPTURE")
        );
        assert_eq!(taking(&[]), "?");
        let json = serde_json::to_value(camera).unwrap();
        assert_eq!(json[0]["queue"], "capture");
        assert_eq!(json[0]["out_fences"], true);
    }

    #[test]
    fn nothing_to_list() {
        assert!(render(&listing(Vec::new())).contains("no video nodes"));
    }
}
