//! Reading and changing objects of the cluster, by their type.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use kube::core::params::{GetParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, Request};
use scalebot_commands::ports::PortError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::server::{Answered, Server, unreadable};

/// How many objects one page of a list has.
const PAGE: u32 = 500;

/// More pages than any list that makes sense has.
const MAX_PAGES: usize = 40;

/// A type of object that the API server holds.
pub(super) trait Object: kube::Resource<DynamicType = ()> + DeserializeOwned {}

impl<K: kube::Resource<DynamicType = ()> + DeserializeOwned> Object for K {}

/// Which objects of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Which<'a> {
    /// Their namespace; `None` for those that are in none, and for those of every one.
    pub(super) namespace: Option<&'a str>,
    /// Their labels, as a selector.
    pub(super) labels: Option<&'a str>,
    /// Their fields, as a selector.
    pub(super) fields: Option<&'a str>,
}

/// A list, and how it goes on.
#[derive(Deserialize)]
#[serde(bound = "K: DeserializeOwned")]
struct List<K> {
    #[serde(default)]
    metadata: ListMeta,
    // An empty list is written as null by some servers.
    items: Option<Vec<K>>,
}

impl Server {
    /// One object.
    ///
    /// # Errors
    /// As [`Server::send`].
    pub(super) async fn get<K: Object>(&self, namespace: Option<&str>, name: &str) -> Result<Answered<K>, PortError> {
        self.send(built(Request::new(K::url_path(&(), namespace)).get(name, &GetParams::default()))?).await
    }

    /// All objects of a type, page by page, with the version at which the list was so.
    ///
    /// # Errors
    /// As [`Server::send`], and when there is no end to it.
    pub(super) async fn list<K: Object>(&self, which: &Which<'_>) -> Result<Answered<(Vec<K>, String)>, PortError> {
        self.pages(&K::url_path(&(), which.namespace), which).await
    }

    /// All objects of a type that this program does not know, as they are. Where the server does not serve the type,
    /// its answer is "not found".
    ///
    /// # Errors
    /// As [`Self::list`].
    pub(super) async fn list_of(
        &self,
        resource: &ApiResource,
        which: &Which<'_>,
    ) -> Result<Answered<(Vec<DynamicObject>, String)>, PortError> {
        self.pages(&<DynamicObject as kube::Resource>::url_path(resource, which.namespace), which).await
    }

    async fn pages<K: DeserializeOwned>(
        &self,
        path: &str,
        which: &Which<'_>,
    ) -> Result<Answered<(Vec<K>, String)>, PortError> {
        let mut found = Vec::new();
        let mut params = ListParams {
            label_selector: which.labels.map(ToOwned::to_owned),
            field_selector: which.fields.map(ToOwned::to_owned),
            limit: Some(PAGE),
            ..ListParams::default()
        };
        for _ in 0..MAX_PAGES {
            let page: List<K> = match self.send(built(Request::new(path).list(&params))?).await? {
                Ok(page) => page,
                Err(refusal) => return Ok(Err(refusal)),
            };
            found.extend(page.items.into_iter().flatten());
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => return Ok(Ok((found, page.metadata.resource_version.unwrap_or_default()))),
            }
        }
        Err(unreadable(&format!("a list of more than {} objects", MAX_PAGES * PAGE as usize)))
    }

    /// Changes one object, or that part of it which is called `subresource`, by a JSON merge patch. The server keeps
    /// `manager` as the name of who did it. With a `metadata.resourceVersion` in the patch it is refused with 409 where
    /// the object has changed since.
    ///
    /// # Errors
    /// As [`Server::send`]: it is not known then whether it was changed.
    pub(super) async fn patch<K: Object, T: DeserializeOwned>(
        &self,
        namespace: Option<&str>,
        name: &str,
        subresource: Option<&str>,
        manager: &str,
        patch: &Value,
    ) -> Result<Answered<T>, PortError> {
        self.patch_at(&K::url_path(&(), namespace), name, subresource, manager, patch).await
    }

    /// The same, of a type that this program does not know.
    ///
    /// # Errors
    /// As [`Self::patch`].
    pub(super) async fn patch_of(
        &self,
        resource: &ApiResource,
        namespace: Option<&str>,
        name: &str,
        manager: &str,
        patch: &Value,
    ) -> Result<Answered<DynamicObject>, PortError> {
        let at = <DynamicObject as kube::Resource>::url_path(resource, namespace);
        self.patch_at(&at, name, None, manager, patch).await
    }

    async fn patch_at<T: DeserializeOwned>(
        &self,
        at: &str,
        name: &str,
        subresource: Option<&str>,
        manager: &str,
        patch: &Value,
    ) -> Result<Answered<T>, PortError> {
        let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(patch);
        let requests = Request::new(at);
        let request = match subresource {
            Some(subresource) => requests.patch_subresource(subresource, name, &params, &patch),
            None => requests.patch(name, &params, &patch),
        };
        self.send(built(request)?).await
    }

    /// Asks a question that is put as an object: a review of what may be done.
    ///
    /// # Errors
    /// As [`Server::send`].
    pub(super) async fn review<K: Object + Serialize>(&self, question: &K) -> Result<Answered<K>, PortError> {
        let body = serde_json::to_vec(question).map_err(|error| unreadable(&error.to_string()))?;
        self.send(built(Request::new(K::url_path(&(), None)).create(&PostParams::default(), body))?).await
    }
}

fn built(
    request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<http::Request<Vec<u8>>, PortError> {
    request.map_err(|error| unreadable(&error.to_string()))
}
