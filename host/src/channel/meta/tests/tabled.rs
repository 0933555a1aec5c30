//! Every row of the reference's table of error codes (§1.6) leads to what that table says.

use crate::{
    channel::{
        failure::{Hint, UNKNOWN},
        meta::table,
    },
    domain::message::{Remember, Retry, SmsVerdict},
};

#[derive(Clone, Copy)]
enum Again {
    No,
    Later(u64),
    Template,
}

use Again::{Later, No, Template};
use Remember::{AccountBroken, AddressUnusable, MarketingStopped, Nothing};
use SmsVerdict::{Late, No as Silent, Transactional as Tx, Yes};

/// Codes, whether to retry and after how many seconds, SMS, and what is remembered. `Tx` stands for `tx`, for `bug` and for
/// what the reference leaves open.
#[rustfmt::skip]
const ROWS: &[(&[u32], Again, SmsVerdict, Remember)] = &[
    (&[0], No, Yes, AccountBroken),
    (&[1], Later(0), Late, Nothing),
    (&[2], Later(0), Late, Nothing),
    (&[3], No, Yes, AccountBroken),
    (&[4], Later(0), Late, Nothing),
    (&[10], No, Yes, AccountBroken),
    (&[33], No, Yes, AccountBroken),
    (&[100], No, Tx, Nothing),
    (&[190], No, Yes, AccountBroken),
    (&[200, 250, 299], No, Yes, AccountBroken),
    (&[368], No, Yes, AccountBroken),
    (&[80007], Later(0), Late, Nothing),
    (&[130403], No, Silent, Nothing),
    (&[130429], Later(0), Late, Nothing),
    (&[130472], No, Tx, Nothing),
    (&[130497], No, Yes, Nothing),
    (&[131000], Later(0), Late, Nothing),
    (&[131005], No, Yes, AccountBroken),
    (&[131008], No, Tx, Nothing),
    (&[131009], No, Tx, Nothing),
    (&[131016], Later(0), Late, Nothing),
    (&[131021], No, Silent, Nothing),
    (&[131026], No, Yes, AddressUnusable),
    (&[131030], No, Silent, Nothing),
    (&[131031], No, Yes, AccountBroken),
    (&[131037], No, Yes, AccountBroken),
    (&[131042], No, Yes, AccountBroken),
    (&[131043], No, Yes, Nothing),
    (&[131044], No, Yes, AccountBroken),
    (&[131045], No, Yes, AccountBroken),
    (&[131047], Template, Yes, Nothing),
    (&[131048], No, Tx, AccountBroken),
    (&[131049], Later(86_400), Tx, Nothing),
    (&[131050], No, Silent, MarketingStopped),
    (&[131051], No, Tx, Nothing),
    (&[131052], No, Tx, Nothing),
    (&[131053], Later(0), Yes, Nothing),
    (&[131055], No, Tx, Nothing),
    (&[131056], Later(1), Late, Nothing),
    (&[131057], Later(60), Late, Nothing),
    (&[131062], No, Yes, Nothing),
    (&[131063], No, Silent, Nothing),
    (&[131064], Later(0), Tx, AccountBroken),
    (&[132000], No, Yes, Nothing),
    (&[132001], No, Yes, Nothing),
    (&[132005], No, Yes, Nothing),
    (&[132007], No, Yes, Nothing),
    (&[132008], No, Yes, Nothing),
    (&[132012], No, Yes, Nothing),
    (&[132015], No, Yes, Nothing),
    (&[132016], No, Yes, Nothing),
    (&[132018], No, Yes, Nothing),
    (&[132068], No, Yes, Nothing),
    (&[132069], Later(0), Yes, Nothing),
    (&[133000, 133005, 133006, 133008, 133009], No, Yes, AccountBroken),
    (&[133004], Later(0), Late, AccountBroken),
    (&[133010], No, Yes, AccountBroken),
    (&[133015], Later(300), Yes, AccountBroken),
    (&[133016], No, Tx, Nothing),
    (&[134011], No, Tx, Nothing),
    (&[134100, 134101, 134102], No, Silent, Nothing),
    (&[135000], No, Yes, Nothing),
    (&[137000], No, Silent, Nothing),
    (&[138000, 139999, 131020, 131041, 131059, 131200, 147001], No, Tx, Nothing),
    (&[2388019, 2388039, 2388040, 2388047, 2388072, 2388073, 2388293, 2388299], No, Tx, Nothing),
];

