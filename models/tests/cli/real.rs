//! On real data: the small LastFM set, where it is to be found.

use crate::harness::Place;
use std::path::{Path, PathBuf};

/// `LATENTC_DATA`, or `../shared/data` beside the repository; `None` (and a line that says so) without it.
fn lastfm() -> Option<PathBuf> {
    let root = match std::env::var_os("LATENTC_DATA") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
    };
    let dir = root.join("lastfm-social");
    if dir.join("data1.txt.gz").exists() {
        return Some(dir);
    }
    println!("skipped, data absent: lastfm-social");
    None
}

/// What a system reaches in 30 epochs.
fn reached(place: &Place, data: &Path, name: &str, words: &str) -> [f64; 2] {
    let data = data.display();
    let out = place
        .run(&format!("train {words} --data {data} --epochs 30 --set eval_every=30 --json --out {name}"));
    let last: serde_json::Value = serde_json::from_str(out.ok().lines().last().unwrap()).unwrap();
    ["recall@20", "ndcg@20"].map(|metric| last["best"][metric].as_f64().unwrap())
}

/// For a small set: smaller batches and steps than the defaults, which are for Gowalla, and hardly a penalty.
const FAIR: &str = "--set batch=1024 --set lr=1e-3 --set lr_halve_every=0 --set reg=1e-5";

/// Propagation is what makes the difference: the same tables without it reach less in the same epochs.
#[test]
fn ngcf_learns_lastfm_and_propagation_helps() {
    let Some(data) = lastfm() else { return };
    let place = Place::new();
    let [recall, ndcg] = reached(&place, &data, "ngcf", &format!("ngcf {FAIR}"));
    let [plain, _] = reached(&place, &data, "mf", &format!("ngcf {FAIR} --set layers=[] --set mf=true"));
    assert!(recall >= 0.222 && ndcg >= 0.160, "recall {recall}, ndcg {ndcg}");
    assert!(recall >= 1.10 * plain, "recall {recall}, without propagation {plain}");
}

#[test]
fn lightgcn_learns_lastfm() {
    let Some(data) = lastfm() else { return };
    let place = Place::new();
    let [recall, ndcg] = reached(&place, &data, "lightgcn", "lightgcn --set lr=3e-3 --set batch=1024");
    assert!(recall >= 0.205 && ndcg >= 0.150, "recall {recall}, ndcg {ndcg}");
}
