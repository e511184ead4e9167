//! Checkpoints: the state of a model and of its run in one safetensors file.
//!
//! The tensors are the model's own, by name. Everything else is one JSON object under the key `latentc` of
//! the file's metadata (one key, so that the same state gives the same bytes).

use super::atomic::{SaveError, save_with};
use super::recommender::{ModelError, Recommender};
use super::tensor::{NamedTensor, SavedTensor};
use safetensors::SafeTensors;
use safetensors::tensor::Metadata;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// The metadata key.
const KEY: &str = "latentc";

/// The format that this program writes and reads.
const FORMAT: u32 = 1;

/// What a checkpoint says about the run it belongs to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// Name of the system.
    pub system: String,
    /// Its whole configuration, as TOML.
    pub config: String,
    /// Where the data came from: the name of a shipped data set, or a path.
    pub data: String,
    /// Rows of the user and of the item table.
    pub sizes: [usize; 2],
    /// Identifies the content of the data ([`crate::common::data::Interactions::fingerprint`]).
    pub fingerprint: String,
    /// How far the run is.
    pub progress: Progress,
    /// The limits of a trial run, which change what is learned.
    #[serde(default)]
    pub quick: bool,
}

/// How far a run is. With the configuration and the tensors it determines everything that follows. Times are
/// not in it but in the log: the same run gives the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Epochs completed.
    pub epoch: u32,
    /// Steps done of the epoch begun.
    pub batch: u32,
    /// Steps done in all.
    pub step: u64,
    /// Sum of the losses of the epoch begun.
    pub loss_sum: f64,
    /// The best evaluation so far.
    pub best: Option<Best>,
    /// Evaluations since the best.
    pub since_best: u32,
}

/// The best evaluation of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Epochs completed when it was made.
    pub epoch: u32,
    /// The metric that decides, such as `recall@20`.
    pub metric: String,
    /// Its value.
    pub value: f64,
}

/// The JSON object as it stands in the file.
#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    /// CRC-32 of the tensors' names and bytes in the order of their names.
    checksum: u32,
    /// CRC-32 of the configuration, for tools that compare runs.
    config_hash: String,
    #[serde(flatten)]
    meta: Meta,
}

/// A checkpoint in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// What it says about its run.
    pub meta: Meta,
    /// The state of the model.
    pub tensors: Vec<NamedTensor>,
}

/// Why a checkpoint could not be written, read or used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Not written.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// The state cannot be put into the format.
    #[error("{}: the state cannot be written ({what})", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// What the format said.
        what: String,
    },
    /// Not readable.
    #[error("{}: cannot be read ({source}); a run keeps best.safetensors and last.safetensors in its folder", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not a whole safetensors file.
    #[error("{}: cut off, damaged, or not a checkpoint ({what}); use another checkpoint of the run", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A safetensors file of another program.
    #[error("{}: a safetensors file, but not a checkpoint of latentc (no `latentc` entry in its metadata); give best.safetensors or last.safetensors of a run", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A format of another version.
    #[error("{}: checkpoint format {found}, this program reads format {FORMAT}; use the version of latentc that wrote it", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The version found.
        found: u64,
    },
    /// A checkpoint of something else.
    #[error("{}: {what} is `{found}`, expected `{expected}`; {help}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// As in the file.
        found: String,
        /// As asked for.
        expected: String,
        /// What to do.
        help: &'static str,
    },
    /// A tensor that the model has and the file lacks, or the reverse.
    #[error("{}: tensor `{tensor}`: {what}; the checkpoint belongs to another configuration or version", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is wrong.
        what: String,
    },
    /// The model refused.
    #[error("{}: the model's state cannot be saved or restored: {source}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What the model said.
        source: ModelError,
    },
}

