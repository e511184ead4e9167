//! What a call of compiled code can end with: codes, and the texts that name the place, what was found and what
//! was expected.

/// Bytes in a text that stand for parts of the error.
pub(super) const WHICH: u8 = 1;
pub(super) const FOUND: u8 = 2;
pub(super) const LEAST: u8 = 3;
pub(super) const MOST: u8 = 4;
pub(super) const AT: u8 = 5;

/// One way to end.
pub(super) struct Status {
    /// Its name in C after `LATENTC_`.
    pub name: &'static str,
    /// What it means, with placeholders in braces.
    pub text: &'static str,
}

macro_rules! statuses {
    ($($name:ident = $text:literal;)+) => {
        /// Every way to end, by code.
        pub(super) const ALL: &[Status] = &[$(Status { name: stringify!($name), text: $text }),+];

        /// Codes, by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, dead_code)] // names as C has them
        pub(super) enum Code { $($name),+ }
    };
}

statuses! {
    OK = "done";
    ABI = "{which}: the caller was built for the interface {found}, the object has {least}; build both from the same sources";
    NOT_READY = "{which}: the state has not been initialised; call the init function first";
    LEVEL = "{which}: this processor has level {found}, the object needs level {least}; build it for a lower one";
    MISSING = "{which} is a null pointer; {least} elements are needed";
    ALIGNMENT = "{which}: the address {found} is no multiple of {least}";
    DIM = "{which} is {found}, outside {least}..={most}";
    WORKSPACE = "{which} has {found} bytes, {least} are needed";
    ID = "{which}, element {at}: {found} is outside 0..{most}";
    EMPTY_TABLE = "{which}: {found} row numbers are to be brought into a table that has no row";
    TRUTH = "{which}, element {at}: {found} is no truth value; give 0 or 1";
    PATTERN_SIZE = "{which} has {found} rows, columns or entries; a pattern has at most {most}";
    PATTERN_ENDS = "{which}: row pointer {at} is {found}, expected {least}; they run from 0 to the number of entries";
    PATTERN_ORDER = "{which}: row {at} runs from entry {least} to entry {found}; row pointers must not decrease";
    PATTERN_COLUMN = "{which}: entry {at} has column {found}; columns are 0..{most}";
    PATTERN_COLUMNS = "{which}: entry {at} has column {found} after column {least}; columns of a row must ascend, each once";
    PATTERN_SYMMETRY = "{which} is declared symmetric, but entry {at} ({least}, {found}) has no mirror image";
    PATTERN_TWIN = "{which}: the twin is not the transpose, which shows first at its entry {at}";
    WEIGHTS_FORM = "{which}: the weights are no safetensors file, which shows at byte {at} of {found}";
    WEIGHTS_MISSING = "{which} is not in the weights";
    WEIGHTS_TYPE = "{which} has another element type in the weights";
    WEIGHTS_RANK = "{which} has {found} sizes in the weights, expected {least}";
    WEIGHTS_SHAPE = "{which}: size {at} is {found} in the weights, expected {least}";
    WEIGHTS_BYTES = "{which} has {found} bytes in the weights, expected {least}";
}

impl Code {
    /// The number.
    pub const fn number(self) -> i64 {
        self as i64
    }
}

/// A text as the object has it.
pub(super) fn template(text: &str) -> Vec<u8> {
    let mut out = text.as_bytes().to_vec();
    for (name, byte) in
        [("{which}", WHICH), ("{found}", FOUND), ("{least}", LEAST), ("{most}", MOST), ("{at}", AT)]
    {
        while let Some(at) = find(&out, name.as_bytes()) {
            out.splice(at..at + name.len(), [byte]);
        }
    }
    out
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|w| w == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_placeholder_is_known() {
        for status in ALL {
            let text = template(status.text);
            assert!(!text.contains(&b'{') && !text.contains(&0), "{}", status.text);
        }
        assert_eq!(template("a {which} {at}."), [b'a', b' ', 1, b' ', 5, b'.']);
        assert_eq!(ALL[Code::DIM as usize].name, "DIM");
    }
}
