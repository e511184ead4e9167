//! The table of metrics.

use super::table::columns;
use crate::common::metrics::{Report, Scores};
use crate::common::run::Record;
use crate::systems::Published;
use serde_json::Value;

/// Metrics by length, a column for each of the sources: a heading, and values by name such as `recall@20`.
pub fn quality(ks: &[usize], sources: &[(String, Record)]) -> String {
    let mut ks = ks.to_vec();
    ks.sort_unstable();
    ks.dedup();
    let mut rows = vec![std::iter::once(String::new()).chain(sources.iter().map(|s| s.0.clone())).collect()];
    for metric in Scores::NAMES {
        for k in &ks {
            let name = format!("{metric}@{k}");
            let cell = |values: &Record| {
                values.get(&name).and_then(Value::as_f64).map_or("-".into(), |v| format!("{v:.4}"))
            };
            rows.push(std::iter::once(name.clone()).chain(sources.iter().map(|s| cell(&s.1))).collect());
        }
    }
    columns(&rows, 1)
}

/// The metrics of a report by name.
pub fn of_report(report: &Report) -> Record {
    report.entries().map(|(name, value)| (name, value.into())).collect()
}

/// A published result by name.
pub fn of_published(published: &Published) -> Record {
    published.values.iter().map(|(name, value)| (name.to_string(), (*value).into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_source_lacks_is_a_dash() {
        let record = |v: f64| Record::from_iter([("recall@20".to_string(), v.into())]);
        let text = quality(&[20, 10, 20], &[("best".into(), record(0.17835)), ("mine".into(), record(0.2))]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1 + 2 * Scores::NAMES.len());
        assert_eq!(lines[2].split_whitespace().collect::<Vec<_>>(), ["recall@20", "0.1784", "0.2000"]);
        assert!(lines[1].ends_with('-'), "{text}");
    }
}
