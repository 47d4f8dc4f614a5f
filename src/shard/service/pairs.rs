//! What happens between the two publishers of a stream: its log lines and counters.

use super::Service;
use crate::media::StreamName;
use crate::metrics::TakenOverBecause;
use crate::origin::home::{Because, Note};
use crate::origin::live::Fit;

impl Service {
    pub(super) fn note(&self, stream: &StreamName, note: Note) {
        match note {
            Note::Standby(role, fit) => {
                let role = role.as_str();
                match fit {
                    Fit::Hitless => {
                        tracing::info!(%stream, role, "standby ready: it would take over without a discontinuity");
                    }
                    Fit::Discontinuity(difference) => {
                        tracing::warn!(%stream, role, "standby ready, but it would take over with a discontinuity: {difference}");
                    }
                    Fit::NewSession(difference) => {
                        tracing::warn!(%stream, role, "standby does not match, so a take-over would begin a new session: {difference}");
                    }
                }
            }
            Note::TookOver { role, because, is_hitless } => {
                let (why, reason) = match because {
                    Because::Left => ("the other one left", TakenOverBecause::Left),
                    Because::Behind => ("the media of the other one fell behind", TakenOverBecause::Behind),
                    Because::Returned => ("back again: it has been steady", TakenOverBecause::Returned),
                };
                self.metrics.takeovers.of(reason).inc();
                tracing::info!(%stream, role = role.as_str(), hitless = is_hitless, "took over: {why}");
            }
        }
    }
}
