//! Files beside messages: what customers sent, and what providers keep for us so that it need not be sent twice.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::run::Incoming;
use crate::{
    clock::Timestamp,
    ids::{MessageId, TenantId},
};

/// A file as it is stored, or is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct FileRow {
    pub tenant: TenantId,
    /// What it is and of what: [`of_incoming`], [`of_upload`].
    pub name: String,
    /// When it is to be looked at again: to be fetched, or to go.
    pub due: Timestamp,
    pub state: FileState,
    /// Empty unless it is kept.
    pub bytes: Arc<[u8]>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum FileState {
    /// Of ours: an account's provider keeps it under this id.
    Uploaded { media_id: String },
    /// A customer's, which the provider still has.
    Wanted(Wanted),
    /// A customer's, which we have.
    Kept { mime_type: String, filename: Option<String> },
    /// A customer's, which is not to be had.
    Lost { why: String },
}

/// A file that is to be fetched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Wanted {
    pub provider: String,
    /// Whose account it came to, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The provider's id for it, or where it is.
    pub media_id: String,
    pub mime_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// What its bytes come to, in base64, where the provider says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    pub received: Timestamp,
    pub tries: u32,
    /// Why the last try failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// What the file at this place of a message is called.
pub fn of_incoming(message: MessageId, place: usize) -> String {
    format!("incoming/{message}/{place}")
}

/// What a file is called that was uploaded for an account: `account` is provider and account, `digest` that of type and bytes.
pub fn of_upload(account: &str, digest: &str) -> String {
    format!("upload/{account}/{digest}")
}

impl FileRow {
    /// The files of what a customer wrote, to be fetched as soon as anybody can.
    pub fn wanted(incoming: &Incoming) -> impl Iterator<Item = FileRow> {
        incoming.media.iter().enumerate().map(|(place, media)| FileRow {
            tenant: incoming.tenant.clone(),
            name: of_incoming(incoming.id, place),
            due: incoming.received,
            state: FileState::Wanted(Wanted {
                provider: incoming.provider.clone(),
                account: incoming.account.clone(),
                media_id: media.id.clone(),
                mime_type: media.mime_type.clone(),
                filename: media.filename.clone(),
                sha256: media.sha256.clone(),
                received: incoming.received,
                tries: 0,
                trouble: None,
            }),
            bytes: Arc::default(),
        })
    }
}
