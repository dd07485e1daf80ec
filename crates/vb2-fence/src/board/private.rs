// SPDX-License-Identifier: GPL-2.0-only

//! Takes out of a text what tells who and where the board is: names of hosts and users, serial
//! numbers, addresses.

use std::fs;
use std::net::IpAddr;

/// What is in their place.
pub const LEFT_OUT: &str = "[left out]";

/// Files that have nothing but such a word.
const FILES: [&str; 5] = [
    "/etc/machine-id",
    "/proc/device-tree/serial-number",
    "/sys/class/dmi/id/product_serial",
    "/sys/class/dmi/id/product_uuid",
    "/sys/class/dmi/id/board_serial",
];

/// The numbers of people's accounts; below them are those of the system.
const PEOPLE: std::ops::Range<u32> = 1_000..60_000;

/// The words that must not be in the text.
#[derive(Clone, Debug, Default)]
pub struct Private(Vec<String>);

impl Private {
    /// Those of this machine.
    pub fn of_this_machine() -> Self {
        let name = rustix::system::uname();
        let mut words = vec![name.nodename().to_string_lossy().into_owned()];
        let users = ["USER", "LOGNAME", "SUDO_USER"].map(std::env::var);
        words.extend(users.into_iter().flatten());
        words.extend(people(
            &fs::read_to_string("/etc/passwd").unwrap_or_default(),
        ));
        words.extend(FILES.iter().filter_map(|file| {
            let text = fs::read_to_string(file).ok()?;
            Some(text.trim_end_matches(['\0', '\n']).to_owned())
        }));
        Self::of(words)
    }

    fn of(mut words: Vec<String>) -> Self {
        // Root is on every machine, and the longest word goes first, since it may hold another one.
        words.retain(|word| !["", "root", "localhost"].contains(&word.trim()));
        words.sort_by_key(|word| std::cmp::Reverse(word.len()));
        words.dedup();
        Self(words)
    }

    /// The text without them, and without addresses.
    pub fn strip(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for word in &self.0 {
            text = without_word(&text, word);
        }
        without_addresses(&text)
    }
}

/// The names of people in /etc/passwd.
fn people(passwd: &str) -> Vec<String> {
    let names = passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        PEOPLE.contains(&number).then(|| name.to_owned())
    });
    names.collect()
}

/// Only where it is not a part of a longer word.
fn without_word(text: &str, word: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let (before, from) = rest.split_at(at);
        let after = &from[word.len()..];
        let in_word = |c: char| c.is_alphanumeric() || c == '_';
        let inside = before.ends_with(in_word)
            || (before.is_empty() && out.ends_with(in_word))
            || after.starts_with(in_word);
        out += before;
        out += if inside { word } else { LEFT_OUT };
        rest = after;
    }
    out + rest
}

/// Addresses of the network (IP) and of its cards (MAC).
fn without_addresses(text: &str) -> String {
    let part = |c: char| c.is_ascii_alphanumeric() || ".:-".contains(c);
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(part) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c| !part(c)).unwrap_or(from.len());
        let (token, after) = from.split_at(end);
        let address = token.trim_matches(['.', ':', '-']);
        out += before;
        out += &if is_address(address) {
            token.replace(address, LEFT_OUT)
        } else {
            token.to_owned()
        };
        rest = after;
    }
    out + rest
}

fn is_address(text: &str) -> bool {
    let host = text.rsplit_once(':').map_or(text, |(host, _port)| host);
    is_mac(text) || text.parse::<IpAddr>().is_ok() || host.parse::<IpAddr>().is_ok()
}

fn is_mac(text: &str) -> bool {
    [':', '-'].into_iter().any(|separator| {
        let parts: Vec<&str> = text.split(separator).collect();
        let hex = |part: &&str| part.len() == 2 && part.chars().all(|c| c.is_ascii_hexdigit());
        parts.len() == 6 && parts.iter().all(hex)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn private() -> Private {
        let words = ["ann", "tablet", "ann-lee", "root", "", "0123abcd"];
        Private::of(words.map(String::from).to_vec())
    }

    #[test]
    fn words() {
        let strip = |text: &str| private().strip(text);
        assert_eq!(strip("/home/ann/x"), "/home/[left out]/x");
        assert_eq!(
            strip("tablet: by ann-lee, root"),
            "[left out]: by [left out], root"
        );
        assert_eq!(strip("cannot plan annannann"), "cannot plan annannann");
        assert_eq!(strip("serial 0123abcd"), "serial [left out]");
    }

    #[test]
    fn addresses() {
        let strip = |text: &str| Private::default().strip(text);
        for address in [
            "192.168.1.7",
            "de:ad:be:ef:00:01",
            "DE-AD-BE-EF-00-01",
            "fe80::1",
        ] {
            assert_eq!(
                strip(&format!("at {address}, up")),
                "at [left out], up",
                "{address}"
            );
        }
        assert_eq!(strip("to 10.0.0.1:80."), "to [left out].");
        assert_eq!(strip("[fe80::1%eth0]:"), "[[left out]%eth0]:");
    }

    #[test]
    fn what_only_looks_like_one() {
        let text = "Linux 6.12.117-1 at 12:34:56.789 vb2:vb2_dqbuf fdea0000.video-codec: 1.22.0 \
                    [   12.345678] drivers/media/x.c:12 -110 .. 3.0";
        assert_eq!(Private::default().strip(text), text);
    }

    #[test]
    fn people_and_not_the_system() {
        let passwd = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n\
                      nobody:x:65534:65534::/:/bin/false\nbroken\n";
        assert_eq!(people(passwd), ["ann"]);
    }
}
