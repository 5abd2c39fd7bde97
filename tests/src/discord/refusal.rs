//! How Discord says no: a status, a code, a sentence, and for a form the path of each field with what is wrong about it.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

/// An answer that refuses.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: u32,
    pub(crate) message: &'static str,
    /// The nested `errors` of an invalid form.
    pub(crate) errors: Option<Value>,
}

macro_rules! refusals {
    ($($name:ident = $status:ident $code:literal $message:literal;)*) => {
        $(pub(crate) const $name: Refusal =
            Refusal { status: StatusCode::$status, code: $code, message: $message, errors: None };)*
    };
}

// https://discord.com/developers/docs/topics/opcodes-and-status-codes#json
refusals! {
    NOT_FOUND = NOT_FOUND 0 "404: Not Found";
    METHOD_NOT_ALLOWED = METHOD_NOT_ALLOWED 0 "405: Method Not Allowed";
    UNAUTHORIZED = UNAUTHORIZED 0 "401: Unauthorized";
    UNKNOWN_APPLICATION = NOT_FOUND 10002 "Unknown Application";
    UNKNOWN_CHANNEL = NOT_FOUND 10003 "Unknown Channel";
    UNKNOWN_GUILD = NOT_FOUND 10004 "Unknown Guild";
    UNKNOWN_MEMBER = NOT_FOUND 10007 "Unknown Member";
    UNKNOWN_MESSAGE = NOT_FOUND 10008 "Unknown Message";
    UNKNOWN_ROLE = NOT_FOUND 10011 "Unknown Role";
    UNKNOWN_USER = NOT_FOUND 10013 "Unknown User";
    UNKNOWN_EMOJI = BAD_REQUEST 10014 "Unknown Emoji";
    UNKNOWN_WEBHOOK = NOT_FOUND 10015 "Unknown Webhook";
    UNKNOWN_INTERACTION = NOT_FOUND 10062 "Unknown interaction";
    UNKNOWN_COMMAND = NOT_FOUND 10063 "Unknown application command";
    UNKNOWN_COMMAND_PERMISSIONS = NOT_FOUND 10066 "Unknown application command permissions";
    TOO_MANY_REACTIONS = BAD_REQUEST 30010 "Maximum number of reactions reached (20)";
    TOO_MANY_FILES = BAD_REQUEST 30015 "Maximum number of attachments in a message reached (10)";
    TOO_MANY_COMMANDS = BAD_REQUEST 30032 "Maximum number of application commands reached (100)";
    TOO_LARGE = PAYLOAD_TOO_LARGE 40005 "Request entity too large";
    ALREADY_ACKNOWLEDGED = BAD_REQUEST 40060 "Interaction has already been acknowledged.";
    MISSING_ACCESS = FORBIDDEN 50001 "Missing Access";
    NOT_THE_AUTHOR = FORBIDDEN 50005 "Cannot edit a message authored by another user";
    EMPTY_MESSAGE = BAD_REQUEST 50006 "Cannot send an empty message";
    CANNOT_SEND_TO_USER = FORBIDDEN 50007 "Cannot send messages to this user";
    MISSING_PERMISSIONS = FORBIDDEN 50013 "Missing Permissions";
    INVALID_WEBHOOK_TOKEN = UNAUTHORIZED 50027 "Invalid Webhook Token";
    INVALID_FORM = BAD_REQUEST 50035 "Invalid Form Body";
    UNSUPPORTED_FORM = BAD_REQUEST 50035 "Invalid form body (returned for both application/json and multipart/form-data bodies), or invalid Content-Type provided";
    FILES_NOT_NUMBERED = BAD_REQUEST 50046 "Invalid file uploaded";
    THREAD_ARCHIVED = BAD_REQUEST 50083 "Thread is archived";
    INVALID_JSON = BAD_REQUEST 50109 "The request body contains invalid JSON.";
    THREAD_EXISTS = BAD_REQUEST 160_004 "A thread has already been created for this message";
}

impl Refusal {
    /// The body as Discord writes it.
    pub(crate) fn body(&self) -> Value {
        let mut body = json!({ "message": self.message, "code": self.code });
        if let Some(errors) = &self.errors {
            body["errors"] = errors.clone();
        }
        body
    }
}

/// What is wrong about a form, field by field, gathered before it is refused as a whole.
#[derive(Debug, Default)]
pub(crate) struct Form {
    wrong: Map<String, Value>,
}

impl Form {
    /// Notes that the field at `path` (`embeds.0.title`) is refused.
    pub(crate) fn refuse(&mut self, path: &str, code: &str, message: impl Into<String>) {
        let mut place = &mut self.wrong;
        for step in path.split('.').filter(|step| !step.is_empty()) {
            let next = place.entry(step).or_insert_with(|| json!({}));
            let Value::Object(next) = next else { return };
            place = next;
        }
        let list = place.entry("_errors").or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(json!({ "code": code, "message": message.into() }));
        }
    }

    /// The refusal of the whole, where anything is wrong.
    pub(crate) fn verdict(self) -> Result<(), Refusal> {
        if self.wrong.is_empty() {
            return Ok(());
        }
        Err(Refusal { errors: Some(Value::Object(self.wrong)), ..INVALID_FORM })
    }
}

/// A form with one field that is wrong.
pub(crate) fn invalid(path: &str, code: &str, message: impl Into<String>) -> Refusal {
    let mut form = Form::default();
    form.refuse(path, code, message);
    form.verdict().err().unwrap_or(INVALID_FORM)
}
