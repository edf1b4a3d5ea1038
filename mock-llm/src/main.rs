//! The stand-in as a process of its own.

use std::io::Write;
use std::net::SocketAddr;

use clap::Parser;
use mock_llm::{Config, MockLlm, Script};

/// A stand-in for the HTTP APIs of OpenAI and Anthropic, for tests, demos and benchmarks.
///
/// Prints one line to stdout when it is ready, and runs until Ctrl-C. A request overrides what is
/// set here with the header `x-mock: {JSON}` or the query parameter `mock={JSON}`.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Address to listen on; port 0 picks a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8899")]
    listen: SocketAddr,
    /// Tokens per second of an answer; 0 is as fast as possible.
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    tokens_per_s: f64,
    /// Milliseconds before the first token.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    first_token_ms: u64,
    /// What to answer; by default some markdown about the prompt.
    #[arg(long)]
    text: Option<String>,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let args = Args::parse();
    let mock = MockLlm::start(Config {
        listen: args.listen,
        script: Script {
            text: args.text,
            tokens_per_s: Some(args.tokens_per_s),
            first_token_ms: Some(args.first_token_ms),
            ..Script::default()
        },
    })
    .await?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "mock-llm listens on {}", mock.url())?;
    stdout.flush()?;
    tokio::signal::ctrl_c().await?;
    mock.shutdown().await;
    Ok(())
}
