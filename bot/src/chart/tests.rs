//! What the picture shows, by its pixels and its words; and that no input makes it panic.

use scalebot_commands::card::Milestone;

use super::*;

const BLUE: [u8; 3] = [0x00, 0x72, 0xB2];
const ORANGE: [u8; 3] = [0xE6, 0x9F, 0x00];
const VERMILION: [u8; 3] = [0xD5, 0x5E, 0x00];
const GREEN: [u8; 3] = [0x00, 0x9E, 0x73];

/// A picture as it is seen.
struct Seen {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
    description: String,
}

fn seen(chart: &Chart) -> Seen {
    let mut reader = png::Decoder::new(std::io::Cursor::new(draw(chart).unwrap())).read_info().unwrap();
    let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut rgb).unwrap();
    assert_eq!((frame.color_type, frame.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
    let description = reader.info().utf8_text.first().map(|text| text.get_text().unwrap()).unwrap_or_default();
    Seen { width: frame.width as usize, height: frame.height as usize, rgb, description }
}

impl Seen {
    fn at(&self, x: f64, y: f64) -> [u8; 3] {
        let start = 3 * (y.round() as usize * self.width + x.round() as usize);
        self.rgb[start..start + 3].try_into().unwrap()
    }

    /// How often a colour is met in a rectangle.
    fn count(&self, colour: [u8; 3], (left, right): (f64, f64), (top, bottom): (f64, f64)) -> usize {
        let columns = || left.round() as u32..=right.round() as u32;
        (top.round() as u32..=bottom.round() as u32)
            .flat_map(|y| columns().map(move |x| (f64::from(x), f64::from(y))))
            .filter(|(x, y)| self.at(*x, *y) == colour)
            .count()
    }

    fn grey(&self, (left, right): (usize, usize), (top, bottom): (usize, usize)) -> Vec<u8> {
        (top..bottom)
            .flat_map(|y| (left..right).map(move |x| (x, y)))
            .map(|(x, y)| {
                let [red, green, blue] = self.at(x as f64, y as f64).map(f64::from);
                (0.2126 * red + 0.7152 * green + 0.0722 * blue) as u8
            })
            .collect()
    }
}

fn layout(chart: &Chart) -> panels::Layout {
    panels::Layout::of(chart, &series::Story::of(chart).unwrap())
}

fn moment(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_841_925 + seconds).unwrap()
}

fn id(number: u32) -> InstanceId {
    InstanceId::new(format!("api-{number}"))
}

fn wave(seconds: i64, scale: f64) -> f64 {
    let t = seconds as f64;
    ((t / 37.0).sin() + 0.6 * (t / 11.0).cos() + 0.4 * (t / 5.3).sin()) * scale
}

/// Four instances that are too slow, and six that are not.
fn improved() -> Chart {
    let samples = (-16..=60)
        .map(|count| {
            let seconds = count * 15;
            let after = seconds > 0;
            let settled = if after { (-(seconds as f64) / 60.0).exp() } else { 1.0 };
            let instances = if after { 6 } else { 4 };
            Sample {
                at: moment(seconds),
                window: Duration::from_secs(15),
                p50_ms: Some(165.0 + 70.0 * settled + wave(seconds, 12.0)),
                p99_ms: Some(370.0 + 830.0 * settled + wave(seconds, if after { 35.0 } else { 160.0 })),
                error_share: Some((0.0045 * settled + wave(seconds, 0.0012)).max(0.0)),
                requests: (1..=instances)
                    .map(|n| {
                        let even = 570.0 / f64::from(instances);
                        (id(n), (even + wave(seconds + 31 * i64::from(n), 5.0)).round() as u64)
                    })
                    .collect(),
            }
        })
        .collect();
    Chart {
        title: "api 4 → 6".into(),
        verdict: "improved".into(),
        tone: Tone::Good,
        samples,
        limit_ms: 500.0,
        error_limit: 0.01,
        new: [id(5), id(6)].into(),
        marks: vec![
            ChartMark { at: moment(0), what: Milestone::Scaled },
            ChartMark { at: moment(40), what: Milestone::Verified },
        ],
    }
}

