//! `token` and `node`: who may ask, and which hosts may send.

use anyhow::bail;
use clap::Subcommand;
use serde_json::{Value, json};
use tallyman_aggregator_core::api::text::instant_text;
use tallyman_aggregator_core::registry::{Command, Scope};
use tallyman_common::ids::{NodeId, hex};
use tallyman_common::time::{HOUR_MS, WallMs};

use super::desk::Desk;
use super::lists::List;
use super::{print, print_list};
use crate::config::Config;
use crate::io::clock;
use crate::io::keys::Authority;
use crate::limits::NODE_TOKENS_MAX;
use crate::tokens;

/// Access tokens of the API.
#[derive(Debug, Subcommand)]
pub enum TokenOrder {
    /// Make a token and show it once.
    Create {
        /// Name to list and revoke it by.
        name: String,
        /// Key of the tenant whose data it may read; an operator's token without.
        #[arg(long)]
        tenant: Option<String>,
        /// Days after which it expires; never without.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: Option<u32>,
    },
    /// Show all tokens; their text is not kept.
    List,
    /// Make a token worthless at once.
    Revoke {
        /// Its name.
        name: String,
    },
}

impl TokenOrder {
    /// Runs the order.
    pub fn run(self, config: &Config, as_json: bool) -> anyhow::Result<()> {
        let mut desk = Desk::open(config)?;
        match self {
            Self::List => print_list(&mut desk, List::Tokens, as_json),
            Self::Create { name, tenant, days } => {
                let token = tokens::fresh();
                let expires = days.map(|d| after_hours(u64::from(d) * 24));
                let scope = tenant.map_or(Scope::Operator, Scope::Tenant);
                let command = Command::CreateToken {
                    id: name.clone(),
                    hash: tokens::digest(&token),
                    scope,
                    expires,
                };
                let position = desk.command(command)?;
                let text = format!("token `{name}`, shown only now:\n  {token}\n");
                let expires = expires.map(instant_text);
                let value = json!({"id": name, "token": token, "expires": expires, "position": position});
                print(as_json, &value, &text)
            }
            Self::Revoke { name } => {
                let position = desk.command(Command::RevokeToken { id: name.clone() })?;
                let text = format!("token `{name}` is worth nothing from now on\n");
                print(as_json, &json!({"id": name, "position": position}), &text)
            }
        }
    }
}

/// Hosts that send.
#[derive(Debug, Subcommand)]
pub enum NodeOrder {
    /// Make single-use tokens that enrol hosts, and show them once with the command to run there.
    Token {
        /// How many.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(NODE_TOKENS_MAX)))]
        count: u32,
        /// Group that the hosts will belong to.
        #[arg(long, default_value = tallyman_aggregator_core::registry::DEFAULT_GROUP)]
        group: String,
        /// Hours after which an unused token expires.
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8_760))]
        hours: u32,
        /// The node that the host was before it was set up anew: it is retired when the token is used, and its group
        /// goes over.
        #[arg(long, value_name = "NODE", conflicts_with_all = ["count", "group"])]
        replaces: Option<NodeId>,
    },
    /// Show nodes that two hosts speak for, with the processes that an operator chooses from.
    Clones,
    /// Say which host is the node: the other processes of the case are refused from now on.
    ResolveClone(super::clones::Resolve),
    /// Show all nodes.
    List {
        /// Show the tokens instead.
        #[arg(long)]
        tokens: bool,
    },
    /// No more data will come from this node: it is not expected any more, and what comes is refused.
    Retire {
        /// Its identity.
        node: NodeId,
    },
    /// This node is not trusted any more: its connections end at once.
    Revoke {
        /// Its identity.
        node: NodeId,
    },
}

