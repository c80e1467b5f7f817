//! A real agent has no way to switch noise off.

use std::process::Command;

use crate::harness::{program, run, text};

#[test]
fn no_option_reaches_it() {
    for (name, args) in [
        ("site-agent", vec!["--noise-off", "run"]),
        ("site-agent", vec!["run", "--noise", "off"]),
        ("site-agent", vec!["agent-process", "--noise-off", "run"]),
        ("coordinator", vec!["--noise-off", "serve"]),
        ("coordinator", vec!["coordinator-process", "--noise-off", "serve"]),
    ] {
        let mut c = Command::new(program(name));
        c.args(&args);
        let out = run(c);
        assert_eq!(out.status.code(), Some(2), "{name} {args:?}: {}", text(&out));
    }
}
