//! The packed format `.lcd`: a whole data set in one small file that ships inside the program.
//!
//! ```text
//! magic       8 bytes   "LCDSET\r\n" (a transfer that alters line ends breaks it)
//! version     u32       1
//! users       u32
//! items       u32
//! train pairs u32
//! test pairs  u32
//! plain bytes u64       length of the payload before compression
//! checksum    u32       CRC-32 of everything above but the magic, the name and the plain payload
//! name        u8 + that many bytes of UTF-8
//! payload     zlib stream of: for train, then test, for each user: the number of items, then the first
//!             item and the gaps less one to each next item; all as LEB128 variable-length numbers
//! ```
//! Numbers are little-endian. Lists ascend strictly by construction, so a decoded set needs no sorting; its
//! checks are those of any other set.

use super::{
    DataError, Declared, Interactions, Lists, MAX_NODES, MAX_PAIRS, Pair, RawSplit, build, read::MAX_BYTES,
};
use flate2::{Compression, Crc, read::ZlibDecoder, write::ZlibEncoder};
use std::io::{Read, Write};

const MAGIC: [u8; 8] = *b"LCDSET\r\n";
const VERSION: u32 = 1;
const FIXED: usize = 8 + 5 * 4 + 8 + 4 + 1;

/// The packed form of a data set.
pub fn encode(data: &Interactions) -> Result<Vec<u8>, DataError> {
    let name = data.name.as_bytes();
    let name_length = match u8::try_from(name.len()) {
        Ok(n) if n > 0 => n,
        _ => return Err(DataError::Name { name: data.name.clone() }),
    };
    let mut plain = Vec::with_capacity(2 * data.pairs());
    for list in [&data.train, &data.test] {
        for user in 0..data.users {
            let row = list.of(user);
            write_varint(&mut plain, row.len() as u32);
            let mut next = 0;
            for &item in row {
                write_varint(&mut plain, (item - next) as u32);
                next = item + 1;
            }
        }
    }
    let mut out = MAGIC.to_vec();
    for n in [VERSION as usize, data.users, data.items, data.train.pairs(), data.test.pairs()] {
        out.extend((n as u32).to_le_bytes());
    }
    out.extend((plain.len() as u64).to_le_bytes());
    let sum = checksum(&out[MAGIC.len()..], name, &plain);
    out.extend(sum.to_le_bytes());
    out.push(name_length);
    out.extend(name);
    // Writing to memory cannot fail.
    let memory = |source| DataError::Write { path: data.name.clone().into(), source };
    let mut zlib = ZlibEncoder::new(out, Compression::best());
    zlib.write_all(&plain).map_err(memory)?;
    zlib.finish().map_err(memory)
}

