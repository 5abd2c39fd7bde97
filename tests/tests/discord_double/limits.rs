//! Every bound of a message, at the last value that is taken and the first that is not.

use reqwest::Method;
use scalebot_tests::discord::{Discord, limits};
use serde_json::{Value, json};

use crate::client::Api;

struct Bounds {
    discord: Discord,
    api: Api,
    path: String,
}

impl Bounds {
    fn new() -> Self {
        let discord = Discord::ready_made();
        let (api, path) = (Api::of(&discord), format!("/channels/{}/messages", discord.channel_id("ops")));
        Self { discord, api, path }
    }

    async fn send(&self, body: Value) -> crate::client::Got {
        self.discord.advance(std::time::Duration::from_secs(5));
        self.api.post(&self.path, body).await
    }

    /// At `most` a body is taken; one more, and the field at `path` is refused with `code`.
    async fn at(&self, most: usize, path: &str, code: &str, body: impl Fn(usize) -> Value) {
        let taken = self.send(body(most)).await;
        assert_eq!(taken.status, 200, "{path} at {most}: {:#}", taken.body);
        assert_eq!(self.send(body(most + 1)).await.wrong_at(path), code, "{path}");
    }
}

/// So many characters, which are more bytes.
fn long(length: usize) -> String {
    "ä".repeat(length)
}

fn button(n: usize) -> Value {
    json!({ "type": 2, "style": 1, "label": format!("button {n}"), "custom_id": format!("id {n}") })
}

fn row(buttons: impl IntoIterator<Item = Value>) -> Value {
    json!({ "type": 1, "components": buttons.into_iter().collect::<Vec<_>>() })
}

#[test]
fn the_bounds_are_those_that_discord_documents() {
    // https://discord.com/developers/docs/resources/message#embed-object-embed-limits and beside
    assert_eq!((limits::CONTENT, limits::EMBEDS, limits::EMBED_TOTAL), (2000, 10, 6000));
    assert_eq!((limits::EMBED_TITLE, limits::EMBED_DESCRIPTION, limits::EMBED_FIELDS), (256, 4096, 25));
    assert_eq!(
        (limits::FIELD_NAME, limits::FIELD_VALUE, limits::EMBED_FOOTER, limits::EMBED_AUTHOR),
        (256, 1024, 2048, 256)
    );
    assert_eq!((limits::ROWS, limits::CUSTOM_ID, limits::BUTTON_LABEL, limits::SELECT_OPTIONS), (5, 100, 80, 25));
    assert_eq!((limits::ATTACHMENT_DESCRIPTION, limits::FILES, limits::FILE_BYTES), (1024, 10, 10 << 20));
    assert_eq!((limits::NONCE, limits::REACTIONS), (25, 20));
}

#[tokio::test]
async fn a_text_is_bounded_wherever_it_stands() {
    let bounds = Bounds::new();
    let most = "BASE_TYPE_MAX_LENGTH";
    let between = "BASE_TYPE_BAD_LENGTH";
    let embed = |embed: Value| json!({ "embeds": [embed] });
    bounds.at(limits::CONTENT, "content", most, |n| json!({ "content": long(n) })).await;
    bounds.at(limits::EMBED_TITLE, "embeds.0.title", most, |n| embed(json!({ "title": long(n) }))).await;
    bounds
        .at(limits::EMBED_DESCRIPTION, "embeds.0.description", most, |n| embed(json!({ "description": long(n) })))
        .await;
    let footer = |n| embed(json!({ "footer": { "text": long(n) } }));
    bounds.at(limits::EMBED_FOOTER, "embeds.0.footer.text", between, footer).await;
    let author = |n| embed(json!({ "author": { "name": long(n) } }));
    bounds.at(limits::EMBED_AUTHOR, "embeds.0.author.name", between, author).await;
    let field = |name: usize, value: usize| embed(json!({ "fields": [{ "name": long(name), "value": long(value) }] }));
    bounds.at(limits::FIELD_NAME, "embeds.0.fields.0.name", between, |n| field(n, 1)).await;
    bounds.at(limits::FIELD_VALUE, "embeds.0.fields.0.value", between, |n| field(1, n)).await;
    let label =
        |n| json!({ "components": [row([json!({ "type": 2, "style": 1, "label": long(n), "custom_id": "x" })])] });
    bounds.at(limits::BUTTON_LABEL, "components.0.components.0.label", most, label).await;
    let id = |n| json!({ "components": [row([json!({ "type": 2, "style": 1, "label": "x", "custom_id": long(n) })])] });
    bounds.at(limits::CUSTOM_ID, "components.0.components.0.custom_id", between, id).await;
    let nonce = |n| json!({ "content": "x", "nonce": "n".repeat(n) });
    bounds.at(limits::NONCE, "nonce", "NONCE_TYPE_TOO_LONG", nonce).await;
}

#[tokio::test]
async fn a_list_is_bounded_wherever_it_stands() {
    let bounds = Bounds::new();
    let most = "BASE_TYPE_MAX_LENGTH";
    let between = "BASE_TYPE_BAD_LENGTH";
    bounds.at(limits::EMBEDS, "embeds", most, |n| json!({ "embeds": vec![json!({ "title": "t" }); n] })).await;
    let fields = |n| json!({ "embeds": [{ "fields": vec![json!({ "name": "n", "value": "v" }); n] }] });
    bounds.at(limits::EMBED_FIELDS, "embeds.0.fields", most, fields).await;
    let rows = |n| json!({ "components": (0..n).map(|n| row([button(n)])).collect::<Vec<_>>() });
    bounds.at(limits::ROWS, "components", between, rows).await;
    let buttons = |n| json!({ "components": [row((0..n).map(button))] });
    bounds.at(limits::ROWS, "components.0.components", between, buttons).await;
    let options = |n: usize| {
        let options: Vec<Value> = (0..n).map(|n| json!({ "label": "l", "value": n.to_string() })).collect();
        json!({ "components": [row([json!({ "type": 3, "custom_id": "menu", "options": options })])] })
    };
    bounds.at(limits::SELECT_OPTIONS, "components.0.components.0.options", between, options).await;
}

