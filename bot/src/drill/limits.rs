//! Limits of the policy that a rehearsal can be told on its command line, so that what follows from them can be rehearsed
//! without a configuration.

use std::time::Duration;

use clap::{Args, ValueEnum};
use scalebot_commands::policy::{FreezeWindow, Policy, TakeBack};
use scalebot_commands::units::{Replicas, Timestamp};

use crate::cli::length_of_time;

/// Limits that differ from a rehearsal's own. Hidden: a service is configured.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub(crate) struct LimitArgs {
    /// Whether what turns out badly is taken back: by itself, once somebody says so, or never
    #[arg(long, hide = true, value_enum)]
    take_back: Option<BackRule>,
    /// What to follow when something was taken back, or should have been
    #[arg(long, hide = true, value_name = "URL")]
    incident_runbook: Option<String>,
    /// Never fewer instances
    #[arg(long, hide = true, value_name = "N")]
    minimum: Option<u32>,
    /// Never more instances
    #[arg(long, hide = true, value_name = "N")]
    maximum: Option<u32>,
    /// The largest change in one operation, in percent of the present count
    #[arg(long, hide = true, value_name = "PERCENT")]
    largest_step: Option<u32>,
    /// The latency that ninety-nine of a hundred requests have to stay below
    #[arg(long, hide = true, value_name = "TIME", value_parser = length_of_time)]
    p99_limit: Option<Duration>,
    /// How long after an operation's end the next may begin
    #[arg(long, hide = true, value_name = "TIME", value_parser = length_of_time)]
    cool_down: Option<Duration>,
    /// When nothing may be changed, and why: "2026-01-08T00:00:00Z/2026-01-09T00:00:00Z end of the quarter"
    #[arg(long, hide = true, value_name = "FROM/UNTIL WHY", value_parser = freeze_window)]
    freeze: Vec<FreezeWindow>,
}

/// Whether what turns out badly is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BackRule {
    Automatic,
    Ask,
    Never,
}

impl LimitArgs {
    /// Puts these limits in the place of the policy's own.
    pub(crate) fn set(&self, policy: &mut Policy) {
        let count = &mut policy.count;
        count.minimum = self.minimum.map_or(count.minimum, Replicas);
        count.maximum = self.maximum.map(Replicas).or(count.maximum);
        count.largest_step_percent = self.largest_step.unwrap_or(count.largest_step_percent);
        count.cool_down = self.cool_down.unwrap_or(count.cool_down);
        count.freeze.extend(self.freeze.iter().cloned());
        let load = &mut policy.load;
        load.p99_ms = self.p99_limit.map_or(load.p99_ms, |limit| limit.as_secs_f64() * 1_000.0);
        let back = &mut policy.back;
        back.rule = match self.take_back {
            None => back.rule,
            Some(BackRule::Automatic) => TakeBack::Automatic,
            Some(BackRule::Ask) => TakeBack::Ask,
            Some(BackRule::Never) => TakeBack::Never,
        };
        back.incident_runbook = self.incident_runbook.clone().or_else(|| back.incident_runbook.take());
    }
}

/// Reads a window and why it is there: two times of RFC 3339 with a slash between them, then words.
fn freeze_window(text: &str) -> Result<FreezeWindow, String> {
    const FORM: &str = "write it as 2026-01-08T00:00:00Z/2026-01-09T00:00:00Z end of the quarter";
    let (window, why) = text.trim().split_once(' ').ok_or(FORM)?;
    let (from, until) = window.split_once('/').ok_or(FORM)?;
    let time = |text: &str| text.parse::<Timestamp>().map_err(|_| FORM.to_owned());
    let (from, until) = (time(from)?, time(until)?);
    if until <= from {
        return Err("it must end after it begins".to_owned());
    }
    Ok(FreezeWindow { from, until, why: why.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_flag_a_rehearsal_keeps_its_own_limits_and_each_flag_changes_one() {
        let own = Policy::rehearsal(Duration::from_mins(1));
        let with = |args: LimitArgs| {
            let mut policy = own.clone();
            args.set(&mut policy);
            policy
        };
        assert_eq!(with(LimitArgs::default()), own);
        let all = with(LimitArgs {
            take_back: Some(BackRule::Never),
            incident_runbook: Some("https://runbooks.example/incident".into()),
            minimum: Some(2),
            maximum: Some(9),
            largest_step: Some(50),
            p99_limit: Some(Duration::from_millis(900)),
            cool_down: Some(Duration::from_mins(5)),
            freeze: vec![freeze_window("2026-01-08T00:00:00Z/2026-01-09T00:00:00Z quarter").unwrap()],
        });
        assert_eq!(
            (all.back.rule, all.count.minimum, all.count.maximum),
            (TakeBack::Never, Replicas(2), Some(Replicas(9)))
        );
        assert!((all.load.p99_ms - 900.0).abs() < f64::EPSILON, "{}", all.load.p99_ms);
        assert_eq!((all.count.largest_step_percent, all.count.cool_down), (50, Duration::from_mins(5)));
        assert_eq!(all.back.incident_runbook.as_deref(), Some("https://runbooks.example/incident"));
        assert_eq!(all.count.freeze[0].why, "quarter");
    }

    #[test]
    fn a_freeze_window_has_two_times_in_order_and_says_why() {
        let window = freeze_window("2026-01-08T00:00:00Z/2026-01-08T01:00:00+01:00 end of the year");
        assert!(window.unwrap_err().contains("end after it begins"));
        let window = freeze_window("2026-01-08T00:00:00Z/2026-01-08T02:00:00+01:00 end of the year").unwrap();
        assert_eq!(window.until, "2026-01-08T01:00:00Z".parse::<Timestamp>().unwrap());
        assert_eq!(window.why, "end of the year");
        for wrong in ["", "2026-01-08T00:00:00Z", "2026-01-08T00:00:00Z/2026-01-09T00:00:00Z", "today/tomorrow why"] {
            assert!(freeze_window(wrong).is_err(), "{wrong}");
        }
    }
}
