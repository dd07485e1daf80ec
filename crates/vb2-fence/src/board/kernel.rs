// SPDX-License-Identifier: GPL-2.0-only

//! The gates of booting: the kernel with its option, and the two drivers of an RK3566.

use std::fs::{self, File};
use std::io::Read;

use flate2::read::GzDecoder;

use super::gate::Outcome;
use crate::list::Listing;

/// What switches the fences on.
const OPTION: &str = "CONFIG_VIDEOBUF2_RELEASE_FENCES";

/// The drivers, by their V4L2 names, and what builds them.
const DRIVERS: [(&str, &str); 2] = [
    ("hantro-vpu", "CONFIG_VIDEO_HANTRO"),
    ("rockchip-rga", "CONFIG_VIDEO_ROCKCHIP_RGA"),
];

/// What a reader of the report wants to know of the configuration, without "CONFIG_".
const SHOWN: [&str; 20] = [
    "VIDEOBUF2_RELEASE_FENCES",
    "RUST",
    "MODVERSIONS",
    "LOCALVERSION",
    "PREEMPT",
    "PREEMPT_VOLUNTARY",
    "PREEMPT_RT",
    "HZ",
    "PROVE_LOCKING",
    "DEBUG_ATOMIC_SLEEP",
    "KASAN",
    "VIDEO_HANTRO",
    "VIDEO_ROCKCHIP_RGA",
    "DRM_ROCKCHIP",
    "DRM_PANFROST",
    "DMABUF_HEAPS_SYSTEM",
    "SYNC_FILE",
    "SW_SYNC",
    "DRM_VGEM",
    "ROCKCHIP_IOMMU",
];

/// The configuration of the running kernel, and where it was found.
pub fn config(release: &str) -> Option<(String, String)> {
    let places = [
        "/proc/config.gz".to_owned(),
        format!("/boot/config-{release}"),
    ];
    places.into_iter().find_map(|place| {
        let mut file = File::open(&place).ok()?;
        let mut text = String::new();
        if place.ends_with(".gz") {
            GzDecoder::new(file).read_to_string(&mut text).ok()?;
        } else {
            file.read_to_string(&mut text).ok()?;
        }
        Some((place, text))
    })
}

/// The value of a symbol; "n" if it is not set.
fn value<'a>(config: &'a str, symbol: &str) -> &'a str {
    let set = config.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name == symbol).then_some(value)
    });
    set.unwrap_or("n")
}

/// The lines of the configuration that are shown.
pub fn shown(config: &str) -> String {
    let lines = SHOWN.map(|name| {
        let symbol = format!("CONFIG_{name}");
        format!("{symbol}={}\n", value(config, &symbol))
    });
    lines.concat()
}

/// Whether the kernel has the fences; `config` as [`config`] found it.
pub fn judge(release: &str, has_fences: bool, config: Option<&(String, String)>) -> Outcome {
    let option = config.map(|(place, text)| (place, value(text, OPTION)));
    match (has_fences, option) {
        (true, Some((place, value))) => {
            Outcome::Pass(format!("Linux {release}, {OPTION}={value} ({place})"))
        }
        (true, None) => Outcome::Pass(format!("Linux {release} with release fences")),
        (false, Some((_, "y"))) => Outcome::Fail(format!(
            "Linux {release} has {OPTION}=y, but videobuf2 is not loaded: modprobe hantro-vpu"
        )),
        (false, Some((place, value))) => Outcome::Fail(format!(
            "Linux {release} has {OPTION}={value} ({place}): boot the one of `make deb`"
        )),
        (false, None) => Outcome::Fail(format!(
            "Linux {release} has no release fences: it lacks {OPTION}=y, or videobuf2 is not loaded"
        )),
    }
}

