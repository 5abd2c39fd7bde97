//! Where people are, as one process of the bot has it.

use async_trait::async_trait;
use scalebot_commands::approval::Standing;
use scalebot_commands::card::Card;
use scalebot_commands::ports::{Documents, PortError, Role, Room, Slot};
use scalebot_commands::units::{InstanceId, OperationId, Person};

use super::model::lock;
use super::ports::Port;

/// How long what was said while nobody listened takes to be handed in.
const HANDED_IN_WITHIN: std::time::Duration = std::time::Duration::from_millis(500);

#[async_trait]
impl Room for Port {
    async fn show(&self, _: &OperationId, _: Slot, _: &Card) -> Result<(), PortError> {
        self.ask("room.show", |_| ()).await
    }

    async fn standing(&self, person: &Person, role: Role) -> Result<Standing, PortError> {
        self.ask("room.standing", |model| model.people.standing(person.as_str(), role)).await
    }

    fn attended(&self) -> bool {
        lock(&self.sim).people.attended
    }

    fn hears(&self) -> bool {
        let model = lock(&self.sim);
        // What is handed in at the very moment at which it hears again comes a little later.
        model.now >= model.people.deaf_until + HANDED_IN_WITHIN || model.people.deaf_until.is_zero()
    }

    fn holds_back(&self) -> Option<String> {
        let model = lock(&self.sim);
        let waits = model.holds_back && model.now < model.people.deaf_until;
        waits.then(|| "nobody is reached".to_owned())
    }

    async fn answer(&self, _: &Person, _: &str) -> Result<(), PortError> {
        self.ask("room.answer", |_| ()).await
    }

    async fn reply(&self, _: &Person, _: &Card) -> Result<(), PortError> {
        self.ask("room.reply", |_| ()).await
    }
}

#[async_trait]
impl Documents for Port {
    async fn write_capacity(&self, _: &str) -> Result<String, PortError> {
        self.ask("documents.write", |_| "capacity.md".to_owned()).await
    }

    async fn keep_logs(&self, _: &OperationId, instance: &InstanceId, _: &str) -> Result<String, PortError> {
        self.ask("documents.logs", |_| format!("logs/{instance}.log")).await
    }
}
