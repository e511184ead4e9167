//! The form of a file of the cache: magic, four lengths, identity, symbol, schedule, object, checksum.

use xxhash_rust::xxh3::xxh3_128;

const MAGIC: &[u8; 16] = b"latentc kernel 2";
const HEAD: usize = MAGIC.len() + 4 * 8;
const CHECKSUM: usize = 16;

/// One compiled kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The symbol of the kernel in the object.
    pub symbol: String,
    /// What was decided for it, as text; for people, since the identity holds all that follows from it.
    pub schedule: String,
    /// The object file.
    pub object: Vec<u8>,
}

/// 128 bits that stand for some bytes.
pub(crate) fn hash(bytes: &[u8]) -> u128 {
    xxh3_128(bytes)
}

impl Entry {
    /// The file's bytes.
    pub fn encode(&self, identity: &str) -> Vec<u8> {
        let parts = [identity.as_bytes(), self.symbol.as_bytes(), self.schedule.as_bytes(), &self.object];
        let mut out = Vec::with_capacity(HEAD + CHECKSUM + parts.iter().map(|p| p.len()).sum::<usize>());
        out.extend(MAGIC);
        for p in parts {
            out.extend((p.len() as u64).to_le_bytes());
        }
        for p in parts {
            out.extend(p);
        }
        out.extend(hash(&out).to_le_bytes());
        out
    }

    /// The identity and the kernel, or what is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<(&str, Entry), String> {
        let (content, sum) = bytes
            .split_last_chunk::<CHECKSUM>()
            .filter(|(content, _)| content.len() >= HEAD)
            .ok_or_else(|| format!("{} bytes are too few", bytes.len()))?;
        if !content.starts_with(MAGIC) {
            return Err("it does not begin as a kernel's file does".to_owned());
        }
        if hash(content).to_le_bytes() != *sum {
            return Err("its checksum does not fit".to_owned());
        }
        let mut rest = &content[HEAD..];
        let mut part = |i: usize| {
            let mut len = [0; 8];
            len.copy_from_slice(&content[MAGIC.len() + 8 * i..][..8]);
            let len = usize::try_from(u64::from_le_bytes(len)).unwrap_or(usize::MAX);
            let (part, after) =
                rest.split_at_checked(len).ok_or_else(|| format!("part {i} of {len} bytes is not whole"))?;
            rest = after;
            Ok::<&[u8], String>(part)
        };
        let (identity, symbol, schedule, object) = (part(0)?, part(1)?, part(2)?, part(3)?);
        let text = |b| std::str::from_utf8(b).map_err(|e| e.to_string());
        let (symbol, schedule) = (text(symbol)?.to_owned(), text(schedule)?.to_owned());
        Ok((text(identity)?, Entry { symbol, schedule, object: object.to_vec() }))
    }
}
