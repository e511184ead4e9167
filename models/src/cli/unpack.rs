//! `latentc unpack`: a data set as text, for programs that are not this one.

use super::load::{described, open_data};
use super::{CliError, Output, Status, table};
use crate::common::data::{Declared, SHIPPED, to_ngcf};
use crate::common::run::{RunDirError, save};
use std::path::PathBuf;

/// Write a data set as two text files, train.txt and test.txt.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  latentc unpack gowalla --out data        the data that ships inside

A line is `user item item ...`: numbers from 0 in decimal digits with a space between them, users and items ascending, a
line for every user.")]
pub struct Args {
    /// The data set: one that ships inside, a folder or a packed file.
    #[arg(value_name = "DATA", default_value = SHIPPED[0])]
    data: String,
    /// The folder to write into; made where it is missing.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Unpacks.
pub fn run(args: &Args, out: &Output) -> Result<Status, CliError> {
    let data = open_data(&args.data, Declared::default(), out)?;
    std::fs::create_dir_all(&args.out)
        .map_err(|source| CliError::Write { path: args.out.clone(), source })?;
    out.say(&described(&data))?;
    for (file, lists) in [("train.txt", &data.train), ("test.txt", &data.test)] {
        let (path, text) = (args.out.join(file), to_ngcf(lists));
        save(&path, text.as_bytes()).map_err(RunDirError::from)?;
        out.say(&format!("{}: {} bytes", path.display(), table::grouped(text.len())))?;
    }
    Ok(Status::Done)
}
