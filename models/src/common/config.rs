//! Configuration of a system: defaults, then TOML texts, then `key=value` settings, each checked by itself so
//! that a mistake is named with its file, line and key.

use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The settings of a system: a flat table of keys, all with defaults.
pub trait Config: Serialize + DeserializeOwned + Default {
    /// What the types cannot say: ranges, and keys that depend on each other.
    fn check(&self) -> Result<(), Invalid>;
}

/// A value that its type allows and its meaning does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The key.
    pub key: &'static str,
    /// What is wrong: found and expected.
    pub message: String,
}

impl Invalid {
    /// An error where a condition does not hold.
    pub fn unless(holds: bool, key: &'static str, message: impl FnOnce() -> String) -> Result<(), Invalid> {
        if holds { Ok(()) } else { Err(Invalid { key, message: message() }) }
    }

    /// An error where a number is outside a range.
    pub fn within(range: RangeInclusive<usize>, value: usize, key: &'static str) -> Result<(), Invalid> {
        Invalid::unless(range.contains(&value), key, || {
            format!("{value} found, expected {} to {}", range.start(), range.end())
        })
    }

    /// An error where a number is not positive and finite.
    pub fn positive(value: f64, key: &'static str) -> Result<(), Invalid> {
        let holds = value > 0.0 && value.is_finite();
        Invalid::unless(holds, key, || format!("{value} found, expected a positive number"))
    }

    /// An error where a number is negative or not finite.
    pub fn not_negative(value: f64, key: &'static str) -> Result<(), Invalid> {
        let holds = value >= 0.0 && value.is_finite();
        Invalid::unless(holds, key, || format!("{value} found, expected 0 or a positive number"))
    }
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A configuration file that cannot be read.
    #[error("{}: cannot be read ({source}); check the path", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A text that is not TOML.
    #[error("{place}: not valid TOML: {message}")]
    Syntax {
        /// File and line.
        place: String,
        /// What the parser said.
        message: String,
    },
    /// A key that the system does not have.
    #[error("{place}: unknown key `{key}`{}; valid keys: {valid}", nearest.as_ref().map_or(String::new(), |n| format!("; did you mean `{n}`?")))]
    UnknownKey {
        /// File and line, or the setting.
        place: String,
        /// The key.
        key: String,
        /// A valid key spelled much like it.
        nearest: Option<String>,
        /// All valid keys.
        valid: String,
    },
    /// A value of the wrong type or outside its range.
    #[error("{place}: `{key}`: {message}")]
    Value {
        /// File and line, or the setting.
        place: String,
        /// The key.
        key: String,
        /// Found and expected.
        message: String,
    },
    /// A setting without `=`.
    #[error("--set {text}: expected key=value, such as --set epochs=50")]
    Setting {
        /// The setting.
        text: String,
    },
    /// A configuration that TOML cannot hold.
    #[error("the configuration cannot be written as TOML: {0}; whole numbers must be below 2^63")]
    Write(#[from] toml::ser::Error),
}

/// Where a configuration comes from besides the defaults; later entries win.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// TOML texts, each with the name of its file.
    texts: Vec<(String, String)>,
    /// Settings `key=value`.
    settings: Vec<String>,
}

impl Sources {
    /// Adds a TOML text; `origin` names it in messages.
    pub fn text(mut self, origin: impl Into<String>, text: impl Into<String>) -> Sources {
        self.texts.push((origin.into(), text.into()));
        self
    }

    /// Adds a TOML file.
    pub fn file(self, path: &Path) -> Result<Sources, ConfigError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(self.text(path.display().to_string(), text)),
            Err(source) => Err(ConfigError::Read { path: path.to_path_buf(), source }),
        }
    }

    /// Adds a setting `key=value`; the value is TOML, or taken as text where it is not.
    pub fn setting(mut self, setting: impl Into<String>) -> Sources {
        self.settings.push(setting.into());
        self
    }

    /// The configuration.
    pub fn resolve<C: Config>(&self) -> Result<C, ConfigError> {
        let defaults = Table::try_from(C::default())?;
        let mut table = defaults.clone();
        let mut places = BTreeMap::new();
        for (origin, text) in &self.texts {
            for (key, value, place) in entries(origin, text)? {
                accept::<C>(&defaults, &place, &key, &value)?;
                places.insert(key.clone(), place);
                table.insert(key, value);
            }
        }
        for setting in &self.settings {
            let (key, value) =
                setting.split_once('=').ok_or_else(|| ConfigError::Setting { text: setting.clone() })?;
            let (key, value, place) = (key.trim(), parse_value(value.trim()), format!("--set {setting}"));
            accept::<C>(&defaults, &place, key, &value)?;
            places.insert(key.to_string(), place);
            table.insert(key.to_string(), value);
        }
        let config: C = table.try_into().map_err(|e: toml::de::Error| ConfigError::Value {
            place: "configuration".into(),
            key: "(whole)".into(),
            message: e.message().to_string(),
        })?;
        config.check().map_err(|Invalid { key, message }| ConfigError::Value {
            place: places.remove(key).unwrap_or_else(|| "default".into()),
            key: key.into(),
            message,
        })?;
        Ok(config)
    }
}

/// A configuration as TOML, every key with its value.
pub fn to_toml<C: Config>(config: &C) -> Result<String, ConfigError> {
    Ok(toml::to_string(config)?)
}

