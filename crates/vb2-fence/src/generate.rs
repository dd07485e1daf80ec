// SPDX-License-Identifier: GPL-2.0-only

//! `vb2-fence generate`: the man page and shell completions, made from the command line itself.

use std::io::Write;

use anyhow::{Context, Result};
use clap::{Args, Command, ValueEnum};
use clap_complete::Shell;

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// The man page, with all commands.
    Man,
    /// Completions for bash.
    Bash,
    /// Completions for zsh.
    Zsh,
    /// Completions for fish.
    Fish,
}

/// What `--help` and the man page say of the command.
pub const LONG: &str = "\
Write the man page or shell completions to stdout.

Both are made from the command line that this program reads, so they fit it. The man page is one for
all commands.";

/// Arguments of `vb2-fence generate`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  vb2-fence generate man >/usr/local/share/man/man1/vb2-fence.1
  vb2-fence generate bash >/etc/bash_completion.d/vb2-fence

Exit status: 0, or 2 if it could not be written.")]
pub struct GenerateArgs {
    /// What to write to stdout.
    #[arg(value_enum)]
    pub what: What,
}

/// Runs the command, for the program's command line.
pub fn run(args: &GenerateArgs, mut cli: Command) -> Result<bool> {
    let mut out = Vec::new();
    let shell = match args.what {
        What::Man => None,
        What::Bash => Some(Shell::Bash),
        What::Zsh => Some(Shell::Zsh),
        What::Fish => Some(Shell::Fish),
    };
    match shell {
        Some(shell) => clap_complete::generate(shell, &mut cli, "vb2-fence", &mut out),
        None => man(&mut out, cli).context("cannot make the man page")?,
    }
    std::io::stdout().write_all(&out).context("cannot write")?;
    Ok(true)
}

/// One page: what can be done first, then each command as a section.
fn man(out: &mut Vec<u8>, mut cli: Command) -> std::io::Result<()> {
    cli.build();
    let page = clap_mangen::Man::new(cli.clone());
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    for command in cli
        .get_subcommands()
        .filter(|command| command.get_name() != "help")
    {
        let name = format!("vb2-fence {}", command.get_name());
        writeln!(out, ".SH {:?}", name.to_uppercase())?;
        let command = command.clone().bin_name(name);
        let page = clap_mangen::Man::new(command);
        // What follows is below the command's own heading.
        let mut sections = Vec::new();
        page.render_synopsis_section(&mut sections)?;
        page.render_description_section(&mut sections)?;
        page.render_options_section(&mut sections)?;
        page.render_extra_section(&mut sections)?;
        // Examples are lines, not text to be filled.
        let text = String::from_utf8_lossy(&sections)
            .replace(".SH EXTRA\n", ".SH \"EXAMPLES AND EXIT STATUS\"\n.nf\n")
            .replace(".SH ", ".SS ");
        out.write_all(text.as_bytes())?;
        writeln!(out, ".fi")?;
    }
    page.render_version_section(out)
}
