//! Names of a program as C, C++ and Rust take them.

/// Names given in each struct.
#[derive(Default)]
pub(super) struct Names(Vec<(&'static str, String)>);

impl Names {
    /// A name in C that no other member of the struct has.
    pub fn take(&mut self, group: &'static str, name: &str) -> String {
        let wanted = identifier(name);
        let free = |n: &String| !self.0.iter().any(|(g, taken)| *g == group && taken == n);
        let numbered = (2..).map(|i| format!("{wanted}_{i}"));
        let found = std::iter::once(wanted.clone()).chain(numbered).find(free).unwrap_or(wanted.clone());
        self.0.push((group, found.clone()));
        found
    }
}

/// A name as C, C++ and Rust take it.
pub(super) fn identifier(name: &str) -> String {
    let mut out: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if !out.starts_with(|c: char| c.is_ascii_alphabetic()) {
        out.insert_str(0, "v_");
    }
    if RESERVED.split(' ').any(|word| word == out) {
        out.push('_');
    }
    out
}

/// Words that are names in none of C, C++ and Rust.
const RESERVED: &str = "\
    alignas alignof and as asm async auto await become bool box break case catch char class concept const \
    continue crate decltype default delete do double dyn else enum explicit export extern false final float \
    fn for friend gen goto if impl in inline int let long loop macro match mod move mut mutable namespace new \
    noexcept not nullptr operator or override priv private protected pub public ref register requires \
    restrict return self short signed sizeof static struct super switch template this throw trait true try \
    type typedef typeid typeof typename union unsafe unsized unsigned use using virtual void volatile where \
    while xor yield";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_legal_and_distinct() {
        assert_eq!(identifier("nodes.adam.m"), "nodes_adam_m");
        assert_eq!(identifier("3d"), "v_3d");
        assert_eq!(identifier("for"), "for_");
        assert_eq!(identifier(""), "v_");
        let mut names = Names::default();
        assert_eq!(names.take("in", "a.b"), "a_b");
        assert_eq!(names.take("in", "a b"), "a_b_2");
        assert_eq!(names.take("out", "a b"), "a_b");
    }
}
