//! The cards as people see them, held still.

use scalebot_commands::card::{Card, Progress, Row, Tone};

use super::super::style::{Colour, Style};
use super::super::text::text;
use super::super::wrap;
use super::WIDE;

const PHONE: Style = Style { colour: Colour::Plain, unicode: true, width: 40 };

fn row(tone: Tone, name: &str, text: &str) -> Row {
    Row { tone, name: name.into(), text: text.into() }
}

pub(super) fn precheck() -> Card {
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
        ask: None,
        chart: None,
        footer: "operation 7f3a9c · asked by mara · 03:12:05 UTC".into(),
    }
}

pub(super) fn refusal() -> Card {
    Card {
        tone: Tone::Bad,
        title: "Refused: the database has no room for 12 instances".into(),
        lines: vec![
            "Nothing was changed. 12 × 15 connections and 12 of others are more than the 197 it takes.".into(),
            "Next: ask for 10 or fewer, or let the Infrastructure Team raise max_connections.".into(),
        ],
        rows: vec![],
        progress: None,
        ask: None,
        chart: None,
        footer: "operation 7f3a9c".into(),
    }
}

pub(super) fn progress(share: f64, seconds: u32, line: &str) -> Card {
    Card {
        tone: Tone::Info,
        title: format!("Monitoring api at 6: {seconds} s of 60 s"),
        lines: vec![line.into()],
        rows: vec![row(Tone::Good, "p99", "382 ms, limit 500 ms"), row(Tone::Good, "errors", "0.0 %, limit 1 %")],
        progress: Some(Progress { share }),
        ask: None,
        chart: None,
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
        ask: None,
        chart: None,
        footer: evil.into(),
    };
    let drawn = text(&card, WIDE);
    assert!(drawn.chars().all(|c| c == '\n' || !c.is_control()), "{drawn:?}");
    assert_eq!(drawn.matches("a]0;title[2Jb c").count(), 5);
}
