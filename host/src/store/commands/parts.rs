//! A long SMS from a customer whose parts come one by one, perhaps over several hosts: each is kept, and the last makes the whole.
//!
//! A part is kept as a row of what customers write, under an id that is derived from what names it, so that a part which comes
//! twice is one. What names it is little: SMS numbers messages by one octet, which telephones use again after 256 messages or
//! begin anew with. So parts belong together only where they come within about an hour, and what says something else under a
//! name that is taken, or comes again once its message is whole, opens a new generation.

use std::sync::Arc;

use super::{Outcome, Tx, source::Sequence};
use crate::{domain::run::Incoming, ids::MessageId, store::NewPart};

/// Parts that come together come within minutes; the hour may change in between.
const HOUR_MS: i64 = 3_600_000;
/// How many messages of one sender may bear the same number in that time.
const GENERATIONS: usize = 4;
/// The kind of the rows: no plugin is ever given one.
const KIND: &str = "part";

/// What is kept of a message, by the parts' numbers.
type Kept = Vec<Option<Arc<Incoming>>>;

pub(in crate::store) fn keep_part(tx: &mut Tx<'_>, part: &NewPart) -> Outcome<Option<Incoming>> {
    let hour = part.incoming.received.0.div_euclid(HOUR_MS);
    let mut earlier = None;
    for (generation, mut kept) in kept(tx, part, hour)?.into_iter().enumerate() {
        let Some(own) = kept.get_mut(usize::from(part.no).saturating_sub(1)) else { break };
        match own {
            Some(known) if known.text != part.incoming.text => continue,
            Some(_) => {}
            None => *own = Some(Arc::new(insert(tx, part, id(part, part.no, generation, hour))?)),
        }
        let was_whole = earlier.is_some();
        match whole(part, &kept) {
            // All of it once more: whoever sent it got no answer, and it is the one that is known.
            Some(again) if earlier.as_ref().is_some_and(|known: &Incoming| known.text == again.text) => {}
            Some(new) if was_whole || !is_known(tx, &new)? => return Ok(Some(new)),
            // It is whole already: this is the part again, or the same words in another message that bears its number.
            Some(known) => earlier = Some(known),
            None => return Ok(earlier),
        }
    }
    // Its place is taken in every generation: better alone than lost.
    Ok(Some(earlier.unwrap_or_else(|| part.incoming.clone())))
}

/// Everything that may belong to it, by generation; asked for at once, so that a database elsewhere is asked one time.
fn kept(tx: &mut Tx<'_>, part: &NewPart, hour: i64) -> Outcome<Vec<Kept>> {
    let mut looked = Vec::new();
    for generation in 0..GENERATIONS {
        for no in 1..=part.total {
            looked.push([hour, hour - 1].map(|hour| tx.source.incoming(id(part, no, generation, hour))));
        }
    }
    let mut found = Vec::with_capacity(looked.len());
    for [now, before] in looked {
        found.push(now?.or(before?));
    }
    Ok(found.chunks(usize::from(part.total).max(1)).map(<[_]>::to_vec).collect())
}

fn is_known(tx: &mut Tx<'_>, whole: &Incoming) -> Outcome<bool> {
    Ok(tx.source.incoming(whole.id)?.is_some())
}

fn id(part: &NewPart, no: u8, generation: usize, hour: i64) -> MessageId {
    let name = format!("{}/{}/{hour}/{generation}/{no}", part.key, part.total);
    MessageId::of_incoming(&part.incoming.tenant, &part.incoming.provider, &name)
}

/// Nobody's message: it must not be taken for the first answer to a question before it is whole.
fn insert(tx: &mut Tx<'_>, part: &NewPart, id: MessageId) -> Outcome<Incoming> {
    let incoming = part.incoming.clone();
    let row = Incoming { id, sender: format!("{KIND}/{}", incoming.sender), kind: KIND.to_owned(), ..incoming };
    let seq = tx.source.next(Sequence::Incoming)?;
    tx.source.insert_incoming(seq, &row)?;
    Ok(row)
}

/// All texts in their order, where all are there. Named by its parts, so that it is the same when it is put together again.
fn whole(part: &NewPart, kept: &Kept) -> Option<Incoming> {
    let (mut text, mut name) = (String::new(), blake3::Hasher::new());
    for kept in kept {
        let kept = kept.as_ref()?;
        text.push_str(&kept.text);
        name.update(&kept.id.0);
    }
    let incoming = part.incoming.clone();
    let provider_id = format!("{}/{}", part.key, name.finalize().to_hex());
    let id = MessageId::of_incoming(&incoming.tenant, &incoming.provider, &provider_id);
    Some(Incoming { id, provider_id, text, ..incoming })
}
