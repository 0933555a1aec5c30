//! Every body of the reference that this host sends (§1.4, §1.13), whole and as it goes over the wire.

use serde::Deserialize;
use serde_json::{Value, json};

use super::sending::{Reply, outgoing, playing, taken, token};
use crate::{
    channel::{
        Outgoing, Provider, Rendition,
        whatsapp::{Form, render},
    },
    domain::message::{Answer, Content},
};

#[derive(Deserialize)]
struct Vector {
    /// Which body of the reference it is.
    of: String,
    /// What a plugin or a shop asked for.
    content: Content,
    #[serde(default)]
    form: As,
    quote: Option<String>,
    to: Option<String>,
    /// What Meta is sent, but for what each message has: see [`whole`].
    body: Value,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum As {
    #[default]
    Free,
    Template,
}

/// The body with what stands in every one of them.
fn whole(vector: &Vector) -> Value {
    let mut body = vector.body.clone();
    body["messaging_product"] = json!("whatsapp");
    body["recipient_type"] = json!("individual");
    body["biz_opaque_callback_data"] = json!(token().to_string());
    if body.get("recipient").is_none() {
        body["to"] = json!("+33639981201");
    }
    body
}

async fn posted(vector: &Vector) -> Value {
    let form = match vector.form {
        As::Free => Form::Free,
        As::Template => Form::Template,
    };
    let rendered = render(&vector.content, form).unwrap_or_else(|error| panic!("{}: {error}", vector.of));
    let answers: Vec<Reply> = vec![(200, None, taken())];
    // A file is given to Meta before its message, which has the id then.
    let media_id = rendered.upload.as_ref().map(|_| "1310000000000001".to_owned());
    let (meta, posts) = playing(answers).await;
    let mut message = Outgoing {
        body: Rendition::Whatsapp(rendered),
        quote: vector.quote.clone(),
        media_id,
        ..outgoing(&Content { text: Some("instead of which the vector's goes".into()), ..Content::default() })
    };
    if let Some(to) = &vector.to {
        message.to.clone_from(to);
    }
    let answer = meta.send(&message).await;
    assert!(matches!(answer, Answer::Accepted { .. }), "{}: {answer:?}", vector.of);
    let last = posts.lock().unwrap().pop().unwrap();
    serde_json::from_slice(&last.2).unwrap()
}

#[tokio::test]
async fn every_body_of_the_reference_is_sent_to_the_letter() {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("bodies.json")).unwrap();
    assert!(vectors.len() >= 17, "a vector was lost");
    for vector in &vectors {
        assert_eq!(posted(vector).await, whole(vector), "{}", vector.of);
    }
}
