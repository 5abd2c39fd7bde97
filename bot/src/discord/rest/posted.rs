//! A message before it is sent: as a new one, as what another is changed to, or as an answer. Each goes out as the
//! library's builder for it has it.

use serde::Serialize;
use serde_json::json;
use serenity::all::{
    CreateActionRow, CreateAllowedMentions, CreateAttachment, CreateEmbed, CreateInteractionResponseFollowup,
    CreateMessage, EditAttachments, EditInteractionResponse, EditMessage, MessageFlags, Nonce, RoleId,
};

use super::{Body, Fault};

/// A message with its files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Posted {
    pub(crate) content: Option<String>,
    pub(crate) embed: Option<CreateEmbed>,
    pub(crate) rows: Vec<CreateActionRow>,
    /// The one role that is notified; nobody else ever is.
    pub(crate) notifies: Option<RoleId>,
    pub(crate) files: Vec<CreateAttachment>,
    pub(crate) flags: Option<MessageFlags>,
    /// By which a repetition is the same message, for some minutes.
    pub(crate) nonce: Option<String>,
}

impl Posted {
    /// As a new message.
    pub(super) fn new_message(self) -> Result<Body, Fault> {
        let mut message = CreateMessage::new().allowed_mentions(self.mentions()).components(self.rows);
        if let Some(content) = self.content {
            message = message.content(content);
        }
        if let Some(embed) = self.embed {
            message = message.embed(embed);
        }
        if let Some(flags) = self.flags {
            message = message.flags(flags);
        }
        if let Some(nonce) = self.nonce {
            message = message.nonce(Nonce::String(nonce)).enforce_nonce(true);
        }
        with_files(&message, self.files)
    }

    /// As what an earlier message is changed to, its files included.
    pub(super) fn edit(self) -> Result<Body, Fault> {
        let mentions = self.mentions();
        let files = EditAttachments::new();
        let mut edit = EditMessage::new().allowed_mentions(mentions).components(self.rows).attachments(files);
        if let Some(content) = self.content {
            edit = edit.content(content);
        }
        if let Some(embed) = self.embed {
            edit = edit.embed(embed);
        }
        with_files(&edit, self.files)
    }

    /// As the answer to what somebody did, in the place of the first one.
    pub(super) fn answer(self) -> Result<Body, Fault> {
        let mentions = self.mentions();
        let files = EditAttachments::new();
        let mut answer =
            EditInteractionResponse::new().allowed_mentions(mentions).components(self.rows).attachments(files);
        if let Some(content) = self.content {
            answer = answer.content(content);
        }
        if let Some(embed) = self.embed {
            answer = answer.embed(embed);
        }
        with_files(&answer, self.files)
    }

    /// As something further that is said to whoever did something, and that nobody else sees.
    pub(super) fn follow_up(self) -> Result<Body, Fault> {
        let mut further = CreateInteractionResponseFollowup::new()
            .allowed_mentions(self.mentions())
            .components(self.rows)
            .flags(MessageFlags::EPHEMERAL);
        if let Some(content) = self.content {
            further = further.content(content);
        }
        if let Some(embed) = self.embed {
            further = further.embed(embed);
        }
        with_files(&further, self.files)
    }

    fn mentions(&self) -> CreateAllowedMentions {
        CreateAllowedMentions::new().roles(self.notifies)
    }

    /// As Discord receives it when it is new.
    #[cfg(any(test, feature = "hostile"))]
    pub(crate) fn json(&self) -> serde_json::Value {
        match self.clone().new_message() {
            Ok(Body::Json(json) | Body::Files(json, _)) => json,
            Ok(Body::Nothing) => serde_json::Value::Null,
            Err(fault) => panic!("{fault:?}"),
        }
    }
}

/// What a builder comes to.
pub(super) fn body(built: &impl Serialize) -> Result<Body, Fault> {
    with_files(built, vec![])
}

/// What a builder comes to, with files. Where it says which files there are, they are numbered here: the library lets its
/// own client alone do that.
fn with_files(built: &impl Serialize, files: Vec<CreateAttachment>) -> Result<Body, Fault> {
    let mut json =
        serde_json::to_value(built).map_err(|error| Fault::Unreadable(format!("in what was to be sent: {error}")))?;
    if let Some(listed) = json.get_mut("attachments") {
        let described = |(id, file): (usize, &CreateAttachment)| json!({ "id": id.to_string(), "filename": file.filename, "description": file.description });
        *listed = files.iter().enumerate().map(described).collect();
    }
    Ok(if files.is_empty() { Body::Json(json) } else { Body::Files(json, files) })
}
