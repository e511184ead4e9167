//! Bad input: one clear error that names the place, a non-zero exit, and nothing left behind.

use crate::harness::{Place, train_words};

/// The error of training with these words; no folder may be left behind.
fn refused(place: &Place, words: &str) -> String {
    let e = place.run(&train_words(&format!("{words} --out refused"))).error();
    assert!(!place.path("refused").exists(), "a folder was left behind: {e}");
    e
}

#[test]
fn data_that_cannot_be_used_is_named_with_its_line() {
    let place = Place::new();
    let good = String::from_utf8(place.read("data/train.txt")).unwrap();
    let with = |train: &str| {
        place.write("data/train.txt", train);
        refused(&place, "--epochs 1")
    };
    let e = with(&good.replacen("\n1 ", "\n1 seven ", 1));
    assert!(e.contains("data/train.txt:2: found `seven`, expected an item id"), "{e}");
    let e = with("");
    assert!(e.contains("data/train.txt: the file is empty"), "{e}");
    let e = with("0\n1\n2\n");
    assert!(e.contains("data/train.txt: no user has a train item"), "{e}");
    let all: Vec<String> = (0..40).map(|i| i.to_string()).collect();
    let e = with(&format!("{good}30 {}\n", all.join(" ")));
    assert!(e.contains("user 30 has all 40 items in train"), "{e}");
    place.write("data/train.txt", &good);
    let e = refused(&place, "--items 39");
    assert!(e.contains("data/train.txt:4: item 39, but the item table has 39 rows"), "{e}");
    let e = refused(&place, "--users 23");
    assert!(e.contains("data/train.txt:24: user 23, but the user table has 23 rows"), "{e}");
    std::fs::remove_file(place.path("data/test.txt")).unwrap();
    let e = refused(&place, "");
    assert!(e.contains("data: no data set found there; looked for train.txt + test.txt"), "{e}");
    let e = place.run("train lightgcn --data nowhere").error();
    assert!(e.contains("nowhere: cannot be read"), "{e}");
}

#[test]
fn odd_data_is_used_with_a_warning() {
    let place = Place::new();
    let good = String::from_utf8(place.read("data/train.txt")).unwrap();
    place.write("data/train.txt", format!("\n{good}30\n"));
    let ran = place.train("--epochs 1 --out run");
    assert!(ran.err.contains("warning: data: 1 empty lines (first: "), "{}", ran.err);
    assert!(ran.err.contains("users without a train item (first: user 24)"), "{}", ran.err);
    ran.ok();
}

#[test]
fn settings_that_do_not_exist_or_do_not_fit_are_named() {
    let place = Place::new();
    let e = refused(&place, "--set layres=2");
    assert!(e.contains("--set layres=2: unknown key `layres`; did you mean `layers`?"), "{e}");
    place.write("c.toml", "lr = 0.1\nlayers = 'two'\n");
    let e = refused(&place, "--config c.toml");
    assert!(e.contains("c.toml:2: `layers`: invalid type"), "{e}");
    place.write("c.toml", "lr = 0.1\n\nsteps = 2\n");
    let e = refused(&place, "--config c.toml");
    assert!(e.contains("c.toml:3: unknown key `steps`"), "{e}");
    let e = refused(&place, "--config absent.toml");
    assert!(e.contains("absent.toml: cannot be read"), "{e}");
    for (set, expected) in [
        ("lr=-1", "`lr`: -1 found, expected a positive number"),
        ("lr=nan", "`lr`: NaN found, expected a positive number"),
        ("batch=0", "`batch`: 0 found"),
        ("layers=0", "`layers`: 0 found, expected 1 to 16"),
        ("ks=[]", "`ks`: [] found"),
        ("seed=-1", "`seed`: "),
        ("sampling=all", "`sampling`: unknown variant `all`"),
    ] {
        let e = refused(&place, &format!("--set {set}"));
        assert!(e.contains(expected), "{set}: {e}");
    }
    let e = refused(&place, "--set ks=[5,41]");
    assert!(e.contains("top 41 of 40 items was asked for"), "{e}");
    let e = place.run("train lightgnc").error();
    assert!(e.contains("no system `lightgnc`; did you mean `lightgcn`?"), "{e}");
    let ngcf = |set: &str| place.run(&format!("train ngcf --data data {set}")).error();
    assert!(ngcf("--set layers=[]").contains("set mf = true"));
    assert!(ngcf("--set mf=true").contains("matrix factorisation has layers = []"));
    assert!(ngcf("--set form=paper").contains("set matrix = \"sym\""));
    assert!(ngcf("--set message_dropout=1").contains("below 1"));
}

#[test]
fn a_loss_that_is_not_a_number_names_epoch_and_step() {
    let place = Place::new();
    let e = place.train("--epochs 3 --set init=1e30 --out run").error();
    assert!(e.contains("epoch 1, step 1: the loss is") && e.contains("run/last.safetensors"), "{e}");
    assert!(place.path("run/last.safetensors").exists());
}

#[test]
fn checkpoints_that_are_none_are_told_apart() {
    let place = Place::new();
    place.train("--epochs 1 --out run").ok();
    let whole = place.read("run/best.safetensors");
    let judged = |bytes: &[u8]| {
        place.write("run/best.safetensors", bytes);
        place.run("eval run --device interp").error()
    };
    assert!(judged(&whole[..whole.len() / 2]).contains("run/best.safetensors: cut off, damaged"));
    assert!(judged(b"").contains("run/best.safetensors: cut off, damaged"));
    let mut changed = whole.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert!(judged(&changed).contains("checksum"));
    // The smallest safetensors file: one that another program may have written.
    let foreign = [&8u64.to_le_bytes()[..], b"{}      "].concat();
    assert!(judged(&foreign).contains("not a checkpoint of latentc"));
    place.write("run/last.safetensors", &whole[..100]);
    let e = place.run("train lightgcn --resume --out run --device interp").error();
    assert!(e.contains("run/last.safetensors: cut off, damaged"), "{e}");
    let e = place.run("eval nowhere").error();
    assert!(e.contains("nowhere: no such file or folder"), "{e}");
    let e = place.run("eval data").error();
    assert!(e.contains("data: neither best.safetensors nor last.safetensors there"), "{e}");
}

#[test]
fn users_and_lengths_outside_the_data_are_named() {
    let place = Place::new();
    place.train("--epochs 1 --out run").ok();
    let e = place.run("recommend --run run --user 24 --top 3 --device interp").error();
    assert!(e.contains("user 24: the data has users 0 to 23"), "{e}");
    let e = place.run("recommend --run run --user 0 --top 41 --device interp").error();
    assert!(e.contains("--top 41: the data has 40 items"), "{e}");
    let e = place.run("eval run --k 41 --device interp").error();
    assert!(e.contains("top 41 of 40 items"), "{e}");
    assert_eq!(place.run("recommend --run run --user many").code, Some(1));
    assert_eq!(place.run("recommend --run run --user 1 --top 0").code, Some(1));
}
