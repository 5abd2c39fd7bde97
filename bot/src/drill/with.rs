//! `drill --with`: which real systems a rehearsal uses instead of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use scalebot_adapters::postgres::{self, Postgres};
use scalebot_adapters::prometheus::{self, Prometheus};
use scalebot_adapters::redis::{self, Redis};
use scalebot_adapters::settings::Unusable;
use scalebot_commands::ports::{Fleet, HaltSource, Metrics, Pool, World};
use secrecy::{ExposeSecret as _, SecretString};

use super::around::{Around, Known, Scraped};
use super::files;

/// What can be named.
const NAMES: [&str; 4] = ["postgres", "redis", "prometheus", "targets"];

/// The label that all series of one rehearsal have.
const LABEL: &str = "scalebot_drill";

/// How often the instances are scraped.
const INTERVAL: Duration = Duration::from_secs(2);

/// How alike two names have to be for the one to be meant by the other.
const ALIKE: f64 = 0.7;

/// The real systems of a rehearsal.
#[derive(Debug, Default)]
pub(crate) struct With {
    postgres: Option<SecretString>,
    redis: Option<SecretString>,
    prometheus: Option<SecretString>,
    /// The file by which that Prometheus finds the instances.
    targets: Option<PathBuf>,
}

/// What the real systems are asked through.
#[derive(Default)]
pub(crate) struct Real {
    /// Instead of the rehearsal's own halt table and connections.
    pub(crate) postgres: Option<(Arc<dyn HaltSource>, Arc<dyn Pool>)>,
    /// Instead of the rehearsal's own halt signals and connections.
    pub(crate) redis: Option<(Arc<dyn HaltSource>, Arc<dyn Pool>)>,
    /// Instead of scraping the instances.
    pub(crate) metrics: Option<Arc<dyn Metrics>>,
}

impl With {
    /// Reads what stands on the command line: `postgres=URL` and the like.
    ///
    /// # Errors
    /// In words. What was given is not repeated: it may hold a password.
    pub(crate) fn read(given: &[SecretString]) -> Result<Self, String> {
        let mut with = Self::default();
        for one in given {
            let (name, value) = one.expose_secret().split_once('=').unwrap_or((one.expose_secret(), ""));
            if !NAMES.contains(&name) {
                return Err(unknown(name));
            }
            if value.is_empty() {
                return Err(format!("--with {name}: write it as {name}={}.", example(name)));
            }
            let secret = || SecretString::from(value);
            let twice = match name {
                "postgres" => with.postgres.replace(secret()).is_some(),
                "redis" => with.redis.replace(secret()).is_some(),
                "prometheus" => with.prometheus.replace(secret()).is_some(),
                _ => with.targets.replace(PathBuf::from(value)).is_some(),
            };
            if twice {
                return Err(format!("--with {name} stands there twice."));
            }
        }
        match &with.targets {
            Some(_) if with.prometheus.is_none() => {
                Err("--with targets is the file by which a Prometheus finds the instances: name prometheus=URL, too."
                    .to_owned())
            }
            Some(file) if !file.is_absolute() => Err("--with targets: write an absolute path.".to_owned()),
            // Before anything is begun with them.
            _ => with.usable().map(|()| with),
        }
    }

    fn usable(&self) -> Result<(), String> {
        if let Some(url) = &self.postgres {
            postgres::rehearsed(url.clone(), "drill").map_err(wrong("postgres"))?;
        }
        if let Some(url) = &self.redis {
            Redis::new(&redis::rehearsed(url.clone(), "drill")).map_err(wrong("redis"))?;
        }
        if let Some(url) = &self.prometheus {
            scraping(url, "drill").map_err(wrong("prometheus"))?;
        }
        Ok(())
    }

    /// What is around a new world in that directory.
    pub(crate) fn around(&self, state: &Path) -> Around {
        if self.systems().is_empty() {
            return Around::default();
        }
        let random = uuid::Uuid::now_v7().simple().to_string();
        let mark = format!("scalebot_drill_{}", random.get(20..).unwrap_or(&random));
        let file = self.targets.clone().unwrap_or_else(|| state.join(files::TARGETS));
        let labels =
            [(LABEL, mark.clone()), ("__scrape_interval__", "2s".to_owned()), ("__scrape_timeout__", "2s".to_owned())];
        let labels: BTreeMap<_, _> = labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Around {
            balancer: None,
            scraped: self.prometheus.is_some().then_some(Scraped { file, labels }),
            known: Some(Known { mark, systems: self.systems() }),
            postgres: self.postgres.clone(),
            redis: self.redis.clone(),
        }
    }

