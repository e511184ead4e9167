//! The words of the program where all is well.

use crate::harness::Place;
use latentc_models::common::data::{decode, shipped};
use serde_json::Value;
use std::process::{Command, Stdio};

pub fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
}

fn only<'a>(events: &'a [Value], event: &str) -> Vec<&'a Value> {
    events.iter().filter(|e| e["event"] == event).collect()
}

#[test]
fn help_teaches_with_examples() {
    let place = Place::new();
    for words in [
        "--help",
        "list --help",
        "train --help",
        "eval --help",
        "recommend --help",
        "bench --help",
        "explain --help",
        "build --help",
        "unpack --help",
    ] {
        let text = place.run(words).ok();
        assert!(text.contains("latentc train") || text.contains("Example"), "{words}: {text}");
    }
    let usage = place.run("train");
    assert_eq!(usage.code, Some(1));
    assert!(usage.err.contains("Usage: latentc train"), "{}", usage.err);
}

#[test]
fn systems_are_listed_with_their_configuration() {
    let place = Place::new();
    let text = place.run("list").ok();
    assert!(text.contains("lightgcn") && text.contains("ngcf"), "{text}");
    let systems = lines(&place.run("list --json").ok());
    assert_eq!(systems[0]["name"], "lightgcn");
    assert_eq!(systems[0]["config"]["layers"], 3);
    assert_eq!(systems[1]["config"]["form"], "code");
    // What it prints of one system is a configuration file.
    let epochs =
        |line: &str| if line.starts_with("epochs = ") { "epochs = 0".into() } else { line.to_string() };
    let mine: Vec<String> = place.run("list ngcf").ok().lines().map(epochs).collect();
    place.write("mine.toml", mine.join("\n"));
    let e = place.run("train ngcf --config mine.toml").error();
    assert!(e.contains("mine.toml:") && e.contains("`epochs`: 0 found, expected at least 1"), "{e}");
}

#[test]
fn what_is_unpacked_is_packed_again() {
    let place = Place::new();
    let said = place.run("unpack gowalla --out data").ok();
    assert!(said.contains("29,858 users") && said.contains("train.txt"), "{said}");
    let train = std::fs::read_to_string(place.path("data/train.txt")).unwrap();
    assert_eq!(train.lines().count(), 29_858);
    place.run("pack --data data --name gowalla --out again.lcd").ok();
    // The bytes may be others, of another version of the compression; the lists are not.
    let again = decode("again.lcd", &place.read("again.lcd")).unwrap();
    let first = shipped("gowalla").unwrap();
    assert_eq!((again.users, again.items), (first.users, first.items));
    assert!(again.train == first.train && again.test == first.test);
}

#[test]
fn the_doctor_finds_the_machine_and_the_data() {
    let place = Place::new();
    let findings = lines(&place.run("doctor --json").ok());
    let finding = |name: &str| findings.iter().find(|f| f["name"] == name).unwrap();
    assert!(finding("data")["detail"].as_str().unwrap().contains("29,858 users"));
    assert_eq!(finding("systems")["detail"], "lightgcn, ngcf");
    for (name, state) in [("LLVM", "ok"), ("instruction set", "ok"), ("native code", "ok")] {
        assert_eq!(finding(name)["state"], state, "{findings:?}");
    }
    assert!(findings.iter().any(|f| f["name"] == "CUDA driver"));
    // Every switch for looking into what is done, with the words that take it; each word knows it.
    let switches: Vec<&Value> = only(&findings, "switch");
    assert!(switches.iter().any(|s| s["name"] == "--dump DIR"), "{switches:?}");
    for s in switches.iter().filter(|s| s["name"].as_str().unwrap().starts_with("--")) {
        let name = s["name"].as_str().unwrap().split(' ').next().unwrap();
        for word in s["words"].as_array().unwrap() {
            let help = place.run(&format!("{} --help", word.as_str().unwrap())).ok();
            assert!(help.contains(name), "{name} of {word}");
        }
    }
}

#[test]
#[cfg(unix)]
fn the_doctor_tells_of_a_cache_that_cannot_be_used() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let folder = place.path("cache/latentc");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let ran = place.run_after("export XDG_CACHE_HOME=$PWD/cache", "doctor --json").ok();
    let findings = lines(&ran);
    let cache: Vec<&Value> = findings.iter().filter(|f| f["name"] == "kernel cache").collect();
    assert_eq!(cache.len(), 2, "{findings:?}");
    assert!(cache.iter().all(|f| f["state"] == "absent"));
    assert!(cache[1]["detail"].as_str().unwrap().contains("may be written by everyone"), "{findings:?}");
}

#[test]
fn profiles_have_a_table_and_a_trace_and_checked_runs_name_the_line() {
    let place = Place::new();
    let words = "train lightgcn --data data --set dim=4 --set batch=64 --set ks=[5] --epochs 1 --out run";
    let told = place.run(&format!("{words} --checked --profile t.json --threads 1")).ok();
    assert!(
        told.contains("`lightgcn_step`") && told.contains("GB/s") && told.contains("limit, 1 thread"),
        "{told}"
    );
    assert!(told.contains("models/src/lightgcn/model.rs:"), "{told}");
    let trace: Value = serde_json::from_slice(&place.read("t.json")).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let named = |name: &str| events.iter().any(|e| e["args"]["name"] == name);
    assert!(named("lightgcn_step") && named("lightgcn_embed") && named("rank"), "{events:?}");
    let events = lines(&place.run("eval run --json --profile e.json --threads 1").ok());
    let profiles = only(&events, "profile");
    assert!(profiles.iter().any(|p| p["program"] == "lightgcn_embed"), "{events:?}");
    assert!(profiles[0]["kernels"][0]["of_limit"].as_f64().unwrap() > 0.0);

    // A step that is far too large: the first value that is no finite number is told with its line.
    let words = words.replace("--out run", "--out bad --set lr=1e38 --set init=1e30");
    let ran = place.run(&format!("{words} --checked --threads 1"));
    let shown = ran.err.clone();
    let e = ran.error();
    assert!(e.contains("of the result is") && e.contains("operand"), "{e}");
    assert!(shown.contains("the run was taken back"), "{shown}");
}

