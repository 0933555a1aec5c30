//! Files that go out as bytes: given to the account's provider once, and named by the provider's id from then on.
//!
//! The id is remembered in the store under a keyed hash of type and bytes, so a picture that goes to ten thousand customers is
//! uploaded once, whichever hosts send it. A provider may have forgotten it all the same: then its refusal says that nothing
//! was sent, and within the same attempt the file is uploaded again and the message sent once more.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{Parts, route::account_key};
use crate::{
    channel::{Outgoing, Provider, Rendition, whatsapp::Upload},
    domain::{
        file::{FileRow, FileState, of_upload},
        message::{Answer, Attempt, AttemptFailure, MessageRecord},
    },
    ids::TenantId,
};

/// Requests that an attempt may come to: the message with an id that is forgotten, the file, the message again.
pub(super) const REQUESTS_MAX: u32 = 3;

/// What has to be uploaded before this can be sent by the provider.
pub(super) fn needed<'a>(provider: &dyn Provider, body: &'a Rendition) -> Option<&'a Upload> {
    match body {
        Rendition::Whatsapp(rendered) if provider.keeps_files() => rendered.upload.as_ref(),
        Rendition::Whatsapp(_) | Rendition::Sms(_) => None,
    }
}

/// Sends a message, its file first where it has one.
pub(super) async fn send(
    parts: &Parts,
    record: &MessageRecord,
    provider: &dyn Provider,
    mut outgoing: Outgoing,
) -> Answer {
    let Some(upload) = needed(provider, &outgoing.body).cloned() else { return provider.send(&outgoing).await };
    let kept = Kept::of(parts, &record.message.tenant, provider, &upload);
    // What was refused for its file is not sent with the same id again.
    let doubted = record.attempts.iter().filter_map(failure).any(is_about_the_file);
    let known = if doubted { None } else { kept.known().await };
    if let Some(media_id) = known {
        outgoing.media_id = Some(media_id);
        let answer = provider.send(&outgoing).await;
        if !matches!(&answer, Answer::Failed(failure) if is_about_the_file(failure)) {
            return answer;
        }
        tracing::info!(message = %record.message.id, "the provider has forgotten a file, which is uploaded again");
    }
    match provider.upload(&upload, outgoing.token.attempt).await {
        Ok(media_id) => {
            kept.remember(&media_id).await;
            outgoing.media_id = Some(media_id);
            provider.send(&outgoing).await
        }
        Err(failure) => Answer::Failed(failure),
    }
}

fn failure(attempt: &Attempt) -> Option<&AttemptFailure> {
    attempt.failure.as_ref()
}

/// Our word for media that cannot be fetched, and Meta's codes for a parameter that is wrong, which an id is that it does not
/// know. Where it was another parameter, the message is refused a second time, and that is all.
fn is_about_the_file(failure: &AttemptFailure) -> bool {
    failure.code == "media-problem" || matches!(failure.provider_code.as_deref(), Some("100" | "131009"))
}

/// Under which id an account's provider keeps a file.
struct Kept<'a> {
    parts: &'a Parts,
    tenant: &'a TenantId,
    name: String,
}

impl<'a> Kept<'a> {
    fn of(parts: &'a Parts, tenant: &'a TenantId, provider: &dyn Provider, upload: &Upload) -> Kept<'a> {
        // Keyed, because what was sent to somebody could be found out from a hash of it by whoever can guess it.
        let key = blake3::derive_key("relais 2026 uploaded files", &parts.store.host_secret());
        let mut hasher = blake3::Hasher::new_keyed(&key);
        hasher.update(upload.mime_type.as_bytes());
        hasher.update(&[0]);
        hasher.update(upload.base64.as_bytes());
        let digest = URL_SAFE_NO_PAD.encode(hasher.finalize().as_bytes());
        Kept { parts, tenant, name: of_upload(&account_key(provider), &digest) }
    }

    /// A store that cannot be read costs an upload, and no message.
    async fn known(&self) -> Option<String> {
        let file = self.parts.store.file(self.tenant, &self.name).await;
        let file = file
            .inspect_err(|error| tracing::warn!(%error, "it cannot be read whether a file was uploaded"))
            .ok()??;
        match file.state {
            FileState::Uploaded { media_id } if file.due > self.parts.clock.now() => Some(media_id),
            _ => None,
        }
    }

    async fn remember(&self, media_id: &str) {
        let days = u64::from(self.parts.settings.uploads_kept_days);
        if days == 0 {
            return;
        }
        let file = FileRow {
            tenant: self.tenant.clone(),
            name: self.name.clone(),
            due: self.parts.clock.now().plus(Duration::from_secs(days * 24 * 3600)),
            state: FileState::Uploaded { media_id: media_id.to_owned() },
            bytes: Arc::default(),
        };
        if let Err(error) = self.parts.store.put_file(file).await {
            tracing::warn!(%error, "it is not remembered that a file was uploaded");
        }
    }
}
