//! Text laid out for people: columns, grouped digits, times.

/// Rows in columns as wide as their widest cell, the first `left` of them aligned to the left.
pub fn columns(rows: &[Vec<String>], left: usize) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|t| t.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(c, text)| {
            let w = widths[c];
            if c < left { format!("{text:<w$}") } else { format!("{text:>w$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A number with its digits in groups of three: `1,027,370`.
pub fn grouped(n: impl TryInto<u64>) -> String {
    let digits = n.try_into().unwrap_or(0).to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time: `7 s`, `12:03`, `2:07:00`.
pub fn duration(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    match (s / 3600, s / 60 % 60, s % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m}:{s:02}"),
        (h, m, s) => format!("{h}:{m:02}:{s:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_read_well() {
        assert_eq!(grouped(0u32), "0");
        assert_eq!(grouped(999u64), "999");
        assert_eq!(grouped(1_027_370usize), "1,027,370");
        assert_eq!(duration(6.7), "7 s");
        assert_eq!(duration(59.6), "1:00");
        assert_eq!(duration(3600.0 * 2.0 + 7.0 * 60.0), "2:07:00");
    }

    #[test]
    fn cells_stand_under_each_other() {
        let rows = [vec!["a".into(), "1".into()], vec!["long".into(), "22".into()], vec!["b".into()]];
        assert_eq!(columns(&rows, 1), "a      1\nlong  22\nb");
    }
}
