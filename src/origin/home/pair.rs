//! Two publishers of one stream: one on air, the other held ready, learnt but without a frame kept. It takes over
//! with its next key frame when the one on air leaves or falls behind, and the primary comes back by rule.

use super::{Departure, Home, HomeError, HomeSettings, Publisher, PublisherId};
use crate::auth::TokenDigest;
use crate::fmp4::BufferPool;
use crate::hls::EventBody;
use crate::limits::{BEHIND_PARTS_MAX, BEHIND_US_MAX, NOT_LIVE_US_MAX, TAKE_OVER_US_MAX};
use crate::media::Now;
use crate::origin::ingest::{Ingest, Step};
use crate::origin::learning::LearningSettings;
use crate::origin::live::Fit;
use crate::rtmp::{MediaFragment, Role};

/// Why one publisher took over from the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// The other one left.
    Left,
    /// The other one's media fell behind.
    Behind,
    /// It is the primary, and its media has been steady for long enough.
    Returned,
}

/// What happened between the two publishers, for the log and the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// This one is held ready, and could go on so.
    Standby(Role, Fit),
    /// This one took over.
    TookOver {
        /// Who.
        role: Role,
        /// Why.
        because: Because,
        /// Without a discontinuity, or a new session.
        is_hitless: bool,
    },
}

/// A publisher, as the API shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present {
    /// Its name.
    pub id: PublisherId,
    /// Its role.
    pub role: Role,
    /// Its frames go to the session, or will with the next key frame.
    pub is_on_air: bool,
}

impl Publisher {
    pub(super) fn new(
        id: PublisherId,
        role: Role,
        token: Option<TokenDigest>,
        settings: &HomeSettings,
        for_session: bool,
        now: Now,
    ) -> Self {
        let settings =
            LearningSettings { gop_ms: settings.gop_ms, segment_target_ms: settings.wishes.segment_ms };
        Self {
            id,
            role,
            token,
            ingest: Ingest::new(settings, for_session),
            last_media_us: now.monotonic_us,
            live_us: now.monotonic_us,
            metadata: None,
            turns: super::Turns::default(),
            fit: None,
        }
    }
}

