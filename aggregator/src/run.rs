//! The program itself: start in order, say when ready, serve, stop in order. When the writer ends by itself the process
//! ends with a fault: it comes back from what is durable (I3).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::biller;
use crate::cli::copy;
use crate::closer;
use crate::config::Config;
use crate::handle::Handle;
use crate::http;
use crate::io::admin::AdminServer;
use crate::io::keys::Authority;
use crate::io::quic::{CERTIFICATE_AGE_MAX, QuicServer};
use crate::io::rocks::{Create, RocksOpenError, RocksStore};
use crate::io::tcp::HttpListener;
use crate::limits::{STOP_REQUESTS_MAX, STOP_WRITER_MAX};
use crate::reconciler;
use crate::writer::{self, Request, WriterEnd};

/// How often the service manager's status line is renewed.
const STATUS_PERIOD: Duration = Duration::from_secs(5);

/// How long the store may be in use by an order of the command line at the start.
const ORDER_MAX: Duration = Duration::from_secs(10);
/// How often it is tried meanwhile.
const OPEN_AGAIN: Duration = Duration::from_millis(500);

/// Runs until a signal or a fault.
pub fn run(config: &Config) -> anyhow::Result<()> {
    let authority = Authority::load(&config.keys()).with_context(|| {
        let data = config.data.display();
        format!("{data} holds no authority: `tallyman-aggregator init` makes the data folder")
    })?;
    let authority = Arc::new(authority.with_node_life(config.certificate_life_ms));
    let store = open_store(config)?;
    copy::sweep(&config.data);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("network")
        .build()
        .context("the system gives no threads")?;
    let (handle, end) = writer::start(store)?;
    tell_open_restore(&handle);
    runtime.block_on(serve(config, authority, handle, end))
}

fn tell_open_restore(handle: &Handle) {
    if let Some(restore) = handle.registry().open_restore() {
        tracing::warn!(
            backup_made_ms = restore.backup_made.0,
            position = restore.backup_position,
            "restored from a backup, and nobody said yet that the decisions since are here again: enter them, then \
             `tallyman-aggregator restore --settle --reason WHY`"
        );
    }
}

/// Opens the store; an order of the command line that is at work on it is waited for, it takes a moment.
fn open_store(config: &Config) -> Result<RocksStore, RocksOpenError> {
    let end = Instant::now() + ORDER_MAX;
    loop {
        match RocksStore::open(&config.store(), Create::No) {
            Err(RocksOpenError::Locked(_)) if Instant::now() < end => {
                tracing::info!("the store is in use, by an order of the command line perhaps: trying again");
                std::thread::sleep(OPEN_AGAIN);
            }
            other => return other,
        }
    }
}

async fn serve(
    config: &Config,
    authority: Arc<Authority>,
    handle: Handle,
    mut end: WriterEnd,
) -> anyhow::Result<()> {
    // Before anything is served: a signal that comes meanwhile must not be lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let services = Services::start(config, &authority, &handle).await?;
    notify(&[NotifyState::Ready]);
    let faulted = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        outcome = end.wait() => Some(outcome),
        () = keep_alive(&handle) => unreachable!("goes on for ever"),
    };
    notify(&[NotifyState::Stopping]);
    if let Some(outcome) = faulted {
        outcome?;
        return Err(anyhow!("the writer ended without being told to"));
    }
    tracing::info!("stopping");
    services.stop().await;
    stop_writer(&handle, end).await
}

/// What answers the outside.
struct Services {
    stop: watch::Sender<bool>,
    quic: JoinHandle<()>,
    http: JoinHandle<io::Result<()>>,
    admin: JoinHandle<()>,
    closer: JoinHandle<()>,
    reconciler: JoinHandle<()>,
    biller: Option<JoinHandle<()>>,
}

