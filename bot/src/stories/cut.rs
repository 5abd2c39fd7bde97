//! Each source away, in each way of being away, from each moment of an operation on. Whatever that is, nobody is ended
//! who would not have been, nothing passes that was not read, and whoever reads of it sees which source it was.

use std::cell::RefCell;

use scalebot_commands::policy::Policy;
use scalebot_commands::ports::PortError;

use super::*;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    HaltTable,
    HaltSignals,
    Database,
    Redis,
    Metrics,
    Balancer,
    Chain,
}

impl Source {
    const ALL: [Self; 7] =
        [Self::HaltTable, Self::HaltSignals, Self::Database, Self::Redis, Self::Metrics, Self::Balancer, Self::Chain];

    /// As people know it.
    fn name(self) -> &'static str {
        match self {
            Self::HaltTable => "halt table",
            Self::HaltSignals => "halt signals",
            Self::Database => "database connections",
            Self::Redis => "Redis connections",
            Self::Metrics => "Prometheus",
            Self::Balancer => "HAProxy",
            Self::Chain => "event table",
        }
    }

    /// From now on it answers nothing else.
    fn cut(self, script: &mut Script, why: PortError) {
        match self {
            Self::HaltTable => script.halt[0] = Err(why),
            Self::HaltSignals => script.halt[1] = Err(why),
            Self::Database => script.pools[0] = Err(why),
            Self::Redis => script.pools[1] = Err(why),
            Self::Metrics => script.metrics = Err(why),
            Self::Balancer => script.routing = Err(why),
            Self::Chain => script.head = Err(why),
        }
    }
}

/// How it is away, in the words that the adapters have for it.
fn ways(source: Source) -> Vec<PortError> {
    let what = source.name().to_owned();
    let unreadable = |detail: &str| PortError::Unreadable { what: what.clone(), detail: detail.to_owned() };
    vec![
        PortError::Unreachable { what: what.clone(), detail: "connection refused".to_owned() },
        PortError::TimedOut { what: what.clone(), limit: Duration::from_millis(1_200) },
        PortError::Refused { what: what.clone(), detail: "permission denied".to_owned() },
        PortError::NotServed { what: what.clone(), detail: "it is not there".to_owned() },
        unreadable("nothing was found"),
        unreadable("NaN is no count"),
        unreadable("its newest figures are 45 s old, the limit is 3 s"),
        unreadable("it is of type text, not boolean"),
    ]
}

/// After which event it is away.
const UP_FROM: [&str; 7] = ["requested", "assessed", "prechecked", "scaling", "scaling_answered", "scaled", "verified"];
const DOWN_FROM: [&str; 11] = [
    "requested",
    "assessed",
    "quiesced",
    "prechecked",
    "draining",
    "draining_answered",
    "drained",
    "terminating",
    "terminating_answered",
    "terminated",
    "verified",
];

thread_local! {
    /// What happens when; a function of the stage's holds nothing.
    static CASE: RefCell<Option<(Source, PortError, &'static str)>> = const { RefCell::new(None) };
}

fn at_its_moment(script: &mut Script, event: &Event) {
    CASE.with_borrow_mut(|case| {
        if case.as_ref().is_some_and(|(.., from)| *from == event.kind.as_str())
            && let Some((source, why, _)) = case.take()
        {
            source.cut(script, why);
        }
    });
}

async fn played(command: &str, policy: &Policy, case: (Source, PortError, &'static str)) -> Stage {
    CASE.set(Some(case));
    let stage = Stage::with(|script| script.on_event = at_its_moment);
    stage.play_under(command, policy).await;
    stage
}

/// Whether nobody has to ask that source any more: what it was asked for is done, and stands on record with its age.
fn is_asked_no_more(source: Source, is_up: bool, from: &str) -> bool {
    match source {
        // Fewer instances hold fewer connections.
        Source::Database | Source::Redis => !is_up || !["requested", "assessed"].contains(&from),
        // Once everybody is verified, each instance's share is measured by its own figures.
        Source::Balancer => from == "verified",
        Source::HaltTable | Source::HaltSignals | Source::Metrics | Source::Chain => false,
    }
}

/// How many instances at most were ended on the way down, where that source was away from then on.
fn ended_at_most(source: Source, from: &str) -> usize {
    let before = match from {
        "terminating" | "terminating_answered" | "terminated" => 1,
        "verified" => 2,
        _ => 0,
    };
    match source {
        // The hash chain is asked when everybody is gone who was to go, and never on the way there.
        Source::Chain => 2,
        // The figures that the checks have just read hold for the first one; for the next they are read again.
        Source::Metrics if !["requested", "assessed", "quiesced"].contains(&from) => before.max(1),
        _ => before,
    }
}

/// Everything that was recorded after the source was away.
fn recorded_since(stage: &Stage, from: &str) -> String {
    let script = stage.script();
    let after = script.events.iter().skip_while(|event| event.kind != from).skip(1);
    after.map(|event| event.body.clone()).collect()
}

fn touched(stage: &Stage, what: &str) -> usize {
    stage.script().touched.iter().filter(|touched| **touched == what).count()
}

async fn held(command: &str, is_up: bool, policy: &Policy, moments: &[&'static str]) {
    let mut asked_no_more = 0;
    for source in Source::ALL {
        for from in moments {
            for why in ways(source) {
                let case = format!("{command}: {source:?} away after {from}, {why}");
                let stage = played(command, policy, (source, why.clone(), from)).await;
                CASE.with_borrow(|left| assert!(left.is_none(), "{case}: it never came to {from}"));
                let (outcome, reason) = ended(&stage);
                let removed = touched(&stage, "remove");
                if is_asked_no_more(source, is_up, from) {
                    asked_no_more += 1;
                    assert_eq!(outcome, "completed", "{case}: {reason}");
                    continue;
                }
                // Never a pass, and the source is named with what is wrong about it: with its age where that is it.
                let verdict = last(&stage, "finished")["verdict"].clone();
                assert!(outcome != "completed" || verdict == "inconclusive", "{case}: {outcome}, {verdict}: {reason}");
                let recorded = recorded_since(&stage, from);
                assert!(recorded.contains(&why.to_string()), "{case}: it is not named in {recorded}");
                // Never fewer instances because of what is not known.
                if is_up {
                    assert_eq!((removed, touched(&stage, "route")), (0, 0), "{case}: {reason}");
                } else {
                    assert!(removed <= ended_at_most(source, from), "{case}: {removed} were ended: {reason}");
                }
            }
        }
    }
    assert!(asked_no_more > 0, "that it is not asked any more is no part of this");
}

#[tokio::test]
async fn on_the_way_up_nobody_is_ended_and_nothing_passes() {
    let policy = Policy::rehearsal(Duration::from_mins(1));
    held("/scale up 6 reason:\"noon\"", true, &policy, &UP_FROM).await;
}

#[tokio::test]
async fn on_the_way_down_nobody_further_is_ended_and_nothing_passes() {
    held("/scale down 2 reason:\"night\"", false, &fleet::easy(), &DOWN_FROM).await;
}
