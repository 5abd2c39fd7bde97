//! The objects of the cluster: versions, generations, who owns which field, and what happened to them, for watches.
//!
//! There is one counter of versions for everything, as etcd has one. A write that changes nothing is none: it moves
//! neither version nor generation.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::clock::{Clock, seconds};
use super::failure::Failure;
use super::managed::{self, Author};
use super::resource::{PODS, RESOURCES, Resource};
use super::selector::{Fields, Labels};
use super::types::{fill_in, reread, without_null};

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// `deployments.apps`.
    pub(crate) resource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// Which part of an object a write is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All but the status.
    Main,
    /// The status alone.
    Status,
}

/// What became of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Added,
    Modified,
    Deleted,
}

/// One change, as a watch learns of it.
#[derive(Clone, Debug)]
pub(crate) struct Happened {
    pub(crate) version: u64,
    pub(crate) key: Key,
    pub(crate) fate: Fate,
    pub(crate) object: Value,
    /// As it was before, by which a watch with a selector knows whether it knew it.
    pub(crate) before: Option<Value>,
}

/// Which objects.
#[derive(Clone, Debug, Default)]
pub(crate) struct Which {
    pub(crate) namespace: Option<String>,
    pub(crate) labels: Labels,
    pub(crate) fields: Fields,
}

impl Which {
    pub(crate) fn selects(&self, key: &Key, object: &Value) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace)
            && self.labels.selects(object)
            && self.fields.selects(object)
    }
}

/// Everything that the API server keeps.
#[derive(Debug)]
pub(crate) struct Store {
    objects: BTreeMap<Key, Value>,
    version: u64,
    history: Vec<Happened>,
    /// What happened up to this version is no longer known.
    compacted: u64,
    pub(crate) clock: Clock,
}

impl Store {
    pub(crate) fn new() -> Self {
        // A cluster that has just begun has some thousand versions behind it.
        Self { objects: BTreeMap::new(), version: 1_000, history: Vec::new(), compacted: 1_000, clock: Clock::new() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The moment, as objects have it.
    pub(crate) fn at(&self) -> String {
        seconds(self.now())
    }

    /// The latest version of all.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn compacted(&self) -> u64 {
        self.compacted
    }

    /// Forgets what happened until now, as etcd does every five minutes.
    pub(crate) fn compact(&mut self) {
        self.compacted = self.version;
        self.history.clear();
    }

    pub(crate) fn since(&self, version: u64) -> impl Iterator<Item = &Happened> {
        self.history.iter().filter(move |happened| happened.version > version)
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key)
    }