    /// What a rehearsal has to be told again that is taken up, by its name there.
    ///
    /// # Errors
    /// In words, when it began with others.
    pub(crate) fn mark(&self, known: Option<&Known>) -> Result<String, String> {
        let began: &[String] = known.map(|known| known.systems.as_slice()).unwrap_or_default();
        if began == self.systems() {
            return Ok(known.map(|known| known.mark.clone()).unwrap_or_default());
        }
        let named = |systems: &[String]| match systems {
            [] => "no real system".to_owned(),
            systems => systems.join(" and "),
        };
        Err(format!(
            "The rehearsal that lives here began with {}, and not with {}.\nSay the same --with again, or choose another \
             --state directory.",
            named(began),
            named(&self.systems())
        ))
    }

    fn systems(&self) -> Vec<String> {
        let all = [("postgres", &self.postgres), ("redis", &self.redis), ("prometheus", &self.prometheus)];
        all.into_iter().filter(|(_, url)| url.is_some()).map(|(name, _)| name.to_owned()).collect()
    }

    /// The adapters, for the rehearsal that goes by that name.
    ///
    /// # Errors
    /// In words, when a URL cannot be used.
    pub(crate) fn real(&self, mark: &str, fleet: &Arc<dyn Fleet>, world: &Arc<dyn World>) -> Result<Real, String> {
        let mut real = Real::default();
        if let Some(url) = &self.postgres {
            let postgres = postgres::rehearsed(url.clone(), mark).and_then(|settings| Postgres::new(&settings));
            let postgres = postgres.map_err(wrong("postgres"))?;
            if let (Some(halt), Some(pool)) = (postgres.halt_table(), postgres.connections()) {
                real.postgres = Some((Arc::new(halt), Arc::new(pool)));
            }
        }
        if let Some(url) = &self.redis {
            let redis = Redis::new(&redis::rehearsed(url.clone(), mark)).map_err(wrong("redis"))?;
            if let (Some(halt), Some(pool)) = (redis.halt_stream(), redis.connections()) {
                real.redis = Some((Arc::new(halt), Arc::new(pool)));
            }
        }
        if let Some(url) = &self.prometheus {
            let settings = scraping(url, mark).map_err(wrong("prometheus"))?;
            let prometheus = Prometheus::new(&settings, Arc::clone(fleet), Arc::clone(world));
            real.metrics = Some(Arc::new(prometheus.map_err(wrong("prometheus"))?));
        }
        Ok(real)
    }

    /// What is real in this rehearsal, and what it leaves there, for people.
    pub(crate) fn said(&self, mark: &str, around: &Around) -> Vec<String> {
        let mut lines = Vec::new();
        if self.postgres.is_some() {
            lines.push(format!(
                "PostgreSQL is real: the halt table is in schema {mark}, which goes with the rehearsal."
            ));
            lines.push("Its connections count. The hash chain stays the rehearsal's own.".to_owned());
        }
        if self.redis.is_some() {
            lines.push(format!(
                "Redis is real: the halt signals are in {mark}:halt:signals, which go with the rehearsal."
            ));
        }
        if let Some(scraped) = around.scraped.as_ref().filter(|_| self.prometheus.is_some()) {
            let file = scraped.file.display();
            lines.push(format!("Prometheus is real. It finds the instances by {file}:"));
            lines.push("one of its jobs has to name that file in file_sd_configs.".to_owned());
        }
        lines
    }

    /// Whether figures come from elsewhere than the instances.
    pub(crate) fn has_prometheus(&self) -> bool {
        self.prometheus.is_some()
    }
}

/// The series of that rehearsal in that Prometheus.
fn scraping(url: &SecretString, mark: &str) -> Result<prometheus::Settings, Unusable> {
    let wrong = || Unusable::new("url", "no URL; write it as http://127.0.0.1:9090");
    let mut parsed = Url::parse(url.expose_secret()).map_err(|_| wrong())?;
    let user = Some(parsed.username().to_owned()).filter(|user| !user.is_empty());
    let password = parsed.password().map(SecretString::from);
    parsed.set_username("").and_then(|()| parsed.set_password(None)).map_err(|()| wrong())?;
    let mut settings = prometheus::Settings::new(parsed.as_str(), format!("{LABEL}=\"{mark}\""));
    settings.leave_out.extend(super::wiring::ASKED.map(str::to_owned));
    Ok(prometheus::Settings { user, password, interval: INTERVAL, ..settings })
}