/// The data set of a packed file; `file` names it in messages.
pub fn decode(file: &str, bytes: &[u8]) -> Result<Interactions, DataError> {
    let bad = |what: String| DataError::Packed { file: file.to_string(), what };
    if bytes.len() < MAGIC.len() || bytes[..MAGIC.len()] != MAGIC {
        return Err(bad("not a packed data set (the first 8 bytes are others)".into()));
    }
    if bytes.len() < FIXED {
        return Err(bad(format!("cut off after {} bytes, inside its header", bytes.len())));
    }
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let version = word(8);
    if version != VERSION {
        return Err(bad(format!("format version {version}, this program reads version {VERSION}")));
    }
    let [users, items, train, test] = [12, 16, 20, 24].map(|at| word(at) as usize);
    let plain_bytes = u64::from(word(28)) | u64::from(word(32)) << 32;
    let expected_sum = word(36);
    let longest = 5 * (2 * users as u64 + train as u64 + test as u64);
    if users > MAX_NODES || items > MAX_NODES || train > MAX_PAIRS || test > MAX_PAIRS {
        return Err(bad(format!("its header promises {users} users, {items} items, {train} + {test} pairs")));
    }
    if plain_bytes > MAX_BYTES || plain_bytes > longest {
        return Err(bad(format!(
            "its header promises {plain_bytes} bytes of lists, more than they can have"
        )));
    }
    let name_end = FIXED + usize::from(bytes[FIXED - 1]);
    let Some(name) = bytes.get(FIXED..name_end) else {
        return Err(bad(format!("cut off after {} bytes, inside its name", bytes.len())));
    };
    let mut plain = Vec::new();
    ZlibDecoder::new(&bytes[name_end..])
        .take(plain_bytes + 1)
        .read_to_end(&mut plain)
        .map_err(|e| bad(format!("the compressed lists are damaged or cut off ({e})")))?;
    if plain.len() as u64 != plain_bytes {
        return Err(bad(format!("{} bytes of lists, its header promises {plain_bytes}", plain.len())));
    }
    let sum = checksum(&bytes[MAGIC.len()..36], name, &plain);
    if sum != expected_sum {
        return Err(bad(format!("checksum {sum:08x}, its header promises {expected_sum:08x}")));
    }
    let name = std::str::from_utf8(name).map_err(|_| bad("its name is not UTF-8".into()))?;
    let mut rest = plain.as_slice();
    let mut split = |part: &str, pairs: usize| {
        read_lists(&mut rest, users, items, pairs)
            .map(|lists| raw(format!("{file} ({part})"), &lists))
            .ok_or_else(|| bad(format!("the {part} lists do not fit the sizes of its header")))
    };
    let (train, test) = (split("train", train)?, split("test", test)?);
    if !rest.is_empty() {
        return Err(bad(format!("{} bytes after the last list", rest.len())));
    }
    build(name, train, test, Declared { users: Some(users), items: Some(items) })
}

/// The same bytes with the checksum that they have, so that what it guards can be tried; `None` where there are no lists.
pub(crate) fn reseal(bytes: &[u8]) -> Option<Vec<u8>> {
    let name_end = FIXED + usize::from(*bytes.get(FIXED - 1)?);
    let (name, packed) = (bytes.get(FIXED..name_end)?, bytes.get(name_end..)?);
    let mut plain = Vec::new();
    ZlibDecoder::new(packed).take(1 << 20).read_to_end(&mut plain).ok()?;
    let sum = checksum(&bytes[MAGIC.len()..36], name, &plain);
    let mut sealed = bytes.to_vec();
    sealed[36..40].copy_from_slice(&sum.to_le_bytes());
    Some(sealed)
}

fn checksum(header: &[u8], name: &[u8], plain: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(header);
    crc.update(name);
    crc.update(plain);
    crc.sum()
}

fn raw(file: String, lists: &Lists) -> RawSplit {
    let row = |user: usize| {
        lists.of(user).iter().map(move |&item| Pair { user: user as u32, item: item as u32, line: 0 })
    };
    RawSplit { file, pairs: (0..lists.users()).flat_map(row).collect(), ..RawSplit::default() }
}

fn read_lists(bytes: &mut &[u8], users: usize, items: usize, pairs: usize) -> Option<Lists> {
    // Each pair takes a byte at least, so a false count in the header cannot ask for memory.
    let mut lists = Lists {
        indptr: Vec::with_capacity(users.min(bytes.len()) + 1),
        items: Vec::with_capacity(pairs.min(bytes.len())),
    };
    lists.indptr.push(0);
    for _ in 0..users {
        let mut next = 0u64;
        for _ in 0..read_varint(bytes)? {
            let item = next + u64::from(read_varint(bytes)?);
            if item >= items as u64 || lists.items.len() == pairs {
                return None;
            }
            lists.items.push(item as i32);
            next = item + 1;
        }
        lists.indptr.push(i32::try_from(lists.items.len()).ok()?);
    }
    (lists.items.len() == pairs).then_some(lists)
}

