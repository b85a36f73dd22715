//! `init`: makes an empty folder ours: store, authority, settings, and a first token that is shown once.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;
use tallyman_aggregator_core::aggregator::{Aggregator, OpenError, initialise};
use tallyman_aggregator_core::limits::SEAL_GRACE_MS;
use tallyman_aggregator_core::registry::{Command, Scope};
use tallyman_common::ids::StoreId;
use tallyman_common::time::HOUR_MS;

use super::desk::Stopped;
use super::{Place, print};
use crate::config::{self, Config, DEFAULT_DATA, DEFAULT_HTTP, DEFAULT_QUIC};
use crate::io::clock;
use crate::io::keys::{Authority, NODE_LIFE_MS};
use crate::io::rocks::{Create, RocksStore};
use crate::tokens;

/// Settings of a new folder.
#[derive(Debug, Args)]
pub struct Init {
    /// Host name or address by which agents reach this machine; may be given several times.
    #[arg(long, required = true, value_parser = parse_name)]
    advertise: Vec<String>,
    /// UDP address for agents.
    #[arg(long, default_value = DEFAULT_QUIC)]
    listen: SocketAddr,
    /// TCP address of the API.
    #[arg(long, default_value = DEFAULT_HTTP)]
    http: SocketAddr,
}

fn parse_name(text: &str) -> Result<String, String> {
    if config::is_name(text) {
        Ok(text.to_owned())
    } else {
        Err(config::wrong_name(text))
    }
}

/// Name of the first token.
const FIRST_TOKEN: &str = "admin";

impl Init {
    /// Makes the folder.
    pub fn run(self, place: &Place, as_json: bool) -> anyhow::Result<()> {
        let config = Config {
            data: place.data.clone().unwrap_or_else(|| DEFAULT_DATA.into()),
            log: "info".to_owned(),
            quic_listen: self.listen,
            advertise: self.advertise,
            certificate_life_ms: NODE_LIFE_MS,
            http_listen: self.http,
            seal_grace_hours: SEAL_GRACE_MS / HOUR_MS,
            automatic_invoices: true,
        };
        make_folder(&config.data)?;
        let store = make_store(&config)?;
        let authority = if config.keys().exists() {
            // An earlier attempt got this far.
            Authority::load(&config.keys())?
        } else {
            Authority::create(&config.keys(), clock::now())?
        };
        let path = place.config_to_write();
        let written = write_config(&path, &config)?;
        // Last: with the token the folder counts as made.
        let token = first_token(store)?;
        let text = format!(
            "data folder    {}\nconfiguration  {}{}\nauthority      SHA-256 {}\n\n\
             first access token (operator), shown only now:\n  {token}\n\n\
             Start the aggregator with `tallyman-aggregator run`, and make tokens for hosts with\n\
             `tallyman-aggregator node token`.\n",
            config.data.display(),
            path.display(),
            if written {
                ""
            } else {
                " (was there, left as it is)"
            },
            authority.fingerprint_text(),
        );
        let value = json!({
            "data": config.data,
            "config": path,
            "config_written": written,
            "ca_fingerprint": authority.fingerprint_text(),
            "token": token,
        });
        print(as_json, &value, &text)
    }
}

fn make_folder(path: &Path) -> anyhow::Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("the data folder {} can't be made", path.display()))
}

fn make_store(config: &Config) -> anyhow::Result<RocksStore> {
    let mut store = RocksStore::open(&config.store(), Create::Yes)?;
    match Aggregator::open(&store, clock::now()) {
        Ok(aggregator) if aggregator.registry().tokens.contains_key(FIRST_TOKEN) => {
            bail!(
                "{} is initialised already; its first token was shown then, `tallyman-aggregator token create` makes another",
                config.data.display()
            )
        }
        Ok(_) => {}
        Err(OpenError::NotInitialised) => initialise(&mut store, StoreId(tokens::random()))?,
        Err(error) => return Err(error.into()),
    }
    Ok(store)
}

fn first_token(store: RocksStore) -> anyhow::Result<String> {
    let token = tokens::fresh();
    Stopped::open(store)?.command(Command::CreateToken {
        id: FIRST_TOKEN.to_owned(),
        hash: tokens::digest(&token),
        scope: Scope::Operator,
        expires: None,
    })?;
    Ok(token)
}

/// Writes the settings unless a file is there; true when it was written.
fn write_config(path: &PathBuf, config: &Config) -> anyhow::Result<bool> {
    let failed = || format!("the configuration {} can't be written", path.display());
    if path.exists() {
        return Ok(false);
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(failed)?;
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)
        .with_context(failed)?;
    file.write_all(config.to_toml().as_bytes()).with_context(failed)?;
    file.sync_all().with_context(failed)?;
    Ok(true)
}