#[test]
fn every_documented_code_leads_to_the_documented_decision() {
    for (codes, again, sms, remember) in ROWS {
        for code in *codes {
            let failure = table().classify(&code.to_string(), None, Hint::attempt(1));
            let retry = match again {
                No => Retry::Never,
                Later(seconds) => Retry::Later { after_ms: seconds * 1000 },
                Template => Retry::AsTemplate,
            };
            assert_eq!((failure.retry, failure.sms, failure.remember), (retry, *sms, *remember), "{code}");
            assert_ne!(failure.code, UNKNOWN, "{code}");
            assert_eq!(failure.provider_code.as_deref(), Some(code.to_string().as_str()));
        }
    }
}

#[test]
fn what_other_stages_know_by_name_has_that_name() {
    let code = |code: &str| table().classify(code, None, Hint::attempt(1)).code;
    for (provider, ours) in [
        ("131026", "not-on-whatsapp"),
        ("131047", "window-closed"),
        ("131056", "pair-rate-limited"),
        ("130429", "rate-limited"),
        ("131000", "provider-down"),
        ("190", "account-problem"),
        ("132001", "template-problem"),
        ("131050", "marketing-stopped"),
        ("131049", "marketing-withheld"),
        ("131053", "media-problem"),
        ("130497", "country-not-allowed"),
        ("4711", UNKNOWN),
    ] {
        assert_eq!(code(provider), ours, "{provider}");
    }
}

#[test]
fn a_pair_waits_four_times_as_long_each_time() {
    let after = |attempt| match table().classify("131056", None, Hint::attempt(attempt)).retry {
        Retry::Later { after_ms } => after_ms,
        other => panic!("{other:?}"),
    };
    assert_eq!([after(1), after(2), after(3), after(4)], [1_000, 4_000, 16_000, 64_000]);
}

#[test]
fn media_that_fail_twice_are_not_tried_a_third_time() {
    assert_eq!(table().classify("131053", None, Hint::attempt(2)).retry, Retry::Never);
    assert_eq!(table().classify("1", None, Hint::attempt(3)).retry, Retry::Never);
}

/// The codes of the reference's table (§1.6), as they are written there, ranges and families included.
const REFERENCE: &str = "0 1 2 3 4 10 33 100 190 200-299 368 80007 130403 130429 130472 130497 131000 131005 131008 131009 131016 \
    131021 131026 131030 131031 131037 131042 131043 131044 131045 131047 131048 131049 131050 131051 131052 131053 131055 131056 \
    131057 131062 131063 131064 132000 132001 132005 132007 132008 132012 132015 132016 132018 132068 132069 133000 133004 133005 \
    133006 133008 133009 133010 133015 133016 134011 134100-134102 135000 137000 131020 131041 131059 131200-131299 \
    138000-138999 139000-139999 147000-147999 2388019 2388039 2388040 2388047 2388072 2388073 2388293 2388299";

#[test]
fn the_reference_the_table_and_the_test_have_the_same_codes() {
    let mut reference: Vec<&str> = REFERENCE.split_whitespace().collect();
    let mut tabled = table().codes();
    tabled.sort_unstable();
    reference.sort_unstable();
    assert_eq!(tabled, reference);
    let tested = |code: u32| ROWS.iter().any(|(codes, ..)| codes.contains(&code));
    for code in reference {
        let covered = match code.split_once('-') {
            None => tested(code.parse().unwrap()),
            Some((first, last)) => {
                let (first, last): (u32, u32) = (first.parse().unwrap(), last.parse().unwrap());
                ROWS.iter().any(|(codes, ..)| codes.iter().any(|code| (first..=last).contains(code)))
            }
        };
        assert!(covered, "no decision is tested for {code}");
    }
}