impl Checkpoint {
    /// Writes the checkpoint; what was at the path stays whole until the new one is.
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        let tensors: Vec<SavedTensor<'_>> = self.tensors.iter().map(NamedTensor::saved).collect();
        save_checkpoint(path, &self.meta, &tensors)
    }

    /// Reads a checkpoint and checks that it is whole.
    pub fn load(path: &Path) -> Result<Checkpoint, CheckpointError> {
        let bytes = std::fs::read(path)
            .map_err(|source| CheckpointError::Read { path: path.to_path_buf(), source })?;
        Checkpoint::read(path, &bytes)
    }

    /// A checkpoint from the bytes of a file, checked to be whole; `path` is what errors call it.
    pub fn read(path: &Path, bytes: &[u8]) -> Result<Checkpoint, CheckpointError> {
        let damaged = |what: String| CheckpointError::Damaged { path: path.to_path_buf(), what };
        let file = SafeTensors::deserialize(bytes).map_err(|e| damaged(e.to_string()))?;
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(e.to_string()))?;
        let Some(json) = metadata.metadata().as_ref().and_then(|m| m.get(KEY)) else {
            return Err(CheckpointError::Foreign { path: path.to_path_buf() });
        };
        // The version first: the rest of the object may have another form in another version.
        let object: serde_json::Value = serde_json::from_str(json).map_err(|e| damaged(e.to_string()))?;
        match object.get("format").and_then(serde_json::Value::as_u64) {
            Some(found) if found == u64::from(FORMAT) => {}
            Some(found) => return Err(CheckpointError::Format { path: path.to_path_buf(), found }),
            None => return Err(damaged("its metadata has no format version".into())),
        }
        let header: Header = serde_json::from_str(json).map_err(|e| damaged(e.to_string()))?;
        let mut tensors = Vec::new();
        for (name, view) in file.tensors() {
            let tensor = NamedTensor::read(&name, view.dtype(), view.shape(), view.data());
            tensors.push(tensor.ok_or_else(|| CheckpointError::Tensor {
                path: path.to_path_buf(),
                tensor: name.clone(),
                what: format!(
                    "element type {:?}, expected a float of 16 bits or more, or an integer",
                    view.dtype()
                ),
            })?);
        }
        tensors.sort_by(|a, b| a.name().cmp(b.name()));
        let mut views = file.tensors();
        views.sort_by(|a, b| a.0.cmp(&b.0));
        let sum = checksum(views.iter().map(|(name, view)| (name.as_str(), view.data())));
        if sum != header.checksum {
            return Err(damaged(format!(
                "checksum {sum:08x}, its metadata promises {:08x}",
                header.checksum
            )));
        }
        Ok(Checkpoint { meta: header.meta, tensors })
    }

    /// Checks that it was made by this system on this data.
    pub fn expect(&self, path: &Path, system: &str, fingerprint: &str) -> Result<(), CheckpointError> {
        let check = |what, found: &str, expected: &str, help| {
            if found == expected {
                return Ok(());
            }
            let (found, expected) = (found.to_string(), expected.to_string());
            Err(CheckpointError::Mismatch { path: path.to_path_buf(), what, found, expected, help })
        };
        check("the system", &self.meta.system, system, "name the system that made the checkpoint")?;
        check(
            "the data set (users x items - train + test - checksum)",
            &self.meta.fingerprint,
            fingerprint,
            "give the data that the run was made with (--data)",
        )
    }

    /// Puts the state into a model, after a check of every tensor's name, type and sizes.
    pub fn restore(self, path: &Path, model: &mut dyn Recommender) -> Result<(), CheckpointError> {
        let refused = |source| CheckpointError::Model { path: path.to_path_buf(), source };
        let wrong = |tensor: &str, what: String| CheckpointError::Tensor {
            path: path.to_path_buf(),
            tensor: tensor.to_string(),
            what,
        };
        let mut found: BTreeMap<String, NamedTensor> =
            self.tensors.into_iter().map(|t| (t.name().to_string(), t)).collect();
        let mut ordered = Vec::new();
        for expected in model.tensors().map_err(refused)? {
            let Some(tensor) = found.remove(expected.name()) else {
                return Err(wrong(expected.name(), format!("missing, expected {}", expected.kind())));
            };
            if tensor.kind() != *expected.kind() {
                let what = format!("found {}, expected {}", tensor.kind(), expected.kind());
                return Err(wrong(expected.name(), what));
            }
            ordered.push(tensor);
        }
        if let Some((name, tensor)) = found.pop_first() {
            return Err(wrong(&name, format!("found {}, but the model has no such tensor", tensor.kind())));
        }
        model.set_tensors(ordered).map_err(refused)
    }
}

