//! How cards follow each other on a terminal and in a log.

mod cards;

use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::BoxFuture;
use scalebot_commands::units::Timestamp;

use self::cards::{precheck, progress, refusal};
use super::style::Colour;
use super::*;

const WIDE: Style = Style { colour: Colour::Plain, unicode: true, width: 100 };

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

    scene.show(Slot::Summary, &refusal()).await;
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
