//! The host's system calls, watched and made to fail from outside: what no test inside a process can see or do.
//!
//! `strace` is the host's watcher and not its parent (`-D`), so the host's process is the test's child as always. A test that
//! needs it fails where it is missing or not allowed, and says what to do.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Once,
};

/// The words to put before the host's command. What is watched or injected is up to `arguments`; the trace goes to `output`.
pub(crate) fn under(arguments: &[String], output: &Path) -> Vec<String> {
    let program = program();
    let mut words = vec![program.display().to_string()];
    // Only what is watched is stopped at, so that the host runs at nearly its own speed. Signals cannot be injected that way.
    if !arguments.iter().any(|argument| argument.contains(":signal=")) {
        words.push("--seccomp-bpf".to_owned());
    }
    words.extend(["-D", "-f", "-q", "-ttt", "-yy", "-s", "96", "-o"].map(str::to_owned));
    words.push(output.display().to_string());
    words.extend(arguments.iter().cloned());
    words.push("--".to_owned());
    words
}

/// The arguments that let something happen to calls that touch one of `files`: `what` such as `fdatasync:error=EIO:when=3..9`.
pub(crate) fn inject(files: &[PathBuf], what: &[&str]) -> Vec<String> {
    let mut arguments = Vec::new();
    for file in files {
        arguments.extend(["-P".to_owned(), file.display().to_string()]);
    }
    let calls: Vec<&str> = what.iter().map(|what| what.split(':').next().unwrap()).collect();
    arguments.push(format!("--trace={}", calls.join(",")));
    arguments.extend(what.iter().map(|what| format!("--inject={what}")));
    arguments
}

/// Where strace is, once it is known that it may trace.
fn program() -> PathBuf {
    static TRIED: Once = Once::new();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = std::env::split_paths(&path).map(|dir| dir.join("strace")).find(|program| program.is_file());
    let program = program.expect("strace is missing: `scripts/test-tools` installs what the tests need");
    TRIED.call_once(|| {
        let mut tried = Command::new(&program);
        tried.args(["-D", "-f", "--seccomp-bpf", "--trace=fsync", "-o", "/dev/null", "true"]).stdin(Stdio::null());
        let ended = tried.output().unwrap();
        assert!(
            ended.status.success() && ended.stderr.is_empty(),
            "strace may not trace here: allow ptrace (in a container: `--cap-add SYS_PTRACE`). It says: {}",
            String::from_utf8_lossy(&ended.stderr)
        );
    });
    program
}

/// The whole of a trace whose host has ended: the watcher has a moment's work left by then.
pub(crate) async fn ended(trace: &Path) -> String {
    let began = std::time::Instant::now();
    loop {
        let text = std::fs::read_to_string(trace).unwrap();
        if text.lines().last().is_some_and(|line| line.contains("+++ exited with") || line.contains("+++ killed by")) {
            return text;
        }
        assert!(began.elapsed().as_secs() < 60, "the trace does not end: {:?}", text.lines().last());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// One system call. Places are numbers of lines: what has the smaller one was seen first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) arguments: String,
    pub(crate) result: String,
    pub(crate) began: usize,
    pub(crate) ended: usize,
}

/// The calls of a trace that ended. A call that others came between is on two lines, and put together again.
pub(crate) fn calls(trace: &str) -> Vec<Call> {
    let mut open: std::collections::HashMap<(&str, &str), (usize, &str)> = std::collections::HashMap::new();
    let mut calls = Vec::new();
    for (place, line) in trace.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((_, rest)) = rest.trim_start().split_once(' ') else { continue };
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some((name, tail)) = resumed.split_once(" resumed>") else { continue };
            let Some((began, head)) = open.remove(&(thread, name)) else { continue };
            calls.extend(call(name, &format!("{head}{tail}"), began, place));
        } else if let Some((name, rest)) = rest.split_once('(') {
            match rest.strip_suffix("<unfinished ...>") {
                Some(head) => {
                    open.insert((thread, name), (place, head.trim_end()));
                }
                None => calls.extend(call(name, rest, place, place)),
            }
        }
    }
    calls
}

fn call(name: &str, text: &str, began: usize, ended: usize) -> Option<Call> {
    let (arguments, result) = text.rsplit_once(" = ")?;
    let arguments = arguments.trim_end().trim_end_matches(')').to_owned();
    Some(Call { name: name.to_owned(), arguments, result: result.to_owned(), began, ended })
}

impl Call {
    /// What the first argument's file descriptor is: a path, or `TCP:[…]`.
    fn file(&self) -> &str {
        let named = self.arguments.split_once('<').map_or("", |(_, rest)| rest);
        // A connection's own name has `->` in it.
        let end = named.find(">,").or_else(|| named.rfind('>')).unwrap_or(named.len());
        &named[..end]
    }

    fn is_sync(&self) -> bool {
        self.name == "fdatasync" || self.name == "fsync"
    }

    fn moved_bytes(&self) -> bool {
        self.result.split(' ').next().is_some_and(|count| count.parse::<i64>().is_ok_and(|count| count > 0))
    }
}

/// What the trace says of the order of syncs and answers.
#[derive(Debug, Default)]
pub(crate) struct Order {
    /// Requests that change something and were answered with success, by method and path.
    pub(crate) acknowledged: Vec<String>,
    /// Those for which nothing was synced between their last byte and the first byte of the answer.
    pub(crate) unsynced: Vec<String>,
    pub(crate) syncs: usize,
}

