use proptest::prelude::*;

use super::*;
use crate::http::testing::epoch;

const MB: u64 = 1 << 20;

/// A fleet's history as a test tells it: time passes, instances say something or nothing.
struct Story {
    history: History,
    /// Seconds since the beginning, on the monotonic clock.
    now: u64,
    /// How far the wall clock is off, in seconds.
    off: i64,
}

impl Story {
    fn new() -> Self {
        Self { history: History::new(Duration::from_mins(20)), now: 0, off: 0 }
    }

    fn wall(&self) -> Timestamp {
        at(self.now) + jiff::SignedDuration::from_secs(self.off)
    }

    /// `seconds` pass, then everybody is asked.
    fn after(&mut self, seconds: u64, said: Vec<Said>) {
        self.now += seconds;
        let read = Duration::from_secs(self.now);
        let said = said.into_iter().map(|mut said| {
            if let Ok((moment, _)) = &mut said.figures {
                *moment = read;
            }
            said
        });
        self.history.add(self.wall(), read, said.collect());
    }

    fn load(&mut self, since: Timestamp) -> Load {
        self.history.load(since).unwrap()
    }

    fn requests(&mut self, since: Timestamp) -> u64 {
        self.load(since).requests_and_errors().0
    }
}

fn at(second: u64) -> Timestamp {
    epoch() + Duration::from_secs(second)
}

/// An instance that the orchestrator started `started` seconds after the beginning, or long before.
fn says(id: &str, started: Option<u64>, figures: Figures) -> Said {
    let started_at = started.map_or(epoch() - Duration::from_hours(9), at);
    Said { instance: InstanceId::new(id), started_at, figures: Ok((Duration::ZERO, figures)) }
}

fn silent(id: &str) -> Said {
    let error = PortError::Unreachable { what: format!("instance {id}"), detail: "refused".into() };
    Said { figures: Err(error), ..says(id, None, Figures::default()) }
}

/// So many requests, one in ten an error, one half fast, at 100 ms on the average.
fn requests(count: u64) -> Figures {
    Figures {
        requests: count,
        errors: count / 10,
        bounds_ms: vec![50.0, 500.0],
        counts: vec![count / 2, count - count / 2, 0],
        sum_ms: count as f64 * 100.0,
        ..Figures::default()
    }
}

#[test]
fn a_window_is_the_difference_of_two_scrapes() {
    let mut story = Story::new();
    let told = |requests_so_far, cpu, busy, memory| Figures {
        cpu_seconds: Some(cpu),
        busy_seconds: Some(busy),
        slots: Some(2.0),
        memory_bytes: Some(memory),
        ..requests(requests_so_far)
    };
    story.after(0, vec![says("a", None, told(1_000, 50.0, 30.0, 70 * MB)), says("b", None, requests(0))]);
    story.after(10, vec![says("b", None, requests(0)), says("a", None, told(1_100, 54.0, 35.0, 80 * MB))]);
    let load = story.load(at(0));
    assert_eq!((load.until, load.window, load.missing.len()), (at(10), Millis(10_000), 0));
    let latency = Histogram { bounds_ms: vec![50.0, 500.0], counts: vec![50, 50, 0], sum_ms: 10_000.0 };
    let a = InstanceLoad {
        instance: InstanceId::new("a"),
        requests: 100,
        errors: 10,
        latency,
        cpu: Some(0.4),
        memory_bytes: Some(80 * MB),
        saturation: Some(0.25),
    };
    assert_eq!(load.instances[0], a);
    let b = &load.instances[1];
    assert_eq!((b.requests, b.latency.total(), b.cpu, b.memory_bytes, b.saturation), (0, 0, None, None, None));
}

#[test]
fn there_is_nothing_to_say_without_an_earlier_scrape_in_the_window() {
    let mut story = Story::new();
    assert!(story.history.load(at(0)).is_err());
    story.after(5, vec![says("a", None, requests(10))]);
    let error = story.history.load(at(0)).unwrap_err();
    assert!(error.may_pass() && error.to_string().contains("nothing to compare with yet"), "{error}");
    story.after(5, vec![says("a", None, requests(15))]);
    assert!(story.history.load(at(6)).is_err(), "only the newest is at or after that moment");
    assert_eq!(story.requests(at(5)), 5);
    let load = story.load(at(0));
    assert_eq!((load.window, load.requests_and_errors().0), (Millis(5_000), 5), "as much as there is");
}

#[test]
fn a_fleet_that_cannot_be_read_at_all_is_an_error_and_says_why() {
    let mut story = Story::new();
    story.after(0, vec![says("a", None, requests(1))]);
    story.after(2, vec![silent("a"), silent("b")]);
    let error = story.history.load(at(0)).unwrap_err();
    assert_eq!(error.to_string(), "instance a cannot be reached (refused)");
    story.after(2, vec![]);
    assert!(story.history.load(at(0)).unwrap_err().to_string().contains("no instances"));
}

