//! The program is killed, told to stop, and robbed of its storage, in the middle of what it does: nothing is done that is
//! not on record, nothing on record is lost, and whoever starts it again finds it going on.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

mod backup;
mod faults;
mod killed;
mod stopping;

use scalebot_tests::binary::of_kind;
use serde_json::Value;

/// A load that three instances carry as well.
const EASY: &str = "instances = 4\nload = 12\n[policy.triggers]\nevery = \"1h\"\n";

/// That field of every event of that kind.
fn each(events: &[Value], kind: &str, field: &str) -> Vec<Value> {
    of_kind(events, kind).into_iter().map(|body| body[field].clone()).collect()
}

/// How many orders of that kind were carried out.
fn done(events: &[Value], answered: &str) -> usize {
    each(events, answered, "result").iter().filter(|result| *result == "done" || *result == "adopted").count()
}
