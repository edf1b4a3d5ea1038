//! `xllm-proxy client`.

use clap::Subcommand;
use xllm_proxy::server::keys::{KeyFolder, KeysError};

#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Make a key for a client and print its credential, the one line that the client needs
    Add {
        /// Name of the client, as in: laptop
        name: String,
    },
    /// List the clients
    List,
    /// Remove a client; it can open no new sessions
    Remove {
        /// Name of the client
        name: String,
    },
}

/// The command that adds a client to just this server.
pub(crate) fn add_command(folder: &KeyFolder) -> String {
    format!("xllm-proxy client add NAME --data-dir {}", folder.path().display())
}

pub(crate) fn client(folder: &KeyFolder, command: &ClientCommand) -> Result<(), KeysError> {
    match command {
        ClientCommand::Add { name } => {
            let credential = folder.add(name)?;
            eprintln!("Give this line to the client `{name}`, over a channel you trust. It is secret, and not shown again:");
            println!("{}", *credential.reveal());
            eprintln!(
                "In the client's config.toml: proxy_key = \"…\" under [global]. A running server takes it up within a second."
            );
        }
        ClientCommand::List => {
            for client in folder.clients()? {
                println!("{}  {}", client.id, client.name);
            }
        }
        ClientCommand::Remove { name } => {
            folder.remove(name)?;
            eprintln!("`{name}` can open no new sessions. A running server takes it up within a second.");
        }
    }
    Ok(())
}
