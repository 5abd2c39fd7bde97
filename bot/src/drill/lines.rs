//! Where a drill's lines come from: the command line, a terminal, or a file or pipe on standard input.

use std::collections::VecDeque;

use tokio::io::{AsyncBufReadExt as _, BufReader, Stdin};
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
        if let Ok(Some(line)) = lines.next_line().await {
            return Some(persona::read(&line));
        }
        self.source = Source::Ended;
        None
    }
}

fn is_for_the_operation(line: &Line) -> bool {
    let is_for_others = matches!(line.said, Said::Acknowledge(_) | Said::Start | Said::Dismiss);
    !is_for_others && !matches!(line.said, Said::Command(_) | Said::Nothing | Said::Quit)
}
