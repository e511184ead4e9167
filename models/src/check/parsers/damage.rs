//! Damage: what accidents and liars do to files.

use latentc::philox::Stream;

/// No damaged file is longer.
const LONGEST: usize = 1 << 16;

/// Numbers at which readers go wrong.
const NUMBERS: [i64; 16] = [
    0,
    1,
    -1,
    2,
    127,
    128,
    255,
    65_536,
    i32::MAX as i64,
    1 << 31,
    u32::MAX as i64,
    1 << 32,
    1 << 40,
    1 << 62,
    i64::MAX,
    i64::MIN,
];

/// A file with one to four pieces of damage.
pub fn damage(file: &[u8], text: bool, random: &mut Stream) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for _ in 0..1 + random.below(4) {
        // Half of the damage to a text is such that it stays one.
        match (text, random.below(2)) {
            (true, 0) => in_words(&mut bytes, random),
            _ => in_bytes(&mut bytes, random),
        }
        bytes.truncate(LONGEST);
    }
    bytes
}

fn below(random: &mut Stream, bound: usize) -> usize {
    random.below(bound.clamp(1, 1 << 30) as u32) as usize
}

/// A part of the bytes, mostly short.
fn part(bytes: &[u8], random: &mut Stream) -> std::ops::Range<usize> {
    let start = below(random, bytes.len() + 1);
    let longest = if random.below(2) == 0 { 8 } else { bytes.len() };
    start..start + below(random, (bytes.len() - start).min(longest) + 1)
}

fn in_bytes(bytes: &mut Vec<u8>, random: &mut Stream) {
    let number = NUMBERS[below(random, NUMBERS.len())];
    match random.below(7) {
        0 => bytes.truncate(below(random, bytes.len() + 1)),
        1 => {
            for _ in 0..1 + random.below(6) {
                let at = below(random, bytes.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
        2 => {
            let (at, value) = (below(random, bytes.len()), random.below(256) as u8);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        3 => drop(bytes.drain(part(bytes, random))),
        4 => {
            let copy = bytes[part(bytes, random)].to_vec();
            let at = below(random, bytes.len() + 1);
            bytes.splice(at..at, copy);
        }
        // Another number, where one of four or of eight bytes may be.
        5 => {
            let width = if random.below(2) == 0 { 4 } else { 8 };
            let at = below(random, bytes.len().saturating_sub(width) + 1);
            let end = (at + width).min(bytes.len());
            let new = number.to_le_bytes();
            bytes.splice(at..end, new[..end - at].iter().copied());
        }
        // A number of seven-bit groups, as other formats write them.
        _ => {
            let at = below(random, bytes.len() + 1);
            let (mut rest, mut new) = (number as u64, vec![]);
            while rest >= 0x80 {
                new.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            new.push(rest as u8);
            bytes.splice(at..(at + 1).min(bytes.len()), new);
        }
    }
}

/// Positions of the words of a text: runs of letters and digits, and single signs.
fn words(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut all: Vec<std::ops::Range<usize>> = vec![];
    for (at, byte) in bytes.iter().enumerate().filter(|(_, b)| !b.is_ascii_whitespace()) {
        let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'.';
        match all.last_mut() {
            Some(word) if word.end == at && letter(*byte) && letter(bytes[at - 1]) => word.end = at + 1,
            _ => all.push(at..at + 1),
        }
    }
    all
}

fn in_words(bytes: &mut Vec<u8>, random: &mut Stream) {
    let all = words(bytes);
    if all.is_empty() {
        return;
    }
    let some = |random: &mut Stream| all[below(random, all.len())].clone();
    let (one, other) = (some(random), some(random));
    match random.below(6) {
        // A number in place of one.
        0 => {
            let numbers: Vec<_> = all.iter().filter(|w| bytes[w.start].is_ascii_digit()).collect();
            if !numbers.is_empty() {
                let at = numbers[below(random, numbers.len())].clone();
                let digits = NUMBERS[below(random, NUMBERS.len())].to_string();
                let digits = if random.below(4) == 0 { "9".repeat(400) } else { digits };
                bytes.splice(at, digits.into_bytes());
            }
        }
        1 => {
            let word = bytes[other].to_vec();
            bytes.splice(one, word);
        }
        2 => drop(bytes.drain(one)),
        // The same many times, which is how depth is made.
        3 => {
            let end = all.iter().filter(|w| w.start >= one.start).take(1 + below(random, 8)).last();
            let some = one.start..end.map_or(one.end, |w| w.end);
            let many = bytes[some.clone()].repeat([2, 30, 3000][below(random, 3)]);
            bytes.splice(some, many);
        }
        // A line away, or twice.
        _ => {
            let start = bytes[..one.start].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
            let end = bytes[one.start..]
                .iter()
                .position(|b| *b == b'\n')
                .map_or(bytes.len(), |n| one.start + n + 1);
            let line = bytes[start..end].to_vec();
            if random.below(2) == 0 {
                bytes.drain(start..end);
            } else {
                let at = some(random).start.min(bytes.len());
                bytes.splice(at..at, line);
            }
        }
    }
}
