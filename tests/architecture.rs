//! Keeps the levels of `src/lib.rs`: a module imports only levels below its own, never a sibling, and
//! only the crates of its row. Reads the sources as text, so that it sees every feature's code.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A module, its level, and the crates that it may use besides [`CRATES_FOR_ALL`].
struct Row {
    module: &'static str,
    level: u8,
    crates: &'static [&'static str],
}

const fn row(level: u8, module: &'static str, crates: &'static [&'static str]) -> Row {
    Row { module, level, crates }
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row(0, "limits",  &[]),
    row(0, "wire",    &[]),
    row(0, "metrics", &["prometheus_client"]),
    row(0, "secret",  &["serde"]),
    row(1, "codec",   &[]),
    row(1, "config",  &["serde", "toml", "clap"]),
    row(1, "auth",    &["hmac", "sha2", "subtle", "serde", "serde_json"]),
    row(2, "media",   &[]),
    row(3, "rtmp",    &["hmac", "sha2"]),
    row(3, "flv",     &[]),
    row(3, "fmp4",    &[]),
    row(3, "hls",     &["serde"]),
    row(3, "http",    &["httparse"]),
    row(4, "origin",  &["flate2", "serde", "serde_json"]),
    row(5, "api",     &["serde", "serde_json"]),
    row(5, "pages",   &["sha2"]),
    row(6, "control", &["rcgen", "tracing", "tracing_subscriber", "getrandom", "serde", "serde_json", "toml"]),
    row(7, "shard",   &["glommio", "libc", "socket2", "prometheus_client", "getrandom", "h2", "http", "rustls", "serde_json", "tokio", "tracing"]),
    row(8, "demo",    &["openh264", "getrandom", "tracing"]),
    row(9, "main",    &["clap", "signal_hook", "tracing", "tracing_subscriber", "getrandom", "serde_json", "sha2"]),
];

/// Leaf crates that hold no socket, clock, thread or policy.
const CRATES_FOR_ALL: &[&str] = &["std", "core", "alloc", "bytes", "smallvec", "thiserror"];
/// Only tests use these; they may use any other crate as well.
const CRATES_FOR_TESTS: &[&str] =
    &["criterion", "h264_reader", "insta", "mp4_atom", "proptest", "quick_m3u8", "tempfile"];
/// What modules below `control` (level 6) must not touch: they are told the bytes and the time.
const OUTSIDE_WORLD: &[&str] = &[
    "std::net",
    "std::fs",
    "std::thread",
    "std::process",
    "std::env",
    "std::os",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
];
const FIRST_LEVEL_WITH_A_WORLD: u8 = 6;
const MODULE_WITH_UNSAFE: &str = "shard";

#[test]
fn every_module_imports_only_what_stands_below_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut report = String::new();
    let mut files_count = 0;
    for path in rust_files(&source) {
        let relative = path.strip_prefix(&source).expect("below src").to_path_buf();
        let text = std::fs::read_to_string(&path).expect("reads a source file");
        for fault in faults(&relative, &text) {
            let _ = writeln!(report, "src/{}: {fault}", relative.display());
        }
        files_count += 1;
    }
    assert!(files_count >= ROWS.len(), "only {files_count} files were read");
    assert!(report.is_empty(), "the levels of src/lib.rs are broken:\n{report}");
}

#[test]
fn every_module_of_the_library_has_its_row_in_the_order_of_the_levels() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let text = std::fs::read_to_string(root).expect("reads src/lib.rs");
    let declared: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let listed: Vec<&str> = ROWS.iter().map(|row| row.module).filter(|module| *module != "main").collect();
    assert_eq!(declared.iter().collect::<BTreeSet<_>>(), listed.iter().collect(), "rows and modules");
    let levels: Vec<u8> = declared.iter().filter_map(|module| row_of(module)).map(|row| row.level).collect();
    assert!(levels.is_sorted(), "src/lib.rs declares a module before one of a lower level: {declared:?}");
}

