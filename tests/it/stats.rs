//! What was counted of messages, by day, plugin, purpose, channel and country: over HTTP, on the command line and on the page's path.

use serde_json::{Value, json};

use crate::harness::{Db, Host, LEA, PAUL, Setup, both_databases, order_ready, relais_with};

both_databases! {
    messages_are_counted_where_they_went_and_what_they_cost,
}

async fn host(setup: Setup) -> Host {
    let host = Host::start(setup).await;
    host.sim.phone(PAUL, |_| {});
    host.sim.phone(LEA, |phone| phone.whatsapp = false);
    host.customer("paul", PAUL).await;
    host.customer("lea", LEA).await;
    host
}

async fn counted(host: &Host, query: &str) -> Value {
    host.get(&format!("/v1/stats?{query}")).await["messages"].clone()
}

/// The group with these values.
fn row<'a>(counted: &'a Value, of: &[(&str, &str)]) -> &'a Value {
    let rows = counted["rows"].as_array().unwrap();
    let fits = |row: &&Value| of.iter().all(|(name, value)| row[*name] == *value);
    rows.iter().find(fits).unwrap_or_else(|| panic!("nothing of {of:?}: {counted:#}"))
}

async fn messages_are_counted_where_they_went_and_what_they_cost(db: Db) {
    let mut host = host(Setup::new().on(db)).await;
    host.event(order_ready("paul", "O-1")).await;
    host.event(order_ready("lea", "O-2")).await;
    host.only_message("paul", "read").await;
    host.only_message("lea", "delivered").await;
    let by = "group_by=plugin,purpose,channel,country";
    host.until("all receipts are counted", async || {
        let counted = counted(&host, by).await;
        if counted["total"]["read"] == 1 && counted["total"]["delivered"] == 2 {
            Ok(())
        } else {
            Err(format!("{counted:#}"))
        }
    })
    .await;
    let all = counted(&host, by).await;
    let of = |channel| [("plugin", "order-ready"), ("purpose", "alert"), ("channel", channel), ("country", "FR")];
    let whatsapp = row(&all, &of("whatsapp"));
    let figures = |row: &Value| {
        ["messages", "sent", "delivered", "read", "failed", "fell_back", "double", "parts"]
            .map(|name| row[name].as_i64().unwrap())
    };
    // Lea's went to WhatsApp first, which took it and said later that she is not there.
    assert_eq!(figures(whatsapp), [2, 2, 1, 1, 1, 1, 0, 0], "{all:#}");
    let sms = row(&all, &of("sms"));
    assert_eq!(figures(sms), [0, 1, 1, 0, 0, 0, 0, 1], "{all:#}");
    // Meta tells its price when it has delivered, CM.com never does.
    let cost = &whatsapp["cost"][0];
    let amount = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
    assert_eq!(amount(&cost["planned"]), 2.0 * amount(&cost["actual"]), "{all:#}");
    assert_eq!((&sms["cost"][0]["currency"], &sms["cost"][0]["actual"]), (&json!("EUR"), &Value::Null));
    assert_eq!((&all["total"]["deliver_s"]["count"], &all["total"]["messages"]), (&json!(2), &json!(2)));

    // They are in the store: nothing of it is lost or counted anew.
    host.restart().await;
    assert_eq!(counted(&host, by).await, all);
    let today = &counted(&host, "").await;
    assert_eq!(*today, Value::Null, "nobody asked");
    let day = Host::starts_at().rfc3339()[..10].to_owned();
    let by_day = counted(&host, &format!("group_by=day&from={day}")).await;
    assert_eq!((by_day["rows"][0]["day"].as_str(), by_day["rows"].as_array().unwrap().len()), (Some(&*day), 1));
    let before = counted(&host, "from=2025-01-01&to=2025-01-31").await;
    assert_eq!((&before["rows"], &before["total"]["messages"]), (&json!([]), &json!(0)));

    let output = relais_with(&["stats", "--by", "channel"], &[("RELAIS_URL", &host.url)], "").await;
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..4], ["channel", "messages", "sent", "delivered"], "{table}");
    assert_eq!((&lines[1][..4], &lines[3][..4]), (&["sms", "0", "1", "1"][..], &["all", "2", "3", "2"][..]), "{table}");
}

#[tokio::test]
async fn a_question_that_cannot_be_answered_is_refused_by_the_field_that_is_wrong() {
    let host = host(Setup::new().with("ingress.stats-rows-max = 1")).await;
    let refused = async |query: &str, field: &str, words: &str| {
        let answer = host.send(reqwest::Method::GET, &format!("/v1/stats?{query}"), &[], "").await;
        let problem = answer.problem(400, "/problems/bad-field", Some(field));
        assert!(problem.to_string().contains(words), "{problem:#}");
    };
    refused("from=yesterday", "from", "2026-10-01").await;
    refused("from=2026-02-02&to=2026-02-01", "from", "before it begins").await;
    refused("from=2020-01-01&to=2026-01-01", "from", "367 days at most").await;
    refused("group_by=colour", "group_by", "day, plugin, purpose, channel, country").await;
    refused("group_by=day,day", "group_by", "twice").await;
    refused("since=2026-01-01", "since", "known are: from, to, group_by").await;
    host.event(order_ready("lea", "O-1")).await;
    host.only_message("lea", "delivered").await;
    refused("group_by=channel", "group_by", "ingress.stats-rows-max").await;
    assert_eq!(counted(&host, "group_by=plugin").await["rows"].as_array().unwrap().len(), 1);
}
