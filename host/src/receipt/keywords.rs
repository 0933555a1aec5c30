//! STOP and START: a customer's word on whether anything may be sent. Which words those are is data ([`crate::rules::keywords`]).

use crate::{
    channel::{IncomingReport, phone},
    clock::Timestamp,
    domain::customer::Consent,
    rules::keywords::{Keywords, Writer},
};

/// The consent that this message gives or withdraws, on the channel on which it came.
pub fn consent(report: &IncomingReport, at: Timestamp, keywords: &Keywords) -> Option<Consent> {
    let country = phone::country(&report.sender);
    let day = at.to_jiff().to_zoned(jiff::tz::TimeZone::UTC).date();
    let writer = Writer { country: country.as_deref(), channel: report.channel, day };
    let keyword = match report.kind.as_str() {
        "text" => keywords.find(&report.text, writer),
        // A button's label was written by us: "Stop promotions" is no STOP, and "Cancel" is about the appointment that it
        // stands below; but a button `STOP` is one, and so is `START`.
        "choice" => keywords.whole(&report.text, writer).filter(|keyword| keyword.first || keyword.granted),
        _ => None,
    }?;
    let channel = report.channel;
    Some(Consent {
        channel,
        scope: keyword.scope,
        granted: keyword.granted,
        source: format!("{} by {}", keyword.word, channel.as_str()),
        at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::customer::{Channel, ConsentScope};

    fn report(kind: &str, text: &str) -> IncomingReport {
        IncomingReport {
            channel: Channel::Sms,
            to: None,
            sender: "+33639981201".to_owned(),
            sender_id: None,
            sender_name: None,
            provider_id: "1".to_owned(),
            time: None,
            kind: kind.to_owned(),
            text: text.to_owned(),
            choice: None,
            media: vec![],
            location: None,
            quoted: None,
            attributes: vec![],
        }
    }

    #[test]
    fn a_stop_withdraws_and_a_start_gives_back_with_its_proof() {
        let at = Timestamp::parse("2026-01-15T10:30:00Z").unwrap();
        let consent = |kind: &str, text: &str| consent(&report(kind, text), at, &Keywords::default());
        let stopped = consent("text", "Stop").unwrap();
        assert_eq!((stopped.granted, stopped.scope, stopped.at), (false, ConsentScope::Service, at));
        assert_eq!((stopped.channel, stopped.source.as_str()), (Channel::Sms, "STOP by sms"));
        assert!(consent("text", "start").unwrap().granted);
        assert_eq!(consent("text", "Stop promo").map(|consent| consent.scope), Some(ConsentScope::Marketing));
        assert_eq!(consent("choice", "Stop promotions"), None);
        assert_eq!(consent("choice", "Cancel"), None, "the appointment, not the messages");
        assert!(!consent("choice", "STOP").unwrap().granted);
        assert_eq!(consent("image", "STOP"), None);
    }
}
