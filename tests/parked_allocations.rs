//! 200 viewers on one shard ask, park, and are answered, over real sockets: not one allocation is theirs.
//!
//! A counting allocator tells apart what is allocated while a connection's task is polled or a part is
//! landed, which must be nothing, from the rest of the shard's thread: its waits for the ring, which cost
//! a few allocations each whatever the number of viewers.
#![allow(clippy::print_stdout)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    future::poll_fn,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc,
    thread,
};

use rapidrtmp::shard::{Listener, Parked, Plan, Shard, Socket, Woken, bind, spawn_shards};

const VIEWERS_COUNT: usize = 200;
const PARTS_COUNT: u64 = 50;
/// Until lists, slab and wheel have their size.
const WARM_UP_PARTS_COUNT: u64 = 5;
const REQUEST: &[u8] = b"GET /part HTTP/1.1\r\n\r\n";
const REPLY: &[u8] = &[7; 1500];

struct Counting;

thread_local! {
    static IS_VIEWERS: Cell<bool> = const { Cell::new(false) };
    static VIEWERS: Cell<u64> = const { Cell::new(0) };
    static OTHERS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    let counter = if IS_VIEWERS.get() { &VIEWERS } else { &OTHERS };
    counter.set(counter.get() + 1);
}

// SAFETY: everything is passed on to the system's allocator as it came; the counters allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counts what is allocated in `work` as the viewers'.
fn as_viewers<R>(work: impl FnOnce() -> R) -> R {
    IS_VIEWERS.set(true);
    let result = work();
    IS_VIEWERS.set(false);
    result
}

async fn viewer(socket: Socket, parked: Parked, shard: Shard) {
    loop {
        socket.set_deadline(shard.monotonic_us() + 60_000_000);
        match socket.recv(<[u8]>::len).await {
            Ok(received) if received > 0 => assert_eq!(received, REQUEST.len()),
            _ => return,
        }
        if parked.park(parked.generation(), &socket).await != Woken::Landed {
            return;
        }
        if socket.send_all(&[&REPLY[..100], &REPLY[100..]]).await.is_err() {
            return;
        }
    }
}

/// Every viewer asks, and all of them are answered, once for each word of the server; then all hang up.
fn clients(address: SocketAddr, parts: mpsc::Receiver<()>) {
    let mut streams: Vec<_> = (0..VIEWERS_COUNT).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut reply = vec![0; REPLY.len()];
    while parts.recv().is_ok() {
        streams.iter_mut().for_each(|stream| stream.write_all(REQUEST).unwrap());
        for stream in &mut streams {
            stream.read_exact(&mut reply).unwrap();
            assert_eq!(reply, REPLY);
        }
    }
}

async fn serve(shard: Shard) {
    let mut listener = Listener::new(&shard, bind("127.0.0.1:0".parse().unwrap()).unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let (next_part, parts) = mpsc::channel();
    let clients = thread::spawn(move || clients(address, parts));
    let parked = Parked::new(&shard);
    for _ in 0..VIEWERS_COUNT {
        let (socket, _) = listener.accept().await.unwrap();
        let mut viewer = Box::pin(viewer(socket, parked.clone(), shard.clone()));
        shard.spawn("viewer", poll_fn(move |context| as_viewers(|| viewer.as_mut().poll(context))));
    }

    let (mut waits, mut others) = (0, 0);
    for part in 0..PARTS_COUNT {
        if part == WARM_UP_PARTS_COUNT {
            VIEWERS.set(0);
            (waits, others) = (waits_of(&shard), OTHERS.get());
        }
        next_part.send(()).unwrap();
        while parked.waiting_count() < VIEWERS_COUNT {
            assert_eq!(shard.stats().panics.get(), 0);
            shard.sleep_until(0).await;
        }
        as_viewers(|| parked.land());
    }
    let (waits, others) = (waits_of(&shard) - waits, OTHERS.get() - others);
    let woken = (PARTS_COUNT - WARM_UP_PARTS_COUNT) * VIEWERS_COUNT as u64;
    eprintln!("{woken} wake-ups: {} allocations; {waits} waits for the ring: {others}", VIEWERS.get());
    assert_eq!(VIEWERS.get(), 0, "allocations in the connections and the landing");
    // 8 is room for a wait's 4 and the sleeps of this function; typically 10 waits serve 200 wake-ups.
    assert!(others <= 8 * waits, "{others} allocations in {waits} waits");

    drop(next_part);
    // Only then: the last replies are still to be sent, by this thread.
    while shard.stats().tasks.get() > 0 {
        shard.ring_turn().await;
    }
    clients.join().unwrap();
    assert_eq!((shard.stats().panics.get(), parked.waiting_count()), (0, 0));
}

/// Waits for the ring so far, each of which may allocate: poll passes, turns, ticks.
fn waits_of(shard: &Shard) -> u64 {
    shard.poll_passes_count() + shard.stats().ring_turns.get() + shard.stats().ticks.get()
}

#[test]
fn a_parked_viewer_costs_no_allocation_to_wake_or_to_answer() {
    spawn_shards(&Plan { shards_count: 1, processors: Vec::new() }, serve).unwrap().join().unwrap();
}
