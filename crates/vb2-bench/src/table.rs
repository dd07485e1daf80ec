// SPDX-License-Identifier: GPL-2.0-only

//! Tables of plain text.

/// A title, the names of the columns, and the lines, in columns; the first one is on the left.
pub fn render(title: &str, columns: &[&str], lines: &[Vec<String>]) -> String {
    let names = columns.iter().map(|&name| name.to_owned()).collect();
    let lines: Vec<_> = std::iter::once(&names).chain(lines).collect();
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max();
    let widths: Vec<_> = (0..columns.len()).filter_map(width).collect();
    let mut out = format!("\n{title}\n");
    for line in lines {
        let cells = line.iter().zip(&widths).enumerate();
        let cells = cells.map(|(at, (cell, &width))| match at {
            0 => format!("  {cell:<width$}"),
            _ => format!("  {cell:>width$}"),
        });
        out += cells.collect::<String>().trim_end();
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let line = |name: &str, count: &str| vec![name.to_owned(), count.to_owned()];
        let text = render("T", &["a", "count"], &[line("long", "7"), line("b", "")]);
        assert_eq!(text, "\nT\n  a     count\n  long      7\n  b\n");
    }
}
