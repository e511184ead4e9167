//! `latentc pack`: a data set in text form as one small file.

use super::load::{described, open_data};
use super::{CliError, Output, Status, table};
use crate::common::data::{Declared, encode};
use crate::common::run::{RunDirError, save};
use std::path::PathBuf;

/// Pack a data set into one small file, which --data takes like a folder.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  latentc pack --data my-data --name mine --out mine.lcd
  latentc train lightgcn --data mine.lcd")]
pub struct Args {
    /// Folder with train.txt and test.txt (`user item item ...`), or with LastFM's data1.txt and test1.txt.
    #[arg(long, value_name = "DIR")]
    data: String,
    /// What the data set is called.
    #[arg(long)]
    name: String,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Packs.
pub fn run(args: &Args, out: &Output) -> Result<Status, CliError> {
    let mut data = open_data(&args.data, Declared::default(), out)?.as_ref().clone();
    data.name.clone_from(&args.name);
    let bytes = encode(&data)?;
    save(&args.out, &bytes).map_err(RunDirError::from)?;
    out.say(&described(&data))?;
    out.say(&format!("{}: {} bytes", args.out.display(), table::grouped(bytes.len())))?;
    Ok(Status::Done)
}
