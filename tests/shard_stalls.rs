//! Two shards under cross-shard traffic: no message is lost, and no shard stalls more than a plain thread does.
//!
//! The executor can park with runnable tasks when a late message completes on its ring at the wrong
//! moment; the tick bounds that. A shard whose tick is late by more than 8 ms counts it, and so does a
//! plain thread beside it, which tells what the host's own scheduler does to everybody.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rapidrtmp::{
    limits::{STALL_US, TICK_US},
    shard::{Plan, mesh, spawn_shards},
};

const TRAFFIC_US: u64 = 3_000_000;

#[test]
fn shards_under_cross_shard_traffic_stall_no_more_than_a_plain_thread() {
    let mesh = mesh::<u64>(2, 256).unwrap();
    let totals = Arc::new([const { AtomicU64::new(0) }; 4]);
    let is_over = Arc::new(AtomicBool::new(false));
    let witness = thread::spawn({
        let is_over = Arc::clone(&is_over);
        move || stalls_of_a_plain_thread(&is_over)
    });

    let told = Arc::clone(&totals);
    let plan = Plan { shards_count: 2, processors: Vec::new() };
    let shards = spawn_shards(&plan, move |shard| {
        let (mesh, totals) = (mesh.clone(), Arc::clone(&told));
        async move {
            let [sent, received, stalls, ticks] = &*totals;
            let (sender, mut inbox) = mesh.join(&shard).unwrap();
            let (other, start_us) = (1 - shard.index(), shard.monotonic_us());
            let receiver = Arc::clone(&totals);
            shard.spawn("receiver", async move {
                loop {
                    inbox.recv().await;
                    receiver[1].fetch_add(1, Ordering::SeqCst);
                }
            });
            // Bursts that fill the queue, then singles with the receiver long parked: both kinds of wake-up.
            let mut round = 0;
            while shard.monotonic_us() < start_us + TRAFFIC_US {
                round += 1;
                let burst = if round % 8 == 0 { 300 } else { 1 };
                for _ in 0..burst {
                    if sender.try_send(other, round).is_ok() {
                        sent.fetch_add(1, Ordering::SeqCst);
                    }
                }
                if round % 5 == 0 {
                    shard.sleep_until(0).await;
                }
                shard.ring_turn().await;
            }
            // Both must still be there for what is under way.
            for _ in 0..20 {
                shard.sleep_until(0).await;
            }
            assert_eq!(shard.stats().panics.get(), 0);
            stalls.fetch_add(shard.stats().stalls.get(), Ordering::SeqCst);
            ticks.fetch_add(shard.stats().ticks.get(), Ordering::SeqCst);
            while received.load(Ordering::SeqCst) < sent.load(Ordering::SeqCst) {
                shard.sleep_until(0).await;
            }
        }
    });
    shards.unwrap().join().unwrap();
    is_over.store(true, Ordering::SeqCst);
    let witness_stalls = witness.join().unwrap();

    let [sent, received, stalls, ticks] =
        [0, 1, 2, 3].map(|index: usize| totals[index].load(Ordering::SeqCst));
    eprintln!("{sent} sent, {ticks} ticks, {stalls} stalls on two shards, {witness_stalls} on the thread");
    assert_eq!(received, sent);
    assert!(ticks >= TRAFFIC_US / TICK_US / 4, "{ticks} ticks");
    // Two shards against one thread, and room for the luck of the scheduler.
    assert!(stalls <= 4 * witness_stalls + 8, "{stalls} stalls against {witness_stalls}");
}

/// How many of its 5 ms sleeps a plain thread finds late by more than a stall.
fn stalls_of_a_plain_thread(is_over: &AtomicBool) -> u64 {
    let mut stalls = 0;
    while !is_over.load(Ordering::SeqCst) {
        let start = Instant::now();
        thread::sleep(Duration::from_micros(TICK_US));
        stalls += u64::from(start.elapsed() > Duration::from_micros(TICK_US + STALL_US));
    }
    stalls
}
