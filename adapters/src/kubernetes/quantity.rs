//! Amounts of a resource as Kubernetes writes them (`100m`, `1.5`, `2Gi`, `1e3`), read exactly: no amount passes through
//! a binary fraction, so that what fits to the last byte is known to fit.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use scalebot_commands::request::quoted;

/// Kubernetes knows nothing smaller than a thousand-millionth.
const NANO: u128 = 1_000_000_000;

/// The largest amount, as Kubernetes has it: 2⁶³ − 1 units.
const MOST: u128 = i64::MAX as u128 * NANO;

/// The longest text that is an amount, in bytes.
const LONGEST: usize = 64;

/// An amount, exact: CPU cores, bytes, pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Amount(u128);

/// Amounts by the name of the resource.
pub(super) type Amounts = BTreeMap<String, Amount>;

impl Amount {
    /// So many whole units.
    pub(super) fn units(count: u32) -> Self {
        Self(u128::from(count) * NANO)
    }

    /// Reads an amount.
    ///
    /// # Errors
    /// In words, when it is none, negative, or larger than Kubernetes has it. What is finer than a thousand-millionth is
    /// rounded up, as Kubernetes does.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        parsed(text).ok_or_else(|| format!("{} is no amount", quoted(text)))
    }

    /// The same, rounded up to what the scheduler counts in: thousandths of a core, whole units of all else.
    pub(super) fn rounded_up(self, resource: &str) -> Self {
        let step = if resource == "cpu" { NANO / 1000 } else { NANO };
        Self(self.0.div_ceil(step) * step)
    }

    /// Whether it is nothing at all.
    pub(super) fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The two together.
    pub(super) fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left; nothing where more is taken than there is.
    pub(super) fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// How often the other goes into it; as often as can be counted where that is nothing.
    pub(super) fn times(self, other: Self) -> u32 {
        self.0.checked_div(other.0).map_or(u32::MAX, |times| u32::try_from(times).unwrap_or(u32::MAX))
    }

    /// As a person reads it.
    pub(super) fn of(self, resource: &str) -> Shown<'_> {
        Shown { amount: self, resource }
    }
}

/// An amount with its unit: `1.5 cores`, `512 MiB`, `3`.
pub(super) struct Shown<'a> {
    amount: Amount,
    resource: &'a str,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resource = self.resource.trim_start_matches("requests.").trim_start_matches("limits.");
        let is_bytes =
            matches!(resource, "memory" | "ephemeral-storage" | "storage") || resource.starts_with("hugepages-");
        if !is_bytes {
            let unit = match resource {
                "cpu" if self.amount == Amount(NANO) => " core",
                "cpu" => " cores",
                _ => "",
            };
            return write!(f, "{}{unit}", decimal(self.amount.0, NANO, 3));
        }
        let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
        let fitting = units.iter().rev().find(|(_, bits)| self.amount.0 >= NANO << bits);
        match fitting {
            Some((unit, bits)) => write!(f, "{} {unit}", decimal(self.amount.0, NANO << bits, 2)),
            None => write!(f, "{} bytes", decimal(self.amount.0, NANO, 0)),
        }
    }
}

/// How many of a unit, cut off after so many places, without noughts at the end.
fn decimal(amount: u128, unit: u128, places: u32) -> String {
    let rest = amount % unit * 10_u128.pow(places) / unit;
    let text = format!("{}.{rest:0width$}", amount / unit, width = places as usize);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The amounts of a map as the API server has them.
///
/// # Errors
/// In words, when one of them is none.
pub(super) fn amounts(of: Option<&BTreeMap<String, Quantity>>) -> Result<Amounts, String> {
    of.into_iter()
        .flatten()
        .map(|(resource, quantity)| {
            let amount = Amount::read(&quantity.0).map_err(|why| format!("{}: {why}", quoted(resource)))?;
            Ok((resource.clone(), amount))
        })
        .collect()
}

/// Adds each amount to what is there of the same resource.
pub(super) fn add(to: &mut Amounts, more: &Amounts) {
    for (resource, amount) in more {
        let sum = to.entry(resource.clone()).or_default();
        *sum = sum.plus(*amount);
    }
}

/// Raises each amount to the other one of the same resource, where that is larger.
pub(super) fn raise(to: &mut Amounts, least: &Amounts) {
    for (resource, amount) in least {
        let raised = to.entry(resource.clone()).or_default();
        *raised = (*raised).max(*amount);
    }
}

fn parsed(text: &str) -> Option<Amount> {
    if text.len() > LONGEST {
        return None;
    }
    let text = text.strip_prefix('+').unwrap_or(text);
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = text.split_at(digits(text));
    let (fraction, suffix) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits(rest)),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    // The amount is `digits · factor · 10^exponent`, in thousand-millionths.
    let digits = format!("{whole}{fraction}");
    let digits = match digits.trim_start_matches('0') {
        "" => return is_suffix(suffix).then_some(Amount(0)),
        digits => digits.parse::<u128>().ok()?,
    };
    let (factor, power) = scale(suffix)?;
    let exponent = 9 + power - i32::try_from(fraction.len()).ok()?;
    let amount = digits.checked_mul(factor)?;
    let amount = match exponent {
        0.. => amount.checked_mul(10_u128.checked_pow(exponent.unsigned_abs())?)?,
        _ => 10_u128.checked_pow(exponent.unsigned_abs()).map_or(1, |divisor| amount.div_ceil(divisor)),
    };
    (amount <= MOST).then_some(Amount(amount))
}

fn is_suffix(suffix: &str) -> bool {
    scale(suffix).is_some()
}

