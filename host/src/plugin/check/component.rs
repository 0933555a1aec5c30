//! What a component needs of the contract and of the machine.

use serde::Serialize;
use wasmparser::{Instance, Parser, Payload};
use wasmtime::component::Component;

use super::super::budget::Budget;

/// What a component imports, by what comes of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Imports {
    /// Of the contract.
    pub contract: Vec<String>,
    /// Of WASI, and harmless: the run's own time, chance, log and settings.
    pub offered: Vec<String>,
    /// Linked, because toolchains import them whether anybody calls them or not, and denied: there is no file, no network and no
    /// other program.
    pub denied: Vec<String>,
    /// Not there: a run that calls it ends, or the component is refused.
    pub missing: Vec<String>,
}

impl Imports {
    pub(super) fn of(names: Vec<String>) -> Imports {
        let mut imports = Imports::default();
        for name in names {
            let (interface, version) = name.split_once('@').unwrap_or((&name, ""));
            let (package, item) = interface.split_once('/').unwrap_or((interface, ""));
            let known = version.starts_with("0.2.");
            let list = match package {
                "relais:plugin" => &mut imports.contract,
                "wasi:filesystem" | "wasi:sockets" if known => &mut imports.denied,
                "wasi:cli" if known && item == "environment" => &mut imports.denied,
                "wasi:cli" | "wasi:io" | "wasi:clocks" | "wasi:random" if known => &mut imports.offered,
                _ => &mut imports.missing,
            };
            list.push(name);
        }
        imports
    }
}

/// The handlers among a component's exports.
pub(super) fn handlers(exports: &[String]) -> Vec<&'static str> {
    let known = ["on-event", "on-timer", "on-delivery", "on-message", "gateway"];
    let exported = |handler: &str| {
        let package = if handler == "gateway" { "relais:channel" } else { "relais:plugin" };
        let prefix = format!("{package}/{handler}@");
        exports.iter().any(|name| name.starts_with(&prefix))
    };
    known.into_iter().filter(|handler| exported(handler)).collect()
}

/// What an instance needs to begin with, and what it may have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Needs {
    pub memory_bytes: u64,
    pub memory_bytes_max: u64,
    pub memories: u32,
    pub memories_max: u32,
    pub tables: u32,
    pub tables_max: u32,
    pub table_elements: u64,
    pub table_elements_max: u32,
    pub instances: usize,
    pub instances_max: u32,
}

impl Needs {
    pub(super) fn of(component: &Component, wasm: &[u8], budget: &Budget) -> Needs {
        let needed = component.resources_required();
        let needed = needed.as_ref();
        Needs {
            // In pages of 64 KiB.
            memory_bytes: needed
                .and_then(|needed| needed.max_initial_memory_size)
                .map_or(0, |pages| pages.saturating_mul(64 << 10)),
            memory_bytes_max: budget.memory.0,
            memories: needed.map_or(0, |needed| needed.num_memories),
            memories_max: budget.memories,
            tables: needed.map_or(0, |needed| needed.num_tables),
            tables_max: budget.tables,
            table_elements: needed.and_then(|needed| needed.max_initial_table_size).unwrap_or(0),
            table_elements_max: budget.table_elements,
            instances: instances(wasm),
            instances_max: budget.instances,
        }
    }
}

/// Core instances that the component makes of its modules, those of its parts included. What cannot be read was refused before.
fn instances(wasm: &[u8]) -> usize {
    let sections = Parser::new(0).parse_all(wasm).filter_map(Result::ok);
    let made = sections.map(|section| match section {
        Payload::InstanceSection(instances) => {
            let instances = instances.into_iter().filter_map(Result::ok);
            instances.filter(|instance| matches!(instance, Instance::Instantiate { .. })).count()
        }
        _ => 0,
    });
    made.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_told_apart_by_what_comes_of_them() {
        let names = ["relais:plugin/state@1.0.0", "wasi:clocks/wall-clock@0.2.6", "wasi:sockets/tcp@0.2.6", "a:b/c"];
        let imports = Imports::of(names.map(str::to_owned).to_vec());
        assert_eq!(imports.contract, ["relais:plugin/state@1.0.0"]);
        assert_eq!(imports.offered, ["wasi:clocks/wall-clock@0.2.6"]);
        assert_eq!(imports.denied, ["wasi:sockets/tcp@0.2.6"]);
        assert_eq!(imports.missing, ["a:b/c"]);
    }

    #[test]
    fn the_instances_of_a_component_are_those_of_all_of_its_parts() {
        let text = r#"(component
            (core module $m (func (export "f")))
            (core instance $a (instantiate $m))
            (core instance (instantiate $m))
            (core instance (export "f" (func $a "f")))
            (component (core module $n) (core instance (instantiate $n)))
        )"#;
        assert_eq!(instances(&wat::parse_str(text).unwrap()), 3);
        assert_eq!(instances(b"nothing"), 0);
    }
}
