//! What a container wrote, out of the engine's frames: each is a byte for the stream, three of nothing, its length, and so
//! many bytes. A container with a terminal has no frames.

use scalebot_commands::ports::PortError;
use scalebot_commands::request::escaped;

use super::engine::Engine;

/// The stream in which an engine says why it cannot show the logs of another node.
const OF_THE_ENGINE: u8 = 3;

/// How many lines are asked for; fewer where those are more than is read at all.
const LINES: [u32; 3] = [2_000, 200, 20];

/// Who wrote something.
#[derive(Clone, Copy, Debug)]
pub(super) enum Writer<'a> {
    /// A container of this engine.
    Container(&'a str),
    /// A task, on whichever node.
    Task(&'a str),
}

/// The last of what that one wrote, at most so many bytes.
///
/// # Errors
/// When it cannot be read.
pub(super) async fn end_of(engine: &Engine, writer: Writer<'_>, tty: bool, most: usize) -> Result<String, PortError> {
    let mut why = None;
    for lines in LINES {
        match engine.written(writer, lines).await {
            Ok(written) => {
                let written =
                    if tty { written } else { without_frames(&written).map_err(|wrong| engine.unreadable(wrong))? };
                return Ok(last(&String::from_utf8_lossy(&written), most));
            }
            // Too much of it, perhaps.
            Err(error @ PortError::Unreadable { .. }) => why = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(why.unwrap_or_else(|| engine.unreadable("no logs")))
}

fn without_frames(written: &[u8]) -> Result<Vec<u8>, String> {
    let mut rest = written;
    let mut text = Vec::with_capacity(written.len());
    while !rest.is_empty() {
        let [stream @ 0..=3, 0, 0, 0, a, b, c, d, after @ ..] = rest else {
            return Err("its logs are not framed as an engine frames them".to_owned());
        };
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let frame = after.get(..length).ok_or("its logs end in the middle of a frame")?;
        if *stream == OF_THE_ENGINE && text.is_empty() {
            return Err(escaped(&String::from_utf8_lossy(frame), 300));
        }
        text.extend_from_slice(frame);
        rest = &after[length..];
    }
    Ok(text)
}

/// From a line's beginning where there is one.
fn last(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let mut from = text.len() - most;
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let kept = &text[from..];
    kept.find('\n').filter(|at| at + 1 < kept.len()).map_or(kept, |at| &kept[at + 1..]).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_away_and_half_a_frame_is_no_answer() {
        let recorded = b"\x02\0\0\0\0\0\0\x06error\n\x01\0\0\0\0\0\0\x0d0.0.0.0:8000\n";
        assert_eq!(without_frames(recorded).unwrap(), b"error\n0.0.0.0:8000\n");
        assert_eq!(without_frames(b"").unwrap(), b"");
        assert!(without_frames(&recorded[..10]).is_err());
        assert!(without_frames(b"a terminal's line\n").is_err());
    }

    #[test]
    fn the_last_of_it_begins_with_a_line() {
        assert_eq!(last("first\nsecond\nthird\n", 100), "first\nsecond\nthird\n");
        assert_eq!(last("first\nsecond\nthird\n", 9), "third\n");
        assert_eq!(last("ää", 3), "ä");
    }
}
