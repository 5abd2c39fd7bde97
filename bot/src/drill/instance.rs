//! (in work)

use std::process::ExitCode;

use crate::cli::InstanceArgs;

pub(crate) async fn run(_args: InstanceArgs) -> ExitCode {
    ExitCode::from(2)
}
