//! Puts an attack into the component that all of them are wrapped in. Both kinds of tests do that: those of the plugin layer and
//! those of the whole host.

use std::{fs, path::Path};

/// The component of an attack, by the name of its file here.
pub(crate) fn component(name: &str) -> Vec<u8> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/hostile");
    let read = |name: &str| fs::read_to_string(here.join(format!("{name}.wat"))).unwrap();
    let (mut component, attack) = (read("guest"), read(name));
    let mut parts = attack.split("\n;;; ");
    component = component.replace("(;attack;)", parts.next().unwrap());
    for part in parts {
        let (heading, text) = part.split_once('\n').unwrap();
        let (name, times) = heading.split_once(' ').unwrap_or((heading, "1"));
        let slot = format!("(;{name};)");
        assert!(component.contains(&slot), "no attack has a part `{name}`");
        component = component.replace(&slot, &text.repeat(times.parse().unwrap()));
    }
    wat::parse_str(component).unwrap()
}
