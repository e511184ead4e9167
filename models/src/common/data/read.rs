//! Reading whole files within a limit, gunzipped where the first bytes say so.

use super::DataError;
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The most bytes of a file, packed or unpacked: 1 GiB.
pub(super) const MAX_BYTES: u64 = 1 << 30;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The bytes of a file, decompressed where it is a gzip file by its content, whatever its name.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    read_within(path, MAX_BYTES)
}

fn read_within(path: &Path, limit: u64) -> Result<Vec<u8>, DataError> {
    let file = path.display().to_string();
    let handle = File::open(path).map_err(|e| DataError::read(path, e))?;
    let mut bytes = Vec::new();
    handle.take(limit + 1).read_to_end(&mut bytes).map_err(|e| DataError::read(path, e))?;
    if bytes.len() as u64 > limit {
        return Err(DataError::TooLarge { file, limit, unpacked: "" });
    }
    if !bytes.starts_with(&GZIP_MAGIC) {
        return Ok(bytes);
    }
    let mut plain = Vec::new();
    MultiGzDecoder::new(bytes.as_slice())
        .take(limit + 1)
        .read_to_end(&mut plain)
        .map_err(|source| DataError::Gzip { file: file.clone(), source })?;
    if plain.len() as u64 > limit {
        return Err(DataError::TooLarge { file, limit, unpacked: " when decompressed" });
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut gz = GzEncoder::new(Vec::new(), Compression::default());
        gz.write_all(bytes).unwrap();
        gz.finish().unwrap()
    }

    #[test]
    fn gzip_is_known_by_its_bytes_and_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        std::fs::write(&path, gzip(&[b'x'; 5000])).unwrap();
        assert_eq!(read(&path).unwrap(), [b'x'; 5000]);
        let e = read_within(&path, 1000).unwrap_err();
        assert!(matches!(e, DataError::TooLarge { unpacked: " when decompressed", .. }), "{e}");
        assert!(matches!(read_within(&path, 10), Err(DataError::TooLarge { unpacked: "", .. })));
        std::fs::write(&path, &gzip(&[b'x'; 5000])[..20]).unwrap();
        assert!(matches!(read(&path), Err(DataError::Gzip { .. })));
    }

    #[test]
    fn a_missing_file_and_a_folder_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let e = read(&dir.path().join("none.txt")).unwrap_err().to_string();
        assert!(e.contains("none.txt: cannot be read"), "{e}");
        assert!(matches!(read(dir.path()), Err(DataError::Read { .. })));
    }
}
