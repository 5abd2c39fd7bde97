//! This program as a container sees it: the file that runs here, and the libraries that it is linked to, where it looks for
//! them.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use tokio::process::Command;

use crate::drill::world::this_program;

/// A file or folder of this machine in a container.
pub(super) struct Mount {
    /// Here.
    pub(super) source: PathBuf,
    /// There.
    pub(super) target: PathBuf,
    /// Whether it is only read there.
    pub(super) read_only: bool,
}

/// What a container needs to run this program as `target`.
pub(super) async fn mounts(target: &str) -> anyhow::Result<Vec<Mount>> {
    let program = this_program();
    if program.starts_with("/proc") {
        bail!("The file of this program was replaced since it was started. Start the rehearsal again.");
    }
    let asked = Command::new("ldd").env("LC_ALL", "C").arg(&program).output().await;
    let asked = asked.context("ldd, which tells which libraries this program needs, cannot be started")?;
    let said = format!("{}{}", String::from_utf8_lossy(&asked.stdout), String::from_utf8_lossy(&asked.stderr));
    let libraries = linked(asked.status.success(), &said)
        .with_context(|| format!("Which libraries {} needs cannot be told", program.display()))?;
    let read = |source: PathBuf, target: PathBuf| Mount { source, target, read_only: true };
    let mut mounts = vec![read(program, target.into())];
    mounts.extend(libraries.into_iter().map(|library| read(library.clone(), library)));
    Ok(mounts)
}

/// The libraries in what `ldd` said; none of a program that is linked to none.
fn linked(succeeded: bool, said: &str) -> anyhow::Result<Vec<PathBuf>> {
    if said.contains("not a dynamic executable") || said.contains("statically linked") {
        return Ok(Vec::new());
    }
    if !succeeded || said.contains("not found") {
        bail!("{}", said.trim());
    }
    let library = |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from);
    Ok(said.lines().filter_map(library).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_where_ldd_says_and_a_missing_one_is_no_library() {
        let said = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let found = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
        assert_eq!(linked(true, said).unwrap(), found);
        assert!(linked(false, "\tnot a dynamic executable\n").unwrap().is_empty());
        assert!(linked(true, "\tstatically linked\n").unwrap().is_empty());
        let missing = linked(true, "\tlibpq.so.5 => not found\n").unwrap_err();
        assert!(missing.to_string().contains("libpq.so.5"), "{missing}");
        assert!(linked(false, "ldd: ./x: No such file or directory").is_err());
    }
}
