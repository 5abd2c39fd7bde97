//! Scales with round numbers, and how figures are written beside them.

/// The rounded steps of a scale from zero: at most `most` of them, the last at or below `highest`.
pub(super) fn steps(highest: f64, most: u32) -> Vec<f64> {
    if !highest.is_finite() || highest <= 0.0 {
        return vec![0.0];
    }
    let least = highest / f64::from(most.max(1));
    let decade = 10_f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * decade).into_iter().find(|step| *step >= least * 0.999);
    let step = step.unwrap_or(10.0 * decade);
    (0..=most).map(|count| f64::from(count) * step).take_while(|value| *value <= highest * 1.001).collect()
}

/// The rounded moments between two, in seconds: at most `most` steps of whole seconds, minutes, hours or days.
pub(super) fn moments(from: f64, to: f64, most: u32) -> Vec<f64> {
    const STEPS: [f64; 16] =
        [1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 21600.0];
    let length = to - from;
    if !length.is_finite() || length <= 0.0 {
        return vec![from];
    }
    let least = length / f64::from(most.max(1));
    let step = STEPS.into_iter().find(|step| *step >= least).unwrap_or_else(|| (least / 86_400.0).ceil() * 86_400.0);
    let first = (from / step).ceil();
    (0..=most).map(|count| (first + f64::from(count)) * step).take_while(|moment| *moment <= to).collect()
}

/// A moment as it stands on the axis: from the zero, with its unit.
pub(super) fn moment(seconds: f64) -> String {
    let sign = if seconds < 0.0 { "−" } else { "" };
    let seconds = seconds.abs().round();
    if seconds == 0.0 {
        "0".to_owned()
    } else if seconds % 86_400.0 == 0.0 {
        format!("{sign}{} d", seconds / 86_400.0)
    } else if seconds % 3_600.0 == 0.0 {
        format!("{sign}{} h", seconds / 3_600.0)
    } else if seconds % 60.0 == 0.0 {
        format!("{sign}{} min", seconds / 60.0)
    } else {
        format!("{sign}{seconds} s")
    }
}

/// A whole number with its thousands apart: `1,240`.
pub(super) fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut out = if value <= -0.5 { "−".to_owned() } else { String::new() };
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A rate or another small number: below ten with a decimal, where there is one.
pub(super) fn small(value: f64) -> String {
    let tenths = (value * 10.0).round();
    if tenths > 0.0 && tenths < 100.0 && tenths % 10.0 != 0.0 { format!("{value:.1}") } else { grouped(value) }
}

/// A share as percent, with as many decimals as it takes to tell it from none.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let decimals = match percent {
        percent if percent <= 0.0 || percent >= 9.95 => 0,
        percent if percent < 0.995 => 2,
        _ => 1,
    };
    let written = format!("{percent:.decimals$}");
    let short = if written.contains('.') { written.trim_end_matches('0').trim_end_matches('.') } else { &written };
    if short == "0" && percent > 0.0 { "< 0.01 %".to_owned() } else { format!("{short} %") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_have_few_and_round_steps() {
        assert_eq!(steps(1_870.0, 4), [0.0, 500.0, 1_000.0, 1_500.0]);
        assert_eq!(steps(0.011, 2), [0.0, 0.01]);
        assert_eq!(steps(7.0, 4), [0.0, 2.0, 4.0, 6.0]);
        assert_eq!(steps(0.0, 4), [0.0]);
        assert_eq!(steps(f64::NAN, 4), [0.0]);
    }

    #[test]
    fn moments_are_round_in_seconds_minutes_hours_and_days() {
        assert_eq!(moments(-130.0, 900.0, 5), [0.0, 300.0, 600.0, 900.0]);
        assert_eq!(moments(-8.0, 60.0, 5), [0.0, 15.0, 30.0, 45.0, 60.0]);
        assert_eq!(moments(3.0, 3.0, 5), [3.0]);
        assert!(moments(0.0, 4.0e7, 5).len() > 2);
        let said = [-120.0, 0.0, 45.0, 90.0, 300.0, 7_200.0, 172_800.0].map(moment);
        assert_eq!(said, ["−2 min", "0", "45 s", "90 s", "5 min", "2 h", "2 d"]);
    }

    #[test]
    fn figures_are_written_as_they_are_read() {
        assert_eq!([0.0, 382.4, 1_240.0, 1_234_567.0].map(grouped), ["0", "382", "1,240", "1,234,567"]);
        assert_eq!([0.0, 0.04, 5.0, 6.24, 12.4].map(small), ["0", "0", "5", "6.2", "12"]);
        assert_eq!(
            [0.0, 0.000_01, 0.0042, 0.01, 0.0312, 0.5].map(percent),
            ["0 %", "< 0.01 %", "0.42 %", "1 %", "3.1 %", "50 %"]
        );
    }
}
