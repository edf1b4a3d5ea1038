//! `xllm-proxy check`.

use std::error::Error;

use xllm_proxy::server::Config;

use super::{client::add_command, options::key_folder};

pub(crate) fn check(config: &Config) -> Result<(), Box<dyn Error>> {
    let folder = key_folder(config)?;
    let (identities, clients) = (folder.find_identities()?, folder.clients()?);
    println!("configuration  valid");
    println!("listen         {}", config.listen);
    println!("balancers      {}", config.proxies);
    println!("threads        {}", config.workers.map_or_else(|| "one for each processor".into(), |count| count.to_string()));
    println!("profile        at least {}", config.profile);
    let key = if identities.is_empty() { "made at the first start" } else { "there" };
    println!("key folder     {}", folder.path().display());
    println!("keys           server's: {key}; clients': {}", clients.len());
    println!("origins        {}", config.origins.list().join("\n               "));
    if clients.is_empty() {
        println!("next           {}", add_command(&folder));
    }
    Ok(())
}
