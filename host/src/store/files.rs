//! Files beside messages: what a store does with them.
//!
//! They are in the store and not beside it, because the store is what several hosts share, what a backup has, and what an
//! erasure goes through.

use async_trait::async_trait;

use super::Result;
use crate::{clock::Timestamp, domain::file::FileRow, ids::TenantId};

#[async_trait]
pub trait Files {
    /// When the next file is to be looked at.
    async fn next_file(&self) -> Result<Option<Timestamp>>;

    /// Gives this host files that are to be fetched, which nobody else gets before `until`, and lets go of those whose time is
    /// over.
    async fn claim_files(&self, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<FileRow>>;

    /// Keeps a file, in place of one of the same name.
    async fn put_file(&self, file: FileRow) -> Result<()>;

    /// The same where it is there still: of who was erased meanwhile nothing is written.
    async fn change_file(&self, file: FileRow) -> Result<()>;

    async fn forget_file(&self, tenant: &TenantId, name: &str) -> Result<()>;

    async fn file(&self, tenant: &TenantId, name: &str) -> Result<Option<FileRow>>;
}