/// All that is wrong with one file; `path` is relative to `src`.
fn faults(path: &Path, text: &str) -> Vec<String> {
    let names = module_path(path);
    // `lib.rs` declares the modules and uses none.
    let module = names.first().map_or("", String::as_str);
    let Some(own) = row_of(module) else {
        return if module.is_empty() {
            Vec::new()
        } else {
            vec![format!("`{module}` has no row in this test")]
        };
    };
    let code = code_only(text);
    let tests_at = tests_begin(&names, &code);
    let mut faults = Vec::new();
    for used in paths(&code) {
        let in_tests = used.at >= tests_at;
        let absolute = absolute(&names, &used);
        let line = code[..used.at].matches('\n').count() + 1;
        let joined = absolute.join("::");
        match absolute.split_first() {
            Some((first, rest)) if first == "crate" || (own.module == "main" && first == "rapidrtmp") => {
                let Some(other) = rest.first().and_then(|name| row_of(name)) else { continue };
                let below = other.level < own.level || other.module == own.module;
                if !below {
                    faults.push(format!(
                        "line {line}: `{}` (level {}) uses `{joined}` (level {})",
                        own.module, own.level, other.level
                    ));
                }
            }
            Some((first, _)) if is_known_crate(first) => {
                let allowed = CRATES_FOR_ALL.contains(&first.as_str())
                    || own.crates.contains(&first.as_str())
                    || in_tests;
                if !allowed {
                    faults.push(format!("line {line}: `{}` may not use the crate `{first}`", own.module));
                }
                let outside = OUTSIDE_WORLD.iter().find(|outside| is_within(&joined, outside));
                if outside.is_some() && own.level < FIRST_LEVEL_WITH_A_WORLD && !in_tests {
                    faults.push(format!("line {line}: `{}` may not use `{joined}`", own.module));
                }
            }
            _ => {}
        }
    }
    if own.module != MODULE_WITH_UNSAFE {
        for (at, _) in words(&code).filter(|(_, word)| *word == "unsafe") {
            let line = code[..at].matches('\n').count() + 1;
            faults.push(format!("line {line}: `unsafe` outside of `{MODULE_WITH_UNSAFE}`"));
        }
    }
    faults.dedup();
    faults
}

/// Where the file's unit tests begin: tests come last, in a module, or in files of their own.
fn tests_begin(names: &[String], code: &str) -> usize {
    if names.iter().any(|name| name == "tests") {
        return 0;
    }
    let markers = code.match_indices("#[cfg(test)]");
    let module = markers.filter(|(at, marker)| code[at + marker.len()..].trim_start().starts_with("mod "));
    module.map(|(at, _)| at).next().unwrap_or(code.len())
}

fn row_of(module: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.module == module)
}

fn is_known_crate(name: &str) -> bool {
    CRATES_FOR_ALL.contains(&name)
        || CRATES_FOR_TESTS.contains(&name)
        || ROWS.iter().any(|row| row.crates.contains(&name))
}

fn is_within(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// `hls/event.rs` is `["hls", "event"]`, `hls/mod.rs` is `["hls"]`, `lib.rs` is `[]`.
fn module_path(path: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        path.with_extension("").iter().map(|name| name.to_string_lossy().into_owned()).collect();
    if names.last().is_some_and(|name| name == "mod" || name == "lib") {
        names.pop();
    }
    names
}

/// A path as it is written, `use` trees unfolded.
#[derive(Debug, PartialEq, Eq)]
struct Used {
    at: usize,
    segments: Vec<String>,
    /// Modules written out in the file around it (`mod tests { .. }`).
    inline_depth: usize,
}

/// `self` and `super` taken back to `crate`.
fn absolute(module: &[String], used: &Used) -> Vec<String> {
    let mut here: Vec<String> = module.to_vec();
    here.extend((0..used.inline_depth).map(|_| "(inline)".to_owned()));
    let mut rest = &used.segments[..];
    if !matches!(rest.first().map(String::as_str), Some("self" | "super")) {
        return rest.to_vec();
    }
    while let Some((first, after)) = rest.split_first() {
        match first.as_str() {
            "self" => {}
            "super" => {
                here.pop();
            }
            _ => break,
        }
        rest = after;
    }
    std::iter::once("crate".to_owned()).chain(here).chain(rest.iter().cloned()).collect()
}

/// Every path of two or more segments in the code.
fn paths(code: &str) -> Vec<Used> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut inline: Vec<usize> = Vec::new();
    let mut braces = 0;
    let mut index = 0;
    while index < tokens.len() {
        let (at, token) = tokens[index];
        match token {
            "{" => braces += 1,
            "}" => {
                braces -= 1;
                if inline.last() == Some(&braces) {
                    inline.pop();
                }
            }
            "mod" if tokens.get(index + 2).is_some_and(|(_, token)| *token == "{") => inline.push(braces),
            "use" | "extern" => {}
            _ if is_name(token) && tokens.get(index + 1).is_some_and(|(_, next)| *next == "::") => {
                let before = found.len();
                index = tree(&tokens, index, &mut Vec::new(), at, &mut found);
                for used in &mut found[before..] {
                    used.inline_depth = inline.len();
                }
                continue;
            }
            _ if is_name(token) && index > 0 && tokens[index - 1].1 == "use" => {
                found.push(Used { at, segments: vec![token.to_owned()], inline_depth: inline.len() });
            }
            _ => {}
        }
        index += 1;
    }
    found
}

