// SPDX-License-Identifier: GPL-2.0-only

//! The program as users start it, as far as that needs no device: help, wrong use, list, and what
//! generate writes. tests/static.sh counts each test by its name.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// The commands, each with words of the last paragraphs of its help.
const COMMANDS: [(&str, &str); 10] = [
    ("report", "It asks nothing and sends nothing"),
    ("list", "no job is run"),
    ("probe", "the device is not asked"),
    ("watch", "the program says so"),
    ("stress", "stale fence"),
    ("generate", "The man page is one"),
    ("consumers", "epoll over 64 dma-bufs"),
    ("scene", "writeback connector"),
    ("pipeline", "the kernel keeps the order"),
    ("compositor", "strace without -f"),
];

/// Runs the program; gives its exit status and what it printed. No status: it could not be run.
fn run(args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vb2-fence"));
    match command.args(args).stdin(Stdio::null()).output() {
        Ok(output) => {
            let printed = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&printed).into_owned();
            (output.status.code(), text)
        }
        Err(err) => (None, err.to_string()),
    }
}

/// What it prints when all is well.
#[track_caller]
fn printed(args: &[&str]) -> String {
    let (status, text) = run(args);
    assert_eq!(status, Some(0), "{args:?}: {text}");
    text
}

#[test]
fn help_names_every_command() {
    let help = printed(&["--help"]);
    for (command, _) in COMMANDS {
        assert!(
            help.contains(&format!("  {command}  ")),
            "{command}: {help}"
        );
    }
}

#[test]
fn help_of_every_command_is_whole() {
    for (command, words) in COMMANDS {
        let help = printed(&[command, "--help"]).replace('\n', " ");
        for text in [words, "Examples: ", "Exit status: "] {
            assert!(help.contains(text), "{command}: no {text:?} in {help}");
        }
    }
}

#[test]
fn wrong_use_ends_with_status_2() {
    for args in [
        &[][..],
        &["nonsense"],
        &["probe"],
        &["probe", "/dev/video0", "--size", "large"],
        &["probe", "/dev/video0", "--format", "NV12M"],
        &["report", "--job-ms", "0"],
        &["report", "--rounds", "0"],
        &["report", "--feature", "maybe"],
        &["report", "--out", "x"],
        &["report", "--board", "--json"],
        &["scene", "--frames", "3", "--readings", "3"],
        &["scene", "--output", "x", "--readings", "0"],
        &["generate", "nonsense"],
        &["pipeline", "--way", "nonsense"],
        &["pipeline", "--buffers", "1"],
        &["pipeline", "--frames", "1"],
        &["pipeline", "--source", "camera"],
    ] {
        let (status, text) = run(args);
        assert_eq!(status, Some(2), "{args:?}: {text}");
        assert!(text.contains("Usage") || text.contains("--help"), "{text}");
    }
}

/// Whether the kernel that runs this test has release fences; a build machine's has not.
fn kernel_has_fences() -> bool {
    Path::new("/sys/module/videobuf2_common/parameters/release_fence_timeout_ms").exists()
}

#[test]
fn list_says_whether_the_kernel_has_release_fences() {
    let with = if kernel_has_fences() {
        "with"
    } else {
        "without"
    };
    let text = printed(&["list"]);
    assert!(text.contains(&format!(" {with} release fences")), "{text}");
}

#[test]
fn list_writes_json() {
    let document: serde_json::Value = serde_json::from_str(&printed(&["list", "--json"])).unwrap();
    assert_eq!(document["schema_version"], 1);
    assert_eq!(document["kernel_has_release_fences"], kernel_has_fences());
    assert!(document["nodes"].is_array(), "{document}");
}

#[test]
fn the_report_of_a_board_is_one_file() {
    let dir = std::env::temp_dir().join(format!("vb2-fence-board-test-{}", std::process::id()));
    std::fs::create_dir(&dir).unwrap();
    let file = dir.join("board.txt");
    let out = file.to_str().unwrap();
    let (status, text) = run(&["report", "--board", "--rounds", "1", "--out", out]);
    // A machine that is no board fails, and is told why.
    assert!(matches!(status, Some(0 | 1)), "{text}");
    assert_eq!(text.lines().last(), Some(out), "{text}");
    let written = std::fs::read_to_string(&file).unwrap();
    for gate in [
        "compile",
        "kernel",
        "drivers",
        "playback",
        "system calls",
        "kernel log",
        "desktop",
    ] {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{gate}: ")));
        assert!(written.contains(line.unwrap()), "{gate}: {text}");
    }
    let (status, text) = run(&["report", "--board", "--out", out]);
    assert_eq!(status, Some(2), "{text}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written);
    let (status, text) = run(&["report", "--board", "--stream", "/nonexistent"]);
    assert_eq!(
        (status, &*text),
        (
            Some(2),
            "vb2-fence: cannot read /nonexistent: No such file or directory (os error 2)\n"
        )
    );
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn bash_completes_commands() {
    let script = printed(&["generate", "bash"]);
    assert!(script.contains("--stream"), "no options: {script}");
    // What bash would offer behind "vb2-fence pro"
    let asks = "\nCOMP_WORDS=(vb2-fence pro) COMP_CWORD=1\n\
        $(complete -p vb2-fence | sed 's/.* -F \\([^ ]*\\) .*/\\1/') vb2-fence pro vb2-fence\n\
        echo \"${COMPREPLY[@]}\"\n";
    let mut bash = Command::new("bash")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = bash.stdin.take().unwrap();
    stdin.write_all((script + asks).as_bytes()).unwrap();
    drop(stdin);
    let output = bash.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "probe\n");
}

#[test]
fn zsh_and_fish_have_completions() {
    for (shell, start) in [
        ("zsh", "#compdef vb2-fence"),
        ("fish", "complete -c vb2-fence"),
    ] {
        let script = printed(&["generate", shell]);
        let first = script.lines().any(|line| line.starts_with(start));
        assert!(first, "{shell}: {script}");
        assert!(
            script.contains("stream") && script.contains("probe"),
            "{shell}"
        );
    }
}

#[test]
fn the_man_page_has_every_command() {
    let page = printed(&["generate", "man"]);
    assert!(page.lines().any(|line| line.starts_with(".TH ")), "{page}");
    for (command, words) in COMMANDS {
        let heading = format!(".SH \"VB2-FENCE {}\"", command.to_uppercase());
        assert!(page.contains(&heading), "{heading}: {page}");
        let filled = page.replace('\n', " ").replace("\\-", "-");
        assert!(filled.contains(words), "{command}: no {words:?}");
    }
    assert!(page.contains("EXAMPLES AND EXIT STATUS\"\n.nf"), "{page}");
}
