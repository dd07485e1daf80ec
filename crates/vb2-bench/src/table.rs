// SPDX-License-Identifier: GPL-2.0-only

//! Tables of plain text.

/// A title, the names of the columns, and the lines, in columns; the first one is on the left.
pub fn render(title: &str, columns: &[&str], lines: &[Vec<String>]) -> String {
    let width = |text: &str| text.chars().count();
    let mut widths: Vec<usize> = columns.iter().map(|name| width(name)).collect();
    for line in lines {
        for (widest, cell) in widths.iter_mut().zip(line) {
            *widest = width(cell).max(*widest);
        }
    }
    let names: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
    let mut out = format!("\n{title}\n");
    for line in std::iter::once(&names).chain(lines) {
        let mut text = String::new();
        for (at, (cell, &width)) in line.iter().zip(&widths).enumerate() {
            text += &match at {
                0 => format!("  {cell:<width$}"),
                _ => format!("  {cell:>width$}"),
            };
        }
        out += text.trim_end();
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
