//! `messages.media`: the bytes of a file that a customer sent.
//!
//! A plugin that asks for messages may read the files of those that it is given: it names them by ids that the host gave it with
//! the message, and what it could not have been given it cannot name.

use super::{RunState, trouble};
use crate::{
    domain::{
        file::{FileState, of_incoming},
        run::Asked,
    },
    ids::MessageId,
};

/// What a plugin calls the file at this place of a message.
pub(crate) fn media_id(message: MessageId, place: usize) -> String {
    format!("{message}/{place}")
}

fn parse(id: &str) -> Option<(MessageId, usize)> {
    let (message, place) = id.split_once('/')?;
    Some((message.parse().ok()?, place.parse().ok()?))
}

impl RunState {
    pub(super) async fn file_of_a_customer(&mut self, id: &str) -> wasmtime::Result<Option<Vec<u8>>> {
        let found = self.readable(id).await?;
        // The contract has one answer for everything that is not to be had; the log says which it is.
        Ok(found.map_err(|why| self.note(&format!("messages.media: {why}"))).ok())
    }

    async fn readable(&mut self, id: &str) -> wasmtime::Result<Result<Vec<u8>, String>> {
        let Some((message, place)) = parse(id) else { return Ok(Err(format!("`{id}` is no id of a file"))) };
        if self.plugin.manifest.on_message.is_none() {
            return Ok(Err("this plugin asks for no messages, so it has no files of theirs".to_owned()));
        }
        self.asks(Asked::Message(message));
        let tenant = &self.work.run.key.tenant;
        let Some(file) = self.shared.store.file(tenant, &of_incoming(message, place)).await.map_err(trouble)? else {
            return Ok(Err(format!("`{id}` is not there, or its time is over")));
        };
        // It is copied into the plugin's memory, which has to have room for it and for what is made of it.
        let bytes_max = self.plugin.budget.memory.0 / 2;
        let bytes = file.bytes.len() as u64;
        Ok(match file.state {
            FileState::Kept { .. } if bytes <= bytes_max => Ok(file.bytes.to_vec()),
            FileState::Kept { .. } => {
                Err(format!("`{id}` has {bytes} bytes, and half of the plugin's memory is {bytes_max}"))
            }
            FileState::Wanted(_) => Err(format!("`{id}` is not fetched yet; try again with a timer")),
            FileState::Lost { why } => Err(format!("`{id}` is not to be had: {why}")),
            FileState::Uploaded { .. } => Err(format!("`{id}` is no file of a customer's")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TenantId;

    #[test]
    fn a_file_is_named_by_its_message_and_its_place() {
        let message = MessageId::of_incoming(&TenantId::default_tenant(), "meta", "wamid.1");
        assert_eq!(parse(&media_id(message, 3)), Some((message, 3)));
        for wrong in ["no-such-file", "", "m/0", "https://api.twilio.com/1", &format!("{message}/-1")] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
