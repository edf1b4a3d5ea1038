//! `xllm-proxy server-key`.

use std::time::SystemTime;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Subcommand;
use xllm_proxy::server::keys::{KeyFolder, KeysError, show};

use super::client::when;

#[derive(Debug, Subcommand)]
pub(crate) enum ServerKeyCommand {
    /// Show the public halves of the keys that are taken
    Show,
    /// Put a new key in the place of the current one, which is taken for a while longer
    Rotate {
        /// Until when: a time from now (30d), or a date. Give each client a new credential before, with `client rotate`
        #[arg(long, value_name = "WHEN", default_value = "30d", value_parser = when)]
        keep: SystemTime,
    },
}

pub(crate) fn server_key(folder: &KeyFolder, command: &ServerKeyCommand) -> Result<(), KeysError> {
    match command {
        ServerKeyCommand::Show => {
            for identity in folder.find_identities()? {
                let public = URL_SAFE_NO_PAD.encode(identity.key.public());
                match identity.until {
                    None => println!("{public}  current"),
                    Some(until) => println!("{public}  replaced, taken until {}", show(until)),
                }
            }
        }
        ServerKeyCommand::Rotate { keep } => {
            let key = folder.rotate_identity(*keep)?;
            println!("{}  current", URL_SAFE_NO_PAD.encode(key.public()));
            eprintln!(
                "The key before is taken until {}. Give each client a new credential before: xllm-proxy client rotate NAME",
                show(*keep)
            );
        }
    }
    Ok(())
}
