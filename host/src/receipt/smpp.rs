//! What SMSCs deliver: recorded as webhooks are, and acknowledged by the session once it is.

use std::sync::Arc;

use async_trait::async_trait;

use super::{ReceiptState, record::record_from};
use crate::channel::{
    Report,
    smpp::{NAME, Reports},
};

struct OverSmpp(ReceiptState);

/// Where sessions with SMSCs hand in what comes over them.
pub fn over_smpp(state: ReceiptState) -> Arc<dyn Reports> {
    Arc::new(OverSmpp(state))
}

#[async_trait]
impl Reports for OverSmpp {
    async fn record(&self, account: &str, reports: Vec<Report>) -> Result<(), String> {
        record_from(&self.0, NAME, Some(account), reports).await.map_err(|error| error.to_string())
    }
}
