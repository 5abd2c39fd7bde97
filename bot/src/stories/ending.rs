//! Instances that nobody can take out of the balancer: they get requests until they are told to end, and answer the last
//! ones while they do.

use scalebot_commands::policy::Policy;
use scalebot_commands::ports::{Draining, Slot};

use super::fleet::easy;
use super::*;

const DOWN: &str = "/scale down 3 reason:\"night\"";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Twenty seconds are to be given to requests that nobody measures.
fn policy() -> Policy {
    let mut policy = easy();
    policy.drain.unmeasured = Some(seconds(20));
    policy
}

fn with_time_to_end(script: &mut Script, grace: u64) {
    let how = format!("{grace} s for its last ones, by its preStop hook");
    script.draining = Ok(Draining::AsItEnds { grace: seconds(grace), how });
}

/// The row of the plan's checks that says how requests are stopped.
fn row(stage: &Stage) -> Value {
    let checks = last(stage, "prechecked")["checks"].as_array().cloned().unwrap();
    checks.into_iter().find(|check| check["name"] == "drain").unwrap_or_default()
}

fn nothing_was_ordered(stage: &Stage) {
    assert_eq!((times(stage, "draining"), times(stage, "readmitting")), (0, 0));
    assert!(!stage.script().touched.contains(&"route"));
}

#[tokio::test]
async fn are_ended_while_they_get_requests_and_the_plan_says_so() {
    let stage = Stage::with(|script| with_time_to_end(script, 30));
    stage.play_under(DOWN, &policy()).await;
    assert_eq!(ended(&stage).0, "completed", "{:?}", ended(&stage));
    nothing_was_ordered(&stage);
    assert_eq!((times(&stage, "terminated"), last(&stage, "drained")["ended"].as_str()), (1, Some("as_it_ends")));
    assert_eq!(row(&stage)["status"], "warn");
    let advice = row(&stage)["advice"].to_string();
    assert!(advice.contains("waited, not measured"), "{advice}");
}

#[tokio::test]
async fn are_not_ended_with_less_time_than_policy_gives_them() {
    let stage = Stage::with(|script| with_time_to_end(script, 10));
    stage.play_under(DOWN, &policy()).await;
    assert_eq!((ended(&stage).0.as_str(), times(&stage, "terminating")), ("refused", 0));
    assert_eq!(row(&stage)["status"], "fail");
    let limit = row(&stage)["limit"].to_string();
    assert!(limit.contains("10 s") && limit.contains("20 s"), "{limit}");
}

#[tokio::test]
async fn are_not_ended_where_policy_says_nothing_of_what_cannot_be_measured() {
    let stage = Stage::with(|script| with_time_to_end(script, 30));
    stage.play_under(DOWN, &easy()).await;
    assert_eq!((ended(&stage).0.as_str(), times(&stage, "terminating")), ("refused", 0));
}

#[tokio::test]
async fn are_not_ended_while_it_cannot_be_told_how_requests_are_stopped() {
    let stage = Stage::with(|script| script.draining = unreachable("the Kubernetes API"));
    stage.play_under(DOWN, &policy()).await;
    assert_eq!((ended(&stage).0.as_str(), times(&stage, "terminating")), ("refused", 0));
    assert_eq!(row(&stage)["status"], "unknown");
}

#[tokio::test]
async fn are_not_ended_where_nobody_else_gets_requests() {
    let stage = Stage::with(|script| {
        with_time_to_end(script, 30);
        script.ill.extend(["api-1", "api-2", "api-3"].map(|name| (name, Ill::Unrouted)));
    });
    stage.play_under(DOWN, &policy()).await;
    let (outcome, reason) = ended(&stage);
    assert_eq!((outcome.as_str(), times(&stage, "terminating")), ("refused", 0), "{reason}");
    assert!(reason.contains("No instance but api-4 gets requests now"), "{reason}");
    nothing_was_ordered(&stage);
}

