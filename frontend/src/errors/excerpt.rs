//! Drawing of one mistake with the lines of the source that it names.

use ariadne::{CharSet, Color, Config, IndexType, Label, Report, ReportKind, Source};
use latentc_ir::diag::{Diag, Span};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// The source files that have been asked for; `None` where one cannot be read.
#[derive(Default)]
pub(super) struct Files {
    texts: BTreeMap<Arc<str>, Option<Source<String>>>,
}

impl Files {
    /// With texts that are known already.
    pub fn new(texts: &BTreeMap<Arc<str>, String>) -> Files {
        let known = texts.iter().map(|(file, text)| (file.clone(), Some(Source::from(text.clone()))));
        Files { texts: known.collect() }
    }

    fn get(&mut self, file: &Arc<str>) -> Option<&Source<String>> {
        self.texts.entry(file.clone()).or_insert_with(|| read(file).map(Source::from)).as_ref()
    }
}

/// A compiler names files relative to the folder in which it was started: that of the workspace, which is
/// the current one or lies above it.
fn read(file: &str) -> Option<String> {
    let path = Path::new(file);
    let here = std::env::current_dir().ok()?;
    here.ancestors().find_map(|folder| std::fs::read_to_string(folder.join(path)).ok())
}

/// One mistake with excerpts; `None` where a place or its file is missing.
pub(super) fn drawn(diag: &Diag, color: bool, files: &mut Files) -> Option<String> {
    let labels = merged(diag);
    let mut places: Vec<(Arc<str>, Range<usize>, String)> = vec![];
    for (span, text) in &labels {
        if span.is_known() {
            let range = extent(files.get(&span.file)?, span)?;
            places.push((span.file.clone(), range, text.clone()));
        }
    }
    narrow(&mut places, files)?;
    let (file, range, _) = places.first()?.clone();
    let config = Config::default()
        .with_color(color)
        .with_index_type(IndexType::Char)
        .with_char_set(if color { CharSet::Unicode } else { CharSet::Ascii });
    let mut report =
        Report::build(ReportKind::Error, (file, range)).with_config(config).with_message(&diag.message);
    // In the order of the lines, the main file first: else the file would be cut into pieces.
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by_key(|i| (places[*i].0 != places[0].0, places[*i].0.clone(), places[*i].1.start));
    for i in order {
        let (file, range, text) = places[i].clone();
        let color = if i == 0 { Color::Red } else { Color::Blue };
        report.add_label(Label::new((file, range)).with_message(text).with_color(color));
    }
    for note in &diag.notes {
        report.add_note(note);
    }
    if let Some(help) = &diag.help {
        report.add_help(help);
    }
    let mut out = vec![];
    let cache = ariadne::FnCache::new(|file: &Arc<str>| Err(format!("{file} was not read")))
        .with_sources(files.texts.iter().filter_map(|(f, s)| Some((f.clone(), s.clone()?))).collect());
    report.finish().write(cache, &mut out).ok()?;
    let text = String::from_utf8(out).ok()?;
    Some(text.lines().map(|line| format!("{}\n", line.trim_end())).collect())
}

/// A call within whose parentheses another label lies is marked by its name alone.
fn narrow(places: &mut [(Arc<str>, Range<usize>, String)], files: &mut Files) -> Option<()> {
    for i in 0..places.len() {
        let (file, range, _) = &places[i];
        let holds = |(other, r, _): &(Arc<str>, Range<usize>, String)| {
            other == file && r != range && range.start <= r.start && r.end <= range.end
        };
        if places.iter().any(holds) {
            let source = files.get(file)?;
            let name = source.chars().skip(range.start).take_while(|c| is_word(*c)).count();
            if name > 0 {
                places[i].1.end = range.start + name;
            }
        }
    }
    Some(())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The labels, those of one place as one.
fn merged(diag: &Diag) -> Vec<(Span, String)> {
    let mut out: Vec<(Span, String)> = vec![];
    for (span, text) in &diag.labels {
        match out.iter_mut().find(|(s, _)| s == span) {
            Some((_, all)) if all.contains(text.as_str()) => {}
            Some((_, all)) => *all = format!("{all}; {text}"),
            None => out.push((span.clone(), text.clone())),
        }
    }
    out
}

/// The characters that a place means: a call by name up to its closing parenthesis, else an expression up
/// to where it ends on its line.
fn extent(source: &Source<String>, span: &Span) -> Option<Range<usize>> {
    let line = source.line(usize::try_from(span.line).ok()?.checked_sub(1)?)?;
    let chars: Vec<char> = source.get_line_text(line)?.chars().collect();
    let start = usize::try_from(span.column).ok()?.checked_sub(1)?;
    let rest = chars.get(start..)?;
    let end = start + length(rest).max(1);
    Some(line.offset() + start..line.offset() + end.min(chars.len().max(start + 1)))
}

fn length(rest: &[char]) -> usize {
    let name = rest.iter().take_while(|c| is_word(**c)).count();
    let call = name > 0 && rest.get(name) == Some(&'(');
    let mut depth = 0usize;
    for (i, c) in rest.iter().enumerate() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => return i,
            ')' | ']' | '}' => {
                depth -= 1;
                if depth == 0 && call {
                    return i + 1;
                }
            }
            ';' | ',' if depth == 0 => return i,
            _ => {}
        }
    }
    // What goes on in the next line ends here.
    let text: String = rest.iter().collect();
    if call && depth > 0 { name } else { text.trim_end().chars().count() }
}
