//! What a newer version wrote and this one cannot know: a step in a later version of its shape, something more in it, a
//! kind of event that there was not, a later runbook. It is never guessed at and nothing of it is lost: the operation waits
//! for a person, is carried on by the version that wrote it, or given up.

use scalebot_commands::ports::Slot;

use super::*;

/// What a newer version might have written instead of the last event of a log.
#[derive(Clone, Copy, Debug)]
enum Newer {
    LaterShape,
    SomethingMore,
    AnotherKind,
    LaterRunbook,
}

impl Newer {
    /// The same event as it would have written it, where it may have.
    fn written(self, event: &Event) -> Option<Event> {
        let (mut body, mut kind) = (super::super::body(event), event.kind.clone());
        let fields = body.as_object_mut().unwrap();
        match self {
            Self::LaterShape => *fields.get_mut("v")? = 2.into(),
            Self::SomethingMore => drop(fields.insert("carbon_grams".to_owned(), 12.into())),
            Self::AnotherKind => kind = "carbon_weighed".to_owned(),
            Self::LaterRunbook => *fields.get_mut("runbook")? = 9_999.into(),
        }
        Some(Event { kind, body: body.to_string(), ..event.clone() })
    }

    /// What a person has to read about it.
    fn words(self) -> &'static str {
        match self {
            Self::LaterShape => "it is version 2 of",
            Self::SomethingMore => "it holds \"carbon_grams\", which this one does not know",
            Self::AnotherKind => "this one does not know what carbon_weighed is",
            Self::LaterRunbook => "was begun by version 9999 of the runbook; this is",
        }
    }
}

/// Whether its content says nothing that is gone by: that it was entered again, and what was told to people.
fn says_nothing(event: &Event) -> bool {
    ["resumed", "vote_refused"].contains(&event.kind.as_str())
}

async fn parked(stage: &Stage, story: &Story, case: &str) -> String {
    match stage.take_up(&(story.policy)()).await {
        Ended::Parked(reason) => reason,
        otherwise => panic!("{case}: {otherwise:?}"),
    }
}

#[tokio::test]
async fn what_a_newer_version_wrote_waits_for_a_person_who_is_told_why_and_what_to_do() {
    let mut met = 0;
    for golden in golden::all().iter().filter(|golden| golden.release == VERSION) {
        let story = golden.story;
        for length in 1..golden.log.len() {
            for newer in [Newer::LaterShape, Newer::SomethingMore, Newer::AnotherKind, Newer::LaterRunbook] {
                let original = &golden.log[length - 1];
                let is_open = !left(story, &golden.log[..length], false, SHORT).claims().is_empty();
                let Some(written) = newer.written(original).filter(|_| is_open && !says_nothing(original)) else {
                    continue;
                };
                if matches!(newer, Newer::AnotherKind) && original.kind == "requested" {
                    // Without a request there is no operation.
                    continue;
                }
                met += 1;
                let case = format!("{}: event {length} ({}), {newer:?}", story.name, original.kind);
                let mut log = golden.log[..length].to_vec();
                log[length - 1] = written;
                let log = sealed(log);
                let stage = left(story, &golden.log[..length], false, SHORT);
                stage.holds(&log, SHORT);

                let reason = parked(&stage, story, &case).await;
                assert!(reason.contains(newer.words()), "{case}: {reason}");
                assert!(
                    reason.contains("the version of scalebot that wrote it can carry the operation on"),
                    "{reason}"
                );
                assert!(!reason.contains("Some(") && reason.len() < 250, "{case}: {reason}");
                let card = stage.card(Slot::Escalation).lines.join("\n");
                assert!(card.contains(newer.words()) && card.contains("scalebot operation abandon"), "{case}: {card}");
                assert_untouched(&stage, &case);
                assert_eq!(stage.script().events[..length], log, "{case}: something is lost");
                assert_eq!(stage.claims().len(), 1, "{case}: the fleet is free though nobody said so");
                assert_eq!(parked(&stage, story, &case).await, reason, "{case}: once more");
                assert_eq!(times(&stage, "parked"), 1, "{case}: told twice");
                assert_whole(&stage, &case);

                // The version that wrote it goes on as if it had never been parked.
                let theirs = left(story, &golden.log[..length], false, SHORT);
                let mut log = stage.script().events.clone();
                log[length - 1] = original.clone();
                theirs.holds(&sealed(log), SHORT);
                let ended = theirs.take_up(&(story.policy)()).await;
                assert!(matches!(ended, Ended::Finished(_)), "{case}: {ended:?}");
                assert_eq!(theirs.claims(), [], "{case}");

                assert_abandoned_it_is_free(&stage, story, &case).await;
            }
        }
    }
    assert!(met > 150, "only {met} were met");
}
