//! The process that holds the instances behind real pods.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::setup::Real;
use crate::binary::{kill, program};

/// A world. It ends with this value, and its instances with it.
pub(crate) struct World {
    directory: PathBuf,
    child: Child,
}

impl World {
    /// Starts one; it returns once its first instances are ready.
    pub(crate) fn start(directory: &Path, instances: u32, real: &Real) -> Self {
        std::fs::create_dir_all(directory).unwrap();
        let said = std::fs::File::create(directory.join("said.txt")).unwrap();
        let mut command = Command::new(program());
        command.args(["drill-world", "--state"]).arg(directory);
        command.args(["--instances", &instances.to_string(), "--load", &real.load.to_string()]);
        if let Some(fault) = real.fault {
            command.args(["--fault", fault]);
        }
        if real.halted {
            command.arg("--halted");
        }
        if let Some(around) = &real.around {
            command.env("SCALEBOT_DRILL_AROUND", around);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(said).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let world = Self { directory: directory.to_owned(), child };
        assert_eq!(line.trim(), "ready", "{}", std::fs::read_to_string(directory.join("said.txt")).unwrap_or_default());
        world
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for World {
    fn drop(&mut self) {
        kill(self.child.id(), "TERM");
        let _ = self.child.wait();
    }
}