/// Unfolds the path or `use` tree that begins at `index`; returns the index after it.
fn tree(
    tokens: &[(usize, &str)],
    mut index: usize,
    prefix: &mut Vec<String>,
    at: usize,
    found: &mut Vec<Used>,
) -> usize {
    let depth = prefix.len();
    let token = |index: usize| tokens.get(index).map_or("", |(_, token)| *token);
    while is_name(token(index)) {
        prefix.push(token(index).to_owned());
        index += 1;
        if token(index) != "::" {
            break;
        }
        index += 1;
        if token(index) == "{" {
            index += 1;
            while index < tokens.len() && token(index) != "}" {
                let before = index;
                index = tree(tokens, index, prefix, at, found);
                if token(index) == "as" {
                    index += 2;
                }
                if token(index) == "," || index == before {
                    index += 1;
                }
            }
            prefix.truncate(depth);
            return index + 1;
        }
    }
    found.push(Used { at, segments: prefix.clone(), inline_depth: 0 });
    prefix.truncate(depth);
    index
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_') && !matches!(token, "as" | "use" | "mod")
}

/// Names, `::`, and single characters that structure code; numbers and the rest are dropped.
fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = code[at..].chars().next() {
        let length = if c.is_alphanumeric() || c == '_' {
            code[at..].find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(code.len() - at)
        } else if code[at..].starts_with("::") {
            2
        } else {
            c.len_utf8()
        };
        if !c.is_whitespace() {
            tokens.push((at, &code[at..at + length]));
        }
        at += length;
    }
    tokens
}

fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    tokens(code).into_iter().filter(|(_, token)| is_name(token))
}

/// The text with comments, strings and character literals blanked out, so that offsets stay.
fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let length = if rest.starts_with(b"//") {
            position(rest, b"\n").unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            block_comment(rest)
        } else if let Some(length) = raw_string(rest, at.checked_sub(1).map(|before| bytes[before])) {
            length
        } else if rest[0] == b'"' {
            quoted(rest, b'"')
        } else if rest[0] == b'\'' {
            character(rest)
        } else {
            at += 1;
            continue;
        };
        for byte in &mut code[at..at + length] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at += length;
    }
    String::from_utf8(code).expect("only whole characters were blanked out")
}

fn position(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}

fn block_comment(bytes: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at.min(bytes.len())
}

/// Length of `r".."`, `br#".."#` and the like, if one begins here.
fn raw_string(bytes: &[u8], before: Option<u8>) -> Option<usize> {
    if before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return None;
    }
    let start = bytes.iter().take_while(|byte| matches!(byte, b'b' | b'c')).count();
    if start > 1 || bytes.get(start) != Some(&b'r') {
        return None;
    }
    let hashes = bytes[start + 1..].iter().take_while(|byte| **byte == b'#').count();
    let open = start + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return None;
    }
    let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    Some(position(&bytes[open + 1..], &close).map_or(bytes.len(), |at| open + 1 + at + close.len()))
}

