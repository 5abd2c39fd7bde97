//! Prometheus: what it answers to a question.

use std::collections::HashMap;

use scalebot_commands::units::InstanceId;
use serde_json::{Value, json};

use super::{Choices, Read, answer, may_be_shown};
use crate::prometheus;

fn good(kind: usize) -> Value {
    let metric = |le: &str, status: &str| json!({ "instance": "10.0.0.1:8000", "le": le, "status": status });
    let result = match kind {
        0 => {
            json!([{ "metric": metric("0.5", "200"), "value": [1.7e9, "12"] }, { "metric": metric("+Inf", "500"), "value": [1.7e9, "14"] }])
        }
        _ => json!([{ "metric": metric("+Inf", "200"), "values": [[1.7e9, "1"], [1.700_000_015e9, "2"]] }]),
    };
    let kind = if kind == 0 { "vector" } else { "matrix" };
    json!({ "status": "success", "data": { "resultType": kind, "result": result }, "warnings": [], "infos": [] })
}

/// Prometheus answers with that. Whether nothing was wrong with it.
///
/// # Panics
/// When something does not hold.
pub fn prometheus(bytes: &[u8]) -> Read {
    let mut choices = Choices::of(bytes);
    let kind = choices.one_of(2);
    let body = answer(&good(kind), &mut choices);
    let known = HashMap::from([("10.0.0.1:8000".to_owned(), InstanceId::new("api-1"))]);
    let said = prometheus::read_hostile(&body, kind == 1, &known);
    for said in &said {
        may_be_shown(said);
    }
    Read(usize::from(said.is_empty()))
}
