//! Where a drill's lines come from: the command line, a terminal, or a file or pipe on standard input.

use std::collections::VecDeque;

use tokio::io::{AsyncBufReadExt as _, BufReader, Stdin};
use tokio::sync::watch;

use super::persona::{self, Line, Said};

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
    Terminal(tokio::io::Lines<BufReader<Stdin>>),
    /// From a file or a pipe: a mark waits until a request is open.
    Script(tokio::io::Lines<BufReader<Stdin>>),
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
        let lines = BufReader::new(tokio::io::stdin()).lines();
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

    /// The next line that is for the operation under way. Never returns when nobody says anything further.
    pub(crate) async fn next_while_busy(&mut self, mut open: watch::Receiver<Option<String>>) -> Line {
        let at_once = matches!(self.source, Source::Terminal(_));
        loop {
            match &self.source {
                Source::Given | Source::Ended => return std::future::pending().await,
                Source::Terminal(_) => {}
                // The next line of a script is for a request that may not be open yet.
                Source::Script(_) if !self.waiting.is_empty() => return std::future::pending().await,
                Source::Script(_) => {
                    if open.wait_for(Option::is_some).await.is_err() {
                        return std::future::pending().await;
                    }
                }
            }
            match self.read().await {
                Some(line) if at_once || is_for_the_operation(&line) => return line,
                Some(line) => self.waiting.push_back(line),
                None => {}
            }
        }
    }

    async fn read(&mut self) -> Option<Line> {
        let (Source::Terminal(lines) | Source::Script(lines)) = &mut self.source else { return None };
        if let Ok(Some(line)) = lines.next_line().await {
            return Some(persona::read(&line));
        }
        self.source = Source::Ended;
        None
    }
}

fn is_for_the_operation(line: &Line) -> bool {
    !matches!(line.said, Said::Command(_) | Said::Nothing | Said::Quit)
}