/// The keys of a TOML text with their values and places.
fn entries(origin: &str, text: &str) -> Result<Vec<(String, Value, String)>, ConfigError> {
    let place = |at: usize| {
        let line = text.as_bytes().iter().take(at).filter(|&&b| b == b'\n').count() + 1;
        format!("{origin}:{line}")
    };
    let syntax = |e: toml::de::Error| ConfigError::Syntax {
        place: place(e.span().map_or(0, |s| s.start)),
        message: e.message().to_string(),
    };
    let spans = toml::de::DeTable::parse(text).map_err(syntax)?;
    let mut values: Table = toml::from_str(text).map_err(syntax)?;
    let mut found: Vec<(usize, String)> =
        spans.get_ref().keys().map(|k| (k.span().start, k.get_ref().to_string())).collect();
    found.sort();
    Ok(found
        .into_iter()
        .filter_map(|(at, key)| values.remove(&key).map(|value| (key, value, place(at))))
        .collect())
}

/// A value as written after `key=`.
fn parse_value(text: &str) -> Value {
    let parsed: Result<Table, _> = toml::from_str(&format!("v = {text}"));
    match parsed.ok().map(|mut t| (t.remove("v"), t.is_empty())) {
        Some((Some(value), true)) => value,
        _ => Value::String(text.to_string()),
    }
}

/// Checks one key against the defaults: that it exists, and that its value has the right type.
fn accept<C: Config>(defaults: &Table, place: &str, key: &str, value: &Value) -> Result<(), ConfigError> {
    if !defaults.contains_key(key) {
        return Err(ConfigError::UnknownKey {
            place: place.to_string(),
            key: key.to_string(),
            nearest: nearest(key, defaults.keys().map(String::as_str)).map(str::to_string),
            valid: defaults.keys().cloned().collect::<Vec<_>>().join(", "),
        });
    }
    let mut alone = defaults.clone();
    alone.insert(key.to_string(), value.clone());
    match alone.try_into::<C>() {
        Ok(_) => Ok(()),
        Err(e) => Err(ConfigError::Value {
            place: place.to_string(),
            key: key.to_string(),
            message: e.message().to_string(),
        }),
    }
}

/// The candidate with the smallest edit distance, where that is at most a third of the word's length (or 2).
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(2);
    candidates
        .map(|c| (edit_distance(word, c), c))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= limit)
        .map(|(_, c)| c)
}

/// Insertions, deletions and substitutions from one word to the other (Levenshtein).
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            let cost = (row[j] + 1).min(row[j + 1] + 1).min(substituted);
            diagonal = std::mem::replace(&mut row[j + 1], cost);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        layers: usize,
        lr: f64,
        form: Form,
        ks: Vec<usize>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Form {
        Code,
        Paper,
    }

    impl Default for Sample {
        fn default() -> Sample {
            Sample { layers: 3, lr: 1e-3, form: Form::Code, ks: vec![20, 40] }
        }
    }

    impl Config for Sample {
        fn check(&self) -> Result<(), Invalid> {
            Invalid::unless(self.lr > 0.0, "lr", || format!("{} found, expected a positive number", self.lr))
        }
    }

    fn message(sources: &Sources) -> String {
        sources.resolve::<Sample>().unwrap_err().to_string()
    }

    #[test]
    fn later_sources_win() {
        let sources = Sources::default()
            .text("a.toml", "# first\nlayers = 2\nform = 'paper'\n")
            .text("b.toml", "lr = 1\n")
            .setting("layers=4")
            .setting("form = code")
            .setting("ks=[1, 2]");
        let expected = Sample { layers: 4, lr: 1.0, form: Form::Code, ks: vec![1, 2] };
        assert_eq!(sources.resolve::<Sample>().unwrap(), expected);
    }

    #[test]
    fn what_is_written_reads_back() {
        let text = to_toml(&Sample::default()).unwrap();
        assert_eq!(Sources::default().text("c", text).resolve::<Sample>().unwrap(), Sample::default());
    }

    #[test]
    fn mistakes_are_named_with_file_line_and_key() {
        let text = |t: &str| message(&Sources::default().text("run.toml", t));
        let m = text("lr = 0.1\n\nlayres = 2\n");
        assert!(
            m.starts_with("run.toml:3: unknown key `layres`; did you mean `layers`?; valid keys: "),
            "{m}"
        );
        assert!(!text("optimizer = 'sgd'").contains("did you mean"));
        let m = text("lr = 0.1\nlayers = 'two'\n");
        assert!(m.starts_with("run.toml:2: `layers`: invalid type"), "{m}");
        let m = text("form = 'letter'");
        assert!(m.contains("unknown variant `letter`, expected `code` or `paper`"), "{m}");
        let m = text("layers = 2\nlr = -1.0\n");
        assert!(m.starts_with("run.toml:2: `lr`: -1 found, expected a positive number"), "{m}");
        assert!(text("layers = = 2").starts_with("run.toml:1: not valid TOML"));
        assert!(text("layers = 1\nlayers = 2").starts_with("run.toml:2: not valid TOML"));
        let m = text("[train]\nlayers = 2");
        assert!(m.starts_with("run.toml:1: unknown key `train`"), "{m}");
    }

    #[test]
    fn settings_are_checked_alike() {
        let set = |s: &str| message(&Sources::default().setting(s));
        assert!(set("layers").contains("expected key=value"));
        assert!(set("layer=1").contains("did you mean `layers`?"));
        assert!(set("layers=x").starts_with("--set layers=x: `layers`: invalid type"));
        assert!(set("layers=1\nlr=2").contains("invalid type"));
        let missing = Sources::default().file(Path::new("/nonexistent/c.toml")).unwrap_err().to_string();
        assert!(missing.contains("/nonexistent/c.toml: cannot be read"));
    }

    #[test]
    fn edit_distances() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(nearest("epoch", ["epochs", "layers"].into_iter()), Some("epochs"));
        assert_eq!(nearest("zzz", ["epochs", "layers"].into_iter()), None);
    }
}
