//! `latentc explain`: its forms, its page in a browser, dumps, and what it says of bad input.

use crate::harness::Place;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Two propagations, which are two kernels since one reads any row of the other, and a step of momentum in place.
const PROGRAM: &str = "\
graph small {
  data adj: csr[300, 300; 2400; symmetric]
  param nodes: f32[300, 32]
  state speed: f32[300, 32]

  %0 = spmm(adj, nodes) {transpose = 0, weighted = 0}
  %1 = tanh(%0)
  %2 = spmm(adj, %1) {transpose = 0, weighted = 0}
  %3 = fill() {value = 0.9:f32, shape = [300, 32]}
  %4 = mul(speed, %3)
  %5 = add(%4, %2)
  %6 = add(nodes, %5)
  %7 = csr_degree(adj) {transpose = 0}
  %8 = cast(%7) {to = f32}
  %9 = broadcast(%8) {shape = [300, 32], axes = [0]}
  %10 = mul(%2, %9)
  output y = %10
  update speed = %5
  update nodes = %6
}
";

fn place() -> Place {
    let place = Place::new();
    place.write("small.ir", PROGRAM);
    place
}

fn json(place: &Place, words: &str) -> Value {
    serde_json::from_str(&place.run(&format!("explain {words} --format json")).ok()).unwrap()
}

