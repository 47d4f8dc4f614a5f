//! From a scenario's groups to what publishers and viewers are given.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{RunError, Settings, shown};
use crate::address::{PublishAddress, Resource, Template, printable};
use crate::net::{Client, Connect, ConnectError, HttpVersion};
use crate::publish::PublishPlan;
use crate::scenario::{HTTPS_PLACEHOLDER, PublishGroup, Scenario, WatchGroup};
use crate::source::{Reel, Synthetic, SyntheticAudio, SyntheticVideo, clip};
use crate::watch::WatchPlan;

/// Channels of the built-in source's sound.
const CHANNELS: u8 = 2;

/// A publisher that is to be.
pub struct Publisher {
    /// What its group has in common.
    pub plan: Arc<PublishPlan>,
    /// Where to.
    pub address: PublishAddress,
    /// Its shift against the group's others, in microseconds.
    pub phase_us: u64,
}

/// Everyone who may take part.
pub struct Prepared {
    /// Publishers in order.
    pub publishers: Vec<Publisher>,
    /// What each group of viewers has in common.
    pub watch: Vec<Arc<WatchPlan>>,
    /// The group of each viewer and its number in it, in the order in which they come.
    pub viewers: Vec<(usize, u32)>,
}

/// Makes sources, addresses and connections of a scenario's groups.
///
/// # Errors
/// [`RunError`], for the first thing that cannot be had.
pub fn prepare(scenario: &Scenario, settings: &Settings) -> Result<Prepared, RunError> {
    let mut publishers = Vec::new();
    let mut reels = HashMap::new();
    for group in &scenario.publish {
        publishers.extend(publishers_of(group, settings, &mut reels)?);
    }
    let mut watch = Vec::new();
    for group in &scenario.watch {
        watch.push(Arc::new(watch_plan(group, settings)?));
    }
    Ok(Prepared { publishers, watch, viewers: viewers_in_turn(&scenario.watch) })
}

fn publishers_of(
    group: &PublishGroup,
    settings: &Settings,
    reels: &mut HashMap<String, Arc<Reel>>,
) -> Result<Vec<Publisher>, RunError> {
    let url = filled(&group.url, settings)?;
    let template = Template::new(&url, group.streams)?;
    // Several groups may send one clip.
    let key = format!("{:?}", (&group.clip, source_of(group)));
    let reel = match reels.get(&key) {
        Some(reel) => Arc::clone(reel),
        None => {
            let reel = Arc::new(reel_of(group)?);
            reels.insert(key, Arc::clone(&reel));
            reel
        }
    };
    let first = PublishAddress::parse(&template.at(0))?;
    let connect = if first.peer.tls { Connect::with_tls(&settings.trust, &[])? } else { Connect::plain() };
    let plan = Arc::new(PublishPlan {
        reel,
        connect,
        drop_every: Duration::from_secs_f64(group.drop_every_s.max(0.0)),
        away: Duration::from_secs_f64(group.away_s.max(0.0)),
    });
    let one = |number| {
        let address = PublishAddress::parse(&template.at(number))?;
        // Spread over a second: over the parts of all streams.
        let phase_us = u64::from(number) * 1_000_000 / u64::from(group.streams);
        Ok(Publisher { plan: Arc::clone(&plan), address, phase_us })
    };
    (0..group.streams).map(one).collect()
}

fn source_of(group: &PublishGroup) -> Synthetic {
    let frame_rate = (group.fps.numerator, group.fps.denominator);
    let a_second = group.fps.numerator.div_ceil(group.fps.denominator);
    let video = SyntheticVideo {
        width: group.width,
        height: group.height,
        frame_rate,
        bits_per_s: u64::from(group.video_kbit_s) * 1000,
        gop_frames: if group.gop_frames == 0 { a_second } else { group.gop_frames },
        b_frames: u32::from(group.b_frames),
    };
    let audio = SyntheticAudio {
        sample_rate: group.sample_rate,
        channels: CHANNELS,
        bits_per_s: u64::from(group.audio_kbit_s) * 1000,
    };
    Synthetic { video: group.video.then_some(video), audio: group.audio.then_some(audio) }
}

