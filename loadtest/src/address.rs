//! Where a stream is: an address with `{n}` in it, and what a connection needs of one.

use std::fmt;
use std::rc::Rc;

use url::Url;

/// What stands for a stream's number in an address.
const NUMBER: &str = "{n}";

/// Why an address is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is no URL.
    #[error("{text:?} is no address: {reason}")]
    Syntax {
        /// As it was given.
        text: String,
        /// In the words of the URL parser.
        reason: String,
    },
    /// A scheme that this tool does not speak here.
    #[error("{text:?} begins with {found}://, {allowed} is allowed")]
    Scheme {
        /// As it was given.
        text: String,
        /// Its scheme.
        found: String,
        /// What may stand there.
        allowed: &'static str,
    },
    /// It names no host.
    #[error("{text:?} names no host")]
    Host {
        /// As it was given.
        text: String,
    },
    /// Several streams with one name.
    #[error("{text:?} is one address for {streams} streams: write {{n}} where their number goes")]
    NoNumber {
        /// As it was given.
        text: String,
        /// How many were asked for.
        streams: u32,
    },
    /// RTMP without an application or a key.
    #[error("{text:?} has no APP/KEY: rtmp://HOST/APP/KEY is wanted")]
    NoKey {
        /// As it was given.
        text: String,
    },
}

/// An address for a number of streams, `{n}` counting from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
}

impl Template {
    /// A template for this many streams.
    ///
    /// # Errors
    /// [`AddressError::NoNumber`] when several streams would have one address.
    pub fn new(text: &str, streams: u32) -> Result<Self, AddressError> {
        if streams > 1 && !text.contains(NUMBER) {
            return Err(AddressError::NoNumber { text: text.to_owned(), streams });
        }
        Ok(Self { text: text.to_owned() })
    }

    /// The address of one stream.
    pub fn at(&self, number: u32) -> String {
        self.text.replace(NUMBER, &number.to_string())
    }
}

/// Whom to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// TLS from the first byte.
    pub tls: bool,
}

impl Peer {
    fn of(text: &str, url: &Url, default_port: u16, tls: bool) -> Result<Self, AddressError> {
        let host = url.host_str().ok_or_else(|| AddressError::Host { text: printable(text) })?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port: url.port().unwrap_or(default_port), tls })
    }

    /// `HOST:PORT` as it stands in a URL or a Host field; a port that goes without saying is left out.
    pub fn authority(&self, default_port: u16) -> String {
        let bracketed = self.host.contains(':');
        let host = if bracketed { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == default_port { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.authority(0))
    }
}

/// One thing to be had over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// The whole address.
    pub url: Url,
    /// Whom to ask.
    pub peer: Rc<Peer>,
}

impl Resource {
    /// From a whole address.
    ///
    /// # Errors
    /// [`AddressError`], when it is not of `http` or `https`.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let url = parse(text)?;
        let peer = http_peer(text, &url)?;
        Ok(Self { url, peer: Rc::new(peer) })
    }

    /// From a reference that stands in this one (RFC 3986, 5). Its peer is shared where it is the same.
    ///
    /// # Errors
    /// As [`Resource::parse`].
    pub fn join(&self, reference: &str) -> Result<Self, AddressError> {
        let url = self.url.join(reference).map_err(|error| AddressError::Syntax {
            text: printable(reference),
            reason: error.to_string(),
        })?;
        let same = url.scheme() == self.url.scheme()
            && url.host_str() == self.url.host_str()
            && url.port() == self.url.port();
        let peer = if same { Rc::clone(&self.peer) } else { Rc::new(http_peer(reference, &url)?) };
        Ok(Self { url, peer })
    }

    /// Path and query, as a request's first line has them.
    pub fn target(&self) -> &str {
        &self.url[url::Position::BeforePath..url::Position::AfterQuery]
    }

    /// The path alone: what may be written into a report.
    pub fn path(&self) -> &str {
        self.url.path()
    }
}

/// Where to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishAddress {
    /// Whom to connect to.
    pub peer: Peer,
    /// The application.
    pub app: String,
    /// The key and its query: holds the secret, so it is written nowhere.
    pub stream_name: String,
    /// `app/key`: what may be written.
    pub name: String,
}