impl Home {
    /// Who publishes, the one on air first.
    pub fn present(&self) -> impl Iterator<Item = Present> + '_ {
        let of =
            |publisher: &Publisher, is_on_air| Present { id: publisher.id, role: publisher.role, is_on_air };
        let on_air = self.publisher.iter().map(move |publisher| of(publisher, true));
        on_air.chain(self.standby.iter().map(move |standby| of(standby, false)))
    }

    /// How the one that is held ready could go on with the session; `None` when there is none, or it is not known.
    pub fn standby_fit(&self) -> Option<Fit> {
        self.standby.as_ref()?.fit
    }

    /// The publisher of this role.
    pub(super) fn of_role(&self, role: Role) -> Option<&Publisher> {
        self.publisher.iter().chain(&self.standby).find(|publisher| publisher.role == role)
    }

    /// How late a publisher's media may be, microseconds: as it will while there is no session.
    pub(super) fn tolerance_us(&self) -> i64 {
        let part_ms = self.live.as_ref().map(|live| live.plan().part_target_ms);
        part_ms.map_or(i64::MAX, |part_ms| i64::from(BEHIND_PARTS_MAX * part_ms) * 1000)
    }

    /// Why the one that is held ready is to take over with its next key frame.
    fn due(&self, now: Now) -> Option<Because> {
        let (Some(publisher), Some(standby), Some(live)) = (&self.publisher, &self.standby, &self.live)
        else {
            return None;
        };
        let tolerance_us = self.tolerance_us();
        let lasts = |since_us: Option<u64>, us: u64| since_us.is_some_and(|at| now.monotonic_us >= at + us);
        let failback_us = self.settings.failback_us;
        let because = if publisher.ingest.is_off_air() {
            Because::Left
        } else if !publisher.ingest.is_live() && lasts(Some(publisher.live_us), NOT_LIVE_US_MAX) {
            // It holds the place of one that could play.
            Because::Behind
        } else if lasts(publisher.ingest.pace().behind_since_us(tolerance_us, now), BEHIND_US_MAX) {
            Because::Behind
        } else if standby.role == Role::Primary
            && failback_us > 0
            && lasts(standby.ingest.pace().steady_since_us(), failback_us)
        {
            Because::Returned
        } else {
            return None;
        };
        let is_ready = standby.ingest.is_live()
            && standby.ingest.pace().behind_since_us(tolerance_us, now).is_none()
            && !matches!(live.fit(standby.ingest.stream()), Fit::NewSession(_));
        is_ready.then_some(because)
    }

    /// As [`Home::media`], of the one that is held ready.
    pub(super) fn standby_media(
        &mut self,
        fragment: &MediaFragment<'_>,
        now: Now,
        pool: &mut BufferPool,
    ) -> Result<(), HomeError> {
        let (because, tolerance_us) = (self.due(now), self.tolerance_us());
        let Some(standby) = &mut self.standby else { return Ok(()) };
        standby.last_media_us = now.monotonic_us;
        let live = self.live.as_mut().filter(|_| because.is_some());
        let step = standby.ingest.media(fragment, live, &mut self.findings, now, pool)?;
        standby.ingest.note_pace(tolerance_us, now);
        let is_turn = matches!(step, Step::Relearn);
        for _ in 0..standby.ingest.take_changes().max(is_turn.into()) {
            standby.ingest.unsettle();
            standby.turns.change(now)?;
        }
        self.standby_step(step, because, now)
    }

    pub(super) fn standby_step(
        &mut self,
        step: Step,
        because: Option<Because>,
        now: Now,
    ) -> Result<(), HomeError> {
        let Some(standby) = &mut self.standby else { return Ok(()) };
        match step {
            Step::Continue | Step::NewSession => {}
            Step::Relearn => standby.fit = None,
            Step::Learnt(learnt) => {
                // Its frames are of no use: nothing is played into the past.
                standby.ingest.finish_learning(learnt.stream);
                self.look_at_standby();
            }
            Step::OnAir { is_hitless } => {
                std::mem::swap(&mut self.publisher, &mut self.standby);
                if let Some(standby) = &mut self.standby {
                    standby.ingest.stand_by();
                    standby.ingest.unsettle();
                }
                self.took_over(because.unwrap_or(Because::Left), is_hitless, now);
                self.look_at_standby();
            }
        }
        self.drain_live(now)
    }

    /// The publisher's frames go to the session from now on.
    pub(super) fn took_over(&mut self, because: Because, is_hitless: bool, now: Now) {
        self.grace_until_us = None;
        self.watch_publisher(false, now);
        if let Some(publisher) = &mut self.publisher {
            publisher.fit = None;
            let role = publisher.role;
            self.output.notes.push(Note::TookOver { role, because, is_hitless });
        }
    }

    /// Whether the one that is held ready fits the session, as far as both are known; told when it is news.
    pub(super) fn look_at_standby(&mut self) {
        let (Some(standby), Some(live)) = (&mut self.standby, &self.live) else { return };
        if !standby.ingest.is_live() {
            return;
        }
        let fit = live.fit(standby.ingest.stream());
        if standby.fit.replace(fit) != Some(fit) {
            self.output.notes.push(Note::Standby(standby.role, fit));
        }
    }

    /// The one on air has left: the one that was held ready, if there is one, publishes from now on. False if there
    /// is none.
    pub(super) fn promote(&mut self, departure: Departure, now: Now, pool: &mut BufferPool) -> bool {
        let Some(mut standby) = self.standby.take() else { return false };
        let fit = self.live.as_ref().filter(|_| standby.ingest.is_live());
        let fit = fit.map(|live| live.fit(standby.ingest.stream()));
        match fit {
            Some(Fit::Hitless | Fit::Discontinuity(_)) => {
                // What is open stays open until its key frame, which may never come.
                let wait_us = self.grace_us(departure).max(TAKE_OVER_US_MAX);
                self.grace_until_us = Some(now.monotonic_us + wait_us);
                self.publisher = Some(standby);
                return true;
            }
            None if self.live.is_some() && self.close_live(true, now, pool).is_ok() => {
                // Still being learnt: as one that comes back.
                standby.ingest.leave_stand_by();
            }
            _ => {
                self.end_for_good(now, pool);
                standby.ingest.learn_anew();
            }
        }
        self.publisher = Some(standby);
        self.took_over(Because::Left, false, now);
        true
    }

    /// Ends the session for one that begins another: who comes now must not be sent into the one that has ended.
    pub(super) fn end_for_good(&mut self, now: Now, pool: &mut BufferPool) {
        // What the close cannot list is lost with the session either way.
        let _ = self.close_live(false, now, pool);
        self.end_session(now, pool);
        if self.view.window().current().is_some() {
            // A window that is in order takes it.
            let _ = self.emit(EventBody::Announce, now);
        }
    }
}