#[test]
fn a_run_leaves_its_folder_and_can_be_judged_and_used() {
    let place = Place::new();
    let text = place.train("--epochs 4 --set lr=0.05 --out run").ok();
    assert!(text.contains("24 users, 40 items"), "{text}");
    assert!(text.contains("best (epoch ") && text.contains("ndcg_self@10"), "{text}");
    assert!(text.contains("latentc recommend --run run"), "{text}");
    for name in ["config.toml", "log.jsonl", "learning_curve.svg", "best.safetensors", "last.safetensors"] {
        assert!(place.path("run").join(name).is_file(), "{name}");
    }
    let metrics = lines(std::str::from_utf8(&place.read("run/metrics.jsonl")).unwrap());
    assert_eq!(metrics.iter().map(|m| m["epoch"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 4]);
    let last = &metrics[1];
    // In four groups of ten items a guess finds a tenth of a user's items among ten.
    assert!(last["recall@10"].as_f64().unwrap() > 0.9, "{last}");

    let quality = lines(&place.run("eval run --checkpoint last --device interp --json").ok());
    for name in ["recall@5", "recall@10", "ndcg@10", "mrr@5"] {
        assert_eq!(quality[0][name], last[name], "{name}");
    }
    let other = place.run("eval run/last.safetensors --k 3,7 --device interp").ok();
    assert!(
        other.contains("recall@3") && other.contains("recall@7") && !other.contains("recall@10"),
        "{other}"
    );

    let lists = lines(&place.run("recommend --run run --user 3,5 --top 4 --device interp --json").ok());
    assert_eq!(lists.iter().map(|l| l["user"].as_u64().unwrap()).collect::<Vec<_>>(), [3, 5]);
    let train = crate::harness::groups(24, 40)[0][3].clone();
    let items: Vec<usize> =
        lists[0]["items"].as_array().unwrap().iter().map(|i| i["item"].as_u64().unwrap() as usize).collect();
    assert_eq!(items.len(), 4);
    assert!(items.iter().all(|i| !train.contains(i)), "{items:?} of {train:?}");

    place.write("data/item_names.txt", (0..40).map(|i| format!("Item no. {i}\n")).collect::<String>());
    let named = place.run("recommend --run run --user 3 --top 2 --device interp").ok();
    assert!(named.contains(&format!("(Item no. {})", items[0])), "{named}");
}

#[test]
fn json_is_all_that_stdout_holds() {
    let place = Place::new();
    let events = lines(&place.train("--epochs 3 --out run --json").ok());
    assert_eq!(events[0]["event"], "start");
    assert_eq!(events[0]["users"], 24);
    assert_eq!(only(&events, "epoch").len(), 3);
    assert_eq!(only(&events, "evaluation").len(), 2);
    let end = only(&events, "end")[0];
    assert_eq!((&end["ending"], &end["epoch"]), (&"epochs".into(), &3.into()));
    assert!(end["best"]["recall@10"].is_number());
    assert!(!only(&events, "recommendation").is_empty());
    let failed = place.train("--out run --json");
    let error = &lines(&failed.out)[0];
    assert_eq!(error["event"], "error");
    assert!(error["message"].as_str().unwrap().contains("holds a run already"), "{error}");
    failed.error();
}

#[test]
fn ngcf_trains_in_all_its_forms() {
    let place = Place::new();
    let base = "train ngcf --data data --device interp --epochs 1 --set dim=4 --set batch=16 --set ks=[5]";
    for (n, set) in [
        "--set layers=[4,3]",
        "--set layers=[4] --set form=paper --set matrix=sym",
        "--set layers=[4] --set matrix=gcmc --set message_dropout=0",
        "--set layers=[4] --set node_dropout=0.2",
        "--set layers=[] --set mf=true",
    ]
    .iter()
    .enumerate()
    {
        place.run(&format!("{base} {set} --out run{n}")).ok();
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_latentc"))
        .args(["list", "ngcf"])
        .current_dir(place.path("."))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr.len()), (Some(0), 0));
}

#[test]
fn a_packed_set_trains_like_its_folder() {
    let place = Place::new();
    place.run("pack --data data --name data --out small.lcd").ok();
    place.train("--epochs 1 --out a").ok();
    place.train("--epochs 1 --out b --data small.lcd").error();
    place.run("train lightgcn --data small.lcd --device interp --epochs 1 --set dim=4 --set batch=64 --set ks=[5,10] --out b").ok();
    let logged = |name: &str| -> Value {
        lines(std::str::from_utf8(&place.read(name)).unwrap())[0]["recall@10"].clone()
    };
    assert_eq!(logged("a/metrics.jsonl"), logged("b/metrics.jsonl"));
}
