//! Asking the API server by plain HTTP.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Certificate, Method, Response};
use scalebot_tests::kubernetes::Cluster;
use serde_json::Value;

pub(crate) const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/conclave/deployments/api";
pub(crate) const PODS: &str = "/api/v1/namespaces/conclave/pods";

/// Somebody who asks.
pub(crate) struct Client {
    http: reqwest::Client,
    address: String,
    token: String,
}

impl Client {
    pub(crate) fn of(cluster: &Cluster, user: &str) -> Self {
        let authority = Certificate::from_pem(&std::fs::read(cluster.authority()).unwrap()).unwrap();
        let http = reqwest::Client::builder()
            .no_proxy()
            .add_root_certificate(authority)
            .user_agent("asking/1.0")
            .timeout(Duration::from_secs(20))
            .build()
            .unwrap();
        Self { http, address: cluster.address(), token: cluster.token(user) }
    }

    pub(crate) async fn send(&self, method: Method, path: &str, kind: &str, body: &Value) -> reqwest::Result<Response> {
        let request = self.http.request(method, format!("{}{path}", self.address));
        let request = request.header(AUTHORIZATION, format!("Bearer {}", self.token)).header(CONTENT_TYPE, kind);
        if body.is_null() { request.send().await } else { request.body(body.to_string()).send().await }
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        read(self.send(Method::GET, path, "application/json", &Value::Null).await.unwrap()).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> (u16, Value) {
        read(self.send(Method::PATCH, path, "application/merge-patch+json", body).await.unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        read(self.send(Method::POST, path, "application/json", body).await.unwrap()).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        read(self.send(Method::PUT, path, "application/json", body).await.unwrap()).await
    }
}

async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}
