// SPDX-License-Identifier: GPL-2.0-only

//! JSON for programs, on stdout.

use std::io::{self, Write};

use anyhow::{Context, Result};
use serde::Serialize;

/// The form of what `list`, `probe`, `watch` and `stress` write; raised when a reader of an older
/// form would misread it.
pub const SCHEMA_VERSION: u32 = 1;

/// Writes one document over several lines.
pub fn print(value: &impl Serialize) -> Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value).context("cannot write the JSON")?;
    writeln!(out).context("cannot write the JSON")
}

/// Writes one object in one line, at once: whoever reads a pipe must not wait for the next ones.
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
