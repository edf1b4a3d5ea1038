//! `xllm-proxy check`.

use std::{error::Error, net::SocketAddr};

use xllm_proxy::server::{Config, guard::origins::Rule};

use super::{client::add_command, options::key_folder};

pub(crate) fn check(config: &Config) -> Result<(), Box<dyn Error>> {
    let folder = key_folder(config.data_dir.as_deref())?;
    let (identities, clients) = (folder.find_identities()?, folder.clients()?);
    println!("configuration  valid");
    println!("listen         {}", config.listen);
    println!("balancers      {}", config.proxies);
    println!("admin          {}", config.admin);
    println!("threads        {}", config.workers.map_or_else(|| "one for each processor".into(), |count| count.to_string()));
    println!("profile        at least {}", config.profile);
    let key = if identities.is_empty() { "made at the first start" } else { "there" };
    println!("key folder     {}", folder.path().display());
    println!("keys           server's: {key}; clients': {}", clients.len());
    println!("names          looked up by {}", resolvers(&config.dns.servers));
    println!("origins        {}", origins(config).join("\n               "));
    if clients.is_empty() {
        println!("next           {}", add_command(&folder));
    }
    Ok(())
}

fn resolvers(servers: &[SocketAddr]) -> String {
    if servers.is_empty() {
        return "the system".into();
    }
    servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Each origin, and what holds for it alone: no value of a header.
fn origins(config: &Config) -> Vec<String> {
    let line = |(origin, rule): (String, &Rule)| match rule.to_string() {
        rule if rule.is_empty() => origin,
        rule => format!("{origin}  ({rule})"),
    };
    config.origins.list().into_iter().map(line).collect()
}