#[test]
fn a_restart_adds_what_the_new_process_did() {
    let started = |count, started| Figures { started: Some(started), ..requests(count) };
    for (before, after, wanted) in [
        // Counters that are lower.
        (requests(1_000), requests(30), 30),
        // Lower in one bucket only.
        (requests(1_000), Figures { counts: vec![499, 700, 0], requests: 1_199, ..requests(1_199) }, 1_199),
        // Nothing at all so far.
        (requests(1_000), Figures::default(), 0),
        // A later process that has done more already.
        (started(10, 1e9), started(30, 1e9 + 60.0), 30),
        // The same process, its start computed anew.
        (started(10, 1e9), started(30, 1e9 + 0.5), 20),
        (started(10, 1e9), started(30, 1e9 - 0.5), 20),
    ] {
        let mut story = Story::new();
        story.after(0, vec![says("a", None, before)]);
        story.after(10, vec![says("a", None, after.clone())]);
        assert_eq!(story.requests(at(0)), wanted, "{after:?}");
        // From there on as usual.
        story.after(10, vec![says("a", None, Figures { started: after.started, ..requests(2_000) })]);
        assert_eq!(story.requests(at(10)), 2_000 - after.requests);
    }
}

#[test]
fn cpu_time_over_a_restart_is_that_of_both_processes() {
    let cpu = |seconds| Figures { cpu_seconds: Some(seconds), ..requests(0) };
    let mut story = Story::new();
    for seconds in [100.0, 104.0, 1.0, 2.0] {
        story.after(5, vec![says("a", None, cpu(seconds))]);
    }
    assert_eq!(story.load(at(5)).instances[0].cpu, Some(6.0 / 15.0));
}

#[test]
fn a_new_instance_counts_from_its_start_and_an_old_one_from_when_it_was_first_read() {
    let busy = |count| Figures { cpu_seconds: Some(4.0), ..requests(count) };
    let mut story = Story::new();
    story.after(0, vec![says("a", None, requests(0)), silent("old")]);
    story
        .after(10, vec![says("a", None, requests(10)), says("old", None, busy(9_000)), says("new", Some(2), busy(70))]);
    let load = story.load(at(0));
    let new = load.instances.iter().find(|one| one.instance.as_str() == "new").unwrap();
    assert_eq!((new.requests, new.cpu), (70, Some(0.5)), "4 s of CPU time in its 8 s");
    assert_eq!(load.missing, [InstanceId::new("old")], "it did all that at a time that nobody knows");

    story
        .after(10, vec![says("a", None, requests(20)), says("old", None, busy(9_005)), says("new", Some(2), busy(75))]);
    let load = story.load(at(0));
    let counts: Vec<_> = load.instances.iter().map(|one| (one.instance.as_str(), one.requests)).collect();
    assert_eq!(counts, [("a", 20), ("new", 75), ("old", 5)]);
    assert!(load.missing.is_empty());
}

#[test]
fn the_process_knows_better_than_the_orchestrator_when_it_started() {
    let started = at(2).as_millisecond() as f64 / 1_000.0;
    let figures = |count| Figures { started: Some(started), ..requests(count) };
    let mut story = Story::new();
    story.after(0, vec![says("a", None, requests(0))]);
    story.after(10, vec![says("a", None, requests(0)), says("b", None, figures(70))]);
    assert_eq!(story.requests(at(0)), 70);
}

#[test]
fn what_an_instance_did_while_it_did_not_answer_is_told_once_when_it_answers_again() {
    let mut story = Story::new();
    story.after(0, vec![says("a", None, requests(0)), says("b", None, requests(0))]);
    story.after(10, vec![says("a", None, requests(10)), silent("b")]);
    let load = story.load(at(0));
    assert_eq!((load.requests_and_errors().0, load.missing), (10, vec![InstanceId::new("b")]));
    story.after(10, vec![says("a", None, requests(20)), says("b", None, requests(50))]);
    let load = story.load(load.until);
    assert_eq!(load.requests_and_errors().0, 10 + 50);
    story.after(10, vec![says("a", None, requests(20)), says("b", None, requests(51))]);
    assert_eq!(story.requests(load.until), 1);
}

#[test]
fn an_instance_that_has_left_is_in_no_answer() {
    let mut story = Story::new();
    story.after(0, vec![says("a", None, requests(0)), says("b", None, requests(0))]);
    story.after(10, vec![says("a", None, requests(10))]);
    let load = story.load(at(0));
    assert_eq!((load.instances.len(), load.missing.len()), (1, 0));
}

#[test]
fn figures_of_another_shape_are_not_compared() {
    let mut story = Story::new();
    let other = |count| Figures { bounds_ms: vec![60.0, 500.0], ..requests(count) };
    story.after(0, vec![says("a", None, requests(10)), says("b", None, requests(10))]);
    story.after(10, vec![says("a", None, requests(20)), says("b", None, other(20))]);
    let load = story.load(at(0));
    assert_eq!((load.instances.len(), &load.missing), (1, &vec![InstanceId::new("b")]));
    story.after(10, vec![says("a", None, requests(30)), says("b", None, other(35))]);
    assert_eq!(story.requests(at(10)), 10 + 15);
    assert_eq!(story.load(at(0)).missing, [InstanceId::new("b")]);
}

