//! (in work)

use std::process::ExitCode;

use crate::cli::LedgerCommand;

pub(crate) async fn run(_command: LedgerCommand) -> ExitCode {
    ExitCode::from(2)
}