fn reel_of(group: &PublishGroup) -> Result<Reel, RunError> {
    match &group.clip {
        Some(path) => clip::open(path).map_err(|reason| RunError::Clip { path: shown(path), reason }),
        None => Ok(source_of(group).reel()?),
    }
}

fn watch_plan(group: &WatchGroup, settings: &Settings) -> Result<WatchPlan, RunError> {
    let template = Template::new(&filled(&group.url, settings)?, group.streams)?;
    let urls: Vec<String> = (0..group.streams).map(|number| template.at(number)).collect();
    for url in &urls {
        Resource::parse(url)?;
    }
    let line_bytes_s = (group.line_kbit_s > 0).then(|| u64::from(group.line_kbit_s) * 125);
    let mut connect = connect_for(&urls, group.http, settings)?;
    if line_bytes_s.is_some() {
        connect = connect.slow();
    }
    let client = Client { connect, version: group.http, gzip: group.gzip };
    Ok(WatchPlan {
        urls,
        client: Arc::new(client),
        modes: group.mode.clone(),
        verify_percent: group.verify_percent,
        line_bytes_s,
        stay: Duration::from_secs_f64(group.stay_s.max(0.0)),
        vanish_percent: group.vanish_percent,
        pause_every: Duration::from_secs_f64(group.pause_every_s.max(0.0)),
        pause: Duration::from_secs_f64(group.pause_s.max(0.0)),
    })
}

fn connect_for(urls: &[String], version: HttpVersion, settings: &Settings) -> Result<Connect, ConnectError> {
    if !urls.iter().any(|url| url.starts_with("https:")) {
        return Ok(Connect::plain());
    }
    let protocols: &[&str] = match version {
        HttpVersion::Http1 => &["http/1.1"],
        HttpVersion::Http2 => &["h2"],
    };
    Connect::with_tls(&settings.trust, protocols)
}

/// Which group comes when: in proportion at every moment of a ramp.
fn viewers_in_turn(groups: &[WatchGroup]) -> Vec<(usize, u32)> {
    let mut order: Vec<(f64, usize, u32)> = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        let place = |viewer: u32| (f64::from(viewer) + 0.5) / f64::from(group.viewers);
        order.extend((0..group.viewers).map(|viewer| (place(viewer), index, viewer)));
    }
    order.sort_by(|one, other| one.0.total_cmp(&other.0));
    order.into_iter().map(|(_, group, viewer)| (group, viewer)).collect()
}

/// An address with `{rtmp}`, `{http}` and `{https}` replaced.
fn filled(address: &str, settings: &Settings) -> Result<String, RunError> {
    let mut filled = address.to_owned();
    for (placeholder, value, flag) in [
        ("{rtmp}", &settings.rtmp, "rtmp"),
        ("{http}", &settings.http, "http"),
        (HTTPS_PLACEHOLDER, &settings.https, "https"),
    ] {
        if filled.contains(placeholder) {
            let missing = || RunError::Placeholder { address: printable(address), placeholder, flag };
            filled = filled.replace(placeholder, value.as_ref().ok_or_else(missing)?);
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_viewers_come_in_proportion() {
        let group = |viewers| WatchGroup { viewers, ..WatchGroup::default() };
        let order = viewers_in_turn(&[group(30), group(10)]);
        assert_eq!(order.len(), 40);
        for end in [8, 20, 36] {
            let of_second = order[..end].iter().filter(|(group, _)| *group == 1).count();
            assert!(of_second.abs_diff(end / 4) <= 1, "{of_second} of {end}");
        }
    }

    #[test]
    fn placeholders_need_a_value() {
        let settings = Settings { http: Some("h:1".to_owned()), ..Settings::default() };
        assert_eq!(filled("http://{http}/a{n}", &settings).unwrap(), "http://h:1/a{n}");
        let error = filled("rtmp://{rtmp}/a", &settings).unwrap_err().to_string();
        assert!(error.contains("--rtmp"), "{error}");
    }
}
