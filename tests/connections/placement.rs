//! Shards run on the CPUs that the settings name, in their order, and nowhere else.

use crate::support::server::{Options, Server};
use rapidrtmp::shard::placement::allowed_processors;
use std::fs;

/// Number and `Cpus_allowed_list` of each shard; the runtime's own threads of a shard have its name, too, which is
/// `shard-NUMBER-` and the runtime's number.
fn shards_of(server: &Server) -> Vec<(usize, String)> {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.process_id())).expect("its threads");
    let mut found: Vec<_> = tasks
        .filter_map(|task| {
            let path = task.expect("a thread").path();
            let name = fs::read_to_string(path.join("comm")).ok()?;
            let shard = name.strip_prefix("shard-")?.split('-').next()?.trim().parse().ok()?;
            let status = fs::read_to_string(path.join("status")).ok()?;
            let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
            Some((shard, list.trim().to_owned()))
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

#[test]
fn each_shard_is_pinned_to_its_own_cpu_of_the_list() {
    let mut cpus = allowed_processors();
    // Not in the order that they have without a list.
    cpus.reverse();
    cpus.truncate(2);
    let list = cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let expected: Vec<_> = cpus.iter().map(usize::to_string).enumerate().collect();
    // By flag, and by the environment with a shard for each CPU.
    let arguments = vec!["--cpus".to_owned(), list.clone()];
    let by_flag = Options { shards: cpus.len(), arguments, ..Options::default() };
    let environment = vec![("RAPIDRTMP_SERVER_CPUS".to_owned(), format!("[{list}]"))];
    let by_environment = Options { shards: 0, environment, ..Options::default() };
    for options in [by_flag, by_environment] {
        assert_eq!(shards_of(&Server::start(&options)), expected, "{options:?}");
    }
}

#[test]
fn fewer_shards_than_cpus_take_the_first_ones() {
    let cpus = allowed_processors();
    let text = format!("[server]\ncpus = {cpus:?}\n");
    let server = Server::start(&Options { shards: 1, config: Some(text), ..Options::default() });
    assert_eq!(shards_of(&server), [(0, cpus[0].to_string())]);
}
