//! Numbers for people.

/// A number with the largest unit that leaves at least one of it.
fn scaled(n: f64, units: &[&str]) -> String {
    let mut n = n;
    let mut at = 0;
    while n >= 999.5 && at + 1 < units.len() {
        n /= 1000.0;
        at += 1;
    }
    let unit = units.get(at).copied().unwrap_or("");
    match n {
        _ if at == 0 || n >= 99.95 => format!("{n:.0} {unit}"),
        _ if n >= 9.995 => format!("{n:.1} {unit}"),
        _ => format!("{n:.2} {unit}"),
    }
}

/// Bytes: `18.1 MB`.
pub(super) fn bytes(n: u64) -> String {
    scaled(n as f64, &["B", "kB", "MB", "GB", "TB"])
}

/// A count: `18.1 M`.
pub(super) fn count(n: u64) -> String {
    scaled(n as f64, &["", "k", "M", "G", "T"]).trim_end().to_owned()
}

/// A time: `2.10 ms`.
pub(super) fn seconds(s: f64) -> String {
    match s {
        _ if s >= 1.0 => format!("{s:.2} s"),
        _ => scaled(s * 1e9, &["ns", "us", "ms"]),
    }
}

/// A share: `97 %`.
pub(super) fn percent(share: f64) -> String {
    match share * 100.0 {
        p if p > 0.0 && p < 0.05 => "<0.1 %".to_owned(),
        p if p > 0.0 && p < 0.95 => format!("{p:.1} %"),
        p if p < 100.0 && p > 99.5 => format!("{p:.1} %"),
        p => format!("{p:.0} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let found = [0, 999, 1000, 18_137_088, 999_600, 1_000_000_000_000_000].map(bytes);
        assert_eq!(found, ["0 B", "999 B", "1.00 kB", "18.1 MB", "1.00 MB", "1000 TB"]);
        assert_eq!([12, 1234].map(count), ["12", "1.23 k"]);
        assert_eq!([2.5, 0.0021, 1e-6].map(seconds), ["2.50 s", "2.10 ms", "1.00 us"]);
        assert_eq!(
            [0.0, 1e-5, 0.004, 0.97, 0.999, 1.0].map(percent),
            ["0 %", "<0.1 %", "0.4 %", "97 %", "99.9 %", "100 %"]
        );
    }
}