impl Services {
    async fn start(config: &Config, authority: &Arc<Authority>, handle: &Handle) -> anyhow::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let quic = QuicServer::bind(
            handle.clone(),
            authority.clone(),
            config.quic_listen,
            config.advertise.clone(),
        )?;
        let http = bind_http(config, authority, handle).await?;
        let socket = config.socket();
        let admin = AdminServer::bind(&socket, handle.clone())
            .with_context(|| format!("the admin socket {} can't be made", socket.display()))?;
        let quic_address = quic.local_addr()?;
        tracing::info!(
            quic = %quic_address, http = %config.http_listen, data = %config.data.display(),
            position = handle.status().position, "serving"
        );
        let quic = tokio::spawn(quic.serve(until(stopped.clone())));
        let http = tokio::spawn(http::serve(handle.clone(), http, until(stopped)));
        let admin = tokio::spawn(admin.serve());
        let closer = tokio::spawn(closer::run(handle.clone(), config.seal_grace_hours));
        let reconciler = tokio::spawn(reconciler::run(handle.clone(), config.data.clone()));
        let is_wanted = config.automatic_invoices;
        let biller = is_wanted.then(|| tokio::spawn(biller::run(handle.clone())));
        Ok(Self {
            stop,
            quic,
            http,
            admin,
            closer,
            reconciler,
            biller,
        })
    }

    /// Answers what is open, within bounds.
    async fn stop(self) {
        self.stop.send_replace(true);
        self.admin.abort();
        self.closer.abort();
        self.reconciler.abort();
        if let Some(biller) = self.biller {
            // What is under way is found again at the next start.
            biller.abort();
        }
        let http = timeout(STOP_REQUESTS_MAX, self.http).await;
        let quic = timeout(STOP_REQUESTS_MAX, self.quic).await;
        if http.is_err() || quic.is_err() {
            tracing::warn!("some requests were not answered in time");
        }
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An end of the sender is a stop too.
    drop(stopped.wait_for(|stop| *stop).await);
}

async fn bind_http(
    config: &Config,
    authority: &Arc<Authority>,
    handle: &Handle,
) -> anyhow::Result<HttpListener> {
    let address = config.http_listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|e| bind_error(address, &e))?;
    if address.ip().is_loopback() {
        return Ok(HttpListener::new(listener, None)?);
    }
    let first = authority.http_tls(&config.advertise, handle.now())?;
    let (sender, newest) = watch::channel(Arc::new(first));
    let (authority, names, handle) = (authority.clone(), config.advertise.clone(), handle.clone());
    tokio::spawn(async move {
        let mut renewal = tokio::time::interval(CERTIFICATE_AGE_MAX);
        while !sender.is_closed() {
            renewal.tick().await;
            match authority.http_tls(&names, handle.now()) {
                Ok(tls) => drop(sender.send_replace(Arc::new(tls))),
                Err(error) => tracing::error!(%error, "the certificate of the API was not renewed"),
            }
        }
    });
    Ok(HttpListener::new(listener, Some(newest))?)
}

fn bind_error(address: SocketAddr, error: &io::Error) -> anyhow::Error {
    let words = match error.kind() {
        io::ErrorKind::AddrInUse => "is in use by another program; set `listen` under [http]",
        io::ErrorKind::PermissionDenied => {
            "needs CAP_NET_BIND_SERVICE: ports below 1024 are not for everyone"
        }
        io::ErrorKind::AddrNotAvailable => "is not an address of this machine; set `listen` under [http]",
        _ => "can't be used",
    };
    anyhow!("TCP {address} {words} ({error})")
}

/// Has the writer write everything and end, and closes the store.
///
/// # Errors
/// When the last commit failed, or took longer than a stop may.
pub async fn stop_writer(handle: &Handle, mut end: WriterEnd) -> anyhow::Result<()> {
    let stopping = async {
        // When it has ended already there is nobody to tell.
        drop(handle.requests.send(Request::Stop).await);
        end.wait().await
    };
    match timeout(STOP_WRITER_MAX, stopping).await {
        Ok(outcome) => {
            outcome?;
            tracing::info!("everything is written");
            Ok(())
        }
        Err(_) => Err(anyhow!(
            "the last commit took too long; what was acknowledged is durable all the same"
        )),
    }
}

/// Tells the service manager that the writer answers, and where it stands.
async fn keep_alive(handle: &Handle) {
    let watchdog = sd_notify::watchdog_enabled();
    let period = watchdog.map_or(STATUS_PERIOD, |w| (w / 3).min(STATUS_PERIOD));
    let mut ticks = tokio::time::interval(period);
    loop {
        ticks.tick().await;
        if handle.ping().await.is_err() {
            // The end of the writer is seen elsewhere.
            std::future::pending::<()>().await;
        }
        let status = handle.status();
        let line = format!(
            "position {}, {} connections, {} batches counted",
            status.position, status.connections, status.counters.counted
        );
        notify(&[NotifyState::Watchdog, NotifyState::Status(&line)]);
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager was not told");
    }
}
