//! Everything that is asked of the coordinator. Each call begins with who may make it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use certs::{Peer, Role};
use futures::{Stream, StreamExt as _};
use platform::{Clock, Entropy};
use privacy::secagg::IdentityKey;
use proto::wire::federation_server::Federation as FederationService;
use proto::wire::{self, StudyStatus, to_site};
use proto::{SiteId, StudyId};
use study::plan::hash_of;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{UnboundedReceiverStream, WatchStream};
use tonic::{Request, Response, Status, Streaming};

use super::accept::{Caller, Tls};
use super::attach;
use crate::anchors::Anchors;
use crate::collect;
use crate::conductor::{Conductor, Input, to_site as message};
use crate::federation::Federation;
use crate::journal::Journal;
use crate::operations::{self, Operation};
use crate::registry::{Registry, RegistryError};

/// The services.
pub struct Service {
    /// The federation.
    pub federation: Arc<Federation>,
    /// Who is in.
    pub registry: Registry,
    /// What was seen of the sites' ledgers.
    pub anchors: Anchors,
    /// The coordinator's identity key.
    pub own: Arc<IdentityKey>,
    /// The studies.
    pub journal: Journal,
    /// The one writer.
    pub conductor: Conductor,
    /// The TLS configuration.
    pub tls: Tls,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// Whether releases without noise are taken.
    pub simulation: bool,
    /// Numbers of streams.
    pub sessions: Arc<AtomicU64>,
}

fn internal(e: &dyn std::fmt::Display) -> Status {
    tracing::error!("{e}");
    Status::internal("the coordinator failed; its log says why")
}

impl From<RegistryError> for Status {
    fn from(e: RegistryError) -> Status {
        match e {
            RegistryError::Refused(text) => Status::failed_precondition(text),
            RegistryError::Cert(e) => Status::invalid_argument(e.to_string()),
            other => internal(&other),
        }
    }
}

impl Service {
    /// The caller, if the role is one of these and it is not revoked.
    fn caller<T>(&self, request: &Request<T>, roles: &[Role]) -> Result<Peer, Status> {
        let caller = request.extensions().get::<Option<Caller>>().cloned().flatten();
        let peer = caller.map(|c| c.peer).ok_or_else(|| Status::unauthenticated("no name in the certificate"))?;
        if peer.name.federation != self.federation.settings.name || !roles.contains(&peer.name.role) {
            return Err(Status::permission_denied(format!("{} may not do this", peer.name)));
        }
        if !self.registry.may_speak(&peer).map_err(|e| internal(&e))? {
            return Err(Status::permission_denied(format!("{} is revoked or not enrolled", peer.name)));
        }
        Ok(peer)
    }

    fn certificate(&self, chain_pem: String) -> Response<wire::Certificate> {
        Response::new(wire::Certificate { chain_pem, ca_pem: self.federation.authority.ca_pem().to_owned() })
    }

    async fn watching(&self, study: &StudyId) -> Result<tokio::sync::watch::Receiver<StudyStatus>, Status> {
        let study_id = study.clone();
        let found = self.conductor.ask(|reply| Input::Watch { study: study_id, reply }).await?;
        found.ok_or_else(|| Status::not_found(format!("there is no study '{study}'; see coordinator study list")))
    }
}