/// What a suffix multiplies by: a factor, and a power of ten.
fn scale(suffix: &str) -> Option<(u128, i32)> {
    Some(match suffix {
        "" => (1, 0),
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        "Ki" => (1 << 10, 0),
        "Mi" => (1 << 20, 0),
        "Gi" => (1 << 30, 0),
        "Ti" => (1 << 40, 0),
        "Pi" => (1 << 50, 0),
        "Ei" => (1 << 60, 0),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            let number = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            let is_number = !number.is_empty() && number.len() <= 3 && number.bytes().all(|byte| byte.is_ascii_digit());
            (1, is_number.then(|| exponent.parse().ok())??)
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nano(text: &str) -> u128 {
        Amount::read(text).unwrap().0
    }

    #[test]
    fn every_way_of_writing_an_amount_is_read() {
        for (text, units) in [
            ("128974848", 128_974_848),
            ("129e6", 129_000_000),
            ("129M", 129_000_000),
            ("123Mi", 123 << 20),
            ("2Gi", 2 << 30),
            ("1.5Gi", 3 << 29),
            ("1e3", 1000),
            ("1E3", 1000),
            ("+4", 4),
            ("4.", 4),
            ("0", 0),
            ("0.0Ki", 0),
            ("128974848000m", 128_974_848),
            ("1E", 1_000_000_000_000_000_000),
            ("9223372036854775807", i64::MAX.unsigned_abs().into()),
        ] {
            assert_eq!(nano(text), units * NANO, "{text}");
        }
        for (text, milli) in [("100m", 100), ("0.1", 100), (".5", 500), ("1.5", 1500), ("2500e-3", 2500)] {
            assert_eq!(nano(text), milli * NANO / 1000, "{text}");
        }
    }

    #[test]
    fn what_is_finer_than_kubernetes_counts_is_rounded_up() {
        assert_eq!(nano("0.0000000001"), 1);
        assert_eq!(nano("1.1n"), 2);
        assert_eq!(nano("1e-200"), 1);
    }

    #[test]
    fn what_is_no_amount_or_negative_or_too_large_is_refused() {
        for text in [
            "",
            "-1",
            "-100m",
            ".",
            "m",
            "1.2.3",
            "1 Gi",
            "1gi",
            "1mi",
            "1K",
            "0x10",
            "1e",
            "1e+",
            "1e1.5",
            "１",
            "∞",
            "0Q",
            "9223372036854775808",
            "8Ei",
            "1e400",
            "1e-4000",
            "1_000",
            "NaN",
        ] {
            assert!(Amount::read(text).is_err(), "{text}");
        }
        assert!(Amount::read(&"9".repeat(1000)).is_err());
    }

    #[test]
    fn the_scheduler_counts_thousandths_of_a_core_and_whole_bytes() {
        assert_eq!(Amount::read("1001u").unwrap().rounded_up("cpu"), Amount::read("2m").unwrap());
        assert_eq!(Amount::read("1500m").unwrap().rounded_up("memory"), Amount::units(2));
        assert_eq!(Amount::read("250m").unwrap().rounded_up("cpu"), Amount::read("250m").unwrap());
    }

    #[test]
    fn an_amount_goes_into_another_a_whole_number_of_times() {
        assert_eq!(Amount::read("2Gi").unwrap().times(Amount::read("512Mi").unwrap()), 4);
        assert_eq!(Amount::read("2147483647").unwrap().times(Amount::read("512Mi").unwrap()), 3);
        assert_eq!(Amount::units(1).times(Amount::default()), u32::MAX);
        assert_eq!(Amount::default().times(Amount::units(1)), 0);
    }

    #[test]
    fn people_read_cores_and_mebibytes() {
        let shown = |text: &str, resource: &str| Amount::read(text).unwrap().of(resource).to_string();
        assert_eq!(shown("250m", "cpu"), "0.25 cores");
        assert_eq!(shown("1", "requests.cpu"), "1 core");
        assert_eq!(shown("1.5Gi", "memory"), "1.5 GiB");
        assert_eq!(shown("100Mi", "limits.memory"), "100 MiB");
        assert_eq!(shown("1000", "memory"), "1000 bytes");
        assert_eq!(shown("10", "pods"), "10");
        assert_eq!(shown("0", "memory"), "0 bytes");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = Amount::read(&text);
        }

        #[test]
        fn a_suffix_is_nothing_but_a_factor(count in 0_u64..1_000_000, power in 0_usize..6) {
            let of = |suffix: &str| nano(&format!("{count}{suffix}"));
            prop_assert_eq!(of(["Ki", "Mi", "Gi", "Ti", "Pi", "Ki"][power]) , u128::from(count) * NANO << [10, 20, 30, 40, 50, 10][power]);
            prop_assert_eq!(of(["m", "k", "M", "G", "T", "u"][power]), u128::from(count) * [NANO / 1000, NANO * 1000, NANO * 1_000_000, NANO * NANO, NANO * NANO * 1000, NANO / 1_000_000][power]);
            prop_assert_eq!(of(&format!("e{power}")), u128::from(count) * NANO * 10_u128.pow(power as u32));
        }

        #[test]
        fn a_decimal_is_read_to_its_last_place(whole in 0_u64..1_000_000_000, fraction in 0_u32..1_000_000_000) {
            prop_assert_eq!(nano(&format!("{whole}.{fraction:09}")), u128::from(whole) * NANO + u128::from(fraction));
        }

        #[test]
        fn what_is_taken_in_pieces_is_never_more_than_there_is(total in 0_u64..u64::MAX / 2, piece in 1_u64..u64::MAX / 2) {
            let (total, piece) = (Amount::read(&total.to_string()).unwrap(), Amount::read(&piece.to_string()).unwrap());
            let times = u128::from(total.times(piece));
            prop_assert!(times * piece.0 <= total.0);
            prop_assert!(times == u128::from(u32::MAX) || (times + 1) * piece.0 > total.0);
        }
    }
}
