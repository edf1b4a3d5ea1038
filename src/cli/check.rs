//! `xllm-proxy check`.

use std::error::Error;

use xllm_proxy::server::Config;

use super::{client::add_command, options::key_folder};

pub(crate) fn check(config: &Config) -> Result<(), Box<dyn Error>> {
    let folder = key_folder(config)?;
    let (key, clients) = (folder.find_server_key()?, folder.clients()?);
    println!("configuration  valid");
    println!("listen         {}", config.listen);
    println!("admin          {}", config.admin);
    println!("threads        {}", config.workers.map_or_else(|| "one for each processor".into(), |count| count.to_string()));
    println!("profile        at least {}", config.profile);
    let key = if key.is_some() { "there" } else { "made at the first start" };
    println!("key folder     {}", folder.path().display());
    println!("keys           server's: {key}; clients': {}", clients.len());
    println!("origins        {}", config.origins.list().join("\n               "));
    if clients.is_empty() {
        println!("next           {}", add_command(&folder));
    }
    Ok(())
}
