//! What a path means: a type, a namespace, a name, a part of the object.

use super::super::resource::{NAMESPACES, PODS, RESOURCES, Resource};

/// What a request is about.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    pub(crate) resource: &'static Resource,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) subresource: Option<&'a str>,
    /// Behind `proxy`: the path to be asked there.
    pub(crate) rest: String,
}

impl<'a> Target<'a> {
    /// The name, without the port that stands behind a pod's in a proxy's path.
    pub(crate) fn pod_name(&self) -> &'a str {
        let parts: Vec<&str> = self.name.split(':').collect();
        match (self.subresource, &parts[..]) {
            (Some("proxy"), [_, name, _] | [name, ..]) => name,
            _ => self.name,
        }
    }

    pub(crate) fn port(&self) -> Option<&'a str> {
        let parts: Vec<&str> = self.name.split(':').collect();
        match &parts[..] {
            [_, _, port] | [_, port] => Some(port),
            _ => None,
        }
    }
}

/// Reads a path below `/api` or `/apis`.
pub(crate) fn parse(path: &str) -> Option<Target<'_>> {
    let mut steps = path.trim_start_matches('/').split('/').peekable();
    let (group, version) = match steps.next()? {
        "api" => ("", steps.next()?),
        "apis" => (steps.next()?, steps.next()?),
        _ => return None,
    };
    let mut steps: Vec<&str> = steps.collect();
    let of_type = |plural: &str| {
        RESOURCES.iter().copied().find(|one| one.group == group && one.version == version && one.plural == plural)
    };
    let mut namespace = "";
    // `namespaces/x` is the namespace itself, `namespaces/x/pods` what is in it.
    if steps.len() > 2 && steps[0] == "namespaces" && of_type(steps[2]).is_some() {
        namespace = steps[1];
        steps.drain(..2);
    }
    let resource = of_type(steps.first()?)?;
    if *resource == NAMESPACES {
        namespace = steps.get(1).copied().unwrap_or_default();
    }
    let name = steps.get(1).copied().unwrap_or_default();
    if resource.namespaced && namespace.is_empty() && !name.is_empty() {
        return None;
    }
    let subresource = steps.get(2).copied().filter(|step| !step.is_empty());
    if subresource.is_some_and(|step| !resource.subresources.contains(&step)) {
        return None;
    }
    let proxied = *resource == PODS && subresource == Some("proxy");
    if steps.len() > 3 && !proxied {
        return None;
    }
    let rest = if proxied { format!("/{}", steps.get(3..).unwrap_or_default().join("/")) } else { String::new() };
    Some(Target { resource, namespace, name, subresource, rest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_one_thing() {
        let scale = parse("/apis/apps/v1/namespaces/conclave/deployments/api/scale").unwrap();
        assert_eq!((scale.resource.kind, scale.namespace, scale.name), ("Deployment", "conclave", "api"));
        assert_eq!(scale.subresource, Some("scale"));
        let proxy = parse("/api/v1/namespaces/conclave/pods/api-x:8000/proxy/v1/ready").unwrap();
        assert_eq!((proxy.pod_name(), proxy.port(), proxy.rest.as_str()), ("api-x", Some("8000"), "/v1/ready"));
        let all = parse("/api/v1/pods").unwrap();
        assert_eq!((all.namespace, all.name), ("", ""));
        assert_eq!(parse("/api/v1/namespaces/conclave").unwrap().name, "conclave");
        for none in ["/apis/apps/v1/deployments/api", "/apis/apps/v2/deployments", "/api/v1/namespaces/x/pods/y/exec"] {
            assert!(parse(none).is_none(), "{none}");
        }
    }
}
