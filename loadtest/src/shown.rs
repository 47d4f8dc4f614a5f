//! The live line on standard error: rewritten in place on a terminal, plain lines elsewhere.

use std::io::{IsTerminal as _, stderr};

use loadtest::report::{Live, Second};
use loadtest::run::Progress;

/// Where the terminal does not say how wide it is.
const WIDTH_DEFAULT: usize = 80;

/// Shows a run while it goes on.
pub struct Terminal {
    live: Live,
    is_quiet: bool,
}

impl Terminal {
    /// `quiet` shows nothing.
    pub fn new(quiet: bool) -> Self {
        Self { live: Live::new(stderr().is_terminal()), is_quiet: quiet }
    }

    /// The run is over.
    pub fn end(&mut self) {
        if !self.is_quiet {
            // A report that nobody watches is no reason to stop measuring.
            let _ = self.live.end(&mut stderr());
        }
    }
}

impl Progress for Terminal {
    fn second(&mut self, second: &Second) {
        if !self.is_quiet {
            let _ = self.live.second(second, width(), &mut stderr());
        }
    }

    fn note(&mut self, note: &str) {
        if !self.is_quiet {
            let _ = self.live.note(note, &mut stderr());
        }
    }
}

fn width() -> usize {
    rustix::termios::tcgetwinsize(stderr())
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|width| *width > 0)
        .unwrap_or(WIDTH_DEFAULT)
}