type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl FederationService for Service {
    async fn enroll(&self, request: Request<wire::EnrollRequest>) -> Result<Response<wire::Certificate>, Status> {
        let peer = self.caller(&request, &[Role::Invitation])?;
        let csr = &request.get_ref().csr_der;
        let (member, role, chain) =
            self.registry.enroll(&self.federation, &peer.name.id, csr, self.clock.as_ref(), self.entropy.as_ref())?;
        tracing::info!(%role, id = %member.id, "enrolled");
        if role == Role::Site
            && let Ok(site) = SiteId::parse(&member.id)
        {
            self.conductor.tell(Input::Joined(site));
        }
        Ok(self.certificate(chain))
    }

    async fn renew(&self, request: Request<wire::RenewRequest>) -> Result<Response<wire::Certificate>, Status> {
        let peer = self.caller(&request, &[Role::Site, Role::Analyst])?;
        let csr = &request.get_ref().csr_der;
        let chain = self.registry.renew(&self.federation, &peer, csr, self.clock.as_ref(), self.entropy.as_ref())?;
        tracing::info!(peer = %peer.name, "certificate renewed");
        Ok(self.certificate(chain))
    }

    type AttachStream = Out<wire::ToSite>;

    async fn attach(
        &self,
        request: Request<Streaming<wire::FromSite>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let peer = self.caller(&request, &[Role::Site])?;
        let site = SiteId::parse(&peer.name.id)?;
        let session = self.sessions.fetch_add(1, Ordering::Relaxed);
        let (out, messages) = mpsc::unbounded_channel();
        let seen = self.anchors.head(&site).map_err(|e| internal(&e))?.map(|(signed, _)| signed);
        let welcome = wire::Welcome {
            federation: self.federation.settings.name.clone(),
            coordinator_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..crate::anchors::welcome(seen.as_ref())
        };
        let _ = out.send(Ok(message(to_site::Message::Welcome(welcome))));
        let desk = attach::Desk::new(
            site.clone(),
            self.conductor.clone(),
            self.anchors.clone(),
            self.own.clone(),
            out.clone(),
        );
        let (conductor, inbound) = (self.conductor.clone(), request.into_inner());
        conductor.tell(Input::Online { site: site.clone(), session, out: out.clone() });
        tokio::spawn(async move {
            // Ends with the stream, or when the conductor has let go of the other end (revoked, or a newer stream).
            tokio::select! {
                () = attach::read(desk, inbound) => {}
                () = out.closed() => {}
            }
            tracing::info!(%site, "stream ended");
            conductor.tell(Input::Offline { site, session });
        });
        Ok(Response::new(Box::pin(until_error(UnboundedReceiverStream::new(messages)))))
    }

    async fn describe(&self, request: Request<wire::DescribeRequest>) -> Result<Response<wire::Description>, Status> {
        self.caller(&request, &[Role::Analyst, Role::Operator])?;
        let present = self.conductor.ask(Input::Present).await?;
        let sites = self.registry.sites().map_err(|e| internal(&e))?;
        Ok(Response::new(wire::Description {
            federation: self.federation.settings.name.clone(),
            schema_version: schema::version::VERSION.to_owned(),
            sites: sites
                .into_iter()
                .map(|(id, m)| wire::SiteInfo {
                    online: present.contains(&id),
                    id: id.to_string(),
                    country: m.country,
                    schema_version: String::new(),
                })
                .collect(),
        }))
    }

    async fn submit(&self, request: Request<wire::SignedPlan>) -> Result<Response<StudyStatus>, Status> {
        let peer = self.caller(&request, &[Role::Analyst])?;
        let signed = request.into_inner();
        let refused = |e: &dyn std::fmt::Display| Status::failed_precondition(e.to_string());
        let now = u64::try_from(self.clock.now().seconds()).unwrap_or_default();
        let signer = certs::signature::verify(
            self.federation.authority.ca_pem(),
            &signed.signer_chain_pem,
            &hash_of(&signed.plan).0,
            &signed.signature,
            now,
        )
        .map_err(|e| refused(&e))?;
        if signer.name != peer.name {
            return Err(Status::permission_denied("a plan is submitted by the one who signed it"));
        }
        let plan = study::Plan::parse(&signed.plan).map_err(|e| refused(&e))?;
        let today = chrono::DateTime::from_timestamp(self.clock.now().seconds(), 0).map(|t| t.date_naive());
        if let Some(problem) = study::check::expired(&plan.study, today) {
            return Err(refused(&problem));
        }
        if let Some(problem) = query::patientwise::problems(&plan.study).await.first() {
            return Err(refused(problem));
        }
        if plan.federation != self.federation.settings.name {
            return Err(refused(&format!("the plan is for the federation '{}'", plan.federation)));
        }
        let answer = self.conductor.ask(|reply| Input::Submit { plan: Box::new(plan), signed, reply }).await?;
        answer.map(Response::new).map_err(Status::failed_precondition)
    }

    async fn list(&self, request: Request<wire::ListRequest>) -> Result<Response<wire::StudyList>, Status> {
        self.caller(&request, &[Role::Analyst, Role::Operator])?;
        let mut studies = Vec::new();
        for id in self.journal.studies().map_err(|e| internal(&e))? {
            if let Ok(status) = self.watching(&id).await {
                studies.push(status.borrow().clone());
            }
        }
        Ok(Response::new(wire::StudyList { studies }))
    }

    async fn show(&self, request: Request<wire::StudyRef>) -> Result<Response<StudyStatus>, Status> {
        self.caller(&request, &[Role::Analyst, Role::Operator])?;
        let study = StudyId::parse(&request.get_ref().study)?;
        let status = self.watching(&study).await?.borrow().clone();
        Ok(Response::new(status))
    }

    type WatchStream = Out<StudyStatus>;

    async fn watch(&self, request: Request<wire::StudyRef>) -> Result<Response<Self::WatchStream>, Status> {
        self.caller(&request, &[Role::Analyst, Role::Operator])?;
        let study = StudyId::parse(&request.get_ref().study)?;
        let stream = WatchStream::new(self.watching(&study).await?);
        Ok(Response::new(Box::pin(stream.map(Ok))))
    }

    async fn results(&self, request: Request<wire::StudyRef>) -> Result<Response<wire::StudyResults>, Status> {
        self.caller(&request, &[Role::Analyst, Role::Operator])?;
        let study = StudyId::parse(&request.get_ref().study)?;
        let collected =
            collect::collect(&self.federation, &self.registry, (&self.journal, &self.anchors), &study, self.simulation)
                .map_err(|e| Status::failed_precondition(e.to_string()))?;
        Ok(Response::new(wire::StudyResults {
            plan: collected.plan.into(),
            estimates_json: serde_json::to_vec(&collected.results).map_err(|e| internal(&e))?.into(),
            provenance_json: serde_json::to_vec(&collected.provenance).map_err(|e| internal(&e))?.into(),
        }))
    }

    async fn bundle(&self, request: Request<wire::StudyRef>) -> Result<Response<wire::ReleaseBundle>, Status> {
        self.caller(&request, &[Role::Analyst, Role::Operator])?;
        let study = StudyId::parse(&request.get_ref().study)?;
        let checkpoints = self.journal.checkpoints(&study).map_err(|e| internal(&e))?;
        let merged =
            checkpoints.into_iter().flat_map(|c| c.releases).map(|(site, taken)| (site, taken.release)).collect();
        let sites = self.registry.sites().map_err(|e| internal(&e))?.into_iter().map(|(id, _)| id);
        let bundle =
            self.anchors.bundle(&self.federation.settings.name, &study, sites, merged).map_err(|e| internal(&e))?;
        let bundle_json = serde_json::to_vec(&bundle).map_err(|e| internal(&e))?.into();
        Ok(Response::new(wire::ReleaseBundle { bundle_json }))
    }

    async fn cancel(&self, request: Request<wire::StudyRef>) -> Result<Response<StudyStatus>, Status> {
        let peer = self.caller(&request, &[Role::Analyst, Role::Operator])?;
        let study = StudyId::parse(&request.get_ref().study)?;
        if peer.name.role == Role::Analyst {
            let signed = self.journal.plan(&study).map_err(|e| internal(&e))?;
            let signer = signed
                .and_then(|s| certs::identity::chain(&s.signer_chain_pem).ok())
                .and_then(|c| c.first().and_then(|f| Peer::of(f).ok()));
            if signer.is_some_and(|s| s.name != peer.name) {
                return Err(Status::permission_denied("a study is cancelled by its analyst or an operator"));
            }
        }
        let answer = self.conductor.ask(|reply| Input::Cancel { study, reply }).await?;
        answer.map(Response::new).map_err(Status::not_found)
    }

    async fn operate(&self, request: Request<wire::OperatorRequest>) -> Result<Response<wire::OperatorReply>, Status> {
        self.caller(&request, &[Role::Operator])?;
        let operation: Operation = serde_json::from_str(&request.get_ref().command_json)
            .map_err(|e| Status::invalid_argument(format!("the command can't be read: {e}")))?;
        let value = operations::execute(
            &self.federation,
            &self.registry,
            &self.anchors,
            &operation,
            self.clock.as_ref(),
            self.entropy.as_ref(),
        )?;
        if let Operation::Revoke { role, id } = &operation {
            self.tls.reload(&self.federation, &self.registry, self.clock.as_ref()).map_err(|e| internal(&e))?;
            if *role == Role::Site
                && let Ok(site) = SiteId::parse(id)
            {
                tracing::warn!(%site, "revoked");
                self.conductor.tell(Input::Revoked(site));
            }
        }
        Ok(Response::new(wire::OperatorReply { reply_json: value.to_string() }))
    }
}

/// A stream that ends after its first error.
fn until_error(
    stream: UnboundedReceiverStream<Result<wire::ToSite, Status>>,
) -> impl Stream<Item = Result<wire::ToSite, Status>> {
    stream.scan(false, |over, item| {
        let go_on = !*over;
        *over = item.is_err();
        std::future::ready(go_on.then_some(item))
    })
}
