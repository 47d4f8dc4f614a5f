//! From what the ingest found out to a session that begins, goes on and ends; and from its events to the
//! window, the numbers and everybody else.

use super::{Home, HomeError};
use crate::fmp4::BufferPool;
use crate::hls::{EventBody, Plan, RenditionId, StreamEvent, bandwidth};
use crate::limits::RECLAIM_DELAY_MS;
use crate::media::{Cadence, MediaRef, Now};
use crate::metrics::Finding;
use crate::origin::home::Because;
use crate::origin::ingest::Step;
use crate::origin::learning::Learnt;
use crate::origin::live::{Fit, Live};

impl Home {
    /// Follows what the ingest found out.
    pub(super) fn advance(&mut self, step: Step, now: Now, pool: &mut BufferPool) -> Result<(), HomeError> {
        match step {
            Step::Continue => {}
            Step::Relearn => {
                self.close_live(true, now, pool)?;
                if let (Some(live), Some(publisher)) = (&mut self.live, &self.publisher) {
                    live.announce_configs(|kind| publisher.ingest.config(kind));
                }
            }
            Step::NewSession => {
                // What the close cannot list is lost with the session either way.
                let _ = self.close_live(false, now, pool);
                self.end_session(now, pool);
            }
            Step::Learnt(learnt) => {
                let varies = |cadence: Cadence| matches!(cadence, Cadence::Variable { .. });
                let is_variable = learnt.stream.cadences().into_iter().any(varies);
                self.findings.note(Finding::VariableFrameRate, is_variable.into(), now);
                self.learnt(*learnt, now, pool)?;
            }
            Step::OnAir { is_hitless } => self.took_over(Because::Left, is_hitless, now),
        }
        self.drain_live(now)
    }

    fn learnt(&mut self, learnt: Learnt, now: Now, pool: &mut BufferPool) -> Result<(), HomeError> {
        if let Some(live) = &mut self.live {
            if !matches!(live.fit(&learnt.stream), Fit::NewSession(_)) {
                live.resume(&learnt.stream, learnt.anchor_ms);
                return self.replay(learnt, now, pool);
            }
            self.end_session(now, pool);
            return self.learn_again(learnt, now, pool);
        }
        // Nothing of an earlier session counts here, ended or cut short by a crash. A publisher that fits the
        // values of before the crash is one that they are planned for again, and then an open page goes on.
        let muxed = self.settings.session.muxed && learnt.stream.tracks.len() > 1;
        let planned = learnt.stream.planned(muxed);
        let plan = Plan::new(self.settings.wishes, learnt.gop_ms, &planned)?;
        let numbers = self.numbering.start_session(
            now.unix_us / 1000,
            plan.target_duration_s,
            plan.part_target_ms,
            self.settings.session.prefill_gap_segments,
        );
        self.numbering.set_token(self.publisher.as_ref().and_then(|publisher| publisher.token));
        self.live = Some(Live::new(
            plan,
            &learnt.stream,
            numbers,
            &self.numbering,
            &self.settings.session,
            learnt.anchor_ms,
        ));
        self.findings.session_begins();
        self.drain_live(now)?;
        self.replay(learnt, now, pool)
    }

    /// The values of the session do not fit: learn what a new one needs, from the same frames.
    fn learn_again(&mut self, learnt: Learnt, now: Now, pool: &mut BufferPool) -> Result<(), HomeError> {
        let Some(publisher) = &mut self.publisher else { return Ok(()) };
        publisher.ingest.learn_again(learnt);
        match publisher.ingest.handle_time(now) {
            Some(step) => self.advance(step, now, pool),
            None => Ok(()),
        }
    }

