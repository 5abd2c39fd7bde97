//! Which labels a selector means.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

/// Labels by their key.
pub(super) type Labels = BTreeMap<String, String>;

/// Whether the selector means something with these labels. An empty one means everything.
///
/// # Errors
/// In words, when the selector has an operator that is not known.
pub(super) fn selects(selector: &LabelSelector, labels: &Labels) -> Result<bool, String> {
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let mut fits = equal;
    for requirement in selector.match_expressions.iter().flatten() {
        let LabelSelectorRequirement { key, operator, values } = requirement;
        fits &= compares(operator, labels.get(key).map(String::as_str), values.as_deref().unwrap_or_default())?;
    }
    Ok(fits)
}

/// Whether a value, or that there is none, is what an operator asks for. `Gt` and `Lt` are a node's alone, but nothing
/// else has a meaning for them.
///
/// # Errors
/// In words, when the operator is not known.
pub(super) fn compares(operator: &str, value: Option<&str>, values: &[String]) -> Result<bool, String> {
    let among = |value| values.iter().any(|one| one == value);
    let number = |text: &str| text.parse::<i64>().ok();
    let limit = || values.first().and_then(|text| number(text));
    Ok(match operator {
        "In" => value.is_some_and(among),
        "NotIn" => !value.is_some_and(among),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => value.and_then(number).zip(limit()).is_some_and(|(value, limit)| value > limit),
        "Lt" => value.and_then(number).zip(limit()).is_some_and(|(value, limit)| value < limit),
        other => {
            return Err(format!("a selector has the unknown operator {}", scalebot_commands::request::quoted(other)));
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fits(selector: serde_json::Value, labels: &[(&str, &str)]) -> Result<bool, String> {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        selects(&serde_json::from_value(selector).unwrap(), &labels)
    }

    #[test]
    fn an_empty_selector_means_everything() {
        assert_eq!(fits(json!({}), &[]), Ok(true));
    }

    #[test]
    fn labels_and_expressions_must_all_fit() {
        let selector = json!({
            "matchLabels": {"app": "api"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["web", "edge"]},
                {"key": "canary", "operator": "DoesNotExist"},
                {"key": "zone", "operator": "NotIn", "values": ["c"]},
                {"key": "team", "operator": "Exists"},
            ],
        });
        assert_eq!(fits(selector.clone(), &[("app", "api"), ("tier", "web"), ("team", "x")]), Ok(true));
        assert_eq!(fits(selector.clone(), &[("app", "api"), ("tier", "web")]), Ok(false));
        assert_eq!(fits(selector.clone(), &[("app", "api"), ("tier", "db"), ("team", "x")]), Ok(false));
        assert_eq!(fits(selector.clone(), &[("app", "b"), ("tier", "web"), ("team", "x")]), Ok(false));
        assert_eq!(fits(selector, &[("app", "api"), ("tier", "web"), ("team", "x"), ("canary", "")]), Ok(false));
    }

    #[test]
    fn an_operator_that_is_not_known_is_never_a_guess() {
        let selector = json!({"matchExpressions": [{"key": "a", "operator": "Like", "values": ["b"]}]});
        assert_eq!(fits(selector, &[]).unwrap_err(), "a selector has the unknown operator Like");
    }
}
