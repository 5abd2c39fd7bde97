//! What the log channel is told: whole stories as an auditor reads them, post by post.

use std::sync::Mutex;

use async_trait::async_trait;
use scalebot_commands::approval::Mark;
use scalebot_commands::journal::{CancelRequested, PersonsAnswer, Signal};
use scalebot_commands::outbox::Outbox;
use scalebot_commands::policy::Policy;
use scalebot_commands::ports::{Announced, LedgerError, LogChannel, PortError, Post, Posts, Slot};
use scalebot_commands::units::Person;

use crate::testing::{Ill, Manner, Script, Stage, halted, unreachable};

/// A log channel, with what is known of it.
#[derive(Default)]
struct Channel(Mutex<(Vec<Post>, Option<Post>)>);

#[async_trait]
impl LogChannel for Channel {
    async fn post(&self, post: &Post) -> Result<String, PortError> {
        self.0.lock().unwrap().0.push(post.clone());
        Ok("1".into())
    }

    async fn find(&self, _: &Post) -> Result<Option<String>, PortError> {
        Ok(None)
    }

    async fn sealed(&self) -> Result<Vec<Announced>, PortError> {
        Ok(vec![])
    }
}

#[async_trait]
impl Posts for Channel {
    async fn position(&self) -> Result<(u64, Option<Post>), LedgerError> {
        let known = self.0.lock().unwrap();
        Ok((known.0.last().map_or(0, |post| post.last), known.1.clone()))
    }

    async fn plan(&self, post: &Post) -> Result<(), LedgerError> {
        self.0.lock().unwrap().1 = Some(post.clone());
        Ok(())
    }

    async fn confirm(&self, _: &Post, _: &str) -> Result<(), LedgerError> {
        self.0.lock().unwrap().1 = None;
        Ok(())
    }
}

/// Everything that the channel was told, a post a paragraph.
async fn told(stage: &Stage) -> String {
    let (ports, channel) = (stage.ports(), Channel::default());
    let outbox = Outbox { ledger: &*ports.ledger, posts: &channel, channel: &channel, world: &*ports.world };
    outbox.flush(true).await.unwrap();
    let (told, _) = channel.0.into_inner().unwrap();
    told.iter().map(|post| post.text.as_str()).collect::<Vec<_>>().join("\n\n")
}

