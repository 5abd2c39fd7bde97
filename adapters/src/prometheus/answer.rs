//! What Prometheus answers, read strictly: an answer that is not the whole truth is none.

use std::collections::BTreeMap;

use scalebot_commands::request::escaped;
use serde::Deserialize;

/// The most series that an answer may hold.
const MAX_SERIES: usize = 50_000;

/// How much of Prometheus' own words is repeated, in characters.
const QUOTED: usize = 200;

/// One series of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub(super) labels: BTreeMap<String, String>,
    /// Milliseconds since 1970, rising, each with the value then.
    pub(super) points: Vec<(i64, f64)>,
}

/// What kind of answer a question has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One value a series.
    Vector,
    /// Many values a series.
    Matrix,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    status: String,
    data: Option<Data>,
    error_type: Option<String>,
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    infos: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    metric: BTreeMap<String, String>,
    value: Option<(f64, String)>,
    values: Option<Vec<(f64, String)>>,
    histogram: Option<serde::de::IgnoredAny>,
    histograms: Option<serde::de::IgnoredAny>,
}

/// Reads an answer.
///
/// # Errors
/// Why it cannot be relied on: not what was asked for, an error, or by its own words only a part.
pub(super) fn read(body: &[u8], kind: Kind) -> Result<Vec<Series>, String> {
    let envelope: Envelope = serde_json::from_slice(body)
        .map_err(|error| format!("no answer of Prometheus': {}", quote(&error.to_string())))?;
    if let Some(error) = refusal(&envelope) {
        return Err(error);
    }
    if let Some(words) = envelope.warnings.first().or(envelope.infos.first()) {
        return Err(format!("it says that this may not be all: {}", quote(words)));
    }
    let wanted = match kind {
        Kind::Vector => "vector",
        Kind::Matrix => "matrix",
    };
    let data = envelope.data.filter(|data| data.result_type == wanted).ok_or_else(|| format!("it is no {wanted}"))?;
    if data.result.len() > MAX_SERIES {
        return Err(format!("{} series, the limit is {MAX_SERIES}", data.result.len()));
    }
    data.result.into_iter().map(|found| series(found, kind)).collect()
}

/// Prometheus' own words for why it gives no answer, where the body holds some.
pub(super) fn words(body: &[u8]) -> Option<String> {
    refusal(&serde_json::from_slice(body).ok()?)
}

fn refusal(envelope: &Envelope) -> Option<String> {
    if envelope.status == "success" {
        return None;
    }
    let kind = envelope.error_type.as_deref().unwrap_or("error");
    Some(format!("{}: {}", quote(kind), quote(envelope.error.as_deref().unwrap_or("no reason given"))))
}

fn series(found: Found, kind: Kind) -> Result<Series, String> {
    if found.histogram.is_some() || found.histograms.is_some() {
        return Err("it holds native histograms, which have no buckets that could be added up".to_owned());
    }
    let values = match kind {
        Kind::Vector => found.value.map(|value| vec![value]),
        Kind::Matrix => found.values,
    };
    let values = values.ok_or("a series without values")?;
    let mut points = Vec::with_capacity(values.len());
    for (seconds, value) in values {
        let value: f64 = value.parse().map_err(|_| format!("{} is no number", quote(&value)))?;
        points.push(((seconds * 1_000.0).round() as i64, value));
    }
    if !points.is_sorted_by(|one, other| one.0 < other.0) {
        return Err("its values are in no order".to_owned());
    }
    Ok(Series { labels: found.metric, points })
}

fn quote(text: &str) -> String {
    escaped(text, QUOTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(result: &str) -> Result<Vec<Series>, String> {
        let body = format!("{{\"status\":\"success\",\"data\":{{\"resultType\":\"vector\",\"result\":{result}}}}}");
        read(body.as_bytes(), Kind::Vector)
    }

    #[test]
    fn values_are_read_with_their_labels_and_moments() {
        let series = vector(r#"[{"metric":{"instance":"a:1"},"value":[1767841200.0625,"+Inf"]}]"#).unwrap();
        assert_eq!(series[0].labels["instance"], "a:1");
        assert_eq!(series[0].points, [(1_767_841_200_063, f64::INFINITY)]);
        let matrix = br#"{"status":"success","data":{"resultType":"matrix","result":
            [{"metric":{},"values":[[1,"1"],[2.5,"NaN"]]}]}}"#;
        let points = read(matrix, Kind::Matrix).unwrap().remove(0).points;
        assert!(points[0] == (1_000, 1.0) && points[1].0 == 2_500 && points[1].1.is_nan());
        assert_eq!(vector("[]").unwrap(), []);
    }

    #[test]
    fn an_answer_that_is_not_all_of_it_is_none() {
        for (body, says) in [
            (
                r#"{"status":"success","data":{"resultType":"vector","result":[]},"warnings":["store b is away"]}"#,
                "store b is away",
            ),
            (r#"{"status":"success","data":{"resultType":"vector","result":[]},"infos":["no counter"]}"#, "no counter"),
            (r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#, "bad_data: parse error"),
            (r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#, "no vector"),
            (r#"{"status":"success"}"#, "no vector"),
            (r#"{"status":"success","data":{"resultType":"vec"#, "no answer of Prometheus'"),
            ("<html>", "no answer of Prometheus'"),
        ] {
            let why = read(body.as_bytes(), Kind::Vector).unwrap_err();
            assert!(why.contains(says), "{body}: {why}");
        }
        for result in [
            r#"[{"metric":{},"value":[1,"one"]}]"#,
            r#"[{"metric":{}}]"#,
            r#"[{"metric":{},"histogram":[1,{"count":"1"}]}]"#,
            r#"[{"value":[1,"1"]}]"#,
        ] {
            assert!(vector(result).is_err(), "{result}");
        }
        let many = vec![r#"{"metric":{},"value":[1,"1"]}"#; MAX_SERIES + 1].join(",");
        assert!(vector(&format!("[{many}]")).unwrap_err().contains("the limit is 50000"));
        let disorder = br#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[2,"1"],[1,"2"]]}]}}"#;
        assert!(read(disorder, Kind::Matrix).unwrap_err().contains("no order"));
    }
}
