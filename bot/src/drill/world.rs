//! (in work)

use std::process::ExitCode;

use crate::cli::WorldArgs;

pub(crate) async fn run(_args: WorldArgs) -> ExitCode {
    ExitCode::from(2)
}