    /// All objects of a type.
    pub(crate) fn all<'a>(&'a self, resource: &'a Resource) -> impl Iterator<Item = (&'a Key, &'a Value)> {
        let qualified = resource.qualified();
        let from = Key { resource: qualified.clone(), namespace: String::new(), name: String::new() };
        self.objects.range(from..).take_while(move |(key, _)| key.resource == qualified)
    }

    /// The same, in one namespace, as they are now.
    pub(crate) fn within(&self, resource: &'static Resource, namespace: &str) -> Vec<Value> {
        let inside = self.all(resource).filter(|(key, _)| key.namespace == namespace);
        inside.map(|(_, object)| object.clone()).collect()
    }

    /// Makes an object.
    pub(crate) fn create(
        &mut self,
        resource: &Resource,
        mut object: Value,
        author: Author<'_>,
    ) -> Result<Value, Failure> {
        if let Some(prefix) = object["metadata"]["generateName"].as_str()
            && !object["metadata"]["name"].is_string()
        {
            let name = format!("{prefix}{}", random(5));
            object["metadata"]["name"] = name.into();
        }
        let key = Key::of(resource, &object);
        if key.name.is_empty() {
            let why = "Required value: name or generateName is required";
            return Err(Failure::invalid(&resource.qualified_kind(), "", "metadata.name", why));
        }
        if self.objects.contains_key(&key) {
            return Err(Failure::already_exists(resource, &key.name));
        }
        fill_in(resource.kind, &mut object);
        let at = self.at();
        let metadata = &mut object["metadata"];
        metadata["uid"] = uid().into();
        metadata["creationTimestamp"] = at.as_str().into();
        metadata["managedFields"] = Value::Null;
        metadata["resourceVersion"] = Value::Null;
        if resource.has_generation {
            metadata["generation"] = 1.into();
        }
        object = normal(resource, &object)?;
        managed::note(None, &mut object, author, &at, &resource.api_version());
        Ok(self.put(key, object, Fate::Added))
    }

    /// Writes an object that there is, as `new` says.
    ///
    /// A version or a uid in it must be the object's.
    pub(crate) fn update(
        &mut self,
        resource: &Resource,
        key: &Key,
        mut new: Value,
        part: Part,
        author: Author<'_>,
    ) -> Result<Value, Failure> {
        let Some(old) = self.objects.get(key).cloned() else { return Err(Failure::not_found(resource, &key.name)) };
        let text = |object: &Value, field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let (wanted, is) = (text(&new, "uid"), text(&old, "uid"));
        if !wanted.is_empty() && wanted != is {
            return Err(Failure::wrong_uid(resource, &key.name, &wanted, &is));
        }
        let wanted = text(&new, "resourceVersion");
        if !wanted.is_empty() && wanted != text(&old, "resourceVersion") {
            return Err(Failure::stale(resource, &key.name));
        }
        for field in [
            "uid",
            "creationTimestamp",
            "generation",
            "resourceVersion",
            "managedFields",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        ] {
            new["metadata"][field] = old["metadata"][field].clone();
        }
        new["metadata"]["name"] = key.name.clone().into();
        if resource.namespaced {
            new["metadata"]["namespace"] = key.namespace.clone().into();
        }
        match part {
            Part::Main if resource.subresources.contains(&"status") => new["status"] = old["status"].clone(),
            Part::Main => {}
            Part::Status => {
                let status = new["status"].take();
                let annotations = new["metadata"]["annotations"].take();
                new = old.clone();
                new["status"] = status;
                new["metadata"]["annotations"] = annotations;
            }
        }
        fill_in(resource.kind, &mut new);
        let mut new = normal(resource, &new)?;
        if same(&old, &new) {
            return Ok(old);
        }
        if resource.has_generation && old["spec"] != new["spec"] {
            new["metadata"]["generation"] = (old["metadata"]["generation"].as_u64().unwrap_or(0) + 1).into();
        }
        let at = self.at();
        managed::note(Some(&old), &mut new, author, &at, &resource.api_version());
        Ok(self.put(key.clone(), new, Fate::Modified))
    }

    /// What a controller does: changes an object that there is, whatever its version. `false` when there is none, or
    /// nothing was to be changed.
    pub(crate) fn edit(
        &mut self,
        resource: &'static Resource,
        key: &Key,
        part: Part,
        manager: &str,
        change: impl FnOnce(&mut Value),
    ) -> bool {
        let Some(old) = self.objects.get(key) else { return false };
        let (was, mut new) = (old["metadata"]["resourceVersion"].clone(), old.clone());
        change(&mut new);
        let subresource = (part == Part::Status).then_some("status");
        match self.update(resource, key, new, part, Author { manager, subresource }) {
            Ok(object) => object["metadata"]["resourceVersion"] != was,
            Err(failure) => panic!("the double's own controllers write what it refuses: {failure:?}"),
        }
    }

    /// Deletes an object; a pod that runs is only told to go, for as long as it is given.
    pub(crate) fn delete(&mut self, resource: &Resource, key: &Key, grace: Option<u64>) -> Result<Value, Failure> {
        let Some(object) = self.objects.get(key).cloned() else { return Err(Failure::not_found(resource, &key.name)) };
        let grace = grace.or_else(|| object["spec"]["terminationGracePeriodSeconds"].as_u64()).unwrap_or(30);
        if *resource == PODS && object["spec"]["nodeName"].is_string() && grace > 0 {
            if object["metadata"]["deletionTimestamp"].is_string() {
                return Ok(object);
            }
            let grace_length = std::time::Duration::from_secs(grace);
            let until = self.now().saturating_add(grace_length).unwrap_or(Timestamp::MAX);
            let mut object = object;
            object["metadata"]["deletionTimestamp"] = seconds(until).into();
            object["metadata"]["deletionGracePeriodSeconds"] = grace.into();
            return Ok(self.put(key.clone(), object, Fate::Modified));
        }
        Ok(self.remove(key).unwrap_or(object))
    }

    /// Takes an object out at once.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Value> {
        let object = self.objects.get(key)?.clone();
        let gone = self.put(key.clone(), object, Fate::Deleted);
        self.objects.remove(key);
        Some(gone)
    }

    fn put(&mut self, key: Key, mut object: Value, fate: Fate) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        without_null(&mut object);
        let before = self.objects.insert(key.clone(), object.clone());
        self.history.push(Happened { version: self.version, key, fate, object: object.clone(), before });
        object
    }

    /// Says that something happened to an object, as a controller does; the same once more is counted.
    pub(crate) fn tell(&mut self, component: &str, about: &Value, kind: &str, reason: &str, message: &str) {
        let namespace = about["metadata"]["namespace"].as_str().unwrap_or("default").to_owned();
        let same = |event: &Value| {
            event["involvedObject"]["uid"] == about["metadata"]["uid"]
                && event["reason"] == reason
                && event["message"] == message
        };
        let known = self.all(&super::resource::EVENTS).find(|(_, event)| same(event)).map(|(key, _)| key.clone());
        let at = self.at();
        if let Some(key) = known {
            let recent = self.get(&key).is_some_and(|event| event["lastTimestamp"] == at.as_str());
            if !recent {
                self.edit(&super::resource::EVENTS, &key, Part::Main, component, |event| {
                    event["count"] = (event["count"].as_u64().unwrap_or(1) + 1).into();
                    event["lastTimestamp"] = at.into();
                });
            }
            return;
        }
        let name = about["metadata"]["name"].as_str().unwrap_or_default();
        let event = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": { "name": format!("{name}.{}", hexadecimal(16)), "namespace": namespace },
            "involvedObject": {
                "apiVersion": about["apiVersion"], "kind": about["kind"], "name": name, "namespace": namespace,
                "uid": about["metadata"]["uid"], "resourceVersion": about["metadata"]["resourceVersion"],
            },
            "type": kind, "reason": reason, "message": message, "count": 1,
            "firstTimestamp": at, "lastTimestamp": at,
            "source": { "component": component }, "reportingComponent": component, "reportingInstance": "",
        });
        let author = Author { manager: component, subresource: None };
        // A name that is taken by chance is no harm: the event is lost, as real ones are.
        let _ = self.create(&super::resource::EVENTS, event, author);
    }
}