/// Whether both drivers have nodes.
pub fn judge_drivers(listing: &Listing) -> Outcome {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for (driver, option) in DRIVERS {
        let nodes = listing.nodes_of(driver);
        if nodes.is_empty() {
            missing.push(format!("no node of {driver} ({option})"));
        } else {
            found.push(format!("{driver} is {}", nodes.join(", ")));
        }
    }
    if missing.is_empty() {
        return Outcome::Pass(found.join("; "));
    }
    Outcome::Fail(format!(
        "{}: load it (modprobe), or the devicetree of this board does not have it",
        missing.join(", ")
    ))
}

/// The board's name, and that of its system.
pub fn names() -> (String, String) {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let first = |texts: [String; 2]| {
        let trimmed = texts.map(|text| text.trim_end_matches(['\0', '\n']).to_owned());
        let known = trimmed.into_iter().find(|text| !text.is_empty());
        known.unwrap_or_else(|| "unknown".into())
    };
    let board = first([
        read("/proc/device-tree/model"),
        read("/sys/class/dmi/id/product_name"),
    ]);
    let release = read("/etc/os-release");
    let system = release.lines().find_map(|line| {
        let name = line.strip_prefix("PRETTY_NAME=")?;
        Some(name.trim_matches('"').to_owned())
    });
    (board, system.unwrap_or_else(|| "unknown".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "CONFIG_RUST=y\nCONFIG_VIDEOBUF2_RELEASE_FENCES=y\n\
                          # CONFIG_KASAN is not set\nCONFIG_LOCALVERSION=\"-a=b\"\n";

    fn found(text: &str) -> (String, String) {
        ("/proc/config.gz".into(), text.into())
    }

    #[test]
    fn symbols() {
        assert_eq!(value(CONFIG, OPTION), "y");
        assert_eq!(value(CONFIG, "CONFIG_KASAN"), "n");
        assert_eq!(value(CONFIG, "CONFIG_VIDEO"), "n");
        let text = shown(CONFIG);
        assert_eq!(text.lines().count(), SHOWN.len());
        assert!(
            text.contains("CONFIG_LOCALVERSION=\"-a=b\"\nCONFIG_PREEMPT=n\n"),
            "{text}"
        );
    }

    #[test]
    fn with_fences() {
        let pass = judge("6.12.117", true, Some(&found(CONFIG)));
        let text = "Linux 6.12.117, CONFIG_VIDEOBUF2_RELEASE_FENCES=y (/proc/config.gz)";
        assert_eq!(pass, Outcome::Pass(text.into()));
        assert!(matches!(judge("6.12.117", true, None), Outcome::Pass(_)));
    }

    #[test]
    fn without_fences() {
        let why = |config: Option<&str>| {
            let found = config.map(found);
            match judge("6.12.117", false, found.as_ref()) {
                Outcome::Fail(why) => why,
                other => panic!("{other:?}"),
            }
        };
        assert!(why(Some(CONFIG)).contains("modprobe hantro-vpu"));
        assert!(why(Some("CONFIG_RUST=y\n")).contains("RELEASE_FENCES=n"));
        assert!(why(None).contains("or videobuf2 is not loaded"));
    }

    #[test]
    fn drivers() {
        let outcome = |drivers: &[(&str, &str)]| judge_drivers(&Listing::of_drivers(drivers));
        let both = [
            ("/dev/video0", "rockchip-rga"),
            ("/dev/video1", "hantro-vpu"),
            ("/dev/video2", "hantro-vpu"),
        ];
        let text = "hantro-vpu is /dev/video1, /dev/video2; rockchip-rga is /dev/video0";
        assert_eq!(outcome(&both), Outcome::Pass(text.into()));
        let Outcome::Fail(why) = outcome(&both[1..]) else {
            panic!("a driver is missing");
        };
        assert!(
            why.starts_with("no node of rockchip-rga (CONFIG_VIDEO_ROCKCHIP_RGA): "),
            "{why}"
        );
        assert!(outcome(&[]) != outcome(&both[1..]));
    }
}