/// Checks that no request that changes something is answered with success unless a sync of the store that began after its
/// last byte had arrived was over, and well, before the first byte of the answer was written.
pub(crate) fn order(calls: &[Call], store: &Path) -> Order {
    let store = store.display().to_string();
    let is_store = |file: &str| file == store || file == format!("{store}-wal");
    // Each at the place where it counts: a read and a sync once they are over, a write when it begins.
    let mut at: Vec<(usize, &Call)> = calls.iter().map(|call| (place_of(call), call)).collect();
    at.sort_by_key(|(place, _)| *place);
    let mut order = Order::default();
    // Of the syncs that are over, the one that began last.
    let mut synced_from = None;
    let mut requests: std::collections::HashMap<&str, (String, usize)> = std::collections::HashMap::new();
    for (place, call) in at {
        if call.is_sync() {
            if call.result == "0" && is_store(call.file()) {
                order.syncs += 1;
                synced_from = synced_from.max(Some(call.began));
            }
        } else if !call.file().starts_with("TCP") {
        } else if is_read(&call.name) {
            if !call.moved_bytes() {
            } else if let Some(begins) = request_line(&call.arguments) {
                requests.insert(call.file(), (begins, place));
            } else if let Some((_, last)) = requests.get_mut(call.file()) {
                *last = place;
            }
        } else if call.arguments.contains("\"HTTP/1.1 2")
            && let Some((request, last)) = requests.remove(call.file())
        {
            if synced_from.is_none_or(|from| from < last) {
                order.unsynced.push(format!("{request} (line {place})"));
            }
            order.acknowledged.push(request);
        }
    }
    order
}

fn place_of(call: &Call) -> usize {
    if call.is_sync() || is_read(&call.name) { call.ended } else { call.began }
}

fn is_read(name: &str) -> bool {
    ["read", "readv", "recvfrom", "recvmsg"].contains(&name)
}

/// The method and the path, where these bytes begin a request that changes something.
fn request_line(arguments: &str) -> Option<String> {
    let at = ["\"POST /", "\"PUT /", "\"DELETE /"].iter().find_map(|method| arguments.find(method))?;
    let mut words = arguments[at + 1..].split(' ');
    Some(format!("{} {}", words.next()?, words.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAL: &str = "7</data/relais.db-wal>";
    const CLIENT: &str = "9<TCP:[127.0.0.1:8080->127.0.0.1:5000]>";
    const OTHER: &str = "11<TCP:[127.0.0.1:8080->127.0.0.1:5001]>";

    fn read(socket: &str, text: &str) -> String {
        format!("recvfrom({socket}, \"{text}\"..., 8192, 0, NULL, NULL) = 210")
    }

    fn answer(socket: &str) -> String {
        format!("writev({socket}, [{{iov_base=\"HTTP/1.1 202 Accepted\\r\\nco\"..., iov_len=99}}], 1) = 99")
    }

    fn sync(result: &str) -> String {
        format!("fdatasync({WAL}) = {result}")
    }

    fn check(lines: &[String]) -> Order {
        let trace: Vec<_> = lines.iter().zip(0..).map(|(line, at)| format!("12 179539219{at}.5 {line}")).collect();
        order(&calls(&trace.join("\n")), Path::new("/data/relais.db"))
    }

    const POST: &str = "POST /v1/events HTTP/1.1\\r\\nhost";

    #[test]
    fn a_sync_between_request_and_answer_is_as_it_should_be() {
        let order = check(&[read(CLIENT, POST), sync("0"), answer(CLIENT)]);
        assert_eq!((order.acknowledged, order.unsynced, order.syncs), (vec!["POST /v1/events".to_owned()], vec![], 1));
    }

    #[test]
    fn an_answer_without_a_sync_of_its_own_is_found() {
        let before = [sync("0"), read(CLIENT, POST), answer(CLIENT)];
        let after = [read(CLIENT, POST), answer(CLIENT), sync("0")];
        let failed = [read(CLIENT, POST), sync("-1 EIO (Input/output error) (INJECTED)"), answer(CLIENT)];
        let elsewhere = [read(CLIENT, POST), "fdatasync(4</data/other.db>) = 0".to_owned(), answer(CLIENT)];
        // The sync covers what had come before it began, and half of this request had not.
        let in_two = [read(CLIENT, POST), sync("0"), read(CLIENT, "the rest"), answer(CLIENT)];
        for lines in [&before[..], &after, &failed, &elsewhere, &in_two] {
            let order = check(lines);
            assert_eq!((order.unsynced.len(), order.acknowledged.len()), (1, 1), "{lines:?}");
        }
    }

    #[test]
    fn one_sync_may_cover_many_and_each_connection_is_its_own() {
        let both = check(&[read(CLIENT, POST), read(OTHER, POST), sync("0"), answer(OTHER), answer(CLIENT)]);
        assert_eq!((both.acknowledged.len(), both.unsynced.len()), (2, 0));
        let late = check(&[read(CLIENT, POST), sync("0"), read(OTHER, POST), answer(OTHER), answer(CLIENT)]);
        assert_eq!((late.acknowledged.len(), late.unsynced.len()), (2, 1));
    }

    #[test]
    fn a_sync_that_began_before_the_request_was_there_does_not_count_for_it() {
        let order = check(&[
            format!("fdatasync({WAL} <unfinished ...>"),
            read(CLIENT, POST).replace("recvfrom", "read"),
            "<... fdatasync resumed>) = 0".to_owned(),
            answer(CLIENT),
        ]);
        assert_eq!((order.syncs, order.unsynced.len()), (1, 1));
    }

    #[test]
    fn what_changes_nothing_or_is_refused_needs_no_sync() {
        let get = read(CLIENT, "GET /v1/messages HTTP/1.1\\r\\nhost");
        let refused = answer(CLIENT).replace("202 Accepted", "503 Service");
        let order = check(&[get, answer(CLIENT), read(CLIENT, POST), refused]);
        assert_eq!((order.acknowledged.len(), order.unsynced.len()), (0, 0));
    }
}
