//! Runs that were stopped, asked to stop, or killed, go on as if nothing had happened.

use crate::harness::{Place, signal, train_words};

#[test]
fn more_epochs_give_the_bytes_of_one_run() {
    let place = Place::new();
    // Also of a step size that falls.
    place.train("--epochs 4 --set lr_halve_every=1 --out whole").ok();
    place.train("--epochs 2 --set lr_halve_every=1 --out parts").ok();
    // The configuration, the data and the device's options need not be said again.
    let text = place.run("train lightgcn --resume --out parts --epochs 4 --device interp").ok();
    assert!(text.contains("going on after 2 epochs"), "{text}");
    assert!(place.read("whole/last.safetensors") == place.read("parts/last.safetensors"));
    assert_eq!(place.read("whole/config.toml"), place.read("parts/config.toml"));
    let nothing_left = place.run("train lightgcn --resume --out parts --device interp").ok();
    assert!(nothing_left.contains("trained 4 epochs"), "{nothing_left}");
}

#[test]
fn an_interrupted_run_says_how_to_go_on_and_does() {
    let place = Place::new();
    let child = place.start(&train_words("--epochs 100000 --out run"));
    place.wait_for_lines("run/log.jsonl", 6);
    let ended = signal(child, "INT");
    assert_eq!(ended.code, Some(130), "{}", ended.err);
    assert!(ended.err.contains("interrupted after"), "{}", ended.err);
    let resume = ended.err.lines().find_map(|l| l.strip_prefix("go on with: latentc ")).unwrap();
    // As far as it got, and one epoch more: the same as a run that was never interrupted.
    let epoch: u32 =
        ended.err.split("interrupted after ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    place.run(&format!("{resume} --epochs {} --device interp", epoch + 1)).ok();
    place.train(&format!("--epochs {} --out whole", epoch + 1)).ok();
    assert!(place.read("whole/last.safetensors") == place.read("run/last.safetensors"));
}

#[test]
fn a_killed_run_goes_on_from_its_last_save() {
    let place = Place::new();
    let child = place.start(&train_words("--epochs 100000 --out run"));
    place.wait_for_lines("run/metrics.jsonl", 3);
    let ended = signal(child, "KILL");
    assert_eq!(ended.code, None);
    // Evaluations save: at most the epochs since the second one are lost.
    let metrics = String::from_utf8(place.read("run/metrics.jsonl")).unwrap();
    let saved: usize = metrics.lines().count() - 1;
    let text = place
        .run(&format!("train lightgcn --resume --out run --epochs {} --device interp", 2 * saved + 4))
        .ok();
    let from: usize =
        text.split("going on after ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(from >= 2 * saved, "{text}");
    place.train(&format!("--epochs {} --out whole", 2 * saved + 4)).ok();
    assert!(place.read("whole/last.safetensors") == place.read("run/last.safetensors"));
}

#[test]
fn a_full_disk_loses_nothing() {
    let place = Place::new();
    // Checkpoints of 48 KiB, and a limit of 8 or 16, as the shell counts.
    let train = |words: &str| place.train(&format!("--set dim=64 {words}"));
    train("--epochs 2 --out run").ok();
    let before = [place.read("run/last.safetensors"), place.read("run/best.safetensors")];
    // A limit on the size of files stands for the full disk: the same write fails at the same place.
    let words = "train lightgcn --resume --out run --epochs 6 --device interp";
    let e = place.run_after("ulimit -f 16", words).error();
    assert!(e.contains("safetensors: not saved") && e.contains("the previous content is untouched"), "{e}");
    assert!(before == [place.read("run/last.safetensors"), place.read("run/best.safetensors")]);
    let left: Vec<_> =
        std::fs::read_dir(place.path("run")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with(".latentc-")), "{left:?}");
    place.run(words).ok();
    train("--epochs 6 --out whole").ok();
    assert!(place.read("whole/last.safetensors") == place.read("run/last.safetensors"));
    // A run that cannot save at all ends before it trains.
    let e = place.run_after("ulimit -f 16", &train_words("--set dim=64 --out other")).error();
    assert!(e.contains("other/last.safetensors: not saved"), "{e}");
    train("--epochs 1 --out other").ok();
}

#[test]
fn a_run_goes_on_where_it_was_made_only() {
    let place = Place::new();
    place.train("--epochs 1 --out run").ok();
    let e = place.run("train lightgcn --resume --out run --device interp --set lr=0.5").error();
    assert!(e.contains("run/last.safetensors: made with `lr = 0.01`, now `lr = 0.5`"), "{e}");
    let edited = String::from_utf8(place.read("run/config.toml")).unwrap();
    place.write("run/config.toml", edited.replace("lr = 0.01", "lr = 0.25"));
    let e = place.run("train lightgcn --resume --out run --device interp").error();
    assert!(e.contains("made with `lr = 0.01`, now `lr = 0.25`"), "{e}");
    place.write("run/config.toml", edited);
    let e = place.run("train ngcf --resume --out run --device interp").error();
    assert!(e.contains("the system is `lightgcn`, expected `ngcf`"), "{e}");
    let e = place.run("train lightgcn --resume --device interp").error();
    assert!(e.contains("no run to resume there"), "{e}");
    let [train, test] = crate::harness::groups(24, 40);
    place.write("other/train.txt", crate::harness::text(&train[..23]));
    place.write("other/test.txt", crate::harness::text(&test));
    let e = place.run("train lightgcn --resume --out run --device interp --data other").error();
    assert!(e.contains("run/last.safetensors: the data set") && e.contains("give the data"), "{e}");
}

/// Native code gives the same run for any number of threads, interrupted or not, and nearly that of the
/// interpreter.
#[test]
fn threads_change_nothing() {
    let place = Place::new();
    for (name, threads) in [("one", 1), ("two", 2), ("three", 3)] {
        place.train(&format!("--epochs 4 --device cpu --threads {threads} --out {name}")).ok();
    }
    place.train("--epochs 2 --device cpu --threads 1 --out parts").ok();
    place.run("train lightgcn --resume --out parts --epochs 4 --threads 2").ok();
    let whole = place.read("one/last.safetensors");
    for name in ["two", "three", "parts"] {
        assert!(whole == place.read(&format!("{name}/last.safetensors")), "{name} differs");
    }
    place.train("--epochs 4 --out exact").ok();
    let loss = |name: &str| -> f64 {
        let log = String::from_utf8(place.read(&format!("{name}/log.jsonl"))).unwrap();
        let last: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
        last["loss"].as_f64().unwrap()
    };
    assert!((loss("one") - loss("exact")).abs() < 1e-5, "{} and {}", loss("one"), loss("exact"));
}
