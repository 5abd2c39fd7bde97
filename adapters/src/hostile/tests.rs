//! A few hundred answers to every question; `PROPTEST_CASES` says how many. What once broke something stands below by
//! name.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Bytes of which many decide on a change.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..96)
}

proptest! {
    #[test]
    fn whatever_an_instance_answers_is_read_or_refused(bytes in bytes()) {
        instance(&bytes);
    }

    #[test]
    fn whatever_page_of_metrics_an_instance_gives_is_read_or_refused(bytes in bytes()) {
        metrics(&bytes);
    }

    #[test]
    fn whatever_prometheus_answers_is_read_or_refused(bytes in bytes()) {
        prometheus(&bytes);
    }

    #[test]
    fn whatever_haproxy_answers_is_read_or_refused(bytes in bytes()) {
        haproxy(&bytes);
    }

    #[test]
    fn whatever_the_kubernetes_api_holds_is_read_or_refused(bytes in bytes()) {
        kubernetes(&bytes);
    }

    #[test]
    fn whatever_length_of_time_is_written_is_read_again_or_refused(text in prop_oneof![any::<String>(), "[0-9a-z .:+-]{0,20}", "[0-9]{1,25}(ns|us|ms|s|m|h|d|w|y)"]) {
        use serde::Deserialize;
        #[derive(Deserialize)]
        struct Length(#[serde(with = "crate::settings::length")] Duration);
        if let Ok(Length(length)) = serde_json::from_value(Value::from(text)) {
            prop_assert!(length <= Duration::from_secs(i64::MAX.unsigned_abs()));
        }
    }
}

/// What is built on is itself good: else nothing but refusals would be tried.
#[test]
fn an_answer_that_nobody_changed_is_read() {
    // An object is no list, and the other way about.
    assert_eq!((instance(&[0, 0, 2]), instance(&[0, 1, 2])), (Read(5), Read(3)));
    assert_eq!((metrics(&[]), haproxy(&[]), kubernetes(&[])), (Read(1), Read(1), Read(9)));
    assert_eq!((prometheus(&[0, 2]), prometheus(&[1, 2])), (Read(1), Read(1)));
}

#[test]
#[should_panic(expected = "acts")]
fn a_text_that_acts_is_found() {
    may_be_shown("ready\u{202e}");
}

#[test]
#[should_panic(expected = "characters")]
fn a_text_without_an_end_is_found() {
    may_be_shown(&"x".repeat(LONGEST + 1));
}
