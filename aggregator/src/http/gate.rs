//! The only way from a request to the books: each read and each change takes a scope, and the handle stays in here.
//! Bounds how many read at a time (I11).

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use tallyman_aggregator_core::accounts::explain::{Ask, Explanation, Of, explain};
use tallyman_aggregator_core::accounts::month::own_account;
use tallyman_aggregator_core::accounts::reads::{self, Filter, Page, Today};
use tallyman_aggregator_core::accounts::run::Due;
use tallyman_aggregator_core::accounts::standing::Receivable;
use tallyman_aggregator_core::accounts::{Booked, Document, MoneyCommand};
use tallyman_aggregator_core::api::usage::{self, Granularity, History, Summary};
use tallyman_aggregator_core::bills::{self, AsOf, Bill, BillError, Books, Viewer};
use tallyman_aggregator_core::rating::{BillingZone, ItemKey, parse_hour};
use tallyman_aggregator_core::registry::{Command, Registry, TenantTerms};
use tallyman_common::time::{Hour, WallMs};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::auth::{OperatorScope, TenantScope};
use super::estimate::{self, Estimate};
use super::invoices::{failed, missing};
use super::limits::{PING_MAX, READ_WAIT_MAX, READS_MAX};
use super::observe::{Fleet, Observed};
use super::problem::{Kind, Problem};
use crate::biller::{self, Runs, UnderWay};
use crate::handle::{Handle, Status, Unavailable};
use crate::io::reconciliations::Reconciliations;
use crate::live::LiveBoard;
use crate::monthly::Asked;

/// What all requests share; cheap to clone.
#[derive(Debug, Clone)]
pub struct Api(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    handle: Handle,
    reads: Arc<Semaphore>,
    observed: Observed,
}

/// One tenant's part of the books, at one position.
#[derive(Clone, Copy)]
pub struct TenantBooks<'a> {
    books: Books<'a>,
    scope: &'a TenantScope,
    live: &'a LiveBoard,
}

/// All books, for operators.
#[derive(Clone, Copy)]
pub struct AllBooks<'a> {
    /// The books.
    pub books: Books<'a>,
    /// Live views.
    pub live: &'a LiveBoard,
}

impl Api {
    /// An interface to a running aggregator.
    pub fn new(handle: Handle) -> Self {
        Self(Arc::new(Shared {
            handle,
            reads: Arc::new(Semaphore::new(READS_MAX)),
            observed: Observed::default(),
        }))
    }

    /// Who is who, and now: for reading tokens.
    pub fn who_is_who(&self) -> (Arc<Registry>, WallMs) {
        (self.0.handle.registry(), self.0.handle.now())
    }

    /// Results of the daily comparisons; those who ask have the leave of an operator.
    pub fn reconciliations(&self, _: &OperatorScope) -> Reconciliations {
        self.0.handle.reconciliations().clone()
    }

    /// Monthly runs of this process.
    pub fn runs(&self, _: &OperatorScope) -> &Runs {
        self.0.handle.runs()
    }

    /// Begins a monthly run; its number.
    pub fn begin_run(&self, scope: &OperatorScope, due: Due) -> Result<u64, UnderWay> {
        let asked = Asked {
            actor: scope.actor(),
            source: scope.source(),
        };
        biller::begin(&self.0.handle, asked, due)
    }

    /// What is counted of requests.
    pub fn observed(&self) -> &Observed {
        &self.0.observed
    }

    /// Reads one tenant's books over one snapshot.
    pub async fn read_tenant<T: Send + 'static>(
        &self,
        scope: TenantScope,
        ask: impl FnOnce(TenantBooks<'_>) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let api = self.clone();
        let of_tenant = move |books: Books<'_>| {
            let live = api.0.handle.live();
            ask(TenantBooks {
                books,
                scope: &scope,
                live,
            })
        };
        self.read(of_tenant).await
    }

    /// Reads all books over one snapshot.
    pub async fn read_all<T: Send + 'static>(
        &self,
        _: OperatorScope,
        ask: impl FnOnce(AllBooks<'_>) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let api = self.clone();
        let of_all = move |books: Books<'_>| {
            let live = api.0.handle.live();
            ask(AllBooks { books, live })
        };
        self.read(of_all).await
    }

    /// Makes a change; its position in the log once it is durable.
    pub async fn decide(&self, scope: &OperatorScope, command: Command) -> Result<AsOf, Problem> {
        let decided = self.0.handle.command(scope.actor(), scope.source(), command);
        let position = decided.await?;
        let at = tallyman_aggregator_core::api::text::instant_text(self.0.handle.now());
        Ok(AsOf { position, at })
    }

    /// Asks something of the ledger; what became of it once it is durable.
    pub async fn book(&self, scope: &OperatorScope, command: MoneyCommand) -> Result<Booked, Problem> {
        let booked = self.0.handle.money(scope.actor(), scope.source(), command);
        Ok(booked.await?)
    }

    /// Resolves when there is room, the writer takes and answers requests and the store can be read.
    pub async fn ready(&self) -> Result<Status, Problem> {
        let not_ready = |detail: &str| Problem::new(Kind::NotReady, detail);
        let alive = timeout(PING_MAX, self.0.handle.ping()).await;
        alive
            .map_err(|_| not_ready("the writer does not answer: the disk may be stuck"))?
            .map_err(|_| not_ready("the writer has ended: the store can't be written"))?;
        self.read(|_| Ok(())).await?;
        let status = self.0.handle.status();
        if status.room.is_low {
            return Err(Problem::new(Kind::DiskFull, status.room.words()));
        }
        Ok(status)
    }

    /// Everything counted, as Prometheus' text.
    pub async fn metrics_text(&self) -> Result<String, Problem> {
        let fleet = self.read(|books| Ok(Fleet::of(books))).await?;
        let handle = &self.0.handle;
        let shell = handle.metrics().encode(&handle.status());
        Ok(self.0.observed.encode_behind(&shell, &fleet))
    }

    /// Waits for a turn, then asks on a thread for blocking work. The turn lasts until the work is done, also when the
    /// asker has gone.
    async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(Books<'_>) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = in_time(self.0.reads.clone().acquire_owned()).await?;
        let turn = turn.map_err(|_| Unavailable::Stopping)?;
        let asked = self.0.handle.read(move |books| {
            let _turn = turn;
            ask(books)
        });
        asked.await?
    }
}

