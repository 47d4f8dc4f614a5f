use super::*;

const SESSION: SessionId = SessionId { started_unix_ms: 0, target_duration_s: 2, part_target_ms: 334 };
const PART_US: u64 = 334_000;
/// Parts of two periods: whoever has been there for so long is counted exactly.
const SETTLED_PARTS: usize = 24;
/// Parts of the streams here begin anywhere.
const PART_BEFORE: u64 = 1_000;

/// Shards that see the same stream.
struct House {
    shards: Vec<Audience>,
    /// Parts that are listed.
    newest: u64,
    now_us: u64,
}

/// A connection to one of the shards.
struct Connection {
    shard: usize,
    counted: Counted,
}

impl House {
    fn new(shards_count: usize) -> Self {
        let shards = (0..shards_count).map(|_| Audience::default()).collect();
        Self { shards, newest: PART_BEFORE, now_us: 7_000_000 }
    }

    fn part(&mut self) {
        self.newest += 1;
        self.now_us += PART_US;
    }

    fn ask(&self, connection: &mut Connection, asked: Option<u64>) {
        let progress = Progress { newest: self.newest, asked };
        let audience = &self.shards[connection.shard];
        connection.counted = audience.note(connection.counted, progress, SESSION, self.now_us);
    }

    fn viewers(&self) -> u64 {
        let board = |audience: &Audience| {
            let board = SeenBoard::default();
            board.set(audience.seen(self.newest, self.now_us));
            board
        };
        viewers(&self.shards.iter().map(board).collect::<Vec<_>>())
    }
}

fn connections(count: usize, shards_count: usize) -> Vec<Connection> {
    (0..count).map(|index| Connection { shard: index % shards_count, counted: Counted::default() }).collect()
}

#[test]
fn a_browser_that_takes_turns_on_its_connections_is_one_viewer() {
    for shards_count in [1, 2, 4] {
        let mut house = House::new(shards_count);
        let mut four = connections(4, shards_count);
        house.ask(&mut four[0], None);
        for turn in 0..200 {
            // Not in order: which connection is free is the browser's business.
            house.ask(&mut four[turn * 7 % 11 % 4], Some(house.newest + 1));
            assert_eq!(house.viewers(), 1, "{shards_count} shards, turn {turn}");
            house.part();
        }
    }
}

#[test]
fn fifty_of_one_address_are_fifty_and_those_who_leave_are_none() {
    for shards_count in [1, 2] {
        let mut house = House::new(shards_count);
        let mut fifty = connections(50, shards_count);
        for part in 0..60 {
            for connection in &mut fifty {
                if part == 0 {
                    house.ask(connection, None);
                }
                house.ask(connection, Some(house.newest + 1));
            }
            let (viewers, least) = (house.viewers(), if part == 0 { 25 } else { 50 });
            assert!((least..=50).contains(&viewers), "{shards_count} shards, part {part}: {viewers}");
            house.part();
            if part > 0 {
                assert_eq!(house.viewers(), 50, "{shards_count} shards, before anybody came for part {part}");
            }
        }
        (0..13).for_each(|_| house.part());
        assert_eq!(house.viewers(), 0);
    }
}

/// A line so long that each reload comes a part late, or two.
#[test]
fn viewers_far_away_count_like_those_nearby() {
    let mut house = House::new(1);
    let mut ten = connections(10, 1);
    let mut held = [PART_BEFORE; 10];
    for part in 0..90 {
        for (index, connection) in ten.iter_mut().enumerate() {
            if (part + index) % (1 + index % 3) == 0 {
                house.ask(connection, Some(held[index] + 1));
                held[index] = house.newest.max(held[index] + 1);
            }
        }
        if part > SETTLED_PARTS {
            assert!((9..=11).contains(&house.viewers()), "part {part}: {}", house.viewers());
        }
        house.part();
    }
}

/// VLC, ffmpeg, and Apple's players without HTTP/2.
#[test]
fn players_that_poll_count_each_target_duration_and_never_for_more_than_their_connection() {
    let mut house = House::new(1);
    let (mut pollers, mut monitor) = (connections(20, 1), connections(1, 1));
    for part in 0..120_usize {
        for (index, connection) in pollers.iter_mut().enumerate() {
            if (part + index) % 6 == 0 {
                house.ask(connection, None);
            }
        }
        // Asks ten times a part.
        (0..10).for_each(|_| house.ask(&mut monitor[0], None));
        if part > SETTLED_PARTS {
            assert!((18..=25).contains(&house.viewers()), "part {part}: {}", house.viewers());
        }
        house.part();
    }
}

#[test]
fn a_crowd_that_comes_is_never_more_than_it_is() {
    let mut house = House::new(1);
    let mut crowd = connections(1_000, 1);
    for part in 0..60 {
        let here = (part * 50).min(1_000);
        for (index, connection) in crowd[..here].iter_mut().enumerate() {
            if index + 50 >= here && part <= 20 {
                house.ask(connection, None);
            }
            house.ask(connection, Some(house.newest + 1));
        }
        let (here, viewers) = (here as u64, house.viewers());
        assert!(viewers <= here + here / 10, "part {part}: {viewers} of {here}");
        house.part();
    }
    assert_eq!(house.viewers(), 1_000);
}

/// Blocking reloads end with 503 then, and are made again.
#[test]
fn those_who_wait_for_an_encoder_that_pauses_stay_counted() {
    let mut house = House::new(1);
    let mut five = connections(5, 1);
    for step in 0..120 {
        let is_pause = (40..80).contains(&step);
        if !is_pause || step % 8 == 0 {
            five.iter_mut().for_each(|connection| house.ask(connection, Some(house.newest + 1)));
        }
        if step > SETTLED_PARTS {
            assert_eq!(house.viewers(), 5, "step {step}");
        }
        if is_pause {
            house.now_us += PART_US;
        } else {
            house.part();
        }
    }
}

#[test]
fn a_reload_that_asks_for_the_distant_past_or_again_and_again_counts_once() {
    let mut house = House::new(1);
    let mut one = connections(1, 1);
    for _ in 0..60 {
        for asked in [0, house.newest, house.newest + 1] {
            house.ask(&mut one[0], Some(asked));
        }
        assert_eq!(house.viewers(), 1);
        house.part();
    }
}