impl NodeOrder {
    /// Runs the order.
    pub fn run(self, config: &Config, as_json: bool) -> anyhow::Result<()> {
        let mut desk = Desk::open(config)?;
        match self {
            Self::List { tokens: false } => print_list(&mut desk, List::Nodes, as_json),
            Self::List { tokens: true } => print_list(&mut desk, List::NodeTokens, as_json),
            Self::Clones => print_list(&mut desk, List::Clones, as_json),
            Self::ResolveClone(resolve) => resolve.run(&mut desk, as_json),
            Self::Token {
                hours,
                replaces: Some(node),
                ..
            } => {
                let made = make_replacement_token(config, &mut desk, node, hours)?;
                let command = made["command"].as_str();
                let text = format!(
                    "# valid for {hours} h, shown only now; node {node} is retired when it is used; run on the host as root:\n{}\n",
                    command.map_or("", |c| c)
                );
                print(as_json, &Value::Array(vec![made.clone()]), &text)
            }
            Self::Token {
                count, group, hours, ..
            } => {
                if group.is_empty() || group.len() > 64 || group.chars().any(char::is_control) {
                    bail!("group `{group}`: 1 to 64 bytes without control characters are allowed");
                }
                let made = make_node_tokens(config, &mut desk, count, &group, hours)?;
                let commands = made.iter().filter_map(|m| m["command"].as_str());
                let text: Vec<&str> = commands.collect();
                let head = format!(
                    "# valid for {hours} h, each for one host, shown only now; run on the host as root:\n"
                );
                let text = format!("{head}{}\n", text.join("\n"));
                print(as_json, &Value::Array(made), &text)
            }
            Self::Retire { node } => end(&mut desk, Command::RetireNode { node }, node, "retired", as_json),
            Self::Revoke { node } => end(&mut desk, Command::RevokeNode { node }, node, "revoked", as_json),
        }
    }
}

fn end(desk: &mut Desk, command: Command, node: NodeId, what: &str, as_json: bool) -> anyhow::Result<()> {
    let position = desk.command(command)?;
    let text = format!("node {node} is {what}\n");
    print(as_json, &json!({"node": node, "position": position}), &text)
}

fn make_node_tokens(
    config: &Config,
    desk: &mut Desk,
    count: u32,
    group: &str,
    hours: u32,
) -> anyhow::Result<Vec<Value>> {
    let shown = Shown::of(config)?;
    let mut made = Vec::new();
    for _ in 0..count {
        let (token, id, expires) = fresh_node_token(hours);
        let position = desk.command(Command::CreateNodeToken {
            id: id.clone(),
            hash: tokens::digest(&token),
            group: group.to_owned(),
            expires,
        })?;
        let mut value = shown.token(&token, &id, expires, position);
        value["group"] = group.into();
        made.push(value);
    }
    Ok(made)
}

fn make_replacement_token(
    config: &Config,
    desk: &mut Desk,
    node: NodeId,
    hours: u32,
) -> anyhow::Result<Value> {
    let shown = Shown::of(config)?;
    let (token, id, expires) = fresh_node_token(hours);
    let position = desk.command(Command::CreateReplacementToken {
        id: id.clone(),
        hash: tokens::digest(&token),
        node,
        expires,
    })?;
    let mut value = shown.token(&token, &id, expires, position);
    value["replaces"] = node.to_string().into();
    Ok(value)
}

/// Text, name and end of life.
fn fresh_node_token(hours: u32) -> (String, String, WallMs) {
    let id = format!("join-{}", hex(&tokens::random::<4>()));
    (tokens::fresh(), id, after_hours(u64::from(hours)))
}

/// What a host must know to enrol here.
struct Shown {
    server: String,
    ca_fingerprint: String,
}

impl Shown {
    fn of(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            server: config.server(),
            ca_fingerprint: Authority::load(&config.keys())?.fingerprint_text(),
        })
    }

    fn token(&self, token: &str, id: &str, expires: WallMs, position: u64) -> Value {
        let (server, ca_fingerprint) = (&self.server, &self.ca_fingerprint);
        let command = format!(
            "tallyman-agent enrol --server {server} --ca-fingerprint {ca_fingerprint} --token {token}"
        );
        json!({
            "id": id,
            "token": token,
            "expires": instant_text(expires),
            "server": server,
            "ca_fingerprint": ca_fingerprint,
            "command": command,
            "position": position,
        })
    }
}

fn after_hours(hours: u64) -> WallMs {
    WallMs(clock::now().0 + hours * HOUR_MS)
}
