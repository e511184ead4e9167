//! `latentc list`: the systems, or one of them with its configuration.

use super::output::{Output, members};
use super::{CliError, Status, table};
use crate::common::config::Sources;
use crate::common::data::SHIPPED;
use crate::systems::{SYSTEMS, System, find};
use serde_json::{Map, Value, json};

/// Show the systems that can be trained, or one with its configuration.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  latentc list                        all systems
  latentc list ngcf                   one system, with every key of its configuration
  latentc list ngcf > mine.toml       the same as a file: edit it, then
  latentc train ngcf --config mine.toml")]
pub struct Args {
    /// The system to show.
    system: Option<String>,
    /// Print one JSON object a system, with its configuration.
    #[arg(long)]
    pub json: bool,
}

/// Lists.
pub fn run(args: &Args, out: &Output) -> Result<Status, CliError> {
    let shown: Vec<&System> = match &args.system {
        Some(name) => vec![find(name)?],
        None => SYSTEMS.iter().collect(),
    };
    for system in &shown {
        out.event("system", describe(system)?)?;
    }
    if let (Some(_), [system]) = (&args.system, shown.as_slice()) {
        let config = (system.configure)(&Sources::default())?.toml;
        out.say(&format!("# {}: {}\n# {}\n{}", system.name, system.about, system.paper, config.trim_end()))?;
        return Ok(Status::Done);
    }
    let mut rows = vec![vec!["SYSTEM".to_string(), "WHAT IT IS".into(), "PUBLISHED".into()]];
    rows.extend(shown.iter().map(|s| vec![s.name.to_string(), s.about.to_string(), s.paper.to_string()]));
    out.say(&table::columns(&rows, 3))?;
    out.say(&format!("\nData that ships inside: {}.", SHIPPED.join(", ")))?;
    out.say("`latentc list SYSTEM` shows a system's configuration, `latentc train SYSTEM` trains it.")?;
    Ok(Status::Done)
}

fn describe(system: &System) -> Result<Map<String, Value>, CliError> {
    let config = (system.configure)(&Sources::default())?.toml;
    let config: toml::Table = toml::from_str(&config).unwrap_or_default();
    Ok(members(json!({
        "name": system.name,
        "about": system.about,
        "paper": system.paper,
        "config": config,
    })))
}
