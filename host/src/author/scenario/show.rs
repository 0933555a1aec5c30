//! What was played, for a person: what did not come out as expected, and what the runs used.

use super::{
    diff::{self, Line},
    play::{Difference, Failed, Played, Ran},
};

/// Whether what was expected is green and what came red.
#[derive(Clone, Copy, Debug)]
pub struct Colours(pub bool);

impl Colours {
    fn paint(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(in crate::author) fn expected(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(in crate::author) fn came(self, text: &str) -> String {
        self.paint("31", text)
    }

    fn aside(self, text: &str) -> String {
        self.paint("2", text)
    }
}

/// One scenario.
pub fn text(played: &Played, colours: Colours) -> String {
    let mut lines = Vec::new();
    if let Some(problem) = &played.problem {
        lines.push(format!("{}  {problem}", colours.came("WRONG")));
        return lines.join("\n");
    }
    let verdict = if played.passed { colours.expected("ok   ") } else { colours.came("FAILS") };
    lines.push(format!("{verdict}  {}  {}", played.name, colours.aside(&format!("({})", played.file))));
    lines.extend(played.runs.iter().map(|ran| run(ran, colours)));
    if let Some(failed) = &played.failed {
        failure(played, failed, colours, &mut lines);
    }
    lines.join("\n")
}

fn run(ran: &Ran, colours: Colours) -> String {
    let touched = ran.used.iter().filter(|row| row.used > 0);
    let used = touched.map(ToString::to_string).collect::<Vec<_>>().join(", ");
    colours.aside(&format!("       step {}, {}: {used}", ran.step, ran.cause))
}

fn failure(played: &Played, failed: &Failed, colours: Colours, lines: &mut Vec<String>) {
    lines.push(format!("\n  {}:{}: step {} ({})", played.file, failed.line, failed.step, failed.happens));
    for difference in &failed.differences {
        lines.push(format!("    {}:", difference.at));
        lines.extend(sides(difference, colours).into_iter().map(|line| format!("      {line}")));
    }
    if !failed.log.is_empty() {
        lines.push("    the plugin said:".to_owned());
        let said = failed.log.iter().flat_map(|line| {
            line.message.lines().map(|words| format!("      {:<6} {words}", line.level)).collect::<Vec<_>>()
        });
        lines.extend(said);
    }
    if !failed.denied.is_empty() {
        lines.push("    it was not permitted:".to_owned());
        let denied = failed.denied.iter().flat_map(|denied| denied.lines());
        lines.extend(denied.map(|line| format!("      {line}")));
    }
    lines.push(String::new());
}

fn sides(difference: &Difference, colours: Colours) -> Vec<String> {
    if difference.expected.is_empty() {
        return difference.came.lines().map(|line| colours.came(line)).collect();
    }
    let found = diff::lines(&difference.expected, &difference.came);
    let shown = found.into_iter().map(|line| match line {
        Line::Both(text) => format!("           {text}"),
        Line::Expected(text) => colours.expected(&format!("expected   {text}")),
        Line::Got(text) => colours.came(&format!("got        {text}")),
    });
    shown.collect()
}

/// What all of them came to.
pub fn summary(all: &[Played], colours: Colours) -> String {
    let passed = all.iter().filter(|played| played.passed).count();
    let failed = all.len() - passed;
    let scenarios = if all.len() == 1 { "scenario" } else { "scenarios" };
    let words = format!("{} {scenarios}: {passed} passed, {failed} failed", all.len());
    if failed == 0 { colours.expected(&words) } else { colours.came(&words) }
}
