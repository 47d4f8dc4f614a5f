//! An epoll set for the bare server and the viewers, as thin as it gets.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    time::Duration,
};

const EVENTS_MAX: usize = 64;

/// An edge-triggered set; events carry the number that a descriptor was added with.
pub struct Epoll {
    descriptor: OwnedFd,
}

/// What happened to the descriptor with this number.
#[derive(Clone, Copy)]
pub struct Event {
    pub number: usize,
    pub is_hung_up: bool,
}

impl Epoll {
    pub fn new() -> Self {
        // SAFETY: no pointers are passed.
        let descriptor = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        assert!(descriptor >= 0, "{}", io::Error::last_os_error());
        // SAFETY: the call succeeded, so the descriptor is open and nobody else's.
        Self { descriptor: unsafe { OwnedFd::from_raw_fd(descriptor) } }
    }

    pub fn add(&self, descriptor: impl AsFd, number: usize) {
        let bits = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        let mut event = libc::epoll_event { events: bits as u32, u64: number as u64 };
        let (set, descriptor) = (self.descriptor.as_raw_fd(), descriptor.as_fd().as_raw_fd());
        // SAFETY: `event` outlives the call, both descriptors are open.
        let added = unsafe { libc::epoll_ctl(set, libc::EPOLL_CTL_ADD, descriptor, &mut event) };
        assert_eq!(added, 0, "{}", io::Error::last_os_error());
    }

    /// Waits for up to `timeout_ms` (-1: for ever) and hands over up to 64 events.
    pub fn wait(&self, timeout_ms: i32, mut handle: impl FnMut(Event)) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX];
        let set = self.descriptor.as_raw_fd();
        // SAFETY: the array holds EVENTS_MAX events and outlives the call.
        let found = unsafe { libc::epoll_wait(set, events.as_mut_ptr(), EVENTS_MAX as i32, timeout_ms) };
        for event in &events[..usize::try_from(found).unwrap_or(0)] {
            let is_hung_up = event.events & (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0;
            handle(Event { number: event.u64 as usize, is_hung_up });
        }
    }
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Pins this thread to one processor.
pub fn pin_to(processor: usize) {
    // SAFETY: a cpu_set_t is plain bits; CPU_SET writes one below CPU_SETSIZE.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(processor, &mut set);
        set
    };
    // SAFETY: the set outlives the call, which is told its size.
    let pinned = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) };
    assert_eq!(pinned, 0, "{}", io::Error::last_os_error());
}

/// Nanoseconds of processor time that a process has used.
pub fn cpu_ns_of(process_id: u32) -> u64 {
    let (mut clock, mut time) = (0, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: `clock` outlives the call.
    let found = unsafe { libc::clock_getcpuclockid(process_id as libc::pid_t, &mut clock) };
    // SAFETY: `time` outlives the call.
    let read = unsafe { libc::clock_gettime(clock, &mut time) };
    assert_eq!((found, read), (0, 0), "process {process_id} runs");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A descriptor that becomes readable every period, once it was read.
pub struct Ticker(File);

impl Ticker {
    pub fn new(period: Duration) -> Self {
        // SAFETY: no pointers are passed.
        let descriptor = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK) };
        assert!(descriptor >= 0, "{}", io::Error::last_os_error());
        let time = libc::timespec { tv_sec: 0, tv_nsec: period.as_nanos() as libc::c_long };
        let times = libc::itimerspec { it_interval: time, it_value: time };
        // SAFETY: `times` outlives the call, which does not want the old ones.
        let set = unsafe { libc::timerfd_settime(descriptor, 0, &times, std::ptr::null_mut()) };
        assert_eq!(set, 0, "{}", io::Error::last_os_error());
        // SAFETY: the descriptor is open and nobody else's.
        Self(unsafe { OwnedFd::from_raw_fd(descriptor) }.into())
    }

    /// Without this there is no further tick.
    pub fn read(&mut self) {
        self.0.read_exact(&mut [0; 8]).expect("it has ticked");
    }
}

impl AsFd for Ticker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