/// A short rehearsal in which the new ones are slow, one of them is never asked, and a part was not observed.
fn regressed() -> Chart {
    let seconds = (-12..=60).step_by(3).filter(|seconds| !(24..33).contains(seconds));
    let samples = seconds.map(|seconds| {
        let changed = (1..=48).contains(&seconds);
        let mut requests: BTreeMap<InstanceId, u64> = (1..=4).map(|n| (id(n), if changed { 22 } else { 28 })).collect();
        if changed {
            requests.insert(id(5), 20);
            requests.insert(InstanceId::new("archon72-api-7d9f8b6c5-x2x9z"), 0);
        }
        Sample {
            at: moment(seconds),
            window: Duration::from_secs(3),
            p50_ms: Some(if changed { 290.0 } else { 210.0 } + wave(seconds * 9, 14.0)),
            p99_ms: Some(if changed { 2_350.0 } else { 620.0 } + wave(seconds * 9, 110.0)),
            error_share: Some(if changed { 0.031 + wave(seconds * 9, 0.005) } else { 0.0 }),
            requests,
        }
    });
    Chart {
        title: "archon72-conclave-api 4 → 6, rehearsal on this machine".into(),
        verdict: "regressed, rolled back".into(),
        tone: Tone::Bad,
        samples: samples.collect(),
        limit_ms: 500.0,
        error_limit: 0.01,
        new: [id(5), InstanceId::new("archon72-api-7d9f8b6c5-x2x9z")].into(),
        marks: vec![
            ChartMark { at: moment(0), what: Milestone::Scaled },
            ChartMark { at: moment(4), what: Milestone::Verified },
            ChartMark { at: moment(48), what: Milestone::RolledBack },
        ],
    }
}

#[test]
fn the_picture_has_its_size_and_carries_its_description() {
    let chart = improved();
    let seen = seen(&chart);
    assert_eq!((seen.width, seen.height), (WIDTH as usize, HEIGHT as usize));
    assert_eq!(seen.description, alt_text(&chart));
}

