//! Where a front hands in what people said, and what it is answered: the seam between a chat system and the service.
//! A front knows messages, buttons and reactions; the service knows operations. Neither knows the other's words.

use async_trait::async_trait;
use scalebot_commands::card::Card;
use scalebot_commands::journal::Signal;
use scalebot_commands::request::Request;
use scalebot_commands::units::{OperationId, Person, TargetName};

/// Takes what people said. Every call is bounded by the service's own limits, and none waits for an operation's end.
#[async_trait]
pub(crate) trait Reception: Send + Sync {
    /// A command in its parsed form: opens an operation, answers a question, or cancels.
    async fn command(&self, request: Request, by: Person) -> Reply;

    /// A mark, its withdrawal, a reason or somebody's word, for that operation.
    async fn signal(&self, operation: &OperationId, signal: Signal) -> Reply;

    /// Sees to an escalation; without a number, to the only one that is open.
    async fn acknowledge(&self, escalation: Option<u64>, by: Person) -> Reply;

    /// Begins what was proposed.
    async fn start_proposed(&self, by: Person) -> Reply;

    /// Dismisses what was proposed.
    async fn dismiss_proposed(&self, by: Person) -> Reply;

    /// The fleets that may be named, for completing what is typed.
    fn targets(&self) -> Vec<TargetName>;

    /// Operations that are under way, for completing what is typed.
    fn under_way(&self) -> Vec<OperationId>;
}

/// What somebody is answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    /// An operation was opened; its cards follow in the room. What is said at once.
    Opened {
        /// The operation.
        operation: OperationId,
        /// What is said at once.
        text: String,
    },
    /// A question's answer.
    Card(Box<Card>),
    /// It was taken; what there is to say, which may be nothing.
    Taken(String),
    /// It was not, and why.
    Refused(String),
}
