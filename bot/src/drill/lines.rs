//! Where a drill's lines come from: the command line, a terminal, or a file or pipe on standard input.

use std::collections::VecDeque;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, BufReader, Stdin};
use tokio::sync::watch;

use super::persona::{self, Line, Said};

/// What governance is asked at this moment, by digest.
pub(crate) struct Asked {
    /// To approve or reject.
    pub(crate) request: watch::Receiver<Option<String>>,
    /// Whether to halt the system.
    pub(crate) offer: watch::Receiver<Option<String>>,
}

/// The lines of a drill, in order.
pub(crate) struct Lines {
    source: Source,
    /// Read while an operation was under way, and to be carried out after it.
    waiting: VecDeque<Line>,
}

enum Source {
    /// From the command line; nobody types anything further.
    Given,
    /// Typed at a terminal: what is typed while an operation runs is for that operation.
    Terminal(Bounded<BufReader<Stdin>>),
    /// From a file or a pipe: a mark waits until a request is open.
    Script(Bounded<BufReader<Stdin>>),
    /// At its end.
    Ended,
}

impl Lines {
    /// Commands from the command line. Standard input is never read.
    pub(crate) fn given(commands: &[String]) -> Self {
        Self { source: Source::Given, waiting: commands.iter().map(|command| persona::read(command)).collect() }
    }

    /// Lines from standard input.
    pub(crate) fn typed(terminal: bool) -> Self {
        let lines = Bounded::new(BufReader::new(tokio::io::stdin()));
        let source = if terminal { Source::Terminal(lines) } else { Source::Script(lines) };
        Self { source, waiting: VecDeque::new() }
    }

    /// The next line, to be carried out now; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Line> {
        if let Some(line) = self.waiting.pop_front() {
            return Some(line);
        }
        self.read().await
    }

    /// Whether the next line is still to be typed by a person.
    pub(crate) fn are_awaited(&self) -> bool {
        self.waiting.is_empty() && matches!(self.source, Source::Terminal(_))
    }

    /// The next line that is for the operation under way. Never returns when nobody says anything further. A line that
    /// was read is not lost when this is dropped.
    pub(crate) async fn next_while_busy(&mut self, mut asked: Asked) -> Line {
        loop {
            match &self.source {
                Source::Given | Source::Ended => return std::future::pending().await,
                // What is typed at a terminal is answered at once.
                Source::Terminal(_) => {
                    if let Some(line) = self.read().await {
                        return line;
                    }
                }
                Source::Script(_) => match self.waiting.front() {
                    None => {
                        let read = self.read().await;
                        self.waiting.extend(read);
                    }
                    Some(line) if line.said == Said::Nothing => _ = self.waiting.pop_front(),
                    // The next command waits until this one is done, and so does what follows it.
                    Some(line) if !is_for_the_operation(line) => return std::future::pending().await,
                    Some(line) => {
                        // A mark waits until there is what it is put on.
                        let open = match line.said {
                            Said::Vote(..) | Said::Withdraw => Some(&mut asked.request),
                            Said::Halt(_) => Some(&mut asked.offer),
                            _ => None,
                        };
                        if let Some(open) = open
                            && open.wait_for(Option::is_some).await.is_err()
                        {
                            return std::future::pending().await;
                        }
                        if let Some(line) = self.waiting.pop_front() {
                            return line;
                        }
                    }
                },
            }
        }
    }

    async fn read(&mut self) -> Option<Line> {
        let (Source::Terminal(lines) | Source::Script(lines)) = &mut self.source else { return None };
        if let Ok(Some(line)) = lines.next().await {
            return Some(persona::read(&line));
        }
        self.source = Source::Ended;
        None
    }
}

/// The most that is kept of a line, in bytes: enough to tell that it is too long, whatever characters it has.
const KEPT: usize = 4 * (persona::LONGEST + 1);

/// Lines of which no more is kept than one may hold; the rest of a longer one is read and dropped.
struct Bounded<R> {
    input: R,
    /// What was read of the next line.
    line: Vec<u8>,
}

impl<R: AsyncBufRead + Unpin> Bounded<R> {
    fn new(input: R) -> Self {
        Self { input, line: Vec::new() }
    }

    /// The next line, without its end; `None` after the last. May be dropped at any instant: what was read is kept.
    async fn next(&mut self) -> std::io::Result<Option<String>> {
        loop {
            let available = self.input.fill_buf().await?;
            let is_the_end = available.is_empty();
            let end = available.iter().position(|byte| *byte == b'\n');
            let text = &available[..end.unwrap_or(available.len())];
            let room = KEPT.saturating_sub(self.line.len());
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            let read = text.len() + usize::from(end.is_some());
            self.input.consume(read);
            if is_the_end && self.line.is_empty() {
                return Ok(None);
            }
            if is_the_end || end.is_some() {
                let line = std::mem::take(&mut self.line);
                return Ok(Some(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned()));
            }
        }
    }
}

fn is_for_the_operation(line: &Line) -> bool {
    let is_for_others = matches!(line.said, Said::Acknowledge(_) | Said::Start | Said::Dismiss);
    !is_for_others && !matches!(line.said, Said::Command(_) | Said::Nothing | Said::Quit)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(input: &[u8], buffer: usize) -> Vec<String> {
        let mut lines = Bounded::new(BufReader::with_capacity(buffer, input));
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push(line);
        }
        all
    }

    #[tokio::test]
    async fn lines_are_read_as_they_are_typed_however_they_arrive() {
        for buffer in [1, 3, 8_192] {
            assert_eq!(all("a\r\n\nlead> ✅\nend".as_bytes(), buffer).await, ["a", "", "lead> ✅", "end"]);
        }
        assert_eq!(all(b"not \xff text\nnext\n", 8).await, ["not \u{fffd} text", "next"]);
    }

    #[tokio::test]
    async fn of_a_line_that_is_too_long_only_so_much_is_kept_and_the_next_is_whole() {
        for character in ["x", "é", "🦀"] {
            let text = format!("lead> reason: {}\napprove\n", character.repeat(1_000_000));
            let lines = all(text.as_bytes(), 8_192).await;
            assert_eq!(lines.len(), 2);
            assert!(lines[0].len() <= KEPT + 3, "{} bytes", lines[0].len());
            assert_eq!(persona::read(&lines[0]), Line { by: persona::lead(), said: Said::TooLong });
            assert_eq!(lines[1], "approve");
        }
    }

    #[tokio::test]
    async fn what_was_read_of_a_line_is_not_lost_when_nobody_waits_for_it_any_more() {
        use tokio::io::AsyncWriteExt as _;
        let (mut typing, typed) = tokio::io::duplex(64);
        let mut lines = Bounded::new(BufReader::new(typed));
        typing.write_all(b"/scale up").await.unwrap();
        tokio::select! {
            biased;
            _ = lines.next() => panic!("the line has no end yet"),
            () = tokio::task::yield_now() => {}
        }
        typing.write_all(b" 6\n").await.unwrap();
        assert_eq!(lines.next().await.unwrap().as_deref(), Some("/scale up 6"));
    }
}