    /// The frames of the learning go the way of all others.
    fn replay(&mut self, learnt: Learnt, now: Now, pool: &mut BufferPool) -> Result<(), HomeError> {
        let Some(live) = &mut self.live else { return Ok(()) };
        live.expect(learnt.frames.iter().map(|frame| (&frame.begin, frame.timestamp_ms)));
        // Dates follow when frames came, not when they are replayed; and the first date already knows how
        // late the first burst of a connection was.
        for frame in &learnt.frames {
            live.handle_arrival(&frame.begin, frame.timestamp_ms, frame.arrived);
        }
        for frame in learnt.frames {
            live.frame_begins(&frame.begin, frame.timestamp_ms, frame.arrived, pool)?;
            live.frame_bytes(frame.begin.kind, &frame.bytes)?;
            live.frame_ends(frame.begin.kind, frame.frame, true, frame.arrived, pool)?;
        }
        if let Some(publisher) = &mut self.publisher {
            publisher.ingest.leave_stand_by();
            publisher.ingest.finish_learning(learnt.stream);
        }
        self.grace_until_us = None;
        self.look_at_standby();
        self.drain_live(now)
    }

    pub(super) fn close_live(
        &mut self,
        discontinuity_follows: bool,
        now: Now,
        pool: &mut BufferPool,
    ) -> Result<(), HomeError> {
        if let Some(live) = &mut self.live {
            live.close(discontinuity_follows, now, pool)?;
        }
        self.drain_live(now)
    }

    pub(super) fn end_session(&mut self, now: Now, pool: &mut BufferPool) {
        self.grace_until_us = None;
        let Some(mut live) = self.live.take() else { return };
        live.release(pool);
        let session = live.start().session;
        if self.emit(EventBody::End, now).is_ok() {
            let until_unix_ms = self.view.window().retire_at_unix_ms(session);
            self.retiring.push_back((session, until_unix_ms.unwrap_or_else(|| self.clock_unix_ms(now))));
        }
    }

    pub(super) fn drain_live(&mut self, now: Now) -> Result<(), HomeError> {
        let Some(live) = &mut self.live else { return Ok(()) };
        let session = live.start().session;
        let allowed = live.start().retained_bytes_max;
        let frames_us = live.take_listed_frames_us();
        // Before that no playlist is answered: nothing is listed for anybody, and the frames were learnt from.
        if self.view.window().is_playable(session) {
            self.output.listed_frames_us.extend(frames_us);
        }
        for body in live.take_events() {
            let closes = matches!(body, EventBody::Close(_) | EventBody::PartAndClose(..));
            self.emit(body, now)?;
            if closes
                && !self.view.window().is_playable(session)
                && let Some(declared) = bandwidth::declare(self.view.window(), session)
            {
                self.emit(
                    EventBody::Playable {
                        bandwidth_bits: declared.peak_bits,
                        average_bandwidth_bits: declared.average_bits,
                    },
                    now,
                )?;
            }
        }
        self.check_retained(allowed)
    }

    /// Nothing more may come while the stream keeps too much.
    pub(super) fn check_retained(&self, allowed: u64) -> Result<(), HomeError> {
        if self.view.window().over_bound() {
            let found = self.view.window().retained_bytes();
            return Err(HomeError::RetainedBytes { found, allowed });
        }
        Ok(())
    }

    /// Applies an event here first; only then does anybody else hear of it.
    pub(super) fn emit(&mut self, body: EventBody, now: Now) -> Result<(), HomeError> {
        let is_cut = match &body {
            EventBody::Close(close) | EventBody::PartAndClose(_, close) => close.rendition == RenditionId(0),
            EventBody::Start(_) | EventBody::End => true,
            _ => false,
        };
        let event = StreamEvent { at_unix_ms: self.clock_unix_ms(now), body };
        let wake = self.view.apply(&event)?;
        self.numbering.observe(&event);
        self.published.observe(&event);
        for MediaRef::Memory(bytes) in self.view.take_retired() {
            self.retired.push_back((now.monotonic_us, bytes));
        }
        if is_cut {
            self.output.record = Some(self.numbering.record());
        }
        self.output.wakes.push(wake);
        self.output.events.push(event);
        Ok(())
    }

    /// Other shards let go of retired media a moment after us; the pool can have it when they did.
    pub(super) fn reclaim(&mut self, now: Now, pool: &mut BufferPool) {
        while let Some((at_us, _)) = self.retired.front() {
            if now.monotonic_us < at_us + RECLAIM_DELAY_MS * 1000 {
                return;
            }
            match self.retired.pop_front() {
                Some((_, bytes)) if bytes.is_unique() => drop(pool.reclaim(bytes)),
                Some((_, bytes)) => self.output.lent.push(bytes),
                None => {}
            }
        }
    }
}