#[test]
fn the_words_say_the_verdict_and_the_figures() {
    insta::assert_snapshot!(alt_text(&improved()), @r"
    api 4 → 6. Verdict: improved. p99 latency (limit 500 ms): median 1,246 ms before, 378 ms after. p50 latency: median 238 ms before, 166 ms after. Errors (limit 1 %): median 0.48 % before, 0.01 % after. Mean requests per second and instance after: 4 old 6.3, 2 new 6.3 to 6.4. Scaled at 03:12:05 UTC. Verified at 03:12:45 UTC. 77 samples, 2026-01-08 03:08:05 to 03:27:05 UTC.
    ");
    insta::assert_snapshot!(alt_text(&regressed()), @r"
    archon72-conclave-api 4 → 6, rehearsal on this machine. Verdict: regressed, rolled back. p99 latency (limit 500 ms): median 543 ms before, 2,353 ms after. p50 latency: median 200 ms before, 290 ms after. Errors (limit 1 %): median 0 % before, 3.1 % after. Mean requests per second and instance after: 4 old 7.3, 2 new 0 to 6.7. Uneven: archon72-api-7d9f8b6c5-x2x9z. Scaled at 03:12:05 UTC. Verified at 03:12:09 UTC. Rolled back at 03:12:53 UTC. 22 samples, 2026-01-08 03:11:53 to 03:13:05 UTC.
    ");
    // Where none is new, the others are not called old.
    let mut down = improved();
    down.new.clear();
    assert!(alt_text(&down).contains("after: 6 at 6.3 to 6.4."), "{}", alt_text(&down));
    let mut long = regressed();
    long.title = "t".repeat(5_000);
    long.verdict = "v".repeat(5_000);
    long.new = (0..500).map(|n| InstanceId::new("n".repeat(200) + &n.to_string())).collect();
    for sample in &mut long.samples {
        sample.requests.extend(long.new.iter().map(|new| (new.clone(), 0)));
    }
    let words = alt_text(&long);
    assert!(words.chars().count() <= 1_024, "{}", words.chars().count());
    assert!(words.contains("p99 latency (limit 500 ms): median"));
}

#[test]
fn limits_and_lines_are_where_their_figures_are() {
    let chart = improved();
    let (seen, layout) = (seen(&chart), layout(&chart));
    let (latency, errors) = (&layout.latency, &layout.errors);
    let across = (latency.x(latency.time.0), latency.x(latency.time.1));
    let band = |y: f64| (y - 1.0, y + 1.0);

    // The limit is a dashed line all across: about two thirds of it are drawn.
    for (panel, limit) in [(latency, 500.0), (errors, 0.01)] {
        let y = panel.y(limit);
        let drawn = seen.count(VERMILION, across, (y, y)) as f64 / (across.1 - across.0);
        assert!((0.4..0.9).contains(&drawn), "{drawn}");
        assert_eq!(seen.count(VERMILION, across, (y - 6.0, y - 3.0)), 0);
        // What is over it is tinted, what is under it is not.
        assert_ne!(seen.at(across.1 - 3.0, y - 6.0), [0xFF; 3]);
        assert_eq!(seen.at(across.1 - 3.0, y + 8.0), [0xFF; 3]);
    }
    for sample in chart.samples.iter().step_by(7) {
        let seconds = sample.at.duration_since(moment(0)).as_secs_f64();
        let x = latency.x(seconds);
        let there = |colour, panel: &panels::Panel, figure| seen.count(colour, (x, x), band(panel.y(figure))) > 0;
        // A mark stands on top of the lines.
        if seconds.abs() > 1.0 {
            assert!(there(BLUE, latency, sample.p99_ms.unwrap()), "p99 at {seconds} s");
            assert!(there(VERMILION, errors, sample.error_share.unwrap()), "errors at {seconds} s");
        }
    }
    let p50 = latency.y(165.0);
    assert!(seen.count(GREEN, across, (p50 - 30.0, p50 + 30.0)) > 300);
}

#[test]
fn what_was_not_observed_is_a_gap() {
    let chart = regressed();
    let (seen, layout) = (seen(&chart), layout(&chart));
    let (latency, requests, errors) = (&layout.latency, &layout.requests, &layout.errors);
    // Each without its axis, and without the limit, which goes on.
    for (panel, colours, bottom) in [
        (latency, &[BLUE, GREEN][..], latency.bottom - 4.0),
        (requests, &[BLUE, ORANGE], requests.bottom - 9.0),
        (errors, &[VERMILION], errors.y(0.012)),
    ] {
        let drawn = |seconds| -> usize {
            let x = panel.x(seconds);
            colours.iter().map(|colour| seen.count(*colour, (x - 3.0, x + 3.0), (panel.top, bottom))).sum()
        };
        assert_eq!(drawn(27.0), 0);
        assert!(drawn(12.0) > 0 && drawn(42.0) > 0);
    }
}

#[test]
fn new_instances_are_marked_and_whoever_stands_out_is_drawn_apart() {
    let chart = regressed();
    let (seen, layout) = (seen(&chart), layout(&chart));
    let panel = &layout.requests;
    let at = |seconds: f64, rate| {
        let (x, y) = (panel.x(seconds), panel.y(rate));
        seen.count(ORANGE, (x - 5.0, x + 5.0), (y - 5.0, y + 5.0))
    };
    // A bead where each line begins: one that is asked, one that is never asked, and nothing at their mean.
    assert!(at(3.0, 20.0 / 3.0) > 60, "{}", at(3.0, 20.0 / 3.0));
    assert!(at(3.0, 0.0) > 60, "{}", at(3.0, 0.0));
    assert_eq!(at(3.0, 10.0 / 3.0), 0);
}

#[test]
fn each_verdict_has_a_shape_that_needs_no_colour() {
    let mut chart = improved();
    chart.samples.truncate(2);
    let mut shapes: Vec<Vec<bool>> = [Tone::Good, Tone::Warn, Tone::Bad, Tone::Unknown, Tone::Info]
        .into_iter()
        .map(|tone| {
            chart.tone = tone;
            seen(&chart).grey((20, 66), (66, 114)).into_iter().map(|grey| grey > 200).collect()
        })
        .collect();
    shapes.sort();
    shapes.dedup();
    assert_eq!(shapes.len(), 5);
}

#[test]
fn without_samples_there_is_no_picture_and_the_words_say_so() {
    let mut chart = improved();
    chart.samples.clear();
    assert!(matches!(draw(&chart), Err(ChartError::NoSamples)));
    assert_eq!(alt_text(&chart), "api 4 → 6. Verdict: improved. Nothing was observed.");
}

#[test]
fn a_sample_that_knows_nothing_is_a_picture_that_says_so() {
    let mut chart = improved();
    chart.samples = vec![Sample {
        at: moment(0),
        window: Duration::ZERO,
        p50_ms: None,
        p99_ms: Some(f64::NAN),
        error_share: Some(-1.0),
        requests: BTreeMap::new(),
    }];
    chart.marks.clear();
    let (seen, layout) = (seen(&chart), layout(&chart));
    assert_eq!(seen.count(BLUE, (90.0, 600.0), (layout.latency.top, layout.latency.bottom)), 0);
    insta::assert_snapshot!(alt_text(&chart), @r"
    api 4 → 6. Verdict: improved. p99 latency (limit 500 ms): median not known. p50 latency: median not known. Errors (limit 1 %): median not known. 1 sample, 2026-01-08 03:12:05 to 03:12:05 UTC.
    ");
}

#[test]
fn no_input_makes_it_panic() {
    let one = |change: &dyn Fn(&mut Chart)| {
        let mut chart = regressed();
        chart.samples.truncate(9);
        change(&mut chart);
        assert!(seen(&chart).height > 0);
        assert!(alt_text(&chart).chars().count() <= 1_024);
    };
    one(&|chart| chart.samples.truncate(1));
    one(&|chart| {
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, f64::MAX, f64::MIN_POSITIVE, 0.0];
        for (sample, odd) in chart.samples.iter_mut().zip(odd) {
            (sample.p50_ms, sample.p99_ms, sample.error_share) = (Some(odd), Some(odd), Some(odd));
            sample.requests = [(id(1), u64::MAX), (id(2), 0)].into();
            sample.window = Duration::from_nanos(1);
        }
        (chart.limit_ms, chart.error_limit) = (f64::MAX, f64::INFINITY);
    });
    one(&|chart| (chart.limit_ms, chart.error_limit) = (f64::NAN, -0.0));
    one(&|chart| {
        // Samples at one and the same moment, in no order, and marks at the ends of time.
        for sample in &mut chart.samples {
            (sample.at, sample.window) = (moment(0), Duration::MAX);
        }
        chart.samples.reverse();
        chart.marks.push(ChartMark { at: Timestamp::MIN, what: Milestone::Scaled });
        chart.marks.push(ChartMark { at: Timestamp::MAX, what: Milestone::RolledBack });
    });
    one(&|chart| (chart.title, chart.verdict) = (String::new(), String::new()));
    one(&|chart| {
        chart.title = "日本語 ✔ \u{1b}[2J\n🚀".repeat(500);
        chart.verdict = "x".repeat(3_000);
        for sample in &mut chart.samples {
            sample.requests = (0..60).map(|n| (InstanceId::new(format!("🚀\u{202e}{n}")), n * n)).collect();
        }
    });
}

#[test]
fn a_sample_is_made_of_a_load() {
    use scalebot_commands::figures::{BACKEND_BOUNDS_MS, Histogram, InstanceLoad};
    use scalebot_commands::units::Millis;

    let mut latency = Histogram::empty(&BACKEND_BOUNDS_MS);
    (0..10).for_each(|_| latency.record(150.0));
    let instance = InstanceLoad {
        instance: id(1),
        requests: 10,
        errors: 1,
        latency,
        cpu: None,
        memory_bytes: None,
        saturation: None,
    };
    let load = Load { until: moment(0), window: Millis(15_000), instances: vec![instance], missing: vec![id(2)] };
    let sample = Sample::from(&load);
    assert_eq!((sample.at, sample.window), (moment(0), Duration::from_secs(15)));
    assert_eq!((sample.p50_ms, sample.error_share), (Some(175.0), Some(0.1)));
    assert_eq!(sample.requests, [(id(1), 10)].into());
}