#[tokio::test]
async fn are_left_as_they_are_where_an_end_is_refused() {
    let stage = Stage::with(|script| {
        with_time_to_end(script, 30);
        script.scale = Ok(scalebot_commands::ports::OrderAnswer::Refused { detail: "not you".into() });
    });
    stage.play_under(DOWN, &policy()).await;
    let (outcome, reason) = ended(&stage);
    assert_eq!(outcome, "failed", "{reason}");
    assert!(!reason.contains("gets requests again") && !reason.contains("gets no requests"), "{reason}");
    nothing_was_ordered(&stage);
}

#[tokio::test]
async fn are_ended_once_whatever_moment_the_bot_is_killed_at() {
    for moment in ["prechecked", "drained", "terminating", "terminating_answered", "terminated"] {
        let stage = Stage::with(|script| with_time_to_end(script, 30));
        stage.play_under_until(DOWN, &policy(), moment).await;
        stage.resume_under(&policy()).await;
        assert_eq!((ended(&stage).0.as_str(), times(&stage, "terminated")), ("completed", 1), "{moment}");
        assert_eq!(stage.script().touched.iter().filter(|what| **what == "remove").count(), 1, "{moment}");
        nothing_was_ordered(&stage);
    }
}

#[tokio::test]
async fn go_on_as_the_log_says_where_they_can_be_taken_out_meanwhile() {
    let stage = Stage::with(|script| with_time_to_end(script, 30));
    stage.play_under_until(DOWN, &policy(), "drained").await;
    stage.script().draining = Ok(Draining::ByOrder);
    stage.resume_under(&policy()).await;
    assert_eq!((ended(&stage).0.as_str(), times(&stage, "terminated")), ("completed", 1));
    nothing_was_ordered(&stage);
}

#[tokio::test]
async fn are_taken_back_without_an_order_as_well() {
    let stage = Stage::with(|script| {
        with_time_to_end(script, 30);
        script.ill.insert("api-6", Ill::OtherChain);
    });
    stage.play_under(UP, &policy()).await;
    assert_eq!(ended(&stage).0, "rolled_back", "{:?}", ended(&stage));
    nothing_was_ordered(&stage);
    assert_eq!(times(&stage, "rolling_back"), 1);
    let said = format!("{:?}", stage.cards(Slot::WayBack));
    assert!(said.contains("It gets requests until then.") && !said.contains("gets no requests"), "{said}");
}

#[tokio::test]
async fn whose_requests_nobody_counts_are_taken_out_and_given_the_time_that_policy_says() {
    let stage = Stage::with(|script| script.in_flight = None);
    stage.play_under(DOWN, &policy()).await;
    assert_eq!((ended(&stage).0.as_str(), times(&stage, "draining")), ("completed", 1), "{:?}", ended(&stage));
    assert_eq!(last(&stage, "drained")["ended"], "waited_not_measured");
    assert_eq!(row(&stage)["status"], "warn");

    // Without that time it is refused before anybody is touched.
    let stage = Stage::with(|script| script.in_flight = None);
    stage.play_under(DOWN, &easy()).await;
    assert_eq!((ended(&stage).0.as_str(), row(&stage)["status"].as_str()), ("refused", Some("fail")));
    nothing_was_ordered(&stage);
}

#[tokio::test]
async fn that_are_sent_requests_for_a_while_after_they_were_taken_out_are_waited_for() {
    let stage = Stage::with(|script| (script.in_flight, script.lag) = (None, 5));
    stage.play_under(DOWN, &policy()).await;
    assert_eq!((ended(&stage).0.as_str(), times(&stage, "interference")), ("completed", 0), "{:?}", ended(&stage));
    // The time that policy gives begins when nobody sends them any more.
    let waited = last(&stage, "drained")["waited"].as_u64().unwrap();
    assert!(waited >= 20_000 + 4 * 500, "{waited} ms");

    let stage = Stage::with(|script| (script.in_flight, script.lag) = (None, 100_000));
    stage.play_under(DOWN, &policy()).await;
    let (outcome, reason) = ended(&stage);
    assert_eq!((outcome.as_str(), times(&stage, "terminating")), ("failed", 0), "{reason}");
    assert!(reason.contains("is still sent requests") && reason.contains("api-4 gets requests again"), "{reason}");
}
