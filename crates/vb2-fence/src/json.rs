// SPDX-License-Identifier: GPL-2.0-only

//! JSON for programs, on stdout and in files; and text on stdout.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

/// The form of what all commands write; raised when a reader of an older form would misread it.
pub const SCHEMA_VERSION: u32 = 1;

/// The first fields of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Head {
    /// See [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// This program's version, in the documents that are kept as files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program_version: Option<&'static str>,
    /// The running kernel's release.
    pub kernel: String,
}

impl Head {
    /// Of a document that is read at once.
    pub fn new() -> Self {
        let name = rustix::system::uname();
        Self {
            schema_version: SCHEMA_VERSION,
            program_version: None,
            kernel: name.release().to_string_lossy().into_owned(),
        }
    }

    /// Of a document that is kept.
    pub fn with_program() -> Self {
        Self {
            program_version: Some(env!("CARGO_PKG_VERSION")),
            ..Self::new()
        }
    }
}

impl Default for Head {
    fn default() -> Self {
        Self::new()
    }
}

/// A file for a document.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    file: File,
}

impl Output {
    /// Made before there is anything to write, so that a name that cannot be written does not cost a
    /// run.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path);
        Ok(Self {
            file: file.with_context(|| format!("cannot create {}", path.display()))?,
            path: path.to_owned(),
        })
    }

    /// Writes the document.
    pub fn write(self, value: &impl Serialize) -> Result<()> {
        let mut out = BufWriter::new(self.file);
        pretty(&mut out, value).with_context(|| format!("cannot write {}", self.path.display()))
    }
}

fn pretty(out: &mut impl Write, value: &impl Serialize) -> Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)?;
    Ok(out.flush()?)
}

/// Writes one document over several lines.
pub fn print(value: &impl Serialize) -> Result<()> {
    pretty(&mut io::stdout().lock(), value).context("cannot write the JSON")
}

/// Writes one object in one line, at once: the reader of a pipe must not wait for the next ones.
pub fn print_line(value: &impl Serialize) -> Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, value).context("cannot write the JSON")?;
    writeln!(out).context("cannot write the JSON")?;
    out.flush().context("cannot write the JSON")
}

/// Writes text.
pub fn print_text(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).context("cannot write")?;
    out.flush().context("cannot write")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_of_this_kernel() {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let (kernel, program) = (kernel.trim(), env!("CARGO_PKG_VERSION"));
        let of = |head| serde_json::to_string(&head).unwrap();
        assert_eq!(
            of(Head::with_program()),
            format!(r#"{{"schema_version":1,"program_version":"{program}","kernel":"{kernel}"}}"#)
        );
        assert_eq!(
            of(Head::new()),
            format!(r#"{{"schema_version":1,"kernel":"{kernel}"}}"#)
        );
    }

    #[test]
    fn files() {
        let err = Output::create(Path::new("/nonexistent/x.json")).unwrap_err();
        assert!(format!("{err:#}").contains("cannot create /nonexistent/x.json"));
        let name = format!("vb2-fence-test-{}-json", std::process::id());
        let path = std::env::temp_dir().join(name);
        Output::create(&path).unwrap().write(&[1]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "[\n  1\n]\n");
        std::fs::remove_file(&path).unwrap();
        let full = Output::create(Path::new("/dev/full")).unwrap();
        let err = full.write(&[1]).unwrap_err();
        assert!(format!("{err:#}").contains("cannot write /dev/full"));
    }
}
