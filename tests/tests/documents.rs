//! What the documents say of the code is what the code says.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

use std::path::Path;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

#[test]
fn the_map_shows_the_runbook_as_it_is() {
    let code = read("commands/src/runbook.rs");
    let (_, shown) = code.split_once("/// Carries an operation through").unwrap();
    assert!(read("ARCHITECTURE.md").contains(shown.trim()), "ARCHITECTURE.md shows another runbook than runbook.rs");
}

#[test]
fn every_command_that_the_readme_shows_is_one_that_the_program_knows() {
    let readme = read("README.md");
    for line in readme.lines().filter_map(|line| line.trim().strip_prefix("scalebot ")) {
        let command = line.split("  ").next().unwrap().split(" #").next().unwrap().trim();
        let words: Vec<&str> = command.split('"').next().unwrap().split_whitespace().collect();
        let subcommands = words.iter().take_while(|word| !word.starts_with('-'));
        let mut program = std::process::Command::new(scalebot_tests::binary::program());
        let output = program.args(subcommands).arg("--help").output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        let help = String::from_utf8_lossy(&output.stdout);
        for flag in words.iter().filter(|word| word.starts_with("--")) {
            assert!(help.contains(flag), "{command}: {flag}");
        }
    }
}
