//! The conductor: the one writer. It owns the studies that run, drives their rounds, and makes every step durable before the
//! next. Handlers hold a cheap handle and send it what happened.

mod running;
mod state;

use std::sync::Arc;
use std::time::Duration;

use platform::{Clock, StoreError};
use privacy::secagg::Identity;
use proto::wire::{self, StudyStatus, to_site};
use proto::{RoundId, SiteId, StudyId};
use tokio::sync::{mpsc, oneshot, watch};

use crate::journal::Journal;
use crate::registry::Registry;
pub use state::Core;

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(200);

/// Where messages to a site go.
pub type Outbound = mpsc::UnboundedSender<Result<wire::ToSite, tonic::Status>>;

/// What the conductor is told.
pub enum Input {
    /// A site's stream came up.
    Online {
        /// Which.
        site: SiteId,
        /// Its stream's number.
        session: u64,
        /// Where messages go.
        out: Outbound,
    },
    /// A site's stream broke.
    Offline {
        /// Which.
        site: SiteId,
        /// Its stream's number.
        session: u64,
    },
    /// A site was revoked.
    Revoked(SiteId),
    /// A site enrolled.
    Joined(SiteId),
    /// A site decided.
    Decision {
        /// Which.
        site: SiteId,
        /// What.
        decision: wire::Decision,
    },
    /// A release came.
    Release {
        /// From which site.
        site: SiteId,
        /// For which round.
        round: RoundId,
        /// Its manifest and integers, checked for form.
        release: Box<proto::parse::Release>,
    },
    /// A site told which keys it has.
    Keys {
        /// Which site.
        site: SiteId,
        /// Its identity.
        identity: Identity,
        /// The id of its linkage key; empty where it has none.
        linkage: String,
    },
    /// A site's message in a secure round.
    Secure {
        /// From which site.
        site: SiteId,
        /// What.
        message: Box<wire::SecureMessage>,
    },
    /// A large release is offered.
    Offer {
        /// By which site.
        site: SiteId,
        /// For which round.
        round: RoundId,
        /// Which attempt at it.
        attempt: u32,
    },
    /// A granted release is over, one way or another.
    Granted {
        /// From which site.
        site: SiteId,
        /// For which round.
        round: RoundId,
        /// Which attempt at it.
        attempt: u32,
    },
    /// A site can't answer.
    Refusal {
        /// Which.
        site: SiteId,
        /// Which round.
        round: RoundId,
        /// The named reason.
        code: String,
        /// In words.
        reason: String,
        /// Which attempt, in a secure round.
        attempt: u32,
        /// Other sites whose doing it is.
        sites: Vec<SiteId>,
    },
    /// A plan was submitted and checked.
    Submit {
        /// The plan.
        plan: Box<study::Plan>,
        /// As it came.
        signed: wire::SignedPlan,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<StudyStatus, String>>,
    },
    /// The analyst cancels.
    Cancel {
        /// Which study.
        study: StudyId,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<StudyStatus, String>>,
    },
    /// Somebody watches.
    Watch {
        /// Which study.
        study: StudyId,
        /// Where the answer goes.
        reply: oneshot::Sender<Option<watch::Receiver<StudyStatus>>>,
    },
    /// Who is online?
    Present(oneshot::Sender<Vec<SiteId>>),
}

/// A handle to the conductor.
#[derive(Clone)]
pub struct Conductor {
    inbox: mpsc::UnboundedSender<Input>,
}

impl Conductor {
    /// Tells it what happened. After the end nobody listens.
    pub fn tell(&self, input: Input) {
        let _ = self.inbox.send(input);
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// The conductor has ended.
    pub async fn ask<T>(&self, make: impl FnOnce(oneshot::Sender<T>) -> Input) -> Result<T, tonic::Status> {
        let (reply, answer) = oneshot::channel();
        self.tell(make(reply));
        answer.await.map_err(|_| tonic::Status::unavailable("the coordinator is stopping"))
    }
}

/// Starts the conductor over what the journal holds; studies that were running go on.
///
/// # Errors
/// The journal can't be read.
pub fn start(
    journal: Journal,
    registry: Registry,
    clock: Arc<dyn Clock>,
    simulation: bool,
) -> Result<Conductor, StoreError> {
    let (inbox, mut messages) = mpsc::unbounded_channel();
    let mut core = Core::open(journal, registry, clock, simulation)?;
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                input = messages.recv() => match input {
                    Some(input) => core.take(input),
                    None => return,
                },
                _ = tick.tick() => core.tick(),
            }
        }
    });
    Ok(Conductor { inbox })
}

/// A message to a site.
pub(crate) fn to_site(message: to_site::Message) -> wire::ToSite {
    wire::ToSite { message: Some(message) }
}