#[tokio::test]
async fn all_embeds_together_have_six_thousand_characters() {
    let bounds = Bounds::new();
    let body = |total: usize| {
        // Title, description, field's name and value, footer and author are counted.
        let rest = total - 4000 - 5;
        json!({ "embeds": [
            { "description": long(4000), "url": "https://example.org/not-counted" },
            { "title": "a", "fields": [{ "name": "b", "value": "c" }], "footer": { "text": "d" }, "author": { "name": "e" },
              "description": long(rest) },
        ] })
    };
    bounds.at(limits::EMBED_TOTAL, "embeds", "MAX_EMBED_SIZE_EXCEEDED", body).await;
}

#[tokio::test]
async fn what_is_empty_or_missing_is_refused() {
    let bounds = Bounds::new();
    for nothing in [json!({}), json!({ "content": "  \n " }), json!({ "content": null, "embeds": [] })] {
        assert_eq!(bounds.send(nothing).await.refusal(), (400, 50006));
    }
    let required = "BASE_TYPE_REQUIRED";
    let blank = bounds.send(json!({ "embeds": [{ "fields": [{ "name": " ", "value": "" }] }, {}] })).await;
    assert_eq!(blank.wrong_at("embeds.0.fields.0.name"), required);
    assert_eq!(blank.wrong_at("embeds.0.fields.0.value"), required);
    assert_eq!(blank.wrong_at("embeds.1.description"), required);
    let button = bounds.send(json!({ "components": [row([json!({ "type": 2, "style": 1 })])] })).await;
    assert_eq!(button.wrong_at("components.0.components.0.custom_id"), required);
    assert_eq!(button.wrong_at("components.0.components.0.label"), required);
    assert_eq!(
        bounds.send(json!({ "components": [row([])] })).await.wrong_at("components.0.components"),
        "BASE_TYPE_BAD_LENGTH"
    );
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let bounds = Bounds::new();
    let embed = async |embed: Value| bounds.send(json!({ "embeds": [embed] })).await;
    assert_eq!(embed(json!({ "title": "t", "url": "nowhere" })).await.wrong_at("embeds.0.url"), "URL_TYPE_INVALID_URL");
    let scheme = embed(json!({ "title": "t", "image": { "url": "ftp://example.org/x" } })).await;
    assert_eq!(scheme.wrong_at("embeds.0.image.url"), "URL_TYPE_INVALID_SCHEME");
    let color = embed(json!({ "title": "t", "color": 0x0100_0000 })).await;
    assert_eq!(color.wrong_at("embeds.0.color"), "NUMBER_TYPE_MAX");
    let at = embed(json!({ "title": "t", "timestamp": "yesterday" })).await;
    assert_eq!(at.wrong_at("embeds.0.timestamp"), "DATE_TIME_TYPE_PARSE");
    assert_eq!(bounds.send(json!({ "content": ["x"] })).await.wrong_at("content"), "STRING_TYPE_CONVERT");

    let twice = bounds.send(json!({ "components": [row([button(1)]), row([button(2), button(1)])] })).await;
    assert_eq!(twice.wrong_at("components.1.components.1.custom_id"), "COMPONENT_CUSTOM_ID_DUPLICATED");
    let style =
        bounds.send(json!({ "components": [row([json!({ "type": 2, "style": 9, "label": "l", "custom_id": "c" })])] }));
    assert_eq!(style.await.wrong_at("components.0.components.0.style"), "BASE_TYPE_CHOICES");
    let loose = bounds.send(json!({ "components": [button(1)] })).await;
    assert_eq!(loose.wrong_at("components.0.type"), "UNION_TYPE_CHOICES");
    let unknown = bounds.send(json!({ "content": "x", "message_reference": { "message_id": "42" } })).await;
    assert_eq!(unknown.wrong_at("message_reference"), "REPLIES_UNKNOWN_MESSAGE");
    assert!(bounds.discord.channel("ops").messages().is_empty(), "nothing of it was posted");
}

#[tokio::test]
async fn files_are_bounded_in_number_size_and_words() {
    let bounds = Bounds::new();
    let upload = async |body: Value, files: &[(&str, &[u8])]| {
        bounds.discord.advance(std::time::Duration::from_secs(5));
        bounds.api.upload(Method::POST, &bounds.path, body, files).await
    };
    let one: (&str, &[u8]) = ("a.txt", b"a");
    assert_eq!(upload(json!({}), &[one; limits::FILES]).await.status, 200);
    assert_eq!(upload(json!({}), &[one; limits::FILES + 1]).await.refusal(), (400, 30015));
    let described = |n| json!({ "attachments": [{ "id": "0", "description": long(n) }] });
    assert_eq!(upload(described(limits::ATTACHMENT_DESCRIPTION), &[one]).await.status, 200);
    let too_long = upload(described(limits::ATTACHMENT_DESCRIPTION + 1), &[one]).await;
    assert_eq!(too_long.wrong_at("attachments.0.description"), "BASE_TYPE_MAX_LENGTH");
    let big = vec![0; limits::FILE_BYTES + 1];
    assert_eq!(upload(json!({}), &[("big.bin", &big)]).await.refusal(), (413, 40005));
    assert_eq!(upload(json!({}), &[("big.bin", &big[1..])]).await.status, 200);
}