fn quoted(bytes: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// Length of a character literal, or of the quote alone if it begins a lifetime.
fn character(bytes: &[u8]) -> usize {
    let is_escape = bytes.get(1) == Some(&b'\\');
    let closes = bytes.iter().skip(2).take(4).position(|byte| *byte == b'\'').map(|at| at + 2);
    match closes {
        _ if is_escape => quoted(bytes, b'\''),
        // One character of up to four bytes between the quotes.
        Some(at) if std::str::from_utf8(&bytes[1..at]).is_ok_and(|text| text.chars().count() == 1) => at + 1,
        _ => 1,
    }
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).expect("reads a directory of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

mod own_tests {
    use super::*;

    fn of(path: &str, text: &str) -> Vec<String> {
        faults(Path::new(path), text)
    }

    #[test]
    fn imports_from_below_are_allowed() {
        for (path, text) in [
            ("hls/mod.rs", "use crate::media::{MediaRef, Timescale};\nuse super::limits::X;"),
            ("hls/reload.rs", "use super::window::Window; use crate::hls::event; use crate::limits;"),
            ("hls/window.rs", "mod tests { use super::super::event::Part; use super::*; }"),
            ("rtmp/chunk.rs", "use std::collections::HashMap; use std::time::Duration; use bytes::Bytes;"),
            ("shard/socket.rs", "use libc::recv; unsafe { libc::close(3) } use std::net::SocketAddr;"),
            ("main.rs", "use rapidrtmp::shard::run; use clap::Parser;"),
            ("lib.rs", "pub mod hls;"),
            (
                "hls/mod.rs",
                "//! like crate::rtmp\nlet a = \"crate::rtmp::b unsafe\"; /* crate::http */ let c = '\"';",
            ),
            ("hls/mod.rs", "let a = r#\"crate::rtmp \"unsafe\" \"#; fn f<'a>(a: &'a u8) -> &'a u8 {}"),
            ("hls/mod.rs", "let hls = 5; let origin = thing.origin; http.call(); enum E { rtmp }"),
            ("hls/mod.rs", "#[cfg(test)]\nmod tests { use proptest::prelude::*; use std::time::Instant; }"),
        ] {
            assert_eq!(of(path, text), Vec::<String>::new(), "{path}: {text}");
        }
    }

    #[test]
    fn every_spelling_of_a_forbidden_import_is_caught() {
        for (path, text, what) in [
            ("hls/mod.rs", "use crate::http;", "crate::http"),
            ("hls/mod.rs", "use crate::rtmp::session::Session;", "crate::rtmp::session::Session"),
            ("hls/mod.rs", "use super::rtmp::session;", "crate::rtmp::session"),
            ("hls/reload.rs", "use super::super::http::Response;", "crate::http::Response"),
            ("hls/reload.rs", "mod tests { fn f() { super::super::super::http::x() } }", "crate::http::x"),
            ("hls/mod.rs", "use crate::{media, flv::tag};", "crate::flv::tag"),
            ("hls/mod.rs", "use crate::{media::{a, b as c}, wire::x, http::{self, Request}};", "crate::http"),
            ("hls/mod.rs", "use {crate::http::Request, bytes::Bytes};", "crate::http::Request"),
            ("hls/mod.rs", "fn f() -> crate :: origin :: Stream {}", "crate::origin::Stream"),
            ("hls/mod.rs", "use\n    crate::\n    origin::Stream;", "crate::origin::Stream"),
            ("hls/mod.rs", "#[cfg(test)]\nmod tests { use crate::rtmp::Session; }", "crate::rtmp::Session"),
            ("limits.rs", "use crate::wire::Reader;", "crate::wire::Reader"),
            ("limits.rs", "use super::wire::Reader;", "crate::wire::Reader"),
            ("limits.rs", "use self::super::wire::Reader;", "crate::wire::Reader"),
            ("codec/avc.rs", "use crate::config::Config;", "crate::config::Config"),
            ("origin/mod.rs", "fn f() { crate::shard::spawn(); }", "crate::shard::spawn"),
        ] {
            let found = of(path, text);
            assert!(found.iter().any(|fault| fault.contains(what)), "{path}: {text}: {found:?}");
        }
    }

    #[test]
    fn the_outside_world_unsafe_and_foreign_crates_are_caught() {
        for (path, text, what) in [
            ("hls/mod.rs", "use std::net::TcpStream;", "std::net::TcpStream"),
            ("hls/mod.rs", "use std::time::{Duration, Instant};", "std::time::Instant"),
            ("hls/mod.rs", "let now = std::time::SystemTime::now();", "std::time::SystemTime"),
            ("rtmp/mod.rs", "use std::{fs, io};", "std::fs"),
            ("rtmp/mod.rs", "std::thread::spawn(|| {});", "std::thread::spawn"),
            ("http/mod.rs", "unsafe { x() }", "unsafe"),
            ("main.rs", "unsafe fn x() {}", "unsafe"),
            ("rtmp/mod.rs", "use libc::c_int;", "crate `libc`"),
            ("origin/mod.rs", "use glommio::LocalExecutor;", "crate `glommio`"),
            ("api/mod.rs", "use socket2::Socket;", "crate `socket2`"),
            ("rtmp/mod.rs", "use httparse;", "crate `httparse`"),
            ("news/mod.rs", "", "no row"),
        ] {
            let found = of(path, text);
            assert!(found.iter().any(|fault| fault.contains(what)), "{path}: {text}: {found:?}");
        }
    }
}
