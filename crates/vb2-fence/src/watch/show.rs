// SPDX-License-Identifier: GPL-2.0-only

//! What a watch shows: a display that changes on a terminal, lines in a pipe, or JSON.

use std::io::{self, IsTerminal};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

use super::report::Report;
use super::stats::{QueueReport, Spread};
use crate::json;
use uapi::device::Node;

/// Where the reports go.
#[derive(Debug)]
pub struct Display {
    json: bool,
    bar: Option<ProgressBar>,
}

impl Display {
    /// Begins.
    pub fn new(json: bool, node: &Node) -> Self {
        let title = format!("{} ({})", node.path.display(), node.driver);
        let terminal = !json && io::stdout().is_terminal() && io::stderr().is_terminal();
        // A script that starts a program to be watched can wait for this line.
        if !terminal {
            eprintln!("vb2-fence: watching {title}");
        }
        let bar = terminal.then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {elapsed}\n{msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(title);
            bar.enable_steady_tick(std::time::Duration::from_millis(100));
            bar
        });
        Self { json, bar }
    }

    /// Shows how it stands.
    pub fn interval(&mut self, report: &Report) -> Result<()> {
        match &self.bar {
            Some(bar) => bar.set_message(text(report)),
            None if self.json => json::print_line(report)?,
            None => {
                let time = format!("{:.1} s\n", report.seconds);
                json::print_text(&(time + &text(report)))?;
            }
        }
        Ok(())
    }

    /// Shows the end.
    pub fn summary(&mut self, report: &Report) -> Result<()> {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if self.json {
            return json::print_line(report);
        }
        let time = format!("in all, {:.1} s\n", report.seconds);
        json::print_text(&(time + &text(report)))
    }
}

fn text(report: &Report) -> String {
    let mut lines: Vec<String> = report.queues.iter().map(line).collect();
    if lines.is_empty() {
        lines.push("  no fence of this device yet".into());
    }
    if report.unknown > 0 {
        lines.push(format!(
            "  {} fences of queues whose node is not known",
            report.unknown
        ));
    }
    if report.lost_events > 0 {
        lines.push(format!(
            "  {} events were dropped: the numbers are too low",
            report.lost_events
        ));
    }
    lines.join("\n") + "\n"
}

fn line(queue: &QueueReport) -> String {
    let mut line = format!(
        "  {}: armed {}, pending {}, signalled {}",
        queue.queue, queue.armed, queue.pending, queue.signalled
    );
    for (errno, count) in &queue.errors {
        let error = io::Error::from_raw_os_error(-errno);
        line += &format!(", {count} with error {error}");
    }
    if let Some(latency) = &queue.latency_ms {
        line += &format!(", armed to signalled {}", spread(latency));
    }
    if let Some(wakeup) = &queue.wakeup_ms {
        line += &format!(", signal to wake-up {}", spread(wakeup));
    }
    line
}

fn spread(spread: &Spread) -> String {
    let Spread {
        low, median, high, ..
    } = spread;
    format!("{median:.1} ms ({low:.1} .. {high:.1})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn says_what_is_there() {
        let times = Spread {
            count: 2,
            low: 1.0,
            median: 2.0,
            high: 3.0,
        };
        let mut queue = QueueReport {
            queue: "cap-1".into(),
            armed: 3,
            pending: 1,
            signalled: 2,
            errors: BTreeMap::new(),
            latency_ms: Some(times),
            wakeup_ms: None,
        };
        let text = line(&queue);
        assert_eq!(
            text,
            "  cap-1: armed 3, pending 1, signalled 2, armed to signalled 2.0 ms (1.0 .. 3.0)"
        );
        queue.errors.insert(-110, 1);
        assert!(line(&queue).contains("1 with error Connection timed out"));
    }
}
