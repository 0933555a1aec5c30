//! The vectors of the reference, the codings, and what SMSCs are known to do.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::BytesMut;
use proptest::prelude::*;
use rusmpp::{Command, CommandStatus, Pdu, pdus::BindTransceiverResp, pdus::SubmitSmResp, types::COctetString};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::{codec::Decoder, sync::CancellationToken};

use super::{
    Alphabet, MessageIds, Reports, Smpp, SmppSettings,
    encoding::{self, PartOf},
    heard::{self, normal_id},
    link::pause,
    submit, table,
    wire::{self, Delivered, Said},
};
use crate::{
    channel::{Outgoing, Provider, Rendition, Report, failure::Hint, sms},
    domain::{
        message::{Answer, Remember, Retry},
        status::AttemptState,
    },
    ids::{AttemptToken, MessageId, TenantId},
};

mod sessions;

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn octets(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn pdu(sequence: u32, pdu: impl Into<Pdu>) -> String {
    let command = Command::builder().status(CommandStatus::EsmeRok).sequence_number(sequence).pdu(pdu.into());
    hex(&wire::octets(&command))
}

fn parts(text: &str) -> Vec<Vec<u8>> {
    let settings = SmppSettings::sample("RELAIS");
    let parts = submit::parts(&settings, "+33600000001", text, 7, None).unwrap();
    parts.iter().map(|part| part.short_message().as_ref().to_vec()).collect()
}

const RECEIPT: &str = "000000bd000000050000000000000003000101333336303030303030303100050052454c414953000400000000000000007769643a30303030303030303432207375623a30303120646c7672643a303031207375626d697420646174653a3236303131353130333020646f6e6520646174653a3236303131353130333120737461743a44454c49565244206572723a30303020746578743a566f74726520636f6465203a20343832310427000102001e000b3030303030303030343200";

#[test]
fn requests_are_those_of_the_reference() {
    let settings = SmppSettings::sample("RELAIS");
    let bind = "0000002500000009000000000000000172656c616973007365637265743031000034000000";
    assert_eq!(pdu(1, submit::bind(&settings).unwrap()), bind);
    let mut sent = submit::parts(&settings, "+33600000001", "Votre code : 4821", 0, None).unwrap();
    let vector = "0000004300000004000000000000000200050052454c41495300010133333630303030303030310000000000000100000011566f74726520636f6465203a2034383231";
    assert_eq!(pdu(2, sent.remove(0)), vector);
    assert_eq!(pdu(4, Pdu::EnquireLink), "00000010000000150000000000000004");
}

#[test]
fn what_is_said_of_sender_recipient_and_validity_follows_the_settings() {
    let of = |sender: &str| {
        let settings = SmppSettings::sample(sender);
        let (ton, npi, sender) = settings.source();
        (ton, npi, sender.to_owned())
    };
    assert_eq!(of("+33139980001"), (1, 1, "33139980001".to_owned()));
    assert_eq!(of("36180"), (0, 0, "36180".to_owned()));
    assert_eq!(of("Boulange"), (5, 0, "Boulange".to_owned()));
    let settings = SmppSettings { source_ton: Some(3), source_npi: Some(8), ..SmppSettings::sample("36180") };
    assert_eq!(settings.source(), (3, 8, "36180"));
    let validity = |validity: bool, expires| {
        let settings = SmppSettings { validity, ..SmppSettings::sample("36180") };
        let parts = submit::parts(&settings, "+33600000001", "a", 0, expires).unwrap();
        parts[0].validity_period.as_str().to_owned()
    };
    let long = Duration::from_millis(2 * 3_600_000 + 30 * 60_000 - 1);
    assert_eq!(validity(true, Some(long)), "000000023000000R");
    assert_eq!(validity(true, Some(Duration::ZERO)), "000000000001000R");
    assert_eq!(validity(true, Some(Duration::from_secs(400 * 86_400))), "000030000000000R");
    assert_eq!((validity(true, None), validity(false, Some(long))), (String::new(), String::new()));
}

#[test]
fn settings_that_cannot_work_name_the_field() {
    let check = |settings: SmppSettings| settings.check().unwrap_err();
    let sample = || SmppSettings::sample("Boulange");
    assert_eq!(sample().check(), Ok(()));
    assert!(check(SmppSettings { address: "smsc.example".into(), ..sample() }).contains("address"));
    assert!(check(SmppSettings { address: "smsc.example:0".into(), ..sample() }).contains("address"));
    assert!(check(SmppSettings { password: crate::secret::Secret::new("ninechars"), ..sample() }).contains("password"));
    assert!(check(SmppSettings { system_id: String::new(), ..sample() }).contains("system-id"));
    assert!(check(SmppSettings { receipt_ids: MessageIds::Decimal, ..sample() }).contains("response-ids"));
    assert!(check(SmppSettings { window: 0, ..sample() }).contains("window"));
    assert!(check(SmppSettings { tls_roots: Some("roots.pem".into()), ..sample() }).contains("tls-roots"));
    let unreadable = SmppSettings { tls: true, tls_roots: Some("there-is-no-such.pem".into()), ..sample() };
    let error = Smpp::new(&unreadable, Duration::from_secs(1)).err().unwrap().to_string();
    assert!(error.contains("tls-roots") && error.contains("there-is-no-such.pem"), "{error}");
}

#[test]
fn long_texts_are_cut_as_the_standard_says() {
    assert_eq!(parts(&"a".repeat(160)).len(), 1);
    let two = parts(&format!("{}€{}", "a".repeat(152), "b".repeat(10)));
    assert_eq!(two.iter().map(Vec::len).collect::<Vec<_>>(), [6 + 152, 6 + 12]);
    assert_eq!(two[0][..6], [5, 0, 3, 7, 2, 1]);
    assert_eq!(two[1][..8], [5, 0, 3, 7, 2, 2, 0x1B, 0x65]);
    let two = parts(&"ê".repeat(71));
    assert_eq!(two.iter().map(Vec::len).collect::<Vec<_>>(), [140, 14]);
    assert_eq!(hex(&two[0][..8]), "05000307020100ea");
    assert_eq!(hex(&two[1][..8]), "05000307020200ea");
    // As many parts as were priced.
    for text in ["é".repeat(307), "😀".repeat(40), format!("{}[", "a".repeat(160)), String::new()] {
        assert_eq!(parts(&text).len(), sms::gsm::count(&text).parts as usize, "{text}");
    }
    let settings = SmppSettings::sample("RELAIS");
    assert!(submit::parts(&settings, "+33600000001", &"a".repeat(153 * 256), 0, None).is_err());
}

#[test]
fn an_smsc_that_takes_its_default_for_latin_1_gets_that() {
    let settings =
        SmppSettings { default_alphabet: Alphabet::Latin1, default_data_coding: 3, ..SmppSettings::sample("RELAIS") };
    let sent = |text: &str| {
        let part = submit::parts(&settings, "+33600000001", text, 0, None).unwrap().remove(0);
        (u8::from(part.data_coding), hex(part.short_message().as_ref()))
    };
    assert_eq!(sent("à {1}"), (3, "e0207b317d".to_owned()));
    // The euro is not in it, and â would not arrive.
    assert_eq!(sent("1 €"), (8, "00310020 20ac".replace(' ', "")));
    assert_eq!(sent("â"), (8, "00e2".to_owned()));
    assert_eq!(encoding::decode(&[0xE0], 0, Alphabet::Latin1).as_deref(), Some("à"));
}

#[test]
fn what_is_no_text_is_told_from_what_is() {
    let read = |octets: &[u8], coding| encoding::decode(octets, coding, Alphabet::Gsm);
    assert_eq!(read(&[0x00, 0x1B, 0x65, 0x1B, 0x41], 0).as_deref(), Some("@€A"));
    assert_eq!(read(b"ab", 1).as_deref(), Some("ab"));
    assert_eq!(read(&[0xE9], 3).as_deref(), Some("é"));
    assert_eq!(read(&[0xD8, 0x3D, 0xDE, 0x00], 8).as_deref(), Some("😀"));
    assert_eq!(read(&[0x01], 0x10).as_deref(), Some("£"));
    assert_eq!(read(&[0x01], 0xF1).as_deref(), Some("£"));
    assert_eq!(read(&[0x20, 0xAC], 0x18).as_deref(), Some("€"));
    for binary in [2, 4, 0x14, 0xF5, 0x0A] {
        assert_eq!(read(&[1], binary), None, "{binary:#x}");
    }
}

proptest! {
    #[test]
    fn every_text_comes_back_from_its_parts(text in "[ -~àéèùçñÄÖÜ€êœ’😀\n]{0,400}") {
        for alphabet in [Alphabet::Gsm, Alphabet::Latin1] {
            let encoded = encoding::encode(&text, alphabet);
            let coding = if encoded.is_default { 0 } else { encoding::UCS2 };
            let read: String =
                encoded.parts.iter().map(|part| encoding::decode(part, coding, alphabet).unwrap()).collect();
            prop_assert_eq!(&read, &text);
        }
    }

    #[test]
    fn nothing_that_comes_over_the_wire_ends_the_host(frame in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut whole = octets(RECEIPT);
        whole.splice(40.min(whole.len())..40.min(whole.len()), frame.iter().copied());
        for bytes in [frame, whole] {
            if let Some(Said::Delivers { delivered, .. }) = wire::read(&bytes) {
                heard::report(&SmppSettings::sample("RELAIS"), &delivered);
            }
        }
    }
}

// what is delivered ---------------------------------------------------------------------------------------------------

fn delivered(frame: &[u8]) -> Delivered {
    let mut buffer = BytesMut::from(frame);
    let frame = wire::frames().decode(&mut buffer).unwrap().unwrap();
    match wire::read(&frame) {
        Some(Said::Delivers { delivered, .. }) => *delivered,
        other => panic!("{other:?}"),
    }
}

fn status(delivered: &Delivered) -> (String, AttemptState, Option<String>) {
    let settings = SmppSettings::sample("RELAIS");
    match heard::report(&settings, delivered) {
        Report::Status(status) => {
            (status.provider_id.unwrap(), status.state, status.failure.map(|failure| failure.provider_code.unwrap()))
        }
        other => panic!("{other:?}"),
    }
}

fn receipt(text: &str, optional: Vec<(u16, Vec<u8>)>) -> Delivered {
    Delivered { source: "33600000001".into(), esm_class: 4, message: text.into(), optional, ..Delivered::default() }
}

#[test]
fn the_receipt_of_the_reference_is_read() {
    let read = delivered(&octets(RECEIPT));
    assert_eq!((read.source.as_str(), read.destination.as_str(), read.esm_class), ("33600000001", "RELAIS", 4));
    assert_eq!(read.tlv(wire::TLV_MESSAGE_STATE), Some(&[2][..]));
    assert_eq!(status(&read), ("main/0000000042".into(), AttemptState::Delivered, None));
}

#[test]
fn receipts_are_read_however_vendors_write_them() {
    let failed = |id: &str, code: &str| (format!("main/{id}"), AttemptState::Failed, Some(code.to_owned()));
    assert_eq!(status(&receipt("ID:ab-1 STAT:undeliv ERR:069", vec![])), failed("ab-1", "UNDELIV"));
    // The fields take precedence, and may come without their NUL.
    let fields = vec![(wire::TLV_RECEIPTED_MESSAGE_ID, b"77".to_vec()), (wire::TLV_MESSAGE_STATE, vec![3])];
    assert_eq!(status(&receipt("id:1 stat:DELIVRD", fields.clone())), failed("77", "EXPIRED"));
    assert_eq!(status(&receipt("", fields)), failed("77", "EXPIRED"));
    // What is quoted of the message is not a field.
    assert_eq!(
        status(&receipt("id:5 stat:DELIVRD err:000 text:id:6 stat:UNDELIV", vec![])),
        ("main/5".into(), AttemptState::Delivered, None)
    );
    // A receipt by what it holds, without its class.
    let classless = Delivered {
        esm_class: 0,
        ..receipt("", vec![(wire::TLV_RECEIPTED_MESSAGE_ID, b"9\0".to_vec()), (wire::TLV_MESSAGE_STATE, vec![2])])
    };
    assert_eq!(status(&classless).0, "main/9");
    // In between nothing has failed yet.
    let between = Delivered { esm_class: 0x20, ..receipt("id:5 stat:UNDELIV", vec![]) };
    assert_eq!(status(&between).1, AttemptState::Sent);
    for nothing in ["", "stat:DELIVRD", "id:5", "id:5 stat:WHATEVER"] {
        let report = heard::report(&SmppSettings::sample("RELAIS"), &receipt(nothing, vec![]));
        assert!(matches!(report, Report::Notice { .. }), "{nothing}");
    }
}

#[test]
fn every_state_of_a_receipt_has_its_meaning() {
    let words = ["SCHEDULED", "ENROUTE", "DELIVRD", "EXPIRED", "DELETED", "UNDELIV", "ACCEPTD", "UNKNOWN", "REJECTD"];
    for (number, word) in words.iter().chain(&["SKIPPED"]).enumerate() {
        let by_text = status(&receipt(&format!("id:1 stat:{word}"), vec![]));
        let number = u8::try_from(number).unwrap();
        assert_eq!(status(&receipt("id:1", vec![(wire::TLV_MESSAGE_STATE, vec![number])])), by_text, "{word}");
        let wanted = match *word {
            "DELIVRD" => AttemptState::Delivered,
            "SCHEDULED" | "ENROUTE" | "ACCEPTD" => AttemptState::Sent,
            _ => AttemptState::Failed,
        };
        assert_eq!(by_text.1, wanted, "{word}");
        assert!(wanted != AttemptState::Failed || table().knows(word), "{word} is in no table");
    }
}

#[test]
fn ids_are_the_same_in_answers_and_receipts_whatever_their_base() {
    assert_eq!(normal_id("2A", MessageIds::Hex), normal_id("0000000042", MessageIds::Decimal));
    assert_eq!(normal_id(" 0042 ", MessageIds::Text), "0042");
    assert_eq!(normal_id("a b", MessageIds::Text), "a_b");
    // What is no number stays what it is.
    assert_eq!(normal_id("x1", MessageIds::Decimal), "x1");
    let settings = SmppSettings {
        response_ids: MessageIds::Hex,
        receipt_ids: MessageIds::Decimal,
        ..SmppSettings::sample("RELAIS")
    };
    let Report::Status(status) = heard::report(&settings, &receipt("id:0000000042 stat:DELIVRD", vec![])) else {
        panic!("no status")
    };
    assert_eq!(status.provider_id.as_deref(), Some("main/42"));
}

#[test]
fn what_customers_write_comes_with_its_number_and_in_its_coding() {
    let settings = SmppSettings::sample("RELAIS");
    let written = |source: &str, source_ton, data_coding, message: &[u8]| {
        let delivered = Delivered {
            source: source.into(),
            source_ton,
            destination: "36180".into(),
            data_coding,
            message: message.to_vec(),
            ..Delivered::default()
        };
        match heard::report(&settings, &delivered) {
            Report::Incoming(report) => (report.sender, report.kind, report.text, report.to.unwrap()),
            other => panic!("{other:?}"),
        }
    };
    let stop = |sender: &str| (sender.to_owned(), "text".to_owned(), "STOP".to_owned(), "36180".to_owned());
    for (source, ton) in [("33639981201", 1), ("+33639981201", 1), ("0033639981201", 0), ("33639981201", 0)] {
        assert_eq!(written(source, ton, 0, b"STOP"), stop("+33639981201"), "{source}");
    }
    // A name, and a number without its country: as they are written.
    assert_eq!(written("Operator", 5, 0, b"STOP"), stop("Operator"));
    assert_eq!(written("0639981201", 2, 0, b"STOP"), stop("0639981201"));
    assert_eq!(written("33639981201", 1, 8, &[0, 0xEA]).2, "ê");
    assert_eq!(written("33639981201", 1, 4, &[1]).1, "unsupported");
}

#[test]
fn parts_are_known_by_a_header_of_either_length_and_by_fields() {
    let settings = SmppSettings::sample("RELAIS");
    let part = |delivered: &Delivered| match heard::report(&settings, delivered) {
        Report::Part(part) => (part.key, part.no, part.total, part.incoming.text),
        other => panic!("{other:?}"),
    };
    let written = |esm_class, message: &[u8], optional| Delivered {
        source: "33639981201".into(),
        source_ton: 1,
        destination: "36180".into(),
        esm_class,
        message: message.to_vec(),
        optional,
        ..Delivered::default()
    };
    let wanted = |reference: u16| (format!("smpp/main/36180/+33639981201/{reference}"), 2, 3, "ab".to_owned());
    assert_eq!(part(&written(0x40, b"\x05\x00\x03\x07\x03\x02ab", vec![])), wanted(7));
    assert_eq!(part(&written(0x40, b"\x06\x08\x04\x01\x07\x03\x02ab", vec![])), wanted(0x107));
    // Behind another element.
    assert_eq!(part(&written(0x40, b"\x0b\x05\x04\x00\x50\x00\x50\x00\x03\x07\x03\x02ab", vec![])), wanted(7));
    let fields =
        vec![(wire::TLV_SAR_REFERENCE, vec![1, 7]), (wire::TLV_SAR_TOTAL, vec![3]), (wire::TLV_SAR_NUMBER, vec![2])];
    assert_eq!(part(&written(0, b"ab", fields)), wanted(0x107));
    // One part of one, and a number that cannot be, are messages.
    for odd in [&b"\x05\x00\x03\x07\x01\x01ab"[..], b"\x05\x00\x03\x07\x02\x03ab", b"\x05\x00\x03\x07\x02\x00ab"] {
        let report = heard::report(&settings, &written(0x40, odd, vec![]));
        assert!(matches!(report, Report::Incoming(report) if report.text == "ab"));
    }
    assert_eq!(encoding::split_header(&[9, 0]), (None, &[9, 0][..]));
    let place = PartOf { reference: 7, total: 3, no: 2 };
    assert_eq!(encoding::split_header(&[5, 0, 3, 7, 3, 2]), (Some(place), &[][..]));
}

#[test]
fn a_payload_stands_for_the_message_and_a_broken_field_spoils_nothing() {
    let mut frame = octets(RECEIPT);
    // Another optional field, cut off in the middle.
    frame.extend([0x04, 0x24, 0x00, 0x09, b'x']);
    let length = u32::try_from(frame.len()).unwrap().to_be_bytes();
    frame[..4].copy_from_slice(&length);
    assert_eq!(status(&delivered(&frame)).1, AttemptState::Delivered);
    let end = frame.len() - 5;
    frame.truncate(end);
    frame.extend([0x04, 0x24, 0x00, 0x14]);
    frame.extend(b"id:8 stat:UNDELIV xx");
    let length = u32::try_from(frame.len()).unwrap().to_be_bytes();
    frame[..4].copy_from_slice(&length);
    assert_eq!(delivered(&frame).message, b"id:8 stat:UNDELIV xx");
}

// codes ---------------------------------------------------------------------------------------------------------------

/// Codes, the first pause in seconds where it is worth trying again, our code, and what is remembered.
type Row = (&'static [&'static str], Option<u64>, &'static str, Remember);

const ROWS: [Row; 9] = [
    (
        &["01", "02", "03", "15", "33", "43", "61", "62", "C0", "C1", "C2", "C3", "C4"],
        None,
        "bad-request",
        Remember::Nothing,
    ),
    (&["0C", "11", "67"], None, "bad-request", Remember::Nothing),
    (&["04", "05", "0D"], Some(5), "provider-down", Remember::Nothing),
    (&["08", "14", "64"], Some(2), "provider-down", Remember::Nothing),
    (&["58"], Some(1), "rate-limited", Remember::Nothing),
    (&["0A", "48", "49", "0E", "0F", "53"], None, "account-problem", Remember::AccountBroken),
    (&["0B", "50", "51"], None, "bad-number", Remember::Nothing),
    (&["45", "65", "66", "FE", "FF", "REJECTD", "DELETED", "SKIPPED"], None, "rejected", Remember::Nothing),
    (&["UNDELIV", "EXPIRED", "UNKNOWN"], None, "undelivered", Remember::Nothing),
];

#[test]
fn every_code_leads_to_the_tabled_decision() {
    for (codes, later_s, ours, remember) in ROWS {
        for code in codes {
            assert!(table().knows(code), "{code}");
            let failure = table().classify(code, None, Hint::attempt(1));
            let retry = later_s.map_or(Retry::Never, |seconds| Retry::Later { after_ms: seconds * 1000 });
            assert_eq!((failure.code.as_str(), failure.retry, failure.remember), (ours, retry, remember), "{code}");
        }
    }
    assert_eq!(table().classify("400", None, Hint::attempt(1)).code, "unknown-error");
}

#[test]
fn the_pause_before_a_bind_grows_and_differs() {
    let settings = SmppSettings { reconnect_first_ms: 1000, reconnect_longest_ms: 8000, ..SmppSettings::sample("A") };
    for (tries, whole) in [(0, 1000), (1, 2000), (3, 8000), (40, 8000)] {
        let pause = u64::try_from(pause(&settings, tries).as_millis()).unwrap();
        assert!((whole / 2..=whole).contains(&pause), "{tries}: {pause}");
    }
}
