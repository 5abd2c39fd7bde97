//! What people type, and what they are answered.

use proptest::prelude::*;

use super::*;

fn up(to: u32) -> Request {
    Request::Change { direction: Direction::Up, to: Replicas(to), target: None, reason: None }
}

#[test]
fn the_command_is_understood_with_and_without_its_options() {
    assert_eq!(parse("/scale up 6"), Ok(up(6)));
    assert_eq!(parse("  /scale   up\t6 "), Ok(up(6)));
    let (target, reason) = (Some(TargetName::new("api")), Some("expected load at noon".to_owned()));
    assert_eq!(
        parse(r#"/scale up 6 target:api reason:"expected load at noon""#),
        Ok(Request::Change { direction: Direction::Up, to: Replicas(6), target, reason })
    );
}

#[test]
fn every_command_is_understood() {
    let texts = [
        "/scale down 4",
        "/scale rollback",
        "/scale rollback reason:\"worse than before\" target:api",
        "/scale plan 6 target:api",
        "/scale status",
        "/scale history",
        "/scale history 50 target:api",
        "/scale cancel",
        "/scale capacity",
        "/scale capacity 120.50 target:api",
        "/scale followups",
        "/scale followups close 41 reason:\"the file is changed\"",
        "/scale help",
    ];
    insta::assert_snapshot!(answers(&texts), @r#"
    > /scale down 4
    understood: /scale down 4
    > /scale rollback
    understood: /scale rollback
    > /scale rollback reason:"worse than before" target:api
    understood: /scale rollback target:api reason:"worse than before"
    > /scale plan 6 target:api
    understood: /scale plan 6 target:api
    > /scale status
    understood: /scale status
    > /scale history
    understood: /scale history
    > /scale history 50 target:api
    understood: /scale history 50 target:api
    > /scale cancel
    understood: /scale cancel
    > /scale capacity
    understood: /scale capacity
    > /scale capacity 120.50 target:api
    understood: /scale capacity 120.5 target:api
    > /scale followups
    understood: /scale followups
    > /scale followups close 41 reason:"the file is changed"
    understood: /scale followups close 41 reason:"the file is changed"
    > /scale help
    understood: /scale help
    "#);
    for text in texts {
        let request = parse(text).unwrap();
        assert_eq!(Word::parse(text.split(' ').nth(1).unwrap()), Some(request.word()));
    }
}

#[test]
fn each_example_that_is_shown_can_be_typed() {
    for word in Word::ALL {
        assert_eq!(parse(word.form()).map(|request| request.word()), Ok(word));
    }
}

#[test]
fn the_canonical_form_is_understood_again() {
    let request = parse(r#"/scale up 6 reason:"a b" target:api"#).unwrap();
    assert_eq!(parse(&request.to_string()), Ok(request));
}

#[test]
fn a_slip_of_the_finger_is_met_with_the_word_that_was_meant() {
    let said = |text: &str| parse(text).unwrap_err().to_string();
    for slip in ["/scale uo 6", "/scale upp 6", "/scale UP 6", "/scale p 6"] {
        assert!(said(slip).contains("Did you mean \"/scale up\"?"), "{}", said(slip));
    }
    for word in Word::ALL {
        let slip = format!("/scale {}x", &word.as_str()[..word.as_str().len() - 1]);
        let meant = format!("Did you mean \"/scale {word}\"? Type: {}", word.form());
        assert!(said(&slip).contains(&meant), "{}", said(&slip));
    }
    for other in ["/scale sideways 6", "/scale xyz 6"] {
        assert!(said(other).contains("type: /scale help"), "{}", said(other));
    }
}

#[test]
fn what_is_wrong_is_met_with_the_right_form_of_that_very_command() {
    insta::assert_snapshot!(
        answers(&[
            "/scale down",
            "/scale down four",
            "/scale down 0",
            "/scale down 4 now",
            "/scale rollback 4",
            "/scale plan",
            "/scale plan 6 reason:x",
            "/scale status reason:x",
            "/scale status now",
            "/scale history all",
            "/scale history 0",
            "/scale history 51",
            "/scale history 5 5",
            "/scale cancel 019b",
            "/scale capacity much",
            "/scale capacity 1.2.3",
            "/scale capacity 0",
            "/scale capacity 120 240",
            "/scale followups all",
            "/scale followups close",
            "/scale followups close x",
            "/scale followups close 0",
            "/scale followups close 41 42",
            "/scale followups reason:x",
            "/scale followups close 41 reason:\"x",
            "/scale history \"5",
            "/scale help up",
        ]),
        @r#"
    > /scale down
    How many instances in all? Type: /scale down 4
    > /scale down four
    "four" is not a whole number of instances. Use digits 0-9, for example: /scale down 4
    > /scale down 0
    0 instances cannot be asked for; 1 to 10000 can. Type: /scale down 4
    > /scale down 4 now
    I do not know what "now" means here. After the count come only target:NAME and reason:"why it is done", each once. Type: /scale down 4
    > /scale rollback 4
    I do not know what "4" means here. Only target:NAME and reason:"why it is done" may follow, each once. Type: /scale rollback
    > /scale plan
    How many instances in all? Type: /scale plan 6
    > /scale plan 6 reason:x
    I do not know what "reason:x" means here. After the count comes only target:NAME. Type: /scale plan 6
    > /scale status reason:x
    I do not know what "reason:x" means here. Only target:NAME may follow. Type: /scale status
    > /scale status now
    I do not know what "now" means here. Only target:NAME may follow. Type: /scale status
    > /scale history all
    "all" is not a whole number of operations. Use digits 0-9, for example: /scale history 10
    > /scale history 0
    0 operations cannot be asked for; 1 to 50 can. Type: /scale history 10
    > /scale history 51
    51 operations cannot be asked for; 1 to 50 can. Type: /scale history 10
    > /scale history 5 5
    I do not know what "5" means here. Only a number of operations and target:NAME may follow, each once. Type: /scale history 10
    > /scale cancel 019b
    I do not know what "019b" means here. Only target:NAME may follow. Type: /scale cancel
    > /scale capacity much
    "much" is not a number of requests per second. Use digits 0-9 and at most one point, for example: /scale capacity 120
    > /scale capacity 1.2.3
    "1.2.3" is not a number of requests per second. Use digits 0-9 and at most one point, for example: /scale capacity 120
    > /scale capacity 0
    0 requests per second cannot be asked about; more than 0 and at most 1000000 can. Type: /scale capacity 120
    > /scale capacity 120 240
    I do not know what "240" means here. Only a number of requests per second and target:NAME may follow, each once. Type: /scale capacity 120
    > /scale followups all
    I do not know what "all" means here. Only close NUMBER, target:NAME and reason:"why it is closed" may follow, each once. Type: /scale followups
    > /scale followups close
    Which one is done? Each follow-up has a number; /scale followups shows them. Type: /scale followups close 41
    > /scale followups close x
    "x" is not the number of a follow-up. Use digits 0-9, for example: /scale followups close 41
    > /scale followups close 0
    "0" is not the number of a follow-up. Use digits 0-9, for example: /scale followups close 41
    > /scale followups close 41 42
    I do not know what "42" means here. Only close NUMBER, target:NAME and reason:"why it is closed" may follow, each once. Type: /scale followups
    > /scale followups reason:x
    I do not know what "reason:" means here. Only close NUMBER, target:NAME and reason:"why it is closed" may follow, each once. Type: /scale followups
    > /scale followups close 41 reason:"x
    A quotation mark is not closed. Type: /scale followups close 41 reason:"the file is changed"
    > /scale history "5
    A quotation mark is not closed. Type: /scale history 10
    > /scale help up
    I do not know what "up" means here. Nothing follows it. Type: /scale help
    "#
    );
}

#[test]
fn what_is_shown_of_a_persons_text_cannot_act() {
    let shown = quoted("a\u{202e}b\u{1b}[31m\u{200b}\n\u{e0041}");
    assert_eq!(shown, "a\\u{202e}b\\u{1b}[31m\\u{200b}\\u{a}\\u{e0041}");
    assert_eq!(quoted(&"x".repeat(100)).chars().count(), 61);
}

/// Each text with what it is answered.
fn answers(texts: &[&str]) -> String {
    let answer = |text: &&str| match parse(text) {
        Ok(request) => format!("understood: {request}"),
        Err(no_command) => no_command.to_string(),
    };
    texts.iter().flat_map(|text| ["> ".to_owned(), escaped(text, 70), format!("\n{}\n", answer(text))]).collect()
}

#[test]
fn what_is_no_command_gets_an_answer_that_shows_the_right_form() {
    insta::assert_snapshot!(answers(&["", "hello", "scale up 6", "/SCALE up 6", "/scale", "/scale up"]), @r#"
    > 
    An empty line is not a command. To have six instances in all, type: /scale up 6
    > hello
    "hello" is not a command. To have six instances in all, type: /scale up 6
    > scale up 6
    "scale" is not a command. To have six instances in all, type: /scale up 6
    > /SCALE up 6
    "/SCALE" is not a command. To have six instances in all, type: /scale up 6
    > /scale
    What is to be done? Type: /scale up 6 (or /scale help to see everything)
    > /scale up
    How many instances in all? Type: /scale up 6
    "#);
}

#[test]
fn what_is_no_count_is_said_to_be_none() {
    let texts = [
        "six",
        "٦",
        "６",
        "-1",
        "+6",
        "1.5",
        "6,5",
        "1e1",
        "0x6",
        "0",
        "007",
        "10000",
        "10001",
        "99999999999999999999",
    ];
    let texts = texts.map(|count| format!("/scale up {count}"));
    insta::assert_snapshot!(answers(&texts.each_ref().map(String::as_str)), @r#"
    > /scale up six
    "six" is not a whole number of instances. Use digits 0-9, for example: /scale up 6
    > /scale up ٦
    "٦" is not a whole number of instances. Use digits 0-9, for example: /scale up 6
    > /scale up ６
    "６" is not a whole number of instances. Use digits 0-9, for example: /scale up 6
    > /scale up -1
    "-1" is not a whole number of instances. Use digits 0-9, for example: /scale up 6
    > /scale up +6
    "+6" is not a whole number of instances. Use digits 0-9, for example: /scale up 6
    > /scale up 1.5
    "1.5" is not a whole number of instances. Use digits 0-9, for example: /scale up 6
    > /scale up 6,5
    "6,5" is not a whole number of instances. Use digits 0-9, for example: /scale up 6
    > /scale up 1e1
    "1e1" is not a whole number of instances. Use digits 0-9, for example: /scale up 6
    > /scale up 0x6
    "0x6" is not a whole number of instances. Use digits 0-9, for example: /scale up 6
    > /scale up 0
    0 instances cannot be asked for; 1 to 10000 can. Type: /scale up 6
    > /scale up 007
    understood: /scale up 7
    > /scale up 10000
    understood: /scale up 10000
    > /scale up 10001
    10001 instances cannot be asked for; 1 to 10000 can. Type: /scale up 6
    > /scale up 99999999999999999999
    99999999999999999999 instances cannot be asked for; 1 to 10000 can. Type: /scale up 6
    "#);
}

#[test]
fn a_word_that_is_not_known_is_met_with_the_nearest_that_is() {
    insta::assert_snapshot!(answers(&["/scale uo 6", "/scale UP 6", "/scale sideways 6", "/scale 6"]), @r#"
    > /scale uo 6
    I do not know "/scale uo". Did you mean "/scale up"? Type: /scale up 6
    > /scale UP 6
    I do not know "/scale UP". Did you mean "/scale up"? Type: /scale up 6
    > /scale sideways 6
    I do not know "/scale sideways". To see what I know, type: /scale help
    > /scale 6
    I do not know "/scale 6". To see what I know, type: /scale help
    "#);
}

#[test]
fn what_is_too_much_too_little_or_twice_is_named() {
    insta::assert_snapshot!(
        answers(&[
            "/scale up 6 please",
            "/scale up 6 reason:campaign at noon",
            "/scale up 6 reason:\"x",
            "/scale up 6 reason:\"\"",
            "/scale up 6 reason:\" \"",
            "/scale up 6 target:",
            "/scale up 6 target:a target:b",
            "/scale up 6 reason:a reason:b",
        ]),
        @r#"
        > /scale up 6 please
        I do not know what "please" means here. After the count come only target:NAME and reason:"why it is done", each once. Type: /scale up 6
        > /scale up 6 reason:campaign at noon
        I do not know what "at" means here. After the count come only target:NAME and reason:"why it is done", each once. Type: /scale up 6
        > /scale up 6 reason:"x
        A quotation mark is not closed. Type: /scale up 6 reason:"planned campaign"
        > /scale up 6 reason:""
        I do not know what "reason:" means here. After the count come only target:NAME and reason:"why it is done", each once. Type: /scale up 6
        > /scale up 6 reason:" "
        I do not know what "reason: " means here. After the count come only target:NAME and reason:"why it is done", each once. Type: /scale up 6
        > /scale up 6 target:
        I do not know what "target:" means here. After the count come only target:NAME and reason:"why it is done", each once. Type: /scale up 6
        > /scale up 6 target:a target:b
        I do not know what "target:b" means here. After the count come only target:NAME and reason:"why it is done", each once. Type: /scale up 6
        > /scale up 6 reason:a reason:b
        I do not know what "reason:b" means here. After the count come only target:NAME and reason:"why it is done", each once. Type: /scale up 6
        "#
    );
}

#[test]
fn what_is_too_long_is_not_cut_but_refused() {
    let long = [
        format!("/scale up 6 {}", "x".repeat(489)),
        format!("/scale up 6 reason:\"{}\"", "x".repeat(301)),
        format!("/scale up 6 target:{}", "x".repeat(61)),
        format!("/scale up 6 reason:{}", "\u{202e}".repeat(40)),
    ];
    insta::assert_snapshot!(answers(&long.each_ref().map(String::as_str)), @r#"
    > /scale up 6 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
    That is 501 characters long; a command has at most 500. Type: /scale up 6
    > /scale up 6 reason:"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
    The reason is 301 characters long; it has at most 300. Type: /scale up 6
    > /scale up 6 target:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
    The name of the target is 61 characters long; it has at most 60. Type: /scale up 6
    > /scale up 6 reason:\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}\u{202e}
    The reason is 320 characters long; it has at most 300. Type: /scale up 6
    "#);
}

#[test]
fn what_would_act_on_a_screen_is_shown_for_what_it_is() {
    insta::assert_snapshot!(
        answers(&[
            "/scale up \u{202e}6",
            "/scale up 6 \u{1b}[2J",
            "/scale up\u{200b} 6",
            "/scale up 6 reason:\"a\u{202e}b\"",
            "/scale up 6 reason:\"two\nlines\" target:\" my  api \"",
        ]),
        @r#"
        > /scale up \u{202e}6
        "\u{202e}6" is not a whole number of instances. Use digits 0-9, for example: /scale up 6
        > /scale up 6 \u{1b}[2J
        I do not know what "\u{1b}[2J" means here. After the count come only target:NAME and reason:"why it is done", each once. Type: /scale up 6
        > /scale up\u{200b} 6
        I do not know "/scale up\u{200b}". Did you mean "/scale up"? Type: /scale up 6
        > /scale up 6 reason:"a\u{202e}b"
        understood: /scale up 6 reason:"a\u{202e}b"
        > /scale up 6 reason:"two\u{a}lines" target:" my  api "
        understood: /scale up 6 target:"my api" reason:"two lines"
        "#
    );
}

/// Whether nothing in it can turn the direction of a text, hide in it, or move a cursor.
fn acts_on_nothing(text: &str) -> bool {
    let acts = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(c, '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
            || matches!(c, '\u{e0000}'..='\u{e0fff}')
    };
    !text.chars().any(acts)
}

/// What commands and mischief are made of.
const PIECES: &[&str] =
    &["/scale", "up", "6", "target:", "reason:", "\"", " ", "\u{202e}", "\u{200b}", "\u{1b}[2J", "\n", "api", "close"];

/// Texts of which many are nearly commands.
fn typed() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => proptest::sample::select(PIECES).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => "[0-9]{1,25}",
    ];
    let scaled =
        proptest::collection::vec(piece.clone(), 0..8).prop_map(|pieces| format!("/scale up 6 {}", pieces.concat()));
    let form = proptest::sample::select(Word::ALL.as_slice()).prop_map(Word::form);
    let option = (form, any::<bool>(), any::<String>()).prop_map(|(form, target, text)| {
        format!("{form} {}:\"{}\"", if target { "target" } else { "reason" }, text.replace('"', ""))
    });
    let word = proptest::sample::select(Word::ALL.as_slice());
    let any_word = (word, proptest::collection::vec(piece.clone(), 0..6))
        .prop_map(|(word, pieces)| format!("/scale {word} {}", pieces.join(" ")));
    prop_oneof![
        any::<String>(),
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat()),
        scaled,
        option,
        any_word
    ]
}

/// Any request that a person can make.
fn requests() -> impl Strategy<Value = Request> {
    let name = || proptest::option::of("[a-z][a-z0-9-]{0,20}( [a-z]{1,9})?").prop_map(|name| name.map(TargetName::new));
    let why = || proptest::option::of("[a-zA-Z0-9:;,.äß]{1,30}( [a-z/]{1,30})?");
    let count = || (1..=MAX_REPLICAS).prop_map(Replicas);
    let rate = (1_u64..=1_000_000_000)
        .prop_map(|thousandths| Rate::parse(&format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000)).unwrap());
    let way = || prop_oneof![Just(Direction::Up), Just(Direction::Down)];
    prop_oneof![
        (way(), count(), name(), why()).prop_map(|(direction, to, target, reason)| Request::Change {
            direction,
            to,
            target,
            reason
        }),
        (name(), why()).prop_map(|(target, reason)| Request::Rollback { target, reason }),
        (count(), name()).prop_map(|(to, target)| Request::Plan { to, target }),
        name().prop_map(|target| Request::Status { target }),
        (1..=MAX_HISTORY, name()).prop_map(|(count, target)| Request::History { count, target }),
        name().prop_map(|target| Request::Cancel { target }),
        (proptest::option::of(rate), name()).prop_map(|(load, target)| Request::Capacity { load, target }),
        name().prop_map(|target| Request::Followups { close: None, target, reason: None }),
        (1..=u64::MAX, name(), why()).prop_map(|(number, target, reason)| Request::Followups {
            close: Some(number),
            target,
            reason
        }),
        Just(Request::Help),
    ]
}

proptest! {
    #[test]
    fn every_request_is_read_again_from_its_canonical_form(request in requests()) {
        let text = request.to_string();
        prop_assert!(text.chars().count() <= MAX_TEXT, "{text}");
        prop_assert_eq!(parse(&text), Ok(request));
    }

    #[test]
    fn no_text_stops_the_program_or_acts_through_what_is_said_of_it(text in typed()) {
        let (said, longest) = match parse(&text) {
            Ok(request) => (request.to_string(), MAX_TEXT),
            // At most one word of it is quoted, each of its characters escaped.
            Err(no_command) => (no_command.to_string(), 800),
        };
        prop_assert!(acts_on_nothing(&said), "{said:?}");
        prop_assert!(said.chars().count() <= longest, "{said:?}");
    }

    #[test]
    fn the_canonical_form_is_the_same_request(text in typed()) {
        if let Ok(request) = parse(&text) {
            prop_assert_eq!(parse(&request.to_string()), Ok(request));
        }
    }
}
