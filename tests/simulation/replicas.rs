//! Windows that are fed the same events render the same bytes, also one that joined by a snapshot.

use super::harness::{NAME, Simulation, get, settings};
use super::support::encoder::{Encoder, Random};
use rapidrtmp::hls::StreamEvent;
use rapidrtmp::origin::home::Departure;
use rapidrtmp::origin::view::View;

/// Everything that can happen to a stream: a change of parameters, a return, a new session, retirement.
fn eventful() -> Simulation {
    let mut simulation = Simulation::new(settings());
    simulation.viewer.skip = 4;
    let id = simulation.publish(&Encoder::default(), 12);
    simulation.play(id, &Encoder { width_mbs: 40, first_ms: 12_000, ..Encoder::default() }.messages(8));
    simulation.detach(id, Departure::Lost);
    simulation.advance_ms(5_000);
    let id = simulation.publish(&Encoder::default(), 8);
    simulation.detach(id, Departure::Unpublished);
    simulation.advance_ms(12_000);
    simulation.publish(&Encoder { audio_hz: None, ..Encoder::default() }, 40);
    simulation.viewer.assert_faultless("eventful");
    assert_eq!(simulation.viewer.sessions().len(), 2);
    simulation
}

/// All playlists of the stream, in all forms.
fn renders(view: &mut View, sessions: &[String]) -> Vec<Option<Vec<u8>>> {
    let mut bodies = vec![get(view, &format!("/{NAME}/index.m3u8"))];
    for session in sessions {
        for query in ["v.m3u8", "a.m3u8", "v.m3u8?_HLS_skip=YES"] {
            bodies.push(get(view, &format!("/{NAME}/{session}/{query}")));
        }
    }
    bodies
}

#[test]
fn replicas_render_the_same_bytes_after_every_event_whenever_they_joined() {
    let simulation = eventful();
    let (events, sessions) = (&simulation.events, simulation.viewer.sessions());
    for seed in 1..=3 {
        let mut random = Random::new(seed);
        let mut home = View::new();
        let mut replicas: Vec<View> = (0..seed).map(|_| View::new()).collect();
        let mut joins: Vec<usize> = (0..3).map(|_| random.below(events.len() as u64) as usize).collect();
        joins.sort_unstable();
        for (index, event) in events.iter().enumerate() {
            apply(&mut home, event);
            replicas.iter_mut().for_each(|replica| apply(replica, event));
            for _ in joins.iter().filter(|&&join| join == index) {
                replicas.push(View::from_snapshot(home.snapshot()));
            }
            let expected = renders(&mut home, &sessions);
            for (number, replica) in replicas.iter_mut().enumerate() {
                assert_eq!(
                    renders(replica, &sessions),
                    expected,
                    "seed {seed}, event {index}, replica {number}"
                );
            }
        }
        assert!(home.window().retained_bytes() > 0);
        assert!(
            replicas
                .iter()
                .all(|replica| replica.window().retained_bytes() == home.window().retained_bytes())
        );
    }
}

fn apply(view: &mut View, event: &StreamEvent) {
    view.apply(event).expect("what the home applied");
}