#[test]
fn the_wall_clock_may_be_corrected_without_losing_the_thread() {
    let mut story = Story::new();
    story.after(0, vec![says("a", None, requests(0))]);
    story.after(10, vec![says("a", None, requests(10))]);
    let until = story.load(at(0)).until;
    story.off = -30;
    story.after(10, vec![says("a", None, requests(25))]);
    let load = story.load(until);
    assert_eq!((load.requests_and_errors().0, load.window), (15, Millis(10_000)));
    assert!(load.until > until);
    story.after(60, vec![says("a", None, requests(26))]);
    assert_eq!(story.requests(load.until), 1);
}

#[test]
fn a_wall_clock_that_was_set_back_far_begins_a_new_time() {
    let mut story = Story::new();
    story.after(0, vec![says("a", None, requests(0))]);
    story.after(10, vec![says("a", None, requests(10))]);
    story.off = -7_200;
    story.after(10, vec![says("a", None, requests(25))]);
    assert!(story.history.load(at(0)).is_err());
    assert!(story.history.load(story.wall() - Duration::from_mins(5)).is_err());
    story.after(10, vec![says("a", None, requests(31))]);
    let since = story.wall() - Duration::from_mins(5);
    assert_eq!(story.requests(since), 6);
}

#[test]
fn hours_of_scrapes_take_bounded_room_and_reach_as_far_back_as_promised() {
    let mut story = Story::new();
    let mut asked = Vec::new();
    for scrape in 0..7_200_u64 {
        story.after(2, vec![says("a", None, requests(scrape))]);
        if scrape % 2 == 1 {
            asked.push(story.load(story.wall() - Duration::from_secs(4)).until);
        }
        assert!(story.history.scrapes.len() <= 31 + 81 + CONTINUED, "{}", story.history.scrapes.len());
    }
    let load = story.load(at(0));
    assert!((1_185..=1_200).contains(&(load.window.0 / 1_000)), "{}", load.window);
    let load = story.load(story.wall() - Duration::from_mins(5));
    assert!((285..=300).contains(&(load.window.0 / 1_000)), "{}", load.window);
    for until in asked.iter().rev().take(CONTINUED - 2) {
        assert!(story.history.scrapes.iter().any(|scrape| scrape.at == *until), "an answer's end is kept");
    }
    // What the opening of this module's struct says of its size.
    assert!(size_of::<Reading>() <= 168, "{}", size_of::<Reading>());
}

#[test]
fn an_instance_not_heard_of_for_long_is_forgotten() {
    let mut story = Story::new();
    story.after(0, vec![says("a", None, requests(1)), says("b", None, requests(1))]);
    story.after(1_300, vec![says("a", None, requests(2)), silent("b")]);
    assert_eq!(story.history.known.len(), 1);
}

/// What happens to one instance between two looks at it.
#[derive(Clone, Debug)]
enum Chapter {
    Works(u64),
    Restarts,
    Scraped,
    DoesNotAnswer,
    AskedAbout,
}

proptest! {
    #[test]
    fn answers_that_continue_each_other_tell_every_request_exactly_once(
        chapters in prop::collection::vec(
            prop_oneof![
                (0..50_u64).prop_map(Chapter::Works),
                Just(Chapter::Restarts),
                Just(Chapter::Scraped),
                Just(Chapter::DoesNotAnswer),
                Just(Chapter::AskedAbout),
            ],
            0..60,
        ),
        pace in 1..40_u64,
        tells_its_start in any::<bool>(),
    ) {
        let mut story = Story::new();
        let (mut done, mut counter, mut starts) = (0, 7, 1_000.0);
        let said = |counter, starts| {
            let figures = Figures { started: tells_its_start.then_some(starts), ..requests(counter) };
            vec![says("a", None, figures), says("b", None, requests(1))]
        };
        story.after(1, said(counter, starts));
        let (mut since, mut told) = (story.wall(), 0);
        let ending = [Chapter::AskedAbout];
        for chapter in chapters.iter().chain(&ending) {
            match chapter {
                Chapter::Works(more) => {
                    done += more;
                    counter += more;
                }
                // Right after a scrape, so that nothing is lost with the process; and not without a trace.
                Chapter::Restarts => {
                    story.after(pace, said(counter, starts));
                    counter = 0;
                    starts += 100.0;
                    story.after(pace, said(counter, starts));
                }
                Chapter::Scraped => story.after(pace, said(counter, starts)),
                Chapter::DoesNotAnswer => story.after(pace, vec![silent("a"), says("b", None, requests(1))]),
                Chapter::AskedAbout => {
                    story.after(pace, said(counter, starts));
                    let load = story.load(since);
                    told += load.requests_and_errors().0;
                    since = load.until;
                }
            }
        }
        // A story longer than is kept may lose its beginning; this one is not.
        prop_assume!(story.now < 1_100);
        prop_assert_eq!(told, done);
    }
}
