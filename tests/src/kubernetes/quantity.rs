//! Amounts of CPU and memory, as `100m`, `2Gi`, `1.5`: exact, in thousandths.

use serde_json::Value;

/// An amount in thousandths of its unit; `None` for what is no amount.
pub(crate) fn thousandths(text: &str) -> Option<i128> {
    let split = text.find(|character: char| !(character.is_ascii_digit() || ".+-".contains(character)));
    let (number, suffix) = text.split_at(split.unwrap_or(text.len()));
    let (times, by): (i128, i128) = match suffix {
        "" => (1_000, 1),
        "m" => (1, 1),
        "k" => (1_000_000, 1),
        "M" => (1_000_000_000, 1),
        "G" => (1_000_000_000_000, 1),
        "T" => (1_000_000_000_000_000, 1),
        "Ki" => (1_000 << 10, 1),
        "Mi" => (1_000 << 20, 1),
        "Gi" => (1_000 << 30, 1),
        "Ti" => (1_000 << 40, 1),
        "u" => (1, 1_000),
        exponent => {
            let power: u32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            (1_000 * 10_i128.checked_pow(power)?, 1)
        }
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("{whole}{part}").parse().ok()?;
    let scale = 10_i128.checked_pow(u32::try_from(part.len()).ok()?)?;
    Some(digits.checked_mul(times)? / by / scale)
}

/// The amount that a field holds; nothing where there is none.
pub(crate) fn of(value: &Value) -> i128 {
    match value {
        Value::String(text) => thousandths(text).unwrap_or(0),
        Value::Number(number) => thousandths(&number.to_string()).unwrap_or(0),
        _ => 0,
    }
}

/// What a pod requests of something, all its containers together.
pub(crate) fn requested(pod: &Value, kind: &str, what: &str) -> i128 {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let running: i128 = containers.map(|one| of(&one["resources"][kind][what])).sum();
    let first = pod["spec"]["initContainers"].as_array().into_iter().flatten();
    let starting = first.map(|one| of(&one["resources"][kind][what])).max().unwrap_or(0);
    running.max(starting) + of(&pod["spec"]["overhead"][what])
}

/// As the API writes an amount: `4`, `1500m`, `2Gi`.
pub(crate) fn written(thousandths: i128, what: &str) -> String {
    if thousandths % 1_000 != 0 {
        return format!("{thousandths}m");
    }
    let whole = thousandths / 1_000;
    if what.contains("memory") {
        for (suffix, shift) in [("Gi", 30), ("Mi", 20), ("Ki", 10)] {
            if whole != 0 && whole % (1 << shift) == 0 {
                return format!("{}{suffix}", whole >> shift);
            }
        }
    }
    whole.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_exactly_and_written_again() {
        for (text, amount) in [
            ("100m", 100),
            ("1.5", 1_500),
            ("2Gi", 2_000 << 30),
            ("1e3", 1_000_000),
            ("500M", 500_000_000_000),
            ("0", 0),
        ] {
            assert_eq!(thousandths(text), Some(amount), "{text}");
        }
        assert_eq!([thousandths("x"), thousandths("1Q"), thousandths("")], [None, None, None]);
        assert_eq!(written(1_500, "cpu"), "1500m");
        assert_eq!(written(4_000, "pods"), "4");
        assert_eq!(written(2_000 << 30, "requests.memory"), "2Gi");
    }
}