fn wrong(name: &'static str) -> impl Fn(Unusable) -> String {
    move |Unusable { key, why }| format!("--with {name} cannot be used: {key}: {why}.")
}

fn unknown(name: &str) -> String {
    let like = |known: &&str| strsim::jaro_winkler(name, known);
    let best = NAMES.iter().map(|known| (like(known), known)).max_by(|(one, _), (other, _)| one.total_cmp(other));
    // The name alone, and no more of it than a name has: somebody may have written the URL first.
    let shown: String = name.chars().take_while(char::is_ascii_alphanumeric).take(20).collect();
    match best {
        Some((alike, known)) if alike >= ALIKE => format!("--with {shown} is not known. Did you mean {known}?"),
        _ => format!("--with {shown} is not known. Known are: {}.", NAMES.join(", ")),
    }
}

fn example(name: &str) -> &'static str {
    match name {
        "postgres" => "postgres://user@127.0.0.1:5432/database",
        "redis" => "redis://127.0.0.1:6379",
        "prometheus" => "http://127.0.0.1:9090",
        _ => "/path/of/a/file.json",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: &[&str]) -> Result<With, String> {
        let given: Vec<SecretString> = given.iter().map(|one| SecretString::from(*one)).collect();
        With::read(&given)
    }

    #[test]
    fn what_is_not_known_is_refused_with_the_nearest_and_without_the_url() {
        let refused = |given: &str| read(&[given]).unwrap_err();
        assert_eq!(refused("postgre=postgres://u:hidden@h/d"), "--with postgre is not known. Did you mean postgres?");
        assert_eq!(refused("rediss://:hidden@h"), "--with rediss is not known. Did you mean redis?");
        assert_eq!(refused("kafka=k"), "--with kafka is not known. Known are: postgres, redis, prometheus, targets.");
        assert_eq!(refused("redis"), "--with redis: write it as redis=redis://127.0.0.1:6379.");
        assert!(read(&["redis=a", "redis=b"]).unwrap_err().contains("twice"));
        for wrong in ["postgres=mysql://u:hidden@h/d", "redis=http://:hidden@h", "prometheus=hidden"] {
            let said = refused(wrong);
            assert!(said.contains("cannot be used: url") && !said.contains("hidden"), "{said}");
        }
        assert!(read(&["targets=/t.json"]).unwrap_err().contains("name prometheus=URL, too"));
        assert!(read(&["prometheus=http://p", "targets=t.json"]).unwrap_err().contains("absolute"));
        assert!(!format!("{:?}", read(&["redis=redis://:hidden@h"]).unwrap()).contains("hidden"));
    }

    #[test]
    fn a_rehearsal_is_taken_up_with_what_it_began_with() {
        let with = read(&["redis=redis://h", "postgres=postgres://u@h/d"]).unwrap();
        let around = with.around(Path::new("/state"));
        let known = around.known.as_ref().unwrap();
        assert_eq!(with.mark(Some(known)), Ok(known.mark.clone()));
        assert!(known.mark.len() > 20 && known.mark != with.around(Path::new("/state")).known.unwrap().mark);
        let refused = With::default().mark(Some(known)).unwrap_err();
        assert!(refused.contains("began with postgres and redis, and not with no real system"), "{refused}");
        assert!(with.mark(None).unwrap_err().contains("began with no real system"));
        assert_eq!(With::default().mark(None).as_deref(), Ok(""));
    }

    #[test]
    fn a_password_in_the_url_is_sent_and_never_part_of_the_address() {
        let settings = scraping(&SecretString::from("http://u:hidden@127.0.0.1:9090/p"), "m").unwrap();
        assert_eq!((settings.url.as_str(), settings.user.as_deref()), ("http://127.0.0.1:9090/p", Some("u")));
        assert_eq!(settings.selector, "scalebot_drill=\"m\"");
        assert!(settings.password.is_some() && !format!("{settings:?}").contains("hidden"));
    }
}
