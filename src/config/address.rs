//! Addresses to listen on, in the forms people write them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An address to listen on. Written `:8080` or `8080` (every interface), `127.0.0.1:8080`, `[::1]:8080`,
/// `localhost:8080`, or empty: off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum ListenAddress {
    /// Not listened on.
    #[default]
    Off,
    /// Every interface, IPv6 and IPv4.
    EveryInterface {
        /// TCP port; 0 lets the kernel choose.
        port: u16,
    },
    /// This one.
    One(SocketAddr),
}

/// A text that is no address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no address; allowed are \":PORT\", \"IPV4:PORT\", \"[IPV6]:PORT\" and \"\" (off)")]
pub struct ListenAddressError {
    found: String,
}

impl ListenAddress {
    /// True when it is not listened on.
    pub fn is_off(self) -> bool {
        self == Self::Off
    }

    /// The port; `None` when it is off.
    pub fn port(self) -> Option<u16> {
        match self {
            Self::Off => None,
            Self::EveryInterface { port } => Some(port),
            Self::One(address) => Some(address.port()),
        }
    }

    /// True when only one of the two can be listened on: the same port of the same interface. Port 0 is
    /// another one each time.
    pub fn clashes_with(self, other: Self) -> bool {
        let takes_in = |all: SocketAddr, one: SocketAddr| {
            // `[::]` takes IPv4 in, too.
            all.ip().is_unspecified() && (all.is_ipv6() || one.is_ipv4())
        };
        self.port() == other.port()
            && self.port() != Some(0)
            && self.candidates().zip(other.candidates()).any(|(ours, theirs)| {
                ours.ip() == theirs.ip() || takes_in(ours, theirs) || takes_in(theirs, ours)
            })
    }

    /// What to bind, the first that works: for every interface `[::]`, which takes IPv4 in too, and
    /// `0.0.0.0` for hosts without IPv6.
    pub fn candidates(self) -> impl Iterator<Item = SocketAddr> {
        let (first, second) = match self {
            Self::Off => (None, None),
            Self::EveryInterface { port } => {
                let every = |address: IpAddr| Some(SocketAddr::new(address, port));
                (every(Ipv6Addr::UNSPECIFIED.into()), every(Ipv4Addr::UNSPECIFIED.into()))
            }
            Self::One(address) => (Some(address), None),
        };
        first.into_iter().chain(second)
    }
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, ListenAddressError> {
        let error = || ListenAddressError { found: text.to_owned() };
        if text.is_empty() {
            return Ok(Self::Off);
        }
        let port = |digits: &str| {
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse::<u16>().ok().filter(|_| plain).ok_or_else(error)
        };
        if let Some(digits) = text.strip_prefix(':') {
            return Ok(Self::EveryInterface { port: port(digits)? });
        }
        if let Some(digits) = text.strip_prefix("localhost:") {
            return Ok(Self::One(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port(digits)?)));
        }
        if !text.contains(':') {
            return Ok(Self::EveryInterface { port: port(text)? });
        }
        text.parse().map(Self::One).map_err(|_| error())
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => Ok(()),
            Self::EveryInterface { port } => write!(f, ":{port}"),
            Self::One(address) => write!(f, "{address}"),
        }
    }
}

impl From<ListenAddress> for String {
    fn from(address: ListenAddress) -> Self {
        address.to_string()
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = ListenAddressError;

    fn try_from(text: String) -> Result<Self, ListenAddressError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_forms_that_people_write() {
        for (text, candidates, printed) in [
            (":8080", &["[::]:8080", "0.0.0.0:8080"][..], ":8080"),
            ("8080", &["[::]:8080", "0.0.0.0:8080"], ":8080"),
            ("0.0.0.0:80", &["0.0.0.0:80"], "0.0.0.0:80"),
            ("localhost:80", &["127.0.0.1:80"], "127.0.0.1:80"),
            ("[::1]:0", &["[::1]:0"], "[::1]:0"),
            ("", &[], ""),
        ] {
            let address: ListenAddress = text.parse().unwrap();
            let found: Vec<String> = address.candidates().map(|address| address.to_string()).collect();
            assert_eq!(found, candidates, "{text}");
            assert_eq!(address.to_string(), printed);
            assert_eq!(printed.parse(), Ok(address));
        }
        for text in [":", ":99999", ":+80", "80a", "host:80", "::1:80", "1.2.3.4", "1.2.3.4:", " :80"] {
            assert!(text.parse::<ListenAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_clashes_with_what_takes_it_in() {
        for (one, other, expected) in [
            (":80", ":80", true),
            (":80", ":81", false),
            (":80", "127.0.0.1:80", true),
            (":80", "[::1]:80", true),
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("[::]:80", "127.0.0.1:80", true),
            (":0", ":0", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("", "", false),
            ("", ":80", false),
        ] {
            let parsed = |text: &str| text.parse::<ListenAddress>().unwrap();
            assert_eq!(parsed(one).clashes_with(parsed(other)), expected, "{one} {other}");
            assert_eq!(parsed(other).clashes_with(parsed(one)), expected, "{other} {one}");
        }
    }
}
