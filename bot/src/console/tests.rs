//! What people see, held still; and how cards follow each other on a terminal and in a log.

use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::BoxFuture;
use scalebot_commands::card::{Progress, Row, Tone};
use scalebot_commands::units::Timestamp;

use super::style::Colour;
use super::*;

const WIDE: Style = Style { colour: Colour::Plain, unicode: true, width: 100 };
const PHONE: Style = Style { colour: Colour::Plain, unicode: true, width: 40 };

fn row(tone: Tone, name: &str, text: &str) -> Row {
    Row { tone, name: name.into(), text: text.into() }
}

fn precheck() -> Card {
    Card {
        tone: Tone::Warn,
        title: "api 4 → 6 (2 more): the infrastructure can bear it, a lead must approve".into(),
        lines: vec![
            "The system is halted since 02:41 UTC, so scaling waits for a governance lead (plan 3f9c21aa).".into(),
            "Next: a lead answers ✅ or ❌ here within 15 min; else nothing happens.".into(),
        ],
        rows: vec![
            row(Tone::Good, "instance count", "4 now, 6 wanted; the largest step is 4"),
            row(Tone::Bad, "latency", "p99 1,240 ms over 60 s, limit 500 ms: a trigger for going up"),
            row(Tone::Unknown, "memory", "the instances do not tell it; asked api-1 to api-4"),
            row(Tone::Bad, "halt state", "halted by both sources: halt table, halt signals (2 s old)"),
            row(
                Tone::Good,
                "database",
                "6 × 15 + 12 others + 30 for the rollout = 132 of 197 connections; up to 10 instances fit",
            ),
            row(Tone::Info, "declared count", "not configured"),
        ],
        progress: None,
        footer: "operation 7f3a9c · asked by mara · 03:12:05 UTC".into(),
    }
}

fn refusal() -> Card {
    Card {
        tone: Tone::Bad,
        title: "Refused: the database has no room for 12 instances".into(),
        lines: vec![
            "Nothing was changed. 12 × 15 connections and 12 of others are more than the 197 it takes.".into(),
            "Next: ask for 10 or fewer, or let the Infrastructure Team raise max_connections.".into(),
        ],
        rows: vec![],
        progress: None,
        footer: "operation 7f3a9c".into(),
    }
}

fn progress(share: f64, seconds: u32, line: &str) -> Card {
    Card {
        tone: Tone::Info,
        title: format!("Monitoring api at 6: {seconds} s of 60 s"),
        lines: vec![line.into()],
        rows: vec![row(Tone::Good, "p99", "382 ms, limit 500 ms"), row(Tone::Good, "errors", "0.0 %, limit 1 %")],
        progress: Some(Progress { share }),
        footer: "operation 7f3a9c".into(),
    }
}

fn shown(card: &Card, style: Style) -> String {
    let drawn = text(card, style);
    for line in drawn.lines().filter(|_| style.colour == Colour::Plain) {
        assert!(wrap::columns(line) <= style.width, "too wide: {line}");
        assert_eq!(line, line.trim_end(), "ends in spaces");
    }
    drawn
}

// The snapshots show escape codes as `\e`.
fn visible(drawn: &str) -> String {
    drawn.replace('\x1b', "\\e")
}

