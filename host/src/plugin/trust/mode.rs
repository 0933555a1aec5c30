//! How much is made of what is wrong.

use serde::{Deserialize, Deserializer};

use super::Error;

/// `off`, `warn` or `strict`, as the operator wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mode(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Off,
    Warn,
    Strict,
}

impl Mode {
    pub fn new(word: &str) -> Mode {
        Mode(word.to_owned())
    }

    pub fn level(&self) -> Level {
        match self.0.as_str() {
            "off" => Level::Off,
            "warn" => Level::Warn,
            _ => Level::Strict,
        }
    }

    /// What is to be said of a word that is none.
    pub fn warning(&self, setting: &str) -> Option<String> {
        let word = &self.0;
        (self.level() == Level::Strict && word != "strict").then(|| {
            format!("{setting} = \"{word}\" is taken for \"strict\": it is one of \"off\", \"warn\" and \"strict\"")
        })
    }

    /// What is wrong is a reason to refuse, or a remark.
    pub(super) fn weigh<T>(&self, found: Result<T, Error>, remarks: &mut Vec<String>) -> Result<Option<T>, Error> {
        match found {
            Ok(found) => Ok(Some(found)),
            Err(error) if self.level() == Level::Strict => Err(error),
            Err(error) => {
                remarks.push(error.to_string());
                Ok(None)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Mode)
    }
}
