//! Keeps the order of `src/lib.rs`: a module uses only those that are declared before it.

use std::path::{Path, PathBuf};

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn rust_files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_path_buf()];
    }
    let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .filter(|path| path.is_dir() || path.extension().is_some_and(|end| end == "rs"))
        .flat_map(|path| rust_files(&path))
        .collect()
}

/// Names behind `crate::`, with those of `use crate::{..}` unfolded one level.
fn used(text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let name = |text: &str| {
        text.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("").to_owned()
    };
    let mut found = Vec::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(tree) => {
                let mut depth = 0;
                let mut pieces = vec![String::new()];
                for c in tree.chars() {
                    match c {
                        '}' if depth == 0 => break,
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 0 => pieces.push(String::new()),
                        _ => {}
                    }
                    pieces.last_mut().expect("one at least").push(c);
                }
                found.extend(pieces.iter().map(|piece| name(piece.trim_start_matches(','))));
            }
            None => found.push(name(rest)),
        }
    }
    found
}

#[test]
fn every_module_uses_only_those_before_it() {
    let lib = std::fs::read_to_string(source().join("lib.rs")).expect("reads src/lib.rs");
    let order: Vec<&str> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let mut faults = Vec::new();
    let mut files_count = 0;
    for (place, module) in order.iter().enumerate() {
        let own = [source().join(module), source().join(format!("{module}.rs"))];
        for file in own.iter().flat_map(|path| rust_files(path)) {
            files_count += 1;
            let text = std::fs::read_to_string(&file).expect("reads a source file");
            for used in used(&text) {
                let Some(other) = order.iter().position(|known| *known == used) else { continue };
                if other > place {
                    faults.push(format!("{} uses {used}, which stands below {module}", file.display()));
                }
            }
        }
    }
    assert!(files_count > order.len(), "only {files_count} files were read");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn nothing_of_the_server_but_its_rtmp_writer_is_used() {
    for file in rust_files(&source()) {
        let text = std::fs::read_to_string(&file).expect("reads a source file");
        for rest in text.split("rapidrtmp::").skip(1) {
            let allowed = ["rtmp::", "media::TrackKind"].iter().any(|allowed| rest.starts_with(allowed));
            assert!(
                allowed,
                "{} uses rapidrtmp::{}",
                file.display(),
                rest.lines().next().unwrap_or_default()
            );
        }
        assert!(!text.contains("unsafe "), "{} has unsafe code", file.display());
    }
}

#[test]
fn every_spelling_is_seen() {
    let text =
        "use crate::{clock, cost::{self, Cost}, host};\n// crate::no\nlet a = crate::player::unpack(b);";
    assert_eq!(used(text), ["clock", "cost", "host", "player"]);
}
