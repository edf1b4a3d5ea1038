//! The texts of the key files.
//!
//! ```text
//! server.key     the server's keys, one a line, the current one first: 43 characters of base64url,
//!                behind those that are replaced: " until 2027-01-31T12:00:00Z"
//! clients.toml   the clients' keys: [[client]] with name, id, psk, and, where they are, expires and old
//! ```

use std::{collections::HashSet, str::FromStr, time::SystemTime};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{ClientKey, Identity, show};
use crate::proto::{ServerKey, crypto::Secret};

/// What stands above the clients.
const HEAD: &str = "# Clients of this proxy. Secret. Change it with: xllm-proxy client";
/// What stands between a key of the server and when it ends.
const UNTIL: &str = " until ";

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientsFile {
    #[serde(default, rename = "client")]
    clients: Vec<ClientEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientEntry {
    name: String,
    id: String,
    psk: Zeroizing<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<toml::value::Datetime>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    old: bool,
}

/// The server's keys in this text, or what is wrong with it. What it holds is not shown.
pub(super) fn parse_identities(text: &str) -> Result<Vec<Identity>, String> {
    let mut identities = Vec::new();
    for (number, line) in (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty()) {
        let wrong = || format!("line {number} is not a server key as this program writes it");
        let (key, until) = match line.split_once(UNTIL) {
            Some((key, until)) => (key, Some(humantime::parse_rfc3339(until.trim()).map_err(|_| wrong())?)),
            None => (line, None),
        };
        let key = ServerKey::new(decode(key.trim()).ok_or_else(wrong)?);
        // Only the first is current, and it has no end.
        if until.is_some() == identities.is_empty() {
            return Err(wrong());
        }
        identities.push(Identity { key, until });
    }
    if identities.is_empty() { Err("holds no key".into()) } else { Ok(identities) }
}

/// The text for these keys.
pub(super) fn write_identities(identities: &[Identity]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(identities.len() * 128));
    for identity in identities {
        text.push_str(&encode(identity.key.private()));
        if let Some(until) = identity.until {
            text.push_str(UNTIL);
            text.push_str(&show(until));
        }
        text.push('\n');
    }
    text
}

/// The clients' keys in this text, in its order, or what is wrong with it. What it holds is not shown.
pub(super) fn parse_clients(text: &str) -> Result<Vec<ClientKey>, String> {
    // The parser's own message may quote a value, which may be a key.
    let line = |error: toml::de::Error| error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
    let file: ClientsFile = toml::from_str(text).map_err(|error| format!("line {} cannot be read", line(error)))?;
    let keys: Vec<_> = file.clients.into_iter().map(client).collect::<Result<_, _>>()?;
    let (mut ids, mut names) = (HashSet::new(), HashSet::new());
    for key in &keys {
        if !ids.insert(key.id) {
            return Err(format!("two keys have the id {}", key.id));
        }
        if !key.old && !names.insert(&key.name) {
            return Err(format!("client `{}` has two keys, and neither is marked as old", key.name));
        }
    }
    Ok(keys)
}

fn client(entry: ClientEntry) -> Result<ClientKey, String> {
    let wrong = |what: &str| format!("client `{}` has {what}", entry.name);
    let moment = |moment: toml::value::Datetime| humantime::parse_rfc3339(&moment.to_string());
    Ok(ClientKey {
        id: entry.id.parse().map_err(|_| wrong("an id that is not 32 hexadecimal digits"))?,
        psk: decode(&entry.psk).ok_or_else(|| wrong("a psk that is not 43 characters of base64url"))?,
        expires: entry
            .expires
            .map(moment)
            .transpose()
            .map_err(|_| wrong("an `expires` that is not in UTC, as in 2027-01-31T12:00:00Z"))?,
        old: entry.old,
        name: entry.name.into(),
    })
}

/// The text for these keys.
pub(super) fn write_clients(keys: &[ClientKey]) -> Result<Zeroizing<String>, toml::ser::Error> {
    let moment = |moment: SystemTime| toml::value::Datetime::from_str(&show(moment)).ok();
    let entry = |key: &ClientKey| ClientEntry {
        name: key.name.to_string(),
        id: key.id.to_string(),
        psk: encode(&key.psk),
        expires: key.expires.and_then(moment),
        old: key.old,
    };
    let body = Zeroizing::new(toml::to_string(&ClientsFile { clients: keys.iter().map(entry).collect() })?);
    Ok(Zeroizing::new(format!("{HEAD}\n\n{}", *body)))
}

fn encode(secret: &Secret<32>) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(43));
    URL_SAFE_NO_PAD.encode_string(secret.expose(), &mut text);
    text
}

fn decode(text: &str) -> Option<Secret<32>> {
    let mut secret = Secret::new([0; 32]);
    let read = URL_SAFE_NO_PAD.decode_slice(text, secret.expose_mut()).ok()?;
    (read == 32).then_some(secret)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(name: &str, expires: Option<SystemTime>, old: bool) -> ClientKey {
        ClientKey { old, ..ClientKey::generate(name, expires).expect("there is randomness") }
    }

    #[test]
    fn clients_survive_their_text() {
        let soon = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        let keys = [key("a", None, false), key("a", Some(soon), true), key("b", Some(soon), false)];
        let text = write_clients(&keys).expect("it can be written");
        assert_eq!(text.matches("expires = 2033-05-18T03:33:20Z").count(), 2, "{}", *text);
        let read = parse_clients(&text).expect("it can be read");
        for (read, written) in read.iter().zip(&keys) {
            assert_eq!((&read.name, read.id, &read.psk), (&written.name, written.id, &written.psk));
            assert_eq!((read.expires, read.old), (written.expires, written.old));
        }
    }

    #[test]
    fn clients_that_are_ambiguous_are_refused() {
        let (first, second) = (key("a", None, false), key("a", None, false));
        let twice = write_clients(&[first.clone(), second]).expect("it can be written");
        assert_eq!(parse_clients(&twice).err().as_deref(), Some("client `a` has two keys, and neither is marked as old"));
        let same = write_clients(&[first.clone(), ClientKey { name: "b".into(), ..first }]).expect("it can be written");
        assert!(parse_clients(&same).expect_err("refused").starts_with("two keys have the id "));
        let local =
            "[[client]]\nname='a'\nid='00112233445566778899aabbccddeeff'\npsk='AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'\n";
        assert!(parse_clients(local).is_ok());
        let error = parse_clients(&format!("{local}expires=2027-01-01T00:00:00+02:00")).expect_err("refused");
        assert_eq!(error, "client `a` has an `expires` that is not in UTC, as in 2027-01-31T12:00:00Z");
    }

    #[test]
    fn the_servers_keys_survive_their_text_and_only_the_first_has_no_end() {
        let until = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        let identity = |byte, until| Identity { key: ServerKey::new(Secret::new([byte; 32])), until };
        let text = write_identities(&[identity(1, None), identity(2, Some(until))]);
        let read = parse_identities(&text).expect("it can be read");
        assert_eq!(read[0].key.public(), identity(1, None).key.public());
        assert_eq!((read[1].key.public(), read[1].until), (identity(2, None).key.public(), Some(until)));
        for wrong in [
            write_identities(&[]),
            write_identities(&[identity(1, Some(until))]),
            write_identities(&[identity(1, None), identity(2, None)]),
            Zeroizing::new("secret-text".into()),
            Zeroizing::new(format!("{} until tomorrow", *encode(&Secret::new([1; 32])))),
        ] {
            let error = parse_identities(&wrong).expect_err("refused");
            assert!(!error.contains("secret-text"), "{error}");
        }
    }
}