#[test]
fn a_program_is_explained_in_words_and_as_data() {
    let place = place();
    let text = place.run("explain small.ir --peak-gbs 10 --peak-gops 100").ok();
    for words in [
        "program `small` for",
        "limits: 10.0 GB/s, 100 G operations/s (stated)",
        "small.ir:6  %0 = spmm(adj, nodes) {transpose = 0, weighted = 0}",
        "NOT FUSED, and the bytes that it costs in a run",
        "a value is read at other rows than the one being written",
        "COMPUTED AGAIN instead of stored",
        "nodes: in place",
        "schedule  rows lanes=",
        "by equal sums of rows and entries of adj_indptr",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let data = json(&place, "small.ir");
    assert_eq!(data["program"], "small");
    let regions = data["regions"].as_array().unwrap();
    assert_eq!(regions.len(), 2, "{text}");
    // %1 is written by one kernel and read by the other, which is what not fusing them costs.
    let refused = &data["refusals"][0];
    assert_eq!((&refused["stored"], &refused["bytes"]), (&true.into(), &(2 * 300 * 32 * 4).into()));
    assert_eq!(refused["values"][0]["name"], "%1");
    // Bytes: row pointers, columns, the table and the result; operations: an addition an entry and element, a
    // hyperbolic tangent an element.
    let launch = &data["launches"][0];
    assert_eq!(launch["bytes"], 301 * 4 + 2400 * 4 + 2 * 300 * 32 * 4);
    assert_eq!(launch["operations"], 2400 * 32 + 300 * 32);
    let table = launch["buffers"].as_array().unwrap().iter().find(|b| b["name"] == "nodes").unwrap();
    assert_eq!(table["scattered"], 2400 * 32 * 4);
    assert!(data["kernels"][0]["vectors"]["share"].as_f64().unwrap() > 0.9);
    assert!(data["kernels"][0]["code"]["assembly"].as_str().unwrap().contains("ret"));
    for update in data["updates"].as_array().unwrap() {
        // The kernel that updates `nodes` gathers nothing of them: %1 was gathered from them before.
        assert_eq!(update["in_place"], true, "{update}");
    }
    let again = data["recomputed"].as_array().unwrap();
    assert!(again.iter().any(|a| a["bytes"] == 2 * 300 * 32 * 4), "{again:?}");
    let memory = &data["memory"];
    assert_eq!(memory["most_alive"], 300 * 32 * 4);
    assert!(data["estimates"].as_array().unwrap().iter().all(|e| e["seconds"].as_f64().unwrap() > 0.0));
    let stages: Vec<&str> =
        data["stages"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!((stages[0], stages[1], stages[stages.len() - 1]), ("graph", "simplify", "plan"));

    // As of every word, `--json` is one object a line.
    let event: Value = serde_json::from_str(place.run("explain small.ir --json").ok().trim()).unwrap();
    assert_eq!(
        (&event["event"], &event["kernels"]),
        (
            &"explanation".into(),
            &data["kernels"].clone().tap(|k| {
                for (k, e) in k.as_array_mut().unwrap().iter_mut().zip(event["kernels"].as_array().unwrap()) {
                    k["code"]["seconds"] = e["code"]["seconds"].clone();
                }
            })
        )
    );
    let dot = place.run("explain small.ir --format dot").ok();
    assert!(dot.starts_with("digraph program {") && dot.contains("r0 -> r1 [label=\"%1"), "{dot}");
    let kernel = data["kernels"][0]["name"].as_str().unwrap();
    let one = place.run(&format!("explain small.ir --kernel {kernel}")).ok();
    assert!(one.contains("; ---- loops\nkernel k0_spmm") && one.contains("; ---- assembly"), "{one}");
    let arm = place.run(&format!("explain small.ir --target neon --kernel {kernel}")).ok();
    assert!(arm.contains("; ---- assembly for neon") && arm.contains("fadd\tv"), "{arm}");
}

#[test]
fn a_system_is_explained_with_its_lines() {
    let place = Place::new();
    let text = place.run("explain lightgcn --program embed --data data --set layers=2 --set dim=8").ok();
    assert!(text.contains("lightgcn embed on data") && text.contains("model.rs:"), "{text}");
    let dot = place.run("explain lightgcn --data data --format dot --out step.dot");
    assert!(dot.err.contains("written to step.dot"), "{}", dot.err);
    assert!(place.read("step.dot").starts_with(b"digraph"));
}

/// A field of a message: bytes or a message; a small number.
fn part(field: u8, bytes: &[u8]) -> Vec<u8> {
    [&[field << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

fn number(field: u8, value: u8) -> Vec<u8> {
    vec![field << 3, value]
}

#[test]
fn a_model_of_another_maker_is_explained() {
    let place = Place::new();
    // y = op(x) of three floats.
    let model = |op: &str| {
        let dims = part(2, &part(1, &number(1, 3)));
        let ty = part(2, &part(1, &[number(1, 1), dims].concat()));
        let value = |name: &str| [part(1, name.as_bytes()), ty.clone()].concat();
        let node = [part(1, b"x"), part(2, b"y"), part(4, op.as_bytes())].concat();
        let graph = [part(1, &node), part(2, b"g"), part(11, &value("x")), part(12, &value("y"))].concat();
        [number(1, 8), part(7, &graph), part(8, &number(2, 13))].concat()
    };
    place.write("relu.onnx", model("Relu"));
    let text = place.run("explain relu.onnx").ok();
    assert!(text.contains("relu.onnx: program `g`") && text.contains("relu"), "{text}");
    place.write("other.onnx", model("Rumpelstiltskin"));
    let e = place.run("explain other.onnx");
    assert!(e.code != Some(0) && e.err.contains("Rumpelstiltskin"), "{}", e.err);
}

#[test]
fn schedules_are_decided_by_name() {
    let place = place();
    let usual = json(&place, "small.ir");
    let name = usual["regions"][0]["name"].as_str().unwrap();
    place.write("mine.txt", format!("# narrower\n{name}: rows lanes=4 chunk=8 split=serial\n"));
    let mine = json(&place, "small.ir --schedules mine.txt");
    let schedule = mine["kernels"][0]["schedule"].as_str().unwrap();
    assert!(
        schedule.starts_with("rows lanes=4 chunk=8 ") && schedule.ends_with("split=serial"),
        "{schedule}"
    );
    assert!(mine["kernels"][0]["parallel"].as_str().unwrap().starts_with("one thread"));
    assert_eq!(
        mine["kernels"][1],
        usual["kernels"][1].clone().tap(|k| k["code"] = mine["kernels"][1]["code"].clone())
    );

    let with = |text: &str| {
        place.write("mine.txt", text);
        let ran = place.run("explain small.ir --schedules mine.txt");
        assert_eq!(ran.code, Some(1), "{}", ran.out);
        ran.err
    };
    let e = with("k0 rows");
    assert!(e.contains("mine.txt: line 1: `k0 rows` found, expected `kernel: schedule`"), "{e}");
    let e = with(&format!("{name}: rows lanes=5"));
    assert!(e.contains("`lanes` is 5; it must be a power of two"), "{e}");
    let e = with(&format!("{name}x: rows lanes=4"));
    assert!(e.contains("which is no kernel of the program; did you mean"), "{e}");
}

/// A value, changed.
trait Tap: Sized {
    fn tap(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

impl Tap for Value {}

#[test]
fn dumps_hold_every_stage() {
    let place = place();
    let ran = place.run("explain small.ir --format dot --dump dumps");
    assert!(ran.err.contains("every stage is in dumps/small"), "{}", ran.err);
    let dir = place.path("dumps/small");
    let mut names: Vec<String> =
        std::fs::read_dir(&dir).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names[..4], ["00-graph.ir", "01-simplify.ir", "02-tighten.ir", "03-inline.ir"]);
    assert!(
        names.contains(&"schedules.txt".to_owned()) && names.iter().any(|n| n.ends_with("-plan.txt")),
        "{names:?}"
    );
    // A dumped graph is a program again.
    place.run("explain dumps/small/00-graph.ir --format dot").ok();
    let kernels: Vec<PathBuf> =
        std::fs::read_dir(dir.join("kernels")).unwrap().map(|f| f.unwrap().path()).collect();
    for end in [".nest", ".ll", ".opt.ll", ".s"] {
        let of_kind: Vec<&PathBuf> = kernels.iter().filter(|k| k.to_string_lossy().ends_with(end)).collect();
        assert!(
            !of_kind.is_empty() && of_kind.iter().all(|k| k.metadata().unwrap().len() > 0),
            "{end}: {kernels:?}"
        );
    }
    // What is dumped as a system trains is what it runs, and changes nothing of it.
    place.train("--device cpu --epochs 1 --out plain").ok();
    place.train("--device cpu --epochs 1 --out dumped --dump dumps").ok();
    assert_eq!(place.read("plain/last.safetensors"), place.read("dumped/last.safetensors"));
    for program in ["lightgcn_step", "lightgcn_embed", "rank"] {
        assert!(place.path("dumps").join(program).join("01-simplify.ir").is_file(), "{program}");
    }
    let e = place.run("explain small.ir --dump small.ir");
    assert_eq!(e.code, Some(1));
    assert!(
        e.err.contains("small.ir/small/kernels: cannot be written") && e.err.contains("another folder"),
        "{}",
        e.err
    );
}

#[test]
fn what_is_no_program_is_said() {
    let place = place();
    let e = place.run("explain lightgnc").error();
    assert!(e.contains("no system `lightgnc`; did you mean `lightgcn`?"), "{e}");
    let e = place.run("explain lightgcn --program steps --data data").error();
    assert!(e.contains("has no program `steps`; --program takes one of: step, embed, rank"), "{e}");
    let e = place.run("explain small.ir --program step").error();
    assert!(e.contains("--program is for systems; small.ir is a program by itself"), "{e}");
    let e = place.run("explain none.ir").error();
    assert!(e.contains("none.ir: cannot be read"), "{e}");
    let e = place.run("explain small.ir --kernel k9").error();
    assert!(e.contains("no kernel `k9`; there are: k0_spmm"), "{e}");
    let e = place.run("explain small.ir --target z80").error();
    assert!(e.contains("unknown instruction set `z80`; known are x86-64-v2"), "{e}");
    let e = place.run("explain small.ir --peak-gbs 0 --peak-gops 1").error();
    assert!(e.contains("--peak-gbs 0: expected a positive number"), "{e}");
    // A mistake in the text is shown in its line.
    place.write("wrong.ir", PROGRAM.replace("tanh(%0)", "tahn(%0)"));
    let e = place.run("explain wrong.ir");
    assert_eq!(e.code, Some(1));
    assert!(e.err.contains("wrong.ir:7") && e.err.contains("%1 = tahn(%0)"), "{}", e.err);
}

// ---- the page ------------------------------------------------------------------------------------------

/// The browser, where there is one.
fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path).flat_map(|d| names.map(|n| d.join(n))).find(|p| p.is_file())
}

/// The elements of a page after its script has run. Nothing but the file can be reached.
fn opened(browser: &Path, file: &Path, hash: &str) -> String {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .arg("--host-resolver-rules=MAP * ~NOTFOUND")
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--virtual-time-budget=4000", "--dump-dom"])
        .arg(format!("file://{}{hash}", file.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_page_shows_a_region_and_asks_nobody() {
    let place = place();
    place.run("explain small.ir --format html --out page.html").ok();
    let page = String::from_utf8(place.read("page.html")).unwrap();
    assert!(page.contains("content=\"default-src 'none';"), "a policy that lets nothing in");
    for word in
        ["http:", "https:", "//cdn", "src=", "href=", "@import", "url(", "fetch(", "XMLHttp", "WebSocket"]
    {
        assert!(!page.contains(word), "the page names `{word}`");
    }
    assert!(page.contains("id=\"code-0\""));
    let Some(browser) = browser() else {
        eprintln!("skipped: no chromium in PATH");
        return;
    };
    let file = place.path("page.html");
    let plain = opened(&browser, &file, "");
    assert!(plain.contains("data-ready=") && plain.contains("Where the time must go"), "{plain}");
    assert_eq!(plain.matches("role=\"button\" data-box=").count(), 2, "a box a region");
    let region = opened(&browser, &file, "#region=1&code=assembly");
    assert!(region.contains("Region 1: k1_spmm") && region.contains("class=\"box on\""), "{region}");
    assert!(region.contains("data-code=\"assembly\"") && region.contains(".globl"), "its code is shown");
    assert!(region.contains("%2 = spmm(adj, %1) {transpose = 0, weighted = 0}"), "its line is shown");
    assert!(region.contains("a value is read at other rows"), "why it is not fused is shown");
    for (tab, words) in [
        ("refusals", "bytes a run"),
        ("again", "bytes saved a run"),
        ("memory", "bytes alive during each launch"),
        ("kernels", "in vectors"),
        ("passes", "applies the rules of algebra"),
    ] {
        let shown = opened(&browser, &file, &format!("#tab={tab}"));
        // What is drawn, without the script and its data.
        let (shown, _) = shown.split_once("id=\"data\"").unwrap();
        assert!(
            shown.contains(words) && !shown.contains("undefined") && !shown.contains("NaN"),
            "{tab}: {words}"
        );
    }
    // What a hand does: a click on a box, words in the search, a click on the head of a table.
    let after = |name: &str, hash: &str, act: &str| {
        place.write(name, page.replace("</body>", &format!("<script>{act}</script></body>")));
        let shown = opened(&browser, &place.path(name), hash);
        shown.split_once("id=\"data\"").unwrap().0.to_owned()
    };
    let click = "document.querySelector('[data-box=\"1\"]').dispatchEvent(new MouseEvent('click', { bubbles: true }))";
    assert!(after("click.html", "", click).contains("Region 1: k1_spmm"));
    let find = "const i = document.querySelector('input'); i.focus(); i.value = 'tanh'; \
                i.dispatchEvent(new Event('input')); \
                document.querySelector('.found a').click()";
    assert!(after("find.html", "", find).contains("Region 0: k0_spmm"));
    let sort = "document.querySelectorAll('th')[1].click()";
    assert!(after("sort.html", "#tab=kernels", sort).contains("sorted"));
    let dark = "document.querySelector('.theme').click()";
    let themes = [after("light.html", "#theme=light", ""), after("dark.html", "#theme=light", dark)];
    assert!(themes[0].contains("data-theme=\"light\"") && themes[1].contains("data-theme=\"dark\""));
    let ops = opened(&browser, &file, "#graph=before&find=tanh");
    assert!(ops.contains("%1 = tanh(%0)") && ops.contains("class=\"box dim\""), "{ops}");
}

/// A program of so many kernels of different code, with values that live long.
fn large(kernels: usize) -> String {
    let mut text = String::from(
        "graph large {\n  data adj: csr[5000, 5000; 60000; symmetric]\n  param table: f32[5000, 32]\n",
    );
    let (mut last, mut made, mut next) = ("table".to_owned(), vec![], 0);
    let mut line = |op: String| {
        text += &format!("  %{next} = {op}\n");
        next += 1;
        format!("%{}", next - 1)
    };
    for i in 0..kernels {
        let sum = line(format!("spmm(adj, {last}) {{transpose = 0, weighted = 0}}"));
        let factor = line(format!("fill() {{value = 0.{}:f32, shape = [5000, 32]}}", 1001 + i));
        let mut value = line(format!("mul({sum}, {factor})"));
        if i % 7 == 6 {
            value = line(format!("add({value}, {})", made[i - 5]));
        }
        last = line(format!("tanh({value})"));
        made.push(last.clone());
    }
    format!("{text}  output y = {last}\n}}\n")
}

#[test]
fn a_page_of_500_kernels_opens_within_two_seconds() {
    let Some(browser) = browser() else {
        eprintln!("skipped: no chromium in PATH");
        return;
    };
    let place = Place::new();
    place.write("large.ir", large(500));
    place.run("explain large.ir --format html --out large.html --peak-gbs 10 --peak-gops 100").ok();
    let file = place.path("large.html");
    // The best of three, since others may use the machine.
    let ready = || {
        let dom = opened(&browser, &file, "");
        assert_eq!(dom.matches("role=\"button\" data-box=").count(), 500);
        let (_, rest) = dom.split_once("data-ready=\"").expect("the page is not ready");
        rest.split('"').next().unwrap().parse::<u64>().unwrap()
    };
    let mut least = u64::MAX;
    for _ in 0..3 {
        least = least.min(ready());
        if least < 2000 {
            break;
        }
    }
    assert!(least < 2000, "{least} ms");
}
