//! Which packages have changed and come to rest: a copy that is being made is not looked into before it is whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::Instant;

use super::look::Outside;

/// A package that is gone is believed to be on its way back for so many times as long as one that changes: replacing a directory
/// takes away before it puts in.
const GONE_OVER_CHANGED: u32 = 5;

pub(super) struct Settling {
    settle: Duration,
    packages: BTreeMap<PathBuf, Package>,
}

struct Package {
    /// As it was at the last look; `None` where it was gone.
    outside: Option<Outside>,
    since: Instant,
    /// As it was when it was acted upon.
    acted: Option<Option<Outside>>,
}

impl Package {
    fn is_settled(&self) -> bool {
        self.acted.as_ref() == Some(&self.outside)
    }

    fn ready(&self, settle: Duration, hurry: bool) -> Instant {
        let gone = self.outside.is_none() && !hurry;
        self.since + if gone { settle * GONE_OVER_CHANGED } else { settle }
    }
}

/// A package that is to be acted upon; `None` where it is gone.
pub(super) type Changed = (PathBuf, Option<Outside>);

impl Settling {
    pub(super) fn new(settle: Duration) -> Settling {
        Settling { settle, packages: BTreeMap::new() }
    }

    /// Takes in what was seen, and says what of it has been as it is for long enough and was not acted upon. `hurry` where
    /// somebody asked for it: what is gone is gone then.
    pub(super) fn note(&mut self, seen: BTreeMap<PathBuf, Outside>, now: Instant, hurry: bool) -> Vec<Changed> {
        let known: BTreeSet<PathBuf> = self.packages.keys().chain(seen.keys()).cloned().collect();
        let mut seen = seen;
        for path in known {
            let outside = seen.remove(&path);
            let package = self.packages.entry(path).or_insert_with(|| Package {
                outside: outside.clone(),
                since: now,
                acted: None,
            });
            if package.outside != outside {
                package.outside = outside;
                package.since = now;
            }
        }
        let settle = self.settle;
        let due =
            self.packages.iter().filter(|(_, package)| !package.is_settled() && package.ready(settle, hurry) <= now);
        due.map(|(path, package)| (path.clone(), package.outside.clone())).collect()
    }

    /// It was acted upon as it was.
    pub(super) fn acted(&mut self, path: &Path, outside: Option<Outside>, now: Instant) {
        if outside.is_none() {
            self.packages.remove(path);
            return;
        }
        let package = self.packages.entry(path.to_owned()).or_insert_with(|| Package {
            outside: outside.clone(),
            since: now,
            acted: None,
        });
        package.acted = Some(outside);
    }

    /// It is looked at again, after it has stood as it is for a while.
    pub(super) fn again(&mut self, path: &Path, now: Instant) {
        if let Some(package) = self.packages.get_mut(path) {
            package.acted = None;
            package.since = now;
        }
    }

    /// When the next one will have come to rest. `None` where everything has.
    pub(super) fn next(&self, hurry: bool) -> Option<Instant> {
        let open = self.packages.values().filter(|package| !package.is_settled());
        open.map(|package| package.ready(self.settle, hurry)).min()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::plugin::look;

    #[tokio::test]
    async fn a_package_is_acted_upon_once_it_has_stood_still_and_when_it_is_gone() {
        let dir = std::env::temp_dir().join(format!("relais-settle-{}", std::process::id()));
        let package = dir.join("p");
        fs::create_dir_all(&package).unwrap();
        fs::write(package.join("plugin.toml"), "[plugin]\ncomponent = \"p.wasm\"\n").unwrap();
        let settle = Duration::from_secs(10);
        let mut settling = Settling::new(settle);
        let begin = Instant::now();
        let mut look = |after: u64, hurry: bool| {
            let seen = look::packages(&dir).unwrap();
            let ready = settling.note(seen, begin + Duration::from_secs(after), hurry);
            ready.iter().for_each(|(path, outside)| settling.acted(path, outside.clone(), begin));
            (ready.len(), settling.next(false).is_some())
        };
        assert_eq!(look(0, false), (0, true));
        assert_eq!(look(9, false), (0, true), "it is a second too early");
        fs::write(package.join("p.wasm"), "half").unwrap();
        assert_eq!(look(11, false), (0, true), "it has changed meanwhile");
        assert_eq!(look(20, false), (0, true));
        assert_eq!(look(21, false), (1, false));
        assert_eq!(look(60, false), (0, false), "nothing has changed since");
        fs::write(package.join("README.md"), "not part of a package").unwrap();
        assert_eq!(look(61, false), (0, false));
        fs::remove_dir_all(&package).unwrap();
        assert_eq!(look(100, false), (0, true));
        assert_eq!(look(149, false), (0, true), "it may be on its way back");
        assert_eq!(look(150, false), (1, false));
        // Somebody who asks does not have to wait for that.
        fs::create_dir_all(&package).unwrap();
        fs::write(package.join("plugin.toml"), "").unwrap();
        assert_eq!((look(200, false), look(210, false)), ((0, true), (1, false)));
        fs::remove_dir_all(&dir).unwrap();
        fs::create_dir_all(&dir).unwrap();
        assert_eq!((look(220, true), look(230, true)), ((0, true), (1, false)));
        fs::remove_dir_all(&dir).unwrap();
    }
}