impl Key {
    pub(crate) fn of(resource: &Resource, object: &Value) -> Self {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let namespace = if resource.namespaced { text("namespace") } else { String::new() };
        Self { resource: resource.qualified(), namespace, name: text("name") }
    }

    pub(crate) fn new(resource: &Resource, namespace: &str, name: &str) -> Self {
        let namespace = if resource.namespaced { namespace.to_owned() } else { String::new() };
        Self { resource: resource.qualified(), namespace, name: name.to_owned() }
    }

    pub(crate) fn type_of(&self) -> &'static Resource {
        let named = RESOURCES.iter().copied().find(|one| one.qualified() == self.resource);
        named.unwrap_or_else(|| panic!("no type {}", self.resource))
    }
}

/// As the type has it, and nothing in it null.
fn normal(resource: &Resource, object: &Value) -> Result<Value, Failure> {
    let mut object = object.clone();
    object["apiVersion"] = resource.api_version().into();
    object["kind"] = resource.kind.into();
    without_null(&mut object);
    let mut object = reread(resource.kind, &object).map_err(|why| {
        let message = format!(
            "{} in version \"{}\" cannot be handled as a {}: {why}",
            resource.kind, resource.version, resource.kind
        );
        Failure::bad_request(message)
    })?;
    without_null(&mut object);
    Ok(object)
}

/// Whether nothing but the book-keeping differs.
fn same(old: &Value, new: &Value) -> bool {
    let bare = |object: &Value| {
        let mut object = object.clone();
        object["metadata"]["managedFields"] = Value::Null;
        object["metadata"]["resourceVersion"] = Value::Null;
        without_null(&mut object);
        object
    };
    bare(old) == bare(new)
}

/// So many characters as names that are made up end with: no vowels, so that no word comes of it.
pub(crate) fn random(length: usize) -> String {
    const SAFE: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    (0..length).map(|_| char::from(SAFE[fastrand::usize(..SAFE.len())])).collect()
}

fn hexadecimal(length: usize) -> String {
    (0..length).map(|_| char::from_digit(fastrand::u32(..16), 16).unwrap_or('0')).collect()
}

fn uid() -> String {
    let (a, b, c, d) = (hexadecimal(8), hexadecimal(4), hexadecimal(3), hexadecimal(12));
    format!("{a}-{b}-4{c}-8{}-{d}", hexadecimal(3))
}
