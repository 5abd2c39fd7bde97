//! scalebot: carries out a scaling runbook and shows its work.

use std::process::ExitCode;

fn main() -> ExitCode {
    scalebot::run()
}
