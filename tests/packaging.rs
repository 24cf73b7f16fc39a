//! What becomes of a build for another system.

use std::process::Command;

/// Only the build script is compiled, and it runs here: neither the other system's standard
/// library nor the network is needed.
#[test]
fn a_build_for_another_system_ends_with_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["check", "--locked", "--target", "x86_64-apple-darwin"]);
    cargo.arg("--target-dir").arg(dir.path()).env("CARGO_TERM_COLOR", "never");
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{text}");
    let begins = |word: &str| -> Vec<_> {
        text.lines().filter(|line| line.trim_start().starts_with(word)).collect()
    };
    let [sentence, "error: build script logged errors"] = begins("error")[..] else {
        panic!("{text}");
    };
    assert!(sentence.contains("this build is for macos"), "{sentence}");
    assert!(sentence.ends_with("README.md, \"Not on Linux?\""), "{sentence}");
    assert_eq!(begins("Compiling").len(), 1, "a dependency is built: {text}");
    let readme = include_str!("../README.md");
    assert!(
        readme.contains("\n## Not on Linux?\n"),
        "README.md has no such heading"
    );
}
