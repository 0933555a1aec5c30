//! `relais dev`, as an author has it on the screen.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use super::Scratch;
use crate::harness::{copy_shipped, relais};

/// A program with its screen.
struct Screen {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Screen {
    fn of(words: &[&str], cache: &Path) -> Screen {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relais"));
        command.args(words).env_clear().env("XDG_CACHE_HOME", cache).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (tell, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Screen { child, lines, seen: Vec::new() }
    }

    /// The next line that holds this.
    fn until(&mut self, words: &str) -> String {
        loop {
            match self.lines.recv_timeout(Duration::from_secs(120)) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(words) {
                        return line;
                    }
                }
                Err(_) => panic!("`{words}` is not on the screen:\n{}", self.seen.join("\n")),
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_author_sees_what_runs_do_and_each_new_build_serves_unless_it_is_broken() {
    let scratch = Scratch::new();
    let dir = copy_shipped("order-ready", &scratch.0);
    let words = ["dev", dir.to_str().unwrap(), "--no-build", "--listen", "127.0.0.1:0"];
    let mut screen = Screen::of(&words, &scratch.0);
    let page = screen.until("the page: ");
    let url = page.split("the page: ").nth(1).unwrap().trim_end_matches('/').to_owned();
    let send = async |order: &str| {
        let data = format!("{{\"order\":\"{order}\",\"shop\":\"Bella\"}}");
        let kind = "com.example.order.ready";
        let sent =
            relais(&["event", "send", "--url", &url, "--type", kind, "--customer", "paul", "--data", &data]).await;
        assert!(sent.status.success(), "{}", super::said(&sent));
    };
    send("1").await;
    assert!(screen.until("-- event").contains("done"));
    screen.until("message to paul: Your order 1 at Bella will be ready in 2 min.");
    screen.until("calls to the host");

    // A newer version serves at once, at the same address.
    let manifest = fs::read_to_string(dir.join("plugin.toml")).unwrap();
    let newer = manifest.replace("version = \"1.0.0\"", "version = \"1.1.0\"").replace("minutes = 2 ", "minutes = 9 ");
    fs::write(dir.join("plugin.toml"), &newer).unwrap();
    screen.until("reloaded: order-ready 1.1.0");
    send("2").await;
    screen.until("message to paul: Your order 2 at Bella will be ready in 9 min.");

    // One that no host would load leaves it serving.
    fs::write(dir.join("plugin.toml"), newer.replace("1.1.0", "1.2.0").replace("[permissions]", "[permissoins]"))
        .unwrap();
    screen.until("a host would not load it: ");
    screen.until("goes on serving: order-ready 1.1.0");
    send("3").await;
    screen.until("message to paul: Your order 3 at Bella will be ready in 9 min.");
}