#[test]
fn a_precheck_in_a_wide_terminal() {
    insta::assert_snapshot!(shown(&precheck(), WIDE), @r"
    ▲ warn  api 4 → 6 (2 more): the infrastructure can bear it, a lead must approve
      The system is halted since 02:41 UTC, so scaling waits for a governance lead (plan 3f9c21aa).
      Next: a lead answers ✅ or ❌ here within 15 min; else nothing happens.

      ✔ pass     instance count  4 now, 6 wanted; the largest step is 4
      ✖ fail     latency         p99 1,240 ms over 60 s, limit 500 ms: a trigger for going up
      ? unknown  memory          the instances do not tell it; asked api-1 to api-4
      ✖ fail     halt state      halted by both sources: halt table, halt signals (2 s old)
      ✔ pass     database        6 × 15 + 12 others + 30 for the rollout = 132 of 197 connections; up to
                                 10 instances fit
      · info     declared count  not configured

      operation 7f3a9c · asked by mara · 03:12:05 UTC
    ");
}

#[test]
fn a_precheck_on_a_phone() {
    insta::assert_snapshot!(shown(&precheck(), PHONE), @r"
    ▲ warn  api 4 → 6 (2 more): the
            infrastructure can bear it, a
            lead must approve
      The system is halted since 02:41
        UTC, so scaling waits for a
        governance lead (plan 3f9c21aa).
      Next: a lead answers ✅ or ❌ here
        within 15 min; else nothing happens.

      ✔ pass     instance count
                 4 now, 6 wanted; the
                 largest step is 4
      ✖ fail     latency
                 p99 1,240 ms over 60 s,
                 limit 500 ms: a trigger for
                 going up
      ? unknown  memory
                 the instances do not tell
                 it; asked api-1 to api-4
      ✖ fail     halt state
                 halted by both sources:
                 halt table, halt signals
                 (2 s old)
      ✔ pass     database
                 6 × 15 + 12 others + 30 for
                 the rollout = 132 of 197
                 connections; up to 10
                 instances fit
      · info     declared count
                 not configured

      operation 7f3a9c · asked by mara ·
      03:12:05 UTC
    ");
}

#[test]
fn a_precheck_where_only_ascii_can_be_shown() {
    let drawn = shown(&precheck(), Style { unicode: false, width: 72, ..WIDE });
    assert!(drawn.is_ascii());
    insta::assert_snapshot!(drawn, @r"
    ! warn  api 4 -> 6 (2 more): the infrastructure can bear it, a lead must
            approve
      The system is halted since 02:41 UTC, so scaling waits for a
        governance lead (plan 3f9c21aa).
      Next: a lead answers + or x here within 15 min; else nothing
        happens.

      + pass     instance count  4 now, 6 wanted; the largest step is 4
      x fail     latency         p99 1,240 ms over 60 s, limit 500 ms: a
                                 trigger for going up
      ? unknown  memory          the instances do not tell it; asked api-1
                                 to api-4
      x fail     halt state      halted by both sources: halt table, halt
                                 signals (2 s old)
      + pass     database        6 x 15 + 12 others + 30 for the rollout =
                                 132 of 197 connections; up to 10 instances
                                 fit
      - info     declared count  not configured

      operation 7f3a9c - asked by mara - 03:12:05 UTC
    ");
}

#[test]
fn a_refusal_in_colour_still_says_it_in_words() {
    insta::assert_snapshot!(visible(&shown(&refusal(), Style { colour: Colour::Indexed, ..WIDE })), @r"
    \e[38;5;166m✖ fail\e[0m  \e[1mRefused: the database has no room for 12 instances\e[0m
      Nothing was changed. 12 × 15 connections and 12 of others are more than the 197 it takes.
      Next: ask for 10 or fewer, or let the Infrastructure Team raise max_connections.
      \e[2moperation 7f3a9c\e[0m
    ");
    assert!(shown(&refusal(), Style { colour: Colour::True, ..WIDE }).contains("\x1b[38;2;213;94;0m✖ fail\x1b[0m"));
}

#[test]
fn progress_in_a_wide_terminal_and_on_a_phone() {
    let card = progress(0.29, 17, "Everything within limits so far. Next: the summary, in 43 s.");
    insta::assert_snapshot!(shown(&card, WIDE), @r"
    · info  Monitoring api at 6: 17 s of 60 s
      Everything within limits so far. Next: the summary, in 43 s.

      ✔ pass  p99     382 ms, limit 500 ms
      ✔ pass  errors  0.0 %, limit 1 %

      ███████████░░░░░░░░░░░░░░░░░░░░░░░░░░░░░  29 %

      operation 7f3a9c
    ");
    insta::assert_snapshot!(shown(&card, PHONE), @r"
    · info  Monitoring api at 6: 17 s of
            60 s
      Everything within limits so far.
        Next: the summary, in 43 s.

      ✔ pass  p99     382 ms, limit 500 ms
      ✔ pass  errors  0.0 %, limit 1 %

      ████████░░░░░░░░░░░░░░░░░░░░  29 %

      operation 7f3a9c
    ");
    insta::assert_snapshot!(visible(&shown(&card, Style { colour: Colour::True, ..PHONE })), @r"
    \e[38;2;0;114;178m· info\e[0m  \e[1mMonitoring api at 6: 17 s of\e[0m
            \e[1m60 s\e[0m
      Everything within limits so far.
        Next: the summary, in 43 s.

      \e[38;2;0;158;115m✔ pass  \e[0mp99     382 ms, limit 500 ms
      \e[38;2;0;158;115m✔ pass  \e[0merrors  0.0 %, limit 1 %

      ████████░░░░░░░░░░░░░░░░░░░░  29 %

      \e[2moperation 7f3a9c\e[0m
    ");
}

#[test]
fn how_far_it_is_never_shows_more_than_there_is() {
    let bar = |share| text(&progress(share, 0, ""), PHONE).contains('░');
    assert!(text(&progress(0.999, 0, ""), PHONE).contains(" 99 %"));
    assert!(text(&progress(7.0, 0, ""), PHONE).contains("100 %"));
    assert!(text(&progress(-1.0, 0, ""), PHONE).contains("  0 %"));
    assert!(bar(0.0) && !bar(f64::NAN));
}

#[test]
fn what_a_terminal_would_obey_is_dropped_wherever_it_stands() {
    let evil = "a\x1b]0;title\x07\x1b[2Jb\nc";
    let card = Card {
        tone: Tone::Info,
        title: evil.into(),
        lines: vec![evil.into()],
        rows: vec![row(Tone::Info, evil, evil)],
        progress: None,
        footer: evil.into(),
    };
    let drawn = text(&card, WIDE);
    assert!(drawn.chars().all(|c| c == '\n' || !c.is_control()), "{drawn:?}");
    assert_eq!(drawn.matches("a]0;title[2Jb c").count(), 5);
}

/// A writer whose content can be read, and which is told of every call.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<String>>>);

impl Paper {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().push(String::from_utf8(bytes.to_vec()).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A world in which only its clock matters.
#[derive(Default)]
struct Clock(AtomicU64);

impl Clock {
    fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl World for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(futures::future::ready(()))
    }

    fn unique_id(&self) -> String {
        "1".into()
    }

    fn random(&self) -> u64 {
        4
    }
}

struct Scene {
    console: Console,
    paper: Paper,
    clock: Arc<Clock>,
    operation: OperationId,
}

fn scene(size: Option<TerminalSize>) -> Scene {
    let (paper, clock) = (Paper::default(), Arc::new(Clock::default()));
    let medium =
        Medium { out: Box::new(paper.clone()), size: size.map(|size| Box::new(move || size) as _), style: WIDE };
    Scene { console: Console::new(clock.clone(), medium), paper, clock, operation: OperationId::new("7f3a9c") }
}

fn terminal() -> Scene {
    scene(Some(TerminalSize { columns: 80, rows: 24 }))
}

impl Scene {
    async fn show(&self, slot: Slot, card: &Card) -> Vec<String> {
        self.console.show(&self.operation, slot, card).await.unwrap();
        self.paper.take()
    }
}

#[tokio::test]
async fn on_a_terminal_a_card_that_stands_last_is_redrawn_in_place() {
    let scene = terminal();
    let (one, two) = (progress(0.1, 6, "Going on."), progress(0.2, 12, "Going on."));
    let first = scene.show(Slot::Progress, &one).await;
    assert_eq!(first, [text(&one, WIDE.at_width(80))]);
    let rows = first[0].lines().count();
    assert_eq!(
        scene.show(Slot::Progress, &two).await,
        [format!("\x1b[{rows}A\r\x1b[J{}", text(&two, WIDE.at_width(80)))]
    );
    // The same once more: nothing flickers.
    assert!(scene.show(Slot::Progress, &two).await.is_empty());
}

#[tokio::test]
async fn a_card_is_not_redrawn_over_anything_else() {
    let scene = terminal();
    let card = |seconds| progress(0.1, seconds, "Going on.");
    let drawn = |seconds| vec![text(&card(seconds), WIDE.at_width(80))];
    scene.show(Slot::Progress, &card(1)).await;

    scene.console.say("another line").unwrap();
    scene.paper.take();
    assert_eq!(scene.show(Slot::Progress, &card(2)).await, drawn(2));

    scene.console.cursor_moved();
    assert_eq!(scene.show(Slot::Progress, &card(3)).await, drawn(3));

    (&scene.console).write_all(b"a log line\n").unwrap();
    scene.paper.take();
    assert_eq!(scene.show(Slot::Progress, &card(4)).await, drawn(4));

    scene.show(Slot::Precheck, &precheck()).await;
    assert_eq!(scene.show(Slot::Progress, &card(5)).await, drawn(5));

    scene.console.answer(&refusal()).unwrap();
    scene.paper.take();
    assert_eq!(scene.show(Slot::Progress, &card(6)).await, drawn(6));

    scene.console.show(&OperationId::new("other"), Slot::Progress, &card(6)).await.unwrap();
    assert_eq!(scene.paper.take(), drawn(6));
}

#[tokio::test]
async fn a_card_that_has_left_the_screen_at_its_top_is_printed_anew_and_seldom() {
    let scene = scene(Some(TerminalSize { columns: 80, rows: 5 }));
    assert_eq!(scene.show(Slot::Progress, &progress(0.1, 1, "One.")).await.len(), 1);
    assert!(scene.show(Slot::Progress, &progress(0.1, 2, "Two.")).await.is_empty());
    scene.clock.advance(5);
    let anew = scene.show(Slot::Progress, &progress(0.1, 7, "Three.")).await;
    assert!(anew.len() == 1 && !anew[0].contains('\x1b'), "{anew:?}");
}

#[tokio::test]
async fn where_nobody_watches_progress_is_printed_when_there_is_news_and_at_most_every_five_seconds() {
    let scene = scene(None);
    let mut printed = Vec::new();
    for second in 0..20 {
        let line = if second < 12 { "4 of 6 ready." } else { "6 of 6 ready." };
        if !scene.show(Slot::Progress, &progress(f64::from(second) / 20.0, second, line)).await.is_empty() {
            printed.push(second);
        }
        scene.clock.advance(1);
    }
    assert_eq!(printed, [0, 12]);

    let mut printed = Vec::new();
    for second in 20..40 {
        let drawn = scene.show(Slot::Progress, &progress(0.5, second, &format!("{second} requests."))).await;
        assert!(drawn.iter().all(|drawn| !drawn.contains('\x1b')));
        if !drawn.is_empty() {
            printed.push(second);
        }
        scene.clock.advance(1);
    }
    assert_eq!(printed, [20, 25, 30, 35]);
}

#[tokio::test]
async fn where_nobody_watches_other_cards_are_printed_whenever_they_change() {
    let scene = scene(None);
    assert_eq!(scene.show(Slot::Precheck, &precheck()).await, [text(&precheck(), WIDE)]);
    assert!(scene.show(Slot::Precheck, &precheck()).await.is_empty());
    assert_eq!(scene.show(Slot::Precheck, &refusal()).await, [text(&refusal(), WIDE)]);
}

#[tokio::test]
async fn cards_shown_at_once_are_never_mixed() {
    let scene = terminal();
    let cards: Vec<Card> = (0..8).map(|at| progress(0.1, at, "Going on.")).collect();
    // Each of another operation, so that none is redrawn over another one.
    let operations: Vec<OperationId> = (0..8).map(|at| OperationId::new(at.to_string())).collect();
    let shows = operations.iter().zip(&cards).map(|(id, card)| scene.console.show(id, Slot::Progress, card));
    futures::future::try_join_all(shows).await.unwrap();
    let mut written = scene.paper.take();
    let mut whole: Vec<String> = cards.iter().map(|card| text(card, WIDE.at_width(80))).collect();
    written.sort();
    whole.sort();
    assert_eq!(written, whole);
}

struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_reader_that_is_gone_is_an_error_and_the_card_does_not_count_as_shown() {
    let medium = Medium { out: Box::new(Closed), size: None, style: WIDE };
    let console = Console::new(Arc::new(Clock::default()), medium);
    for _ in 0..2 {
        let error = console.show(&OperationId::new("1"), Slot::Precheck, &precheck()).await.unwrap_err();
        assert!(matches!(error, PortError::Unreachable { .. }), "{error}");
    }
}
