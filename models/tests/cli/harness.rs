//! Running the program in a folder of its own, on a small data set.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A folder with a data set `data` in it, in which commands run.
pub struct Place {
    dir: tempfile::TempDir,
}

/// What a command did.
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// What it printed, where it was to succeed.
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "stdout: {}\nstderr: {}", self.out, self.err);
        self.out
    }

    /// Its one error, where it was to fail.
    pub fn error(self) -> String {
        assert_eq!(self.code, Some(1), "stdout: {}\nstderr: {}", self.out, self.err);
        assert!(!self.err.contains("panicked") && !self.err.contains("backtrace"), "{}", self.err);
        let errors: Vec<&str> = self.err.lines().filter(|l| l.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{}", self.err);
        errors[0].to_string()
    }

    fn of(output: Output) -> Ran {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// Users and items in four groups: a user has most items of the own group in train and the others in test.
pub fn groups(users: usize, items: usize) -> [Vec<Vec<usize>>; 2] {
    let row = |u: usize, held_out: bool| {
        let own = (0..items).filter(move |i| i % 4 == u % 4);
        own.filter(move |i| (i / 4 + u / 4).is_multiple_of(5) == held_out).collect()
    };
    [false, true].map(|held_out| (0..users).map(|u| row(u, held_out)).collect())
}

pub fn text(rows: &[Vec<usize>]) -> String {
    let line = |(u, row): (usize, &Vec<usize>)| {
        let words: Vec<String> =
            std::iter::once(u).chain(row.iter().copied()).map(|n| n.to_string()).collect();
        words.join(" ") + "\n"
    };
    rows.iter().enumerate().map(line).collect()
}

impl Place {
    /// A folder with 24 users and 40 items.
    pub fn new() -> Place {
        let place = Place { dir: tempfile::tempdir().unwrap() };
        let [train, test] = groups(24, 40);
        place.write("data/train.txt", text(&train));
        place.write("data/test.txt", text(&test));
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn command(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        // One cache for all tests, apart from the user's.
        command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
        command
    }

    /// Runs `latentc` with these words.
    pub fn run(&self, words: &str) -> Ran {
        let args: Vec<&str> = words.split_whitespace().collect();
        let output = self.command(Path::new(env!("CARGO_BIN_EXE_latentc")), &args).output().unwrap();
        Ran::of(output)
    }

    /// As `run`, in a shell after some preparation of it.
    pub fn run_after(&self, preparation: &str, words: &str) -> Ran {
        let script = format!("{preparation}; exec {} {words}", env!("CARGO_BIN_EXE_latentc"));
        Ran::of(self.command(Path::new("/bin/sh"), &["-c", &script]).output().unwrap())
    }

    /// Begins `latentc` with these words.
    pub fn start(&self, words: &str) -> Child {
        let args: Vec<&str> = words.split_whitespace().collect();
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_latentc")), &args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Trains the small configuration of a system, by the interpreter.
    pub fn train(&self, words: &str) -> Ran {
        self.run(&train_words(words))
    }

    /// Waits until a file has so many lines.
    pub fn wait_for_lines(&self, name: &str, lines: usize) {
        let began = Instant::now();
        loop {
            let found = std::fs::read_to_string(self.path(name)).unwrap_or_default().lines().count();
            if found >= lines {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(120), "{name} has {found} of {lines} lines");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// `latentc train` of a small configuration with more words.
pub fn train_words(words: &str) -> String {
    let device = if words.contains("--device") { "" } else { "--device interp" };
    format!(
        "train lightgcn --data data {device} --set dim=4 --set batch=64 --set ks=[5,10] --set eval_every=2 {words}"
    )
}

/// Sends a signal to a child and waits for its end.
pub fn signal(child: Child, name: &str) -> Ran {
    let sent = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    Ran::of(child.wait_with_output().unwrap())
}
