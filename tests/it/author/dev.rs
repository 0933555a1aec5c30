//! `relais dev`, as an author has it on the screen.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
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
    /// `environment` is all that it has.
    fn of(words: &[&str], cache: &Path, environment: &[(&str, String)]) -> Screen {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relais"));
        command.args(words).env_clear().env("XDG_CACHE_HOME", cache).stdin(Stdio::null());
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (tell, lines) = channel();
        // What a compiler writes is on the same screen.
        let streams: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let (out, tell) = (BufReader::new(stream), tell.clone());
            std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        }
        Screen { child, lines, seen: Vec::new() }
    }

    /// Until each of these has been on the screen.
    fn until_all(&mut self, words: &[&str]) {
        let begun = self.seen.len();
        for words in words {
            if !self.seen[begun..].iter().any(|line| line.contains(words)) {
                self.until(words);
            }
        }
    }

    /// The next line that holds this.
    fn until(&mut self, words: &str) -> String {
        loop {
            match self.lines.recv_timeout(Duration::from_secs(300)) {
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
    let mut screen = Screen::of(&words, &scratch.0, &[]);
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
    assert!(!screen.seen.iter().any(|line| line.contains("starts anew")), "{}", screen.seen.join("\n"));
    screen.until("message to paul: Your order 2 at Bella will be ready in 9 min.");

    // One that no host would load leaves it serving.
    fs::write(dir.join("plugin.toml"), newer.replace("1.1.0", "1.2.0").replace("[permissions]", "[permissoins]"))
        .unwrap();
    screen.until("a host would not load it: ");
    screen.until("goes on serving: order-ready 1.1.0");
    send("3").await;
    screen.until("message to paul: Your order 3 at Bella will be ready in 9 min.");

    // More permissions than before are the author's to accept here, and told as what an operator would be asked.
    let asks = newer.replace("1.1.0", "1.3.0").replace("[permissions]\n", "[permissions]\nphone = true\n");
    assert!(asks.contains("phone = true"), "{asks}");
    fs::write(dir.join("plugin.toml"), asks).unwrap();
    assert!(screen.until("left to the operator elsewhere: ").contains("phone"));
    screen.until("reloaded: order-ready 1.3.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_compile_is_told_in_the_compilers_words_and_the_build_before_it_serves() {
    let scratch = Scratch::new();
    let dir = scratch.0.join("table-free");
    assert!(super::new("table-free", "rust", dir.to_str().unwrap()).await.status.success());
    // The SDK is compiled once for all times that this test is run here.
    let compiled = Path::new(env!("CARGO_TARGET_TMPDIR")).join("table-free");
    fs::create_dir_all(&compiled).unwrap();
    std::os::unix::fs::symlink(&compiled, dir.join("target")).unwrap();
    let own = |name: &'static str| std::env::var(name).ok().map(|value| (name, value));
    let environment: Vec<_> = ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME"].into_iter().filter_map(own).collect();
    let words = ["dev", dir.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let mut screen = Screen::of(&words, &scratch.0, &environment);
    screen.until("the page: ");

    let source = fs::read_to_string(dir.join("src/lib.rs")).unwrap();
    fs::write(dir.join("src/lib.rs"), format!("{source}\nconst WRONG: u32 = \"no number\";\n")).unwrap();
    screen.until("src/lib.rs has changed");
    // On two streams, so in any order.
    screen.until_all(&["mismatched types", "it does not build; the build before it goes on serving"]);

    let mended = source.replace("See you in a moment.", "See you in two moments.");
    assert_ne!(mended, source);
    fs::write(dir.join("src/lib.rs"), mended).unwrap();
    screen.until("reloaded: table-free 0.1.0");
}
