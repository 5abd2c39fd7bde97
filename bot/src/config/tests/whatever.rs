//! Whatever somebody writes: it is read, or refused in words that can be shown.

use proptest::prelude::*;

use super::*;

/// Every key with its default, as shipped.
const EXAMPLE: &str = include_str!("../../../../deploy/scalebot.example.toml");

/// Values of every kind, and what is none.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:?}")),
        any::<bool>().prop_map(|truth| truth.to_string()),
        "\\PC{0,30}".prop_map(|text| format!("{text:?}")),
        "[0-9]{1,30}(ns|ms|s|m|h|d|%|MiB|GiB|TiB)".prop_map(|text| format!("{text:?}")),
        "[a-z]{1,9}://[a-z:@/.%0-9]{0,20}".prop_map(|text| format!("{text:?}")),
        Just("[]".to_owned()),
        Just("[[[[]]]]".to_owned()),
        Just("{}".to_owned()),
        Just("{ a = { a = { a = 1 } } }".to_owned()),
        Just("1979-05-27T07:32:00Z".to_owned()),
        "\\PC{0,20}",
    ]
}

/// Words that can be shown: there are some, of bounded length, and none of them acts on a terminal.
fn shown(refused: &str) {
    assert!(!refused.trim().is_empty() && refused.len() < 4_000, "{} bytes: {refused:.200}", refused.len());
    assert!(!refused.contains(|c: char| c.is_control() && c != '\n'), "{refused:?}");
}

proptest! {
    #[test]
    fn whatever_stands_in_the_file_is_read_or_refused(
        lines in prop::collection::vec(
            prop_oneof![
                "\\PC{0,60}",
                ("[a-z_]{1,12}", value()).prop_map(|(key, value)| format!("{key} = {value}")),
                "[a-z_.]{1,20}".prop_map(|name| format!("[{name}]")),
            ],
            0..8,
        ),
        after_all in any::<bool>(),
    ) {
        let text = lines.join("\n");
        if let Err(refused) = read(&if after_all { format!("{LEAST}{text}") } else { text }) {
            shown(&refused);
        }
    }

    #[test]
    fn whatever_one_key_of_the_example_is_it_is_read_or_refused(at in any::<prop::sample::Index>(), value in value()) {
        let lines: Vec<&str> = EXAMPLE.lines().collect();
        let is_key = |line: &&usize| lines[**line].trim_start_matches('#').contains(" = ");
        let keys: Vec<usize> = (0..lines.len()).collect::<Vec<_>>().iter().filter(is_key).copied().collect();
        let changed = keys[at.index(keys.len())];
        let key = lines[changed].trim_start_matches('#').split(" = ").next().unwrap();
        let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        lines[changed] = format!("{key} = {value}");
        if let Err(refused) = read(&lines.join("\n")) {
            shown(&refused);
        }
    }

    #[test]
    fn whatever_a_variable_holds_is_read_or_refused(name in "SCALEBOT_[A-Z_]{0,30}", value in "\\PC{0,40}") {
        if let Err(refused) = read_with(LEAST, &[(&name, &value)]) {
            shown(&refused);
        }
    }
}
