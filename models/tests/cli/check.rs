//! `latentc check`: programs that agree, one that does not, and damaged files.

use crate::harness::Place;
use crate::words::lines;
use serde_json::Value;

#[test]
fn programs_agree_and_are_counted() {
    let place = Place::new();
    let events = lines(&place.run("check --cases 10 --seed 3 --threads 2 --json").ok());
    let told: &Value = events.iter().find(|e| e["event"] == "check").unwrap();
    assert_eq!((told["cases"].as_u64(), told["agree"].as_bool()), (Some(10), Some(true)), "{told}");
    assert!(told["nodes"].as_array().unwrap().len() > 50, "{told}");
    assert!(told["circumstances"]["values kept and updated"].as_u64() > Some(0), "{told}");
    // The same seed, the same programs, however many at a time.
    let again = lines(&place.run("check --cases 10 --seed 3 --json").ok());
    assert_eq!(again[0]["nodes"], told["nodes"]);
    let text = place.run("check --cases 1").ok();
    assert!(text.contains("did not occur") && text.contains("1 programs"), "{text}");
}

/// A remainder of what is rounded differently agrees nowhere.
#[test]
fn a_program_that_does_not_agree_is_told() {
    let place = Place::new();
    let graph = |last: &str| {
        format!(
            "# run: agree seed=1 n=33\ngraph g {{\n  dim n: 0..=64\n  data x: f32[n]\n  %0 = exp(x)\n  \
             %1 = fill() {{value = 1048576:f32, shape = [n]}}\n  %2 = mul(%0, %1)\n  \
             %3 = fill() {{value = 1:f32, shape = [n]}}\n  %4 = fmod(%2, %3)\n  output y = {last}\n}}\n"
        )
    };
    place.write("good.ir", graph("%2"));
    assert!(place.run("check --replay good.ir").ok().contains("good.ir: agrees"));
    place.write("bad.ir", graph("%4"));
    let error = place.run("check --replay bad.ir").error();
    assert!(
        error.contains("bad.ir: ") && error.contains("`y`") && error.contains("elements are off"),
        "{error}"
    );
    for (line, expected) in
        [("", "no line"), ("# run: agree seed=x", "is no number"), ("# run: agree", "no value")]
    {
        place.write("line.ir", graph("%2").replace("# run: agree seed=1 n=33", line));
        let error = place.run("check --replay line.ir").error();
        assert!(error.contains(expected), "{error}");
    }
    place.write("no.ir", "# run: agree seed=1\nno graph");
    assert!(place.run("check --replay no.ir").error().contains("cannot be used"), "the place is shown");
    assert!(place.run("check --replay none.ir").error().contains("none.ir: cannot be read"));
}

#[test]
fn readers_stand_damaged_files() {
    let place = Place::new();
    let events = lines(&place.run("check --parsers --cases 20 --json").ok());
    assert!(events.len() >= 10 && events.iter().all(|e| e["files"] == 20), "{events:?}");
    // Most damage is noticed, not all.
    assert!(events.iter().any(|e| e["taken"].as_u64() > Some(0)), "{events:?}");
}
