//! The report for a person: what decides first, then what it is about.

use std::fmt;

use serde::Serialize;

use super::{super::units::show_size, CheckReport, Needs};

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.loads() { "would be loaded" } else { "would be refused" };
        let name = self.name.as_deref().unwrap_or(&self.path);
        write!(f, "{name} {} {verdict}", self.version.as_deref().unwrap_or_default())?;
        let said = [("error", &self.errors), ("warning", &self.warnings), ("note", &self.notes)];
        for (kind, lines) in said {
            for line in lines {
                write!(f, "\n  {kind}: {}", line.replace('\n', "\n    "))?;
            }
        }
        for (what, value) in self.lines() {
            write!(f, "\n  {what:<12}{value}")?;
        }
        Ok(())
    }
}

impl CheckReport {
    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        let mut line = |what: &'static str, value: Option<String>| {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                lines.push((what, value));
            }
        };
        line("digest", self.digest.clone());
        line("package", self.package_digest.clone());
        line("signed by", self.signed_by.clone());
        line("pinned", self.pinned.then(|| "yes".to_owned()));
        line("size", self.size_bytes.map(|bytes| format!("{bytes} bytes")));
        line("compiling", self.compile_ms.map(|ms| format!("{ms} ms")));
        let needed = self.contract_needed.join(", ");
        line("contract", Some(format!("needs {needed}; offered is {}", self.contract_offered)));
        line("handlers", Some(self.handlers.join(", ")));
        for (what, value) in self.needs.iter().flat_map(needs) {
            line(what, Some(value));
        }
        line("limits", json(&self.limits));
        line("asks for", json(&self.permissions_asked));
        line("is granted", json(&self.permissions_effective));
        line("imports", Some(self.imports.contract.join(", ")));
        line("of WASI", Some(self.imports.offered.join(", ")));
        line("denied", Some(self.imports.denied.join(", ")));
        line("missing", Some(self.imports.missing.join(", ")));
        self.update(&mut line);
        for scenario in &self.scenarios {
            let verdict = if scenario.passed { "ok" } else { "FAILS" };
            line("scenario", Some(format!("{verdict}: {} ({})", scenario.name, scenario.file)));
        }
        lines
    }

    fn update(&self, line: &mut impl FnMut(&'static str, Option<String>)) {
        let Some(update) = &self.update else { return };
        let more = if update.more.is_empty() { "the permissions are the same or fewer" } else { "it asks for more" };
        line("update", Some(format!("{} → {}: {more}", update.from, update.to)));
        let lines = |sign: &str, list: &[String]| list.iter().map(|item| format!("{sign}{item}")).collect::<Vec<_>>();
        for item in lines("+ ", &update.more).into_iter().chain(lines("- ", &update.less)).chain(update.changed.clone())
        {
            line("", Some(item));
        }
    }
}

fn needs(needs: &Needs) -> [(&'static str, String); 3] {
    let memory = format!(
        "begins with {} of {}, in {} of {} memories",
        show_size(needs.memory_bytes),
        show_size(needs.memory_bytes_max),
        needs.memories,
        needs.memories_max
    );
    let tables = format!(
        "{} of {}, the largest with {} of {} elements",
        needs.tables, needs.tables_max, needs.table_elements, needs.table_elements_max
    );
    [("memory", memory), ("tables", tables), ("instances", format!("{} of {}", needs.instances, needs.instances_max))]
}

fn json(value: &Option<impl Serialize>) -> Option<String> {
    serde_json::to_string(value.as_ref()?).ok()
}
