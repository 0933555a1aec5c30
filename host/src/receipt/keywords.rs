//! STOP and START: a customer's word on whether anything may be sent, in whatever case, spacing and accents it comes.
//!
//! Two mistakes are possible and neither is harmless: to write on to somebody who said STOP, and to fall silent because
//! somebody began an ordinary sentence with "Cancel my order". So words that mean nothing else count as the first word too,
//! the others only as the whole message, and so does START, because it lets messages in again.

use crate::{
    channel::IncomingReport,
    clock::Timestamp,
    domain::customer::{Consent, ConsentScope},
};

/// They stop as the whole message or its first word.
const STOP_FIRST: [&str; 8] =
    ["STOP", "STOPALL", "STOPSMS", "ARRET", "UNSUBSCRIBE", "DESABONNER", "DESINSCRIRE", "OPTOUT"];
/// They stop as the whole message only: "Cancel my order" is about an order.
const STOP_WHOLE: [&str; 4] = ["CANCEL", "END", "QUIT", "REVOKE"];
/// They let messages in again, as the whole message only. A bare `OUI` answers a question and is not among them.
const START_WHOLE: [&str; 2] = ["START", "UNSTOP"];

/// What the customer decided, by the word that said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyword {
    Stop(&'static str),
    Start(&'static str),
}

/// The consent that this message gives or withdraws. It is of scope `service`, which every message needs, marketing
/// included: STOP stops all, and START does not give a consent to marketing that was never given.
pub fn consent(report: &IncomingReport, at: Timestamp) -> Option<Consent> {
    let keyword = match report.kind.as_str() {
        "text" => find(&report.text),
        // A button's label was written by us: "Stop promotions" is no STOP, and "Cancel" is about the appointment that it
        // stands below; but a button `STOP` is one.
        "choice" => label(&folded(&report.text)),
        _ => None,
    }?;
    let (word, granted) = match keyword {
        Keyword::Stop(word) => (word, false),
        Keyword::Start(word) => (word, true),
    };
    let channel = report.channel;
    Some(Consent {
        channel,
        scope: ConsentScope::Service,
        granted,
        source: format!("{word} by {}", channel.as_str()),
        at,
    })
}

/// The keyword that a text is or begins with.
pub fn find(text: &str) -> Option<Keyword> {
    whole(&folded(text)).or_else(|| {
        let first = folded(text.split_whitespace().next()?);
        STOP_FIRST.into_iter().find(|word| *word == first).map(Keyword::Stop)
    })
}

/// What a button means whose label is that alone.
fn label(folded: &str) -> Option<Keyword> {
    whole(folded).filter(|keyword| !matches!(keyword, Keyword::Stop(word) if STOP_WHOLE.contains(word)))
}

fn whole(folded: &str) -> Option<Keyword> {
    let stop = STOP_FIRST.into_iter().chain(STOP_WHOLE).find(|word| *word == folded).map(Keyword::Stop);
    stop.or_else(|| START_WHOLE.into_iter().find(|word| *word == folded).map(Keyword::Start))
}

/// Capitals without accents; everything that is no letter or digit is left out. No longer than a keyword plus one is needed.
fn folded(text: &str) -> String {
    // The longest keyword has eleven letters: what goes on after that is no keyword.
    const CHARS_MAX: usize = 12;
    text.chars().flat_map(char::to_uppercase).map(plain).filter(|c| c.is_alphanumeric()).take(CHARS_MAX).collect()
}

/// The letter under an accent, for the letters of French. Combining accents are no letters and fall out by themselves.
fn plain(c: char) -> char {
    match c {
        'À' | 'Á' | 'Â' | 'Ä' => 'A',
        'Ç' => 'C',
        'È' | 'É' | 'Ê' | 'Ë' => 'E',
        'Î' | 'Ï' | 'Í' => 'I',
        'Ô' | 'Ö' | 'Ó' => 'O',
        'Ù' | 'Ú' | 'Û' | 'Ü' => 'U',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::customer::Channel;

    #[test]
    fn case_spacing_accents_and_punctuation_do_not_matter() {
        for text in ["STOP", "stop", " Stop. ", "STOP!", "S T O P", "\u{201c}stop\u{201d}"] {
            assert_eq!(find(text), Some(Keyword::Stop("STOP")), "{text}");
        }
        for text in ["ARRÊT", "arret", "Arre\u{302}t"] {
            assert_eq!(find(text), Some(Keyword::Stop("ARRET")), "{text}");
        }
        assert_eq!(find("désabonner"), Some(Keyword::Stop("DESABONNER")));
        assert_eq!(find("Stop SMS"), Some(Keyword::Stop("STOPSMS")));
        assert_eq!(find("stop all"), Some(Keyword::Stop("STOPALL")));
        assert_eq!(find("Unstop"), Some(Keyword::Start("UNSTOP")));
    }

    #[test]
    fn stop_counts_as_the_first_word_and_nowhere_else() {
        assert_eq!(find("STOP 36105"), Some(Keyword::Stop("STOP")));
        assert_eq!(find("Stop, merci"), Some(Keyword::Stop("STOP")));
        for text in ["Ne stoppez pas ma commande", "Please stop", "Stoppez", "Stopover at 5", ""] {
            assert_eq!(find(text), None, "{text}");
        }
    }

    #[test]
    fn words_that_mean_other_things_count_alone_only() {
        assert_eq!(find("cancel"), Some(Keyword::Stop("CANCEL")));
        assert_eq!(find("Cancel my appointment"), None);
        assert_eq!(find("Start at 8?"), None);
        assert_eq!(find("oui"), None);
    }

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
        let at = Timestamp(7);
        let stopped = consent(&report("text", "Stop"), at).unwrap();
        assert_eq!((stopped.granted, stopped.scope, stopped.at), (false, ConsentScope::Service, at));
        assert_eq!((stopped.channel, stopped.source.as_str()), (Channel::Sms, "STOP by sms"));
        assert!(consent(&report("text", "start"), at).unwrap().granted);
        assert_eq!(consent(&report("choice", "Stop promotions"), at), None);
        assert_eq!(consent(&report("choice", "Cancel"), at), None, "the appointment, not the messages");
        assert!(!consent(&report("choice", "STOP"), at).unwrap().granted);
        assert_eq!(consent(&report("image", "STOP"), at), None);
    }
}
