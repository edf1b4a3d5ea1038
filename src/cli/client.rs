//! `xllm-proxy client`.

use std::time::SystemTime;

use clap::Subcommand;
use xllm_proxy::{
    proto::Credential,
    server::keys::{ClientKey, KeyFolder, KeysError, NotAMoment, moment, show},
};

#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Make a key for a client and print its credential, the one line that the client needs
    Add {
        /// Name of the client, as in: laptop
        name: String,
        /// When it ceases to be a client: a date (2027-01-31), a moment (2027-01-31T12:00:00Z), or a time from now (90d)
        #[arg(long, value_name = "WHEN", value_parser = when)]
        expires: Option<SystemTime>,
    },
    /// Make a new key for a client and print its credential; the key that it had is taken for a while longer
    Rotate {
        /// Name of the client
        name: String,
        /// Until when: a time from now (7d), or as for `add --expires`
        #[arg(long, value_name = "WHEN", default_value = "7d", value_parser = when)]
        keep: SystemTime,
    },
    /// Remove a client; its sessions are cut
    Revoke {
        /// Name of the client
        name: String,
        /// Only the keys that others have replaced
        #[arg(long)]
        old: bool,
    },
    /// List the clients' keys
    List,
}

/// Reads a moment, or a time from now.
pub(crate) fn when(text: &str) -> Result<SystemTime, NotAMoment> {
    moment(text, SystemTime::now())
}

/// The command that adds a client to just this server.
pub(crate) fn add_command(folder: &KeyFolder) -> String {
    format!("xllm-proxy client add NAME --data-dir {}", folder.path().display())
}

pub(crate) fn client(folder: &KeyFolder, command: &ClientCommand) -> Result<(), KeysError> {
    match command {
        ClientCommand::Add { name, expires } => hand_out(name, &folder.add(name, *expires)?),
        ClientCommand::Rotate { name, keep } => {
            hand_out(name, &folder.rotate(name, *keep)?);
            eprintln!("The key before is taken until {}.", show(*keep));
        }
        ClientCommand::Revoke { name, old } => match folder.revoke(name, *old)? {
            0 => eprintln!("`{name}` has no keys that others have replaced."),
            1 => eprintln!("1 key of `{name}` is revoked. A running server cuts its sessions within a second."),
            count => eprintln!("{count} keys of `{name}` are revoked. A running server cuts their sessions within a second."),
        },
        ClientCommand::List => {
            let (keys, now) = (folder.clients()?, SystemTime::now());
            let width = keys.iter().map(|key| key.name.len()).max().unwrap_or(0);
            for key in keys {
                println!("{}  {:width$}  {}", key.id, key.name, state(&key, now));
            }
        }
    }
    Ok(())
}

/// Prints a credential: the line alone to stdout.
fn hand_out(name: &str, credential: &Credential) {
    eprintln!("Give this line to the client `{name}`, over a channel you trust. It is secret, and not shown again:");
    println!("{}", *credential.reveal());
    eprintln!("In the client's config.toml: proxy_key = \"…\" under [global]. A running server takes it up within a second.");
}

fn state(key: &ClientKey, now: SystemTime) -> String {
    match (key.expires.map(show), key.old, key.has_expired(now)) {
        (Some(end), _, true) => format!("expired at {end}"),
        (Some(end), true, false) => format!("replaced, taken until {end}"),
        (Some(end), false, false) => format!("until {end}"),
        (None, true, _) => "replaced".into(),
        (None, false, _) => "current".into(),
    }
}
