//! README's table of bounds names constants, settings and tests that are there.

use std::path::Path;

/// The cells of the table's rows, header and rule left out.
fn rows(readme: &str) -> Vec<[String; 3]> {
    let section = readme.split("\n### Bounds\n").nth(1).expect("the section is there");
    let section = section.split("\n## ").next().expect("it ends");
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
        <[&str; 3]>::try_from(cells).unwrap_or_else(|cells| panic!("{cells:?}")).map(str::to_owned)
    })
    .collect()
}

/// What stands between backquotes.
fn names(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// All Rust files below a folder, one after the other.
fn sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(path).expect("a source file"));
        }
    }
}

/// `section.key` stands in the settings that the server ships.
fn is_setting(name: &str) -> bool {
    let Some((section, key)) = name.split_once('.') else { return false };
    let settings = rapidrtmp::config::SERVER_TOML.split(&format!("\n[{section}]\n")).nth(1);
    let settings = settings.and_then(|rest| rest.split("\n[").next());
    settings.is_some_and(|settings| settings.contains(&format!("\n{key} = ")))
}

#[test]
fn every_bound_of_the_table_has_a_name_and_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).expect("README.md");
    let limits = std::fs::read_to_string(root.join("src/limits.rs")).expect("src/limits.rs");
    let mut code = String::new();
    sources(&root.join("src"), &mut code);
    sources(&root.join("tests"), &mut code);
    let rows = rows(&readme);
    assert!(rows.len() > 20, "{} rows", rows.len());
    for [what, bounds, tests] in &rows {
        let (bounds, tests) = (names(bounds), names(tests));
        assert!(!bounds.is_empty() && !tests.is_empty(), "{what}");
        for bound in bounds {
            let is_there = limits.contains(&format!("\npub const {bound}: ")) || is_setting(bound);
            assert!(is_there, "{what}: there is no {bound}");
        }
        for test in tests {
            let declared =
                code.split(&format!("fn {test}()")).next().filter(|before| before.len() < code.len());
            let is_test = declared.is_some_and(|before| before.trim_end().ends_with("#[test]"));
            assert!(is_test, "{what}: there is no test {test}");
        }
    }
}