async fn in_time<F: Future>(wait: F) -> Result<F::Output, Problem> {
    let busy = |_| {
        let detail = format!("{READS_MAX} questions at a time are answered; ask again soon");
        Problem::new(Kind::Busy, detail)
    };
    timeout(READ_WAIT_MAX, wait).await.map_err(busy)
}

impl<'a> TenantBooks<'a> {
    /// Key of the tenant.
    pub fn tenant(&self) -> &'a str {
        self.scope.tenant()
    }

    /// Now, by the aggregator's clock.
    pub fn now(&self) -> WallMs {
        self.books.now
    }

    /// Where answers stand.
    pub fn as_of(&self) -> AsOf {
        usage::as_of(self.books)
    }

    /// The tenant's latest terms.
    pub fn terms(&self) -> Result<&'a TenantTerms, Problem> {
        let known = self.books.registry.tenants.latest(self.tenant());
        known.ok_or_else(|| Problem::no_tenant(self.tenant()))
    }

    /// The zone of the tenant's days and months.
    pub fn zone(&self) -> Result<BillingZone, Problem> {
        Ok(usage::zone_of(self.books, self.tenant())?)
    }

    /// Usage of a period.
    pub fn summary(&self, period: Range<Hour>) -> Result<Summary, Problem> {
        let viewer = self.scope.viewer();
        Ok(usage::summary(self.books, self.tenant(), period, viewer)?)
    }

    /// Usage by time.
    pub fn history(&self, span: Range<WallMs>, granularity: Granularity) -> Result<History, Problem> {
        Ok(usage::history(self.books, self.tenant(), span, granularity)?)
    }

    /// The bill of a period.
    pub fn bill(&self, period: Range<Hour>) -> Result<Bill, BillError> {
        bills::draft(self.books, self.tenant(), period, self.scope.viewer())
    }

    /// Today, where the account that pays is.
    pub fn today(&self) -> Today<'_> {
        Today::There(self.books)
    }

    /// Invoices and notes of the account that pays for the tenant, whatever the filter says of accounts.
    pub fn invoices(&self, filter: Filter, place: (Option<&[u8]>, usize)) -> Result<Page, Problem> {
        let filter = Filter {
            account: Some(self.own_account()?.to_owned()),
            ..filter
        };
        reads::documents(self.books.store, &filter, self.today(), place).map_err(failed)
    }

    /// One of them by identity or number; one of another account is not there.
    pub fn invoice(&self, name: &str) -> Result<Option<(Document, Receivable)>, Problem> {
        let account = self.own_account()?;
        let found = reads::document(self.books.store, name).map_err(failed)?;
        Ok(found.filter(|(_, record)| record.document.account == *account))
    }

    /// The account that pays for the tenant and never paid for another: an invoice of several tenants would tell each what
    /// the others use, or used.
    fn own_account(&self) -> Result<&str, Problem> {
        let terms = self.terms()?;
        own_account(self.books.registry, terms).ok_or_else(|| {
            let text = format!(
                "account `{}` pays or paid for other tenants too, so operators alone see its invoices; the tenant's own bills are at \
                 /api/v1/bills/monthly",
                terms.account
            );
            Problem::new(Kind::OperatorOnly, text)
        })
    }

    /// Why the tenant's lines of an invoice are what they are; one of another account is not there. Where tenants climb
    /// tiers together, each line would tell what the others used before.
    pub fn explain(
        &self,
        name: &str,
        item: Option<ItemKey>,
        hour: Option<Hour>,
    ) -> Result<Explanation, Problem> {
        let account = &self.terms()?.account;
        let found = reads::document(self.books.store, name).map_err(failed)?;
        let found = found.filter(|(_, record)| record.document.account == *account);
        let (document, _) = found.ok_or_else(|| missing(name))?;
        let start = parse_hour(&document.period.start).map_err(|e| Problem::internal(&e))?;
        let pools = self.books.registry.payers.terms(account, start).pools;
        if pools && self.scope.viewer() == Viewer::Tenant {
            self.own_account()?;
        }
        let tenant = Some(self.tenant().to_owned());
        let ask = Ask { tenant, item, hour };
        let of = Of::Invoice(name.to_owned());
        Ok(explain(self.books, of, &ask, self.scope.viewer())?)
    }

    /// The period's usage and bill with what nodes say of the minute that runs.
    pub fn estimate(&self, period: Range<Hour>) -> Result<Estimate, Problem> {
        let viewer = self.scope.viewer();
        Ok(estimate::of(
            self.books,
            self.tenant(),
            period,
            viewer,
            self.live,
        )?)
    }

    /// Where its price books stand; prices are the same for all tenants of a currency.
    pub fn price_registry(&self) -> &'a Registry {
        self.books.registry
    }
}