/// The lines of the story that are of these kinds.
async fn of(kinds: &[&str], command: &str, set_up: impl FnOnce(&mut Script)) -> String {
    let stage = Stage::with(set_up);
    let all = told(stage.play(command).await).await;
    let lines = all.lines().filter(|line| kinds.iter().any(|kind| line.contains(&format!("7f3a01  {kind}  "))));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_scaling_during_a_halt_that_was_approved() {
    let stage = Stage::with(|script| {
        script.halt = [Ok(halted(true)), Ok(halted(true))];
        script.on_show = |script, _, card| {
            script.vote(card, "viewer", Mark::Approve);
            script.vote(card, "lead", Mark::Approve);
        };
    });
    insta::assert_snapshot!(told(stage.play("/scale up 6 reason:\"planned campaign\"").await).await, @"
    2026-01-08 03:12:00 UTC  7f3a01  requested  api up to 6 by operator: planned campaign

    2026-01-08 03:12:00 UTC  7f3a01  assessed  4 of 4 ready; 38.0 requests/s, p99 990 ms, errors 0 %

    2026-01-08 03:12:00 UTC  7f3a01  prechecked  needs approval: halt state (15 checks)

    2026-01-08 03:12:00 UTC  7f3a01  approval requested  4 → 6, within 15 min, request e7de0f83. Halt state: halt table and halt signals say halted since 2026-01-08 02:41:00 UTC (consensus_failure). Scaling during a halt needs a governance lead's approval.

    2026-01-08 03:12:00 UTC  7f3a01  escalated  CRITICAL to the governance lead: scaling during halt. Halt state: halt table and halt signals say halted since 2026-01-08 02:41:00 UTC (consensus_failure). Scaling during a halt needs a governance lead's approval.

    2026-01-08 03:12:00 UTC  7f3a01  vote cast  viewer: approve, request e7de0f83
    2026-01-08 03:12:00 UTC  7f3a01  vote cast  lead: approve, request e7de0f83
    2026-01-08 03:12:00 UTC  7f3a01  vote refused  viewer: Only a governance lead may decide on this request. Nothing was done. Ask a governance lead.

    2026-01-08 03:12:00 UTC  7f3a01  approved  Approved by lead. Request e7de0f83

    2026-01-08 03:12:00 UTC  7f3a01  prechecked  needs approval: halt state (15 checks)

    2026-01-08 03:12:00 UTC  7f3a01  scaling  about to set the count: 4 → 6, approved by request e7de0f83
    2026-01-08 03:12:00 UTC  7f3a01  scaling answered  the count is set

    2026-01-08 03:12:03 UTC  7f3a01  scaled  6 of 6 ready after 3 s

    2026-01-08 03:12:03 UTC  7f3a01  verified  passed: 6 instances, 2 new, chain compared at 18-20, in 0 s

    2026-01-08 03:13:03 UTC  7f3a01  monitored  improved: p99 492 ms, errors 0 %; 60 s of 60 s observed, 20 samples. p99 latency 492 ms, before 990 ms, more than chance explains (16 samples).

    2026-01-08 03:13:03 UTC  7f3a01  documented  capacity document: CAPACITY.md

    2026-01-08 03:13:03 UTC  7f3a01  follow up  Plan capacity, so that the next rise in load does not need a scaling in a hurry. This scaling was reactive: over the limit: latency.

    2026-01-08 03:13:03 UTC  7f3a01  finished  done, improved: 4 → 6, 6 now
    ");
}

#[tokio::test]
async fn a_scaling_of_which_people_were_asked_and_another_at_the_same_time() {
    let stage = Stage::with(|script| {
        script.before = Some(Manner { old_ms: 400.0, new_ms: 400.0, failing: 0 });
        (script.attended, script.keys) = (true, false);
        script.on_show = |script, slot, card| {
            let answer = |text: &str| PersonsAnswer { by: Person::new("operator"), text: text.to_owned() };
            match slot {
                Slot::Question if card.title.starts_with("Why") => {
                    script.signal(Signal::Reason(answer("campaign\nat noon")));
                }
                Slot::Question => script.signal(Signal::Attest(answer("looked at both"))),
                _ => {}
            }
        };
    });
    let policy = Policy::rehearsal(std::time::Duration::from_mins(1));
    stage.play("/scale up 6").await;
    stage.take("/scale up 7 target:web", &policy).await;
    insta::assert_snapshot!(told(&stage).await, @r#"
    2026-01-08 03:12:00 UTC  7f3a01  requested  api up to 6 by operator

    2026-01-08 03:12:00 UTC  7f3a01  assessed  4 of 4 ready; 38.0 requests/s, p99 493 ms, errors 0 %
    2026-01-08 03:12:00 UTC  7f3a01  reason given  operator: campaign at noon
    2026-01-08 03:12:00 UTC  7f3a01  rationale  operator: campaign at noon

    2026-01-08 03:12:00 UTC  7f3a01  prechecked  may be done: 15 checks

    2026-01-08 03:12:00 UTC  7f3a01  scaling  about to set the count: 4 → 6
    2026-01-08 03:12:00 UTC  7f3a01  scaling answered  the count is set

    2026-01-08 03:12:03 UTC  7f3a01  scaled  6 of 6 ready after 3 s

    2026-01-08 03:12:03 UTC  7f3a01  verified  passed: 6 instances, 2 new, chain compared at 18-20, in 0 s

    2026-01-08 03:12:03 UTC  7f3a01  attestation given  operator: looked at both

    2026-01-08 03:12:03 UTC  7f3a01  attested  operator for the keys of api-5, api-6: looked at both

    2026-01-08 03:13:03 UTC  7f3a01  monitored  stable: p99 492 ms, errors 0 %; 60 s of 60 s observed, 20 samples. All instances agree on halt and hash chain.

    2026-01-08 03:13:03 UTC  7f3a01  documented  capacity document: CAPACITY.md

    2026-01-08 03:13:03 UTC  7f3a01  finished  done, stable: 4 → 6, 6 now

    2026-01-08 03:13:03 UTC  -  command refused  /scale up 7 target:web by operator: There is no target "web". There is: api. Leave target: out to mean the first.
    "#);
}

#[tokio::test]
async fn what_was_refused_rejected_expired_or_cancelled() {
    let both = |script: &mut Script| script.halt = [Ok(halted(true)), Ok(halted(true))];
    let ends = ["prechecked", "rejected", "expired", "cancel requested", "escalated", "finished"];
    insta::assert_snapshot!(of(&ends, "/scale up 7", |_| ()).await, @r"
    2026-01-08 03:12:00 UTC  7f3a01  prechecked  refused: database connections (15 checks)
    2026-01-08 03:12:00 UTC  7f3a01  escalated  HIGH to the infrastructure team: cannot scale due to infrastructure limits. Database connections: 112 needed: 7 × 15 + 7 of others. The largest count that fits is 6. Raise the server's limit or make each pool smaller, then ask again.
    2026-01-08 03:12:00 UTC  7f3a01  finished  refused: 4 → 7, 4 now. Database connections: 112 needed: 7 × 15 + 7 of others. The largest count that fits is 6. Raise the server's limit or make each pool smaller, then ask again.
    ");
    let rejected = of(&ends, "/scale up 6", |script| {
        both(script);
        script.on_show = |script, _, card| script.vote(card, "lead", Mark::Reject);
    });
    insta::assert_snapshot!(rejected.await, @"
    2026-01-08 03:12:00 UTC  7f3a01  prechecked  needs approval: halt state (15 checks)
    2026-01-08 03:12:00 UTC  7f3a01  escalated  CRITICAL to the governance lead: scaling during halt. Halt state: halt table and halt signals say halted since 2026-01-08 02:41:00 UTC (consensus_failure). Scaling during a halt needs a governance lead's approval.
    2026-01-08 03:12:00 UTC  7f3a01  rejected  Rejected by lead. Nothing was changed. Request e7de0f83
    2026-01-08 03:12:00 UTC  7f3a01  finished  rejected: 4 → 6, 4 now. Rejected by lead. Nothing was changed.
    ");
    insta::assert_snapshot!(of(&ends, "/scale up 6", both).await, @"
    2026-01-08 03:12:00 UTC  7f3a01  prechecked  needs approval: halt state (15 checks)
    2026-01-08 03:12:00 UTC  7f3a01  escalated  CRITICAL to the governance lead: scaling during halt. Halt state: halt table and halt signals say halted since 2026-01-08 02:41:00 UTC (consensus_failure). Scaling during a halt needs a governance lead's approval.
    2026-01-08 03:27:00 UTC  7f3a01  expired  No governance lead decided within 15 min. Nothing was changed. Ask again. Request e7de0f83
    2026-01-08 03:27:00 UTC  7f3a01  finished  expired: 4 → 6, 4 now. No governance lead decided within 15 min. Nothing was changed. Ask again.
    ");
    let cancelled = of(&ends, "/scale up 6", |script| {
        script.on_show = |script, slot, _| {
            if slot == Slot::Precheck {
                script.signal(Signal::Cancel(CancelRequested { by: Person::new("operator") }));
            }
        };
    });
    insta::assert_snapshot!(cancelled.await, @r"
    2026-01-08 03:12:00 UTC  7f3a01  prechecked  may be done: 15 checks
    2026-01-08 03:12:00 UTC  7f3a01  cancel requested  by operator
    2026-01-08 03:12:00 UTC  7f3a01  finished  cancelled: 4 → 6, 4 now. Cancelled by operator. Nothing was changed.
    ");
}

#[tokio::test]
async fn what_went_wrong() {
    let found = ["assessed", "not ready", "verified", "monitored", "documented", "escalated", "finished"];
    let unknown = of(&found, "/scale up 6", |script| script.fleet = unreachable("the rehearsal's world"));
    insta::assert_snapshot!(unknown.await, @r"
    2026-01-08 03:12:10 UTC  7f3a01  assessed  the fleet could not be seen: the rehearsal's world cannot be reached (connection refused); 0.0 requests/s
    2026-01-08 03:12:10 UTC  7f3a01  finished  refused: ? → 6, ? now. The rehearsal's world cannot be reached (connection refused). Nothing is done to a fleet that cannot be seen. Ask again when it can be.
    ");
    let failed = of(&found, "/scale up 6", |script| {
        script.arrive = (scalebot_commands::ports::InstanceState::Failed, Some("exit status 1".into()));
    });
    insta::assert_snapshot!(failed.await, @"
    2026-01-08 03:12:00 UTC  7f3a01  assessed  4 of 4 ready; 38.0 requests/s, p99 990 ms, errors 0 %
    2026-01-08 03:12:00 UTC  7f3a01  not ready  4 of 6 ready after 0 s: instance api-5 has failed: exit status 1
    2026-01-08 03:12:00 UTC  7f3a01  escalated  HIGH to the infrastructure team: cannot scale due to infrastructure limits. instance api-5 has failed: exit status 1
    2026-01-08 03:12:00 UTC  7f3a01  verified  passed: 4 instances, 0 new, chain compared at 18-20, in 0 s
    2026-01-08 03:12:00 UTC  7f3a01  documented  capacity document: CAPACITY.md
    2026-01-08 03:12:00 UTC  7f3a01  finished  taken back: 4 → 6, 4 now. Instance api-5 has failed: exit status 1. Taken back: 4 instances as before, all of them verified. Logs of api-5: logs/api-5.log. Logs of api-6: logs/api-6.log.
    ");
    let forked = of(&found, "/scale up 6", |script| _ = script.ill.insert("api-5", Ill::OtherChain));
    insta::assert_snapshot!(forked.await, @"
    2026-01-08 03:12:00 UTC  7f3a01  assessed  4 of 4 ready; 38.0 requests/s, p99 990 ms, errors 0 %
    2026-01-08 03:12:03 UTC  7f3a01  verified  inconsistent: 6 instances, 2 new, chain compared at 18-20, in 0 s. api-5, chain: another event than the rest of the fleet at sequence 18
    2026-01-08 03:12:03 UTC  7f3a01  escalated  CRITICAL to the system architect: consistency issues after scaling. api-5, chain: another event than the rest of the fleet at sequence 18.
    2026-01-08 03:12:03 UTC  7f3a01  verified  passed: 4 instances, 0 new, chain compared at 18-20, in 0 s
    2026-01-08 03:12:03 UTC  7f3a01  documented  capacity document: CAPACITY.md
    2026-01-08 03:12:03 UTC  7f3a01  finished  taken back: 4 → 6, 4 now. api-5, chain: another event than the rest of the fleet at sequence 18. Taken back: 4 instances as before, all of them verified. Logs of api-5: logs/api-5.log. Logs of api-6: logs/api-6.log.
    ");
    let worse = of(&found, "/scale up 6", |script| {
        script.after = Some(Manner { old_ms: 300.0, new_ms: 1_400.0, failing: 0 });
    });
    insta::assert_snapshot!(worse.await, @"
    2026-01-08 03:12:00 UTC  7f3a01  assessed  4 of 4 ready; 38.0 requests/s, p99 990 ms, errors 0 %
    2026-01-08 03:12:03 UTC  7f3a01  verified  passed: 6 instances, 2 new, chain compared at 18-20, in 0 s
    2026-01-08 03:13:03 UTC  7f3a01  monitored  regressed: p99 2286 ms, errors 0 %; 60 s of 60 s observed, 20 samples. Mean latency of the new instances (api-5 and api-6) was 748 ms, of the others at the same time 160 ms, more than chance explains (16 samples).
    2026-01-08 03:13:03 UTC  7f3a01  escalated  MEDIUM to the system architect: performance not improving after scaling. Mean latency of the new instances (api-5 and api-6) was 748 ms, of the others at the same time 160 ms, more than chance explains (16 samples). p99 latency 2286 ms, limit 500 ms (16 samples). p99 latency 2286 ms, before 990 ms, …
    2026-01-08 03:13:03 UTC  7f3a01  verified  passed: 4 instances, 0 new, chain compared at 18-20, in 0 s
    2026-01-08 03:13:03 UTC  7f3a01  documented  capacity document: CAPACITY.md
    2026-01-08 03:13:03 UTC  7f3a01  finished  taken back, regressed: 4 → 6, 4 now
    ");
}