fn write_varint(out: &mut Vec<u8>, mut n: u32) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn read_varint(bytes: &mut &[u8]) -> Option<u32> {
    let mut n = 0u64;
    for shift in (0..35).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        n |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return u32::try_from(n).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::{SHIPPED, load_ngcf, shipped, test_data};
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Interactions {
        let train = [vec![0, 7, 299], vec![], vec![5]];
        Interactions::from_lists("sample", 3, 300, &train, &[vec![1], vec![2, 200], vec![]]).unwrap()
    }

    fn message(bytes: &[u8]) -> String {
        decode("s.lcd", bytes).unwrap_err().to_string()
    }

    #[test]
    fn truncation_anywhere_is_an_error() {
        let bytes = encode(&sample()).unwrap();
        assert_eq!(decode("s.lcd", &bytes).unwrap(), sample());
        for end in 0..bytes.len() {
            assert!(message(&bytes[..end]).starts_with("s.lcd: "), "{end}");
        }
    }

    #[test]
    fn a_changed_byte_is_an_error() {
        let bytes = encode(&sample()).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            // The zlib stream has bits without meaning; what decodes must be the same set.
            if let Ok(set) = decode("s.lcd", &changed) {
                assert_eq!(set, sample(), "byte {at}");
            }
        }
    }

    #[test]
    fn foreign_and_future_files_are_named() {
        assert!(message(b"PK\x03\x04 something else entirely").contains("not a packed data set"));
        let mut bytes = encode(&sample()).unwrap();
        bytes[8] = 9;
        assert!(message(&bytes).contains("format version 9, this program reads version 1"));
    }

    #[test]
    fn a_header_that_promises_too_much_allocates_nothing() {
        let mut bytes = encode(&sample()).unwrap();
        bytes[20..24].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
        bytes[28..36].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(message(&bytes).contains("more than they can have"));
    }

    #[test]
    fn the_shipped_sets_read_back() {
        for name in SHIPPED {
            assert_eq!(&shipped(name).unwrap().name, name);
        }
        let d = shipped("gowalla").unwrap();
        assert_eq!((d.users, d.items), (29_858, 40_981));
        assert_eq!((d.train.pairs(), d.test.pairs()), (810_128, 217_242));
        assert!(d.warnings.is_empty(), "{:?}", d.warnings);
    }

    #[test]
    fn the_shipped_gowalla_equals_its_source() {
        let (Some(train), Some(test)) = (test_data("gowalla/train.txt.gz"), test_data("gowalla/test.txt.gz"))
        else {
            return;
        };
        let source = load_ngcf("gowalla", &train, &test, Declared::default()).unwrap();
        let shipped = shipped("gowalla").unwrap();
        assert_eq!((source.users, source.items), (shipped.users, shipped.items));
        assert_eq!(source.train, shipped.train);
        assert_eq!(source.test, shipped.test);
    }

    proptest! {
        #[test]
        fn any_set_reads_back(rows in proptest::collection::vec(
            (proptest::collection::btree_set(0i32..5000, 0..20), proptest::collection::btree_set(0i32..5000, 0..5)), 1..12)
        ) {
            let train: Vec<Vec<i32>> = rows.iter().map(|r| r.0.iter().copied().collect()).collect();
            let test: Vec<Vec<i32>> = rows.iter().map(|r| r.1.iter().copied().collect()).collect();
            if let Ok(set) = Interactions::from_lists("p", rows.len(), 5000, &train, &test) {
                let back = decode("p", &encode(&set).unwrap()).unwrap();
                prop_assert_eq!(&back.train, &set.train);
                prop_assert_eq!(&back.test, &set.test);
                prop_assert_eq!((back.users, back.items), (set.users, set.items));
            }
        }

        #[test]
        fn varints_read_back(n in any::<u32>()) {
            let mut bytes = Vec::new();
            write_varint(&mut bytes, n);
            let mut rest = bytes.as_slice();
            prop_assert_eq!(read_varint(&mut rest), Some(n));
            prop_assert!(rest.is_empty());
        }
    }
}
