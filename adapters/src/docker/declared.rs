//! The count that the next `docker compose up`, or `docker stack deploy`, sets: what the files say, and one where they say
//! nothing.

use std::path::PathBuf;

use scalebot_commands::ports::{Declared, PortError};
use scalebot_commands::request::quoted;
use scalebot_commands::units::Replicas;

use crate::yaml;

/// The keys of a service that hold it.
const KEYS: [&[&str]; 2] = [&["deploy", "replicas"], &["scale"]];

/// What is written down of the service of that name, in the last file that says it.
///
/// # Errors
/// When a file cannot be read, or does not say it for certain.
pub(super) async fn declared(files: &[PathBuf], name: &str) -> Result<Declared, PortError> {
    let (mut said, mut service) = (None, None);
    for file in files {
        let what = file.display().to_string();
        let wrong = |detail: String| PortError::Unreadable { what: what.clone(), detail };
        let text = yaml::contents(file).await.map_err(wrong)?;
        let own = ["services", name];
        let lines = KEYS.iter().map(|key| yaml::standing(&text, &[&own[..], key].concat()));
        let lines: Vec<_> = lines.collect::<Result<Vec<_>, _>>().map_err(wrong)?.into_iter().flatten().collect();
        let place = |number: usize| format!("{what}, line {number}");
        match lines.as_slice() {
            [] => {}
            [(number, line)] => {
                let count = yaml::number(line);
                let count = count.ok_or_else(|| wrong(format!("line {number} does not say a number of instances")))?;
                said = Some(Declared { count: Replicas(count), place: place(*number), line: line.clone() });
            }
            [(one, _), (two, _), ..] => {
                return Err(wrong(format!("lines {one} and {two} both say how many instances")));
            }
        }
        let heads = yaml::standing(&text, &own).map_err(wrong)?;
        service = heads.into_iter().next().map(|(number, line)| (place(number), line)).or(service);
    }
    if let Some(said) = said {
        return Ok(said);
    }
    let (place, line) = service.ok_or_else(|| PortError::NotServed {
        what: "the project's files".to_owned(),
        detail: format!("they have no service {}", quoted(name)),
    })?;
    let place = format!("{place}, which says no number (add scale: beneath it), and so 1");
    Ok(Declared { count: Replicas(1), place, line })
}
