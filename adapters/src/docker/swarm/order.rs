//! The one change: the count, with the version that the guard saw, so that Swarm itself refuses it where anything of the
//! service has changed since; and the mark by which it is known again.
//!
//! Whoever changes the service next keeps its labels, so a mark alone would say that we have set what they did. Swarm keeps
//! the specification before the last change: the mark is of that change only if the one before bears another.

use scalebot_commands::ports::{OrderAnswer, PortError, ScaleOrder};
use scalebot_commands::request::escaped;
use scalebot_commands::units::Replicas;
use serde_json::{Value, json};

use super::Inner;
use super::cluster::{Service, label};
use crate::docker::engine::{Refusal, in_path};
use crate::http::{Answer, Unanswered};

/// The label that holds the mark: whose order it was, from which count to which, at which version.
pub(super) const MARK: &str = "scalebot.order";

/// How long what the engine said may be, in characters.
const SAID: usize = 300;

/// What the engine says where the version is another.
const OUT_OF_SEQUENCE: &str = "update out of sequence";

impl Inner {
    /// Sets the count, if everything is as the order says.
    ///
    /// # Errors
    /// When it is not known whether that was done.
    pub(super) async fn carry_out(&self, order: &ScaleOrder) -> Result<OrderAnswer, PortError> {
        let conflict = |detail: String| Ok(OrderAnswer::Conflict { detail });
        let service = match self.service().await {
            Ok(service) => service,
            Err(error @ (PortError::Gone { .. } | PortError::Refused { .. })) => {
                return Ok(OrderAnswer::Refused { detail: error.to_string() });
            }
            Err(error) => return conflict(format!("nothing was changed: {error}")),
        };
        if service.id != order.identity {
            return conflict(format!("{} is another of the same name now", self.describe()));
        }
        let now = match self.wanted(&service) {
            Ok(now) => now,
            Err(error) => return Ok(OrderAnswer::Refused { detail: error.to_string() }),
        };
        if now != order.from || service.version.index.to_string() != order.version {
            return conflict(format!(
                "{} is at version {} with {now} wanted, and was at version {} with {}",
                self.describe(),
                service.version.index,
                order.version,
                order.from
            ));
        }
        let path = format!("/services/{}/update?version={}", in_path(&service.id), service.version.index);
        let spec = specification(service.spec, order);
        let answer = self.orders.http.order(&path, &[], &spec).await.map_err(Unanswered::error)?;
        self.answered(&path, &answer)
    }

    fn answered(&self, path: &str, answer: &Answer) -> Result<OrderAnswer, PortError> {
        if answer.status.is_success() {
            return Ok(OrderAnswer::Done);
        }
        let said = serde_json::from_slice(&answer.body).ok().map(|Refusal { message }| message);
        if let Some(said) = said.as_deref().filter(|said| said.contains(OUT_OF_SEQUENCE)) {
            return Ok(OrderAnswer::Conflict { detail: escaped(said, SAID) });
        }
        if answer.status.is_client_error() {
            let detail = said.unwrap_or_else(|| format!("it answered {}", answer.status));
            return Ok(OrderAnswer::Refused { detail: escaped(&detail, SAID) });
        }
        // A manager that has lost its leader on the way may have handed it on.
        Err(self.orders.http.accept(path, answer).err().unwrap_or_else(|| self.orders.unreadable("no answer")))
    }

    /// Whether an order would be taken, found out by one that cannot be: no service is at version 0, and what is sent is what
    /// is there.
    ///
    /// # Errors
    /// Why it would not be.
    pub(super) async fn would_take_an_order(&self, service: &Service) -> Result<(), PortError> {
        let path = format!("/services/{}/update?version=0", in_path(&service.id));
        let answer = self.orders.http.order(&path, &[], &service.spec).await.map_err(Unanswered::error)?;
        match self.answered(&path, &answer)? {
            OrderAnswer::Conflict { .. } => Ok(()),
            OrderAnswer::Refused { detail } => Err(PortError::Refused { what: self.orders.what().to_owned(), detail }),
            OrderAnswer::Done => Err(self.orders.unreadable("it took an order for a version that there never was")),
        }
    }
}

/// The specification as it was read, with another count and the mark.
fn specification(mut spec: Value, order: &ScaleOrder) -> Value {
    let ScaleOrder { from, to, version, operation, .. } = order;
    spec["Mode"]["Replicated"]["Replicas"] = json!(to.0);
    if !spec["Labels"].is_object() {
        spec["Labels"] = json!({});
    }
    spec["Labels"][MARK] = json!(format!("{operation} {from} {to} {version}"));
    spec
}

/// Whose order set that count, if it was the last change of the service.
pub(super) fn marked_by(service: &Service, wanted: Replicas) -> Option<String> {
    let mark = service.label(MARK)?;
    let before = service.previous_spec.as_ref().and_then(|spec| label(spec, MARK));
    let mut words = mark.split(' ');
    let (operation, _, to) = (words.next()?, words.next()?, words.next()?);
    (before != Some(mark) && to == wanted.to_string()).then(|| operation.to_owned())
}
