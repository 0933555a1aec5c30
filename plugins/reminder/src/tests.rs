use std::time::Duration;

use relais_plugin::testing::{Customer, World};
use serde_json::{Value, json};

use super::Reminder;

/// It is eight in the morning in Paris, Wednesday 1 August 2018.
fn world() -> World {
    let mut world = World::from_manifest::<Reminder>(include_str!("../plugin.toml"));
    world.add(Customer::new("4711").locale("en-GB").timezone("Europe/Paris"));
    world
}

fn post(world: &mut World, what: &str, data: Value) {
    world.event(&format!("com.example.{what}")).customer("4711").data(data).post();
}

fn dentist(starts: &str) -> Value {
    json!({"appointment": "D1", "title": "Dr Martin", "starts": starts})
}

/// When the timers are due: the day of August and the time in Paris, which is two hours ahead of Greenwich then.
fn due(world: &World) -> Vec<String> {
    const AUGUST: i64 = 17_743; // days from 1970 to the day before 1 August 2018
    let local = |time: relais_plugin::Instant| {
        let minutes = (time + Duration::from_hours(2)).as_millis() / 60_000;
        format!("{:02} {:02}:{:02}", minutes / 1440 - AUGUST, minutes / 60 % 24, minutes % 60)
    };
    world.timers().iter().map(|(_, timer)| local(timer.due)).collect()
}

#[test]
fn an_appointment_is_reminded_of_a_day_and_two_hours_before() {
    let mut world = world();
    post(&mut world, "appointment.booked", dentist("2018-08-03T15:00:00+02:00"));
    assert_eq!(due(&world), ["02 15:00", "03 13:00"]);
}

#[test]
fn a_reminder_that_would_be_in_the_past_is_not_set() {
    let mut world = world();
    post(&mut world, "appointment.booked", dentist("2018-08-01T15:00:00+02:00"));
    assert_eq!(due(&world), ["01 13:00"]);
    post(&mut world, "appointment.moved", dentist("2018-08-01T09:00:00+02:00"));
    assert!(due(&world).is_empty());
}

#[test]
fn a_reminder_that_would_be_at_night_comes_the_evening_before() {
    let mut world = world();
    post(&mut world, "appointment.booked", dentist("2018-08-04T08:30:00+02:00"));
    assert_eq!(due(&world), ["03 08:30", "03 20:00"], "half past six is moved to the evening of the third");
    post(&mut world, "appointment.moved", dentist("2018-08-04T23:30:00+02:00"));
    assert_eq!(due(&world), ["03 20:00", "04 20:00"]);
}

#[test]
fn two_reminders_that_fall_together_are_one() {
    let mut world = world();
    world.set_config("hours_before", json!([12, 10]));
    post(&mut world, "appointment.booked", dentist("2018-08-03T10:00:00+02:00"));
    assert_eq!(due(&world), ["02 20:00"]);
}

#[test]
fn night_is_night_by_the_clock_of_the_place() {
    let mut world = world();
    let mut data = dentist("2018-08-04T15:00:00-04:00");
    data["timezone"] = json!("America/New_York");
    post(&mut world, "appointment.booked", data);
    assert_eq!(due(&world), ["03 21:00", "04 19:00"], "the afternoon there, whatever the hour is in Paris");
}

#[test]
fn an_older_event_does_not_move_it_back() {
    let mut world = world();
    post(&mut world, "appointment.booked", dentist("2018-08-03T15:00:00+02:00"));
    let late = world.event("com.example.appointment.moved").customer("4711").time("2018-08-01T07:00:00+02:00");
    late.data(dentist("2018-08-05T15:00:00+02:00")).post();
    assert_eq!(due(&world), ["02 15:00", "03 13:00"]);
}

#[test]
fn a_timer_that_outlived_a_move_says_nothing() {
    let mut world = world();
    post(&mut world, "appointment.booked", dentist("2018-08-03T15:00:00+02:00"));
    world.set_config("hours_before", json!([2])); // the timer of the day before is set, and nobody knows its key now
    post(&mut world, "appointment.moved", dentist("2018-08-05T15:00:00+02:00"));
    assert_eq!(due(&world), ["02 15:00", "05 13:00"]);
    world.advance_to("2018-08-05T14:00:00+02:00");
    assert_eq!(world.messages().len(), 1);
}

#[test]
fn a_cancelled_appointment_has_no_timers() {
    let mut world = world();
    post(&mut world, "appointment.booked", dentist("2018-08-03T15:00:00+02:00"));
    post(&mut world, "appointment.cancelled", json!({"appointment": "D1"}));
    world.advance(Duration::from_hours(100));
    assert!(world.messages().is_empty());
}

#[test]
fn a_ticket_is_reminded_of_without_a_question() {
    let mut world = world();
    let data = json!({"ticket": "C-77", "kind": "cinema", "title": "The Incredibles 2", "starts": "2018-08-01T20:30:00+02:00"});
    post(&mut world, "ticket.issued", data);
    world.advance_to("2018-08-01T18:30:00+02:00");
    let sent = world.last_message();
    assert_eq!(
        sent.body,
        "A reminder: The Incredibles 2, Wednesday 1 August, 8:30 PM. Your ticket is C-77. See you soon."
    );
    assert!(sent.choices.is_empty());
}

#[test]
fn a_time_zone_that_does_not_exist_is_rejected() {
    let mut data = dentist("2018-08-03T15:00:00+02:00");
    data["timezone"] = json!("Europe/Lyon");
    let error = world().event("com.example.appointment.booked").customer("4711").data(data).post_failing();
    assert_eq!(error.message(), "`Europe/Lyon` is no time zone");
}

/// The first JSON block of the README is an event that is posted; the page stays true as long as this passes.
#[test]
fn the_readmes_event_does_what_the_readme_says() {
    let mut world = World::from_manifest::<Reminder>(include_str!("../plugin.toml"));
    world.add(Customer::new("4711").locale("en-GB").timezone("Europe/Paris"));
    let readme = include_str!("../README.md");
    let mut events = readme.split("```json\n").skip(1).filter_map(|block| block.split("```").next());
    world.cloudevent(events.next().unwrap()).post();
    world.advance_to("2018-08-03T10:00:00+02:00");
    let said = &world.last_message().body;
    assert!(readme.contains(said.as_str()), "the README does not say: {said}");
}