/// Writes a checkpoint of a state where it lies, tensor after tensor, so that no copy of it is made; what was at the
/// path stays whole until the new one is.
pub fn save_checkpoint(path: &Path, meta: &Meta, tensors: &[SavedTensor<'_>]) -> Result<(), CheckpointError> {
    let encode = |what: String| CheckpointError::Encode { path: path.to_path_buf(), what };
    let mut ordered: Vec<&SavedTensor<'_>> = tensors.iter().collect();
    ordered.sort_by(|a, b| a.name().cmp(b.name()));
    let header = Header {
        format: FORMAT,
        checksum: checksum(ordered.iter().map(|t| (t.name(), t.bytes()))),
        config_hash: config_hash(&meta.config),
        meta: meta.clone(),
    };
    let json = serde_json::to_string(&header).map_err(|e| encode(e.to_string()))?;
    ordered.sort_by(|a, b| a.file_order(b));
    let mut at = 0;
    let mut infos = vec![];
    for t in &ordered {
        infos.push((t.name().to_string(), t.info(at)));
        at += t.bytes().len();
    }
    let metadata = Metadata::new(Some(HashMap::from([(KEY.to_string(), json)])), infos)
        .map_err(|e| encode(e.to_string()))?;
    let mut head = serde_json::to_vec(&metadata).map_err(|e| encode(e.to_string()))?;
    // The tensors begin at a multiple of eight bytes.
    head.resize(head.len().next_multiple_of(8), b' ');
    save_with(path, |file| {
        let mut file = BufWriter::with_capacity(1 << 20, file);
        file.write_all(&(head.len() as u64).to_le_bytes())?;
        file.write_all(&head)?;
        for t in &ordered {
            file.write_all(t.bytes())?;
        }
        file.flush()
    })?;
    Ok(())
}

/// A short identifier of a configuration.
pub fn config_hash(config: &str) -> String {
    let mut crc = flate2::Crc::new();
    crc.update(config.as_bytes());
    format!("{:08x}", crc.sum())
}

/// CRC-32 of names and bytes, which come in the order of the names.
fn checksum<'a>(tensors: impl Iterator<Item = (&'a str, &'a [u8])>) -> u32 {
    let mut crc = flate2::Crc::new();
    for (name, bytes) in tensors {
        crc.update(name.as_bytes());
        crc.update(bytes);
    }
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::super::tensor::Values;
    use super::*;

    struct Model(Vec<NamedTensor>);

    impl Recommender for Model {
        fn train_step(&mut self, _: super::super::recommender::Batch<'_>) -> Result<f32, ModelError> {
            Ok(0.0)
        }
        fn top_k(&mut self, _: &[i32], _: usize, _: &mut Vec<i32>) -> Result<(), ModelError> {
            Ok(())
        }
        fn tensors(&self) -> Result<Vec<SavedTensor<'_>>, ModelError> {
            Ok(self.0.iter().map(NamedTensor::saved).collect())
        }
        fn set_tensors(&mut self, tensors: Vec<NamedTensor>) -> Result<(), ModelError> {
            self.0 = tensors;
            Ok(())
        }
    }

    fn table(name: &str, shape: &[usize], value: f32) -> NamedTensor {
        NamedTensor::new(name, shape, Values::F32(vec![value; shape.iter().product()]))
    }

    fn sample() -> Checkpoint {
        let progress = Progress {
            epoch: 3,
            step: 42,
            loss_sum: 0.1 + 0.2,
            best: Some(Best { epoch: 2, metric: "recall@20".into(), value: 1.0 / 3.0 }),
            ..Progress::default()
        };
        let meta = Meta {
            system: "mf".into(),
            config: "dim = 2\n".into(),
            data: "gowalla".into(),
            sizes: [2, 3],
            fingerprint: "2x3".into(),
            progress,
            quick: false,
        };
        let step = NamedTensor::new("step", &[], Values::I64(vec![42]));
        Checkpoint { meta, tensors: vec![table("items", &[3, 2], 0.5), step, table("users", &[2, 2], -1.5)] }
    }

    fn message(e: CheckpointError) -> String {
        e.to_string()
    }

    #[test]
    fn reads_back_exactly_and_in_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a.safetensors"), dir.path().join("b.safetensors"));
        sample().save(&a).unwrap();
        let back = Checkpoint::load(&a).unwrap();
        assert_eq!(back, sample());
        back.save(&b).unwrap();
        let bytes = std::fs::read(a).unwrap();
        assert_eq!(bytes, std::fs::read(b).unwrap());
        // What the library would write.
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let saved: Vec<SavedTensor<'_>> = sample().tensors.iter().map(NamedTensor::saved).collect();
        let whole = saved.iter().map(|t| (t.name(), t));
        assert_eq!(bytes, safetensors::serialize(whole, metadata.metadata().clone()).unwrap());
    }

    #[test]
    fn truncated_changed_and_foreign_files_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("last.safetensors");
        sample().save(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for end in [0, 4, 20, bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..end]).unwrap();
            let m = message(Checkpoint::load(&path).unwrap_err());
            assert!(m.contains("last.safetensors: cut off, damaged"), "{end}: {m}");
        }
        let mut changed = bytes.clone();
        *changed.last_mut().unwrap() ^= 1;
        std::fs::write(&path, changed).unwrap();
        assert!(message(Checkpoint::load(&path).unwrap_err()).contains("checksum"));
        let other = table("w", &[2], 0.0);
        let foreign = safetensors::serialize([("w", &other.saved())], None).unwrap();
        std::fs::write(&path, foreign).unwrap();
        assert!(message(Checkpoint::load(&path).unwrap_err()).contains("not a checkpoint of latentc"));
        let future = HashMap::from([(KEY.to_string(), "{\"format\":7}".to_string())]);
        std::fs::write(&path, safetensors::serialize([("w", &other.saved())], Some(future)).unwrap())
            .unwrap();
        assert!(message(Checkpoint::load(&path).unwrap_err()).contains("checkpoint format 7"));
        let absent = Checkpoint::load(&dir.path().join("none.safetensors")).unwrap_err();
        assert!(message(absent).contains("none.safetensors: cannot be read"));
    }

    #[test]
    fn the_wrong_system_data_and_shapes_are_named() {
        let path = Path::new("best.safetensors");
        let m = message(sample().expect(path, "ngcf", "2x3").unwrap_err());
        assert!(m.starts_with("best.safetensors: the system is `mf`, expected `ngcf`"), "{m}");
        let m = message(sample().expect(path, "mf", "9x9").unwrap_err());
        assert!(m.contains("is `2x3`, expected `9x9`"), "{m}");
        sample().expect(path, "mf", "2x3").unwrap();

        let restore = |tensors: Vec<NamedTensor>| sample().restore(path, &mut Model(tensors));
        let step = NamedTensor::new("step", &[], Values::I64(vec![0]));
        let m = message(restore(vec![table("users", &[2, 8], 0.0)]).unwrap_err());
        assert!(m.contains("tensor `users`: found f32[2, 2], expected f32[2, 8]"), "{m}");
        let m = message(restore(vec![table("w1", &[2, 2], 0.0)]).unwrap_err());
        assert!(m.contains("tensor `w1`: missing, expected f32[2, 2]"), "{m}");
        let m = message(restore(vec![step.clone(), table("users", &[2, 2], 0.0)]).unwrap_err());
        assert!(m.contains("tensor `items`: found f32[3, 2], but the model has no such tensor"), "{m}");
        let mut model = Model(vec![table("users", &[2, 2], 0.0), step, table("items", &[3, 2], 0.0)]);
        sample().restore(path, &mut model).unwrap();
        assert_eq!(model.0[0], table("users", &[2, 2], -1.5));
    }
}
