//! One part to 1,000 parked viewers on one shard: from the landing to the last byte handed to the sockets.
//!
//! The list, the landing pass, the tasks and the sockets are the server's; the request before and the head of the
//! response are not in it, and the sockets are local ones, whose sends cost less than TCP's. What a viewer costs
//! in all is the floor bench's first row.
//!
//! `cargo bench --bench fanout`

use std::{
    cell::Cell,
    io::Read,
    os::unix::net::UnixStream,
    rc::Rc,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput};
use rapidrtmp::shard::{Parked, Plan, Shard, Socket, Woken, spawn_shards};

const VIEWERS_COUNT: usize = 1_000;
/// A video part of 2 Mbit/s and 0.2 s.
const PART_BYTES: usize = 53_000;

fn main() {
    let (ask, asked) = mpsc::channel::<u64>();
    let (answer, answers) = mpsc::channel::<Duration>();
    let asked = Arc::new(Mutex::new(asked));
    let shards = spawn_shards(&Plan { shards_count: 1, processors: Vec::new() }, move |shard| {
        serve(shard, Arc::clone(&asked), answer.clone())
    })
    .expect("a shard");

    let mut criterion = Criterion::default().configure_from_args().sample_size(20);
    let mut group = criterion.benchmark_group("fanout");
    group.throughput(Throughput::Elements(VIEWERS_COUNT as u64));
    group.bench_function("one part to 1000 parked viewers", |bencher| {
        bencher.iter_custom(|parts_count| {
            ask.send(parts_count).expect("the shard lives");
            answers.recv().expect("the shard lives")
        });
    });
    group.finish();
    criterion.final_summary();
    drop(ask);
    shards.join().expect("the shard ends by itself");
}

/// Lands as many parts as it is asked to, and answers how long that took.
async fn serve(shard: Shard, asked: Arc<Mutex<mpsc::Receiver<u64>>>, answer: mpsc::Sender<Duration>) {
    let parked = Parked::new(&shard);
    let sent_count = Rc::new(Cell::new(0));
    let mut peers = Vec::new();
    for _ in 0..VIEWERS_COUNT {
        let (ours, peer) = UnixStream::pair().expect("descriptors");
        peers.push(peer);
        let socket = Socket::from_fd(&shard, ours.into()).expect("a place in the set");
        shard.spawn("viewer", viewer(socket, parked.clone(), Rc::clone(&sent_count)));
    }
    thread::spawn(move || drain(peers));
    let wait_for = async |parked_count: usize| {
        while parked.waiting_count() < parked_count {
            shard.ring_turn().await;
        }
    };
    wait_for(VIEWERS_COUNT).await;
    loop {
        // Blocks the shard, which carries nothing while nobody asks.
        let Ok(parts_count) = asked.lock().expect("one shard").recv() else { return };
        let mut spent = Duration::ZERO;
        for _ in 0..parts_count {
            sent_count.set(0);
            let start = Instant::now();
            parked.land();
            while sent_count.get() < VIEWERS_COUNT {
                shard.ring_turn().await;
            }
            spent += start.elapsed();
            wait_for(VIEWERS_COUNT).await;
        }
        answer.send(spent).expect("the bench waits");
    }
}

async fn viewer(socket: Socket, parked: Parked, sent_count: Rc<Cell<usize>>) {
    let part = vec![7; PART_BYTES];
    socket.try_recv(|_| ()).expect("a new pair");
    while parked.park(parked.generation(), &socket).await == Woken::Landed {
        if socket.send_all(&[&part]).await.is_err() {
            return;
        }
        sent_count.set(sent_count.get() + 1);
    }
}

/// Reads what the viewers were sent, on a thread of its own.
fn drain(peers: Vec<UnixStream>) {
    let mut buffer = vec![0; PART_BYTES];
    for mut peer in peers.iter().cycle() {
        if peer.read_exact(&mut buffer).is_err() {
            return;
        }
    }
}
