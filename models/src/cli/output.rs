//! Writing to the two streams: people's text or JSON lines to stdout, notes and errors to stderr.

use serde_json::{Map, Value};
use std::io::{self, IsTerminal, Write};

/// Where the output of a command goes.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

impl Output {
    /// An output; with `json`, stdout holds JSON lines only.
    pub fn new(json: bool) -> Output {
        Output { json }
    }

    /// Whether stdout holds JSON lines.
    pub fn json(&self) -> bool {
        self.json
    }

    /// Text for people on stdout; nothing with `--json`.
    pub fn say(&self, text: &str) -> io::Result<()> {
        if self.json { Ok(()) } else { line(text) }
    }

    /// A JSON line on stdout with the member `event` in front; nothing without `--json`.
    pub fn event(&self, event: &str, members: Map<String, Value>) -> io::Result<()> {
        if !self.json {
            return Ok(());
        }
        let mut object = Map::from_iter([("event".to_string(), event.into())]);
        object.extend(members);
        line(&Value::Object(object).to_string())
    }

    /// A note for people on stderr. Where it cannot be written there is nobody to tell.
    pub fn note(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// The error that ends the command.
    pub fn error(&self, error: &(dyn std::error::Error + 'static)) {
        let text = error.to_string();
        self.note(&format!("error: {text}"));
        // With the user's own lines, where the error knows them.
        if let Some(excerpts) = latentc::excerpts(error, io::stderr().is_terminal()) {
            self.note(excerpts.trim_end());
        }
        let _ = self.event("error", Map::from_iter([("message".to_string(), text.into())]));
    }
}

fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// The members of a JSON object literal; whatever else it is gives none.
pub fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
