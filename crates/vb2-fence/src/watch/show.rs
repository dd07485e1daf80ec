// SPDX-License-Identifier: GPL-2.0-only

//! What a watch shows: a display that changes on a terminal, lines in a pipe, or JSON.

use std::io::{self, IsTerminal};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

use super::report::Report;
use super::stats::{QueueReport, Spread};
use super::waits::UserReport;
use crate::json;
use uapi::device::Node;
use uapi::hint;

/// Where the reports go.
#[derive(Debug)]
pub struct Display {
    json: bool,
    bar: Option<ProgressBar>,
}

impl Display {
    /// Begins.
    pub fn new(json: bool, node: &Node, acquires: bool) -> Self {
        let title = format!("{} ({})", node.path.display(), node.driver);
        let terminal = !json && io::stdout().is_terminal() && io::stderr().is_terminal();
        if !acquires {
            hint::warn(
                "this kernel has no trace events of acquire fences: it is not shown what buffers \
                 wait for",
            );
        }
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
    let queues = report.queues.iter();
    let mut lines: Vec<String> = queues
        .flat_map(|queue| std::iter::once(line(queue)).chain(queue.waits_for.iter().map(wait)))
        .collect();
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

/// Whose fences buffers of a queue had to wait for.
fn wait(user: &UserReport) -> String {
    let mut line = format!(
        "    waits for {} / {}: fences {}, waited for now {}",
        user.driver, user.timeline, user.fences, user.waiting
    );
    if let Some(ms) = user.waiting_ms {
        line += &format!(" (for {ms:.1} ms)");
    }
    if user.given_up > 0 {
        line += &format!(", GIVEN UP {}", user.given_up);
    }
    if user.let_go > 0 {
        line += &format!(", let go {}", user.let_go);
    }
    if let Some(times) = &user.wait_ms {
        line += &format!(", waited {}", spread(times));
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
            waits_for: Vec::new(),
        };
        let text = line(&queue);
        assert_eq!(
            text,
            "  cap-1: armed 3, pending 1, signalled 2, armed to signalled 2.0 ms (1.0 .. 3.0)"
        );
        queue.errors.insert(-110, 1);
        assert!(line(&queue).contains("1 with error Connection timed out"));
    }

    #[test]
    fn says_who_is_waited_for() {
        let mut user = UserReport {
            driver: "panfrost".into(),
            timeline: "gpu".into(),
            fences: 4,
            waiting: 0,
            waiting_ms: None,
            given_up: 0,
            let_go: 0,
            wait_ms: None,
        };
        let text = wait(&user);
        assert_eq!(
            text,
            "    waits for panfrost / gpu: fences 4, waited for now 0"
        );
        (user.waiting, user.waiting_ms) = (1, Some(12.34));
        (user.given_up, user.let_go) = (2, 3);
        let text = wait(&user);
        assert!(
            text.ends_with("now 1 (for 12.3 ms), GIVEN UP 2, let go 3"),
            "{text}"
        );
    }
}
