//! Runs the fuzz bodies of queries and paths over mutations of well-formed ones, seeded.

#[path = "fuzz_bodies/hls.rs"]
mod bodies;

const QUERIES: [&str; 6] = [
    "",
    "_HLS_msn=101&_HLS_part=1",
    "_HLS_msn=102&_HLS_part=6&_HLS_skip=YES",
    "token=abc&_HLS_skip=v2&_HLS_part=0&_HLS_msn=100",
    "_HLS_msn=18446744073709551615",
    "%5FHLS_msn=%31%30%31&_HLS_part=7",
];

const PATHS: [&str; 6] = [
    "/live/demo/index.m3u8",
    "/live/sub/demo/index.m3u8",
    "/live/demo/01m7q5cqg0-2-334/v.m3u8",
    "/live/demo/01m7q5cqg01fqf/v-17.m4s",
    "/live/demo/01m7q5cqg01fqf/a-s1001.m4s",
    "/live/demo/01m7q5cqg01fqf/av-i0.mp4",
];

/// Calls `body` with each seed text, each of its prefixes, and `count` random mutations.
fn run(seeds: &[&str], count: u32, body: impl Fn(&[u8])) {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut below = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    for seed in seeds {
        (0..=seed.len()).for_each(|cut| body(&seed.as_bytes()[..cut]));
    }
    let letters = b"0123456789_HLSmsnpartki%&=/.-\0\xc3\xa9";
    for _ in 0..count {
        let mut input = seeds[below(seeds.len())].as_bytes().to_vec();
        for _ in 0..=below(4) {
            let at = below(input.len() + 1);
            let letter = letters[below(letters.len())];
            match below(4) {
                0 => input.insert(at, letter),
                1 if at < input.len() => drop(input.remove(at)),
                2 if at < input.len() => input[at] = letter,
                _ => {
                    let other = seeds[below(seeds.len())].as_bytes();
                    input.truncate(at);
                    input.extend(&other[below(other.len() + 1)..]);
                }
            }
        }
        body(&input);
    }
}

#[test]
fn queries_of_any_shape_get_a_decision() {
    run(&QUERIES, 20_000, bodies::playlist_query);
}

#[test]
fn paths_of_any_shape_have_one_spelling() {
    run(&PATHS, 50_000, bodies::media_path);
}
