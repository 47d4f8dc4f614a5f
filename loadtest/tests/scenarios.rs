//! The scenarios that are shipped: each is read, and explains its knobs.

use std::path::{Path, PathBuf};

use loadtest::scenario::Scenario;

fn shipped() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/loadtest");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder of scenarios")
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

#[test]
fn all_that_are_promised_are_shipped_and_can_be_run() {
    let mut names = Vec::new();
    for path in shipped() {
        let scenario = Scenario::read(&path).unwrap_or_else(|error| panic!("{error}"));
        assert!(scenario.server.is_some(), "{}: it brings its own server", scenario.title);
        assert!(scenario.phase.iter().any(|phase| phase.measured), "{}: nothing is measured", scenario.title);
        assert!(!scenario.expect.is_empty(), "{}: nothing is expected", scenario.title);
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert_eq!(stem, scenario.title);
        names.push(stem);
    }
    let promised =
        ["churn", "crowd", "encoder-drop", "event", "fanout-h2", "fanout-tls", "fanout", "many-streams"];
    assert_eq!(names, [&promised[..], &["publishers", "slow-readers", "smoke", "soak"]].concat());
}

/// What every key does is said where it is first used.
#[test]
fn each_says_what_it_is_for_and_how_it_is_run() {
    for path in shipped() {
        let text = std::fs::read_to_string(&path).unwrap();
        let intro = text.lines().take_while(|line| line.starts_with('#')).count();
        assert!(intro >= 3, "{}: begins with what it is for", path.display());
        let command =
            format!("loadtest -- run config/loadtest/{}", path.file_name().unwrap().to_string_lossy());
        assert!(text.contains(&command), "{}: has no {command}", path.display());
    }
}
