//! `latentc recommend`.

use super::load::{MachineArgs, Which, checkpoint_path, open_trained};
use super::names::Names;
use super::output::{Output, members};
use super::{CliError, Status};
use crate::common::data::Interactions;
use crate::common::run::Recommender;
use crate::systems::System;
use serde_json::json;
use std::path::PathBuf;

/// Show what users may like, without what they have in train.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  latentc recommend --run runs/lightgcn-1 --user 7
  latentc recommend --run runs/lightgcn-1 --user 7,8,9 --top 50 --json

Users and items are rows of the data set, from 0. Names are shown where the data's folder has a file
item_names.txt (a name a line, in the order of ids) or item_list.txt (a heading, then `name row` lines).")]
pub struct Args {
    /// Folder of a run, or a checkpoint.
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Users: rows of the user table.
    #[arg(long = "user", value_name = "ID", required = true, value_delimiter = ',')]
    users: Vec<u32>,
    /// Items to show for each.
    #[arg(long, default_value_t = 20, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    top: u32,
    /// Which checkpoint of the run [default: best, or last where there is no best].
    #[arg(long, value_enum)]
    checkpoint: Option<Which>,
    /// Where the data is now, if it was moved.
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    #[command(flatten)]
    machine: MachineArgs,
    /// Print one JSON object a user.
    #[arg(long)]
    pub json: bool,
}

/// Recommends.
pub fn run(args: &Args, out: &Output) -> Result<Status, CliError> {
    let path = checkpoint_path(&args.run, args.checkpoint)?;
    let mut t = open_trained(&path, args.data.as_deref(), args.machine.machine(), out)?;
    if args.top as usize > t.data.items {
        return Err(CliError::TooLong { top: args.top as usize, items: t.data.items });
    }
    if let Some(&user) = args.users.iter().find(|&&u| u as usize >= t.data.users) {
        return Err(CliError::NoSuchUser { user, users: t.data.users });
    }
    let users: Vec<i32> = args.users.iter().map(|&u| u as i32).collect();
    let names = Names::open(args.data.as_deref().unwrap_or(&t.meta.data), t.data.items)?;
    recommend(t.system, t.model.as_mut(), &t.data, &names, &users, args.top as usize, out)?;
    args.machine.profile.finish(&t.model.sessions(), out)?;
    Ok(Status::Done)
}

/// Ranks items for users and shows the lists.
pub fn recommend(
    system: &System,
    model: &mut dyn Recommender,
    data: &Interactions,
    names: &Names,
    users: &[i32],
    top: usize,
    out: &Output,
) -> Result<(), CliError> {
    let mut lists = Vec::new();
    model.top_k(users, top, &mut lists).map_err(|source| CliError::Model { system: system.name, source })?;
    for (&user, list) in users.iter().zip(lists.chunks(top)) {
        let row = user as usize;
        let items: Vec<i32> = list.iter().copied().take_while(|&i| i >= 0).collect();
        let held_out = |item: i32| data.test.contains(row, item);
        let shown: Vec<_> = items
            .iter()
            .map(|&i| json!({ "item": i, "name": names.of(i as usize), "held_out": held_out(i) }))
            .collect();
        out.event("recommendation", members(json!({ "user": user, "items": shown })))?;
        let words: Vec<String> = items
            .iter()
            .map(|&i| {
                let mark = if held_out(i) { "*" } else { "" };
                names.of(i as usize).map_or(format!("{i}{mark}"), |n| format!("{i}{mark} ({n})"))
            })
            .collect();
        let (train, test) = (data.train.of(row).len(), data.test.of(row).len());
        out.say(&format!("user {user} ({train} items in train, {test} held out): {}", words.join(", ")))?;
    }
    Ok(())
}