impl PublishAddress {
    /// From `rtmp://HOST[:PORT]/APP/KEY[?token=TOKEN]` or the same with `rtmps`.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let url = parse(text)?;
        let (default_port, tls) = match url.scheme() {
            "rtmp" => (1935, false),
            "rtmps" => (443, true),
            found => {
                let (text, found) = (printable(text), found.to_owned());
                return Err(AddressError::Scheme { text, found, allowed: "rtmp or rtmps" });
            }
        };
        let peer = Peer::of(text, &url, default_port, tls)?;
        let named = url.path().trim_start_matches('/').rsplit_once('/');
        let Some((app, key)) = named.filter(|(app, key)| !app.is_empty() && !key.is_empty()) else {
            return Err(AddressError::NoKey { text: printable(text) });
        };
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let (stream_name, name) = (format!("{key}{query}"), format!("{app}/{key}"));
        Ok(Self { peer, app: app.to_owned(), stream_name, name })
    }

    /// The URL of the application, as `connect` names it.
    pub fn tc_url(&self) -> String {
        let (scheme, default_port) = if self.peer.tls { ("rtmps", 443) } else { ("rtmp", 1935) };
        format!("{scheme}://{}/{}", self.peer.authority(default_port), self.app)
    }
}

fn parse(text: &str) -> Result<Url, AddressError> {
    Url::parse(text)
        .map_err(|error| AddressError::Syntax { text: printable(text), reason: error.to_string() })
}

fn http_peer(text: &str, url: &Url) -> Result<Peer, AddressError> {
    match url.scheme() {
        "http" => Peer::of(text, url, 80, false),
        "https" => Peer::of(text, url, 443, true),
        found => {
            let (text, found) = (printable(text), found.to_owned());
            Err(AddressError::Scheme { text, found, allowed: "http or https" })
        }
    }
}

/// An address as it may be printed: tokens stand in queries, passwords before an `@`.
pub fn printable(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (authority, path) =
        rest.split_once('/').map_or((rest, None), |(authority, path)| (authority, Some(path)));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    path.map_or_else(|| format!("{scheme}://{host}"), |path| format!("{scheme}://{host}/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_wanted_for_several_streams_only() {
        assert_eq!(Template::new("rtmp://h/live/a", 1).unwrap().at(0), "rtmp://h/live/a");
        assert_eq!(Template::new("rtmp://h/live/a{n}", 20).unwrap().at(19), "rtmp://h/live/a19");
        assert!(matches!(
            Template::new("rtmp://h/live/a", 2),
            Err(AddressError::NoNumber { streams: 2, .. })
        ));
    }

    #[test]
    fn publish_addresses_keep_the_token_apart_from_the_name() {
        let address = PublishAddress::parse("rtmp://host/live/a?token=secret").unwrap();
        assert_eq!((address.peer.port, address.peer.tls), (1935, false));
        assert_eq!((address.app.as_str(), address.stream_name.as_str()), ("live", "a?token=secret"));
        assert_eq!((address.name.as_str(), address.tc_url().as_str()), ("live/a", "rtmp://host/live"));
        let address = PublishAddress::parse("rtmps://[::1]:1936/app/instance/a").unwrap();
        assert_eq!((address.peer.host.as_str(), address.peer.port, address.peer.tls), ("::1", 1936, true));
        assert_eq!(address.tc_url(), "rtmps://[::1]:1936/app/instance");
    }

    #[test]
    fn addresses_of_no_use_say_why_and_never_a_secret() {
        assert_eq!(printable("https://me:secret@h:1/a/b?token=secret#x"), "https://h:1/a/b");
        assert_eq!(printable("h/a?b"), "h/a");
        for text in [
            "rtmp://me:secret@host/a?token=secret",
            "http://host/live/a?token=secret",
            "no address?token=secret",
        ] {
            let error = PublishAddress::parse(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(matches!(Resource::parse("rtmp://h/a"), Err(AddressError::Scheme { .. })));
        assert!(matches!(Resource::parse("h/a"), Err(AddressError::Syntax { .. })));
    }

    #[test]
    fn references_are_resolved_and_share_their_peer() {
        let index = Resource::parse("https://h/live/a/index.m3u8?x=1").unwrap();
        let media = index.join("s-2-334/v.m3u8").unwrap();
        assert_eq!((media.target(), media.peer.port), ("/live/a/s-2-334/v.m3u8", 443));
        assert!(Rc::ptr_eq(&media.peer, &index.peer));
        assert_eq!(media.join("../e/v-1.m4s?y=2").unwrap().target(), "/live/a/e/v-1.m4s?y=2");
        assert_eq!(media.join("http://other:81/v").unwrap().peer.to_string(), "other:81");
    }
}
