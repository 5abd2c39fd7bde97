//! What the simulator comes to is as the schemas say. Its seeds and its invariants are in its own crate, `tests/simulator`.

use scalebot_simulator as simulator;
use scalebot_tests::schemas::validate;

#[test]
fn every_event_of_a_simulated_run_is_as_its_schema_says() {
    for seed in 0..200 {
        for event in &simulator::run(seed).events {
            let line = serde_json::from_str(&event.line()).expect("a line is JSON");
            assert_eq!(validate(&line), Ok(()), "seed {seed}: {line}");
        }
    }
}

#[test]
fn the_program_is_built_without_what_only_tests_need() {
    let of_tests: [(&str, &[&str]); 2] =
        [("scalebot-commands", &["mutation", "schema"]), ("scalebot-adapters", &["failpoints", "hostile"])];
    for (library, features) in of_tests {
        let tree = std::process::Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--locked", "-p", "scalebot", "-e", "features,no-dev", "-i", library])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo can be run");
        let built = String::from_utf8_lossy(&tree.stdout);
        assert!(tree.status.success() && built.contains("scalebot v"), "{tree:?}");
        for feature in features {
            assert!(!built.contains(&format!("feature \"{feature}\"")), "{built}");
        }
    }
}
